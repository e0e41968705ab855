"""The T-MARS score: what it is, and what it does not depend on."""

from __future__ import annotations

import gc
import io
import multiprocessing
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.embed.small import BATCH, fingerprint, picture, shrunk
from tests.filters.tmars.masked import (
    HEIGHT,
    N_ROWS,
    WIDTH,
    ExactProjection,
    animated,
    caption,
    hostile_pool,
    polygons_of,
    scorer,
    sound_pool,
    square,
    write_masks,
)

from tamis.data.image import decode_image
from tamis.data.samples import SamplePool, open_samples
from tamis.embed.workers import ImageWorkers
from tamis.errors import ChangedError, MissingExtraError, PoolError
from tamis.filters.tmars.fill import fill_text
from tamis.filters.tmars.masks_reader import open_masks
from tamis.filters.tmars.rescore import Filling
from tamis.filters.tmars.scorer import Tmars
from tamis.kernels.reference.rows import canonical
from tamis.run import atomic
from tamis.score.job import run_scorer


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk in this process: power cuts are not tested here."""
    monkeypatch.setattr(atomic, "_fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SamplePool:
    return sound_pool(tmp_path_factory.mktemp("pool") / "samples")


def table_of(run: Path, name: str = "tmars") -> dict[str, Any]:
    table = pq.read_table(run / "scores" / name / "scores.parquet")
    return {column: table[column].to_pylist() for column in table.column_names}


def bits(values: list[float]) -> bytes:
    return np.array(values, np.float32).tobytes()


def test_scores_are_cosines_with_the_caption(pool: SamplePool, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.parquet", pool)
    summary = run_scorer(scorer(pool, masks), tmp_path / "run")
    assert (summary["rows_in"], summary["scored"]) == (N_ROWS, N_ROWS)
    found = table_of(tmp_path / "run")
    encoder = ExactProjection()
    for row in range(N_ROWS):
        image = decode_image(picture(row))
        filled = fill_text(np.asarray(image), polygons_of(row))
        pair = shrunk(image), shrunk(Image.fromarray(filled.pixels))
        images = encoder.encode_images(np.stack([*pair, *[pair[0]] * (BATCH - 2)]))[:2]
        tokens = encoder.prepare_texts([caption(row)])[0][0]
        text = encoder._tokens[tokens].sum(0, keepdims=True)
        plain, blank, words = canonical(np.concatenate([images, text]))[0].astype("f8")
        for column, image_row in (("tmars_clip", plain), ("tmars", blank)):
            cosine = image_row @ words / (np.linalg.norm(image_row) * np.linalg.norm(words))
            assert found[column][row] == pytest.approx(cosine, abs=1e-6)
        assert found["tmars_text_area"][row] == np.float32(filled.area)
        assert found["tmars_text_boxes"][row] == len(polygons_of(row))
        assert (found["tmars"][row] == found["tmars_clip"][row]) == (row % 3 == 0)
    assert found["reason"] == [None] * N_ROWS


def test_an_image_without_text_is_encoded_once(pool: SamplePool, tmp_path: Path) -> None:
    """The network never sees a second image of one without text, and that row is the same bits."""
    encoder = ExactProjection()
    bare = {row: [] for row in range(N_ROWS)}
    masks = write_masks(tmp_path / "masks.parquet", pool, bare)
    run_scorer(scorer(pool, masks, encoder=encoder), tmp_path / "run")
    assert len(encoder.seen) == -(-N_ROWS // BATCH)
    seen = np.concatenate(encoder.seen)[:N_ROWS]
    expected = [shrunk(decode_image(picture(row))) for row in range(N_ROWS)]
    np.testing.assert_array_equal(seen, np.stack(expected))
    found = table_of(tmp_path / "run")
    assert bits(found["tmars"]) == bits(found["tmars_clip"])
    assert found["tmars_text_area"] == [0] * N_ROWS == found["tmars_text_boxes"]


def made(pool: SamplePool, folder: Path, rows_per_unit: int = 9, **options: Any) -> bytes:
    masks = write_masks(folder / "masks.parquet", pool)
    run_scorer(scorer(pool, masks, **options), folder / "run", rows_per_unit=rows_per_unit)
    return (folder / "run/scores/tmars/scores.parquet").read_bytes()


@pytest.mark.parametrize("options", [{"workers": 2}, {"rows_per_unit": 4}, {"rows_per_unit": 1000}])
def test_same_bytes_however_the_work_is_cut(
    pool: SamplePool, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert made(pool, tmp_path / "a") == made(pool, tmp_path / "b", **options)


def test_parts_and_a_kill_end_with_the_same_bytes(pool: SamplePool, tmp_path: Path) -> None:
    class Killed(ExactProjection):
        def encode_images(self, batch: Any) -> Any:
            if len(self.seen) == 4:
                raise KeyboardInterrupt
            return super().encode_images(batch)

    (tmp_path / "whole").mkdir()
    expected = made(pool, tmp_path / "whole")
    masks = write_masks(tmp_path / "masks.parquet", pool)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_scorer(scorer(pool, masks, encoder=Killed()), run, rows_per_unit=9)
    assert len(list((run / "scores/tmars/units").iterdir())) == 1
    for part in ((1, 2), (2, 2)):
        run_scorer(scorer(pool, masks), run, rows_per_unit=9, part=part)
    run_scorer(scorer(pool, masks), run, rows_per_unit=9)
    assert (run / "scores/tmars/scores.parquet").read_bytes() == expected
    assert fingerprint(run / "scores/tmars/units") == fingerprint(
        tmp_path / "whole/run/scores/tmars/units"
    )


def test_bad_rows_have_reasons_and_leave_the_others_alone(tmp_path: Path) -> None:
    bad, sound = hostile_pool(tmp_path / "bad", True), hostile_pool(tmp_path / "sound", False)
    text = [square(2, 2, 15, 9)]
    found = {}
    for name, pool in (("bad", bad), ("sound", sound)):
        masks = write_masks(
            tmp_path / f"{name}.parquet", pool, dict.fromkeys(range(pool.n_rows), text)
        )
        run_scorer(scorer(pool, masks), tmp_path / f"run-{name}")
        found[name] = table_of(tmp_path / f"run-{name}")
    odd = {row: found["bad"]["reason"][row] for row in range(0, 18, 2)}
    assert odd == {
        0: "image is in no known format",
        2: "image is truncated",
        4: "image has too many pixels",
        6: None,
        8: None,
        10: "image is more than 100 times as long as wide",
        12: None,
        14: "text is not valid UTF-8",
        16: "text has no tokens",
    }
    fine = [*range(1, 18, 2), *range(18, 21)]
    for column in ("tmars", "tmars_clip", "tmars_text_area"):
        assert bits([found["bad"][column][row] for row in fine]) == bits(found["sound"][column])
    area, boxes = found["bad"]["tmars_text_area"], found["bad"]["tmars_text_boxes"]
    assert (area[8], boxes[8]) == (0, 1)  # the region lies beside the one pixel
    assert np.isnan(area[0]) and boxes[0] is None
    assert area[14] > 0 and np.isnan(found["bad"]["tmars_clip"][14])


def test_masks_that_are_missing_or_of_another_image(pool: SamplePool, tmp_path: Path) -> None:
    rows = {row: polygons_of(row) for row in range(N_ROWS) if row != 4}
    sizes = [[19 if row == 5 else 20, 14] for row in sorted(rows, reverse=True)]
    reasons = ["no luck" if row == 7 else None for row in sorted(rows, reverse=True)]
    rows[8] = [[[float("nan"), 0], [1, 1], [2, 0]]]
    masks = write_masks(
        tmp_path / "masks.parquet",
        pool,
        rows,
        width=[width for width, _ in sizes],
        height=[height for _, height in sizes],
        reason=reasons,
    )
    summary = run_scorer(scorer(pool, masks), tmp_path / "run")
    assert summary["unscored"] == 4
    found = table_of(tmp_path / "run")
    told = {row: reason for row, reason in enumerate(found["reason"]) if reason}
    assert told == {
        4: "mask missing",
        5: "mask was made on an image of another size",
        7: "no luck",
        8: "text region has a coordinate that is not finite",
    }
    clip = np.array(found["tmars_clip"])
    assert not np.isnan(clip).any() and np.isnan(np.array(found["tmars"])[list(told)]).all()


def test_masks_of_the_square_fit_an_image_that_was_shrunk_later(
    pool: SamplePool, tmp_path: Path
) -> None:
    """The columns of T-MARS's own code: original sizes beside an img2dataset pool's."""
    rows = pool.ids().to_list()
    original = [(1000, 701), *[(WIDTH, HEIGHT)] * (len(rows) - 2), (1000, 900)]
    # The upper left quarter of the image on its square: x from 0, y from the padding above.
    in_square = [[square(0, 77, 256, 256)]] * len(rows)
    made = {
        "key": rows,
        "text-boxes": in_square,
        "original_width": [width for width, _ in original],
        "original_height": [height for _, height in original],
    }
    pq.write_table(pa.table(made), tmp_path / "m.parquet")
    masks = open_masks(tmp_path / "m.parquet", pool.ids(), coordinates="square512")
    run_scorer(scorer(pool, masks), tmp_path / "run")
    found = table_of(tmp_path / "run")
    assert found["tmars_text_area"][:-1] == [0.25] * (len(rows) - 1)
    assert found["reason"] == [None] * (len(rows) - 1) + [
        "mask was made on an image of another size"
    ]


def test_opencv_is_asked_for_before_work_begins(pool: SamplePool, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.parquet", pool)
    with (
        mock.patch.dict("sys.modules", {"cv2": None}),
        pytest.raises(MissingExtraError, match=r"tamis\[tmars\]"),
    ):
        run_scorer(scorer(pool, masks, filling=Filling("inpaint")), tmp_path / "run")


def test_polygons_of_any_shape_are_made_sound(pool: SamplePool, tmp_path: Path) -> None:
    wild = {
        0: [[[0, 0], [20, 14], [20, 0], [0, 14]]],
        1: [square(-100, -100, 1e6, 1e6)],
        2: [square(30, 30, 40, 40)],
    }
    masks = write_masks(
        tmp_path / "masks.parquet", pool, {row: wild.get(row, []) for row in range(N_ROWS)}
    )
    run_scorer(scorer(pool, masks), tmp_path / "run")
    found = table_of(tmp_path / "run")
    assert found["tmars_text_area"][:3] == [pytest.approx(0.5, abs=0.05), 1.0, 0.0]
    assert found["reason"] == [None] * N_ROWS
    assert found["tmars"][2] == found["tmars_clip"][2]


@pytest.mark.parametrize("fill", ["box-mean", "image-mean", "inpaint"])
def test_another_filling_is_another_score(pool: SamplePool, tmp_path: Path, fill: Any) -> None:
    masks = write_masks(tmp_path / "masks.parquet", pool)
    run_scorer(scorer(pool, masks), tmp_path / "run")
    run_scorer(scorer(pool, masks, filling=Filling(fill), name="other"), tmp_path / "run")
    ring, other = table_of(tmp_path / "run"), table_of(tmp_path / "run", "other")
    same = np.array(ring["tmars"]) == np.array(other["other"])
    assert (np.flatnonzero(same) % 3 == 0).all() and same.sum() == -(-N_ROWS // 3)
    with pytest.raises(ChangedError, match="fill"):
        run_scorer(scorer(pool, masks, filling=Filling(fill)), tmp_path / "run")


def test_a_changed_table_of_masks_is_refused(pool: SamplePool, tmp_path: Path) -> None:
    run_scorer(scorer(pool, write_masks(tmp_path / "masks.parquet", pool)), tmp_path / "run")
    bare = write_masks(tmp_path / "masks.parquet", pool, {row: [] for row in range(N_ROWS)})
    with pytest.raises(ChangedError, match=r"masks/00000"):
        run_scorer(scorer(pool, bare), tmp_path / "run")


def test_refusals(pool: SamplePool, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.parquet", pool)
    with pytest.raises(ValueError, match="fill of ring-mean"):
        scorer(pool, masks, filling=Filling("blur"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch size of 1"):
        scorer(pool, masks, batch_size=0)
    encoder = ExactProjection()
    encoder.dims = {"text": 4}
    with pytest.raises(ValueError, match="expected a model of images and texts"):
        Tmars(pool, masks, encoder)
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(PoolError, match="expected images and captions, the pool has texts"):
        scorer(open_samples(tmp_path / "texts.jsonl"), masks)


def test_every_frame_but_the_first_is_ignored() -> None:
    assert decode_image(animated()).getpixel((0, 0))[0] > 250
    assert Image.open(io.BytesIO(animated())).n_frames == 2


def test_workers_stay_for_the_next_unit(pool: SamplePool, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.parquet", pool)
    with mock.patch("tamis.filters.tmars.rescore.ImageWorkers", wraps=ImageWorkers) as started:
        run_scorer(scorer(pool, masks, workers=1), tmp_path / "run", rows_per_unit=9)
    assert started.call_count == 1
    gc.collect()
    assert not multiprocessing.active_children()
