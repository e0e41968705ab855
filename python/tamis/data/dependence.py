"""What the scores of a table depend on besides their own rows, such as HYPE's reference set.

A score file says it in its schema metadata, as a JSON object. Scores of one column that depend on
different things cannot be compared, so they are not mixed; a file that does not say it, or says
null, is not known to differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tamis.data.remote import Place
from tamis.errors import PoolError

DEPENDS_KEY = b"tamis.depends"
"""Under which a parquet file's schema metadata holds it."""
_MOST_SHOWN = 24


def dependence_metadata(depends: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return what a schema's metadata holds; nothing where the scores depend on nothing else.

    Example:
        >>> dependence_metadata({"reference": "ab12"}), dependence_metadata({})
        ({b'tamis.depends': b'{"reference": "ab12"}'}, {})
    """
    return {DEPENDS_KEY: json.dumps(depends, sort_keys=True).encode()} if depends else {}


def dependence_of(path: Place, schema: pa.Schema) -> dict[str, Any]:
    """Return what a file's scores depend on; {} where it does not say. Raises PoolError."""
    told = (schema.metadata or {}).get(DEPENDS_KEY, b"{}")
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PoolError(
            f"{path}: its metadata {DEPENDS_KEY.decode()} is not a JSON object; write it anew"
        )
    return found


class Comparable:
    """Files that have one column, none of them known to depend on something else than another.

    Args:
        name: of the column.

    Example:
        >>> from pathlib import Path
        >>> hype = Comparable("hype")
        >>> hype.add(Path("a"), {"reference": "12", "model": None})
        >>> hype.add(Path("b"), {"model": "m"})
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: list[tuple[Place, Mapping[str, Any]]] = []

    def add(self, path: Place, depends: Mapping[str, Any]) -> None:
        """Take one more file. Raises PoolError where it depends on something else."""
        if not depends or any(depends == known for _, known in self._known):
            return
        for other, known in self._known:
            for what in sorted(known.keys() & depends.keys()):
                ours, theirs = known[what], depends[what]
                if ours is not None and theirs is not None and ours != theirs:
                    raise PoolError(
                        f"{path}: column {self._name!r} was scored with another {what} "
                        f"({_short(theirs)}) than in {other} ({_short(ours)}); such scores cannot "
                        f"be mixed, score both with the same {what}"
                    )
        self._known.append((path, depends))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
