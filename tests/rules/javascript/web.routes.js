const express = require("express");
const rateLimit = require("express-rate-limit");

const app = express();
app.use(express.json());
const limiter = rateLimit({ max: 5 });

app.get("/orders", requireAuth, (req, res) => {
  res.json([]);
});

// ok: vallum.javascript.express-route-without-auth
app.post("/orders", requireAuth, (req, res) => {
  res.json({});
});

// ruleid: vallum.javascript.express-route-without-auth
app.delete("/orders/:id", (req, res) => {
  res.json({});
});

// ruleid: vallum.javascript.login-without-rate-limit
app.post("/login", (req, res) => {
  res.json({});
});

// ok: vallum.javascript.login-without-rate-limit
app.post("/token", limiter, (req, res) => {
  res.json({});
});

// ruleid: vallum.javascript.admin-route-without-guard
app.get("/admin/users", (req, res) => {
  res.json(dump());
});

// ok: vallum.javascript.admin-route-without-guard
app.get("/admin/stats", requireAdmin, (req, res) => {
  res.json({});
});
