"""Adapters to other libraries. Each is an optional install; an absent one gives one sentence.

A rival offers ways to do an op (see bench/tasks.py). `prepare(task)` converts the input to the
dtype and layout that the library likes best, outside the timed call, and returns that call.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PACKAGES = {
    "faiss": "faiss-cpu",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "numpy": "numpy",
}
"""The module of each rival, and the package that brings it."""


@dataclass(frozen=True)
class Offer:
    """One way to do an op."""

    name: str
    arithmetic: str
    prepare: Callable[[Any], Callable[[], Any]]
    peak: str | None = None


@dataclass(frozen=True)
class Rival:
    """An installed library. `offers` is keyed by op."""

    name: str
    version: str
    offers: Mapping[str, Sequence[Offer]] = field(default_factory=dict)


def load(names: Sequence[str], threads: int) -> tuple[list[Rival], list[str]]:
    """The rivals that are installed, and a sentence for each that is not.

    Raises:
        ValueError: there is no such rival.
    """
    present: list[Rival] = []
    absent: list[str] = []
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"expected rivals among {', '.join(PACKAGES)}, got {name!r}")
        try:
            importlib.import_module(name)
        except ImportError:
            absent.append(
                f"{name} is left out: it is not installed; `pip install {PACKAGES[name]}` brings it"
            )
            continue
        adapter = importlib.import_module(f"bench.rivals.{name}_adapter")
        present.append(adapter.rival(threads))
    return present, absent
