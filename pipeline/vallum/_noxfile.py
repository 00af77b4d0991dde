"""What vallum can do here; `vallum` alone is `vallum -s pipeline`. Each line: a session, its tags, what it does."""

import sys
from pathlib import Path

# vallum lies beside this file, so that a clone needs no install
_pipeline = Path(__file__).resolve().parents[1]
for _root in (_pipeline, _pipeline.parent / "checks", _pipeline.parent / "templates"):
    if _root.is_dir() and str(_root) not in sys.path and _root.name in {"pipeline", "checks", "templates"}:
        sys.path.insert(0, str(_root))

from vallum.sessions import register  # noqa: E402 - the path comes first

register()
