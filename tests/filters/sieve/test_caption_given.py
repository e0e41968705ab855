"""Captions that were made elsewhere, sound and hostile."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.filters.sieve.captioners import Toy, picture, write_images

from tamis.data.limits import Limits
from tamis.data.samples import SamplePool, open_samples
from tamis.errors import BadRowsError, ChangedError, PoolError
from tamis.filters.sieve.caption_given import CaptionMembers, CaptionTable
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.captioner import NOT_GIVEN
from tamis.filters.sieve.captioners import open_captioner
from tamis.filters.sieve.captions import run_captions, step_folder


def run(pool: SamplePool, out: Path, spec: Any, **options: Any) -> dict[str, Any]:
    captioner = open_captioner(spec) if isinstance(spec, str) else spec
    given: dict[str, Any] = {"captions": 3, "rows_per_unit": 4, "max_bad_fraction": 1}
    return run_captions(pool, out, captioner, **given | options)


def read(out: Path) -> tuple[list[list[str]], list[str | None]]:
    store = CaptionStore.open(out)
    found = store.read(0, store.n_rows)
    return found.to_lists(), found.reasons.to_pylist()


def uid(row: int) -> str:
    return f"{row:032x}"


def write_tar(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, members in samples.items():
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def sample(row: int, *captions: bytes) -> dict[str, bytes]:
    members = {"png": picture(row), "txt": b"alt", "json": json.dumps({"uid": uid(row)}).encode()}
    return members | dict(zip(["caption.txt"], captions, strict=False))


MEMBERS = {
    "0": (b"a dog\na cat\n",),
    "1": (b"  spaced \r\n\r\n\n\xc3\xa9t\xc3\xa9",),
    "2": (),
    "3": (b"",),
    "4": (b"bad \xff\ngood",),
    "5": (b"nul \0 here",),
    "6": (b"one\ntwo\nthree\nfour\nfive",),
    "7": (b"x" * 101,),
    "8": (b" \n\t\n",),
}
FROM_MEMBERS = [
    (["a dog", "a cat"], None),
    (["  spaced ", "été"], None),
    ([], NOT_GIVEN),
    ([], NOT_GIVEN),
    (["good"], None),
    ([], "text holds a NUL character"),
    (["one", "two", "three"], None),
    ([], "text has too many bytes"),
    ([], NOT_GIVEN),
]


@pytest.fixture
def tars(tmp_path: Path) -> SamplePool:
    samples = {key: sample(int(key), *captions) for key, captions in MEMBERS.items()}
    write_tar(tmp_path / "pool" / "00000.tar", dict(list(samples.items())[:5]))
    write_tar(tmp_path / "pool" / "00001.tar", dict(list(samples.items())[5:]))
    return open_samples(tmp_path / "pool")


def test_members_of_tars(tars: SamplePool, tmp_path: Path) -> None:
    summary = run(tars, tmp_path / "run", CaptionMembers(limits=Limits(text_bytes=100)))
    assert list(zip(*read(tmp_path / "run"), strict=True)) == FROM_MEMBERS
    assert (summary["captioned"], summary["short"], summary["uncaptioned"]) == (4, 3, 5)
    assert summary["captioner"] == {"model": "given: members .caption.txt"}
    assert summary["name"] == "members"
    assert {sample.text for unit in tars.units(9) for sample in tars.read(unit, ["text"])} == {
        "alt"
    }
    assert run(tars, tmp_path / "other", "members:TXT")["captioned"] == 9
    assert read(tmp_path / "other")[0] == [["alt"]] * 9
    dotted = CaptionMembers(".caption.txt", Limits(text_bytes=100))
    assert run(tars, tmp_path / "run", dotted) == summary  # the same captions


def test_members_beside_metadata(tars: SamplePool, tmp_path: Path) -> None:
    (tmp_path / "pool" / "metadata").mkdir()
    table = pa.table({"uid": [uid(row) for row in range(9)][::-1], "note": ["x"] * 9})
    pq.write_table(table, tmp_path / "pool" / "metadata" / "a.parquet")
    joined = open_samples(tmp_path / "pool")
    assert "note" in joined.columns
    run(joined, tmp_path / "run", CaptionMembers(limits=Limits(text_bytes=100)))
    assert list(zip(*read(tmp_path / "run"), strict=True)) == FROM_MEMBERS


def test_members_of_a_damaged_sample(tmp_path: Path) -> None:
    samples = {"../0": sample(0, b"x"), "1": sample(1, b"y")}
    pool = open_samples(write_tar(tmp_path / "00000.tar", samples))
    run(pool, tmp_path / "run", "members")
    lists, reasons = read(tmp_path / "run")
    assert lists == [[], ["y"]] and reasons[0] == "sample has a key that leads out of its folder"


def test_members_are_looked_for_in_tars(tmp_path: Path) -> None:
    pool = open_samples(write_images(tmp_path / "pool", [picture(0)]))
    with pytest.raises(PoolError, match="members are looked for in tars"):
        run(pool, tmp_path / "run", "members")


def table_pool(folder: Path, columns: Mapping[str, Any]) -> SamplePool:
    folder.mkdir(parents=True)
    pq.write_table(pa.table(dict(columns)), folder / "pool.parquet", row_group_size=2)
    return open_samples(folder)


def not_utf8() -> pa.Array:
    """A list of texts one of which is damaged, as a damaged file can hold."""
    texts = pa.array([b"ok", b"\xff", b"fine"]).cast(pa.binary())
    strings = pa.StringArray.from_buffers(3, texts.buffers()[1], texts.buffers()[2])
    return pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), strings)


TEXT_COLUMN = pa.array(["a", None, "", "nul\0"])
LISTS = pa.array([["a", "b"], None, [], [None, "c", " "]])
VIEW = getattr(pa, "string_view", pa.large_string)()  # since pyarrow 16
EXPECTED_TEXTS = [["a"], [], [], []]
EXPECTED_LISTS = [["a", "b"], [], [], ["c"]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (TEXT_COLUMN, EXPECTED_TEXTS),
        (TEXT_COLUMN.cast(pa.large_string()), EXPECTED_TEXTS),
        (TEXT_COLUMN.dictionary_encode(), EXPECTED_TEXTS),
        (LISTS, EXPECTED_LISTS),
        (LISTS.cast(pa.large_list(pa.large_string())), EXPECTED_LISTS),
        (pa.nulls(4), [[]] * 4),
        (pa.array([[], [], None, []]), [[]] * 4),
    ],
)
def test_columns_of_a_pool(column: pa.Array, expected: list[list[str]], tmp_path: Path) -> None:
    texts = ["alt"] * len(column)
    pool = table_pool(tmp_path / "pool", {"id": list("wxyz"), "text": texts, "said": column})
    run(pool, tmp_path / "run", "column:said", rows_per_unit=3)
    lists, reasons = read(tmp_path / "run")
    assert lists == expected
    assert [reason is not None for reason in reasons] == [not row for row in expected]
    assert step_folder(tmp_path / "run", "column-said").is_dir()


def test_a_damaged_caption_hurts_no_other(tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool", {"text": ["u", "v"], "said": not_utf8()})
    run(pool, tmp_path / "run", "column:said")
    assert read(tmp_path / "run") == ([["ok"], ["fine"]], [None, None])


@pytest.mark.parametrize("column", [[1, 2], [[1], [2]], [{"a": "b"}, None], [[["a"]], None]])
def test_columns_that_hold_no_text(column: list[Any], tmp_path: Path) -> None:
    pool = table_pool(tmp_path / "pool", {"text": ["u", "v"], "said": column})
    with pytest.raises(PoolError, match=r"'said' holds .*; expected text or lists of text"):
        run(pool, tmp_path / "run", "column:said")
    other = tmp_path / "pool" / "pool.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "captions": column}), other)
    with pytest.raises(PoolError, match=r"'captions' holds .*; expected text or lists of text"):
        CaptionTable(other)


def test_an_unknown_column(tars: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="no metadata column 'said'"):
        run(tars, tmp_path / "run", "column:said")


def published(rows: list[int]) -> pa.Table:
    """As SIEVE's own program writes."""
    return pa.table(
        {
            "uid": [uid(row) for row in rows],
            "all_generated_caption_list": [[f"{row} a", f"{row} b"] for row in rows],
        }
    )


