"""What is seen during an attack: tokens that expire, logins that end, services that go away. Real sockets, real logins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from vallum import stage
from vallum.errors import Inconclusive
from vallum.stage import guard as guards
from vallum.stage import renewal
from vallum.stage.environment import Deployment
from vallum.stage.guard import guarded

from .test_url import LOGIN, Api, Load, api, load

__all__ = ["api", "load"]


@pytest.fixture
def deployment(api: Api, load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.setattr(guards, "EVERY", 600.0)  # on a busy machine the prober may renew before the proxy does
    where = f"127.0.0.1:{api.server_port}"
    target, config = load(f"http://{where}", where, service=LOGIN)
    with stage.deploy(target, config, "r") as deployed:
        api.asked.clear()
        yield deployed


def client_of(deployment: Deployment) -> httpx.Client:
    return httpx.Client(proxy=deployment.proxy, trust_env=False, timeout=30)


def test_a_token_that_expires_is_renewed_and_replaced(api: Api, deployment: Deployment) -> None:
    url = deployment.urls["api"]
    first = deployment.headers()
    with guarded(deployment) as guard, client_of(deployment) as tool:
        assert tool.get(url + "/mine", headers=first).status_code == 200
        api.valid = set()
        assert tool.get(url + "/mine/1?x=2", headers=first).status_code == 200
        # a tool goes on with the token that it was given at its start
        assert [tool.get(url + "/mine/2", headers=first).status_code for _ in range(5)] == [200] * 5
        assert deployment.headers() != first
        assert tool.put(url + "/mine/3", headers=first, content=b"x").status_code == 200
    assert api.asked.count("POST /login") == 1
    assert api.asked.count("GET /mine/1?x=2") == 2
    assert deployment.traffic.retried == 1
    assert guard.problems() == []
    assert "the login of user 1 ended and was renewed 1 times" in guard.notes()
    deployment.liveness()
    total = deployment.traffic.services["api"].total
    assert (total.requests, total.refused, total.authenticated) == (8, 0, 8)
    assert first["Authorization"].removeprefix("Bearer ") not in deployment.redactor.text(str(first))


def test_what_is_not_idempotent_is_not_sent_twice(api: Api, deployment: Deployment) -> None:
    url = deployment.urls["api"]
    first = deployment.headers()

    def patch() -> int:
        return tool.request("PATCH", url + "/mine", headers=first, content=b"x").status_code

    with guarded(deployment), client_of(deployment) as tool:
        api.RequestHandlerClass.do_PATCH = api.RequestHandlerClass.do_GET  # type: ignore[attr-defined]
        api.valid = set()
        assert patch() == 401
        assert patch() == 200
    assert api.asked.count("GET /mine") > 2
    assert deployment.traffic.retried == 0


def test_a_401_that_is_the_answer_changes_nothing(
    api: Api, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "TRUSTED", 600.0)
    url = deployment.urls["api"]
    with guarded(deployment) as guard, client_of(deployment) as tool:
        for _ in range(20):
            assert tool.get(url + "/mine", headers={"Authorization": "Bearer forged"}).status_code == 401
            assert tool.get(url + "/mine").status_code == 401
        header = deployment.headers()["Authorization"]
        assert "POST /login" not in api.asked
        # ours is refused although the probe accepts it: the operation's own business, and not asked again for each
        api.valid.add("other")
        api.RequestHandlerClass.do_DELETE = lambda handler: handler.answer(401, {})  # type: ignore[attr-defined]
        before = len(api.asked)
        assert {tool.delete(url + "/x", headers={"Authorization": header}).status_code for _ in range(20)} == {401}
        assert len(api.asked) - before <= 1
        assert "POST /login" not in api.asked
    assert guard.problems() == []


def test_a_login_that_cannot_be_renewed(api: Api, deployment: Deployment) -> None:
    url = deployment.urls["api"]
    with guarded(deployment) as guard, client_of(deployment) as tool:
        api.valid, api.refusing = set(), True
        assert [tool.get(url + "/mine", headers=deployment.headers()).status_code for _ in range(5)] == [401] * 5
    (problem,) = guard.problems()
    assert problem.startswith("the login ended during the attack and could not be renewed: ")
    assert api.asked.count("POST /login") <= 3
    with pytest.raises(Inconclusive, match="not logged in"):
        deployment.liveness()


def test_many_at_once_log_in_once(api: Api, deployment: Deployment) -> None:
    url = deployment.urls["api"]
    first = deployment.headers()
    with guarded(deployment), client_of(deployment) as tool:
        api.valid = set()
        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda n: tool.get(f"{url}/mine/{n}", headers=first).status_code, range(64)))
    assert set(codes) == {200}
    assert api.asked.count("POST /login") == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "EVERY", 0.05)
    monkeypatch.setattr(renewal, "AGAIN", 0.05)


def waits(what: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("threshold", [0.3, 500.0])
def test_an_outage_that_mends_itself(
    api: Api, deployment: Deployment, quick: None, monkeypatch: pytest.MonkeyPatch, threshold: float
) -> None:
    for module in (guards, renewal):
        monkeypatch.setattr(module, "THRESHOLD", threshold)
    with guarded(deployment) as guard:
        api.valid, api.refusing = set(), True
        waits(guard.keeper.problems)
        time.sleep(0.5)
        api.refusing = False
        waits(lambda: not any("could not" in problem for problem in guard.keeper.problems()))
    deployment.liveness()
    said = guard.problems()
    if threshold > 1:
        assert said == []
    else:
        assert "the login of user 1 did not count for" in said[0]


def test_a_service_that_is_away_for_a_while(
    api: Api, deployment: Deployment, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "THRESHOLD", 0.2)
    away = threading.Event()

    def check() -> None:
        if away.is_set():
            raise Inconclusive("the service api is away")

    object.__setattr__(deployment, "check_services", check)
    with guarded(deployment) as guard:
        away.set()
        looks = guard.looks
        waits(lambda: guard.looks > looks + 3)
        time.sleep(0.4)
        away.clear()
        looks = guard.looks
        waits(lambda: guard.looks > looks + 1)
    (problem,) = guard.problems()
    assert problem.startswith("for ")
    assert problem.endswith(" of the attack: the service api is away")


def test_nothing_of_it_is_left(deployment: Deployment) -> None:
    with guarded(deployment):
        assert [t for t in threading.enumerate() if t.name.startswith("vallum")]
    assert not [t for t in threading.enumerate() if t.name.startswith("vallum")]
