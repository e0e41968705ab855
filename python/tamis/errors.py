"""The exceptions of tamis, one class for each thing that a caller can do about it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class TamisError(Exception):
    """Base of every error that tamis raises on purpose, except plain ValueError and TypeError."""

    exit_code = 2


class PoolError(TamisError, ValueError):
    """A pool's files are not what was expected; the text names the file, and the row if any."""


class RunError(TamisError):
    """A run directory cannot be used as asked."""


class ChangedError(RunError):
    """The inputs or the recipe of a run differ from those that it was started with."""


class BadRowsError(RunError):
    """More rows were quarantined than the caller allows."""

    exit_code = 3


class AccountingError(RunError):
    """kept + removed + quarantined does not equal the rows that came in."""

    exit_code = 4


class LockedError(RunError):
    """Another process works on the same run or unit."""

    exit_code = 5


class MissingExtraError(TamisError, ImportError):
    """An optional package is needed that is not installed; the text says how to get it."""


def require(module: str, *, extra: str) -> Any:
    """Import an optional package.

    Args:
        module: its import name.
        extra: the extra of tamis that brings it.

    Raises:
        MissingExtraError: it is not installed, or cannot be imported; the text says what to do.

    Example:
        >>> require("json", extra="embed").dumps([1])
        '[1]'
        >>> require("no_such_module", extra="embed")
        Traceback (most recent call last):
        tamis.errors.MissingExtraError: no_such_module is not installed: pip install "tamis[embed]"
    """
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            name = error.name.partition(".")[0]
            raise MissingExtraError(
                f'{name} is not installed: pip install "tamis[{extra}]"'
            ) from error
        told = str(error).partition("\n")[0]
        raise MissingExtraError(
            f"{module} is installed but cannot be imported ({told}); often torchvision was built "
            f'for another torch: install both anew, pip install --force-reinstall "tamis[{extra}]"'
        ) from error
