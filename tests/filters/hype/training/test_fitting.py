"""Training on arrays: it learns, repeats its bits, and its curves are those of the file."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.filters.hype.training.learnable import SMALL, learnable

from tamis import canonical, lorentz
from tamis.errors import MissingExtraError, RunError

torch = pytest.importorskip("torch")

from tamis.filters.hype.adapter import Adapter  # noqa: E402 - torch first
from tamis.filters.hype.training import Options, Trained, train  # noqa: E402
from tamis.filters.hype.training.fitting import Saved, prepare, train_pairs  # noqa: E402
from tamis.filters.hype.training.pairs import TrainingPairs  # noqa: E402
from tamis.kernels import sample  # noqa: E402


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(*learnable(), SMALL)


def test_it_learns(trained: Trained) -> None:
    before, after = trained.curves[0], trained.curves[-1]
    assert [record["epoch"] for record in trained.curves] == [0, 1, 2, 3, 4]
    assert 0.3 < before["auc"] < 0.7 and after["auc"] > 0.9
    assert after["accuracy_image_to_text"] > 5 * before["accuracy_image_to_text"]
    assert after["loss"] < before["loss"]
    assert after["train_loss"] < trained.curves[1]["train_loss"]
    assert trained.summary["epoch"] == min(trained.curves[1:], key=lambda r: r["loss"])["epoch"]
    assert trained.summary["train_pairs"] == len(trained.train) == 320
    assert sorted([*trained.train, *trained.validation]) == list(range(400))


def test_the_numbers_are_those_of_the_file(trained: Trained, tmp_path: Path) -> None:
    """With the file, the rows of the validation and tamis.lorentz, and nothing of the training."""
    trained.adapter.save(tmp_path / "adapter.safetensors")
    adapter = Adapter.load(tmp_path / "adapter.safetensors")
    measured = adapter.training["measured"]
    assert measured == trained.summary["measured"]
    chosen = trained.validation
    chosen = chosen[np.argsort(sample.keys(SMALL.seed, sample.MISMATCH, chosen))]
    images, texts = (canonical(rows[chosen])[0] for rows in learnable())
    images, texts = adapter.project(images, "image"), adapter.project(texts, "text")
    c = adapter.curvature
    apart = lorentz.distance(images, texts, curvature=c, all_pairs=True)
    nearest = [apart.argmin(axis=axis) == np.arange(len(chosen)) for axis in (1, 0)]
    assert measured["accuracy_image_to_text"] == nearest[0].mean()
    assert measured["accuracy_text_to_image"] == nearest[1].mean()
    matched = lorentz.distance(images, texts, curvature=c)
    amiss = lorentz.distance(images, np.roll(texts, -1, axis=0), curvature=c)
    assert measured["auc"] == (matched[:, None] < amiss).mean()
    energy = lorentz.entailment(texts, images, curvature=c)
    assert measured["entailed"] == (energy <= 0).mean()
    assert measured["entailment_loss"] == np.maximum(energy, 0).mean()
    logits = -math.exp(adapter.logit_scale) * apart.astype(np.float64)
    shares = [np.exp(logits) / np.exp(logits).sum(axis, keepdims=True) for axis in (1, 0)]
    expected = -np.mean([np.log(share.diagonal()).mean() for share in shares])
    assert measured["contrastive_loss"] == pytest.approx(expected, rel=1e-9)
    for side, rows in (("image", images), ("text", texts)):
        radius = lorentz.radii(rows, curvature=c).radius
        assert measured[f"{side}_radius"]["mean"] == radius.mean()
        assert measured[f"{side}_radius"]["0.5"] == np.median(radius)
    assert measured["curvature"] == c == adapter.space.curvature


def test_the_file_says_what_it_was_trained_on() -> None:
    origins: Any = {"image": {"embedding": "a", "dim": 24, "encoder": None}}
    origins["text"] = {"embedding": "b", "dim": 16, "encoder": {"model": "m"}}
    quick = dataclasses.replace(SMALL, epochs=1)
    adapter = train(*learnable(), quick, origins=origins, note="for a test").adapter
    assert adapter.origins == origins and adapter.note == "for a test"
    training = adapter.training
    assert training["options"] == quick.recipe() and training["pairs"] == 400
    assert training["kept"] == "the lowest validation loss"
    assert training["processor"]["device"] == "cpu"
    json.dumps(training, allow_nan=False)


@pytest.mark.parametrize(
    ("train_pairs", "batch"),
    [(2, 2), (31, 31), (32, 32), (511, 32), (528, 33), (8191, 511), (8192, 512), (10**7, 512)],
)
def test_the_usual_batch(train_pairs: int, batch: int) -> None:
    assert Options().batch_for(train_pairs) == batch
    assert Options(batch_size=7).batch_for(train_pairs) == 7


def test_the_usual_batch_is_used_and_told(trained: Trained) -> None:
    usual = dataclasses.replace(SMALL, batch_size=None)
    found = train(*learnable(), usual).adapter  # of 320 pairs
    assert found.training["options"] == {**usual.recipe(), "batch_size": 32}
    named = train(*learnable(), dataclasses.replace(SMALL, batch_size=32)).adapter
    assert found.to_bytes() == named.to_bytes() != trained.adapter.to_bytes()


def test_the_same_bits_for_any_number_of_threads(trained: Trained, pinned: Any) -> None:
    expected = trained.adapter.to_bytes()
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with pinned(threads=threads):
                again = train(*learnable(), SMALL)
            assert torch.get_num_threads() == threads
            assert again.adapter.to_bytes() == expected
            assert again.curves == trained.curves
    finally:
        torch.set_num_threads(before)


class _StopError(Exception):
    pass


def test_stopping_after_any_step_changes_no_bit(trained: Trained) -> None:
    images, texts = learnable()
    ready = prepare(TrainingPairs.of_arrays(images, texts), SMALL)
    content: list[bytes] = []
    kept: list[bytes | None] = [None]

    def write(found: bytes) -> None:
        content.append(found)
        if len(content) % 3 == 0:
            raise _StopError

    for _ in range(20):
        saved = Saved("the checkpoint", kept[0], write, seconds=0.0)
        try:
            again = train_pairs(ready, SMALL, saved=saved)
            break
        except _StopError:
            kept[0] = content[-1]
    assert len(content) == 4 * (320 // 64) and kept[0] is not None
    assert again.adapter.to_bytes() == trained.adapter.to_bytes()
    assert again.curves == trained.curves
    # A process that was killed before it wrote does the same steps again, to the same bytes.
    repeated: list[bytes] = []
    saved = Saved("the checkpoint", content[6], repeated.append, seconds=0.0)
    train_pairs(ready, SMALL, saved=saved)
    assert repeated == content[7:]


def test_a_damaged_checkpoint_is_refused() -> None:
    ready = prepare(TrainingPairs.of_arrays(*learnable()), SMALL)
    content: list[bytes] = []
    saved = Saved("there", None, content.append, seconds=0.0)
    train_pairs(ready, dataclasses.replace(SMALL, epochs=1), saved=saved)
    whole = content[0]
    other = dataclasses.replace(SMALL, dim=4)
    for damaged, options in (
        (b"", SMALL),
        (b"junk" * 10, SMALL),
        (whole[:-1], SMALL),
        (whole[: len(whole) // 2], SMALL),
        (whole.replace(b"checkpoint 1", b"checkpoint 9"), SMALL),
        (whole, other),
    ):
        saved = Saved("there", damaged, content.append)
        with pytest.raises(RunError, match="there is damaged; remove it"):
            train_pairs(ready, options, saved=saved)


def test_what_is_kept_and_what_is_fixed() -> None:
    wild = dataclasses.replace(SMALL, lr=0.2, warmup=0.0, epochs=3, fixed_curvature=True)
    wild = dataclasses.replace(wild, curvature_init=2.5)
    best = train(*learnable(), wild)
    last = train(*learnable(), dataclasses.replace(wild, keep="last"))
    assert best.curves == last.curves
    assert last.summary["epoch"] == 3 and last.summary["kept"] == "the last epoch"
    assert len({record["curvature"] for record in best.curves}) == 1
    assert best.adapter.curvature == pytest.approx(2.5)
    assert best.summary["epoch"] == min(best.curves[1:], key=lambda record: record["loss"])["epoch"]


def test_long_rows_of_a_weight_go_into_the_scale() -> None:
    """A file's weights have rows of at most 16; a high rate makes longer ones."""
    wild = dataclasses.replace(SMALL, lr=1.0, warmup=0.0, weight_decay=0.0, epochs=6, keep="last")
    adapter = train(*learnable(), wild).adapter
    longest = max(
        np.linalg.norm(weight.astype(np.float64), axis=1).max()
        for weight in adapter.weights.values()
    )
    assert 4 < longest <= 16


