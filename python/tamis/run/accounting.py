"""Every row that came in is kept, removed or quarantined: counted, and checked, in every run."""

from __future__ import annotations

from tamis.errors import AccountingError, BadRowsError


def check_accounting(rows_in: int, *, kept: int, removed: int, quarantined: int) -> None:
    """Check kept + removed + quarantined = rows_in.

    Raises:
        AccountingError: the counts do not add up (exit code 4).

    Example:
        >>> check_accounting(10, kept=7, removed=2, quarantined=1)
    """
    total = kept + removed + quarantined
    if total != rows_in or min(kept, removed, quarantined) < 0:
        raise AccountingError(
            f"{rows_in} rows came in, but kept {kept} + removed {removed} + quarantined "
            f"{quarantined} = {total}; this is a fault of tamis, please report it"
        )


def check_bad_rows(bad: int, rows_in: int, *, max_fraction: float) -> None:
    """Check that at most `max_fraction` (0 to 1) of the rows are bad.

    Raises:
        BadRowsError: there are more (exit code 3).
    """
    if bad > max_fraction * rows_in:
        raise BadRowsError(
            f"{bad} of {rows_in} rows ({bad / rows_in:.2%}) have no usable embedding, more than "
            f"the {max_fraction:.2%} allowed; see quarantine.parquet for the reasons"
        )
