import asyncio
import ast
import html
import logging
import os
import re
import shlex
import socket
import subprocess
import tarfile
import uuid
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import django.db
import flask
import grpc
import httpx
import jinja2
import ldap3
import requests
from fastapi import Depends, FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from flask import make_response, redirect, render_template_string, request, send_file
from markupsafe import escape
from sqlalchemy import select, text
from werkzeug.utils import secure_filename

app = flask.Flask(__name__)
api = FastAPI()
log = logging.getLogger(__name__)
SORT_COLUMNS = {"name": "name", "price": "price"}
CATALOG_URL = os.environ["CATALOG_URL"]


@app.route("/orders")
def orders():
    oid = request.args.get("id")
    cur = db.cursor()
    # ruleid: vallum.python.sql-injection
    cur.execute(f"SELECT * FROM orders WHERE id = '{oid}'")
    # ruleid: vallum.python.sql-text-from-request
    query = "SELECT * FROM orders WHERE owner = '%s'" % request.form["owner"]
    # ruleid: vallum.python.sql-injection
    cur.execute(query)
    # ok: vallum.python.sql-injection
    cur.execute("SELECT * FROM orders WHERE id = %s", (oid,))
    number = int(request.args["n"])
    # ok: vallum.python.sql-injection
    cur.execute(f"SELECT * FROM orders LIMIT {number}")
    column = SORT_COLUMNS.get(request.args.get("sort"), "name")
    # ok: vallum.python.sql-injection
    cur.execute(f"SELECT * FROM orders ORDER BY {column}")
    # ok: vallum.python.sql-injection
    session.execute(select(Order).where(Order.id == oid))
    descending = request.args.get("descending") == "1"
    # ok: vallum.python.sql-injection
    cur.execute(f"SELECT * FROM orders WHERE descending = {descending}")
    key = uuid.UUID(oid)
    # ok: vallum.python.sql-injection
    cur.execute("SELECT * FROM orders WHERE key = '" + str(key) + "'")
    direction = request.args["dir"]
    if direction not in ("asc", "desc"):
        raise ValueError("dir")
    # ok: vallum.python.sql-injection
    cur.execute("SELECT * FROM orders ORDER BY id " + direction)
    return "done"


@api.get("/items/{name}")
async def items(name: str, limit: int, q: str = "", db=Depends(get_db)):
    # ruleid: vallum.python.sql-injection
    await db.execute(text("SELECT * FROM items WHERE name = '" + name + "'"))
    # ruleid: vallum.python.sql-injection
    await db.execute(text(f"SELECT * FROM items WHERE label LIKE '%{q}%'"))
    # ok: vallum.python.sql-injection
    await db.execute(text(f"SELECT * FROM items LIMIT {limit}"))
    # ok: vallum.python.sql-injection
    await db.execute(text("SELECT * FROM items WHERE name = :n"), {"n": name})


@app.route("/u/<uid>")
def user_page(uid):
    # ruleid: vallum.python.sql-injection
    User.objects.raw("SELECT * FROM users WHERE id = " + uid)


@app.route("/v/<int:uid>")
def number_page(uid):
    # ok: vallum.python.sql-injection
    User.objects.raw("SELECT * FROM users WHERE id = %d" % uid)


class Stock(StockServicer):
    def Find(self, request, context):
        # ruleid: vallum.python.sql-injection
        self.db.execute("SELECT * FROM stock WHERE sku = '" + request.sku + "'")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        term = parse_qs(urlparse(self.path).query)["q"][0]
        # ruleid: vallum.python.sql-injection
        conn.execute("SELECT * FROM t WHERE x = '%s'" % term)
        # ruleid: vallum.python.header-injection
        self.send_header("X-Term", term)
        # ok: vallum.python.header-injection
        self.send_header("X-Length", str(len(term)))
        # ok: vallum.python.header-injection
        self.send_header("Content-Type", "text/plain")


@app.route("/wrapped")
def wrapped():
    words = request.args.get("q", "")
    # ruleid: vallum.python.sql-text-from-request
    statement = f"SELECT * FROM users WHERE name LIKE '%{words}%' OR mail LIKE '%{words}%'"
    # ruleid: vallum.python.sql-text-from-request
    other = "DELETE FROM users WHERE name = '" + words + "'"
    # ok: vallum.python.sql-text-from-request
    note = f"Please select {words} from the menu"
    # ok: vallum.python.sql-text-from-request
    rows("SELECT * FROM users WHERE name = ?", (words,))
    return rows(statement, other, note)


def find_by_name(conn, name):
    # ruleid: vallum.python.sql-built-from-parameter
    return conn.execute("SELECT * FROM users WHERE name = '" + name + "'").fetchone()


