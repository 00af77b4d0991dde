package shop;

class Orders {
    @GetMapping("/orders")
    List<Order> find(@RequestParam("id") String id, @RequestParam int limit) throws Exception {
        // ruleid: vallum.java.sql-injection
        stmt.executeQuery("SELECT * FROM orders WHERE id = '" + id + "'");
        String sql = "SELECT * FROM orders WHERE id = " + id;
        // ruleid: vallum.java.sql-injection
        jdbcTemplate.queryForList(sql);
        // ok: vallum.java.sql-injection
        jdbcTemplate.queryForList("SELECT * FROM orders WHERE id = ?", id);
        // ok: vallum.java.sql-injection
        jdbcTemplate.queryForList("SELECT * FROM orders LIMIT " + limit);
        // ruleid: vallum.java.os-command-injection
        Runtime.getRuntime().exec("ping " + id);
        // ruleid: vallum.java.os-command-injection
        new ProcessBuilder("sh", "-c", "ping " + id).start();
        // ok: vallum.java.os-command-injection
        new ProcessBuilder("ping", "-c1", id).start();
        // ruleid: vallum.java.expression-injection
        new SpelExpressionParser().parseExpression(id);
        // ok: vallum.java.expression-injection
        new SpelExpressionParser().parseExpression("1 + 1");
        // ruleid: vallum.java.path-traversal
        new FileInputStream("/data/" + id);
        // ruleid: vallum.java.path-traversal
        Files.readString(Path.of("/data", id));
        // ok: vallum.java.path-traversal
        new FileInputStream("/data/" + FilenameUtils.getName(id));
        // ruleid: vallum.java.ssrf
        restTemplate.getForObject(id, String.class);
        // ruleid: vallum.java.ssrf
        new URL("http://" + id + "/x");
        // ok: vallum.java.ssrf
        restTemplate.getForObject("https://catalog.internal/items/" + id, String.class);
        // ruleid: vallum.java.open-redirect
        new RedirectView(id);
        // ok: vallum.java.open-redirect
        new RedirectView("/items/" + id);
        return null;
    }

    void servlet(HttpServletRequest request, HttpServletResponse response) throws Exception {
        String q = request.getParameter("q");
        // ruleid: vallum.java.reflected-xss
        response.getWriter().println("<h1>" + q + "</h1>");
        // ok: vallum.java.reflected-xss
        response.getWriter().println("<h1>" + HtmlUtils.htmlEscape(q) + "</h1>");
        // ruleid: vallum.java.open-redirect
        response.sendRedirect(request.getParameter("next"));
        // ok: vallum.java.open-redirect
        response.sendRedirect("/login");
    }

    List<User> byName(String name, int limit) throws Exception {
        // ruleid: vallum.java.sql-built-from-parameter
        stmt.executeQuery("SELECT * FROM users WHERE name = '" + name + "'");
        // ok: vallum.java.sql-built-from-parameter
        jdbcTemplate.queryForList("SELECT * FROM users WHERE name = ?", name);
        // ok: vallum.java.sql-built-from-parameter
        stmt.executeQuery("SELECT * FROM users LIMIT " + limit);
        return null;
    }

    void load(InputStream stream) throws Exception {
        ObjectInputStream in = new ObjectInputStream(stream);
        // ruleid: vallum.java.unsafe-deserialisation
        in.readObject();
        // ok: vallum.java.unsafe-deserialisation
        mapper.readValue(stream, Order.class);
        // ruleid: vallum.java.jackson-default-typing
        mapper.enableDefaultTyping();
        // ok: vallum.java.jackson-default-typing
        mapper.activateDefaultTyping(validator);
        // ruleid: vallum.java.yaml-unsafe-load
        new Yaml().load(stream);
        // ok: vallum.java.yaml-unsafe-load
        new Yaml(new SafeConstructor(new LoaderOptions())).load(stream);
    }

    void parse() {
        // ruleid: vallum.java.xxe
        DocumentBuilderFactory f = DocumentBuilderFactory.newInstance();
        f.newDocumentBuilder();
    }

    void parseSafely() {
        // ok: vallum.java.xxe
        DocumentBuilderFactory f = DocumentBuilderFactory.newInstance();
        f.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        f.newDocumentBuilder();
    }
}
