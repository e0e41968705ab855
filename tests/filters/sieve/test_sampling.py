"""Draws that belong to the row: the right words, the right distribution, no dependence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tamis.filters.sieve.sampling import CaptionSampler, caption_states, gumbel, nucleus, ranked
from tamis.kernels.sample import CAPTION, keys

C = 0x9E3779B97F4A7C15
WORD = 2**64
N_DRAWS = 40_000


def mix(z: int) -> int:
    """splitmix64's finaliser in Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def word_of(seed: int, row: int, counters: Sequence[int]) -> int:
    z = int(keys(seed, CAPTION, np.array([row], np.uint64).view(np.int64))[0])
    for counter in counters:
        z = mix((z + C * (counter + 1)) % WORD)
    return z


def oracle(
    logits: np.ndarray, seed: int, row: int, caption: int, step: int, top_k: int, top_p: float
) -> int:
    """The token by the definition, slowly."""
    kept, _ = exact(logits, top_k, top_p)

    def noisy(token: int) -> float:
        word = word_of(seed, row, (caption, step, token))
        return float(logits[token]) - math.log(-math.log(((word >> 12) + 0.5) / 2**52))

    return max(kept, key=noisy)


def exact(logits: np.ndarray, top_k: int, top_p: float) -> tuple[list[int], np.ndarray]:
    """Tokens that top-k and top-p leave, and their probabilities."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    order = order[: top_k or None]
    weights = np.exp(logits[order].astype("f8") - logits[order[0]])
    probabilities = weights / weights.sum()
    before = np.cumsum(probabilities) - probabilities
    n_kept = int((before < top_p).sum())
    return order[:n_kept], probabilities[:n_kept] / probabilities[:n_kept].sum()


def draw(
    logits: Any, rows: np.ndarray, *, step: int = 0, seed: int = 0, captions: int = 1, **cut: Any
) -> np.ndarray:
    """(rows, captions) tokens drawn from one list of logits."""
    given = {"top_k": 0, "top_p": 1.0, "prompt_tokens": 3, "end_token": 0, **cut}
    states = caption_states(seed, rows.astype(np.uint64), captions)
    sampler = CaptionSampler(states, **given)
    scores = torch.as_tensor(logits, dtype=torch.float32).expand(len(states), -1)
    left = sampler(torch.zeros((len(states), 3 + step), dtype=torch.long), scores)
    assert ((left == 0).sum(1) == 1).all() and (
        torch.isneginf(left).sum(1) == len(logits) - 1
    ).all()
    return left.argmax(1).reshape(len(rows), captions).numpy()


LOGITS = np.float32([0.3, 2.0, -1.0, 2.0, 1.1, -0.4, 0.3, -8.0, 0.9, 1.5])


def test_states_and_noise_are_the_documented_words() -> None:
    rows = np.array([0, 5, 2**63 + 7, 2**64 - 1], np.uint64)
    states = caption_states(-3, rows, 2).numpy().view(np.uint64).reshape(4, 2)
    for row, found in zip(rows.tolist(), states.tolist(), strict=True):
        assert found == [word_of(-3, row, (caption,)) for caption in (0, 1)]
    extremes = torch.tensor([0, -1, 2**63 - 1, -(2**63)])
    assert torch.isfinite(gumbel(extremes)).all()
    assert float(gumbel(torch.tensor([-1]))[0]) == pytest.approx(53 * math.log(2), abs=1e-3)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (0, 0.9), (4, 1.0), (5, 0.7), (1, 0.9)])
def test_tokens_are_the_oracles(top_k: int, top_p: float) -> None:
    rows = np.random.default_rng(1).integers(0, 2**63, 25)
    for step in (0, 7):
        found = draw(LOGITS, rows, step=step, seed=9, captions=2, top_k=top_k, top_p=top_p)
        for row, tokens in zip(rows.tolist(), found.tolist(), strict=True):
            assert tokens == [
                oracle(LOGITS, 9, row, caption, step, top_k, top_p) for caption in (0, 1)
            ]


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (0, 0.9), (6, 0.8)])
def test_distribution_is_the_softmax_after_top_p(top_k: int, top_p: float) -> None:
    tokens, probabilities = exact(LOGITS, top_k, top_p)
    found = draw(LOGITS, np.arange(N_DRAWS), seed=4, top_k=top_k, top_p=top_p)[:, 0]
    counts = np.bincount(found, minlength=len(LOGITS))
    assert counts.sum() == counts[tokens].sum()
    assert chi_square(counts[tokens], N_DRAWS * probabilities) < limit(len(tokens) - 1)


def test_captions_and_steps_are_independent() -> None:
    tokens, probabilities = exact(LOGITS, 0, 0.8)
    joint = N_DRAWS * np.outer(probabilities, probabilities).reshape(-1)
    captions = draw(LOGITS, np.arange(N_DRAWS), captions=2, top_p=0.8)
    steps = [draw(LOGITS, np.arange(N_DRAWS), step=step, top_p=0.8)[:, 0] for step in (0, 1)]
    place = np.full(len(LOGITS), -1)
    place[tokens] = range(len(tokens))
    for first, second in ((captions[:, 0], captions[:, 1]), (steps[0], steps[1])):
        pairs = place[first] * len(tokens) + place[second]
        counts = np.bincount(pairs, minlength=len(tokens) ** 2)
        assert chi_square(counts, joint) < limit(len(tokens) ** 2 - 1)


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


def limit(freedom: int) -> float:
    """The 99.9th percentile, by Wilson and Hilferty."""
    return float(freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3)


def test_the_check_of_the_distribution_can_fail() -> None:
    tokens, probabilities = exact(LOGITS, 0, 0.9)
    found = draw(LOGITS * 1.05, np.arange(N_DRAWS), seed=4, top_p=0.9)[:, 0]
    counts = np.bincount(found, minlength=len(LOGITS))[tokens]
    assert chi_square(counts, N_DRAWS * probabilities) > limit(len(tokens) - 1)


def test_draws_depend_on_the_row_alone() -> None:
    rows = np.arange(60)
    logits = np.random.default_rng(0).standard_normal(500).astype("f4")
    together = draw(logits, rows, captions=3, top_k=50, top_p=0.9)
    order = np.random.default_rng(1).permutation(60)
    assert (draw(logits, rows[order], captions=3, top_k=50, top_p=0.9) == together[order]).all()
    alone = [draw(logits, rows[row : row + 1], captions=3, top_k=50, top_p=0.9) for row in rows]
    assert (np.concatenate(alone) == together).all()
    assert (draw(logits, rows, captions=5, top_k=50, top_p=0.9)[:, :3] == together).all()
    assert (draw(logits, rows, captions=3, seed=1, top_k=50, top_p=0.9) != together).any()


def test_equal_logits_rank_by_token() -> None:
    scores = torch.tensor([[0.0, -0.0, 5.0, -1.0, 5.0, -torch.inf, -3.0]])
    tokens, logits = ranked(scores, 0)
    assert tokens.tolist() == [[2, 4, 0, 1, 3, 6, 5]]
    assert logits.dtype == torch.float64 and (logits == scores.gather(1, tokens)).all()
    assert ranked(scores, 3)[0].tolist() == [[2, 4, 0]]
    assert ranked(scores, 99)[0].shape == (1, 7)


@pytest.mark.parametrize("size", [2, 50, 3000])
def test_the_nucleus_is_the_librarys(size: int) -> None:
    from transformers import TopPLogitsWarper

    scores = torch.tensor(np.random.default_rng(size).standard_normal((40, size)) * 3)
    for top_p in (0.05, 0.5, 0.9, 0.99):
        tokens, logits = ranked(scores, 0)
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter(1, tokens, nucleus(logits, top_p))
        expected = ~torch.isinf(TopPLogitsWarper(top_p)(torch.zeros((40, 1)), scores.clone()))
        assert (kept == expected).all()
    assert nucleus(logits, 1.0).all()


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[[1, 3]] = -np.inf
    found = draw(logits, np.arange(2000))
    assert not np.isin(found, [1, 3]).any()
    alone = np.full(6, -np.inf, np.float32)
    alone[4] = -7.0
    assert (draw(alone, np.arange(50), top_k=3) == 4).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.nan])
def test_logits_that_are_no_numbers_end_the_caption(bad: float) -> None:
    scores = torch.tensor(LOGITS).repeat(3, 1)
    scores[1, 5] = bad
    sampler = CaptionSampler(
        caption_states(0, np.arange(3, dtype=np.uint64), 1),
        prompt_tokens=1,
        end_token=8,
        top_k=4,
        top_p=0.9,
    )
    before = torch.zeros((3, 1), dtype=torch.long)
    tokens = sampler(before, scores).argmax(1)
    assert sampler.broken.tolist() == [False, True, False] and tokens[1] == 8
    clean = draw(LOGITS, np.arange(3), top_k=4, top_p=0.9)[:, 0]
    assert tokens[[0, 2]].tolist() == clean[[0, 2]].tolist()
    sampler(before, torch.tensor(LOGITS).repeat(3, 1))
    assert sampler.broken.tolist() == [False, True, False]
    nothing = torch.full((3, 10), -torch.inf)
    assert sampler(before, nothing).argmax(1).tolist() == [8] * 3 and sampler.broken.all()
