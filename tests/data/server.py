"""A web server on this machine that serves a folder, whole files or parts of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Parts(SimpleHTTPRequestHandler):
    """Python's own handler, with the ranges that it lacks."""

    def __init__(self, *arguments: object, ranges: bool, **options: object) -> None:
        self._ranges = ranges
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if asked is None or not self._ranges or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])
        self.server.asked.append((self.path, start, stop))  # type: ignore[attr-defined]

    def end_headers(self) -> None:
        if not self._ranges:
            self.send_header("Accept-Ranges", "none")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[tuple[str, list[tuple]]]:
    """Yield the URL of `folder`, and the list of the (path, start, stop) that are fetched."""
    handler = partial(_Parts, directory=str(folder), ranges=ranges)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