def find_by_mail(cursor, mail: str):
    sql = f"SELECT * FROM users WHERE mail = '{mail}'"
    # ruleid: vallum.python.sql-built-from-parameter
    cursor.execute(sql)


def find_safely(conn, name):
    # ok: vallum.python.sql-built-from-parameter
    return conn.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()


def run_statement(conn, statement):
    # ok: vallum.python.sql-built-from-parameter
    return conn.execute(statement)


def page(conn, size: int):
    # ok: vallum.python.sql-built-from-parameter
    return conn.execute(f"SELECT * FROM users LIMIT {size}")


@app.route("/ping")
def ping():
    host = request.args["host"]
    # ruleid: vallum.python.os-command-injection, vallum.python.shell-true-with-variable
    os.system("ping -c 1 " + host)
    # ruleid: vallum.python.os-command-injection, vallum.python.shell-true-with-variable
    subprocess.check_output(f"nslookup {host}", shell=True)
    # ruleid: vallum.python.os-command-injection
    subprocess.run(["sh", "-c", "ping " + host])
    # ok: vallum.python.os-command-injection
    subprocess.run(["ping", "-c", "1", "--", host], check=False)
    # ok: vallum.python.os-command-injection
    subprocess.run("ping " + shlex.quote(host), shell=True)
    # ok: vallum.python.os-command-injection
    os.system("uptime")
    # ruleid: vallum.python.argument-injection
    subprocess.run([request.args["tool"], "--version"])
    # ruleid: vallum.python.argument-injection
    subprocess.Popen(request.json["argv"])
    # ok: vallum.python.argument-injection
    subprocess.run(["ping", host])


def backup(name):
    # ruleid: vallum.python.shell-true-with-variable
    subprocess.run(f"tar czf {name}.tgz data", shell=True)
    # ruleid: vallum.python.shell-true-with-variable
    os.system("rm -r " + name)
    # ok: vallum.python.shell-true-with-variable
    subprocess.run(["tar", "czf", f"{name}.tgz", "data"])
    # ok: vallum.python.shell-true-with-variable
    os.system(f"ls {shlex.quote(name)}")


@app.post("/calc")
def calc():
    # ruleid: vallum.python.code-injection, vallum.python.dynamic-eval
    result = eval(request.json["expr"])
    # ruleid: vallum.python.code-injection
    exec(request.get_data())
    # ok: vallum.python.code-injection
    value = ast.literal_eval(request.json["value"])
    # ok: vallum.python.code-injection
    eval("1 + 1")
    return {"r": result, "v": value}


def formula(expr):
    # ruleid: vallum.python.dynamic-eval
    eval(expr)
    # ruleid: vallum.python.dynamic-eval
    eval(expr, {})
    # ok: vallum.python.dynamic-eval
    eval("2 * 21")
    # ok: vallum.python.dynamic-eval
    model.eval()


@app.get("/hello")
def hello():
    name = request.args.get("name", "")
    # ruleid: vallum.python.template-injection
    render_template_string("<h1>Hello " + name + "</h1>")
    # ruleid: vallum.python.template-injection
    jinja2.Template(name).render()
    # ok: vallum.python.template-injection
    render_template_string("<h1>Hello {{ name }}</h1>", name=name)
    # ok: vallum.python.template-injection
    jinja2.Template("Hello {{ n }}").render(n=name)


@app.get("/file")
def files():
    name = request.args["name"]
    # ruleid: vallum.python.path-traversal
    with open("/data/" + name) as f:
        f.read()
    # ruleid: vallum.python.path-traversal
    send_file(os.path.join("/data", name))
    p = Path("/data") / name
    # ruleid: vallum.python.path-traversal
    p.read_text()
    # ok: vallum.python.path-traversal
    open("/data/" + secure_filename(name))
    # ok: vallum.python.path-traversal
    open(os.path.join("/data", os.path.basename(name)))
    # ok: vallum.python.path-traversal
    open("/data/index.json")
    q = (Path("/data") / request.args["q"]).resolve()
    if not q.is_relative_to("/data"):
        flask.abort(404)
    # ok: vallum.python.path-traversal
    q.read_text()


@api.get("/download/{path}")
def download(path: str):
    # ruleid: vallum.python.path-traversal
    return FileResponse("/srv/" + path)


@api.get("/label")
def label(filename: str):
    # ruleid: vallum.python.header-injection
    return Response("x", headers={"Content-Disposition": f"attachment; filename={filename}"})


def unpack(f, g):
    with tarfile.open(fileobj=f) as t:
        # ruleid: vallum.python.archive-extraction-traversal
        t.extractall("/data")
    with tarfile.open(fileobj=f) as t:
        # ok: vallum.python.archive-extraction-traversal
        t.extractall("/data", filter="data")
    with zipfile.ZipFile(g) as z:
        # ok: vallum.python.archive-extraction-traversal
        z.extractall("/data")


