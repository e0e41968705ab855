"""The command `tamis`, in this process (fast) or in one of its own (for signals and locks)."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import tamis
from tamis.cli.main import main

ELAPSED = re.compile(r" \d:\d\d:\d\d ")


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What a command that failed says: one line on stderr, below the bars it had begun."""
        *bars, told = self.err.removesuffix("\n").split("\n")
        assert all(ELAPSED.search(line) for line in bars), self.err
        assert told.startswith("tamis: ") and self.err.endswith("\n")
        assert self.out == ""
        return told.removeprefix("tamis: ")


def call(*arguments: object) -> Outcome:
    """Run `tamis ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with (
        mock.patch.object(sys, "argv", ["tamis", *map(str, arguments)]),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


def argv(*arguments: object) -> list[str]:
    """The installed console script where there is one, else its entry point."""
    script = Path(sys.executable).with_name("tamis")
    entry = [sys.executable, "-c", "from tamis.cli.main import main; main()"]
    return [*([str(script)] if script.exists() else entry), *map(str, arguments)]


def environment() -> dict[str, str]:
    """This process's, with the same tamis first on the path, and a torchvision that imports."""
    folders = Path(tamis.__file__).parents[1], Path(__file__).parents[1] / "torchvision_guard"
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def run(*arguments: object) -> Outcome:
    """Run `tamis ARGUMENTS` in a process of its own."""
    done = subprocess.run(
        argv(*arguments), capture_output=True, text=True, env=environment(), check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
