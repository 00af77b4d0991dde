const jwt = require("jsonwebtoken");
const { expressjwt } = require("express-jwt");

const SECRET = "not-a-secret-any-more";
const LATE = process.env.JWT_SECRET || "fallback-key";
const KEY = process.env.JWT_KEY;

function read(req, token) {
  // ruleid: vallum.javascript.jwt-none-algorithm
  jwt.verify(token, KEY, { algorithms: ["HS256", "none"] });
  // ruleid: vallum.javascript.jwt-none-algorithm
  jwt.sign({ a: 1 }, "", { algorithm: "none" });
  // ok: vallum.javascript.jwt-none-algorithm
  jwt.verify(token, KEY, { algorithms: ["RS256"] });
  // ok: vallum.javascript.jwt-none-algorithm
  jwt.sign({ a: 1 }, KEY, { algorithm: "RS256" });
  // ruleid: vallum.javascript.jwt-hardcoded-key
  jwt.sign({ a: 1 }, "not-a-secret-any-more", { expiresIn: "1h" });
  // ruleid: vallum.javascript.jwt-hardcoded-key
  jwt.verify(token, SECRET, { algorithms: ["HS256"] });
  // ruleid: vallum.javascript.jwt-hardcoded-key
  jwt.verify(token, LATE, { algorithms: ["HS256"] });
  // ok: vallum.javascript.jwt-hardcoded-key
  jwt.verify(token, KEY, { algorithms: ["RS256"] });
  // ok: vallum.javascript.jwt-hardcoded-key
  jwt.sign({ a: 1 }, process.env.JWT_KEY);
  // ruleid: vallum.javascript.jwt-algorithms-not-fixed
  jwt.verify(token, KEY);
  // ruleid: vallum.javascript.jwt-algorithms-not-fixed
  jwt.verify(token, KEY, { audience: "orders" });
  // ok: vallum.javascript.jwt-algorithms-not-fixed
  jwt.verify(token, KEY, { algorithms: ["RS256"], audience: "orders" });
  // ok: vallum.javascript.jwt-algorithms-not-fixed
  signature.verify(token, KEY);
  // ruleid: vallum.javascript.jwt-expiry-not-checked
  jwt.verify(token, KEY, { algorithms: ["RS256"], ignoreExpiration: true });
  // ok: vallum.javascript.jwt-expiry-not-checked
  jwt.verify(token, KEY, { algorithms: ["RS256"], ignoreExpiration: false });
}

function auth(req, res, next) {
  const token = req.headers.authorization.slice(7);
  // ruleid: vallum.javascript.jwt-verification-disabled, vallum.javascript.jwt-decoded-not-verified
  req.user = jwt.decode(token);
  next();
}

function auth2(req, res, next) {
  // ruleid: vallum.javascript.jwt-verification-disabled, vallum.javascript.jwt-decoded-not-verified
  const claims = jwt.decode(req.token);
  req.user = claims.sub;
  next();
}

function auth3(req, res, next) {
  // ok: vallum.javascript.jwt-verification-disabled
  req.user = jwt.verify(req.token, KEY, { algorithms: ["RS256"] });
  // ok: vallum.javascript.jwt-decoded-not-verified
  const kid = jwt.decode(req.token, { complete: true }).header.kid;
  // ruleid: vallum.javascript.jwt-verification-disabled
  req.user = JSON.parse(Buffer.from(req.token.split(".")[1], "base64url").toString());
  next(kid);
}
