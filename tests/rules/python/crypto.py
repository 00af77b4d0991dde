import hashlib
import hmac
import itertools
import os
import random
import secrets

from Crypto.Cipher import AES, ARC4, DES
from Crypto.PublicKey import RSA
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# ruleid: vallum.python.weak-password-hash, vallum.python.weak-hash
stored = hashlib.md5(password.encode()).hexdigest()
# ruleid: vallum.python.weak-password-hash
stored = hashlib.sha256((salt + user.password).encode()).hexdigest()
# ok: vallum.python.weak-password-hash
stored = hashlib.scrypt(password.encode(), salt=salt, n=16384, r=8, p=1)
# ok: vallum.python.weak-password-hash
digest = hashlib.sha256(body).hexdigest()

# ruleid: vallum.python.weak-hash
digest = hashlib.sha1(body).hexdigest()
# ruleid: vallum.python.weak-hash
digest = hashlib.new("md5", body)
# ok: vallum.python.weak-hash
digest = hashlib.md5(body, usedforsecurity=False)
# ok: vallum.python.weak-hash
digest = hashlib.sha256(body).hexdigest()

# ruleid: vallum.python.hmac-weak-digest
mac = hmac.new(key, body, hashlib.sha1)
# ruleid: vallum.python.hmac-weak-digest
mac = hmac.new(key, body, digestmod="md5")
# ok: vallum.python.hmac-weak-digest
mac = hmac.new(key, body, hashlib.sha256)

# ruleid: vallum.python.signature-by-plain-hash
sig = hashlib.sha256((SECRET + message).encode()).hexdigest()
# ruleid: vallum.python.signature-by-plain-hash
sig = hashlib.sha256(f"{api_secret}{body}".encode()).hexdigest()
# ok: vallum.python.signature-by-plain-hash
sig = hmac.new(SECRET, message, hashlib.sha256).hexdigest()
# ok: vallum.python.signature-by-plain-hash
etag = hashlib.sha256((name + version).encode()).hexdigest()

# ruleid: vallum.python.broken-cipher
d = DES.new(key, DES.MODE_CBC, iv)
# ruleid: vallum.python.broken-cipher
d = ARC4.new(key)
# ok: vallum.python.broken-cipher
d = AES.new(key, AES.MODE_GCM, nonce=os.urandom(12))

# ruleid: vallum.python.ecb-mode
e = AES.new(key, AES.MODE_ECB)
# ruleid: vallum.python.ecb-mode
m = modes.ECB()
# ok: vallum.python.ecb-mode
e = AES.new(key, AES.MODE_GCM)

# ruleid: vallum.python.static-iv
e = AES.new(key, AES.MODE_CBC, b"0000000000000000")
# ruleid: vallum.python.static-iv
m = modes.CBC(b"\x00" * 16)
# ruleid: vallum.python.static-iv
AESGCM(key).encrypt(b"123456789012", data, None)
# ok: vallum.python.static-iv
e = AES.new(key, AES.MODE_CBC, os.urandom(16))
# ok: vallum.python.static-iv
AESGCM(key).encrypt(nonce, data, None)

# ruleid: vallum.python.short-asymmetric-key
k = rsa.generate_private_key(public_exponent=65537, key_size=1024)
# ruleid: vallum.python.short-asymmetric-key
k = RSA.generate(1024)
# ok: vallum.python.short-asymmetric-key
k = rsa.generate_private_key(public_exponent=65537, key_size=3072)
# ok: vallum.python.short-asymmetric-key
k = RSA.generate(4096)

# ruleid: vallum.python.hardcoded-encryption-key
f = Fernet("x6F3b2hpcyBpcyBub3QgYSByZWFsIGtleSBidXQgbG9uZ2g=")
# ruleid: vallum.python.hardcoded-encryption-key
mac = hmac.new(b"webhook-signing", body, hashlib.sha256)
# ok: vallum.python.hardcoded-encryption-key
f = Fernet(os.environ["FERNET_KEY"])
# ok: vallum.python.hardcoded-encryption-key
mac = hmac.new(key, b"text", hashlib.sha256)

# ruleid: vallum.python.weak-random-for-secret
reset_token = "".join(random.choice("abcdef0123456789") for _ in range(32))
# ruleid: vallum.python.weak-random-for-secret
otp = random.randint(100000, 999999)
# ok: vallum.python.weak-random-for-secret
reset_token = secrets.token_urlsafe(32)
# ok: vallum.python.weak-random-for-secret
delay = random.uniform(0, 1)


def make_token():
    # ruleid: vallum.python.weak-random-for-secret
    return str(random.getrandbits(128))


def password_reset(user):
    # ruleid: vallum.python.weak-random-for-secret
    code = random.randint(1000, 9999)
    return code


def dice():
    # ok: vallum.python.weak-random-for-secret
    value = random.randint(1, 6)
    return value


def hide(data, key):
    # ruleid: vallum.python.home-made-xor-cipher
    out = bytes(data[i] ^ key[i % len(key)] for i in range(len(data)))
    # ruleid: vallum.python.home-made-xor-cipher
    out2 = bytes(a ^ b for a, b in zip(data, itertools.cycle(key)))
    # ok: vallum.python.home-made-xor-cipher
    flags = data[0] ^ 1
    # ok: vallum.python.home-made-xor-cipher
    check = left ^ right
    return out, out2, flags, check


def verify(key, body, given):
    want = hmac.new(key, body, hashlib.sha256).hexdigest()
    # ruleid: vallum.python.secret-compared-with-equals
    if want == given:
        return True
    # ok: vallum.python.secret-compared-with-equals
    if hmac.compare_digest(want, given):
        return True
    # ok: vallum.python.secret-compared-with-equals
    return len(body) == 0
