"""The processes of the GPU benchmark: one row, or one mainloop, does not take the others along."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.gpu_result import FAILED, NOT_RUN, OK
from bench.gpu_rows import BARS, ROWS

from bench import gpu, gpu_lab


def speaker(*lines: str, end: str = "") -> list[str]:
    said = "\n".join(f"print({gpu.MARK + line!r}, flush=True)" for line in lines)
    return [sys.executable, "-c", f"import time, os\n{said}\n{end}"]


def test_what_a_process_says() -> None:
    words = speaker('{"begins": "a"}', end="print('noise'); os._exit(3)")
    said = list(gpu.spoken(words, time.monotonic() + 60))
    assert said == [{"begins": "a"}, {"fault": "its process ended with exit code 3"}]
    words = speaker('{"row": {"name": "a", "status": "FAILED"}}', end="time.sleep(600)")
    assert len(list(gpu.spoken(words, time.monotonic() + 60))) == 1


def test_a_process_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "ROW_LIMIT_S", 0.2)
    words = speaker('{"begins": "a"}', end="time.sleep(600)")
    said = list(gpu.spoken(words, time.monotonic() + 60))
    assert said[-1] == {"fault": "stopped after 0.2 s"}
    said = list(gpu.spoken(words, time.monotonic() + 0.0))
    assert said == [{"fault": "stopped after the time of the whole run"}]


ABOUT = {"about": {}, "mainloops": ["mma"], "without": ""}
FIRST = {"mainloop": "mma", "first_call_ms": 1.0, "self_check_ms": 1.0, "why": ""}


def of_processes(
    monkeypatch: pytest.MonkeyPatch, *processes: list[dict[str, Any]]
) -> list[list[str]]:
    """What each process is to say; returns the words they will be started with."""
    left, started = iter(processes), []

    def spoken(words: list[str], until: float) -> Iterator[dict[str, Any]]:
        started.append(words)
        return iter(next(left))

    monkeypatch.setattr(gpu, "spoken", spoken)
    return started


def run_of(folder: Path, *rows: str) -> tuple[int, dict[str, Any]]:
    code = gpu.main(["--out", str(folder), "--rows", *rows])
    return code, json.loads((folder / "gpu.json").read_text())


def good(name: str) -> dict[str, Any]:
    return {"row": {"name": name, "checked": 1, "times_ms": [2.0]}}


def test_rows_behind_a_failure_get_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"row": {"name": "near-copies", "status": FAILED}}
    first = {"first_call": FIRST}
    started = of_processes(
        monkeypatch,
        [ABOUT, first, {"begins": "kmeans"}, good("kmeans"), {"begins": "agreement"}],
        [ABOUT, first, {"begins": "near-copies"}, failed],
        *([{"fault": "no GPU"}] for _ in range(2)),
    )
    rows = ["kmeans", "agreement", "near-copies", "assign mixture", "kmeans mixture"]
    code, found = run_of(tmp_path, *rows)
    assert code == 1 and len(started) == 4
    assert [row["name"] for row in found["rows"]] == rows
    assert [row["status"] for row in found["rows"]] == [OK, FAILED, FAILED, FAILED, FAILED]
    assert found["rows"][1]["note"] == "its process ended"
    assert found["rows"][4]["note"] == "no GPU"


def test_rows_are_measured_where_the_first_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ABOUT | {"mainloops": ["mma", "wgmma"]}
    started = of_processes(
        monkeypatch,
        [both, {"uses": "mma"}, {"first_call": FIRST}, {"uses": "wgmma"}, {"fault": "it hung"}],
        [both, {"begins": "kmeans"}, good("kmeans")],
    )
    code, found = run_of(tmp_path, "kmeans")
    assert code == 1 and ["--rows-only" in words for words in started] == [False, True]
    assert found["rows"][0]["status"] == OK and found["first_calls"] == [FIRST]
    assert found["first_fault"] == "the first call by wgmma: it hung"
    text = (tmp_path / "gpu.md").read_text()
    assert "mma 1 ms, then 1 ms; **FAILED** (the first call by wgmma: it hung)" in text


def test_a_self_check_that_differs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differs = {"first_call": FIRST | {"why": "assign differs"}}
    of_processes(monkeypatch, [ABOUT, differs, {"begins": "kmeans"}, good("kmeans")])
    assert run_of(tmp_path, "kmeans")[0] == 1
    assert "(**assign differs**)" in (tmp_path / "gpu.md").read_text()


FAULTY = """
import json, os, sys
def say(**said): print({mark!r} + json.dumps(said), flush=True)
words = sys.argv[1:]
rows = words[words.index("--rows") + 1 : words.index("--mainloops")]
mainloops = [word for word in words if word in ("mma", "wgmma")]
say(about={{}}, mainloops=mainloops, without="")
for row in rows:
    say(begins=row)
    for mainloop in mainloops:
        say(uses=mainloop)
        if mainloop == "wgmma" and row == "kmeans":
            {end}
    say(row=dict(name=row, checked=1, times_ms=[2.0], note=" ".join(mainloops)))
"""


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("os._exit(3)", "its process ended with exit code 3"),
        ("say(row=dict(name=row, status='FAILED', note='trap')); sys.exit(1)", "trap"),
    ],
)
def test_a_faulty_mainloop_does_not_take_the_other_along(
    end: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (sys.executable, "-c", FAULTY.format(mark=gpu.MARK, end=end))
    monkeypatch.setattr(gpu, "PROGRAM", program)
    rows = ["assign d=768", "kmeans", "near-copies"]
    code, found = run_of(tmp_path, *rows)
    assert code == 1
    assert found["mainloop_fault"] == f"wgmma: FAILED in 'kmeans' ({why})"
    assert [row["name"] for row in found["rows"]] == rows
    assert all(row["status"] == OK for row in found["rows"])
    assert [row["note"] for row in found["rows"]] == ["mma wgmma", "mma", "mma"]
    assert f"**wgmma: FAILED in 'kmeans' ({why})**" in (tmp_path / "gpu.md").read_text()


def test_a_row_that_fails_by_itself_leaves_the_mainloops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ABOUT | {"mainloops": ["mma", "wgmma"]}
    failed = [{"begins": "kmeans"}, {"uses": "wgmma"}, {"fault": "it hung"}]
    started = of_processes(
        monkeypatch,
        [both, *failed],
        [ABOUT, *failed],
        [both, {"begins": "near-copies"}, good("near-copies")],
    )
    code, found = run_of(tmp_path, "kmeans", "near-copies")
    assert code == 1 and found["mainloop_fault"] == ""
    assert ["wgmma" in words for words in started] == [True, False, True]
    assert [row["status"] for row in found["rows"]] == [FAILED, OK]


def test_a_process_says_why_it_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(**options: Any) -> None:
        raise RuntimeError("no GPU\nat all")

    monkeypatch.setattr(gpu_lab, "open_lab", refuses)
    with pytest.raises(RuntimeError, match="no GPU"):
        gpu.main(["--alone", "--rows", "kmeans"])
    assert capsys.readouterr().out == gpu.MARK + '{"fault": "RuntimeError: no GPU"}\n'


def test_rows_that_find_no_time_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "spoken", lambda words, until: iter([{"fault": "late"}]))
    assert gpu.main(["--out", str(tmp_path), "--rows", "kmeans", "--seconds", "0"]) == 0
    [row] = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert row["status"] == NOT_RUN and row["note"] == "out of time"


def test_rows_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == list(ROWS)
    with pytest.raises(SystemExit):
        gpu.main(["--rows", "nothing"])
    assert set(BARS) <= set(ROWS)
