"""Work that is done ahead of its use, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Generator[_T, None, None], depth: int) -> Iterator[Iterator[_T]]:
    """Iterate over a generator in a thread of its own, up to `depth` items before they are taken.

    An exception of the generator is raised where the item would have been taken. When the block
    ends, the generator is closed, wherever it is.

    Example:
        >>> with ahead((n * n for n in range(4)), depth=2) as squares:
        ...     list(squares)
        [0, 1, 4, 9]
    """
    ready: queue.Queue[_T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def offer(item: _T | _End) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        end = _End()
        try:
            for item in items:
                if not offer(item):
                    break
        except BaseException as error:  # noqa: BLE001 - raised again where items are taken
            end = _End(error)
        finally:
            items.close()
        offer(end)

    def taken() -> Iterator[_T]:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        thread.join()