def test_bad_rows_are_skipped_and_counted(trained: Trained) -> None:
    images, texts = learnable()
    images[3], texts[7, 0], images[9], texts[9] = np.nan, np.inf, 0, 0
    found = train(images, texts, dataclasses.replace(SMALL, epochs=1))
    assert found.summary["skipped"] == {
        "image row is zero or not finite": 1,
        "image row is zero or not finite and text row is zero or not finite": 1,
        "text row is zero or not finite": 1,
    }
    assert found.summary["pairs"] == 397
    assert not {3, 7, 9} & {*found.train.tolist(), *found.validation.tolist()}


def test_copies_captions_and_series_never_straddle() -> None:
    images, texts = learnable(300)
    images[100:200] = images[:100] * 2  # copies
    texts[200:250] = texts[50:100]
    series = [f"s{i // 10}" if i < 40 else None for i in range(300)]
    found = train(images, texts, dataclasses.replace(SMALL, epochs=1, batch_size=32), series=series)
    measured = set(found.validation.tolist())
    for i in range(50, 100):
        assert len({i in measured, i + 100 in measured, i + 150 in measured}) == 1
    for start in range(0, 40, 10):
        members = [*range(start, start + 10), *range(start + 100, start + 110)]
        assert len({i in measured for i in members}) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch_size": 400}, "expected a batch of at most the 320 training pairs, got 400"),
        ({"validation": 0.001}, "the validation would be empty"),
        ({"near": -1.0}, "400 usable pairs are 1 families"),
    ],
)
def test_what_cannot_be_trained(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        train(*learnable(), dataclasses.replace(SMALL, **change))


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "tamis\[adapter\]"'):
        train(*learnable(), SMALL)


def test_rows_that_do_not_fit() -> None:
    images, texts = learnable(50)
    with pytest.raises(ValueError, match="as many image as text rows, got 50 and 49"):
        train(images, texts[1:], SMALL)
    with pytest.raises(ValueError, match="and 3 series"):
        train(images, texts, SMALL, series=["a", "b", "c"])
    with pytest.raises(TypeError, match="array of float16"):
        train(images.astype(np.int64), texts, SMALL)
    with pytest.raises(ValueError, match="0 usable pairs are 0 families"):
        train(0 * images, texts, SMALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 1),
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", math.nan),
        ("weight_decay", -1.0),
        ("warmup", 1.5),
        ("entailment_weight", -0.1),
        ("curvature_init", 0.0),
        ("curvature_init", math.inf),
        ("validation", 0.0),
        ("validation", 0.9),
        ("gain", 0.0),
        ("near", 2.0),
        ("keep", "worst"),
    ],
)
def test_options_that_cannot_be_meant(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Options(**{name: value})


def test_the_rate_rises_then_falls() -> None:
    options = Options(lr=0.1, warmup=0.1)
    rates = [options.rate(step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.1) and rates.index(max(rates)) == 9
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert min(rates) == rates[-1] == pytest.approx(0.0)
