"""The page's template: how it prints what came from outside, and where it is kept compiled."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from vallum import __version__
from vallum.reports import text
from vallum.tools import cache_folder, packaged

if TYPE_CHECKING:
    import jinja2

SHORT = 300
"""Characters of a text that is worth remembering as it stands on the page."""
LONGEST = 6_000
"""Characters of any other text."""
TEMPLATE = "index.html.j2"


@functools.cache
def template() -> jinja2.Template:
    """The page's template, compiled once."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        loader=jinja2.FileSystemLoader(packaged("vallum_templates") / "report"),
        bytecode_cache=_compiled(),
    )
    environment.filters |= {"duration": text.duration, "count": text.count, "plain": text.plain}
    return environment.get_template(TEMPLATE)


def _compiled() -> jinja2.BytecodeCache | None:
    """Where the compiled template is kept, by vallum's version and the template's bytes: to compile it takes an eighth of a
    second. Nowhere, where there is no such place."""
    import jinja2

    try:
        folder = cache_folder() / "templates" / f"{__version__}-{jinja2.__version__}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return jinja2.FileSystemBytecodeCache(str(folder))
    except (OSError, RuntimeError):  # read-only, full, or nobody's home
        return None


def source(name: str) -> Path:
    """A file of the page: template, style or script."""
    return packaged("vallum_templates") / "report" / name


def once() -> Callable[[tuple[object, ...], Callable[[], Markup]], Markup]:
    """What the template calls around a block that many findings share: it is rendered once for each key."""
    rendered: dict[tuple[object, ...], Markup] = {}

    def render(key: tuple[object, ...], caller: Callable[[], Markup]) -> Markup:
        found = rendered.get(key)
        if found is None:
            found = rendered[key] = caller()
        return found

    return render


def _finalize(value: object) -> object:
    """Whatever the template prints: bounded, without control characters. Our own style and script pass as Markup."""
    if type(value) is not str:
        return value
    return _safe(value) if len(value) < SHORT else escape(text.plain(value[:LONGEST] + "…" * (len(value) > LONGEST)))


@functools.lru_cache(8_192)  # names and sentences of checks and rules stand on the page again and again
def _safe(value: str) -> Markup:
    return escape(text.plain(value))
