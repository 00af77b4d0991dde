import os

from flask import Flask

app = Flask(__name__)

# ruleid: vallum.python.framework-secret-key
app.secret_key = "dev-key-1234"
# ruleid: vallum.python.framework-secret-key
app.config["SECRET_KEY"] = "dev-key-1234"
# ruleid: vallum.python.framework-secret-key
JWT_SECRET = os.environ.get("JWT_SECRET", "dev-key-1234")
# ok: vallum.python.framework-secret-key
app.secret_key = os.environ["SECRET_KEY"]
# ok: vallum.python.framework-secret-key
LEVEL = os.environ.get("LOG_LEVEL", "info")

# ruleid: vallum.python.hardcoded-password
db_password = "Tr0ub4dor&3"
# ruleid: vallum.python.hardcoded-password
connect(host="db", password="s3cr3t-Pa55")
# ruleid: vallum.python.hardcoded-password
settings = {"api_key": "f00dfacef00dface"}
# ok: vallum.python.hardcoded-password
db_password = os.environ["DB_PASSWORD"]
# ok: vallum.python.hardcoded-password
password = ""
# ok: vallum.python.hardcoded-password
password = "changeme"
# ok: vallum.python.hardcoded-password
labels = {"password": "Enter your password"}
# ok: vallum.python.hardcoded-password
password_field = "s3cr3t-Pa55"

# ruleid: vallum.python.aws-access-key
key_id = "AKIA2E0A8F3B244C9986"
# ok: vallum.python.aws-access-key
key_id = "AKIAIOSFODNN7EXAMPLE"

# ruleid: vallum.python.private-key-in-code
pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBzV0dGhpcyBpcyBub3QgYSBrZXk="
# ok: vallum.python.private-key-in-code
marker = "-----BEGIN PRIVATE KEY-----"

# ruleid: vallum.python.connection-string-with-password
DSN = "postgresql://shop:hunter22@db:5432/shop"
# ok: vallum.python.connection-string-with-password
DSN = "postgresql://shop@db:5432/shop"
# ok: vallum.python.connection-string-with-password
DSN = f"postgresql://{user}:{pw}@db:5432/shop"
