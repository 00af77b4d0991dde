"""Settings from the environment, or from a file named by NAME_FILE (a mounted secret)."""
import os
import sys
from pathlib import Path


def setting(name: str, default: str | None = None) -> str:
    file = os.environ.get(f"{name}_FILE")
    value = Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get(name, default)
    if not value:
        sys.exit(f"set {name} or {name}_FILE")
    return value
