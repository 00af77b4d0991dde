"""What actions/upload-artifact v4 does with its patterns, as far as ours need it."""

import glob
import os
import shutil
import sys
from pathlib import Path

name, hidden = os.environ["NAME"], os.environ["HIDDEN"] == "true"
if any(character in name for character in '":<>|*?\r\n\\/'):
    sys.exit(f"artifact name {name!r} is not valid")
store = Path(os.environ["STAND_IN"]) / "artifacts" / name
if store.exists() and os.environ["OVERWRITE"] != "true":
    sys.exit(f"an artifact {name} exists")
roots, files = [], []
for pattern in filter(None, map(str.strip, os.environ["PATTERNS"].splitlines())):
    base = os.path.normpath(pattern.partition("*")[0])
    found = [pattern, *glob.glob(f"{pattern}/**", recursive=True, include_hidden=hidden)] if "*" not in pattern else []
    found += glob.glob(pattern, recursive=True, include_hidden=hidden) if "*" in pattern else []
    files += [os.path.normpath(path) for path in found if os.path.isfile(path)]
    roots.append(os.path.dirname(base) if os.path.isfile(base) else base)
if not hidden:
    files = [path for path in files if not any(part.startswith(".") for part in Path(path).parts)]
if not files:
    print(f"no files found for {os.environ['PATTERNS']!r}")
    sys.exit(os.environ["NONE"] == "error")
root = os.path.commonpath(roots)
shutil.rmtree(store, ignore_errors=True)
for path in files:
    to = store / os.path.relpath(path, root)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
print(f"{len(files)} files in the artifact {name}")
