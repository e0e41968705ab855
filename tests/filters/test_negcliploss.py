"""s-CLIPLoss against its formula, and what must not change it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Pin
from tests.data.pools import unit_rows
from tests.filters.score_pools import (
    BAD,
    column,
    normalised,
    reasons,
    sides,
    usable,
    write_pairs,
)
from tests.run.snapshot import snapshot

from tamis.filters.negcliploss import Batches, NegClipLoss, loss, neg_clip_loss
from tamis.kernels import sample
from tamis.kernels.canonical import canonical
from tamis.score.job import run_scorer


def literal(f: np.ndarray, g: np.ndarray, temperature: float) -> np.ndarray:
    """The formula for one batch of float64 unit rows, written down as it is printed."""
    scores = np.empty(len(f))
    for i in range(len(f)):
        over_texts = sum(np.exp(f[i] @ g[j] / temperature) for j in range(len(f)))
        over_images = sum(np.exp(f[j] @ g[i] / temperature) for j in range(len(f)))
        scores[i] = f[i] @ g[i] - temperature / 2 * (np.log(over_texts) + np.log(over_images))
    return scores


def literal_batches(rows: np.ndarray, n: int, size: int, seed: int, repetition: int) -> list[dict]:
    """Row -> whether it only fills, for each batch, from a sorted list."""
    keyed = [int(sample.keys(seed, sample.BATCH, np.array([r + repetition * n]))[0]) for r in rows]
    order = [row for _, row in sorted(zip(keyed, rows.tolist(), strict=True))]
    found = []
    for start in range(0, len(order), size):
        own = order[start : start + size]
        filling = order[max(0, len(order) - size) : start] if len(own) < size else []
        found.append(dict.fromkeys(filling, True) | dict.fromkeys(own, False))
    return found


def expected(images, texts, *, size: int, repetitions: int, seed: int, temperature: float):
    """The mean over the repetitions, NaN where a side is bad."""
    f, g, good = normalised(images), normalised(texts), usable()
    total = np.full(len(f), np.nan)
    total[good] = 0
    for repetition in range(repetitions):
        for batch in literal_batches(np.flatnonzero(good), len(f), size, seed, repetition):
            members = list(batch)
            scores = literal(f[members], g[members], temperature)
            for row, score in zip(members, scores, strict=True):
                total[row] += 0 if batch[row] else score
    return total / repetitions


@pytest.mark.parametrize(("size", "temperature"), [(200, 0.01), (96, 0.07), (40, 0.01), (7, 1.0)])
def test_a_pool_against_the_formula(size: int, temperature: float, tmp_path: Path) -> None:
    images, texts = write_pairs(tmp_path / "pool")
    scorer = NegClipLoss(
        *sides(tmp_path / "pool"),
        temperature=temperature,
        batch_size=size,
        repetitions=3,
        seed=5,
    )
    summary = run_scorer(scorer, tmp_path / "run", rows_per_unit=33)
    found = column(tmp_path / "run", "negcliploss")
    wanted = expected(images, texts, size=size, repetitions=3, seed=5, temperature=temperature)
    assert np.array_equal(np.isnan(found), ~usable())
    assert found[usable()] == pytest.approx(wanted[usable()], abs=2e-7)
    assert set(reasons(tmp_path / "run", "negcliploss")) == set(BAD)
    assert summary["scored"] == 96
    in_memory = neg_clip_loss(
        images[usable()],
        texts[usable()],
        temperature=temperature,
        batch_size=200,
        repetitions=1,
    )
    if size == 200:  # one batch of all: the order plays no part but in the last bits
        assert found[usable()] == pytest.approx(in_memory, abs=1e-7)


@pytest.mark.parametrize("n_rows", [1, 127, 129, 1023, 1025, 4200])
def test_a_batch_across_tiles(n_rows: int) -> None:
    f, _ = canonical(unit_rows(n_rows, 6, "f4"))
    g, _ = canonical(f + 0.3 * unit_rows(n_rows, 6, "f4", seed=3))
    x, y = normalised(f), normalised(g)
    for temperature in (1 / 256, 0.01, 0.07, 100):
        s = np.exp((x @ y.T - 1) / temperature)
        wanted = 1 + temperature / 2 * (np.log(s.sum(1)) + np.log(s.sum(0)))
        found = loss.batch_penalty(f, g, temperature)
        assert found == pytest.approx(wanted, abs=1e-12 * max(1, temperature))


def test_tiles_and_threads_change_no_bit(pinned: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = canonical(unit_rows(2500, 48, "f4"))
    g, _ = canonical(f + unit_rows(2500, 48, "f4", seed=3))
    wanted = loss.batch_penalty(f, g, 0.01)
    for spans, threads in ((1, 1), (3, 2), (32, 1), (32, 7), (5, 16)):
        monkeypatch.setattr(loss, "_TILE_SPANS", spans)
        with pinned(threads=threads):
            assert np.array_equal(loss.batch_penalty(f, g, 0.01), wanted)


def test_the_products_are_exact_in_any_order() -> None:
    """Which is why it does not matter how a BLAS cuts them."""
    f, _ = canonical(unit_rows(200, 333, "f4"))
    g, _ = canonical(unit_rows(100, 333, "f4", seed=1))
    x, y = f.astype(np.float64), g.astype(np.float64)
    order = np.random.default_rng(0).permutation(333)
    assert np.array_equal(x @ y.T, x[:, order] @ y[:, order].T)
    assert np.array_equal(x @ y.T, np.array([(row * y).sum(axis=1) for row in x]))


@given(
    st.integers(0, 40), st.integers(1, 45), st.integers(0, 9), st.integers(0, 5), st.integers(0, 3)
)
def test_batches_partition_the_rows(
    n_rows: int, size: int, n_bad: int, seed: int, repetition: int
) -> None:
    rows = np.sort(np.random.default_rng(seed).permutation(n_rows + n_bad)[:n_rows])
    batches = Batches(rows, n_rows + n_bad, size, seed)
    wanted = literal_batches(rows, n_rows + n_bad, size, seed, repetition)
    assert batches.count == len(wanted)
    own = []
    for number, batch in enumerate(wanted):
        members = batches.rows_of(repetition, number)
        assert set(members.tolist()) == set(batch) and len(members) == min(size, n_rows)
        n_filling = batches.n_filling(number)
        assert {row for row, fills in batch.items() if fills} == set(members[:n_filling].tolist())
        places = batches.own_places(repetition, number)
        assert rows[places].tolist() == members[n_filling:].tolist()
        assert batches.n_own(number) == len(places)
        own += places.tolist()
    assert sorted(own) == list(range(n_rows))


def test_repetitions_and_seeds_shuffle_anew() -> None:
    batches = Batches(np.arange(1000), 1000, 1000, 0)
    orders = [batches.rows_of(repetition, 0).tolist() for repetition in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert Batches(np.arange(1000), 1000, 1000, 1).rows_of(0, 0).tolist() != orders[0]


def test_parts_and_resuming_have_the_bytes_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path / "pool")

    def scorer() -> NegClipLoss:
        return NegClipLoss(*sides(tmp_path / "pool"), batch_size=30, repetitions=2)

    run_scorer(scorer(), tmp_path / "one", rows_per_unit=25)
    for i in (3, 1):  # part 2 never ran; the join does its share
        summary = run_scorer(scorer(), tmp_path / "parts", part=(i, 3), rows_per_unit=25)
        assert summary["rows_in"] == 0
    done = sorted(path.name for path in (tmp_path / "parts").rglob("batches/*/*.npy"))
    assert len(done) == 5
    run_scorer(scorer(), tmp_path / "parts")
    assert snapshot(tmp_path / "parts") == snapshot(tmp_path / "one")

    from tamis.filters.negcliploss import scorer as module

    calls = []

    def broken(*arguments: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss.batch_penalty(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "batch_penalty", broken)
        with pytest.raises(KeyboardInterrupt):
            run_scorer(scorer(), tmp_path / "resumed", rows_per_unit=25)
        run_scorer(scorer(), tmp_path / "resumed", rows_per_unit=25)
    assert len(calls) == 2 * 4 + 1  # four batches a repetition, one of them begun twice
    assert snapshot(tmp_path / "resumed") == snapshot(tmp_path / "one")


def test_a_pool_of_bad_rows_only(tmp_path: Path) -> None:
    from tamis.data.pool import open_pool

    np.save(tmp_path / "zeros.npy", np.zeros((5, 4), np.float16))
    pool = open_pool(tmp_path / "zeros.npy")
    summary = run_scorer(NegClipLoss(pool, pool), tmp_path / "run")
    assert (summary["scored"], summary["unscored"]) == (0, 5)
    told = "image embedding is zero; text embedding is zero"
    assert summary["reasons"] == {told: 5}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temperature": 0.001}, "expected a temperature from 1/256 to 100, got 0.001"),
        ({"temperature": float("nan")}, "expected a temperature"),
        ({"batch_size": 0}, "at least 1, got 0 and 10"),
        ({"repetitions": 0}, "at least 1, got 32768 and 0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        neg_clip_loss(np.eye(2), np.eye(2), **settings)


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(2, 2\) and \(3, 3\)"):
        neg_clip_loss(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="texts: 1 of 2 rows are zero"):
        neg_clip_loss(np.eye(2), np.diag([1.0, 0]))
