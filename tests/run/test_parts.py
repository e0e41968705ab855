"""Parts of a job array share a run, and their result has the bytes of one process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.errors import ChangedError, LockedError
from tamis.run.directory import RunDirectory
from tamis.run.lock import RunLock
from tamis.run.manifest import new_manifest
from tamis.run.parts import Part, parse_part, part_of
from tamis.run.pool_link import pool_of, remember_pool
from tamis.run.status import RunStatus

UNITS = [f"{unit:05d}" for unit in range(7)]
RECIPE = {"eps": 0.1}


def work(path: Path, part: Part | None = None, units: list[str] = UNITS) -> list[str]:
    """Do what is missing of a part, or of all; return the units that were done now."""
    done_now = []
    with RunDirectory.open(path, RECIPE, [], plan={"rows": 2}, part=part) as run:
        for unit in part_of(units, part):
            if not run.done("embed", unit):
                run.commit("embed", unit, {f"rows/{unit}.npy": np.full((2, 3), int(unit), "f2")})
                done_now.append(unit)
        run.finish()
    return done_now


def content(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in ("log.jsonl", ".lock")
    }


@given(st.integers(0, 30), st.integers(1, 9))
def test_parts_share_the_units(n_units: int, n_parts: int) -> None:
    parts = [part_of(range(n_units), (i, n_parts)) for i in range(1, n_parts + 1)]
    assert sorted(unit for part in parts for unit in part) == list(range(n_units))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "/2", "1/", "-1/2", "1/2/3", "a/b", "1/0"])
def test_a_part_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="I/N with 1 <= I <= N, such as 2/8"):
        parse_part(text)


def test_parts_and_a_join_have_the_bytes_of_one_process(tmp_path: Path) -> None:
    assert work(tmp_path / "one") == UNITS
    for i in (3, 1, 2):
        assert work(tmp_path / "parts", (i, 3)) == UNITS[i - 1 :: 3]
        assert not (tmp_path / "parts" / "units.jsonl").exists()
    assert work(tmp_path / "parts") == []
    assert content(tmp_path / "parts") == content(tmp_path / "one")


def test_the_join_does_what_parts_left(tmp_path: Path) -> None:
    work(tmp_path / "one")
    work(tmp_path / "parts", (2, 3))
    assert work(tmp_path / "parts", (1, 2)) == ["00000", "00002", "00006"]  # 4 was part 2/3's
    assert work(tmp_path / "parts") == ["00003", "00005"]
    assert content(tmp_path / "parts") == content(tmp_path / "one")


def test_parts_at_the_same_time(tmp_path: Path) -> None:
    work(tmp_path / "one")
    workers = [threading.Thread(target=work, args=(tmp_path / "run", (i, 4))) for i in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert work(tmp_path / "run") == []
    assert content(tmp_path / "run") == content(tmp_path / "one")


def test_parts_that_begin_together_keep_one_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def slowly(*given: Any) -> dict[str, Any]:
        fresh = new_manifest(*given)
        both.wait(timeout=60)  # neither has written yet
        return fresh

    def begin(i: int) -> None:
        with RunDirectory.open(tmp_path, RECIPE, [], plan={"rows": i}, part=(i, 2)) as run:
            plans.append(run.plan)

    plans: list[dict[str, Any]] = []
    monkeypatch.setattr("tamis.run.directory.new_manifest", slowly)
    workers = [threading.Thread(target=begin, args=(i,)) for i in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(plans) == 2 and plans[0] == plans[1]


def test_who_excludes_whom(tmp_path: Path) -> None:
    with RunLock(tmp_path, (1, 2)):
        with RunLock(tmp_path, (2, 2)), RunLock(tmp_path, (1, 3)):
            pass
        with pytest.raises(LockedError, match="in use by process"):
            RunLock(tmp_path, (1, 2))
        with pytest.raises(LockedError, match="in use by process"):
            RunLock(tmp_path)
    with RunLock(tmp_path), pytest.raises(LockedError, match="in use by process"):
        RunLock(tmp_path, (1, 2))


def test_a_part_leaves_the_unfinished_files_of_others(tmp_path: Path) -> None:
    work(tmp_path, (1, 2))
    other = tmp_path / "rows" / ".00001.npy.0.tamis-tmp"
    other.write_bytes(b"half")
    work(tmp_path, (1, 2))
    assert other.exists()
    work(tmp_path)
    assert not other.exists()


def test_a_run_leaves_the_unfinished_files_of_its_steps(tmp_path: Path) -> None:
    step = tmp_path / "scores" / "clip"
    remember_pool(tmp_path, "pool")
    with RunDirectory.open(step, {}, []):
        others = [step / ".0.parquet.0.tamis-tmp", tmp_path / ".pool.json.0.tamis-tmp"]
        own = tmp_path / ".subset.npy.0.tamis-tmp"
        for path in (*others, own):
            path.write_bytes(b"half")
        whole = RunDirectory.open(tmp_path, RECIPE, [])
        assert all(path.exists() for path in others) and not own.exists()
        whole.finish()
        assert [path.exists() for path in others] == [True, False]
        whole.close()
    RunDirectory.open(step, {}, []).close()
    assert not any(path.exists() for path in others)


def test_a_part_of_another_recipe_is_refused(tmp_path: Path) -> None:
    work(tmp_path, (1, 2))
    with pytest.raises(ChangedError, match=r"eps: 0.1 -> 0.2"):
        RunDirectory.open(tmp_path, {"eps": 0.2}, [], part=(2, 2))


def test_the_pool_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pool_of("run") is None
    remember_pool("run", "pool")
    remember_pool("run", tmp_path / "pool")
    remember_pool("run", "run/embeddings/clip")
    assert pool_of("run") == str(tmp_path / "pool")
    with pytest.raises(ChangedError, match=r"is about the pool .*pool, not .*other"):
        remember_pool("run", "other")
    RunDirectory.open("run", RECIPE, []).close()  # a step may come before the run


def test_the_status_of_a_run(tmp_path: Path) -> None:
    assert not RunStatus.of(tmp_path).started
    work(tmp_path, (1, 2))
    work(tmp_path, (2, 2), UNITS[:2])
    status = RunStatus.of(tmp_path)
    assert status.started and not status.complete
    assert status.units == {"embed": 5} and status.recipe == RECIPE
    work(tmp_path)
    assert RunStatus.of(tmp_path).complete and RunStatus.of(tmp_path).units == {"embed": 7}
