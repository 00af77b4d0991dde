const https = require("https");
const crypto = require("crypto");
const grpc = require("@grpc/grpc-js");
const axios = require("axios");

// ruleid: vallum.javascript.tls-verification-disabled
const agent = new https.Agent({ rejectUnauthorized: false });
// ruleid: vallum.javascript.tls-verification-disabled
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
// ok: vallum.javascript.tls-verification-disabled
const good = new https.Agent({ ca: fs.readFileSync("/etc/ca.pem") });
// ok: vallum.javascript.tls-verification-disabled
const good2 = new https.Agent({ rejectUnauthorized: true });

// ruleid: vallum.javascript.tls-old-version
https.createServer({ minVersion: "TLSv1" });
// ok: vallum.javascript.tls-old-version
https.createServer({ minVersion: "TLSv1.2" });

// ruleid: vallum.javascript.grpc-insecure-credentials
const client = new Orders("orders:50051", grpc.credentials.createInsecure());
// ruleid: vallum.javascript.grpc-insecure-credentials
server.bindAsync("0.0.0.0:50051", grpc.ServerCredentials.createInsecure(), () => {});
// ok: vallum.javascript.grpc-insecure-credentials
const client2 = new Orders("orders:50051", grpc.credentials.createSsl(ca));

// ruleid: vallum.javascript.credentials-over-http
axios.get("http://payments:8080/charge", { headers: { Authorization: `Bearer ${t}` } });
// ruleid: vallum.javascript.credentials-over-http
fetch(`http://stock/${sku}`, { headers: { "x-api-key": key } });
// ok: vallum.javascript.credentials-over-http
axios.get("https://payments/charge", { headers: { Authorization: t } });
// ok: vallum.javascript.credentials-over-http
axios.get("http://payments/health", { headers: { Accept: "text/plain" } });

// ruleid: vallum.javascript.weak-password-hash, vallum.javascript.weak-hash
const h = crypto.createHash("md5").update(password).digest("hex");
// ruleid: vallum.javascript.weak-password-hash
const h1 = crypto.createHash("sha256").update(salt + user.password).digest("hex");
// ok: vallum.javascript.weak-password-hash
const h2 = crypto.scryptSync(password, salt, 64);
// ruleid: vallum.javascript.weak-hash
const h3 = crypto.createHash("sha1").update(body).digest("hex");
// ok: vallum.javascript.weak-hash
const h4 = crypto.createHash("sha256").update(body).digest("hex");
// ok: vallum.javascript.weak-password-hash
const h5 = crypto.createHash("sha256").update(body).digest("hex");

// ruleid: vallum.javascript.broken-cipher
const c1 = crypto.createCipheriv("des-ede3-cbc", key, iv);
// ruleid: vallum.javascript.broken-cipher
const c2 = crypto.createCipheriv("aes-256-ecb", key, null);
// ok: vallum.javascript.broken-cipher
const c3 = crypto.createCipheriv("aes-256-gcm", key, iv);
// ruleid: vallum.javascript.static-iv
const c4 = crypto.createCipheriv("aes-256-cbc", key, "0123456789abcdef");
// ruleid: vallum.javascript.static-iv
const c5 = crypto.createCipheriv("aes-256-cbc", key, Buffer.alloc(16, 0));
// ok: vallum.javascript.static-iv
const c6 = crypto.createCipheriv("aes-256-cbc", key, crypto.randomBytes(16));

// ruleid: vallum.javascript.weak-random-for-secret
const resetToken = Math.random().toString(36).slice(2);
// ruleid: vallum.javascript.weak-random-for-secret
user.otp = Math.floor(Math.random() * 1000000);
// ok: vallum.javascript.weak-random-for-secret
const token = crypto.randomBytes(32).toString("hex");
// ok: vallum.javascript.weak-random-for-secret
const delay = Math.random() * 100;

// ruleid: vallum.javascript.short-rsa-key
crypto.generateKeyPairSync("rsa", { modulusLength: 1024 });
// ok: vallum.javascript.short-rsa-key
crypto.generateKeyPairSync("rsa", { modulusLength: 3072 });

// ruleid: vallum.javascript.home-made-xor-cipher
const x = text.charCodeAt(i) ^ key.charCodeAt(i % key.length);
// ok: vallum.javascript.home-made-xor-cipher
const y = a ^ b;
