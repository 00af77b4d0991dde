"""A target may hold links. None of them may lead vallum's own writing out of the target."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", [".vallum", ".vallum/outcomes", ".vallum/report"])
def test_a_linked_folder_is_refused_and_nothing_is_written_through_it(make_tree, vallum, tmp_path, name: str) -> None:
    root = make_tree({"app.py": "x = 1\n"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(outside)
    done = vallum("-C", str(root), "-s", "bandit")
    assert done.returncode == 2
    assert "is a link" in done.stderr
    assert list(outside.iterdir()) == []
