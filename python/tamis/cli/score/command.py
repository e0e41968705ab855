"""From a function that makes a scorer to a command that runs it."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_type_hints

import typer

from tamis.cli.progress import Bars
from tamis.cli.score.summary import print_scores
from tamis.cli.sides import PoolArgument
from tamis.run.progress import Quiet

if TYPE_CHECKING:
    from tamis.score.scorer import Scorer

# A command may declare it, and PoolArgument, too; `command` adds those that it does not.
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
    del shared["make"]

    def run(**given: Any) -> None:
        _run(
            lambda: make(**{name: given[name] for name in own}),
            **{name: given[name] for name in shared},
        )

    every = own | {name: shared[name] for name in shared if name not in own}
    run.__signature__ = inspect.Signature(list(every.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in every.items()}
    run.__name__, run.__doc__ = make.__name__, make.__doc__
    return run


def _run(
    make: Any,
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
    threads: Annotated[
        int | None,
        typer.Option(
            help="Of the kernels; default: all processors. Matrix products follow "
            "OPENBLAS_NUM_THREADS.",
            rich_help_panel="Machine",
        ),
    ] = None,
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

    _check(rows_per_unit, max_bad_fraction, threads)
    chosen = None if part is None else parse_part(part)
    if threads is not None:
        os.environ["TAMIS_NUM_THREADS"] = str(threads)
    started = time.perf_counter()
    scorer = make()
    with nullcontext(Quiet()) if quiet or as_json else Bars() as progress:
        summary = run_scorer(
            scorer,
            out,
            pool=pool,
            part=chosen,
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


def _check(rows_per_unit: int, max_bad_fraction: float, threads: int | None) -> None:
    for option, value in (("--rows-per-unit", rows_per_unit), ("--threads", threads)):
        if value is not None and value < 1:
            raise typer.BadParameter("expected at least 1", param_hint=option)
    if not 0 <= max_bad_fraction <= 1:
        raise typer.BadParameter("expected a share from 0 to 1", param_hint="--max-bad-fraction")
