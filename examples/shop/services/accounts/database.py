"""The users' table in SQLite. DELIBERATELY WEAK: see ../../README.md."""
import hashlib
import os
import sqlite3

DATABASE = os.environ.get("DATABASE", "/tmp/shop-accounts.sqlite")  # WEAKNESS: accounts-predictable-temporary-file


def hash_password(password: str) -> str:
    return hashlib.md5(password.encode()).hexdigest()  # WEAKNESS: accounts-md5-passwords


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE, timeout=5)
    connection.row_factory = sqlite3.Row
    return connection


def rows(sql: str, values: tuple = ()) -> list[dict]:
    connection = connect()
    try:
        found = [dict(row) for row in connection.execute(sql, values)]
        connection.commit()
        return found
    finally:
        connection.close()


def create() -> None:
    people = [
        (1, "alice", os.environ["SEED_ALICE_PASSWORD"], "customer", "Alice Adams"),
        (2, "bob", os.environ["SEED_BOB_PASSWORD"], "customer", "Bob Brown"),
        (3, "admin", os.environ["SEED_ADMIN_PASSWORD"], "admin", "Ada Admin"),
        (4, "guest", "guest", "customer", "Demonstration account"),  # WEAKNESS: accounts-default-account
    ]
    connection = connect()
    with connection:
        connection.execute("DROP TABLE IF EXISTS users")
        connection.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, password_hash TEXT,"
            " role TEXT, full_name TEXT, email TEXT)"
        )
        for number, name, password, role, full_name in people:
            connection.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)",
                (number, name, hash_password(password), role, full_name, f"{name}@shop.example"),
            )
    connection.close()
    os.chmod(DATABASE, 0o777)  # WEAKNESS: accounts-world-writable-database
