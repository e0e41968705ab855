"""`tamis dedup`: what it prints, what it writes, and every exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import argv, call, environment, run
from tests.run.snapshot import snapshot

from tamis.filters.semdedup.job import stages
from tamis.run import atomic
from tamis.run.directory import RunDirectory

POOL = Path(__file__).parents[2] / "examples/pool"
SMALL = ["--embedding", "lite0_minilm_img", "--clusters", 8, "--recall-sample", 100]


def dedup(out: Path, *more: object, pool: Path = POOL) -> list[object]:
    return ["dedup", pool, "--out", out, *SMALL, *more]


def stop_before(stage: str, monkeypatch: pytest.MonkeyPatch, out: Path, *more: object) -> None:
    """Interrupt a run right before a stage."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, stage, interrupt)
        outcome = call(*dedup(out, "--quiet", *more))
    assert outcome.code == 130
    assert outcome.told == "interrupted; the same command continues where it stopped"


def test_the_sample_pool_in_a_process_of_its_own(tmp_path: Path) -> None:
    outcome = run(*dedup(tmp_path / "run", "--probes", 2, "--keep", 0.7))
    assert outcome.code == 0, outcome.err
    for name in ("subset.npy", "groups.parquet", "eps_curve.parquet", "summary.json"):
        assert (tmp_path / "run" / name).is_file()
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["rows_in"] == 1030 and summary["kept"] == 721 and summary["removed"] == 309
    words = outcome.out.split()
    for told in ("1,030", "721", "309", "recall", "subset", f"{summary['eps']:.6g}"):
        assert told in words, told
    for stage in ("reading", "k-means", "assigning", "comparing"):
        assert stage in outcome.err


def test_json_is_the_summary(tmp_path: Path) -> None:
    outcome = run(*dedup(tmp_path / "run", "--eps", 0.1, "--json"))
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == json.loads((tmp_path / "run/summary.json").read_text())
    again = call(*dedup(tmp_path / "run", "--eps", 0.1, "--json"))
    assert again.out == outcome.out


def test_quiet_says_nothing(tmp_path: Path) -> None:
    outcome = run(*dedup(tmp_path / "run", "--eps", 0.1, "--quiet", "--threads", 1))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / "run/subset.npy").is_file()


def test_without_a_threshold_nothing_is_selected(tmp_path: Path) -> None:
    outcome = call(*dedup(tmp_path / "run", "--compare-rules"))
    assert outcome.code == 2
    assert "compare_rules needs eps, keep or keep_rows" in outcome.told
    outcome = call(*dedup(tmp_path / "run"))
    assert outcome.code == 0
    assert "no threshold was given: scores and curve only" in " ".join(outcome.out.split())
    assert not list((tmp_path / "run").glob("subset*"))


def test_rules_are_compared(tmp_path: Path) -> None:
    outcome = call(*dedup(tmp_path / "run", "--eps", 0.1, "--compare-rules"))
    assert outcome.code == 0
    rules = json.loads((tmp_path / "run/summary.json").read_text())["rules"]
    assert rules["components"]["kept"] <= rules["semdedup"]["kept"] <= rules["greedy"]["kept"]
    told = " ".join(outcome.out.split())
    for rule, found in rules.items():
        assert f"rule {rule} keeps {found['kept']:,}, of which" in told
        for other, count in found["removed_by"].items():
            assert f"{other} removes {count:,}" in told


@pytest.mark.parametrize("as_json", [False, True])
def test_dry_run_writes_nothing(tmp_path: Path, as_json: bool) -> None:
    pool = tmp_path / "rows.npy"
    np.save(pool, np.eye(40, 64, dtype=np.float32))
    more = ["--json"] if as_json else []
    outcome = call("dedup", pool, "--out", tmp_path / "run", "--dry-run", "--probes", 1, *more)
    assert (outcome.code, outcome.err) == (0, "")
    assert list(tmp_path.iterdir()) == [pool]
    if as_json:
        plan = json.loads(outcome.out)
        assert plan["pool"] == {
            "kind": "npy",
            "rows": 40,
            "dim": 64,
            "dtype": "float32",
            "files": [str(pool)],
        }
        assert plan["clusters"]["n_clusters"] == 1 and plan["memory"]["budget_bytes"] == 3 * 10**9
    else:
        assert "nothing was written" in outcome.out
        assert "npy pool: 1 file, 40 rows of 64 x float32" in " ".join(outcome.out.split())
    assert call("dedup", pool, "--dry-run").code == 0


