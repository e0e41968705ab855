"""`RUN/pool.json`: which pool a run directory is about, so that later commands need not be told."""

from __future__ import annotations

import json
from pathlib import Path

from tamis.data.remote import RemotePath, place_of
from tamis.errors import ChangedError, RunError
from tamis.run import atomic
from tamis.run.manifest import POOL_LINK, require_run_or_empty


def remember_pool(run: Path | str, pool: Path | RemotePath | str) -> None:
    """Note the pool of a run; the first command does, later ones are checked against it.

    A pool inside the run itself, such as embeddings that an earlier step made, is not noted.

    Args:
        run: the run directory; created where it is missing.
        pool: a path, or a URL.

    Raises:
        ChangedError: the run is about another pool.
        RunError: the folder is no run, or the file cannot be read or written.

    Example:
        >>> remember_pool("run", "https://example.org/pool")
        >>> pool_of("run")
        'https://example.org/pool'
    """
    folder = Path(run)
    place = place_of(pool)
    named = str(place)
    if isinstance(place, Path):
        location = place.resolve()
        if location.is_relative_to(folder.resolve()):
            return
        named = str(location)
    known = pool_of(folder)
    if known is None:
        atomic.make_folder(folder)
        require_run_or_empty(folder)
        atomic.write_json(folder / POOL_LINK, {"pool": named})
    elif known != named:
        raise ChangedError(
            f"{folder} is about the pool {known}, not {named}; choose another --out, or remove "
            f"{folder / POOL_LINK} if the same pool has moved"
        )


def pool_of(run: Path | str) -> str | None:
    """Return the path or URL of the run's pool, None where no command has noted one.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(run) / POOL_LINK
    try:
        pool = json.loads(path.read_bytes())["pool"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"{path} was not written by tamis: it names no pool") from error
    return str(pool)
