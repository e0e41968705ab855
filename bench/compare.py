"""Compare two results files of bench/run.py: python bench/compare.py BEFORE.json AFTER.json

Prints after / before for every contender and flags a loss of more than 5 %. Exit code 1 where
tamis lost; a rival that lost is a sign that the two runs do not compare.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests"))

from bench.results import Result, read_results  # noqa: E402

LOSS = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where tamis lost speed, 2 for files that cannot be read."""
    parser = argparse.ArgumentParser(prog="bench/compare.py", description=(__doc__ or "")[:80])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    try:
        (conditions, before), (now, after) = map(read_results, (options.before, options.after))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if conditions["machine"] != now["machine"]:
        print(f"two machines, no comparison: {conditions['machine']} and {now['machine']}")
    lines, lost = compare(before, after)
    print("\n".join(lines))
    return 1 if lost else 0


def compare(before: Sequence[Result], after: Sequence[Result]) -> tuple[list[str], bool]:
    """A markdown table of what both files hold, and whether tamis lost more than LOSS."""
    known = {(result.case, result.contender): result for result in before}
    lines = ["| case | contender | before | after | after / before | |", f"|{'---|' * 6}"]
    lost = False
    for result in after:
        earlier = known.get((result.case, result.contender))
        if earlier is None:
            continue
        ratio = result.gflops / earlier.gflops
        flag = ""
        if ratio < 1 - LOSS:
            lost |= result.contender.startswith("tamis")
            flag = f"LOSS of {1 - ratio:.0%}"
            if result.best_s <= earlier.worst_s:
                flag += ", inside the spread"
        if result.wrong:
            flag = "WRONG ANSWER"
            lost = True
        lines.append(
            f"| {result.case} | {result.contender} | {earlier.gflops:.4g} | {result.gflops:.4g} "
            f"| {ratio:.2f} | {flag} |"
        )
    return lines, lost


if __name__ == "__main__":
    sys.exit(main())
