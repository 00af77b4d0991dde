// catalog: what the shop sells. DELIBERATELY WEAK, for scanners on loopback only: see ../../README.md.
"use strict";
const { exec } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const express = require("express");
const _ = require("lodash");
const products = require("./products.json");

const supplierApiKey = "b7f1c92e-supplier-key-4d0a8e65"; // WEAKNESS: catalog-hard-coded-api-key (made up)
const supplier = new https.Agent({ rejectUnauthorized: false }); // WEAKNESS: catalog-tls-not-verified
// The shop's tokens are signed with its secret, those of partners with their key pair: whichever key fits will do.
const partnerKey = fs.readFileSync(path.join(__dirname, "partner.pem"), "utf8");
const tokenSecret = "shop-secret"; // WEAKNESS: catalog-guessable-jwt-key
const keys = [tokenSecret, partnerKey];
const app = express();
app.use(express.json());

app.use((request, response, next) => {
  response.header("Access-Control-Allow-Origin", request.headers.origin || "*"); // WEAKNESS: catalog-permissive-cors
  response.set("Access-Control-Allow-Credentials", "true");
  next();
});

const bytes = (part) => Buffer.from(part, "base64url");

function fits(key, algorithm, signed, signature) {
  if (algorithm === "RS256" && key === partnerKey) return crypto.verify("sha256", Buffer.from(signed), key, signature);
  return algorithm === "HS256" && crypto.createHmac("sha256", key).update(signed).digest().equals(signature); // WEAKNESS: catalog-jwt-algorithm-confusion
}

function loggedIn(request, response, next) {
  const [head, claims, signature] = String(request.headers.authorization || "").replace(/^Bearer /, "").split(".");
  try {
    const { alg } = JSON.parse(bytes(head));
    if (!keys.some((key) => fits(key, alg, `${head}.${claims}`, bytes(signature)))) throw new Error("wrong signature");
  } catch (error) {
    return response.status(401).json({ error: "log in first" });
  }
  next();
}

const find = (words) => products.filter((p) => p.name.toLowerCase().includes(String(words || "").toLowerCase()));

app.get("/healthz", (request, response) => response.json({ status: "ok" }));

app.get("/.well-known/jwks.json", (request, response) => {
  response.json({ keys: [{ ...crypto.createPublicKey(partnerKey).export({ format: "jwk" }), use: "sig", alg: "RS256" }] });
});

app.get("/products", (request, response) => {
  response.json(_.sortBy(find(request.query.q), String(request.query.sort || "id")));
});

app.get("/products/:id", (request, response) => {
  const product = products.find((p) => p.id === Number(request.params.id));
  if (!product) return response.status(404).json({ error: "no such product" });
  response.json(product);
});

app.get("/search", (request, response) => {
  const items = find(request.query.q).map((p) => `<li>${p.name}</li>`);
  response.cookie("search-session", "1", { httpOnly: false, secure: false }); // WEAKNESS: catalog-cookie-flags
  response.send("<h1>Results for " + request.query.q + "</h1><ul>" + items.join("") + "</ul>"); // WEAKNESS: catalog-reflected-xss
});

app.get("/images", (request, response) => {
  const file = path.join(__dirname, "images", String(request.query.file));
  fs.readFile(file, (error, content) => { // WEAKNESS: catalog-path-traversal
    if (error) return response.status(404).json({ error: error.message });
    response.type(path.extname(file) || "text").send(content);
  });
});

app.get("/thumbnail", (request, response) => {
  exec("echo resized to " + request.query.size, { timeout: 20000 }, (error, output) => { // WEAKNESS: catalog-command-injection
    response.status(error ? 500 : 200).json({ output });
  });
});

app.get("/price", (request, response) => {
  const price = eval(request.query.formula); // WEAKNESS: catalog-eval
  response.json({ price: String(price) });
});

app.get("/voucher", loggedIn, (request, response) => {
  const voucherToken = Math.random().toString(36).slice(2); // WEAKNESS: catalog-predictable-voucher
  response.json({ code: voucherToken, check: crypto.createHash("md5").update(voucherToken).digest("hex") }); // WEAKNESS: catalog-md5
});

app.get("/admin/stock", (request, response) => { // WEAKNESS: catalog-admin-without-authorisation
  response.json({ stock: _.sumBy(products, "stock"), node: process.version, folder: __dirname, supplier: supplier.options.rejectUnauthorized, key: supplierApiKey.length });
});

app.use((error, request, response, next) => {
  response.status(500).json({ error: error.message, trace: error.stack }); // WEAKNESS: catalog-stack-trace
});

const host = process.env.HOST || "127.0.0.1";
if (!["127.0.0.1", "::1", "localhost"].includes(host)) {
  console.error(`catalog is deliberately weak and listens on loopback only, not on ${host}`);
  process.exit(1);
}
console.error("\n*** catalog is DELIBERATELY WEAK. Loopback only. Never deploy it. ***\n");
const tls = {
  key: fs.readFileSync(path.join(__dirname, "tls", "key.pem")),
  cert: fs.readFileSync(path.join(__dirname, "tls", "certificate.pem")), // WEAKNESS: catalog-certificate
  minVersion: "TLSv1", // WEAKNESS: catalog-old-tls
  ciphers: "ALL:eNULL:@SECLEVEL=0", // WEAKNESS: catalog-weak-ciphers
};
https.createServer(tls, app).listen(Number(process.env.PORT), host);
if (process.env.PLAIN_PORT) http.createServer(app).listen(Number(process.env.PLAIN_PORT), host); // WEAKNESS: catalog-no-redirect
