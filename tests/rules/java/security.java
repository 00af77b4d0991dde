package shop;

class Security {
    // ruleid: vallum.java.hardcoded-password
    private static final String DB_PASSWORD = "Tr0ub4dor&3";
    // ok: vallum.java.hardcoded-password
    private static final String PASSWORD_FROM_ENV = System.getenv("DB_PASSWORD");
    // ok: vallum.java.hardcoded-password
    private static final String LABEL_PASSWORD = "Enter your password";

    class Trusting implements X509TrustManager {
        // ruleid: vallum.java.trust-all-certificates
        public void checkServerTrusted(X509Certificate[] chain, String type) {
        }
    }

    class Checking implements X509TrustManager {
        // ok: vallum.java.trust-all-certificates
        public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
            delegate.checkServerTrusted(chain, type);
        }
    }

    void all(User user, HttpServletResponse response) throws Exception {
        // ruleid: vallum.java.hostname-verification-off
        connection.setHostnameVerifier((host, session) -> true);
        // ok: vallum.java.hostname-verification-off
        connection.setHostnameVerifier(verifier);
        // ruleid: vallum.java.tls-old-version
        SSLContext.getInstance("TLSv1");
        // ok: vallum.java.tls-old-version
        SSLContext.getInstance("TLSv1.3");
        // ruleid: vallum.java.grpc-plaintext
        ManagedChannelBuilder.forAddress("orders", 50051).usePlaintext().build();
        // ok: vallum.java.grpc-plaintext
        ManagedChannelBuilder.forAddress("orders", 50051).useTransportSecurity().build();
        // ruleid: vallum.java.jwt-signature-not-checked
        Jwts.parser().build().parseUnsecuredClaims(token);
        // ruleid: vallum.java.jwt-signature-not-checked
        JWT.create().sign(Algorithm.none());
        // ok: vallum.java.jwt-signature-not-checked
        Jwts.parser().verifyWith(key).build().parseSignedClaims(token);
        // ruleid: vallum.java.jwt-decoded-not-verified
        JWT.decode(token);
        // ok: vallum.java.jwt-decoded-not-verified
        JWT.require(algorithm).build().verify(token);
        // ruleid: vallum.java.jwt-hardcoded-key
        Algorithm.HMAC256("not-a-secret-any-more");
        // ok: vallum.java.jwt-hardcoded-key
        Algorithm.HMAC256(secret);
        // ruleid: vallum.java.weak-hash
        MessageDigest.getInstance("MD5");
        // ok: vallum.java.weak-hash
        MessageDigest.getInstance("SHA-256");
        // ruleid: vallum.java.plain-password-encoder
        NoOpPasswordEncoder.getInstance();
        // ok: vallum.java.plain-password-encoder
        new BCryptPasswordEncoder();
        // ruleid: vallum.java.broken-cipher
        Cipher.getInstance("DES/CBC/PKCS5Padding");
        // ruleid: vallum.java.broken-cipher
        Cipher.getInstance("AES/ECB/PKCS5Padding");
        // ok: vallum.java.broken-cipher
        Cipher.getInstance("AES/GCM/NoPadding");
        // ruleid: vallum.java.static-iv
        new IvParameterSpec("0123456789abcdef".getBytes());
        // ok: vallum.java.static-iv
        new IvParameterSpec(iv);
        // ruleid: vallum.java.weak-random-for-secret
        int resetToken = new Random().nextInt(1000000);
        // ok: vallum.java.weak-random-for-secret
        int delay = new Random().nextInt(1000);
        KeyPairGenerator g = KeyPairGenerator.getInstance("RSA");
        // ruleid: vallum.java.short-rsa-key
        g.initialize(1024);
        // ok: vallum.java.short-rsa-key
        g.initialize(3072);
        // ruleid: vallum.java.cors-any-origin-with-credentials
        registry.addMapping("/**").allowedOriginPatterns("*").allowCredentials(true);
        // ok: vallum.java.cors-any-origin-with-credentials
        registry.addMapping("/**").allowedOrigins("https://shop.example").allowCredentials(true);
        // ruleid: vallum.java.csrf-protection-off
        http.csrf().disable();
        // ok: vallum.java.csrf-protection-off
        http.csrf(withDefaults());
        // ruleid: vallum.java.all-requests-permitted
        auth.anyRequest().permitAll();
        // ok: vallum.java.all-requests-permitted
        auth.anyRequest().authenticated();
        // ruleid: vallum.java.insecure-session-cookie
        cookie.setHttpOnly(false);
        // ok: vallum.java.insecure-session-cookie
        cookie.setSecure(true);
        // ruleid: vallum.java.stack-trace-in-response
        failure.printStackTrace(response.getWriter());
        // ok: vallum.java.stack-trace-in-response
        log.error("failed", failure);
    }

    // ruleid: vallum.java.cors-any-origin
    @CrossOrigin("*")
    @PostMapping("/users")
    User create(@RequestBody User user) {
        // ruleid: vallum.java.mass-assignment
        return users.save(user);
    }

    // ok: vallum.java.cors-any-origin
    @CrossOrigin("https://shop.example")
    @PostMapping("/members")
    User member(@RequestBody MemberRequest body) {
        // ok: vallum.java.mass-assignment
        return users.save(new User(body.name()));
    }
}
