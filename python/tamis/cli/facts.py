"""Names and what is told of them, printed one below the other."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


def facts_table(title: str) -> Table:
    """A table of two columns without a head: the name in bold, and what is told of it."""
    table = Table(
        title=plain(title), title_justify="left", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def plain(text: str) -> Text:
    """Text of files that others made is shown, never interpreted as markup or by the terminal.

    Example:
        >>> plain("[red]a\\x1b[31m").plain
        '[red]a\\\\x1b[31m'
    """
    return Text(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )
