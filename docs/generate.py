# ruff: noqa: INP001 - a script, not a package
"""Write what follows from the code: a page a check, the configuration reference, two JSON Schemas, the index of our rules.

`python docs/generate.py` writes them; `--check` writes nothing, prints what differs and exits 1 where something does.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]

import msgspec  # noqa: E402 - the path comes first

import vallum_checks  # noqa: E402
from vallum.check import Check, Stage  # noqa: E402
from vallum.config import Config  # noqa: E402
from vallum.verdict import Verdict  # noqa: E402
from vallum_checks import _rulepack  # noqa: E402

NOTE = "<!-- Written by docs/generate.py from {source}. Change that, then run `nox -s docs`. -->\n\n"
LOCKS = ROOT / "checks" / "vallum_checks" / "locks"
RINGS = {
    Stage.SOURCE: "the source, as it lies in the repository",
    Stage.DEPENDENCIES: "the packages that it names",
    Stage.IMAGES: "what it ships in",
    Stage.STAGED: "the deployed services, under attack",
}


def modules() -> dict[str, ModuleType]:
    """Each module of vallum_checks that defines a check, by the check's id. A module that cannot be imported is an error."""
    found = {}
    for info in pkgutil.iter_modules(vallum_checks.__path__):
        module = importlib.import_module(f"vallum_checks.{info.name}")
        check = getattr(module, "CHECK", None)
        if isinstance(check, Check):
            found[check.id] = module
    return found


def pages() -> dict[str, str]:
    """Every generated file: path below docs/ to content."""
    by_id = modules()
    files = {f"checks/{check.id}.md": check_page(check, by_id[check.id]) for check in vallum_checks.CHECKS}
    files["checks/README.md"] = index_page()
    files["configuration.md"] = configuration_page()
    files["vallum.schema.json"] = schema(Config, "vallum.toml")
    files["verdict.schema.json"] = schema(Verdict, ".vallum/verdict.json")
    files[f"../checks/vallum_checks/rules/{_rulepack.INDEX}"] = rules_index()
    return files


def rules_index() -> str:
    """What the rule files hold, so that a run need not parse them."""
    return msgspec.json.format(msgspec.json.encode(_rulepack.own_index())).decode() + "\n"


def index_page() -> str:
    """The table of all checks, ring by ring."""
    text = NOTE.format(source="vallum_checks.CHECKS") + "# The checks\n\n"
    text += "From the outside in. A check that applies is planned; a planned check that cannot tell makes the verdict "
    text += "INCOMPLETE, unless the configuration calls it `optional`.\n"
    for stage in Stage:
        rows = [check for check in vallum_checks.CHECKS if check.stage is stage]
        if rows:
            text += f"\n## {stage.capitalize()}: {RINGS[stage]}\n\n| check | looks at | tags |\n|---|---|---|\n"
            text += "".join(
                f"| [{check.id}]({check.id}.md) | {check.summary} | {_codes(check.stage, *check.tags)} |\n"
                for check in rows
            )
    return text


def check_page(check: Check, module: ModuleType) -> str:
    """What one check does, in its own words, and its fixed figures."""
    relative = Path(str(module.__file__)).relative_to(ROOT).as_posix()
    staged = " (in the session `dast`, on a deployment of its own)" if check.stage is Stage.STAGED else ""
    rows = [
        ("ring", f"`{check.stage}`: {RINGS[check.stage]}"),
        ("run it", f"`vallum -s {check.id}`{staged}"),
        ("tags", _codes(check.stage, *check.tags)),
        ("tool", ", ".join(_pinned(name) for name in check.tools) or "none of its own from a lock file"),
        ("deadline", f"{check.deadline:g} s for one unit"),
        ("code", f"[{relative}](../../{relative})"),
    ]
    text = NOTE.format(source=relative) + f"# {check.id}\n\n{check.summary}\n\n{_prose(module.__doc__ or '')}\n\n"
    text += "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)
    text += "\nIn `vallum.toml` (these are the defaults; see [configuration](../configuration.md)):\n\n```toml\n"
    text += f'[checks.{check.id}]\nrequire = "required"   # or "optional", "off"\ndeadline = {check.deadline:g}\n```\n'
    return text


def configuration_page() -> str:
    """Every table of vallum.toml, in the order of Config, nested ones after the one that names them."""
    text = NOTE.format(source="pipeline/vallum/config.py")
    text += "# Configuration\n\n`vallum.toml` at the top of the repository, or `[tool.vallum]` in `pyproject.toml`; the first "
    text += "that exists is read whole. Without either, all defaults hold. An unknown key is an error, with its line. "
    text += "A JSON Schema for editors: [vallum.schema.json](vallum.schema.json). `vallum -s init` writes a commented file.\n"
    return text + "".join(_tables(Config, "", set()))


