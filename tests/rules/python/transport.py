import socket
import ssl

import aiohttp
import grpc
import httpx
import paramiko
import requests
import urllib3
import uvicorn

# ruleid: vallum.python.tls-verification-disabled
requests.get("https://orders/api", verify=False, timeout=2)
# ruleid: vallum.python.tls-verification-disabled
httpx.AsyncClient(verify=False)
# ruleid: vallum.python.tls-verification-disabled
aiohttp.TCPConnector(ssl=False)
# ruleid: vallum.python.tls-verification-disabled
ssl._create_default_https_context = ssl._create_unverified_context
s = requests.Session()
# ruleid: vallum.python.tls-verification-disabled
s.verify = False
# ruleid: vallum.python.tls-verification-disabled
s.post("https://orders", verify=False)
# ok: vallum.python.tls-verification-disabled
requests.get("https://orders/api", verify="/etc/ca.pem", timeout=2)
# ok: vallum.python.tls-verification-disabled
httpx.AsyncClient(verify=ctx)
# ok: vallum.python.tls-verification-disabled
form.clean(verify=False)

ctx = ssl.create_default_context()
# ruleid: vallum.python.ssl-context-without-verification
ctx.check_hostname = False
# ruleid: vallum.python.ssl-context-without-verification
ctx.verify_mode = ssl.CERT_NONE
# ok: vallum.python.ssl-context-without-verification
ctx.verify_mode = ssl.CERT_REQUIRED
# ok: vallum.python.ssl-context-without-verification
ctx.check_hostname = True

# ruleid: vallum.python.tls-old-version
old = ssl.SSLContext(ssl.PROTOCOL_TLSv1)
# ruleid: vallum.python.tls-old-version
ctx.minimum_version = ssl.TLSVersion.TLSv1_1
# ok: vallum.python.tls-old-version
ctx.minimum_version = ssl.TLSVersion.TLSv1_2
# ok: vallum.python.tls-old-version
new = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# ruleid: vallum.python.grpc-insecure-channel
ch = grpc.insecure_channel("orders:50051")
# ruleid: vallum.python.grpc-insecure-channel
ch = grpc.aio.insecure_channel(ADDRESS)
# ok: vallum.python.grpc-insecure-channel
ch = grpc.secure_channel("orders:50051", credentials)
# ok: vallum.python.grpc-insecure-channel
ch = grpc.insecure_channel("localhost:50051")

# ruleid: vallum.python.grpc-insecure-port
server.add_insecure_port("[::]:50051")
# ok: vallum.python.grpc-insecure-port
server.add_secure_port("[::]:50051", credentials)
# ok: vallum.python.grpc-insecure-port
server.add_insecure_port("127.0.0.1:50051")

# ruleid: vallum.python.credentials-over-http
requests.get("http://payments:8080/charge", headers={"Authorization": f"Bearer {t}"}, timeout=2)
head = {"X-Api-Key": key}
# ruleid: vallum.python.credentials-over-http
httpx.post(f"http://stock/{sku}", headers=head)
# ok: vallum.python.credentials-over-http
requests.get("https://payments/charge", headers={"Authorization": t}, timeout=2)
# ok: vallum.python.credentials-over-http
requests.get("http://payments/health", headers={"Accept": "text/plain"}, timeout=2)
# ok: vallum.python.credentials-over-http
requests.get("http://localhost:8080/x", headers={"Authorization": t}, timeout=2)

c = paramiko.SSHClient()
# ruleid: vallum.python.ssh-host-key-not-checked
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
# ok: vallum.python.ssh-host-key-not-checked
c.set_missing_host_key_policy(paramiko.RejectPolicy())

# ruleid: vallum.python.bind-all-interfaces
uvicorn.run(app, host="0.0.0.0", port=8000)
sock = socket.socket()
# ruleid: vallum.python.bind-all-interfaces
sock.bind(("0.0.0.0", 9000))
# ok: vallum.python.bind-all-interfaces
uvicorn.run(app, host="127.0.0.1", port=8000)
# ok: vallum.python.bind-all-interfaces
sock.bind((settings.host, 9000))
