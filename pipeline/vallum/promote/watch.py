"""Watches health: HTTP probes and a command, in rounds, until the time is up or one has been bad too often in a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.promote.journal import Seen, Watched
from vallum.promote.steps import Steps
from vallum.promotions import Probe, Promotion

if TYPE_CHECKING:
    import ssl

    import httpx

HEALTH = "health"
"""How the command is called among the probes."""
HEALTH_DEADLINE = 30.0
"""Seconds of the command in one round."""


def watch(settings: Promotion, steps: Steps, urls: Mapping[str, str], health: Sequence[str], of: str) -> Watched:
    """Watch after a `promotion` or a `rollback`; `why` of what comes back is empty where all was well. `urls` are the probes'
    addresses, filled in.

    All must be well together once within `start-seconds`. From then on `failures` bad rounds of one probe in a row end it, and
    what is bad when the time is up goes on being watched until it is well or has failed.
    """
    import httpx

    seconds = settings.watch_seconds if of == "promotion" else settings.rollback_watch_seconds
    began = time.monotonic()
    counted = {name: Seen(probe=name) for name in (*settings.probes, *([HEALTH] if health else []))}
    row = dict.fromkeys(counted, 0)
    well_since: float | None = None
    why = ""
    tls = httpx.create_ssl_context()
    while seconds > 0 and counted:
        round_began = time.monotonic()
        bad = _round(settings, steps, urls, health, tls)
        for name, seen in counted.items():
            said = bad.get(name, "")
            row[name] = row[name] + 1 if said else 0
            counted[name] = Seen(probe=name, rounds=seen.rounds + 1, bad=seen.bad + bool(said), last=said or seen.last)
        now = time.monotonic()
        if well_since is None and not bad:
            well_since = now
            row = dict.fromkeys(counted, 0)
        if well_since is None:
            if now - began >= settings.start_seconds:
                name, said = next(iter(bad.items()))
                why = f"{name} was not well within {settings.start_seconds:g} s: {said}"
                break
        else:
            failed = next((name for name, times in row.items() if times >= settings.failures), "")
            if failed:
                after = f"{now - well_since:.0f} s after all was well"
                why = f"{failed} failed {settings.failures} times in a row, {after}: {bad[failed]}"
                break
            if now - well_since >= seconds and not bad:
                break
            if now - well_since >= 2 * seconds + settings.start_seconds:
                name, said = next(iter(bad.items()))
                why = f"{name} was bad again and again, and when the time was up: {said}"
                break
        time.sleep(max(0.0, settings.interval - (time.monotonic() - round_began)))
    return Watched(
        of=of, seconds=round(time.monotonic() - began, 3), why=steps.hide(why), probes=tuple(counted.values())
    )


def _round(
    settings: Promotion, steps: Steps, urls: Mapping[str, str], health: Sequence[str], tls: ssl.SSLContext
) -> dict[str, str]:
    """What is bad, and why."""
    bad = asyncio.run(_ask_all(settings.probes, urls, tls)) if settings.probes else {}
    if health:
        try:
            said = steps.try_(HEALTH, health, HEALTH_DEADLINE, record=False)
        except Inconclusive as error:
            bad[HEALTH] = error.reason
        else:
            if not said.ok:
                bad[HEALTH] = f"the command ended with {said.step.exit_code}{f': {said.last}' if said.last else ''}"
    return {name: steps.hide(why)[:300] for name, why in bad.items()}


async def _ask_all(probes: Mapping[str, Probe], urls: Mapping[str, str], tls: ssl.SSLContext) -> dict[str, str]:
    import httpx

    async with httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=max(probe.seconds for probe in probes.values()),
        verify=tls,
    ) as client:
        said = await asyncio.gather(*(_ask(client, probe, urls[name]) for name, probe in probes.items()))
    return {name: why for name, why in zip(probes, said, strict=True) if why}


async def _ask(client: httpx.AsyncClient, probe: Probe, url: str) -> str:
    """Why it is bad, or ''. The whole exchange is bounded: a server that sends a byte a second holds nothing up."""
    import httpx

    try:
        async with asyncio.timeout(probe.seconds), client.stream("GET", url) as answer:
            if answer.status_code not in probe.status:
                wanted = " or ".join(map(str, probe.status))
                return f"GET {url} answered {answer.status_code}, not {wanted}"
            return ""
    except (TimeoutError, httpx.TimeoutException):
        return f"GET {url} did not answer within {probe.seconds:g} s"
    except httpx.HTTPError as error:
        return f"GET {url}: {type(error).__name__}: {error}"[:300].rstrip(": ")
