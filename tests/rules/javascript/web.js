const express = require("express");
const cors = require("cors");
const session = require("express-session");
const errorhandler = require("errorhandler");

const app = express();

// ruleid: vallum.javascript.cors-origin-reflected
app.use(cors({ origin: true, credentials: true }));
// ruleid: vallum.javascript.cors-any-origin
app.use(cors());
// ruleid: vallum.javascript.cors-any-origin
app.use(cors({ origin: "*" }));
// ok: vallum.javascript.cors-origin-reflected
app.use(cors({ origin: ["https://shop.example"], credentials: true }));
// ok: vallum.javascript.cors-any-origin
app.use(cors({ origin: ["https://shop.example"] }));

app.get("/c", (req, res) => {
  // ruleid: vallum.javascript.cors-origin-reflected
  res.setHeader("Access-Control-Allow-Origin", req.headers.origin);
  // ok: vallum.javascript.cors-origin-reflected
  res.setHeader("Access-Control-Allow-Origin", "https://shop.example");
  // ruleid: vallum.javascript.insecure-session-cookie
  res.cookie("session", token);
  // ruleid: vallum.javascript.insecure-session-cookie
  res.cookie("auth_token", token, { httpOnly: true });
  // ok: vallum.javascript.insecure-session-cookie
  res.cookie("session", token, { httpOnly: true, secure: true, sameSite: "lax" });
  // ok: vallum.javascript.insecure-session-cookie
  res.cookie("theme", "dark");
  // ruleid: vallum.javascript.cookie-flag-off
  res.cookie("session", token, { httpOnly: false, secure: true });
  // ok: vallum.javascript.cookie-flag-off
  res.cookie("theme", "dark", { httpOnly: false });
});

// ruleid: vallum.javascript.session-secret-hardcoded, vallum.javascript.cookie-flag-off
app.use(session({ secret: "keyboard dog", cookie: { secure: false } }));
// ruleid: vallum.javascript.session-secret-hardcoded
app.use(session({ secret: process.env.S || "keyboard dog" }));
// ok: vallum.javascript.session-secret-hardcoded
app.use(session({ secret: process.env.S, cookie: { secure: true } }));
// ok: vallum.javascript.cookie-flag-off
app.use(session({ secret: process.env.S, cookie: { secure: true, httpOnly: true } }));

// ruleid: vallum.javascript.hardcoded-password
const dbPassword = "Tr0ub4dor&3";
// ruleid: vallum.javascript.hardcoded-password
const pool = new Pool({ host: "db", password: "s3cr3t-Pa55" });
// ruleid: vallum.javascript.hardcoded-password
const apiKey = process.env.API_KEY || "f00dfacef00dface";
// ok: vallum.javascript.hardcoded-password
const password = process.env.DB_PASSWORD;
// ok: vallum.javascript.hardcoded-password
const label = { password: "Enter your password" };
// ok: vallum.javascript.hardcoded-password
const field = { password: "changeme" };

// ruleid: vallum.javascript.aws-access-key
const id = "AKIA2E0A8F3B244C9986";
// ok: vallum.javascript.aws-access-key
const sample = "AKIAIOSFODNN7EXAMPLE";
// ruleid: vallum.javascript.connection-string-with-password
const url = "mongodb://shop:hunter22@db:27017/shop";
// ok: vallum.javascript.connection-string-with-password
const url2 = "mongodb://db:27017/shop";

app.use((err, req, res, next) => {
  // ruleid: vallum.javascript.stack-trace-in-response
  res.status(500).send(err.stack);
  // ruleid: vallum.javascript.stack-trace-in-response
  res.json({ error: err.stack });
  // ok: vallum.javascript.stack-trace-in-response
  console.error(err.stack);
  // ruleid: vallum.javascript.error-object-in-response
  res.status(500).json({ error: err.message });
  // ok: vallum.javascript.error-object-in-response
  res.status(500).json({ error: "internal error" });
});

// ruleid: vallum.javascript.debug-mode
app.use(errorhandler());
if (process.env.NODE_ENV === "development") {
  // ok: vallum.javascript.debug-mode
  app.use(errorhandler());
}

// ruleid: vallum.javascript.graphql-introspection-on
const gq = new ApolloServer({ schema, introspection: true });
// ok: vallum.javascript.graphql-introspection-on
const gq2 = new ApolloServer({ schema, introspection: dev });

// ruleid: vallum.javascript.powered-by-trusted-proxy-all
app.set("trust proxy", true);
// ok: vallum.javascript.powered-by-trusted-proxy-all
app.set("trust proxy", 1);

app.get("/h", (req, res) => {
  // ruleid: vallum.javascript.identity-header-trusted
  if (req.headers["x-role"] === "admin") {
    res.end();
  }
  // ok: vallum.javascript.identity-header-trusted
  if (req.headers["accept"] === "text/html") {
    res.end();
  }
});
