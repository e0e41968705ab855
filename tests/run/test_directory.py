"""The run directory: resume, refusal of changes, records, and what a complete run looks like."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.run.snapshot import snapshot

from tamis.errors import ChangedError, RunError
from tamis.run import atomic
from tamis.run import inputs as run_inputs
from tamis.run.directory import RunDirectory
from tamis.run.inputs import InputFile, fingerprint, input_changes, input_records
from tamis.run.recipe import config_hash

RECIPE = {"eps": 0.1, "keep": None, "kmeans": {"clusters": 16, "seed": 0}}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(folder / name, np.arange(20).reshape(5, 4))
    return folder


def files_of(pool: Path) -> list[InputFile]:
    return [InputFile.at(path, pool) for path in sorted(pool.iterdir())]


def test_every_kind_of_payload_and_the_final_files(tmp_path: Path, pool: Path) -> None:
    with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)) as run:
        run.commit(
            "write",
            "all",
            {
                "a/bytes": b"1",
                "a/text": "é",
                "array.npy": np.arange(3),
                "table.parquet": pa.table({"x": [1]}),
                "object.json": {"b": 1, "a": 2},
                "streamed": lambda file: file.write(b"s"),
            },
        )
        assert run.done("write", "all")
        assert not run.done("write", "other")
        assert not run.complete
        run.finish()
        assert run.complete
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["config_hash"] == config_hash(RECIPE)
    assert sorted(manifest["inputs"]) == ["a.npy", "b.npy"]
    unit = manifest["units"]["write"]["all"]
    assert unit["status"] == "done"
    assert sorted(unit["files"]) == [
        "a/bytes", "a/text", "array.npy", "object.json", "streamed", "table.parquet",
    ]  # fmt: skip
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["kmeans"]["seed"] == 0
    assert sorted(os.listdir(tmp_path / "run")) == [
        ".lock", "a", "array.npy", "config.toml", "log.jsonl", "manifest.json", "object.json",
        "streamed", "table.parquet",
    ]  # fmt: skip
    assert RunDirectory.read(tmp_path / "run").verify() == []
    (tmp_path / "run" / "streamed").write_bytes(b"t")
    assert RunDirectory.read(tmp_path / "run").verify() == ["streamed"]


def test_resumed_run_keeps_units_and_the_first_plan(tmp_path: Path, pool: Path) -> None:
    plan = {"rows_per_unit": 100}
    with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool), plan=plan) as run:
        assert not run.resumed
        run.commit("embed", "0", {"0.npy": np.zeros(3)})
    other = {"rows_per_unit": 7}
    with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool), plan=other) as run:
        assert run.resumed
        assert run.plan == plan
        assert run.done("embed", "0")
        assert not run.done("embed", "1")


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_unit_with_a_damaged_file_is_done_again(tmp_path: Path, pool: Path, damage: str) -> None:
    with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)) as run:
        run.commit("embed", "0", {"0.bin": b"content", "1.bin": b"more"})
    path = tmp_path / "run" / "0.bin"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"cont")
    with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)) as run:
        assert not run.done("embed", "0")
        with pytest.raises(RunError, match="files of unit 0 of stage embed"):
            run.finish()
        run.commit("embed", "0", {"0.bin": b"content", "1.bin": b"more"})
        run.finish()
    assert RunDirectory.read(tmp_path / "run").verify() == []


def test_reopening_a_complete_run_changes_nothing(tmp_path: Path, pool: Path) -> None:
    def job() -> None:
        with RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)) as run:
            if not run.done("embed", "0"):
                run.commit("embed", "0", {"0.bin": b"content"})
            run.finish()

    job()
    before = snapshot(tmp_path / "run")
    job()
    assert snapshot(tmp_path / "run") == before


def test_changed_recipe_is_refused_with_the_difference(tmp_path: Path, pool: Path) -> None:
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)).close()
    changed = {"eps": 0.2, "keep": None, "kmeans": {"clusters": 16, "seed": 1}}
    with pytest.raises(ChangedError, match=r"recipe \(eps: 0.1 -> 0.2; kmeans.seed: 0 -> 1\)"):
        RunDirectory.open(tmp_path / "run", changed, files_of(pool))
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)).close()  # the lock was released


def test_settings_are_logged_and_no_change(tmp_path: Path, pool: Path) -> None:
    for threads in (1, 2):
        settings = {"threads": threads}
        RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool), settings=settings).close()
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["settings"]["threads"] for record in log] == [1, 2]
    assert [record["resumed"] for record in log] == [False, True]
    assert all(record["peak_memory_bytes"] > 0 for record in log)


def test_another_version_is_refused(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tamis.__version__", "1", raising=False)
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)).close()
    monkeypatch.setattr("tamis.__version__", "2", raising=False)
    with pytest.raises(ChangedError, match=r"another version .tamis: 1 -> 2"):
        RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool))


def change_size(pool: Path) -> None:
    np.save(pool / "b.npy", np.arange(24).reshape(6, 4))


def change_one_value(pool: Path) -> None:
    array = np.load(pool / "b.npy")
    status = (pool / "b.npy").stat()
    array[2, 2] += 1
    np.save(pool / "b.npy", array)
    os.utime(pool / "b.npy", ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (change_size, "b.npy: 288 bytes -> 320 bytes"),
        (change_one_value, "b.npy: same size, other content"),
        (lambda pool: (pool / "b.npy").unlink(), "b.npy: removed"),
        (lambda pool: np.save(pool / "c.npy", np.zeros((1, 4))), "c.npy: added"),
    ],
    ids=["size", "value", "removed", "added"],
)
def test_changed_input_is_refused(tmp_path: Path, pool: Path, change, difference: str) -> None:
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)).close()
    change(pool)
    with pytest.raises(ChangedError, match=rf"input \({difference}\)"):
        RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool))


def test_touched_or_moved_input_is_accepted(tmp_path: Path, pool: Path) -> None:
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(pool)).close()
    os.utime(pool / "a.npy", ns=(1, 1))
    moved = pool.rename(tmp_path / "elsewhere")
    RunDirectory.open(tmp_path / "run", RECIPE, files_of(moved)).close()


def test_many_changes_are_counted(tmp_path: Path) -> None:
    recipe = {f"key{i:02d}": 0 for i in range(14)}
    RunDirectory.open(tmp_path / "run", recipe, []).close()
    with pytest.raises(ChangedError, match="key09: 0 -> 1; and 4 more"):
        RunDirectory.open(tmp_path / "run", dict.fromkeys(recipe, 1), [])


def test_sampled_fingerprint_sees_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_inputs, "WHOLE_BYTES", 1 << 20)
    path = tmp_path / "large"
    content = bytearray(9 << 20)
    seen = set()
    for position in (0, 1, len(content) - 1, None):
        changed = bytearray(content)
        if position is not None:
            changed[position] = 1
        path.write_bytes(changed)
        seen.add(fingerprint(path))
    assert len(seen) == 4
    assert all(text.startswith("sampled:") for text in seen)


def test_missing_input_is_one_sentence(tmp_path: Path) -> None:
    gone = InputFile("x", tmp_path / "x", 1, 1)
    with pytest.raises(RunError, match="cannot read the input"):
        RunDirectory.open(tmp_path / "run", RECIPE, [gone])
    assert input_changes(input_records([]), {}) == []


def test_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"neither empty nor a tamis run .it holds 'thesis.tex'"):
        RunDirectory.open(tmp_path, RECIPE, [])
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 99}', b"\xff"])
def test_foreign_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(RunError, match="was not written by this tamis"):
        RunDirectory.open(tmp_path, RECIPE, [])


def test_reading_wants_a_complete_run_and_never_writes(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a tamis run"):
        RunDirectory.read(tmp_path)
    with RunDirectory.open(tmp_path / "run", RECIPE, []) as run:
        with pytest.raises(RunError, match="has not ended"):
            RunDirectory.read(tmp_path / "run")
        run.finish()
    reader = RunDirectory.read(tmp_path / "run")
    with pytest.raises(RunError, match="reading only"):
        reader.commit("a", "b", {})
    with pytest.raises(RunError, match="reading only"):
        reader.finish()


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", ""])
def test_paths_outside_the_run_are_refused(tmp_path: Path, name: str) -> None:
    with (
        RunDirectory.open(tmp_path / "run", RECIPE, []) as run,
        pytest.raises(ValueError, match="inside the run"),
    ):
        run.commit("a", "b", {name: b""})


def test_full_disk_at_any_write_then_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th write fails, for every n; running again gives the unbroken run's bytes."""

    def job(folder: Path) -> None:
        with RunDirectory.open(folder, RECIPE, []) as run:
            for unit in range(3):
                if not run.done("embed", str(unit)):
                    run.commit("embed", str(unit), {f"e/{unit}.bin": bytes([unit]) * 10})
            run.finish()

    job(tmp_path / "unbroken")
    expected = snapshot(tmp_path / "unbroken")
    write, messages = os.write, []
    for broken in range(1, 100):
        calls = 0

        def failing(file: int, data, broken: int = broken) -> int:
            nonlocal calls
            calls += 1
            if calls == broken:
                os.write(file, data[: len(data) // 2])  # a torn write, then the error
                raise OSError(errno.ENOSPC, "")
            return write(file, data)

        folder = tmp_path / f"run{broken}"
        with monkeypatch.context() as patch:
            patch.setattr(atomic, "_write", failing)
            try:
                job(folder)
            except RunError as error:
                messages.append(str(error))
        job(folder)
        assert snapshot(folder) == expected
        if calls < broken:
            break
    assert len(messages) == broken - 1 >= 8
    assert all("the disk is full" in message for message in messages)
