"""A login counts only when a service refuses without it; the token is nowhere on disk."""

from __future__ import annotations

import base64
import urllib.request

import pytest

from vallum import stage
from vallum.errors import Inconclusive

from .conftest import Shop


def test_logged_in_and_nothing_secret_is_written(shop: Shop) -> None:
    shop.service("a", PASSWORD="{secret.alice}")
    shop.login()
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        (header,) = deployment.headers().items()
        assert header[0] == "Authorization"
        token = header[1].removeprefix("Bearer ")
        assert len(token) > 20
        request = urllib.request.Request(deployment.urls["a"] + "/me", headers=deployment.headers())
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        deployment.liveness()
        secrets = [token, *deployment.secrets.values()]
        assert not any(secret in repr(deployment) for secret in secrets)
        written = [path for path in (shop.root / ".vallum").rglob("*") if path.is_file()]
        kept = {path: path.read_bytes() for path in written}
    log = deployment.logs["a"].read_text()
    assert "gave [redacted] for [redacted]" in log
    assert "asked with Bearer [redacted]" in log
    after = {path: path.read_bytes() for path in (shop.root / ".vallum").rglob("*") if path.is_file()}
    for secret in secrets:
        for form in (secret.encode(), base64.b64encode(secret.encode())):
            for path, content in [*kept.items(), *after.items()]:
                assert form not in content, path


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("open", r"the login cannot be proved: a GET /me answers 200 without the token"),
        ("refuses", r"not logged in: a GET /me answers 403 with the token"),
        ("tokenless", r"the answer of a POST /login has no token at `data.access`"),
    ],
)
def test_a_login_that_proves_nothing(shop: Shop, mode: str, reason: str) -> None:
    shop.service("a", mode, PASSWORD="{secret.alice}")
    shop.login()
    target, config = shop.load()
    with pytest.raises(Inconclusive, match=reason), stage.deploy(target, config, "r"):
        pytest.fail("it counted as logged in")
    assert shop.processes() == []


def test_a_wrong_password(shop: Shop) -> None:
    shop.service("a", PASSWORD="another")
    shop.login()
    target, config = shop.load()
    with (
        pytest.raises(Inconclusive, match="cannot log in: a POST /login answers 401"),
        stage.deploy(target, config, "r"),
    ):
        pytest.fail("it counted as logged in")
    assert shop.processes() == []


def test_a_login_that_is_lost_in_use(shop: Shop) -> None:
    shop.service("a", "forgetful", PASSWORD="{secret.alice}")
    shop.login()
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        urllib.request.urlopen(deployment.urls["a"] + "/forget", timeout=10).close()
        with pytest.raises(Inconclusive, match="not logged in: a GET /me answers 401 with the token"):
            deployment.liveness()
