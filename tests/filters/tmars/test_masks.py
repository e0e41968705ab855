"""The store of masks, and tables that were made elsewhere: the right mask for every row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.filters.tmars.lettering import block_picture, detect, image_pool

from tamis.data.ids import Ids
from tamis.data.samples import SamplePool
from tamis.errors import PoolError, RunError
from tamis.filters.tmars import made, masks_reader, polygons
from tamis.filters.tmars.detect import step_folder
from tamis.filters.tmars.masks import Mask, masks_table
from tamis.filters.tmars.masks_reader import MISSING, open_masks
from tamis.filters.tmars.square import OnSquare, from_square

N_ROWS = 30
TRIANGLE = [1.0, 1.0, 9.0, 1.0, 9.0, 7.0]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SamplePool:
    folder = tmp_path_factory.mktemp("pools") / "pool"
    images = [block_picture(number) for number in range(N_ROWS)]
    return image_pool(folder, [*images[:-1], b"junk"])


@pytest.fixture(scope="module")
def run(pool: SamplePool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    detect(pool, out, max_bad_fraction=1)
    return out


def plain(mask: Mask) -> tuple[Any, ...]:
    corners = [polygon.tolist() for polygon in mask.polygons]
    return mask.width, mask.height, corners, mask.scores.tolist(), mask.reason


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def read_one(path: Path, **options: Any) -> Mask:
    (mask,) = open_masks(path, Ids.of(["a"]), **options).read(0, 1)
    return mask


def test_a_step_is_read_as_it_was_written(pool: SamplePool, run: Path) -> None:
    masks = open_masks(run, pool.ids())
    assert masks.n_rows == N_ROWS and masks.n_missing == 0
    table = pq.read_table(step_folder(run) / "masks.parquet")
    for mask, line in zip(masks.read(0, N_ROWS), table.to_pylist(), strict=True):
        assert (mask.width, mask.height) == (line["width"] or 0, line["height"] or 0)
        assert [polygon.ravel().tolist() for polygon in mask.polygons] == (line["polygons"] or [])
        assert mask.scores.tolist() == (line["scores"] or []) and mask.reason == line["reason"]
        assert all(polygon.dtype == np.float32 for polygon in mask.polygons)
    assert masks.read(N_ROWS - 1, N_ROWS)[0].reason == "image is in no known format"
    assert masks.recipe()["masks"]["detector"]["detector"] == "dark blocks"
    (file,) = masks.inputs()
    assert file.path == "masks/00000/masks.parquet" and file.size > 0


def test_reading_does_not_depend_on_the_pieces(pool: SamplePool, run: Path) -> None:
    masks = open_masks(step_folder(run), pool.ids())
    whole = [plain(mask) for mask in masks.read(0, N_ROWS)]
    for size in (1, 7, 29):
        pieces = [
            plain(mask)
            for start in range(0, N_ROWS, size)
            for mask in masks.read(start, min(start + size, N_ROWS))
        ]
        assert pieces == whole
    assert masks.read(4, 4) == []


@pytest.mark.parametrize("rows_per_group", [4, 1000])
def test_tables_in_another_order(
    rows_per_group: int, pool: SamplePool, run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Also cut into row groups of which few are kept, and into several files."""
    monkeypatch.setattr(masks_reader, "_ROWS_AT_A_TIME", 7)
    expected = [plain(mask) for mask in open_masks(run, pool.ids()).read(0, N_ROWS)]
    table = pq.read_table(step_folder(run) / "masks.parquet")
    order = np.random.default_rng(0).permutation(N_ROWS)
    shuffled = table.take(pa.array(order)).replace_schema_metadata(None)
    pq.write_table(shuffled.slice(0, 17), tmp_path / "0.parquet", row_group_size=rows_per_group)
    pq.write_table(shuffled.slice(17), tmp_path / "1.parquet", row_group_size=rows_per_group)
    found = open_masks(tmp_path, pool.ids()).read(0, N_ROWS)
    assert [plain(mask) for mask in found] == expected


