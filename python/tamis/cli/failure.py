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

from pydantic import ValidationError

from tamis.errors import TamisError

INTERRUPTED = 130
USAGE = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors that users can act on into a sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("interrupted; the same command continues where it stopped", INTERRUPTED)
    except ValidationError as error:
        _fail("; ".join(_sentence(dict(problem)) for problem in error.errors()), USAGE)
    except TamisError as error:
        _fail(str(error), error.exit_code)
    except (ValueError, TypeError, RuntimeError) as error:
        if os.environ.get("TAMIS_TRACEBACK"):
            raise
        _fail(str(error), USAGE)
    except MemoryError:
        _fail("out of memory; lower --memory or free some", USAGE)


def _sentence(problem: dict[str, object]) -> str:
    place = problem["loc"]
    name = ".".join(map(str, place)) if isinstance(place, tuple) else ""
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def _fail(text: str, code: int) -> None:
    print(f"tamis: {text}", file=sys.stderr)
    sys.exit(code)
