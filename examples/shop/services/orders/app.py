"""orders: what people bought. DELIBERATELY WEAK, for scanners on loopback only: see ../../README.md."""
import base64
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import jwt
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

import database

INVOICES = Path(__file__).parent / "invoices"
WAREHOUSE_PASSWORD = "Winter-2019-warehouse"  # WEAKNESS: orders-hard-coded-password

app = FastAPI(title="orders", docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["*"],  # WEAKNESS: orders-permissive-cors
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)


class NewOrder(BaseModel):
    product_id: int
    quantity: int
    note: str = ""
    unit_price: float = 10.0  # WEAKNESS: orders-price-from-client


class Basket(BaseModel):
    basket: str


def user_of(authorization: str = Header("")) -> int:
    try:
        claims = jwt.decode(authorization[len("Bearer "):], verify=False)  # WEAKNESS: orders-jwt-not-verified
        return int(claims["sub"])
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise HTTPException(401, "a bearer token is needed")


@app.exception_handler(Exception)
def failed(request: Request, error: Exception) -> JSONResponse:
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return JSONResponse({"error": str(error), "trace": trace}, 500)  # WEAKNESS: orders-stack-trace


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


@app.get("/orders")
def orders(status: str = "open", user: int = Depends(user_of)):
    sql = f"SELECT * FROM orders WHERE user_id = {user} AND status = '{status}'"  # WEAKNESS: orders-sql-injection-list
    return database.rows(sql)


@app.get("/orders/search")
def search(q: str, user: int = Depends(user_of)):
    sql = "SELECT * FROM orders WHERE note LIKE '%" + q + "%' AND user_id = " + str(user)  # WEAKNESS: orders-sql-injection-search
    return database.rows(sql)


@app.get("/orders/export")
def export(limit: int = 2):  # WEAKNESS: orders-export-without-authorisation
    return database.rows("SELECT * FROM orders LIMIT ?", (limit,))  # WEAKNESS: orders-page-of-any-size


@app.get("/orders/{number}")
def order(number: int, user: int = Depends(user_of)):
    found = database.rows("SELECT * FROM orders WHERE id = ?", (number,))  # WEAKNESS: orders-bola
    if not found:
        raise HTTPException(404, "no such order")
    return found[0]


@app.post("/orders", status_code=201)
def place(new: NewOrder, user: int = Depends(user_of)):
    database.rows(
        "INSERT INTO orders (user_id, product_id, quantity, unit_price, status, note) VALUES (?, ?, ?, ?, 'open', ?)",
        (user, new.product_id, new.quantity, new.unit_price, new.note),
    )
    return database.rows("SELECT * FROM orders WHERE user_id = ? ORDER BY id DESC LIMIT 1", (user,))[0]


@app.post("/baskets")
def restore_basket(saved: Basket, user: int = Depends(user_of)):
    basket = pickle.loads(base64.b64decode(saved.basket))  # WEAKNESS: orders-pickle
    return {"restored": str(basket)}


@app.get("/shipping/trace")
def trace_parcel(carrier: str, user: int = Depends(user_of)):
    command = f"echo asking {carrier}"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=20)  # WEAKNESS: orders-command-injection
    return {"answer": done.stdout.decode(errors="replace")}


@app.get("/discount")
def discount(total: float, formula: str, user: int = Depends(user_of)):
    return {"total": str(eval(formula, {"total": total}))}  # WEAKNESS: orders-eval


@app.get("/invoices", response_class=PlainTextResponse)
def invoice(name: str, user: int = Depends(user_of)):
    try:
        with open(INVOICES / name, errors="replace") as file:  # WEAKNESS: orders-path-traversal
            return file.read(65536)
    except OSError:
        raise HTTPException(404, "no such invoice")


@app.get("/labels")
def label(filename: str, user: int = Depends(user_of)):
    headers = {"Content-Disposition": f"attachment; filename={filename}"}  # WEAKNESS: orders-header-injection
    return Response(f"Parcel for user {user}\n", media_type="text/plain", headers=headers)


@app.get("/metrics", response_class=PlainTextResponse)
def metrics():  # WEAKNESS: orders-metrics-exposed
    count = database.rows("SELECT count(*) AS n, sum(quantity * unit_price) AS turnover FROM orders")[0]
    return f"shop_orders {count['n']}\nshop_turnover {count['turnover']}\n"


def main() -> None:
    host = os.environ.get("HOST", "127.0.0.1")
    if host not in ("127.0.0.1", "::1", "localhost"):
        sys.exit(f"orders is deliberately weak and listens on loopback only, not on {host}")
    print("\n*** orders is DELIBERATELY WEAK. Loopback only. Never deploy it. ***\n", file=sys.stderr, flush=True)
    database.create()
    uvicorn.run(app, host=host, port=int(os.environ["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
