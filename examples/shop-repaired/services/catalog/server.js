// catalog: what the shop sells.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import express from "express";
import { jwtVerify } from "jose";
import { setting } from "./settings.js";

const here = new URL(".", import.meta.url);
const products = JSON.parse(readFileSync(new URL("products.json", here), "utf8"));
const images = new Map(readdirSync(new URL("images/", here)).map((name) => [name, readFileSync(new URL(`images/${name}`, here))]));
const orders = { id: (a, b) => a.id - b.id, name: (a, b) => a.name.localeCompare(b.name), price: (a, b) => a.price - b.price };
const sizes = new Set(["32", "64", "128"]);
const key = new TextEncoder().encode(setting("JWT_KEY"));
const certificate = process.env.TLS_CERTIFICATE; // without it, plain HTTP: where something else encrypts between services

const app = express();
app.disable("x-powered-by");
app.use((request, response, next) => {
  response.set({
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
  });
  if (certificate) response.set("Strict-Transport-Security", "max-age=31536000; includeSubDomains");
  next();
});

const text = (value) => (typeof value === "string" ? value.slice(0, 200) : "");
const contains = (name, words) => name.toLowerCase().includes(words.toLowerCase());
const byNumber = (value) => products.find((p) => String(p.id) === value);
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (value) => value.replace(/[&<>"']/g, (letter) => escapes[letter]);

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function loggedIn(request, response, next) {
  const [scheme, token] = (request.headers.authorization || "").split(" ");
  try {
    if (scheme !== "Bearer") throw new Error("no bearer token");
    response.locals.claims = (await jwtVerify(token, key, { algorithms: ["HS256"], audience: "shop", issuer: "shop-gateway", requiredClaims: ["exp", "sub", "role"] })).payload;
  } catch {
    throw new Refused(401, "log in first");
  }
  next();
}

function administratorsOnly(request, response, next) {
  if (response.locals.claims.role !== "admin") throw new Refused(403, "for administrators only");
  next();
}

app.get("/healthz", (request, response) => response.json({ status: "ok" }));

app.get("/products", (request, response) => {
  const words = text(request.query.q);
  const order = Object.hasOwn(orders, text(request.query.sort)) ? orders[request.query.sort] : orders.id;
  response.json(products.filter((p) => contains(p.name, words)).sort(order));
});

app.get("/products/:id", (request, response) => {
  const product = byNumber(request.params.id);
  if (!product) throw new Refused(404, "no such product");
  response.json(product);
});

app.get("/search", (request, response) => {
  const words = text(request.query.q);
  const items = products.filter((p) => contains(p.name, words)).map((p) => `<li>${escape(p.name)}</li>`);
  const head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Search</title></head>';
  response.type("html").send(`${head}<body><h1>Results for ${escape(words)}</h1><ul>${items.join("")}</ul></body></html>`);
});

app.get("/images", (request, response) => {
  const image = images.get(text(request.query.file));
  if (!image) throw new Refused(404, "no such image");
  response.type("image/svg+xml").send(image);
});

app.get("/thumbnail", (request, response) => {
  if (!sizes.has(text(request.query.size))) throw new Refused(400, "no such size");
  response.json({ output: `resized to ${Number(request.query.size)}` });
});

app.get("/price", (request, response) => {
  const product = byNumber(text(request.query.product));
  const quantity = text(request.query.quantity);
  if (!product || !/^[1-9][0-9]{0,3}$/.test(quantity)) throw new Refused(400, "no such product or quantity");
  response.json({ price: (product.price * Number(quantity)).toFixed(2) });
});

app.get("/voucher", loggedIn, (request, response) => response.json({ code: randomBytes(16).toString("hex") }));

app.get("/admin/stock", loggedIn, administratorsOnly, (request, response) => {
  response.json({ stock: products.reduce((sum, p) => sum + p.stock, 0) });
});

const pages = ["/healthz", "/products", "/products/:id", "/search", "/images", "/thumbnail", "/price", "/voucher", "/admin/stock"];
app.all(pages, (request, response) => response.set("Allow", "GET, HEAD").status(405).json({ error: "no such method here" }));

app.use((request, response) => response.status(404).json({ error: "no such page" }));

app.use((error, request, response, next) => {
  const status = error instanceof Refused ? error.status : error.status >= 400 && error.status < 500 ? 400 : 500;
  if (status === 500) console.error("unexpected", error);
  response.status(status).json({ error: error instanceof Refused ? error.message : "the request cannot be answered" });
});

const port = Number(setting("PORT"));
const host = setting("HOST", "127.0.0.1");

if (certificate) {
  const pair = { cert: readFileSync(certificate), key: readFileSync(setting("TLS_KEY")), minVersion: "TLSv1.2" };
  const callers = { ca: readFileSync(setting("TLS_AUTHORITIES")), requestCert: true, rejectUnauthorized: true };
  https.createServer({ ...pair, ...callers }, app).listen(port, host);
} else {
  http.createServer(app).listen(port, host);
}

if (process.env.PLAIN_PORT) {
  const away = express();
  away.disable("x-powered-by");
  away.use((request, response) => response.redirect(308, `https://${host}:${port}/`));
  http.createServer(away).listen(Number(process.env.PLAIN_PORT), host);
}
