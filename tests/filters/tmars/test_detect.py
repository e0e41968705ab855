"""The detect step: every row accounted for, the same bytes however the work was done."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.filters.tmars.lettering import (
    DarkBlocks,
    Returns,
    block_picture,
    detect,
    encoded,
    image_pool,
    lettered,
    needs_network,
    scenery,
)
from tests.run.snapshot import snapshot

import tamis
from tamis.data.ids_digest import METADATA_KEY, ids_digest
from tamis.data.samples import SamplePool, open_samples
from tamis.errors import BadRowsError, ChangedError, PoolError
from tamis.filters.tmars.detect import run_detect, step_folder
from tamis.filters.tmars.detector import Frames, detect_images
from tamis.filters.tmars.detectors import open_detector
from tamis.filters.tmars.polygons import NO_POLYGON, NOT_FINITE, PolygonFault, Regions
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import pool_of

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("slow_detect.py")
N_ROWS = 40


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SamplePool:
    folder = tmp_path_factory.mktemp("pools") / "pool"
    return image_pool(folder, [block_picture(number) for number in range(N_ROWS)])


@pytest.fixture(scope="module")
def expected(pool: SamplePool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("unbroken")
    detect(pool, out)
    return snapshot(step_folder(out))


def lines(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(step_folder(out) / "masks.parquet").to_pylist()
    return found


def test_the_table(pool: SamplePool, tmp_path: Path) -> None:
    summary = detect(pool, tmp_path)
    table = pq.read_table(step_folder(tmp_path) / "masks.parquet")
    names = ["id", "width", "height", "polygons", "scores", "reason"]
    assert table.column_names == names
    assert [str(kind) for kind in table.schema.types[1:]] == [
        "int32",
        "int32",
        "list<element: list<element: float>>",
        "list<element: float>",
        "string",
    ]
    assert table["id"].to_pylist() == pool.ids().to_list()
    assert table.schema.metadata[METADATA_KEY].decode() == ids_digest(pool.ids())
    detector = DarkBlocks()
    for row, line in enumerate(table.to_pylist()):
        with Image.open(pool.path / f"{row:04d}.png") as image:
            regions = detector.blocks(detector.prepare_image(image.convert("RGB")))
            assert (line["width"], line["height"]) == image.size
        assert line["polygons"] == [polygon.ravel().tolist() for polygon in regions.polygons]
        assert line["scores"] == regions.scores.tolist() and line["reason"] is None
    regions_in = [len(line) for line in table["polygons"].to_pylist()]
    assert summary == {
        "name": "text",
        "detector": detector.recipe(),
        "rows_in": N_ROWS,
        "rows_masked": N_ROWS,
        "rows_with_text": sum(map(bool, regions_in)),
        "regions": sum(regions_in),
        "rows_without_mask": 0,
        "reasons": {},
    }
    assert 0 < summary["rows_with_text"] < N_ROWS < summary["regions"]
    assert json.loads((step_folder(tmp_path) / "summary.json").read_text()) == summary
    assert (
        pool_of(tmp_path) == str(pool.path)
        and not RunDirectory.read(step_folder(tmp_path)).verify()
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers(
    workers: int, pool: SamplePool, expected: dict[str, bytes], tmp_path: Path
) -> None:
    detect(pool, tmp_path, workers=workers)
    assert snapshot(step_folder(tmp_path)) == expected


def test_large_frames_come_a_few_at_a_time(
    pool: SamplePool,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = DarkBlocks()
    monkeypatch.setattr("tamis.filters.tmars.detect._BYTES_PER_BLOCK", 3 * 64 * 64 * 3)
    detect(pool, tmp_path, detector=detector)
    assert max(detector.calls) == 2
    assert snapshot(step_folder(tmp_path)) == expected


def test_parts(pool: SamplePool, expected: dict[str, bytes], tmp_path: Path) -> None:
    counts = [detect(pool, tmp_path, part=(i, 4)) for i in (3, 1, 4)]
    assert [count["part"] for count in counts] == [[3, 4], [1, 4], [4, 4]]
    assert not (step_folder(tmp_path) / "masks.parquet").exists()
    detector = DarkBlocks()
    summary = detect(pool, tmp_path, detector=detector)
    assert sum(detector.calls) == N_ROWS - sum(count["rows_in"] for count in counts) > 0
    assert summary["rows_in"] == N_ROWS
    assert snapshot(step_folder(tmp_path)) == expected
    detector.calls.clear()
    assert detect(pool, tmp_path, detector=detector) == summary and not detector.calls


def test_the_table_does_not_depend_on_the_units(
    pool: SamplePool, expected: dict[str, bytes], tmp_path: Path
) -> None:
    detect(pool, tmp_path, rows_per_unit=1000)
    found = snapshot(step_folder(tmp_path))
    assert found["masks.parquet"] == expected["masks.parquet"]
    assert found["summary.json"] == expected["summary.json"]
    detect(pool, tmp_path, rows_per_unit=3)  # keeps its own
    assert snapshot(step_folder(tmp_path)) == found


def start(pool: Path, out: Path, pause: float) -> subprocess.Popen[str]:
    folders = [str(Path(tamis.__file__).parents[1]), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(pause), pool, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_kill_at_random_moments(
    pool: SamplePool, expected: dict[str, bytes], tmp_path: Path
) -> None:
    moments = random.Random(0)
    units = step_folder(tmp_path) / "masks"
    kills = 0
    for more in (0, 1, 2):
        goal = len(list(units.glob("*.parquet"))) + more
        process = start(Path(str(pool.path)), tmp_path, 0.05)
        while len(list(units.glob("*.parquet"))) < goal and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        kills += process.returncode == -9
    assert kills > 1
    detect(pool, tmp_path, workers=1)
    assert snapshot(step_folder(tmp_path)) == expected


def bomb() -> bytes:
    """A PNG whose header states 100,000 x 100,000 pixels."""
    data = bytearray(encoded(Image.new("RGB", (4, 4))))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    return bytes(data)


HOSTILE: Sequence[tuple[bytes, str | None]] = [
    (b"", "image is empty"),
    (b"junk" * 99, "image is in no known format"),
    (block_picture(3)[:-40], "image is truncated"),
    (bomb(), "image has too many pixels"),
    (encoded(Image.new("RGB", (2000, 3))), "image is more than 100 times as long as wide"),
    (encoded(Image.new("RGB", (1, 1), "white")), None),
    (encoded(Image.new("RGBA", (50, 40), (0, 0, 0, 0))), None),
    (encoded(Image.new("RGB", (30, 20), "white"), "GIF", save_all=True), None),
]


def test_bad_images_have_a_reason_and_harm_nobody(tmp_path: Path) -> None:
    good = [block_picture(number) for number in range(len(HOSTILE))]
    mixed = [data for pair in zip(good, [bad for bad, _ in HOSTILE], strict=True) for data in pair]
    pool = image_pool(tmp_path / "pool", mixed)
    summary = detect(pool, tmp_path / "run", max_bad_fraction=1)
    found = lines(tmp_path / "run")
    for line, (_, reason) in zip(found[1::2], HOSTILE, strict=True):
        assert line["reason"] == reason
        assert line["polygons"] == line["scores"] == (None if reason else [])
        assert (line["width"] is None) == bool(reason)
    detect(image_pool(tmp_path / "good", good), tmp_path / "clean")
    without_id = [{**line, "id": None} for line in found[::2]]
    assert without_id == [{**line, "id": None} for line in lines(tmp_path / "clean")]
    bad = [reason for _, reason in HOSTILE if reason]
    assert summary["rows_without_mask"] == len(bad) and summary["reasons"] == dict.fromkeys(
        sorted(bad), 1
    )
    assert summary["rows_masked"] + summary["rows_without_mask"] == summary["rows_in"] == len(mixed)


def test_images_that_are_missing(tmp_path: Path) -> None:
    images = [block_picture(3), None, block_picture(2), None]
    pq.write_table(pa.table({"id": [5, 6, 7, 8], "image": images}), tmp_path / "pool.parquet")
    detect(open_samples(tmp_path / "pool.parquet"), tmp_path / "run", max_bad_fraction=1)
    found = lines(tmp_path / "run")
    assert [line["reason"] for line in found] == [None, "image is missing"] * 2
    assert [line["id"] for line in found] == [5, 6, 7, 8]
    assert found[0]["polygons"] and found[1]["polygons"] is None


def test_too_many_bad_rows(tmp_path: Path) -> None:
    pool = image_pool(tmp_path / "pool", [block_picture(1), b"", block_picture(2), b"junk"])
    with pytest.raises(BadRowsError, match=r"2 of 4 rows have no mask.*image is empty: 1"):
        detect(pool, tmp_path / "run", max_bad_fraction=0.49)
    assert not (step_folder(tmp_path / "run") / "masks.parquet").exists()
    assert detect(pool, tmp_path / "run", max_bad_fraction=0.5)["rows_without_mask"] == 2


def test_polygons_of_a_detector_are_made_sound(tmp_path: Path) -> None:
    pool = image_pool(tmp_path / "pool", [encoded(Image.new("RGB", (20, 10)))])
    crossing = [[0, 0], [8, 8], [8, 0], [0, 8]]
    beyond = [[-5, -5], [50, -5], [50, 2], [-5, 2]]
    outside = [[100, 100], [120, 100], [120, 120]]
    detect(pool, tmp_path / "run", detector=Returns([crossing, beyond, outside], [0.5, 0.25, 1]))
    (line,) = lines(tmp_path / "run")
    assert line["scores"] == [0.5, 0.5, 0.25] and line["reason"] is None
    assert sorted(zip(*[iter(line["polygons"][2])] * 2, strict=True)) == [
        (0, 0),
        (0, 2),
        (20, 0),
        (20, 2),
    ]


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([[0, 0], [np.nan, 1], [2, 2]], NOT_FINITE),
        ([[0, 0], [1, 1]], NO_POLYGON),
        ("nonsense", NO_POLYGON),
    ],
)
def test_nonsense_of_a_detector_is_a_reason(polygon: Any, reason: str, tmp_path: Path) -> None:
    pool = image_pool(tmp_path / "pool", [block_picture(0)])
    detect(pool, tmp_path / "run", detector=Returns([polygon]), max_bad_fraction=1)
    (line,) = lines(tmp_path / "run")
    assert (line["reason"], line["polygons"]) == (reason, None) and line["width"] > 0


class Failing(DarkBlocks):
    """Fails on every second image."""

    def blocks(self, frame: Any) -> Regions:
        odd = frame["size"][0] % 2
        return Regions(reason="the map is broken") if odd else super().blocks(frame)


def test_a_detector_that_fails_on_some_images(pool: SamplePool, tmp_path: Path) -> None:
    summary = detect(pool, tmp_path, detector=Failing(), max_bad_fraction=1)
    found = lines(tmp_path)
    assert [line["reason"] for line in found] == [
        "the map is broken" if line["width"] % 2 else None for line in found
    ]
    assert 0 < summary["reasons"]["the map is broken"] < N_ROWS
    with Image.open(pool.path / "0000.png") as image:
        odd = image.convert("RGB").crop((0, 0, 21, 20))
    with pytest.raises(PolygonFault, match="the map is broken"):
        detect_images(Failing(), [odd])


class Forgetful(DarkBlocks):
    """Loses an image."""

    def detect(self, frames: Frames) -> list[Regions]:
        return super().detect(frames)[1:]


def test_a_detector_that_loses_an_image(pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 7 results of the detector dark blocks, got 6"):
        detect(pool, tmp_path, detector=Forgetful())


def test_another_detector_is_refused(pool: SamplePool, tmp_path: Path) -> None:
    detect(pool, tmp_path)
    with pytest.raises(ChangedError, match="side"):
        detect(pool, tmp_path, detector=DarkBlocks(side=96))
    detect(pool, tmp_path, detector=DarkBlocks(side=96), name="other")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["other", "text"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\0"])
def test_a_name_that_leads_elsewhere(name: str, pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="plain name"):
        detect(pool, tmp_path, name=name)


def test_wrong_arguments(pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows per unit"):
        detect(pool, tmp_path, rows_per_unit=0)
    with pytest.raises(ValueError, match="max_bad_fraction"):
        detect(pool, tmp_path, max_bad_fraction=1.5)
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(PoolError, match="has no images"):
        detect(open_samples(tmp_path / "texts.jsonl"), tmp_path / "run")


@needs_network
def test_the_default_detector_end_to_end(tmp_path: Path) -> None:
    """Shards of the sample pool's kind: images with text, images without, one that is broken."""
    scenes = [scenery(number, (240, 160)) for number in range(8)]
    for scene in scenes[::2]:
        lettered(scene, "Open today", (120, 80), height=30)
    pool = image_pool(tmp_path / "pool", [*map(encoded, scenes), b"junk"])
    summary = run_detect(pool, tmp_path / "a", open_detector(), max_bad_fraction=0.2)
    assert [bool(line["polygons"]) for line in lines(tmp_path / "a")] == [True, False] * 4 + [False]
    assert summary["rows_with_text"] == 4 and summary["rows_without_mask"] == 1
    run_detect(
        pool, tmp_path / "b", open_detector(), max_bad_fraction=0.2, workers=1, rows_per_unit=2
    )
    a, b = (snapshot(step_folder(tmp_path / out)) for out in "ab")
    assert a["masks.parquet"] == b["masks.parquet"]
