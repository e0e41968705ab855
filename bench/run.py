"""Benchmark tamis beside its rivals, with every answer checked. See bench/README.md.

python bench/run.py --list
python bench/run.py --op assign
python bench/run.py --quick
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # `bench` as a package
sys.path.append(str(ROOT / "tests"))  # cases.py, the inputs that tests and benchmarks share

from bench import timing  # noqa: E402  (loads nothing that starts threads)

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.results import Result
    from bench.rivals import Rival

OPS = ("assign", "kmeans", "max_cosine", "end_to_end")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where an answer was wrong, 2 for a usage error. A missed bar is no error."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    timing.pin_threads(options.threads)
    if options.openblas:
        os.environ["OPENBLAS_CORETYPE"] = options.openblas
    from bench import cases, rivals  # only now: their libraries read the number of threads

    try:
        chosen = cases.select(
            cases.all_cases(quick=options.quick), options.op or [], options.case or []
        )
        if options.list:
            print("\n".join(f"{case.name:28} {case.about}" for case in chosen))
            return 0
        names = [name for name in options.rivals.split(",") if name and name != "none"]
        present, absent = rivals.load(names, options.threads)
    except ValueError as error:
        parser.error(str(error))
    for sentence in absent:
        print(sentence, file=sys.stderr)
    return _run(chosen, present, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--op", action="append", choices=OPS, help="only cases of this op")
    parser.add_argument(
        "--case", action="append", metavar="PART", help="only cases with this in their name"
    )
    parser.add_argument("--quick", action="store_true", help="toy sizes, one round: does it work?")
    parser.add_argument(
        "--rivals",
        default="faiss,sklearn,torch,numpy",
        help="which, by commas, or none (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="for everyone (default: all CPUs, %(default)s)",
    )
    parser.add_argument(
        "--openblas",
        metavar="CORE",
        help="OPENBLAS_CORETYPE for all rivals, as SkylakeX (default: what the environment says)",
    )
    parser.add_argument("--rounds", type=int, help="instead of as many as fit the budget, 3 to 9")
    parser.add_argument(
        "--budget", type=float, default=40.0, help="seconds for each case (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the results (default: bench/results/<machine>; with --quick: none)",
    )
    return parser


def _run(chosen: Sequence[Case], rivals: Sequence[Rival], options: argparse.Namespace) -> int:
    import tamis
    from bench import machine, peaks, report, results
    from bench.contenders import best_level

    facts = machine.cpu_facts()
    conditions = machine.conditions(options.threads) | {
        "machine": machine.machine_name(facts, options.threads, best_level()),
        "libraries": [f"tamis {tamis.__version__}", *(rival.version for rival in rivals)],
        "quick": options.quick,
    }
    rates, reason = peaks.measure_peaks(
        facts["flags"], options.threads, milliseconds=20 if options.quick else 1000
    )
    conditions["peaks"] = rates
    text = report.heading(conditions, rates, reason)
    print(text, flush=True)
    everything: list[Result] = []
    for case in chosen:
        measured = run_case(case, rivals, rates, options)
        everything += measured
        part = report.table(case, measured, judged=not options.quick)
        print(part, flush=True)
        text += "\n" + part
    folder = options.out or (
        None if options.quick else ROOT / "bench" / "results" / conditions["machine"]
    )
    if folder is not None:
        stem = folder / f"{conditions['date'][:10]}-{conditions['commit'].replace('+', '-dirty')}"
        results.write_results(stem, conditions, everything)
        stem.with_name(stem.name + ".md").write_text(text)
        print(f"written: {stem}.md, .json and .csv")
    wrong = [f"{result.case}: {result.contender}" for result in everything if result.wrong]
    if wrong:
        print(f"WRONG ANSWERS: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def run_case(
    case: Case, rivals: Sequence[Rival], rates: dict[str, float], options: argparse.Namespace
) -> list[Result]:
    """Build, warm up, time in interleaved rounds, judge every answer."""
    from bench import results
    from bench.contenders import judge_all

    contenders = case.build(rivals)
    for contender in contenders:
        contender.warm_up()
    timings, answers = timing.measure(
        {contender.name: contender.run for contender in contenders},
        budget_s=options.budget,
        rounds=1 if options.quick else options.rounds,
        pause_s=0.0 if options.quick else timing.PAUSE_S,
    )
    verdicts = judge_all(contenders, answers)
    return [
        results.make_result(case.name, each, timings[each.name], verdicts[each.name], rates)
        for each in contenders
    ]


if __name__ == "__main__":
    sys.exit(main())
