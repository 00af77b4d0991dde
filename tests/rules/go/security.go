package shop

import (
	"crypto/des"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"math/rand"
	"net/http"
	// ruleid: vallum.go.debug-mode
	_ "net/http/pprof"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
)

// ruleid: vallum.go.hardcoded-password
var dbPassword = "Tr0ub4dor&3"

// ok: vallum.go.hardcoded-password
var dbPasswordFromEnv = os.Getenv("DB_PASSWORD")

// ok: vallum.go.hardcoded-password
const passwordField = "hunter2222"

// ruleid: vallum.go.connection-string-with-password
var dsn = "postgres://shop:hunter22@db:5432/shop"

// ok: vallum.go.connection-string-with-password
var dsn2 = "postgres://shop@db:5432/shop"

func setup(w http.ResponseWriter, r *http.Request, password string) {
	// ruleid: vallum.go.tls-verification-disabled
	a := &tls.Config{InsecureSkipVerify: true}
	// ok: vallum.go.tls-verification-disabled
	b := &tls.Config{RootCAs: pool}
	// ruleid: vallum.go.tls-old-version
	c := &tls.Config{MinVersion: tls.VersionTLS10}
	// ok: vallum.go.tls-old-version
	d := &tls.Config{MinVersion: tls.VersionTLS12}
	// ruleid: vallum.go.grpc-insecure-credentials
	grpc.NewClient("orders:50051", grpc.WithTransportCredentials(insecure.NewCredentials()))
	// ok: vallum.go.grpc-insecure-credentials
	grpc.NewClient("orders:50051", grpc.WithTransportCredentials(credentials.NewTLS(b)))
	// ruleid: vallum.go.grpc-server-without-tls
	s := grpc.NewServer()
	// ok: vallum.go.grpc-server-without-tls
	s2 := grpc.NewServer(grpc.Creds(credentials.NewTLS(b)))
	// ruleid: vallum.go.ssh-host-key-not-checked
	h := ssh.InsecureIgnoreHostKey()
	// ok: vallum.go.ssh-host-key-not-checked
	h2 := ssh.FixedHostKey(key)
	// ruleid: vallum.go.jwt-none-algorithm
	t := jwt.NewWithClaims(jwt.SigningMethodNone, claims)
	// ok: vallum.go.jwt-none-algorithm
	t2 := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	// ruleid: vallum.go.jwt-verification-disabled
	jwt.NewParser().ParseUnverified(raw, claims)
	// ok: vallum.go.jwt-verification-disabled
	jwt.NewParser().ParseWithClaims(raw, claims, keys)
	// ruleid: vallum.go.jwt-hardcoded-key
	t2.SignedString([]byte("not-a-secret-any-more"))
	// ok: vallum.go.jwt-hardcoded-key
	t2.SignedString(key)
	// ruleid: vallum.go.jwt-algorithms-not-fixed
	jwt.Parse(raw, func(t *jwt.Token) (any, error) { return key, nil })
	// ok: vallum.go.jwt-algorithms-not-fixed
	jwt.Parse(raw, func(t *jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods(methods))
	// ruleid: vallum.go.weak-hash, vallum.go.weak-password-hash
	m := md5.Sum([]byte(password))
	// ok: vallum.go.weak-hash
	// ok: vallum.go.weak-password-hash
	m2 := sha256.Sum256([]byte(body))
	// ruleid: vallum.go.weak-password-hash
	m3 := sha256.Sum256([]byte(password))
	// ruleid: vallum.go.broken-cipher
	e, _ := des.NewCipher(key)
	// ok: vallum.go.broken-cipher
	e2, _ := aes.NewCipher(key)
	// ruleid: vallum.go.short-rsa-key
	k, _ := rsa.GenerateKey(reader, 1024)
	// ok: vallum.go.short-rsa-key
	k2, _ := rsa.GenerateKey(reader, 3072)
	// ruleid: vallum.go.weak-random-for-secret
	resetToken := rand.Intn(1000000)
	// ok: vallum.go.weak-random-for-secret
	delay := rand.Intn(1000)
	// ruleid: vallum.go.cors-wildcard-with-credentials
	o := cors.Config{AllowAllOrigins: true, AllowCredentials: true}
	// ruleid: vallum.go.cors-wildcard-with-credentials
	w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	// ok: vallum.go.cors-wildcard-with-credentials
	o2 := cors.Config{AllowOrigins: origins, AllowCredentials: true}
	// ruleid: vallum.go.cors-any-origin
	w.Header().Set("Access-Control-Allow-Origin", "*")
	// ok: vallum.go.cors-any-origin
	w.Header().Set("Access-Control-Allow-Origin", "https://shop.example")
	// ruleid: vallum.go.insecure-session-cookie
	http.SetCookie(w, &http.Cookie{Name: "session", Value: v})
	// ok: vallum.go.insecure-session-cookie
	http.SetCookie(w, &http.Cookie{Name: "session", Value: v, Secure: true, HttpOnly: true})
	// ruleid: vallum.go.debug-mode
	gin.SetMode(gin.DebugMode)
	// ok: vallum.go.debug-mode
	gin.SetMode(gin.ReleaseMode)
	// ruleid: vallum.go.error-text-in-response
	http.Error(w, err.Error(), http.StatusInternalServerError)
	// ok: vallum.go.error-text-in-response
	http.Error(w, "internal error", http.StatusInternalServerError)
	// ruleid: vallum.go.server-without-timeouts
	http.ListenAndServe(":8080", nil)
	srv := &http.Server{Addr: ":8080", ReadHeaderTimeout: limit}
	// ok: vallum.go.server-without-timeouts
	srv.ListenAndServe()
}