def test_usage_errors_are_code_2_and_name_what_to_change(tmp_path: Path) -> None:
    for more, told in {
        ("--eps", 2.1): "eps must be in [0, 2], got 2.1",
        ("--eps", -0.1): "eps must be in [0, 2], got -0.1",
        ("--eps", "nan"): "eps must be in [0, 2], got nan",
        ("--keep", 0): "keep must be in (0, 1], got 0.0",
        ("--keep", 1.01): "keep must be in (0, 1], got 1.01",
        ("--keep-rows", 0): "keep_rows must be a whole number from 1, got 0",
        ("--keep-rows", 1031): "keep_rows=1031 is more than the 1030 usable rows",
        ("--eps", 0.1, "--keep", 0.5): "at most one of eps, keep and keep_rows, got eps and keep",
        ("--clusters", 0): "clusters must be 'auto' or at least 1, got 0",
        ("--clusters", 1031): "n_clusters=1031 is more than the 1030 usable rows",
        ("--clusters", "many"): "expected a whole number or auto, got many",
        ("--probes", -1): "probes: Input should be greater than or equal to 0",
        ("--recall-sample", -1): "recall_sample: Input should be greater than or equal to 0",
        ("--rule", "best"): "expected semdedup, greedy or components, got best",
        ("--rule", "greedy", "--keep", 0.5): "rule='greedy' needs eps, because its kept sets are",
        ("--rule", "components", "--eps", 0.1, "--probes", 1): "it needs probes=0, got probes=1",
        ("--max-bad-fraction", 1.5): "expected a share from 0 to 1",
        ("--memory", 0): "expected gigabytes above 0",
        ("--memory", 0.01): "the budget is 0.01 GB; raise --memory",
        ("--threads", 0): "expected at least 1",
        ("--device", "cuda"): 'device="cuda" cannot be used: this build of tamis has no CUDA',
        ("--device", "tpu"): "got 'tpu'",
        ("--embedding", "l14_img"): "lite0_img, minilm_txt, lite0_minilm_img",
        ("--ids", "name"): "uid, url, text, original_width",
        ("--which-to-keep", "score"): "original_height, lite0_minilm_similarity_score",
        ("--which-to-keep", "text"): "text",
        ("--bogus",): "No such option: --bogus",
        ("--eps", "x"): "Invalid value for '--eps'",
    }.items():
        outcome = call(*dedup(tmp_path / "run", *more))
        assert outcome.code == 2, more
        assert told in outcome.told, more
    assert list(tmp_path.iterdir()) == []  # all of it is noticed before anything is written
    assert "expected a folder for the run" in call("dedup", POOL, *SMALL).told
    assert "several arrays: lite0_img, minilm_txt, lite0_minilm_img; choose one (--embedding" in (
        call("dedup", POOL, "--out", tmp_path / "run").told
    )
    assert "Missing argument" in call("dedup").told
    assert "No such command" in call("dedupe").told


