"""The users' table in SQLite."""
import hashlib
import hmac
import os
import secrets
import sqlite3
from contextlib import closing

from settings import setting

DATABASE = setting("DATABASE")
UNKNOWN = "00:" + "00" * 32  # compared with when there is no such user, so that the answer takes as long
FIND = "SELECT id, username, role, full_name, email FROM users WHERE username LIKE ? ESCAPE '!' ORDER BY id LIMIT 100"
READ = "SELECT id, username, role, full_name, email FROM users WHERE id = ?"
CHANGE = "UPDATE users SET email = coalesce(?, email), full_name = coalesce(?, full_name) WHERE id = ?"


def hash_password(password: str, salt: bytes | None = None) -> str:
    salt = salt or secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()}"


def password_fits(password: str, stored: str) -> bool:
    return hmac.compare_digest(hash_password(password, bytes.fromhex(stored.partition(":")[0])), stored)


def rows(sql: str, *values: object) -> list[dict]:
    with closing(sqlite3.connect(DATABASE, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(sql, values)]
        connection.commit()
        return found


def login(username: str, password: str) -> dict | None:
    found = rows("SELECT id, username, role, password_hash FROM users WHERE username = ?", username)
    stored = found[0].pop("password_hash") if found else UNKNOWN
    return found[0] if password_fits(password, stored) and found else None


def find(words: str) -> list[dict]:
    literal = words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return rows(FIND, f"%{literal}%")


def read(number: int) -> dict | None:
    return next(iter(rows(READ, number)), None)


def change(number: int, email: str | None, full_name: str | None) -> None:
    rows(CHANGE, email, full_name, number)


def create() -> None:
    people = [
        (1, "alice", setting("SEED_ALICE_PASSWORD"), "customer", "Alice Adams"),
        (2, "bob", setting("SEED_BOB_PASSWORD"), "customer", "Bob Brown"),
        (3, "admin", setting("SEED_ADMIN_PASSWORD"), "admin", "Ada Admin"),
    ]
    os.umask(0o077)
    rows("DROP TABLE IF EXISTS users")
    rows(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, password_hash TEXT,"
        " role TEXT, full_name TEXT, email TEXT)"
    )
    for number, name, password, role, full_name in people:
        rows(
            "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)",
            number, name, hash_password(password), role, full_name, f"{name}@shop.example",
        )
