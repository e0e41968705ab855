"""Files that are given by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.data.asset import AssetError, asset


def test_the_run_knows_a_file_by_its_role(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("one")
    file = asset(path, "wnids", expected="ids")
    assert (file.path, file.location, file.size) == ("wnids/ids.txt", path, 3)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"expected ids at .*, but that is a folder"):
        asset(tmp_path, "wnids", expected="ids")
