"""Bad input through the command line: a clear error or quarantine, and nothing is lost.

Parameters out of range, a full disk, unwritable folders, changed inputs and two processes on one
run are in `test_dedup`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call
from tests.data.pools import saved, uids, unit_rows, write_datacomp, write_lists

from tamis.data.subset import read_subset

KINDS = {"embedding is zero": 0.0, "embedding has a NaN": np.nan, "infinite value": -np.inf}


def refusal(pool: Path, *more: object) -> str:
    """What is said about a pool that cannot be read; no run directory is begun for it."""
    out = pool.parent / "refused"
    outcome = call("dedup", pool, "--out", out, *more)
    assert outcome.code == 2, outcome
    assert not out.exists()
    return outcome.told


def done(pool: Path, out: Path, *more: object) -> dict[str, Any]:
    """The summary of a run that succeeds."""
    outcome = call("dedup", pool, "--out", out, "--json", *more)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    summary: dict[str, Any] = json.loads(outcome.out)
    kept = summary["kept"] or 0
    assert summary["rows_in"] == kept + (summary["removed"] or 0) + summary["quarantined"]
    return summary


# --- rows ------------------------------------------------------------------------------------


def clustered() -> tuple[np.ndarray, list[str]]:
    """24 rows in a few tight groups, with copies; ids in another order than the rows."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((4, 6)), 6, axis=0)
    rows += 0.15 * rng.standard_normal(rows.shape)
    rows[3], rows[20] = rows[9], rows[9]
    rows = rows[rng.permutation(24)]
    return rows.astype(np.float32), [f"id{value:02d}" for value in rng.permutation(24).tolist()]


def write_npy(folder: Path, rows: np.ndarray, ids: list[str]) -> Path:
    folder.mkdir()
    np.save(folder / "a.npy", rows)
    np.save(folder / "a.ids.npy", np.array(ids))
    return folder


def tables(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Any]]:
    """The lines of scores and groups, and the subset."""
    scores = pq.read_table(run / "scores/semdedup.parquet").to_pylist()
    groups = pq.read_table(run / "groups.parquet").to_pylist()
    return scores, groups, read_subset(run / "subset.parquet").to_list()


@pytest.mark.parametrize("which", ["hard", "easy", "random"])
def test_a_bad_row_anywhere_changes_no_other_decision(tmp_path: Path, which: str) -> None:
    rows, ids = clustered()
    choice = ("--clusters", 3, "--probes", 1, "--eps", 0.05, "--max-bad-fraction", 0.05)
    choice = (*choice, "--which-to-keep", which)
    expected = done(write_npy(tmp_path / "whole", rows, ids), tmp_path / "run", *choice)
    scores, groups, subset = tables(tmp_path / "run")
    assert 0 < expected["removed"] < 24
    assert len({line["cluster"] for line in scores}) == 3

    for place in range(25):
        reason, value = list(KINDS.items())[place % 3]
        bad = rows[place % 24].copy()
        bad[place % 6] = value
        if value == 0:
            bad[:] = 0
        pool = write_npy(
            tmp_path / f"pool{place}",
            np.insert(rows, place, bad, axis=0),
            [*ids[:place], "bad", *ids[place:]],
        )
        run = tmp_path / f"run{place}"
        summary = done(pool, run, *choice)
        assert summary == {**expected, "rows_in": 25, "quarantined": 1}
        found, *rest = tables(run)
        quarantined = found.pop(place)
        assert quarantined["uid"] == "bad" and np.isnan(quarantined["semdedup"])
        assert quarantined["cluster"] is None and quarantined["nearest"] is None
        assert reason in quarantined["reason"]
        assert (found, *rest) == (scores, groups, subset)
        (line,) = pq.read_table(run / "quarantine.parquet").to_pylist()
        assert line == {
            "uid": "bad",
            "file": "a.npy",
            "row": place,
            "reason": quarantined["reason"],
        }


def test_lists_of_another_length_are_quarantined(tmp_path: Path) -> None:
    rows = unit_rows(200, 4).tolist()
    rows[7], rows[9] = rows[7][:3], None
    rows[11] = [1.0, None, 0.0, 0.0]
    column = pa.array(rows, pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": [f"r{row}" for row in range(200)], "v": column}), tmp_path / "p.parquet"
    )
    summary = done(
        tmp_path / "p.parquet", tmp_path / "run", "--keep", 1, "--max-bad-fraction", 0.015
    )
    assert summary["quarantined"] == 3 and summary["kept"] == 197
    lines = pq.read_table(tmp_path / "run/quarantine.parquet").to_pylist()
    assert [line["uid"] for line in lines] == ["r7", "r9", "r11"]
    assert len({line["reason"] for line in lines}) == 3


# --- files that do not belong together ---------------------------------------------------------