def test_the_errors_of_a_process_are_one_line_too(tmp_path: Path) -> None:
    outcome = run("dedup", tmp_path / "absent", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.told == f"the pool {tmp_path / 'absent'} does not exist"


def spoiled(folder: Path, n_bad: int, n_rows: int = 100) -> Path:
    rows = np.random.default_rng(0).standard_normal((n_rows, 8)).astype(np.float32)
    rows[:n_bad] = 0
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def test_an_embed_step_that_has_not_ended_is_no_pool(tmp_path: Path) -> None:
    step = tmp_path / "run" / "embeddings" / "clip"
    with RunDirectory.open(step, {}, []) as embed:
        embed.commit("embed", "0", {"rows.npy": np.eye(9, 16, dtype=np.float16)})
        command = ["dedup", step, "--keep", 0.5, "--quiet", "--out", tmp_path / "out"]
        outcome = call(*command)
        assert outcome.code == 2 and "has not ended; continue it with" in outcome.told
        embed.finish()
    assert call(*command).code == 0
    (step / "manifest.json").write_text("[]")  # somebody else's
    assert call(*command[:-1], tmp_path / "other").code == 0


def test_too_many_bad_rows_are_code_3(tmp_path: Path) -> None:
    pool, out = spoiled(tmp_path, 2), tmp_path / "run"
    outcome = call("dedup", pool, "--out", out)
    assert outcome.code == 3
    assert "2 of 100 rows are bad (embedding is zero), more than --max-bad-frac" in outcome.told
    assert (out / "quarantine.parquet").is_file()
    assert call("dedup", pool, "--out", out).told == outcome.told
    assert call("dedup", pool, "--out", out, "--max-bad-fraction", 0.02, "-q").code == 0
    everything = call("dedup", spoiled(tmp_path, 3, 3), "--out", tmp_path / "all", "-q")
    assert everything.code == 3
    outcome = call(
        "dedup", tmp_path / "rows.npy", "--out", tmp_path / "all", "--max-bad-fraction", 1
    )
    assert outcome.code == 3 and "3 of 3 rows are bad" in outcome.told


def test_a_stored_unit_that_lost_rows_is_code_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    stop_before("train", monkeypatch, out)
    unit = out / "embeddings/00000-00000.npy"
    rows = np.load(unit)
    assert rows.shape == (601, 384)
    size = unit.stat().st_size
    # 384 rows of 601 numbers are as many bytes: only the count of rows tells.
    np.save(unit, rows.reshape(384, 601))
    assert unit.stat().st_size == size
    outcome = call(*dedup(out))
    assert outcome.code == 4
    assert "has 601 rows, but 384 are stored and 0 are bad" in outcome.told


def test_a_run_in_use_is_code_5(tmp_path: Path) -> None:
    out = tmp_path / "run"
    holder = "import sys, time; from pathlib import Path; from tamis.run.lock import RunLock\n"
    holder += "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    out.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", holder, out], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        outcome = call(*dedup(out))
        process.kill()
    assert outcome.code == 5
    assert f"{out} is in use by process {process.pid} on " in outcome.told
    assert call(*dedup(out, "--quiet")).code == 0  # a lock ends with its process


def test_two_commands_on_one_run(tmp_path: Path) -> None:
    """Exactly one of them works at any moment, and the end is that of one alone."""
    command = dedup(tmp_path / "run", "--quiet", "--eps", 0.1)
    both = [
        subprocess.Popen(argv(*command), stderr=subprocess.PIPE, text=True, env=environment())
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes and set(codes) <= {0, 5}
    for code, error in zip(codes, errors, strict=True):
        assert ("is in use by " in error) == (code == 5)  # its number may not be there yet
    assert call(*dedup(tmp_path / "alone", "--quiet", "--eps", 0.1)).code == 0
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "alone")


