"""What can be wrong with `[promotion]` is said before anything runs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from vallum.errors import UserError
from vallum.promote import command, compose, kubernetes, tag
from vallum.promote.job import Kind
from vallum.promote.watch import HEALTH
from vallum.promotions import Promotion

KINDS: dict[str, Kind] = {"command": command, "tag": tag, "compose": compose, "kubernetes": kubernetes}


def check(settings: Promotion, root: Path) -> None:
    """Raise UserError, with the key. Starts nothing."""
    for name, probe in settings.probes.items():
        if urlsplit(probe.url).scheme not in {"http", "https"} or not urlsplit(probe.url).hostname:
            raise UserError(f"promotion.probes.{name}.url: {probe.url!r} is no http address", "give a whole one")
        if not probe.status:
            raise UserError(f"promotion.probes.{name}.status is empty", "such as status = [200]")
    if settings.health and HEALTH in settings.probes:
        raise UserError(f"promotion.probes.{HEALTH} has the name of the health command", "rename the probe")
    if settings.watch_seconds and not settings.probes and not settings.health:
        raise UserError(
            "[promotion] has neither probes nor a health command: nothing would say whether it went well",
            "add [promotion.probes.NAME], or set watch-seconds = 0 to watch nothing",
        )
    for kind in ("tag", "compose", "kubernetes"):
        if getattr(settings, kind) is not None and settings.kind != kind:
            raise UserError(
                f'[promotion.{kind}] is there, and promotion.kind is "{settings.kind}"', "remove one of them"
            )
    for key in ("command", "current", "rollback"):
        if getattr(settings, key) and settings.kind != "command":
            raise UserError(f'promotion.{key} is for kind = "command"', f'"{settings.kind}" knows by itself')
    KINDS[settings.kind].check(settings, root)


def named(settings: Promotion, root: Path) -> list[str]:
    """Files and folders of the target that decide what a promotion does, relative to the root."""
    words = [*settings.command, *settings.current, *settings.rollback, *settings.health, settings.public_key]
    found = []
    for word in (*words, *KINDS[settings.kind].paths(settings)):
        path = (root / word).resolve() if word and "\0" not in word else root
        if path != root and path.is_relative_to(root) and len(word) < 1000:
            found.append(path.relative_to(root).as_posix())
    return found
