"""One-time codes as the second factor: RFC 6238 (TOTP) on RFC 4226 (HOTP), with the standard library."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from vallum.errors import UserError

DIGITS = 6
PERIOD = 30
"""Seconds that a code holds (RFC 6238, section 4.1: the default time step X)."""
MARGIN = 1.0
"""Seconds before its end at which a window of ten seconds or more is not begun: the code would arrive too late."""
_HASHES = {"SHA1", "SHA256", "SHA512"}

_lock = threading.Lock()
_used: dict[bytes, int] = {}
"""The last window in which a key was used, by the key's digest: a server takes no code twice (RFC 6238, section 5.2), and
the next login may be another Session of this process."""


@dataclass(frozen=True)
class Totp:
    """A second factor: its key, and how codes are made from it."""

    key: bytes
    digits: int = DIGITS
    period: int = PERIOD
    algorithm: str = "SHA1"

    def __repr__(self) -> str:
        return f"Totp({self.algorithm}, {self.digits} digits, {self.period} s)"

    def at(self, seconds: float) -> str:
        """The code at `seconds` of Unix time."""
        return self._code(int(seconds) // self.period)

    def next(self) -> str:
        """A code that was not given out before in this process; waits for the next window where this one's was."""
        digest = hashlib.sha256(self.key).digest()
        while True:
            now = time.time()
            window = int(now) // self.period
            left = (window + 1) * self.period - now
            late = self.period >= 10 and left < MARGIN
            with _lock:
                if not late and _used.get(digest, -1) < window:
                    _used[digest] = window
                    return self._code(window)
            time.sleep(max(0.01, left))

    def _code(self, window: int) -> str:
        made = hmac.new(self.key, window.to_bytes(8, "big"), self.algorithm.lower()).digest()
        offset = made[-1] & 0x0F
        number = int.from_bytes(made[offset : offset + 4], "big") & 0x7FFFFFFF
        return str(number % 10**self.digits).zfill(self.digits)


def parse(secret: str, key: str) -> Totp:
    """A base32 key (RFC 4648; blanks, hyphens, case and padding do not matter), or a whole `otpauth://totp/` URI.

    Raises UserError with `key`, and never with the secret, for anything else.
    """
    hint = "give the base32 key, or the otpauth://totp/ URI that the QR code holds"
    if not secret.startswith("otpauth:"):
        return Totp(_base32(secret, key, hint))
    parts = urlsplit(secret)
    options = {name.lower(): values[0] for name, values in parse_qs(parts.query).items()}
    algorithm = options.get("algorithm", "SHA1").upper()
    digits, period = options.get("digits", str(DIGITS)), options.get("period", str(PERIOD))
    known = parts.netloc == "totp" and algorithm in _HASHES and digits in {"6", "7", "8"}
    if not known or not period.isascii() or not period.isdigit() or not 1 <= int(period) <= 300:
        raise UserError(f"{key}: this otpauth URI is not one for time-based codes", hint)
    return Totp(_base32(options.get("secret", ""), key, hint), int(digits), int(period), algorithm)


def _base32(secret: str, key: str, hint: str) -> bytes:
    plain = "".join(secret.split()).replace("-", "").rstrip("=").upper()
    try:
        made = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError):
        made = b""
    if len(made) < 10:  # RFC 4226 asks for 128 bits; 80 are what many services still hand out
        raise UserError(f"{key}: the secret of the one-time codes is no base32 key of 16 characters or more", hint)
    return made