@app.post("/fetch")
def fetch():
    url = request.json["url"]
    # ruleid: vallum.python.ssrf
    requests.get(url, timeout=3)
    # ruleid: vallum.python.ssrf
    httpx.post(f"http://{request.args['host']}/hook")
    sku = request.args["sku"]
    # ok: vallum.python.ssrf
    requests.get("https://catalog.internal/items", params={"sku": sku}, timeout=3)
    # ok: vallum.python.ssrf
    requests.get(f"{CATALOG_URL}/items/{sku}", timeout=3)
    # ok: vallum.python.ssrf
    requests.get(f"https://catalog.internal/items/{sku}", timeout=3)
    if url not in ALLOWED_URLS:
        flask.abort(400)
    # ok: vallum.python.ssrf
    requests.get(url, timeout=3)


@api.get("/proxy")
async def proxy(target: str):
    async with httpx.AsyncClient() as client:
        # ruleid: vallum.python.ssrf
        return (await client.get(target)).json()


@api.get("/lookup")
async def lookup(key: str):
    # ok: vallum.python.ssrf
    return cache.get(key)


@app.get("/go")
def go():
    # ruleid: vallum.python.open-redirect
    redirect(request.args.get("next"))
    target = request.args["to"]
    # ruleid: vallum.python.open-redirect
    RedirectResponse(url=target)
    # ok: vallum.python.open-redirect
    redirect(flask.url_for("home", q=target))
    # ok: vallum.python.open-redirect
    redirect(f"/items/{target}")
    nxt = request.args["n"]
    if not is_safe_url(nxt):
        flask.abort(400)
    # ok: vallum.python.open-redirect
    return redirect(nxt)


@app.route("/search")
def search():
    q = request.args.get("q")
    # ruleid: vallum.python.reflected-xss
    make_response("<b>" + q + "</b>")
    # ruleid: vallum.python.reflected-xss
    HTMLResponse(f"<p>{q}</p>")
    # ok: vallum.python.reflected-xss
    make_response("<b>" + escape(q) + "</b>")
    # ok: vallum.python.reflected-xss
    flask.render_template("search.html", q=q)
    # ruleid: vallum.python.reflected-xss
    return f"<h1>Results for {q}</h1>"


@app.route("/search2")
def search2():
    q = html.escape(request.args.get("q"))
    # ok: vallum.python.reflected-xss
    return f"<h1>Results for {q}</h1>"


@app.route("/search3")
def search3():
    # ok: vallum.python.reflected-xss
    return {"q": request.args.get("q")}


@app.route("/log")
def logs():
    user = request.args["user"]
    # ruleid: vallum.python.log-injection
    log.info(f"login of {user}")
    # ruleid: vallum.python.log-injection
    logging.warning("failed login of %s" % user)
    # ok: vallum.python.log-injection
    log.info("login of %r", user)
    # ok: vallum.python.log-injection
    log.info(f"login of {user!r}")


@app.post("/mongo")
def mongo():
    body = request.get_json()
    # ruleid: vallum.python.nosql-injection
    db.users.find_one({"name": body["name"], "password": body["password"]})
    # ruleid: vallum.python.nosql-injection
    db.users.find(body)
    # ok: vallum.python.nosql-injection
    db.users.find_one({"name": str(body["name"])})
    # ok: vallum.python.nosql-injection
    db.users.find_one({"active": True})
    # ruleid: vallum.python.nosql-where
    db.users.find({"$where": "this.name == '" + str(body["name"]) + "'"})
    # ruleid: vallum.python.nosql-where
    db.users.find({"a": 1, "$where": code})
    # ok: vallum.python.nosql-where
    db.users.find({"$where": "this.a == this.b"})
    # ok: vallum.python.nosql-where
    db.users.find({"$expr": {"$eq": ["$a", "$b"]}})


@app.post("/ldap")
def ldap_login():
    uid = request.form["uid"]
    # ruleid: vallum.python.ldap-injection
    conn.search("dc=x", search_filter=f"(uid={uid})")
    # ruleid: vallum.python.ldap-injection
    conn.search_s("dc=x", ldap.SCOPE_SUBTREE, "(uid=" + uid + ")")
    # ok: vallum.python.ldap-injection
    conn.search("dc=x", search_filter="(uid=" + ldap3.utils.conv.escape_filter_chars(uid) + ")")
    # ok: vallum.python.ldap-injection
    conn.search("dc=x", search_filter="(objectClass=*)")


@app.get("/re")
def regexes():
    # ruleid: vallum.python.regex-from-request
    re.search(request.args["re"], "text")
    # ok: vallum.python.regex-from-request
    re.search(re.escape(request.args["re"]), "text")
    # ok: vallum.python.regex-from-request
    re.search(r"^\d+$", request.args["re"])
