const express = require("express");

const app = express();
app.use(express.json());
app.use(requireAuth);

// ok: vallum.javascript.admin-route-without-guard
app.get("/admin/users", (req, res) => {
  res.json(dump());
});

// ok: vallum.javascript.express-route-without-auth
app.post("/orders", (req, res) => {
  res.json({});
});
