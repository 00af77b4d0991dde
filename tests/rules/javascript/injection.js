const express = require("express");
const fs = require("fs");
const path = require("path");
const cp = require("child_process");
const { exec, execFile, execSync } = require("child_process");
const axios = require("axios");
const ejs = require("ejs");
const vm = require("vm");
const serialize = require("node-serialize");
const libxmljs = require("libxmljs");
const yaml = require("js-yaml");
const unsafe = require("js-yaml-js-types");
const _ = require("lodash");

const app = express();
const CATALOG_URL = process.env.CATALOG_URL;
const SORT = { name: "name", price: "price" };

app.get("/orders", async (req, res) => {
  const id = req.query.id;
  // ruleid: vallum.javascript.sql-injection
  await db.query(`SELECT * FROM orders WHERE id = '${id}'`);
  const { owner } = req.body;
  const sql = "SELECT * FROM orders WHERE owner = '" + owner + "'";
  // ruleid: vallum.javascript.sql-injection
  await pool.query(sql);
  // ok: vallum.javascript.sql-injection
  await db.query("SELECT * FROM orders WHERE id = $1", [id]);
  const n = parseInt(req.query.n, 10);
  // ok: vallum.javascript.sql-injection
  await pool.query("SELECT * FROM orders LIMIT " + n);
  const column = SORT[req.query.sort];
  // ok: vallum.javascript.sql-injection
  await pool.query("SELECT * FROM orders ORDER BY " + column);
});

function findUser(name) {
  // ruleid: vallum.javascript.sql-built-from-parameter
  this.db.query(`SELECT * FROM users WHERE name = '${name}'`);
  // ruleid: vallum.javascript.sql-built-from-parameter
  db.all("SELECT * FROM users WHERE name = '" + name + "'");
  // ok: vallum.javascript.sql-built-from-parameter
  db.all("SELECT * FROM users WHERE name = ?", [name]);
  // ok: vallum.javascript.sql-built-from-parameter
  db.all(`SELECT * FROM ${TABLE}`);
}

app.get("/ping", (req, res) => {
  // ruleid: vallum.javascript.os-command-injection
  exec("ping -c 1 " + req.query.host, () => {});
  // ruleid: vallum.javascript.os-command-injection
  cp.execSync(`nslookup ${req.query.host}`);
  // ok: vallum.javascript.os-command-injection
  execFile("ping", ["-c", "1", req.query.host]);
  // ok: vallum.javascript.os-command-injection
  const m = /^a+$/.exec(req.query.host);
  // ok: vallum.javascript.os-command-injection
  exec("uptime");
});

app.post("/calc", (req, res) => {
  // ruleid: vallum.javascript.code-injection
  const r = eval(req.body.expr);
  // ruleid: vallum.javascript.code-injection
  const f = new Function("a", req.body.code);
  // ruleid: vallum.javascript.code-injection
  vm.runInNewContext(req.body.code);
  // ok: vallum.javascript.code-injection
  const d = JSON.parse(req.body.data);
  // ok: vallum.javascript.code-injection
  const g = new Function("a", "return a + 1");
  // ruleid: vallum.javascript.timer-with-text
  setTimeout("run('" + name + "')", 10);
  // ok: vallum.javascript.timer-with-text
  setTimeout(() => run(name), 10);
});

app.get("/file", (req, res) => {
  const name = req.query.name;
  // ruleid: vallum.javascript.path-traversal
  fs.readFile("/data/" + name, () => {});
  // ruleid: vallum.javascript.path-traversal
  res.sendFile(path.join("/data", name));
  // ok: vallum.javascript.path-traversal
  fs.readFileSync(path.join("/data", path.basename(name)));
  // ok: vallum.javascript.path-traversal
  res.sendFile(name, { root: "/data" });
  const full = path.resolve("/data", req.query.other);
  if (!full.startsWith("/data/")) {
    return res.status(404).end();
  }
  // ok: vallum.javascript.path-traversal
  fs.readFileSync(full);
});

app.post("/fetch", async (req, res) => {
  // ruleid: vallum.javascript.ssrf
  await fetch(req.body.url);
  // ruleid: vallum.javascript.ssrf
  await axios.get(`http://${req.query.host}/x`);
  // ruleid: vallum.javascript.ssrf
  await axios({ method: "get", url: req.body.url });
  // ok: vallum.javascript.ssrf
  await axios.get(`${CATALOG_URL}/items/${req.params.sku}`);
  // ok: vallum.javascript.ssrf
  await fetch("https://catalog.internal/items/" + encodeURIComponent(req.params.sku));
  // ok: vallum.javascript.ssrf
  await axios.get(CATALOG_URL, { params: { sku: req.query.sku } });
  const target = req.body.target;
  if (!ALLOWED.includes(target)) return res.status(400).end();
  // ok: vallum.javascript.ssrf
  await fetch(target);
});