def test_another_recipe_is_refused_with_the_difference(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert call(*dedup(out, "--eps", 0.1, "-q")).code == 0
    before = snapshot(out)
    for more, told in {
        ("--eps", 0.2): "eps: 0.1 -> 0.2",
        ("--keep", 0.5): "eps: 0.1 -> null; keep: null -> 0.5",
        ("--eps", 0.1, "--seed", 1): "seed: 0 -> 1",
        ("--eps", 0.1, "--clusters", 9): "clusters: 8 -> 9",
        ("--eps", 0.1, "--probes", 1): "probes: 0 -> 1",
        ("--eps", 0.1, "--which-to-keep", "easy"): 'which_to_keep: "hard" -> "easy"',
        ("--eps", 0.1, "--embedding", "minilm_txt"): 'embedding: "lite0_minilm_img" -> "minilm',
    }.items():
        outcome = call(*dedup(out, *more))
        assert outcome.code == 2
        assert "was started with another recipe" in outcome.told and told in outcome.told
    assert snapshot(out) == before
    # What changes no result may change.
    assert call(*dedup(out, "--eps", 0.1, "-q", "--memory", 1, "--threads", 1)).code == 0
    assert snapshot(out) == before


def test_another_input_is_refused_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, out = spoiled(tmp_path, 0), tmp_path / "run"
    assert call("dedup", pool, "--out", out, "-q").code == 0
    os.utime(pool)  # touched is not changed
    assert call("dedup", pool, "--out", out, "-q").code == 0
    rows = np.load(pool)
    rows[5, 5] += 1
    np.save(pool, rows)
    outcome = call("dedup", pool, "--out", out)
    assert outcome.code == 2
    assert "another input (rows.npy: same size, other content)" in outcome.told
    np.save(pool, rows[:-1])
    assert "rows.npy: 3328 bytes -> 3296 bytes" in call("dedup", pool, "--out", out).told


def test_an_interrupt_in_any_stage_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(*dedup(tmp_path / "whole", "--probes", 1, "--keep", 0.5, "-q")).code == 0
    out = tmp_path / "run"
    for stage in ("embed", "train", "assign", "score", "recall"):
        stop_before(stage, monkeypatch, out, "--probes", 1, "--keep", 0.5)
    assert call(*dedup(out, "--probes", 1, "--keep", 0.5, "-q")).code == 0
    assert snapshot(out) == snapshot(tmp_path / "whole")


def test_a_full_disk_says_so_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes so many bytes and no more, whatever file they are for."""
    assert call(*dedup(tmp_path / "whole", "--eps", 0.1, "-q")).code == 0
    out = tmp_path / "run"
    size = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file())
    write = os.write
    for share in (0, 0.01, 0.35, 0.2, 0.02, 0.05):  # together too little
        left = [int(share * size)]

        def full(descriptor: int, data: memoryview, left: list[int] = left) -> int:
            if left[0] < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= len(data)
            return write(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "_write", full)
            outcome = call(*dedup(out, "--eps", 0.1))
        assert outcome.code == 2
        assert "the disk is full; free some space and run the same command again" in outcome.told
        assert not [path for path in out.rglob("*") if path.name.endswith(".tamis-tmp")]
    assert call(*dedup(out, "--eps", 0.1, "-q")).code == 0
    assert snapshot(out) == snapshot(tmp_path / "whole")


def test_folders_that_cannot_hold_a_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    outcome = call(*dedup(file))
    assert outcome.code == 2 and "a file of that name exists" in outcome.told
    outcome = call(*dedup(file / "run"))
    assert outcome.code == 2 and "a part of that path is a file, not a folder" in outcome.told
    assert file.read_text() == "not a folder"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    outcome = call(*dedup(tmp_path / "photos"))
    assert outcome.code == 2
    assert "is neither empty nor a tamis run (it holds 'a.jpg'" in outcome.told
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/sys refuses even root, in one way or another; then the usual refusal, made up."""
    outcome = call(*dedup(Path("/sys/tamis/run")))
    assert outcome.code == 2
    assert outcome.told.endswith("choose a folder that you may write to")

    def denied(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", denied)
    outcome = call(*dedup(tmp_path / "run"))
    assert outcome.code == 2
    assert outcome.told.endswith("permission is denied; choose a folder that you may write to")


@pytest.mark.parametrize("command", ["", "dedup", "select", "info"])
def test_help_shows_an_example(command: str) -> None:
    outcome = run(*command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    text = " ".join(outcome.out.split())
    assert f"Example: tamis {command or 'dedup'} " in text or text.endswith("Example: tamis info")
    if command == "dedup":
        for option in ("--embedding", "--keep-rows", "--which-to-keep", "--memory", "--dry-run"):
            assert option in outcome.out


def test_no_command_shows_the_help() -> None:
    outcome = call()
    assert outcome.code == 2
    assert "dedup" in outcome.out and "select" in outcome.out and "info" in outcome.out


def test_help_and_version_are_quick_to_import() -> None:
    """Neither needs the readers: what is slow to import stays out of the start."""
    code = "import sys, tamis.cli.main; sys.exit('pyarrow' in sys.modules)"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0, f"pyarrow was imported ({time.perf_counter() - started:.1f} s)"
