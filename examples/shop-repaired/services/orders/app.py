"""orders: what people bought."""
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

import database
from settings import setting
from tokens import Administrator, User

INVOICES = {file.name: file.read_text(encoding="utf-8") for file in (Path(__file__).parent / "invoices").glob("*.txt")}
Text = Annotated[str, Query(max_length=200)]
Number = Annotated[int, InPath(ge=1, le=1_000_000)]

app = FastAPI(title="orders", docs_url=None, redoc_url=None, openapi_url=None)


class Status(StrEnum):
    open = "open"
    shipped = "shipped"


class Carrier(StrEnum):
    dhl = "dhl"
    post = "post"


class Discount(StrEnum):
    none = "none"
    loyal = "loyal"
    sale = "sale"


RATES = {Discount.none: 1.0, Discount.loyal: 0.9, Discount.sale: 0.75}


class NewOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    product_id: int = Field(ge=1, le=3)
    quantity: int = Field(ge=1, le=1000)
    note: str = Field("", max_length=200)


class Order(BaseModel):
    id: int
    product_id: int
    quantity: int
    unit_price: float
    status: Status
    note: str


class Basket(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[NewOrder] = Field(max_length=50)


@app.middleware("http")
async def harden(request: Request, call_next):
    response = await call_next(request)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    fields = sorted({str(problem["loc"][-1]) for problem in error.errors()})
    return JSONResponse({"detail": "the request does not fit the definition", "fields": fields}, 422)


@app.exception_handler(Exception)
async def failed(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "something went wrong"}, 500)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/orders", response_model=list[Order])
def orders(user: User, status: Status = Status.open):
    return database.of_user(user.number, status)


@app.get("/orders/search", response_model=list[Order])
def search(user: User, q: Text):
    return database.search(user.number, q)


@app.get("/orders/export", response_model=list[Order])
def export(user: Administrator, limit: Annotated[int, Query(ge=1, le=1000)] = 100):
    return database.everything(limit)


@app.get("/orders/{number}", response_model=Order)
def order(user: User, number: Number):
    return database.read(user.number, number) or missing("no such order")


@app.post("/orders", response_model=Order, status_code=201)
def place(user: User, new: NewOrder):
    return database.place(user.number, new.product_id, new.quantity, new.note)


@app.post("/baskets")
def restore_basket(user: User, saved: Basket) -> dict[str, int]:
    return {"restored": len(saved.items)}


@app.get("/shipping/trace")
def trace_parcel(user: User, carrier: Carrier) -> dict[str, str]:
    return {"answer": f"asking {carrier}"}


@app.get("/discount")
def discount(user: User, total: Annotated[float, Query(ge=0, le=1_000_000)], formula: Discount) -> dict[str, float]:
    return {"total": round(total * RATES[formula], 2)}


@app.get("/invoices", response_class=PlainTextResponse)
def invoice(user: User, name: Annotated[str, Query(pattern=r"^invoice-[1-9][0-9]{0,5}\.txt$")]) -> str:
    number = int(name.removeprefix("invoice-").removesuffix(".txt"))
    if name not in INVOICES or not database.read(user.number, number):
        missing("no such invoice")
    return INVOICES[name]


@app.get("/labels")
def label(user: User, filename: Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return PlainTextResponse(f"Parcel for user {user.number}\n", headers=headers)


@app.get("/metrics", response_class=PlainTextResponse)
def metrics(user: Administrator) -> str:
    return "".join(f"shop_{name} {value}\n" for name, value in database.totals().items())


def missing(what: str) -> None:
    raise HTTPException(404, what)


if __name__ == "__main__":
    database.create()
    uvicorn.run(
        app, host=setting("HOST", "127.0.0.1"), port=int(setting("PORT")), log_level="warning", server_header=False
    )