app.get("/go", (req, res) => {
  // ruleid: vallum.javascript.open-redirect
  res.redirect(req.query.next);
  // ruleid: vallum.javascript.open-redirect
  res.redirect(302, req.query.next);
  // ok: vallum.javascript.open-redirect
  res.redirect("/login?next=" + encodeURIComponent(req.query.next));
  // ok: vallum.javascript.open-redirect
  res.redirect(`/items/${req.params.id}`);
});

app.get("/search", async (req, res) => {
  // ruleid: vallum.javascript.reflected-xss
  res.send("<h1>" + req.query.q + "</h1>");
  // ruleid: vallum.javascript.reflected-xss
  res.status(404).send(`No ${req.params.item}`);
  // ok: vallum.javascript.reflected-xss
  res.json({ q: req.query.q });
  // ok: vallum.javascript.reflected-xss
  res.send("<h1>" + escapeHtml(req.query.q) + "</h1>");
  const item = await store.load(req.query.q);
  // ok: vallum.javascript.reflected-xss
  res.send(item);
});

app.post("/login", async (req, res) => {
  // ruleid: vallum.javascript.nosql-injection
  await User.findOne({ name: req.body.name, password: req.body.password });
  // ruleid: vallum.javascript.nosql-injection
  await db.collection("users").find(req.query).toArray();
  // ok: vallum.javascript.nosql-injection
  await User.findOne({ name: String(req.body.name) });
  // ok: vallum.javascript.nosql-injection
  const u = users.find((x) => x.name === req.body.name);
  // ruleid: vallum.javascript.nosql-where
  await User.find({ $where: "this.name == '" + name + "'" });
  // ok: vallum.javascript.nosql-where
  await User.find({ $where: "this.a == this.b" });
});

app.get("/tpl", (req, res) => {
  // ruleid: vallum.javascript.template-injection
  ejs.render(req.query.tpl);
  // ruleid: vallum.javascript.template-injection
  ejs.render("<p>" + req.query.name + "</p>", {});
  // ok: vallum.javascript.template-injection
  ejs.render("<p><%= name %></p>", { name: req.query.name });
});

app.post("/obj", (req, res) => {
  // ruleid: vallum.javascript.unsafe-deserialisation
  serialize.unserialize(req.body.data);
  // ok: vallum.javascript.unsafe-deserialisation
  serialize.serialize({ a: 1 });
  // ok: vallum.javascript.unsafe-deserialisation
  other.unserialize(data);
  // ruleid: vallum.javascript.yaml-request-unsafe
  yaml.load(doc, { schema: yaml.DEFAULT_FULL_SCHEMA });
  // ruleid: vallum.javascript.yaml-request-unsafe
  yaml.load(doc, { schema: unsafe.all });
  // ok: vallum.javascript.yaml-request-unsafe
  yaml.load(doc);
  // ruleid: vallum.javascript.xxe
  libxmljs.parseXml(req.body, { noent: true });
  // ok: vallum.javascript.xxe
  libxmljs.parseXml(req.body, { noent: false });
  // ruleid: vallum.javascript.prototype-pollution
  _.merge(settings, req.body);
  // ruleid: vallum.javascript.prototype-pollution
  table[req.body.a][req.body.b] = 1;
  // ok: vallum.javascript.prototype-pollution
  _.merge(settings, { theme: "dark" });
  // ok: vallum.javascript.prototype-pollution
  settings.theme = req.body.theme;
  // ruleid: vallum.javascript.mass-assignment
  Object.assign(user, req.body);
  // ruleid: vallum.javascript.mass-assignment
  User.create(req.body);
  // ruleid: vallum.javascript.mass-assignment
  const next = { ...user, ...req.body };
  // ok: vallum.javascript.mass-assignment
  User.create({ name: req.body.name });
  // ok: vallum.javascript.mass-assignment
  Object.assign(user, { name: req.body.name });
  // ruleid: vallum.javascript.log-injection
  console.log(`login of ${req.body.name}`);
  // ruleid: vallum.javascript.log-injection
  logger.info("login of " + req.body.name);
  // ok: vallum.javascript.log-injection
  logger.info({ user: req.body.name }, "login");
  // ok: vallum.javascript.log-injection
  console.log(`login of ${JSON.stringify(req.body.name)}`);
  // ruleid: vallum.javascript.regex-from-request
  new RegExp(req.query.q, "i");
  // ok: vallum.javascript.regex-from-request
  new RegExp(_.escapeRegExp(req.query.q), "i");
});
