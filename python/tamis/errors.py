"""The exceptions of tamis, one class for each thing that a caller can do about it."""

from __future__ import annotations


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
