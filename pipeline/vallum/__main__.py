"""`python -I pipeline/vallum/__main__.py` in a clone, `python -I -m vallum` where it is installed."""

import sys
from pathlib import Path

if __package__ in {None, ""}:
    _pipeline = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(_pipeline), str(_pipeline.parent / "checks"), str(_pipeline.parent / "templates")]

from vallum.cli import main

if __name__ == "__main__":
    main()
