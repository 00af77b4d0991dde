"""The orders in SQLite. DELIBERATELY WEAK: see ../../README.md."""
import os
import sqlite3
from typing import Any

DATABASE = os.environ.get("DATABASE", "orders.sqlite")
SEED = [
    (1, 1, 1, 2, 9.5, "open", "gift"),
    (2, 2, 2, 1, 24.0, "open", "bob's secret present"),
    (3, 1, 3, 1, 5.25, "shipped", ""),
]


def rows(sql: str, values: tuple = ()) -> list[dict[str, Any]]:
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.row_factory = sqlite3.Row
    try:
        found = [dict(row) for row in connection.execute(sql, values)]
        connection.commit()
        return found
    finally:
        connection.close()


def create() -> None:
    rows("DROP TABLE IF EXISTS orders")
    rows(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, product_id INTEGER, quantity INTEGER,"
        " unit_price REAL, status TEXT, note TEXT)"
    )
    for order in SEED:
        rows("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", order)
