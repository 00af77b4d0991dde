"""The orders in SQLite."""
import os
import sqlite3
from contextlib import closing
from typing import Any

from settings import setting

DATABASE = setting("DATABASE")
PRICES = {1: 9.5, 2: 24.0, 3: 5.25}
SEED = [
    (1, 1, 1, 2, 9.5, "open", "gift"),
    (2, 2, 2, 1, 24.0, "open", "bob's secret present"),
    (3, 1, 3, 1, 5.25, "shipped", ""),
]


def rows(sql: str, *values: object) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(DATABASE, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(sql, values)]
        connection.commit()
        return found


def of_user(user: int, status: str) -> list[dict]:
    return rows("SELECT * FROM orders WHERE user_id = ? AND status = ? ORDER BY id LIMIT 100", user, status)


def search(user: int, words: str) -> list[dict]:
    literal = words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return rows("SELECT * FROM orders WHERE user_id = ? AND note LIKE ? ESCAPE '!' LIMIT 100", user, f"%{literal}%")


def everything(limit: int) -> list[dict]:
    return rows("SELECT * FROM orders ORDER BY id LIMIT ?", limit)


def read(user: int, number: int) -> dict | None:
    return next(iter(rows("SELECT * FROM orders WHERE id = ? AND user_id = ?", number, user)), None)


def place(user: int, product: int, quantity: int, note: str) -> dict:
    return rows(
        "INSERT INTO orders (user_id, product_id, quantity, unit_price, status, note)"
        " VALUES (?, ?, ?, ?, 'open', ?) RETURNING *",
        user, product, quantity, PRICES[product], note,
    )[0]


def totals() -> dict:
    return rows("SELECT count(*) AS orders, coalesce(sum(quantity * unit_price), 0) AS turnover FROM orders")[0]


def create() -> None:
    os.umask(0o077)
    rows("DROP TABLE IF EXISTS orders")
    rows(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, product_id INTEGER, quantity INTEGER,"
        " unit_price REAL, status TEXT, note TEXT)"
    )
    for order in SEED:
        rows("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", *order)
