"""One-time codes as the RFCs compute them, each used once."""

from __future__ import annotations

import base64
import threading
import time

import pytest

from vallum.errors import UserError
from vallum.stage.login.totp import Totp, parse

# RFC 6238, appendix B: the keys are the ASCII digits repeated to the length of the hash (erratum 2866)
SEED = b"1234567890" * 7
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize(("column", "algorithm", "length"), [(1, "SHA1", 20), (2, "SHA256", 32), (3, "SHA512", 64)])
def test_the_vectors_of_rfc_6238(column: int, algorithm: str, length: int) -> None:
    totp = Totp(SEED[:length], digits=8, algorithm=algorithm)
    assert [totp.at(vector[0]) for vector in VECTORS] == [vector[column] for vector in VECTORS]


def test_the_vectors_of_rfc_4226() -> None:
    totp = Totp(SEED[:20])
    values = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
    assert [totp.at(30 * window) for window in range(10)] == values


def test_keys_as_people_write_them() -> None:
    key = SEED[:20]
    plain = base64.b32encode(key).decode()
    assert parse(plain, "k").key == key
    assert parse(" ".join(plain[i : i + 4] for i in range(0, 32, 4)).lower(), "k") == Totp(key)
    uri = parse(f"otpauth://totp/Shop:alice?secret={plain}&issuer=Shop&algorithm=SHA256&digits=8&period=60", "k")
    assert uri == Totp(key, 8, 60, "SHA256")
    assert plain not in repr(uri)
    assert repr(key) not in repr(uri)


@pytest.mark.parametrize(
    "secret",
    [
        "not base32!!",
        "AAAA",
        "otpauth://hotp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DP",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DP&algorithm=MD5",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DP&period=0",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DP&digits=1",
        "otpauth://totp/x",
    ],
)
def test_what_is_no_key_is_said_without_the_secret(secret: str) -> None:
    with pytest.raises(UserError, match=r"environment\.login\.totp") as caught:
        parse(secret, "environment.login.totp")
    assert secret not in f"{caught.value.message} {caught.value.hint}"


def test_no_code_is_given_out_twice() -> None:
    totp = parse("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=1", "k")
    given: list[tuple[int, str]] = []

    def take() -> None:
        code = totp.next()
        given.append((int(time.time()), code))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(given) == 3
    windows = [when for when, _ in given]
    assert max(windows) - min(windows) >= 2
    possible = {totp.at(when) for when in range(min(windows) - 60, max(windows) + 1)}
    assert {code for _, code in given} <= possible
