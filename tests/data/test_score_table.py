"""Score tables: what is found where, how tables are joined, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.data import score_join
from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.data.score_table import ScoreTables
from tamis.errors import PoolError, RunError
from tamis.select import ExpressionError, select

N = 300


def uid(row: int) -> str:
    return f"{int(row) * 0x9E3779B97F4A7C15 % 2**128:032x}"


UIDS = [uid(row) for row in range(N)]
SCORES = np.random.default_rng(0).random(N).astype(np.float32)


def write(path: Path, columns: dict[str, Any], digest: bool = False, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if digest:
        table = table.replace_schema_metadata({METADATA_KEY: ids_digest(Ids.of(columns["uid"]))})
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    write(run / "scores/semdedup.parquet", {"uid": UIDS, "semdedup": SCORES, "reason": [None] * N})
    write(run / "scores/clip/scores.parquet", {"uid": UIDS, "clip": SCORES}, row_group_size=37)
    (run / "scores/waiting/units").mkdir(parents=True)
    return run


def test_the_tables_of_a_run(run: Path) -> None:
    tables = ScoreTables.open(run)
    assert tables.n_rows == N
    assert tables.names() == {
        "uid": ["clip", "semdedup"], "clip": ["clip"], "semdedup": ["semdedup"],
    }  # fmt: skip
    for name in ("clip", "semdedup"):
        cells = tables.column(name).read(30, 200)
        assert (cells.values == SCORES[30:200]).all()
    assert tables.joins["semdedup"].how == "equal ids"
    assert tables.ids.read(36, 40).to_list() == UIDS[36:40]
    assert tables.ids.read(30, 40, [9, 0, 0]).to_list() == [UIDS[39], UIDS[30], UIDS[30]]


def test_a_digest_saves_reading_ids(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("semdedup.parquet", "clip/scores.parquet"):
        column = Path(name).parts[0].removesuffix(".parquet")
        write(run / "scores" / name, {"uid": UIDS, column: SCORES}, digest=True)
    monkeypatch.setattr(score_join, "equal_ids", None)
    monkeypatch.setattr("tamis.data.score_table.equal_ids", None)
    assert select(run, "clip == semdedup & clip > 0.5").report["inputs"][1]["joined"] == {
        "how": "digest", "matched": N, "unmatched": 0, "unused": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind", [np.float16, np.float32, np.float64, np.int8, np.uint32, np.uint64]
)
def test_types_of_numbers(tmp_path: Path, kind: Any) -> None:
    values = np.arange(N).astype(kind)
    path = write(tmp_path / "t.parquet", {"uid": UIDS, "x": values})
    column = ScoreTables.open(path).column("x")
    cells = column.read(0, N)
    assert cells.values.dtype == column.dtype and (cells.values == values).all()
    assert str(column.dtype) == {"float16": "float32", "int8": "int64", "uint32": "int64"}.get(
        np.dtype(kind).name, np.dtype(kind).name
    )


def test_columns_that_are_coded_or_of_no_use(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.parquet",
        {
            "key": UIDS,
            "lang": pa.array(["en", "de", None] * (N // 3)).dictionary_encode(),
            "boxes": [[1.0]] * N,
            "view": pa.array(["en", "de", None] * (N // 3), pa.string_view()),
            "whole": pa.array([None, 2**60 + 1, 3] * (N // 3)),
        },
    )
    assert sorted(ScoreTables.open(path).names()) == ["key", "lang", "view", "whole"]
    assert len(select(path, 'lang != "en"')) == len(select(path, 'view != "en"')) == N // 3
    assert len(select(path, "lang == view")) == 2 * N // 3
    assert len(select(path, f"whole == {2**60 + 1}")) == N // 3
    with pytest.raises(ExpressionError, match="no column is called 'boxes'"):
        select(path, "boxes > 1")


def test_a_folder_is_one_table_in_natural_order(tmp_path: Path) -> None:
    for number, rows in {"2": (0, 100), "10": (100, 101), "30/1": (101, 300)}.items():
        write(
            tmp_path / f"pool/m_{number}.parquet",
            {"uid": UIDS[slice(*rows)], "x": np.arange(*rows), "text": ["a"] * (rows[1] - rows[0])},
        )
    (tmp_path / "pool/.hidden.parquet").write_bytes(b"")
    tables = ScoreTables.open(tmp_path / "pool")
    assert tables.n_rows == N
    assert tables.column("x").read(95, 105).values.tolist() == list(range(95, 105))
    assert tables.column("x").read(250, 252).values.tolist() == [250, 251]
    assert select(tmp_path / "pool", "x >= 99 & x < 102").ids.to_list() == UIDS[99:102]


def test_the_metadata_of_a_pool_stands_for_it(tmp_path: Path) -> None:
    write(tmp_path / "pool/metadata/1.parquet", {"uid": UIDS[:5], "x": np.arange(5)})
    write(tmp_path / "pool/shards/1.parquet", {"key": ["a"], "status": ["success"]})
    assert len(select(tmp_path / "pool", "x > 2")) == 2
    assert len(select(tmp_path / "pool/shards", 'status == "success"')) == 1


def test_a_run_without_tables_takes_the_rows_of_the_first_scores(tmp_path: Path) -> None:
    (tmp_path / "run/scores").mkdir(parents=True)
    other = write(tmp_path / "dfn.parquet", {"uid": UIDS, "dfn": SCORES})
    assert len(select(tmp_path / "run", "top(dfn, 0.5)", scores=[other])) == N // 2


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_join_by_id(run: Path, tmp_path: Path, memory_bytes: int) -> None:
    order = np.random.default_rng(1).permutation(N)[:200]
    other = write(
        tmp_path / "dfn.parquet",
        {
            "uid": [uid(row) for row in order] + [uid(row) for row in range(1000, 1050)],
            "dfn": np.append(SCORES[order], np.full(50, 9, np.float32)),
            "name": [uid(row) for row in order] + [None] * 50,
            "good": [bool(row % 2) for row in order] + [None] * 50,
        },
        row_group_size=33,
    )
    found = select(run, "dfn == clip", scores=[other], memory_bytes=memory_bytes)
    assert found.rows.tolist() == sorted(order)
    assert found.report["without_score"] == 100
    assert found.report["inputs"][2]["joined"] == {
        "how": "by id", "matched": 200, "unmatched": 100, "unused": 50,
    }  # fmt: skip
    assert select(run, "name == clip.uid", scores=[other]).rows.tolist() == sorted(order)
    odd = sorted(row for row in order if row % 2)
    assert select(run, "good", scores=[other]).rows.tolist() == odd
    even = sorted(row for row in order if row % 2 == 0)
    assert select(run, "~good", scores=[other]).rows.tolist() == even
    # Another order of as many rows is no row-by-row join either.
    turned = write(tmp_path / "turned.parquet", {"uid": UIDS[::-1], "back": SCORES[::-1]})
    assert len(select(run, "back == clip", scores=[turned])) == N


@pytest.mark.parametrize("kind", ["keys", "numbers"])
def test_join_by_other_ids(tmp_path: Path, kind: str) -> None:
    ids: list[Any] = [f"{row:09d}" for row in range(N)] if kind == "keys" else list(range(N))
    base = write(tmp_path / "base.parquet", {"key": ids, "x": np.arange(N)})
    other = write(tmp_path / "other.parquet", {"key": ids[::-3], "y": np.arange(N)[::-3]})
    found = select(base, "x == y", scores=[other])
    assert found.ids.to_list() == ids[N % 3 + 2 :: 3] and len(found) == 100


def test_an_id_that_is_there_twice(run: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "dfn.parquet", {"uid": [*UIDS[:5], UIDS[2]], "dfn": np.arange(6.0)})
    with pytest.raises(PoolError, match=rf"dfn.parquet: id '{UIDS[2]}' is there 2 times"):
        select(run, "dfn > 1", scores=[other])
    assert len(select(run, "clip > 0.5", scores=[other])) == (SCORES > 0.5).sum()


def test_a_table_of_another_pool(run: Path, tmp_path: Path) -> None:
    others: list[Any] = [
        [uid(row) for row in range(N, 2 * N)],
        list(range(N)),
        pa.array([], pa.string()),
    ]
    for number, (ids, told) in enumerate(
        zip(others, ["none of", "none of", "no rows"], strict=True)
    ):
        other = write(tmp_path / f"{number}.parquet", {"uid": ids, "dfn": SCORES[: len(ids)]})
        with pytest.raises(PoolError, match=rf"{number}.parquet.*{told}"):
            select(run, "dfn > 0.5", scores=[other])


def test_a_table_of_ours_may_hold_any_ids(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"uid": [f"{row:09d}" for row in range(N)], "x": np.arange(N)}
    base = write(tmp_path / "scores.parquet", keys, digest=True)
    other = write(tmp_path / "other.parquet", {"uid": keys["uid"][::-1], "y": keys["x"]}, True)
    assert select(base, "x > 297 & y < 2", scores=[other]).ids.to_list() == keys["uid"][-2:]
    with pytest.raises(PoolError, match="has 9 characters"):
        _ = select(write(tmp_path / "theirs.parquet", keys), "top(x, 2)").ids


def test_a_name_in_two_tables(run: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "clip.parquet", {"uid": UIDS, "clip": 1 - SCORES, "one": SCORES})
    with pytest.raises(ExpressionError) as caught:
        select(run, "clip > 0.5", scores=[other])
    assert "2 tables have a column 'clip': write clip.clip or clip_2.clip" in str(caught.value)
    high = np.flatnonzero(1 - SCORES > 0.9)
    assert select(run, "clip_2.clip > 0.9", scores=[other]).rows.tolist() == high.tolist()
    assert len(select(run, "clip.clip > 0.9 & clip_2.clip > 0.9", scores=[other])) == 0
    # The same file a second time is no second table.
    again = select(run, "clip > 0.5", scores=[run / "scores/clip/scores.parquet"])
    assert len(again.report["inputs"]) == 2


def test_what_cannot_be_opened(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "fresh/scores/clip/units").mkdir(parents=True)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    write(tmp_path / "noid.parquet", {"x": [1.0]})
    write(tmp_path / "norows.parquet", {"uid": pa.array([], pa.string()), "x": pa.array([], "f4")})
    for path, error, told in (
        (tmp_path / "absent", PoolError, "absent does not exist"),
        (tmp_path / "empty", PoolError, "expected a folder with .parquet files, it has none"),
        (tmp_path / "fresh", RunError, r"holds no score table yet \(clip not finished\)"),
        (tmp_path / "bad.parquet", PoolError, "not a readable parquet file"),
        (tmp_path / "noid.parquet", PoolError, "expected a column uid, id or key, it has x"),
        (tmp_path / "norows.parquet", PoolError, "holds no rows"),
    ):
        with pytest.raises(error, match=told):
            select(path, "x > 1")
    with pytest.raises(PoolError, match="does not exist"):
        select(run, "clip > 1", scores=[tmp_path / "absent"])


def test_ids_that_are_none(tmp_path: Path) -> None:
    for number, (bad, told) in enumerate(
        ((None, "an id is missing"), ("F" * 32, "upper-case"), ("short", "has 5 characters"))
    ):
        path = write(tmp_path / f"{number}.parquet", {"uid": [*UIDS[:3], bad], "x": range(4)})
        with pytest.raises(PoolError, match=told):
            _ = select(path, "x > 2").ids
        assert select(path, "x == 1").ids.to_list() == [UIDS[1]]


def test_files_of_one_folder_that_differ(tmp_path: Path) -> None:
    write(tmp_path / "pool/1.parquet", {"uid": UIDS[:5], "x": np.arange(5, dtype=np.float32)})
    write(tmp_path / "pool/2.parquet", {"uid": UIDS[5:9], "x": np.arange(5.0, 9.0)})
    assert len(select(tmp_path / "pool", "x > 3")) == 5
    write(tmp_path / "pool/3.parquet", {"uid": UIDS[9:], "y": np.arange(N - 9)})
    with pytest.raises(
        PoolError, match=r"3.parquet: expected a column 'x' as in 1.parquet, it has"
    ):
        select(tmp_path / "pool", "x > 3")
    write(tmp_path / "pool/3.parquet", {"uid": UIDS[9:], "x": ["a"] * (N - 9)})
    told = r"3.parquet: column 'x' holds string, but float in 1.parquet"
    with pytest.raises(PoolError, match=told):
        select(tmp_path / "pool", "x > 3")


def test_numbers_of_two_types_lose_nothing(tmp_path: Path) -> None:
    for number, values in enumerate(
        (np.array([1], "f4"), np.array([1 + 2**-40]), np.array([2**40 + 1]))
    ):
        write(tmp_path / f"{number}.parquet", {"uid": [uid(number)], "x": values})
    assert select(tmp_path, f"x == {1 + 2**-40}").rows.tolist() == [1]
    assert select(tmp_path, f"x == {2**40 + 1}").rows.tolist() == [2]
    for number, values in enumerate((pa.array([3], pa.int8()), pa.array([2**60 + 1]))):
        write(tmp_path / f"whole/{number}.parquet", {"uid": [uid(number)], "x": values})
    assert select(tmp_path / "whole", f"x > {2**60}").rows.tolist() == [1]
    write(tmp_path / "whole/2.parquet", {"uid": [uid(2)], "x": [0.5]})
    with pytest.raises(PoolError, match=r"1.parquet: column 'x' holds int64.* not fit double"):
        select(tmp_path / "whole", "x > 1")
    for number, values in enumerate((pa.array(["a"]), pa.array(["b"], pa.large_string()))):
        write(tmp_path / f"texts/{number}.parquet", {"uid": [uid(number)], "x": values})
    assert select(tmp_path / "texts", 'x == "b"').rows.tolist() == [1]


def test_a_damaged_page_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"uid": UIDS, "x": SCORES}, compression="zstd")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(PoolError, match=r"t.parquet: not a readable parquet file"):
        select(path, 'x > 0.5 & uid != "a"')


def test_columns_in_memory() -> None:
    tables = ScoreTables.of(["a", "b"], {"x": [1.0, 2.0], "q": np.array([True, False])})
    assert tables.names() == {"x": ["table"], "q": ["table"]}
    with pytest.raises(ValueError, match="expected 2 values in 'x', got 3"):
        ScoreTables.of(["a", "b"], {"x": [1.0, 2.0, 3.0]})
    with pytest.raises(TypeError, match="expected numbers, bools or texts"):
        ScoreTables.of(["a"], {"x": [[1.0]]})
    with pytest.raises(ValueError, match="give scores to ScoreTables"):
        select(tables, "q", scores=["x.parquet"])


def test_memory_is_a_limit_not_a_need(run: Path) -> None:
    expression = "top(clip, 0.3) within (semdedup < 0.9) | bottom(clip, 3)"
    expected = select(run, expression, block_rows=1024)
    found = select(run, expression, memory_bytes=0)
    assert found.rows.tolist() == expected.rows.tolist()