def _tables(type_: type[msgspec.Struct], path: str, seen: set[type]) -> list[str]:
    if type_ in seen:
        return []
    seen.add(type_)
    title = f"`[{path}]`" if path else "Top level"
    text = f"\n## {title}\n\n{_prose(type_.__doc__ or '') if path else ''}".rstrip("\n") + "\n"
    rows, below = [], []
    for field in msgspec.structs.fields(type_):
        key, kind = field.encode_name, _inner(field.type)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            mapped = getattr(field.type, "__origin__", None) is dict
            below += _tables(kind, ".".join(filter(None, [path, key, "NAME" if mapped else ""])), seen)
        rows.append(f"| `{key}` | {_type(field.type)} | {_default(field)} |\n")
    if rows:
        text += "\n| key | takes | default |\n|---|---|---|\n" + "".join(rows)
    return [text, *below]


def _inner(kind: Any) -> Any:
    """The Struct inside an optional, a mapping or a list, where there is one."""
    for argument in getattr(kind, "__args__", ()):
        found = _inner(argument)
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            return found
    return kind


def _type(kind: Any) -> str:
    """A type in a person's words."""
    described = msgspec.inspect.type_info(kind)
    return _describe(described)


def _describe(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(f'`"{value}"`' for value in values)
        case msgspec.inspect.EnumType(cls=cls):
            return "one of " + ", ".join(f'`"{member.value}"`' for member in cls)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_describe(each) for each in types if not isinstance(each, msgspec.inspect.NoneType))
        case msgspec.inspect.VarTupleType(item_type=item) | msgspec.inspect.ListType(item_type=item):
            return f"list, each {_describe(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"table of names, each {_describe(value)}"
        case msgspec.inspect.StructType():
            return "a table, below"
        case msgspec.inspect.Metadata(type=inner):
            return _describe(inner)
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            word = "whole number" if isinstance(info, msgspec.inspect.IntType) else "number"
            signs = {"gt": "over", "ge": "at least", "lt": "under", "le": "at most"}
            limits = [
                f"{sign} {getattr(info, name):g}" for name, sign in signs.items() if getattr(info, name) is not None
            ]
            return " ".join([word, ", ".join(limits)]).strip()
        case msgspec.inspect.BoolType():
            return "`true` or `false`"
        case msgspec.inspect.StrType():
            return "string"
        case _:
            return "any value"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "the defaults below"
    if value is None or value == {}:
        return "none"
    if value in {"", ()}:
        return "empty"
    return f"`{msgspec.json.encode(value).decode()}`"


def schema(type_: type[msgspec.Struct], what: str) -> str:
    """A JSON Schema (2020-12) of one of our files."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": what, **msgspec.json.schema(type_)}
    return msgspec.json.format(msgspec.json.encode(made, order="deterministic"), indent=2).decode() + "\n"


def _prose(docstring: str) -> str:
    """A docstring as Markdown: its paragraphs, its indentation removed."""
    lines = docstring.strip().splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    cut = min(indents, default=0)
    return "\n".join([line if number == 0 else line[cut:] for number, line in enumerate(lines)]).strip()


def _pinned(name: str) -> str:
    """`NAME VERSION (locks/NAME.txt)` of a tool, from the first line of its lock."""
    first = (LOCKS / f"{name}.txt").read_text("utf-8").splitlines()[0]
    found = re.fullmatch(r"# tool: (\S+)==(\S+)", first)
    if found is None:
        raise SystemExit(f"{name}.txt does not begin with `# tool: NAME==VERSION`")
    return f"{found[1]} {found[2]} ([hashed lock](../../checks/vallum_checks/locks/{name}.txt))"


def _codes(*words: str) -> str:
    return " ".join(f"`{word}`" for word in dict.fromkeys(words))


def stale(folder: Path, wanted: dict[str, str]) -> list[str]:
    """What would change in `folder`, as the lines of a diff."""
    lines: list[str] = []
    for name, text in wanted.items():
        path = folder / name
        before = path.read_text("utf-8") if path.exists() else ""
        lines += difflib.unified_diff(before.splitlines(), text.splitlines(), f"docs/{name}", "generated", lineterm="")
    lines += [f"docs/checks/{path.name}: there is no such check" for path in _left_over(folder, wanted)]
    return lines


def _left_over(folder: Path, wanted: dict[str, str]) -> list[Path]:
    return [path for path in sorted((folder / "checks").glob("*.md")) if f"checks/{path.name}" not in wanted]


def main(arguments: list[str], folder: Path = ROOT / "docs") -> int:
    """Write, or compare; returns the exit code."""
    wanted = pages()
    if arguments == ["--check"]:
        lines = stale(folder, wanted)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        if lines:
            sys.stderr.write("the generated pages are stale: run `nox -s docs`\n")
        return 1 if lines else 0
    if arguments:
        sys.stderr.write("usage: generate.py [--check]\n")
        return 2
    for path in _left_over(folder, wanted):
        path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
