"""From a function that makes a scorer to a command that runs it."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_type_hints

import typer

from tamis.cli.progress import Bars
from tamis.cli.score.summary import print_scores
from tamis.run.pool_link import pool_of
from tamis.run.progress import Quiet

if TYPE_CHECKING:
    from tamis.score.scorer import Scorer

# Parameters that a command may declare too; `command` adds those that it does not.
PoolArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="The pool; where RUN knows its pool, that.", show_default=False),
]
Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--out",
        help="The run directory; the same command continues a run.",
        show_default=False,
        rich_help_panel="Files",
    ),
]


def command(make: Callable[..., Scorer]) -> Callable[..., None]:
    """Return the command that makes a scorer, runs it and tells the result.

    Args:
        make: its parameters are the command's own options, its docstring the help. It gets the
            shared ones `pool` and `out` too where it declares them.
    """
    own, shared = _parameters(make), _parameters(_run)
    del shared["scorer"]

    def run(**given: Any) -> None:
        _check(given["rows_per_unit"], given["max_bad_fraction"])
        scorer = make(**{name: given[name] for name in own})
        _run(scorer, **{name: given[name] for name in shared})

    every = own | {name: shared[name] for name in shared if name not in own}
    run.__signature__ = inspect.Signature(list(every.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in every.items()}
    run.__name__, run.__doc__ = make.__name__, make.__doc__
    return run


def pool_or_noted(pool: str | None, out: Path) -> str:
    """Return the pool that was named, else the one that the run has noted."""
    known = pool or pool_of(out)
    if known is None:
        raise typer.BadParameter(
            f"expected a pool: no command has noted one in {out}", param_hint="POOL"
        )
    return known


def _run(
    scorer: Any,
    pool: PoolArgument,
    out: Out,
    part: Annotated[
        str | None,
        typer.Option(
            help="I/N: score every N-th unit from the I-th on; the command without it joins.",
            rich_help_panel="Machine",
        ),
    ] = None,
    rows_per_unit: Annotated[
        int, typer.Option(help="Rows scored at a time.", rich_help_panel="Machine")
    ] = 1 << 16,
    max_bad_fraction: Annotated[
        float, typer.Option(help="Stop (exit code 3) above this share of rows without a score.")
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel="Output")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No bars, no summary.", rich_help_panel="Output")
    ] = False,
) -> None:
    from tamis.run.parts import parse_part
    from tamis.score.job import run_scorer, step_folder

    started = time.perf_counter()
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summary = run_scorer(
            scorer,
            out,
            pool=pool,
            part=None if part is None else parse_part(part),
            rows_per_unit=rows_per_unit,
            max_bad_fraction=max_bad_fraction,
            progress=progress,
        )
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    elif not quiet:
        print_scores(summary, step_folder(out, scorer.name), time.perf_counter() - started)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters, by keyword only, with their annotations; the result's may stay unimported."""
    texts = {name: text for name, text in function.__annotations__.items() if name != "return"}
    holder = SimpleNamespace(__annotations__=texts)
    hints = get_type_hints(holder, function.__globals__, include_extras=True)
    return {
        name: parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
    }


def _check(rows_per_unit: int, max_bad_fraction: float) -> None:
    if rows_per_unit < 1:
        raise typer.BadParameter("expected at least 1", param_hint="--rows-per-unit")
    if not 0 <= max_bad_fraction <= 1:
        raise typer.BadParameter("expected a share from 0 to 1", param_hint="--max-bad-fraction")
