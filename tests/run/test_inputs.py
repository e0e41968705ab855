"""Inputs that are folders: one record, which sees every change that matters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tamis.errors import RunError
from tamis.run import inputs
from tamis.run.inputs import InputFolder, input_changes, input_records


def write(root: Path, files: dict[str, bytes]) -> InputFolder:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return InputFolder.of(root, sorted(files))


def test_a_folder_is_one_record(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": b"12", "b/c": b"345"})
    records = input_records([folder])
    assert list(records) == ["."]
    assert records["."]["size"] == 5
    assert records["."]["fingerprint"].startswith("folder:")
    os.utime(tmp_path / "a", ns=(1, 1))
    again = input_records([InputFolder.of(tmp_path, ["a", "b/c"])])
    assert input_changes(records, again) == []


@pytest.mark.parametrize(
    "other",
    [
        {"a": b"12", "b/c": b"346"},
        {"a": b"123", "b/c": b"45"},
        {"a": b"12", "b/d": b"345"},
        {"a": b"12", "b/c": b"345", "e": b""},
        {"a": b"34", "b/c": b"512"},
    ],
)
def test_other_folders_differ(tmp_path: Path, other: dict[str, bytes]) -> None:
    folder = write(tmp_path / "x", {"a": b"12", "b/c": b"345"})
    changed = write(tmp_path / "y", other)
    assert folder.fingerprint() != changed.fingerprint()
    assert folder.fingerprint() == InputFolder.of(tmp_path / "x", ["a", "b/c"]).fingerprint()


def test_a_large_folder_is_sampled_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_BLOCK_BYTES", 4)
    monkeypatch.setattr(inputs, "_BLOCKS", 3)
    monkeypatch.setattr(inputs, "WHOLE_BYTES", 100)
    files = {f"{i:03d}": bytes([i]) * 10 for i in range(100)}
    before = write(tmp_path, files).fingerprint()
    seen = set()
    for name in ("000", "049", "050", "099", "030"):
        (tmp_path / name).write_bytes(b"z" * 10)
        seen.add(InputFolder.of(tmp_path, sorted(files)).fingerprint())
        (tmp_path / name).write_bytes(files[name])
    assert before in seen and len(seen) == 5  # 030 lies between the blocks


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": b"12"})
    (tmp_path / "a").unlink()
    with pytest.raises(RunError, match=r"cannot read the input .*a: No such file"):
        folder.fingerprint()
    with pytest.raises(OSError, match="No such file"):
        InputFolder.of(tmp_path, ["a"])