def test_tables_are_joined_by_id(tars: SamplePool, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(40)
    rows = rows[rows != 3].tolist()
    (tmp_path / "tables").mkdir()
    pq.write_table(published(rows[:15]), tmp_path / "tables" / "0.parquet", row_group_size=4)
    pq.write_table(published(rows[15:]), tmp_path / "tables" / "1.parquet")
    spec = f"parquet:{tmp_path / 'tables'}"
    run(tars, tmp_path / "run", spec)
    lists, reasons = read(tmp_path / "run")
    assert lists == [[f"{row} a", f"{row} b"] if row != 3 else [] for row in range(9)]
    assert reasons == [NOT_GIVEN if row == 3 else None for row in range(9)]
    assert step_folder(tmp_path / "run", "parquet-tables").is_dir()
    assert run(tars, tmp_path / "run", f"{spec}#all_generated_caption_list")["captioned"] == 8
    with pytest.raises(PoolError, match="expected a column 'said'"):
        open_captioner(f"{spec}#said")
    pq.write_table(published(rows[16:]), tmp_path / "tables" / "1.parquet")
    with pytest.raises(ChangedError, match=r"given captions/1\.parquet"):
        run(tars, tmp_path / "run", spec)


@pytest.mark.parametrize("kind", [VIEW, pa.list_(VIEW), pa.large_list(VIEW)])
def test_tables_of_string_views(kind: pa.DataType, tars: SamplePool, tmp_path: Path) -> None:
    texts: list[Any] = ["a", None] if kind == VIEW else [["a", None], None]
    table = pa.table({"uid": [uid(1), uid(0)], "said": pa.array(texts, kind)})
    pq.write_table(table, tmp_path / "given.parquet")
    run(tars, tmp_path / "run", f"parquet:{tmp_path / 'given.parquet'}#said")
    assert read(tmp_path / "run")[0] == [[], ["a"], *[[]] * 7]


def test_captions_of_another_run(tars: SamplePool, tmp_path: Path) -> None:
    run_captions(tars, tmp_path / "one", Toy(), captions=2)
    table = step_folder(tmp_path / "one", "toy") / "captions.parquet"
    run(tars, tmp_path / "two", f"parquet:{table}")
    assert read(tmp_path / "one") == read(tmp_path / "two")


def test_tables_that_cannot_be_used(tars: SamplePool, tmp_path: Path) -> None:
    path = tmp_path / "given.parquet"
    pq.write_table(published([1, 2, 1]), path)
    with pytest.raises(PoolError, match=r"id '0+1' is there more than once"):
        run(tars, tmp_path / "run", f"parquet:{path}")
    pq.write_table(published([1]).rename_columns(["uid", "other"]), path)
    with pytest.raises(PoolError, match="expected a column captions, all_generated"):
        open_captioner(f"parquet:{path}")
    pq.write_table(published([1]).select([1]), path)
    with pytest.raises(PoolError, match="expected a column uid, id or key"):
        open_captioner(f"parquet:{path}")
    pq.write_table(published([77]), path)
    with pytest.raises(BadRowsError, match="9 of 9 rows have no captions"):
        run(tars, tmp_path / "none", f"parquet:{path}", max_bad_fraction=0.5)
    pq.write_table(published([]).cast(published([1]).schema), path)
    with pytest.raises(BadRowsError, match="9 of 9 rows have no captions"):
        run(tars, tmp_path / "empty", f"parquet:{path}", max_bad_fraction=0.5)
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(PoolError, match="not a readable parquet file"):
        open_captioner(f"parquet:{path}")
    with pytest.raises(PoolError, match="does not exist"):
        open_captioner(f"parquet:{tmp_path / 'no.parquet'}")


def test_options_that_are_for_models(tmp_path: Path) -> None:
    for options in ({"seed": 1}, {"weights": tmp_path}):
        with pytest.raises(ValueError, match="column:x takes no"):
            open_captioner("column:x", **options)
