"""`vallum`: nox with our noxfile on your repository. Maps exit codes; the only place that exits.

0 pass, 1 the policy blocks, 2 the user's mistake, 3 incomplete, 4 our bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from vallum import __version__
from vallum.errors import UserError

EPILOG = """\
  vallum                       everything that applies, in parallel, then the gate and the report
  vallum -l                    the sessions, each with its one line
  vallum -s semgrep pip-audit  some checks, and a verdict on these
  vallum -t source             the checks of one ring
  vallum -s gate               judge the outcomes that are there
exit codes: 0 pass, 1 blocked by the policy, 2 your mistake, 3 incomplete, 4 our bug, 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vallum",
        description="Take a repository of microservices from source to one verdict: proved, or red.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-C", dest="root", metavar="DIR", default=".", help="the repository (default: this folder)")
    parser.add_argument("-l", "--list", action="store_true", help="list the sessions")
    parser.add_argument("-s", "--sessions", nargs="+", metavar="NAME", default=[], help="sessions or checks to run")
    parser.add_argument("-t", "--tags", nargs="+", metavar="TAG", default=[], help="checks with one of these tags")
    parser.add_argument(
        "--no-gate", action="store_true", help="with -s or -t: gather outcomes of the plan, judge nothing"
    )
    parser.add_argument(
        "--online", action="store_true", help="take advisories from api.osv.dev, whatever vallum.toml says"
    )
    parser.add_argument(
        "--base",
        metavar="REV",
        help="judge by the settings of this commit or branch (default: in GitHub's pull_request what it is to be merged into)",
    )
    parser.add_argument(
        "--trust-change",
        action="store_true",
        help="judge a change by its own settings, to try them out; the verdict says so",
    )
    parser.add_argument("--version", action="version", version=f"vallum {__version__}")
    return parser


def main() -> NoReturn:
    """Run, and exit with the code that the verdict asks for."""
    try:
        code = run(sys.argv[1:])
    except UserError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted: there is no verdict", file=sys.stderr)
        code = 130
    except Exception:  # noqa: BLE001 - the last line of defence: own up, with all that a report needs
        print(f"vallum {__version__}, Python {sys.version.split()[0]}, {sys.platform}", file=sys.stderr)
        traceback.print_exc()
        print("error: this is a bug in vallum; there is no verdict. Please report the lines above.", file=sys.stderr)
        code = 4
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a plan that nobody got is no empty plan
            code = code or 3
    os._exit(code)  # at once: to give back the memory of a million findings, one by one, takes seconds


def run(arguments: list[str]) -> int:
    """Do what `arguments` ask; returns the exit code."""
    before, _, after = _split(arguments)
    options = _parser().parse_args(before)
    root = Path(options.root).resolve()
    if not root.is_dir():
        raise UserError(f"{options.root} is not a folder", "name the repository to check: vallum -C FOLDER")
    if options.list:
        return _list(root)
    from vallum.process import ended_by_signals

    with ended_by_signals():
        return _dispatch(root, options, after)


def _split(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" in arguments:
        cut = arguments.index("--")
        return arguments[:cut], "--", arguments[cut + 1 :]
    return arguments, "", []


def _list(root: Path) -> int:
    """Nox prints the list; this process becomes it."""
    os.environ |= {"VALLUM_ROOT": str(root), "PYTHONSAFEPATH": "1", "NOX_SCRIPT_MODE": "none"}
    noxfile = Path(__file__).parent / "_noxfile.py"
    os.execv(sys.executable, [sys.executable, "-m", "nox", "--noxfile", str(noxfile), "-l"])  # noqa: S606 - no shell


def _dispatch(root: Path, options: argparse.Namespace, after: list[str]) -> int:
    from vallum import commands, gather, mergebase

    if options.base is not None and not options.base.strip():
        raise UserError("--base is empty", "name a branch, tag or commit, such as origin/main")
    os.environ |= {mergebase.BASE: options.base} if options.base else {}
    os.environ |= {mergebase.TRUST_CHANGE: "1"} if options.trust_change else {}
    if options.online:
        os.environ[gather.ADVISORIES] = "online"
    selected = list(options.sessions)
    known = gather.all_checks(gather.open_target(root)[1]) if options.tags else ()
    for tag in options.tags:
        tagged = [check.id for check in known if tag in {check.stage, *check.tags}]
        if not tagged:
            tags = sorted({tag for check in known for tag in (check.stage, *check.tags)})
            raise UserError(f"no check has the tag {tag!r}", f"known: {', '.join(tags)}")
        selected += tagged
    own = [name for name in selected if name in commands.COMMANDS and name != "pipeline"]
    checks = tuple(name for name in selected if name not in commands.COMMANDS)
    if options.no_gate:
        return _gather(root, checks)
    if len(own) > 1 or (own and checks):
        raise UserError(f"`{own[0]}` runs alone", "call vallum once for each")
    run_id = os.environ["VALLUM_RUN"] = secrets.token_hex(8)
    if own and own[0] != "gate":
        failed = commands.COMMANDS[own[0]](root, tuple(after))
        if failed:
            print(f"error: {failed}", file=sys.stderr)
        from vallum.promote import Blocked

        refused = 1 if own[0] == "verify" or isinstance(failed, Blocked) else 3
        return refused if failed else 0
    if own:
        del os.environ["VALLUM_RUN"]
        commands.gate(root, ())
    else:
        commands.pipeline(root, checks)
    verdict = commands.last_ending(root)
    if not own and verdict.run != run_id:
        raise UserError("the verdict on disk is of another run", f"another vallum works on {root}?")
    from vallum.verdict import EXIT

    return EXIT[verdict.status]


def _gather(root: Path, checks: tuple[str, ...]) -> int:
    """Only outcomes, for a job of a matrix: the plan is the one on disk, or is made now."""
    from vallum import commands, gather

    scope = commands.scope(root, checks)
    made = gather.current_plan(root)
    everything = gather.all_checks(gather.open_target(root)[1])
    for check in everything:
        if check.id in scope and gather.session_of(check) != gather.STAGED_SESSION:
            gather.run_check(check, root)
    if any(gather.session_of(check) == gather.STAGED_SESSION for check in everything if check.id in scope):
        gather.run_staged(root)
    from vallum.outcome import Completed
    from vallum.runner import read

    outcomes = [read(root, p.check, unit, made.run) for p in made.planned() if p.check in scope for unit in p.units]
    return 0 if all(isinstance(outcome, Completed) for outcome in outcomes) else 3
