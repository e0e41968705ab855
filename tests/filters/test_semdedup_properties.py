"""1,200 random small pools, 400 for each rule, against the plain Python oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.filters.oracle import Oracle, clustering, order_of
from tests.filters.pools import PARALLEL, rows_of

from tamis.filters.semdedup import SemDeDup

# Nine directions of the plane, some of them close together, and everything parallel.
ARC = rows_of(
    np.array([[np.cos(a), np.sin(a)] for a in np.radians([0, 0.02, 1, 5, 25, 50, 90, 180, 270])])
)
EPS = st.sampled_from([0.0, 3e-8, 6e-8, 1e-7, 1e-3, 0.01, 0.1, 0.36, 0.5, 1.0, 1.5, 2.0])


@dataclass
class Case:
    rows: np.ndarray
    ids: list[int] | None
    k: int
    which: str
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    palette = draw(st.sampled_from([ARC, PARALLEL, np.concatenate((ARC, PARALLEL)), None]))
    n_rows = draw(st.integers(1, 14))
    if palette is None:
        dim = draw(st.integers(1, 4))
        values = st.lists(st.integers(-3, 3), min_size=dim, max_size=dim).filter(any)
        rows = rows_of(np.array(draw(st.lists(values, min_size=n_rows, max_size=n_rows))))
    else:
        chosen = st.lists(st.integers(0, len(palette) - 1), min_size=n_rows, max_size=n_rows)
        rows = palette[draw(chosen)]
    ids = draw(st.none() | st.lists(st.integers(-9, 9), min_size=n_rows, max_size=n_rows))
    return Case(
        rows,
        ids,
        k=draw(st.integers(1, min(4, n_rows))),
        which=draw(st.sampled_from(["hard", "easy", "asc"])),
        seed=draw(st.integers(0, 3)),
    )


def fit(case: Case, *, rule: str, eps: float, probes: int = 0) -> tuple[SemDeDup, Oracle]:
    n_rows = len(case.rows)
    values = [(7 * row) % 5 for row in range(n_rows)] if case.which == "asc" else None
    dedup = SemDeDup(
        case.k,
        eps=eps,
        which_to_keep=case.which,
        rule=rule,
        probes=probes,
        recall_sample=0,
        seed=case.seed,
    ).fit(case.rows, case.ids, rank=values)
    labels, dots, probed = clustering(case.rows, dedup.cluster_centers_, probes)
    order = order_of(case.which, dots, case.ids or list(range(n_rows)), values=values)
    return dedup, Oracle(case.rows, labels, order, probed)


@settings(max_examples=400)
@given(cases(), EPS, st.integers(0, 3))
def test_semdedup_equals_the_oracle(case: Case, eps: float, probes: int) -> None:
    dedup, oracle = fit(case, rule="semdedup", eps=eps, probes=probes)
    cosine, nearest = oracle.scores()
    np.testing.assert_array_equal(dedup.max_cosine_, np.array(cosine, dtype=np.float32))
    assert dedup.nearest_.tolist() == nearest
    assert dedup.labels_.tolist() == oracle.labels
    assert dedup.keep_mask_.tolist() == oracle.semdedup(eps)


@pytest.mark.parametrize("rule", ["greedy", "components"])
@settings(max_examples=400)
@given(cases(), EPS)
def test_other_rules_equal_the_oracle(rule: str, case: Case, eps: float) -> None:
    dedup, oracle = fit(case, rule=rule, eps=eps)
    keep = {name: getattr(oracle, name)(eps) for name in ("components", "semdedup", "greedy")}
    assert dedup.keep_mask_.tolist() == keep[rule]
    # Each rule keeps what the one before it keeps.
    assert all(b or not a for a, b in zip(keep["components"], keep["semdedup"], strict=True))
    assert all(b or not a for a, b in zip(keep["semdedup"], keep["greedy"], strict=True))
