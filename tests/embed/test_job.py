"""A pool of samples in, an embed step out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.embed.small import (
    BATCH,
    DIM,
    Projection,
    embed,
    encoded,
    fingerprint,
    picture,
    plain_pool,
    rows_of,
    shrunk,
    step,
    texts,
    write_pool,
)
from tests.run.snapshot import snapshot

from tamis import canonical
from tamis.data.pool import open_pool
from tamis.data.samples import SamplePool, open_samples
from tamis.embed.job import run_embed
from tamis.errors import BadRowsError, ChangedError
from tamis.run.directory import RunDirectory
from tamis.run.pool_link import pool_of

N_ROWS = 45


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SamplePool:
    return plain_pool(tmp_path_factory.mktemp("plain") / "pool", N_ROWS)


def expected_images(n_rows: int) -> np.ndarray:
    encoder = Projection(batch_size=1)
    arrays = [np.asarray(Image.fromarray(np.asarray(_decoded(picture(n))))) for n in range(n_rows)]
    prepared = [shrunk(Image.fromarray(array)) for array in arrays]
    return canonical(np.concatenate([encoder.encode_images(p[None]) for p in prepared]))[0]


def _decoded(data: bytes) -> Image.Image:
    import io

    return Image.open(io.BytesIO(data)).convert("RGB")


def expected_texts(n_rows: int) -> np.ndarray:
    encoder = Projection()
    rows = [
        np.mean([encoder._tokens[piece].sum(0).astype("f8") for piece in pieces], axis=0)
        for pieces in encoder.prepare_texts(texts(n_rows))
    ]
    return canonical(np.array(rows))[0]


def test_layout_and_rows(pool: SamplePool, tmp_path: Path) -> None:
    out = tmp_path / "run"
    summary = embed(pool, out)
    folder = step(out)
    assert sorted(snapshot(folder)) == sorted(
        [f"{side}/{side}_{unit:05d}.npy" for side in ("img_emb", "text_emb") for unit in range(3)]
        + [f"metadata/metadata_{unit:05d}.parquet" for unit in range(3)]
        + ["config.toml", "manifest.json", "quarantine.parquet", "summary.json"]
    )
    assert summary == json.loads((folder / "summary.json").read_text())
    side = {"dim": DIM, "embedded": N_ROWS, "quarantined": 0, "reasons": {}}
    assert summary["sides"] == {"image": side, "text": side}
    assert (summary["rows_in"], summary["rows_quarantined"], summary["units"]) == (N_ROWS, 0, 3)
    for kind, expected in (("img_emb", expected_images), ("text_emb", expected_texts)):
        rows = rows_of(folder, kind)
        assert rows.dtype == np.float16
        np.testing.assert_allclose(
            rows.astype("f8"), expected(N_ROWS).astype("f8"), rtol=0, atol=1e-3
        )
        again, bad = canonical(rows)
        assert (again == rows).all() and not bad.any()
        opened = open_pool(folder, embedding=kind)
        assert opened.ids().to_list() == pool.ids().to_list()
    assert pool_of(out) == str(Path(str(pool.path)).resolve())
    assert RunDirectory.read(folder).verify() == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"]["batch_size"] == BATCH
    assert manifest["plan"] == {"rows_per_unit": 20}


def test_any_number_of_workers_gives_the_same_bytes(pool: SamplePool, tmp_path: Path) -> None:
    found = set()
    for workers in (0, 1, 2):
        embed(pool, tmp_path / str(workers), workers=workers)
        found.add(fingerprint(step(tmp_path / str(workers))))
    assert len(found) == 1
    embed(pool, tmp_path / "other", batch_size=4)
    assert fingerprint(step(tmp_path / "other")) not in found  # the manifest says it


def test_batches_are_always_full(pool: SamplePool, tmp_path: Path) -> None:
    encoder = Projection()
    embed(pool, tmp_path / "run", encoder=encoder)
    images = [shape for shape in encoder.batches if len(shape) == 4]
    assert len(images) == 3 + 3 + 1  # of units of 20, 20 and 5 rows


def test_parts_join_to_the_bytes_of_one(pool: SamplePool, tmp_path: Path) -> None:
    embed(pool, tmp_path / "one", rows_per_unit=7)
    for part in ((2, 3), (1, 3)):
        summary = embed(pool, tmp_path / "many", rows_per_unit=7, part=part, workers=1)
        assert summary["units"] == len(range(part[0] - 1, 7, 3))
    folder = step(tmp_path / "many")
    assert not (folder / "summary.json").exists()
    done = {name: content for name, content in snapshot(folder).items() if "emb" in name}
    embed(pool, tmp_path / "many", rows_per_unit=7)  # the third part, and the end
    assert done.items() <= snapshot(folder).items()
    assert snapshot(folder) == snapshot(step(tmp_path / "one"))
    before = fingerprint(folder)
    embed(pool, tmp_path / "many", rows_per_unit=7, part=(3, 3))  # nothing is left to do
    (folder / ".lock.3-3").unlink()
    assert fingerprint(folder) == before


def test_a_bad_row_leaves_its_batch_mates_alone(tmp_path: Path) -> None:
    n_rows = 30
    good_images, good_texts = [picture(n) for n in range(n_rows)], texts(n_rows)
    images: list[bytes] = list(good_images)
    captions: list[str | bytes] = list(good_texts)
    images[3] = b"not an image"
    images[4] = good_images[4][:60]
    images[9] = b""
    images[21] = encoded(Image.new("RGB", (400, 3)))
    captions[3] = b"\xff\xfe broken"
    captions[17] = ""
    good = open_samples(write_pool(tmp_path / "good", good_images, good_texts))
    bad = open_samples(write_pool(tmp_path / "bad", images, captions))
    embed(good, tmp_path / "a")
    summary = embed(bad, tmp_path / "b", max_bad_fraction=0.5, workers=1)
    for side, broken in (("img_emb", [3, 4, 9, 21]), ("text_emb", [3, 17])):
        expected, rows = rows_of(step(tmp_path / "a"), side), rows_of(step(tmp_path / "b"), side)
        assert not rows[broken].any()
        kept = np.setdiff1d(np.arange(n_rows), broken)
        assert (rows[kept].view("u2") == expected[kept].view("u2")).all()
    table = pq.read_table(step(tmp_path / "b") / "quarantine.parquet").to_pydict()
    assert table["row"] == [3, 3, 4, 9, 17, 21]
    assert all(reason.startswith(("image", "text")) for reason in table["reason"])
    assert "image is more than 100 times as long as wide" in table["reason"]
    assert "text has no tokens" in table["reason"]
    assert summary["rows_quarantined"] == 5  # row 3 lacks both
    assert summary["sides"]["image"]["quarantined"] == 4
    assert sum(summary["sides"]["image"]["reasons"].values()) == 4
    assert summary["sides"]["text"]["embedded"] == n_rows - 2


def test_too_many_bad_rows(tmp_path: Path) -> None:
    images = [picture(n) if n % 2 else b"" for n in range(20)]
    pool = open_samples(write_pool(tmp_path / "pool", images, texts(20)))
    out = tmp_path / "run"
    with pytest.raises(BadRowsError, match=r"10 of 20 rows lack an embedding \(.*\(10\)\)"):
        embed(pool, out)
    assert pq.read_table(step(out) / "quarantine.parquet").num_rows == 10
    assert not (step(out) / "summary.json").exists()
    with pytest.raises(BadRowsError, match="metadata"):
        embed(pool, tmp_path / "part", part=(1, 1))
    encoder = Projection()
    embed(pool, out, encoder=encoder, max_bad_fraction=0.5)
    assert encoder.batches == []  # nothing is done twice
    embed(pool, tmp_path / "fresh", max_bad_fraction=0.5)
    assert snapshot(step(out)) == snapshot(step(tmp_path / "fresh"))


def test_a_unit_without_any_image(tmp_path: Path) -> None:
    images = [b""] * 20 + [picture(n) for n in range(4)]
    pool = open_samples(write_pool(tmp_path / "pool", images, [""] * 20 + texts(4)))
    summary = embed(pool, tmp_path / "run", max_bad_fraction=1)
    assert summary["sides"]["image"]["embedded"] == summary["sides"]["text"]["embedded"] == 4
    rows = rows_of(step(tmp_path / "run"), "text_emb")
    assert rows.shape == (24, DIM) and not rows[:20].any() and rows[20:].any(axis=1).all()


def test_what_an_encoder_makes_of_a_row_may_be_no_number(pool: SamplePool, tmp_path: Path) -> None:
    class Overflowing(Projection):
        def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            rows = super().encode_images(batch)
            rows[2, 5], rows[3, 0], rows[4] = np.inf, np.nan, 0
            return rows

    embed(pool, tmp_path / "plain")
    summary = embed(pool, tmp_path / "run", encoder=Overflowing(), max_bad_fraction=1)
    table = pq.read_table(step(tmp_path / "run") / "quarantine.parquet").to_pydict()
    assert table["row"][:4] == [2, 3, 4, 10]
    assert table["reason"][:3] == [
        "image embedding has an infinite value",
        "image embedding has a NaN",
        "image embedding is zero",
    ]
    assert summary["sides"]["image"]["quarantined"] == len(table["row"])
    expected, rows = (rows_of(step(tmp_path / name), "img_emb") for name in ("plain", "run"))
    kept = np.setdiff1d(np.arange(N_ROWS), table["row"])
    assert (rows[kept] == expected[kept]).all() and not rows[table["row"]].any()


def test_flipped_images(tmp_path: Path) -> None:
    pictures = [picture(n, (6, 5)) for n in range(10)]  # of the size that is encoded
    mirrored = [encoded(_decoded(p).transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for p in pictures]
    plain = open_samples(write_pool(tmp_path / "plain", pictures, texts(10)))
    flipped = open_samples(write_pool(tmp_path / "flipped", mirrored, texts(10)))
    summary = embed(plain, tmp_path / "a", flip=True)
    assert summary["name"] == "projection-flip"
    embed(flipped, tmp_path / "b")
    for side in ("img_emb", "text_emb"):
        a = rows_of(step(tmp_path / "a", "projection-flip"), side)
        assert (a == rows_of(step(tmp_path / "b"), side)).all()


def test_sides_and_long_texts(pool: SamplePool, tmp_path: Path) -> None:
    embed(pool, tmp_path / "texts", sides=["text"], name="words")
    assert not (step(tmp_path / "texts", "words") / "img_emb").exists()
    with pytest.raises(ValueError, match="the encoder text, asked for: image"):
        embed(pool, tmp_path / "none", encoder=Projection(["text"]), sides=["image"])
    assert not (tmp_path / "none").exists()
    documents = tmp_path / "documents.jsonl"
    lines = ["a" * 450, "bcd", "", "e" * 200]
    documents.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    embed(open_samples(documents), tmp_path / "long", max_bad_fraction=0.5)
    encoder = Projection()
    pieces = [encoder._tokens[97] * (200 + 200 + 50) / 3]
    rows = rows_of(step(tmp_path / "long"), "text_emb")
    expected = canonical(np.array(pieces, "f8"))[0]
    np.testing.assert_allclose(rows[:1].astype("f8"), expected.astype("f8"), atol=1e-3)
    opened = open_pool(step(tmp_path / "long"))
    assert opened.ids().kind == "row" and not rows[2].any()


def test_what_was_started_is_kept(pool: SamplePool, tmp_path: Path) -> None:
    out = tmp_path / "run"
    embed(pool, out, part=(1, 2))
    with pytest.raises(ChangedError, match="batch_size: 8 -> 4"):
        embed(pool, out, batch_size=4)
    embed(pool, out, rows_per_unit=1000, workers=1)  # the units stay
    assert len(list((step(out) / "metadata").iterdir())) == 3
    other = open_samples(write_pool(tmp_path / "other", [picture(1)], ["x"]))
    with pytest.raises(ChangedError, match="is about the pool"):
        embed(other, out)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 0}, "batch size of 1 or more, got 0"),
        ({"rows_per_unit": 0}, "rows per unit of 1 or more, got 0"),
        ({"workers": -1}, "expected 0 workers or more, got -1"),
        ({"max_bad_fraction": 1.5}, "expected max_bad_fraction from 0 to 1, got 1.5"),
        ({"name": "../x"}, "expected a plain name"),
        ({"part": (3, 2)}, "expected a part I/N"),
    ],
)
def test_options(options: dict[str, object], told: str, pool: SamplePool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        run_embed(pool, tmp_path / "run", Projection(), **options)  # type: ignore[arg-type]