def test_rows_that_are_missing_and_rows_too_many(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", {"id": ["x", "b", "a"], "polygons": [[], [TRIANGLE], []]})
    masks = open_masks(path, Ids.of(["a", "n", "b"]))
    assert masks.n_missing == 1
    assert [mask.reason for mask in masks.read(0, 3)] == [None, MISSING, None]
    assert [len(mask.polygons) for mask in masks.read(0, 3)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("polygon", "kind"),
    [
        (TRIANGLE, pa.list_(pa.list_(pa.float64()))),
        ([1, 1, 9, 1, 9, 7], pa.list_(pa.list_(pa.int16()))),
        ([[1, 1], [9, 1], [9, 7]], pa.list_(pa.list_(pa.list_(pa.int64())))),
        ([[1, 1], [9, 1], [9, 7]], pa.large_list(pa.list_(pa.list_(pa.float32(), 2)))),
    ],
    ids=["flat", "integers", "pairs", "fixed pairs"],
)
@pytest.mark.parametrize("name", ["polygons", "text-boxes"])
def test_tables_made_elsewhere(name: str, polygon: Any, kind: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", {"key": ["a"], name: pa.array([[polygon]], kind)})
    mask = read_one(path)
    assert plain(mask) == (0, 0, [[[1, 1], [9, 1], [9, 7]]], [1.0], None)
    assert mask.polygons[0].dtype == np.float32


def test_scores_sizes_and_reasons_of_others(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.parquet",
        {
            "uid": ["a", "b", "c", "d"],
            "polygons": [[TRIANGLE], None, [TRIANGLE], None],
            "scores": [[0.5], None, None, None],
            "original_width": [5, 6, None, 8],
            "original_height": [40, 50, 60, 70.0],
            "reason": [None, "too dark", None, None],
        },
    )
    masks = open_masks(path, Ids.of(list("abcd"))).read(0, 4)
    assert [(mask.width, mask.height) for mask in masks] == [(5, 40), (6, 50), (0, 60), (8, 70)]
    assert [mask.reason for mask in masks] == [None, "too dark", None, made.NO_MASK]
    assert [mask.scores.tolist() for mask in masks] == [[0.5], [], [1.0], []]
    assert masks[0].polygons[0][:, 0].max() == 5  # cut at the border of the image


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"polygons": [[[1.0, 1.0, 9.0, 1.0]]]}, polygons.NO_POLYGON),
        ({"polygons": [[[1.0, 1.0, 9.0]]]}, polygons.NO_POLYGON),
        ({"polygons": [[[], TRIANGLE]]}, polygons.NO_POLYGON),
        ({"polygons": [[[1.0, None, 9.0, 1.0, 9.0, 7.0]]]}, polygons.NOT_FINITE),
        ({"polygons": [[[1.0, float("inf"), 9.0, 1.0, 9.0, 7.0]]]}, polygons.NOT_FINITE),
        ({"polygons": [[None]]}, polygons.NO_POLYGON),
        ({"polygons": [[[["a", "b"], ["c", "d"], ["e", "f"]]]]}, polygons.NO_POLYGON),
        ({"polygons": [[TRIANGLE]], "scores": [[]]}, polygons.NO_SCORE),
        ({"polygons": [[TRIANGLE]], "scores": [[None]]}, polygons.NO_SCORE),
        ({"polygons": [[TRIANGLE] * 5000]}, polygons.TOO_MANY),
    ],
)
def test_what_is_no_mask_is_a_reason(columns: dict[str, Any], reason: str, tmp_path: Path) -> None:
    table = {name: [*values, values[0], None] for name, values in columns.items()}
    write(tmp_path / "m.parquet", {"id": ["a", "b", "c"], **table, "other": [1, 2, 3]})
    masks = open_masks(tmp_path / "m.parquet", Ids.of(["b", "c"])).read(0, 2)
    assert [mask.reason for mask in masks] == [reason, made.NO_MASK]
    assert not masks[0].polygons


def test_polygons_of_others_are_made_sound(tmp_path: Path) -> None:
    bow_tie = [0.0, 0, 8, 8, 8, 0, 0, 8]
    path = write(
        tmp_path / "m.parquet",
        {"id": ["a"], "polygons": [[bow_tie]], "width": [4], "height": [10]},
    )
    mask = read_one(path)
    assert len(mask.polygons) == 1 and mask.polygons[0][:, 0].max() == 4


@pytest.mark.parametrize("size", [(300, 200), (99, 200), (64, 64), (1, 5)])
def test_the_square_of_tmars_is_undone(size: tuple[int, int], tmp_path: Path) -> None:
    """The corners of an image, where they lie in the square, come back as its corners."""
    width, height = size
    longest = max(size)
    left, top = int((longest - width) / 2), int((longest - height) / 2)
    in_square = [
        [(x + left) * 512 / longest, (y + top) * 512 / longest]
        for x, y in [(0, 0), (width, 0), (width, height), (0, height)]
    ]
    path = write(
        tmp_path / "m.parquet",
        {
            "key": ["a"],
            "text-boxes": [[in_square]],
            "original_width": [width],
            "original_height": [height],
        },
    )
    (polygon,) = read_one(path, coordinates="square512").polygons
    expected = [[0, 0], [width, 0], [width, height], [0, height]]
    assert sorted((polygon.round(3) + 0.0).tolist()) == sorted(expected)