@pytest.mark.parametrize("change", [-1, 1])
def test_npz_and_parquet_that_differ_by_one_row(tmp_path: Path, change: int) -> None:
    write_datacomp(tmp_path / "pool", [5, 5])
    file = tmp_path / "pool/0001.parquet"
    pq.write_table(pq.read_table(file).take([*range(5), 0][: 5 + change]), file)
    told = refusal(tmp_path / "pool", "--embedding", "b32_img")
    assert "0001.npz[b32_img] has 5 rows but" in told
    assert f"0001.parquet has {5 + change}" in told


def test_a_missing_npz(tmp_path: Path) -> None:
    write_datacomp(tmp_path / "pool", [5, 5])
    (tmp_path / "pool/0001.npz").unlink()
    told = refusal(tmp_path / "pool", "--embedding", "b32_img")
    assert "0001.parquet has no 0001.npz beside it" in told


def test_ids_that_are_not_as_many_as_rows(tmp_path: Path) -> None:
    pool = write_npy(tmp_path / "pool", unit_rows(5), ["a", "b", "c", "d"])
    told = refusal(pool)
    assert "a.npy" in told and "5 rows" in told and "4" in told


# --- npy files -----------------------------------------------------------------------------------


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def pickled(mark: Path) -> bytes:
    return saved(np.array([Payload(mark)], dtype=object), allow_pickle=True)


NPY: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "truncated": (lambda _: saved(unit_rows(9))[:-1], "but only 143 follow: it is truncated"),
    "cut in the header": (lambda _: saved(unit_rows(9))[:40], "header is cut off"),
    "too long": (lambda _: saved(unit_rows(9)) + b"x", "but 145 follow: it is not one plain"),
    "empty": (lambda _: b"", "the file does not start like one"),
    "bare pickle": (lambda mark: pickle.dumps(Payload(mark)), "does not start like one"),
    "pickled": (pickled, "pickle"),
    "Fortran order": (lambda _: saved(np.asfortranarray(unit_rows(9))), "Fortran"),
    "big-endian": (lambda _: saved(unit_rows(9, dtype=">f4")), "big-endian"),
    "1-D": (lambda _: saved(unit_rows(9)[0]), "expected embeddings of shape (rows, dim), got 1-D"),
    "3-D": (lambda _: saved(unit_rows(9)[None]), "expected embeddings of shape (rows, dim), got 3"),
    "integers": (lambda _: saved(np.ones((3, 4), int)), "of float16, float32 or float64, got int6"),
    "no columns": (lambda _: saved(np.ones((3, 0), "f4")), "dim"),
    "no rows": (lambda _: saved(unit_rows(9)[:0]), "holds no rows"),
}


@pytest.mark.parametrize("fault", NPY)
def test_npy_files_that_cannot_be_read(tmp_path: Path, fault: str) -> None:
    content, message = NPY[fault]
    pool, mark = tmp_path / "rows.npy", tmp_path / "it-ran"
    pool.write_bytes(content(mark))
    told = refusal(pool)
    assert str(pool) in told and message in told
    assert not mark.exists()


def test_a_file_that_is_cut_while_the_run_waits(tmp_path: Path) -> None:
    pool = tmp_path / "rows.npy"
    pool.write_bytes(saved(unit_rows(9)))
    done(pool, tmp_path / "run", "--keep", 1)
    pool.write_bytes(saved(unit_rows(9))[:-1])
    outcome = call("dedup", pool, "--out", tmp_path / "run", "--keep", 1)
    assert outcome.code == 2 and "it is truncated" in outcome.told


# --- ids ---------------------------------------------------------------------------------------


def with_uids(folder: Path, change: Callable[[list[str]], None]) -> Path:
    folder.mkdir()
    texts = uids(5)
    change(texts)
    write_lists(folder / "p.parquet", unit_rows(5), uid=texts)
    return folder


def put(row: int, text: Callable[[str], str]) -> Callable[[list[str]], None]:
    def change(texts: list[str]) -> None:
        texts[row] = text(texts[row])

    return change


def test_duplicated_uids(tmp_path: Path) -> None:
    pool = with_uids(tmp_path / "pool", lambda texts: texts.__setitem__(4, texts[1]))
    told = refusal(pool)
    assert f"id {uids(5)[1]!r} is there twice" in told
    assert "p.parquet row 1 and" in told and "p.parquet row 4; ids must differ" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda uid: uid[:31], "has 31 characters; expected 32 lower-case hexadecimal digits"),
        (lambda uid: uid + "0", "has 33 characters"),
        (lambda uid: "A" + uid[1:].upper(), "has upper-case digits; DataComp's are lower case"),
        (lambda uid: "g" + uid[1:], "is not hexadecimal"),
        (lambda uid: "", "has 0 characters"),
    ],
)
def test_uids_that_are_none(tmp_path: Path, text: Callable[[str], str], message: str) -> None:
    told = refusal(with_uids(tmp_path / "pool", put(3, text)))
    assert "p.parquet: row 3: uid " in told
    assert message in told


