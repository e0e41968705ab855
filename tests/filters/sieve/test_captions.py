"""A pool of images in, a caption step out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.filters.sieve.captioners import Toy, picture, shrunk, write_images
from tests.run.snapshot import snapshot

from tamis.data.ids import Ids
from tamis.data.samples import SamplePool, open_samples
from tamis.errors import BadRowsError, ChangedError, PoolError, RunError
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.captioner import NOT_GIVEN, NOTHING, row_keys
from tamis.filters.sieve.captions import captions_done, run_captions, step_folder
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import pool_of

N_ROWS = 23
BAD = {4: b"", 11: picture(11)[:200], 22: b"no image"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SamplePool:
    folder = tmp_path_factory.mktemp("pool") / "images"
    return open_samples(write_images(folder, [BAD.get(n, picture(n)) for n in range(N_ROWS)]))


def caption(pool: SamplePool, out: Path, captioner: Any = None, **options: Any) -> dict[str, Any]:
    """With 3 captions an image, units of 5 rows and batches of 4."""
    given: dict[str, Any] = {
        "captions": 3,
        "rows_per_unit": 5,
        "batch_size": 4,
        "max_bad_fraction": 0.5,
    }
    return run_captions(pool, out, captioner or Toy(), **given | options)


def files(out: Path) -> dict[str, bytes]:
    return snapshot(step_folder(out, "toy"))


def expected(row: int, count: int = 3) -> list[str]:
    from io import BytesIO

    from PIL import Image

    if row in BAD:
        return []
    total = int(shrunk(Image.open(BytesIO(picture(row)))).sum())
    key = row_keys(Ids.of([f"{row:04d}"]))[0]
    return [f"é {total} {key} {number}" for number in range(count)]


def test_layout_and_rows(pool: SamplePool, tmp_path: Path) -> None:
    summary = caption(pool, tmp_path)
    folder = step_folder(tmp_path, "toy")
    assert sorted(snapshot(folder)) == sorted(
        [f"captions/00000-{unit:05d}.parquet" for unit in range(5)]
        + ["captions.parquet", "config.toml", "manifest.json", "summary.json"]
    )
    assert summary == json.loads((folder / "summary.json").read_text())
    assert {key: summary[key] for key in ("rows_in", "captioned", "short", "uncaptioned")} == {
        "rows_in": N_ROWS,
        "captioned": N_ROWS - 3,
        "short": 0,
        "uncaptioned": 3,
    }
    table = pq.read_table(folder / "captions.parquet", use_threads=False)
    assert table.column_names == ["id", "captions", "reason"]
    assert table.schema.field("captions").type.value_type == pa.large_string()  # beyond 2 GiB
    assert table["captions"].to_pylist() == [expected(row) for row in range(N_ROWS)]
    reasons = table["reason"].to_pylist()
    assert {row for row, reason in enumerate(reasons) if reason} == set(BAD)
    assert reasons[4] == "image is empty" and sum(summary["reasons"].values()) == 3
    assert pool_of(tmp_path) == str(pool.path)
    assert RunDirectory.read(folder).verify() == []
    assert captions_done(tmp_path, "toy") and not captions_done(tmp_path, "other")


def test_one_result_for_all_ways_of_working(pool: SamplePool, tmp_path: Path) -> None:
    caption(pool, tmp_path / "one")
    before = files(tmp_path / "one")
    for number, options in enumerate(
        [{"batch_size": 1}, {"batch_size": 64}, {"workers": 1}, {"workers": 2, "batch_size": 3}]
    ):
        caption(pool, tmp_path / str(number), **options)
        assert files(tmp_path / str(number)) == before, options
    caption(pool, tmp_path / "units", rows_per_unit=7)
    table = "captions.parquet"
    assert files(tmp_path / "units")[table] == before[table]


def test_parts_join_to_the_bytes_of_one(pool: SamplePool, tmp_path: Path) -> None:
    caption(pool, tmp_path / "one")
    out = tmp_path / "many"
    rows = [caption(pool, out, part=part)["rows_in"] for part in ((2, 3), (1, 3))]
    assert rows == [8, 10]
    assert not captions_done(out, "toy")
    caption(pool, out)
    assert files(out) == files(tmp_path / "one")
    assert caption(pool, out) == caption(pool, tmp_path / "one")


def test_an_interrupted_step_continues(
    pool: SamplePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption(pool, tmp_path / "one")
    commit = RunDirectory.commit
    for stop in (1, 2, 1):
        left = [stop]

        def dying(run: RunDirectory, *arguments: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            commit(run, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(RunDirectory, "commit", dying)
            with pytest.raises(KeyboardInterrupt):
                caption(pool, tmp_path / "many")
    lost = step_folder(tmp_path / "many", "toy") / "captions" / "00000-00001.parquet"
    lost.unlink()
    toy = Toy()
    caption(pool, tmp_path / "many", toy, batch_size=5)
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_batches_have_one_shape(pool: SamplePool, tmp_path: Path) -> None:
    toy = Toy()
    caption(pool, tmp_path, toy)
    assert toy.shapes == {(4, 2, 3, 3)}


def test_fewer_captions_and_none(pool: SamplePool, tmp_path: Path) -> None:
    summary = caption(pool, tmp_path, Toy(least=0), max_bad_fraction=1)
    read = CaptionStore.open(tmp_path).read(0, N_ROWS)
    lengths = [len(row) for row in read.to_lists()]
    good = [length for row, length in enumerate(lengths) if row not in BAD]
    assert 0 in good and 1 in good and 3 in good
    reasons = read.reasons.to_pylist()
    for row, length in enumerate(lengths):
        assert (reasons[row] is None) == (length > 0)
        if not length and row not in BAD:
            assert reasons[row] == NOTHING
    assert summary["reasons"][NOTHING] == good.count(0)
    assert summary["short"] == good.count(1) + good.count(2)
    assert summary["captioned"] + summary["uncaptioned"] == N_ROWS


def test_too_many_captions_are_refused(pool: SamplePool, tmp_path: Path) -> None:
    class Chatty(Toy):
        def caption(self, images: Any, keys: Any, count: int) -> list[list[str]]:
            return super().caption(images, keys, count + 1)

    with pytest.raises(ValueError, match="toy returned 4 captions for an image, expected at most"):
        caption(pool, tmp_path, Chatty())


def test_captions_that_are_no_text_are_left_out(pool: SamplePool, tmp_path: Path) -> None:
    class Odd(Toy):
        def caption(self, images: Any, keys: Any, count: int) -> list[list[str]]:
            return [["nul \0", "lone \ud800", "" if key % 2 else " "] for key in keys]

    caption(pool, tmp_path, Odd())
    lists = CaptionStore.open(tmp_path).read(0, N_ROWS).to_lists()
    assert {text for row in lists for text in row} == {"", " "}
    assert [len(row) for row in lists] == [row not in BAD for row in range(N_ROWS)]


def test_rows_without_ids(tmp_path: Path) -> None:
    write_images(tmp_path / "images", [picture(row) for row in range(4)])
    paths = [f"images/{row:04d}.png" for row in (3, 1, 2)]
    pq.write_table(pa.table({"image_path": paths, "n": [0, 1, 2]}), tmp_path / "pool.parquet")
    numbered = open_samples(tmp_path / "pool.parquet", ids="row")
    caption(numbered, tmp_path / "run")
    store = CaptionStore.open(tmp_path / "run")
    assert store.ids().to_list() == [0, 1, 2]
    lists = store.of(numbered.ids()).read(numbered.units(9)[0]).to_lists()
    assert [row[0].split()[1] for row in lists] == [
        expected(row)[0].split()[1] for row in (3, 1, 2)
    ]
    reversed_ids = Ids.of([2, 1, 0])
    assert store.of(reversed_ids).read(open_units([3])[0]).to_lists() == lists[::-1]


def test_too_many_bad_rows(pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(BadRowsError, match=r"3 of 23 rows have no captions .* 0\.1"):
        caption(pool, tmp_path, max_bad_fraction=0.1)
    assert not captions_done(tmp_path, "toy")
    assert caption(pool, tmp_path)["uncaptioned"] == 3


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"captions": 0}, ValueError, "expected 1 caption or more, got 0"),
        ({"batch_size": 0}, ValueError, "batch size of 1 or more"),
        ({"name": "../x"}, ValueError, "plain name"),
        ({"captions": 2}, ChangedError, "captions"),
        ({"captioner": Toy(version=1)}, ChangedError, "version"),
        ({"columns": {"ids": "key"}}, ChangedError, "columns"),
    ],
)
def test_refusals(
    change: dict[str, Any], error: type[Exception], told: str, pool: SamplePool, tmp_path: Path
) -> None:
    caption(pool, tmp_path, part=(1, 5))
    with pytest.raises(error, match=told):
        caption(pool, tmp_path, **change)


def test_a_pool_without_images(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(PoolError, match="has no images to caption"):
        caption(open_samples(tmp_path / "docs.jsonl"), tmp_path / "run")


def test_reading_by_unit_and_by_id(pool: SamplePool, tmp_path: Path) -> None:
    caption(pool, tmp_path)
    store = CaptionStore.open(tmp_path, "toy")
    assert store.n_rows == N_ROWS and store.recipe["captioner"]["model"] == "toy"
    assert store.ids().to_list() == pool.ids().to_list()
    same = store.of(pool.ids())
    for unit in pool.units(6):
        rows = range(unit.first_row, unit.first_row + unit.n_rows)
        assert same.read(unit).to_lists() == [expected(row) for row in rows]
    order = np.random.default_rng(0).permutation(N_ROWS)
    names = [f"{row:04d}" for row in order] + ["unknown"]
    other = store.of(Ids.of(names))
    units = open_units([len(names)])
    found = [other.read(unit) for unit in units]
    lists = [captions for part in found for captions in part.to_lists()]
    assert lists == [*(expected(int(row)) for row in order), []]
    reasons = [reason for part in found for reason in part.reasons.to_pylist()]
    assert reasons[-1] == NOT_GIVEN
    for row, reason in zip(order.tolist(), reasons, strict=False):
        assert (reason is not None) == (row in BAD)
    lone = store.of(Ids.of(["x", "y"]))
    only = lone.read(open_units([2])[0])
    assert only.to_lists() == [[], []] and only.reasons.to_pylist() == [NOT_GIVEN] * 2


def open_units(rows: list[int]) -> Any:
    from tamis.data.unit import cut_units

    return cut_units(rows, 9)


def test_opening_what_is_not_there(pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected captions in .*there are none"):
        CaptionStore.open(tmp_path)
    caption(pool, tmp_path, part=(1, 2))
    with pytest.raises(RunError, match="has not ended"):
        CaptionStore.open(tmp_path)
    caption(pool, tmp_path, name="b")
    with pytest.raises(RunError, match="there are b, toy; name one"):
        CaptionStore.open(tmp_path)


def test_a_damaged_unit_is_named(pool: SamplePool, tmp_path: Path) -> None:
    caption(pool, tmp_path, part=(1, 1))
    path = step_folder(tmp_path, "toy") / "captions" / "00000-00002.parquet"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(RunError, match=r"00000-00002\.parquet.*remove it and run again"):
        caption(pool, tmp_path)


def test_keys_are_those_of_the_ids(make_ids: Callable[[], list[Ids]]) -> None:
    for ids in make_ids():
        keys = row_keys(ids)
        assert keys.dtype == np.uint64 and len(set(keys.tolist())) == len(ids)
        order = np.random.default_rng(0).permutation(len(ids))
        assert (row_keys(ids.take(order)) == keys[order]).all()


@pytest.fixture
def make_ids() -> Callable[[], list[Ids]]:
    uids = [f"{number:032x}" for number in range(1000)]
    return lambda: [Ids.of(uids), Ids.of(["é", "b", ""]), Ids.of([5, -1, 2**62]), Ids.rows(9)]
