"""Nucleus sampling whose draws belong to the row, not to the batch.

Libraries draw tokens from one global generator, so a caption depends on what was captioned before.
Here a token is drawn by the Gumbel trick: of the tokens that top-k and top-p leave, take the one
with the largest logit + noise, where noise = -ln(-ln u) and u is a function of (seed, row, caption,
step, token) alone. That is a draw from the softmax over these tokens (Gumbel 1954; Maddison, Tarlow
and Minka, "A* sampling", 2014).

With C, `mix` and `keys` of :mod:`tamis.kernels.sample`, and all arithmetic modulo 2^64::

    z = keys(seed, CAPTION, row); z = mix(z + C * (caption + 1)); z = mix(z + C * (step + 1))
    z = mix(z + C * (token + 1)); u = (floor(z / 2^12) + 1/2) / 2^52

Nothing else is left to chance either: tokens are ranked by (logit descending, number ascending),
and probabilities are added up as integers, which is exact in any order. (A token whose probability
is below 2^-41 of the best one's is never drawn.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.kernels.sample import CAPTION, keys

if TYPE_CHECKING:
    from tamis.filters.sieve.captioner import RowKeys

_INCREMENT = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64
_TOKEN = 2**32 - 1
_SCALE = 2.0**40


def caption_states(seed: int, rows: RowKeys, count: int) -> Any:
    """Return int64 (n * count,), a tensor: the state of each caption, those of a row together."""
    import torch

    row = torch.from_numpy(keys(seed, CAPTION, rows.view(np.int64)).view(np.int64))
    return _next(row[:, None], torch.arange(count)[None]).reshape(-1)


class CaptionSampler:
    """A logits processor that leaves one token, drawn, so that greedy decoding takes it.

    It goes behind all others. Where the logits of a caption are not numbers, the caption ends.

    Args:
        states: int64 (rows,), from `caption_states`, on the device of the logits.
        prompt_tokens: how many tokens there are before the first step.
        end_token: ends a caption.
        top_k: the most tokens to draw from; 0 for all.
        top_p: draw from the fewest tokens, best first, whose probabilities reach this sum.

    Attributes:
        broken: bool (rows,), where logits were not numbers.
    """

    def __init__(
        self, states: Any, *, prompt_tokens: int, end_token: int, top_k: int, top_p: float
    ) -> None:
        import torch

        self.broken = torch.zeros(len(states), dtype=torch.bool, device=states.device)
        self._states = states
        self._prompt_tokens = prompt_tokens
        self._end_token = end_token
        self._top_k = top_k
        self._top_p = top_p

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores (rows, vocabulary): 0 for the drawn token, minus infinity for others.

        Args:
            input_ids: (rows, tokens so far).
            scores: float (rows, vocabulary), the logits.
        """
        import torch

        step = input_ids.shape[1] - self._prompt_tokens
        tokens, logits = ranked(scores, self._top_k)
        kept = nucleus(logits, self._top_p)
        noise = gumbel(_next(_next(self._states, step)[:, None], tokens))
        noisy = torch.where(kept, logits + noise, -torch.inf)
        drawn = tokens.gather(1, noisy.argmax(1, keepdim=True))
        broken = ~(torch.isfinite(logits[:, 0]) & ~torch.isnan(scores).any(1))
        self.broken |= broken
        drawn = torch.where(broken[:, None], self._end_token, drawn)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


def ranked(scores: Any, top_k: int) -> tuple[Any, Any]:
    """Return the best tokens and their logits, int64 and float64 (rows, k), best first.

    Of equal logits the lower token comes first; 0 ranks all.

    Example:
        >>> import torch
        >>> ranked(torch.tensor([[1.0, -2.0, 1.0]]), top_k=2)[0]
        tensor([[0, 2]])
    """
    import torch

    # Words in the order of the numbers, the token below them: no two are equal.
    word = (scores.float() + 0.0).contiguous().view(torch.int32).long()
    word = torch.where(word < 0, word ^ 0x7FFFFFFF, word)
    token = torch.arange(scores.shape[1], device=scores.device)
    count = min(top_k, scores.shape[1]) if top_k else scores.shape[1]
    best = ((word << 32) | (_TOKEN - token)).topk(count, dim=1).values
    tokens = _TOKEN - (best & _TOKEN)
    return tokens, scores.gather(1, tokens).double()


def nucleus(logits: Any, top_p: float) -> Any:
    """Return bool (rows, k): which tokens top-p keeps.

    A token is kept where the probabilities of all better ones sum to less than `top_p`, so the best
    one always is.

    Args:
        logits: float64 (rows, k), best first; the probabilities are their softmax.
        top_p: above 0.

    Example:
        >>> import torch
        >>> nucleus(torch.tensor([[0.5, 0.3, 0.2]]).double().log(), 0.7)
        tensor([[ True,  True, False]])
    """
    import torch

    weights = (torch.exp(logits - logits[:, :1]) * _SCALE).nan_to_num().round().long()
    total = weights.cumsum(1)
    return ((total - weights).double() < top_p * total[:, -1:].double()) & (weights > 0)


def gumbel(words: Any) -> Any:
    """Return float64 noise of the standard Gumbel distribution for random int64 words."""
    import torch

    uniform = (_shifted(words, 12).double() + 0.5) * 2.0**-52
    return -torch.log(-torch.log(uniform))


def _next(state: Any, counter: Any) -> Any:
    """The word number `counter` behind a state; int64 stands for uint64."""
    distance = (counter + 1) * _INCREMENT
    if isinstance(counter, int):
        distance = (distance + 2**63) % 2**64 - 2**63
    word = state + distance
    word = (word ^ _shifted(word, 30)) * _FIRST
    word = (word ^ _shifted(word, 27)) * _SECOND
    return word ^ _shifted(word, 31)


def _shifted(word: Any, bits: int) -> Any:
    """`word` moved right, zeros coming in."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)