@pytest.mark.parametrize("size", [(300, 200), (199, 300)])
def test_what_is_seen_on_the_square_is_where_it_was(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white")
    image.paste((0, 0, 0), (50, 60, 90, 80))
    frame = OnSquare(512)(image)
    y, x = np.nonzero(frame["pixels"].max(2) < 128)
    corners = [[x.min(), y.min()], [x.max() + 1, y.max() + 1]]
    assert from_square(corners, 512, *size) == pytest.approx(
        np.array([[50, 60], [90, 80]]), abs=0.6
    )
    assert (frame["pixels"][0] == 255).all() or size[1] > size[0]


def test_the_square_needs_sizes(tmp_path: Path) -> None:
    columns = {"id": ["a"], "polygons": [[TRIANGLE]]}
    path = write(tmp_path / "m.parquet", columns)
    with pytest.raises(PoolError, match="expected a column width or original_width"):
        read_one(path, coordinates="square512")
    write(path, {**columns, "width": pa.array([None], pa.int32()), "height": [-3]})
    assert read_one(path, coordinates="square512").reason == made.NO_SIZE
    with pytest.raises(ValueError, match="expected coordinates"):
        read_one(path, coordinates="percent")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"polygons": [[TRIANGLE]]}, "expected a column uid, id or key"),
        ({"id": ["a"]}, "expected a column polygons"),
        ({"id": ["a"], "polygons": ["text"]}, "to hold lists of polygons"),
        ({"id": ["a"], "polygons": [[1.0, 2.0]]}, "to hold lists of polygons"),
        ({"id": ["a", "a"], "polygons": [[TRIANGLE]] * 2}, "is there 2 times"),
        ({"id": ["z"], "polygons": [[TRIANGLE]]}, "none of the pool's 1 ids, such as 'a'"),
        ({"id": [1], "polygons": [[TRIANGLE]]}, "none of the pool's 1 ids"),
        ({"id": [None, "a"], "polygons": [[TRIANGLE]] * 2}, "an id is missing"),
    ],
)
def test_tables_that_are_none(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=message):
        read_one(write(tmp_path / "m.parquet", columns))


def test_files_that_are_none(tmp_path: Path, pool: SamplePool) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 junk PAR1")
    for path in (tmp_path / "bad.parquet", tmp_path / "none.parquet"):
        with pytest.raises(PoolError):
            read_one(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PoolError):
        read_one(tmp_path / "empty")


def test_a_step_that_has_not_ended(pool: SamplePool, run: Path, tmp_path: Path) -> None:
    detect(pool, tmp_path / "run", part=(1, 2))
    with pytest.raises(RunError, match="has not ended"):
        open_masks(tmp_path / "run", pool.ids())
    with pytest.raises(RunError, match="holds no masks 'faces'"):
        open_masks(run, pool.ids(), name="faces")


def test_a_row_group_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.parquet", {"id": ["a"], "polygons": [[TRIANGLE] * 1000]})
    monkeypatch.setattr(masks_reader, "MOST_GROUP_BYTES", 10)
    with pytest.raises(PoolError, match="smaller row groups"):
        read_one(path)


def test_what_a_table_of_masks_holds() -> None:
    triangle = np.array(TRIANGLE, np.float32).reshape(-1, 2)
    masks: Sequence[Mask] = [
        Mask(10, 8, [triangle, triangle[::-1]], np.array([0.5, 1], np.float32)),
        Mask(0, 0, reason="image is empty"),
        Mask(3, 4),
    ]
    uids = Ids.of([f"{row:032x}" for row in range(3)])
    assert masks_table(uids, masks).to_pylist() == [
        {
            "uid": f"{0:032x}",
            "width": 10,
            "height": 8,
            "polygons": [TRIANGLE, [9, 7, 9, 1, 1, 1]],
            "scores": [0.5, 1.0],
            "reason": None,
        },
        {
            "uid": f"{1:032x}",
            "width": None,
            "height": None,
            "polygons": None,
            "scores": None,
            "reason": "image is empty",
        },
        {"uid": f"{2:032x}", "width": 3, "height": 4, "polygons": [], "scores": [], "reason": None},
    ]
    assert masks_table(Ids.rows(0), []).num_rows == 0
