"""Errors as one sentence on stderr, and the exit codes.

| code | meaning |
|---|---|
| 0 | done |
| 2 | usage, or input that cannot be used |
| 3 | too many bad rows |
| 4 | the accounting failed |
| 5 | another process works on the run |
| 130 | interrupted |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError

from tamis.errors import TamisError

INTERRUPTED = 130
USAGE = 2
# The base of the parser's own errors, which typer exports under no name that its versions share.
PARSER_ERROR: type[Any] = typer.BadParameter.__mro__[2]


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors that users can act on into a sentence and an exit code."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command continues where it stopped", INTERRUPTED)
    except PARSER_ERROR as error:
        _fail(_usage(error), USAGE)
    except ValidationError as error:
        _fail("; ".join(_sentence(dict(problem)) for problem in error.errors()), USAGE)
    except TamisError as error:
        _fail(str(error), error.exit_code)
    except (ValueError, TypeError, RuntimeError) as error:
        if os.environ.get("TAMIS_TRACEBACK"):
            raise
        _fail(str(error), USAGE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", USAGE)
    except MemoryError:
        _fail("out of memory; lower --memory or free some", USAGE)


def _usage(error: Any) -> str:
    text = str(error.format_message()).rstrip(".")
    command = error.ctx.command_path if getattr(error, "ctx", None) else "tamis"
    return f"{text}; {command} --help explains the options" if text else f"see {command} --help"


def _sentence(problem: dict[str, object]) -> str:
    place = problem["loc"]
    name = ".".join(map(str, place)) if isinstance(place, tuple) else ""
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def _fail(text: str, code: int) -> None:
    print(f"tamis: {text}", file=sys.stderr)
    sys.exit(code)
