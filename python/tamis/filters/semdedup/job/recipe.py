"""What is asked of a run: all that can change its result, checked before any work."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tamis.filters.semdedup.rules import check_rule
from tamis.filters.semdedup.select import check_choice

ORDERS = ("hard", "easy", "random")


class Recipe(BaseModel):
    """The recipe of `tamis dedup`; the fields are those of `tamis.SemDeDup`.

    Attributes:
        embedding: npz key, parquet column or folder to read; None where there is only one.
        ids: metadata column of the ids; None for the usual names.
        clusters: number of clusters, or "auto".
        eps, keep, keep_rows: at most one of them.
        which_to_keep: "hard", "easy", "random", or a numeric metadata column: the largest value is
            kept first, with ":asc" behind the name the smallest.
        rule: "semdedup", "greedy" or "components".
        compare_rules: also count what the three rules keep at the chosen eps.
        probes, recall_sample, seed: as for `tamis.SemDeDup`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: str | None = None
    ids: str | None = None
    clusters: Literal["auto"] | int = "auto"
    eps: float | None = None
    keep: float | None = None
    keep_rows: int | None = None
    which_to_keep: str = "hard"
    rule: Literal["semdedup", "greedy", "components"] = "semdedup"
    compare_rules: bool = False
    probes: int = Field(default=0, ge=0)
    recall_sample: int = Field(default=2000, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_choice(self.eps, self.keep, self.keep_rows)
        check_rule(self.rule, probes=self.probes, eps=self.eps)
        if isinstance(self.clusters, int) and self.clusters < 1:
            raise ValueError(f"clusters must be 'auto' or at least 1, got {self.clusters}")
        if self.compare_rules and self.eps is self.keep is self.keep_rows is None:
            raise ValueError("compare_rules needs eps, keep or keep_rows: rules differ at one eps")
        return self

    def check_rows(self, n_rows: int) -> None:
        """Raise ValueError where more rows are to be kept than there are: before any work."""
        if self.keep_rows is not None and self.keep_rows > n_rows:
            raise ValueError(f"keep_rows={self.keep_rows} is more than the {n_rows} usable rows")

    @property
    def order(self) -> str:
        """One of `order.ORDERS`."""
        if self.column is None:
            return self.which_to_keep
        return "asc" if self.which_to_keep.endswith(":asc") else "desc"

    @property
    def column(self) -> str | None:
        """The metadata column that orders the rows, or None."""
        if self.which_to_keep in ORDERS:
            return None
        return self.which_to_keep.removesuffix(":asc").removesuffix(":desc")

    def for_manifest(self) -> dict[str, Any]:
        """The recipe as JSON can hold it."""
        return {"method": "semdedup", **self.model_dump()}
