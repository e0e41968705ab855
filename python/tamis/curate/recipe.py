"""The recipe of `tamis curate`: a TOML file, checked as a whole before any work.

    pool = "pool/metadata"            # or --pool; relative to the recipe's folder

    [embed.b32]                       # RUN/embeddings/b32
    model = "open_clip:ViT-B-32/openai"

    [score.clip]                      # RUN/scores/clip; the table's name is the scorer's
    embeddings = "b32"

    [score.clip_l14]                  # or another name, and `scorer` says which one
    scorer = "clip"
    image = "l14_img"                 # embeddings that the pool stores
    text = "l14_txt"

    [dedup]                           # SemDeDup; the options of `tamis dedup`
    embedding = "l14_img"

    [select]
    expression = "semdedup(eps=0.1) & top(clip, 0.3)"

Everything but the pool is optional. What a step needs of another decides their order.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tamis.errors import RunError
from tamis.filters.semdedup.job.recipe import Recipe as DedupRecipe

SUBSET_ENDINGS = (".npy", ".parquet")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedStep(_Strict):
    """`[embed.NAME]`: the options of `tamis embed` that can change a result."""

    model: str
    sides: list[Literal["image", "text"]] | None = None
    weights: Path | None = None
    batch_size: int = Field(default=256, ge=1)
    rows_per_unit: int = Field(default=10_000, ge=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    flip: bool = False
    long: Literal["truncate", "chunk-mean"] | None = None
    max_bad_fraction: float = Field(default=0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _has_weights(self) -> EmbedStep:
        from tamis.embed.models import check_weights

        check_weights(self.model, self.weights)
        return self


class ScoreStep(_Strict):
    """`[score.NAME]`: a scorer, and its own options, which it checks itself.

    Attributes:
        scorer: which one; the step's name by default.
        optional: left out, and told so, where a package that it needs is not installed.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    scorer: str | None = None
    optional: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What was given beside `scorer`."""
        return dict(self.model_extra or {})


class DedupStep(DedupRecipe):
    """`[dedup]`: the options of `tamis dedup`.

    Attributes:
        embeddings: the step whose rows are compared; None for rows that the pool stores.
    """

    embeddings: str | None = None

    @property
    def decides(self) -> bool:
        """Whether it has a threshold, and so writes a subset of its own."""
        return not (self.eps is self.keep is self.keep_rows is None)

    def recipe(self) -> DedupRecipe:
        """As `tamis dedup` takes it."""
        given = self.model_dump(exclude={"embeddings"})
        if self.embeddings is not None and given["embedding"] is None:
            given["embedding"] = "img_emb"
        return DedupRecipe(**given)


class SelectStep(_Strict):
    """`[select]`: the expression, further score tables, and the name of the subset."""

    expression: str
    scores: list[Path] = []
    subset: str | None = None

    @field_validator("subset")
    @classmethod
    def _in_the_run(cls, name: str | None) -> str | None:
        if name is not None and (Path(name).name != name or not name.endswith(SUBSET_ENDINGS)):
            raise ValueError(
                f"expected a file name that ends in {' or '.join(SUBSET_ENDINGS)}, without a "
                f"folder (it lies in the run directory), got {name!r}"
            )
        return name

    def check(self) -> None:
        """Raise ExpressionError, which points at the character, unless the expression is one."""
        from tamis.select import parse

        parse(self.expression)


class CurateRecipe(_Strict):
    """A recipe file, checked.

    Attributes:
        title: one line for people.
        pool: path or URL; None where the command line names it.
        ids, image, text: columns of the pool, as for `tamis embed`.
        embed, score, dedup, select: the steps; see the module's text.
    """

    title: str = ""
    pool: str | None = None
    ids: str | None = None
    image: str | None = None
    text: str | None = None
    embed: dict[str, EmbedStep] = {}
    score: dict[str, ScoreStep] = {}
    dedup: DedupStep | None = None
    select: SelectStep | None = None

    @field_validator("embed", "score")
    @classmethod
    def _named(cls, steps: dict[str, Any]) -> dict[str, Any]:
        for name in steps:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"expected a name of letters, digits and _ that starts with a letter, "
                    f"got {name!r}"
                )
        return steps

    @classmethod
    def read(cls, path: Path | str) -> CurateRecipe:
        """Read a recipe; relative paths in it are relative to its folder.

        Raises:
            RunError: the file cannot be read, or is not TOML.
            pydantic.ValidationError: an unknown key or a value out of range; names it.
        """
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"cannot read the recipe {path}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{path} is not TOML: {error}") from error
        recipe = cls(**content)
        if recipe.pool is None or "://" in recipe.pool:
            return recipe
        return recipe.model_copy(update={"pool": str(path.parent / recipe.pool)})
