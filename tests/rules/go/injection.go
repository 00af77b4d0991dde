package shop

import (
	"database/sql"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/gin-gonic/gin"
	"go.mongodb.org/mongo-driver/bson"
)

func orders(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	// ruleid: vallum.go.sql-injection
	db.Query("SELECT * FROM orders WHERE id = '" + id + "'")
	q := fmt.Sprintf("SELECT * FROM orders WHERE owner = '%s'", r.FormValue("owner"))
	// ruleid: vallum.go.sql-injection
	db.QueryRowContext(ctx, q)
	// ok: vallum.go.sql-injection
	db.Query("SELECT * FROM orders WHERE id = $1", id)
	n, err := strconv.Atoi(r.FormValue("n"))
	// ok: vallum.go.sql-injection
	db.Query(fmt.Sprintf("SELECT * FROM orders LIMIT %d", n))
	// ruleid: vallum.go.os-command-injection
	exec.Command("sh", "-c", "ping "+id).Run()
	// ruleid: vallum.go.os-command-injection
	exec.Command(r.FormValue("tool")).Run()
	// ok: vallum.go.os-command-injection
	exec.Command("ping", "-c1", "--", id).Run()
	// ruleid: vallum.go.path-traversal
	os.ReadFile("/data/" + id)
	// ruleid: vallum.go.path-traversal
	http.ServeFile(w, r, filepath.Join("/data", id))
	// ok: vallum.go.path-traversal
	os.ReadFile(filepath.Join("/data", filepath.Base(id)))
	// ruleid: vallum.go.ssrf
	http.Get(r.FormValue("url"))
	// ruleid: vallum.go.ssrf
	http.NewRequest("GET", "http://"+id+"/x", nil)
	// ok: vallum.go.ssrf
	http.Get("https://catalog.internal/items/" + id)
	// ruleid: vallum.go.open-redirect
	http.Redirect(w, r, r.FormValue("next"), http.StatusFound)
	// ok: vallum.go.open-redirect
	http.Redirect(w, r, "/items/"+id, http.StatusFound)
	// ruleid: vallum.go.reflected-xss
	fmt.Fprintf(w, "<h1>%s</h1>", id)
	// ok: vallum.go.reflected-xss
	fmt.Fprintf(w, "<h1>%s</h1>", html.EscapeString(id))
	// ok: vallum.go.reflected-xss
	fmt.Fprintf(w, "id %s", id)
	// ruleid: vallum.go.reflected-xss
	v := template.HTML(id)
	// ruleid: vallum.go.template-injection
	template.New("x").Parse(id)
	// ok: vallum.go.template-injection
	template.New("x").Parse("<p>{{.}}</p>")
	// ruleid: vallum.go.nosql-injection
	f := bson.M{"$where": "this.name == '" + id + "'"}
	// ok: vallum.go.nosql-injection
	g := bson.M{"name": id}
	use(v, f, g, n, err)
}

func ginOrders(c *gin.Context) {
	// ruleid: vallum.go.sql-injection
	db.Exec("DELETE FROM orders WHERE id = " + c.Param("id"))
	// ok: vallum.go.sql-injection
	db.Exec("DELETE FROM orders WHERE id = ?", c.Param("id"))
	// ruleid: vallum.go.open-redirect
	c.Redirect(302, c.Query("next"))
}

func byName(db *sql.DB, name string) {
	// ruleid: vallum.go.sql-built-from-parameter
	db.Query("SELECT * FROM users WHERE name = '" + name + "'")
	q := fmt.Sprintf("SELECT * FROM users WHERE name = '%s'", name)
	// ruleid: vallum.go.sql-built-from-parameter
	db.Exec(q)
	// ok: vallum.go.sql-built-from-parameter
	db.Query("SELECT * FROM users WHERE name = ?", name)
}