def test_an_id_that_is_missing(tmp_path: Path) -> None:
    texts: list[str | None] = [*uids(5)]
    texts[2] = None
    write_lists(tmp_path / "p.parquet", unit_rows(5), uid=texts)
    assert "row 2 of column 'uid' has no id" in refusal(tmp_path / "p.parquet")


def test_long_and_large_ids_are_never_cut(tmp_path: Path) -> None:
    long = [f"{'x' * 300}{row}" for row in range(5)]
    large = [2**63 - 1 - row for row in range(5)]
    for name, ids in {"long": long, "large": large}.items():
        pool = tmp_path / f"{name}.parquet"
        write_lists(pool, unit_rows(5), id=ids)
        done(pool, tmp_path / name, "--keep", 1)
        assert read_subset(tmp_path / name / "subset.parquet").to_list() == sorted(ids)


# --- pools of an odd shape -----------------------------------------------------------------------


def test_pools_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "holds no pool" in refusal(tmp_path / "folder")
    write_lists(tmp_path / "p.parquet", unit_rows(5)[:0], uid=pa.array([], pa.string()))
    assert "holds no rows" in refusal(tmp_path / "p.parquet")
    (tmp_path / "rows.txt").write_text("1 2 3")
    assert "expected a .npy, .parquet or .npz file" in refusal(tmp_path / "rows.txt")


def rows_pool(folder: Path, rows: np.ndarray) -> Path:
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


@pytest.mark.parametrize("choice", [("--eps", 0.1), ("--keep", 1), ("--keep-rows", 1)])
def test_one_row(tmp_path: Path, choice: tuple[object, ...]) -> None:
    pool = rows_pool(tmp_path, unit_rows(1))
    summary = done(pool, tmp_path / "run", *choice)
    assert (summary["kept"], summary["removed"]) == (1, 0)
    assert read_subset(tmp_path / "run/subset.parquet").to_list() == [0]
    assert "n_clusters=2 is more than the 1 usable rows" in refusal(pool, "--clusters", 2)


@pytest.mark.parametrize("clusters", [1, 4, 50, "auto"])
def test_all_rows_equal(tmp_path: Path, clusters: object) -> None:
    """Equal rows fall into one cluster, whatever the number of clusters, and one stays."""
    pool = rows_pool(tmp_path, np.repeat(unit_rows(1), 50, axis=0))
    for rule in ("semdedup", "greedy", "components"):
        choice = ("--clusters", clusters, "--eps", 1e-3, "--rule", rule)
        summary = done(pool, tmp_path / rule, *choice)
        assert (summary["kept"], summary["removed"], summary["orphans"]) == (1, 49, 0)
        assert summary["recall"]["share"] == 1.0 and summary["residual"]["count"] == 0
    summary = done(pool, tmp_path / "half", "--clusters", clusters, "--keep", 0.5)
    assert (summary["kept"], summary["ties_at_cut"]) == (25, 49)
    assert read_subset(tmp_path / "half/subset.parquet").to_list() == list(range(25))
    summary = done(pool, tmp_path / "zero", "--clusters", clusters, "--eps", 0)
    assert summary["kept"] == 50


@pytest.mark.parametrize("clusters", [1, 4, 50, "auto"])
def test_all_rows_distinct(tmp_path: Path, clusters: object) -> None:
    pool = rows_pool(tmp_path, np.eye(50, dtype=np.float32))
    choice = ("--clusters", clusters, "--eps", 0.5)
    summary = done(pool, tmp_path / "run", *choice)
    assert (summary["kept"], summary["removed"]) == (50, 0)
    assert summary["recall"]["share"] is None  # nothing to find
    assert pq.read_table(tmp_path / "run/groups.parquet").num_rows == 0
    everything = done(pool, tmp_path / "two", "--clusters", 1, "--eps", 2)
    assert everything["kept"] == 1  # every cosine is above float32(1 - 2)


def test_fewer_usable_rows_than_asked_for(tmp_path: Path) -> None:
    """Only reading tells how many rows are usable; then it is said before any other work."""
    rows = unit_rows(20)
    rows[:2] = 0
    pool = rows_pool(tmp_path, rows)
    for choice, told in {
        ("--clusters", 19): "n_clusters=19 is more than the 18 usable rows",
        ("--keep-rows", 19): "keep_rows=19 is more than the 18 usable rows",
    }.items():
        out = tmp_path / f"run{choice[0]}"
        outcome = call("dedup", pool, "--out", out, "--max-bad-fraction", 0.1, *choice)
        assert outcome.code == 2
        assert told in outcome.told
        assert not (out / "clusters").exists()
