"""Selection from score tables: three terms over 10 million rows, the answer checked with NumPy.

    python bench/selection.py /tmp/tables                  # builds the tables once, then measures
    python bench/selection.py /tmp/tables --rows 1000000 --rounds 5

The tables are those of a run: `semdedup.parquet` as `tamis dedup` writes it, and `clip` and `basic`
as `tamis score` does, all with random uids and the digest that says that their rows are aligned.
Their files are in the page cache when the clock starts.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from tamis.data.ids import Ids  # noqa: E402
from tamis.data.ids_digest import METADATA_KEY, ids_digest  # noqa: E402
from tamis.run import atomic  # noqa: E402
from tamis.select.selection import select  # noqa: E402

TERMS = "top(clip, 0.3) & semdedup(eps=0.1) & basic"
CASES = {
    "three terms": TERMS,
    "three terms within": "top(clip, 0.3) within (semdedup(eps=0.1) & basic)",
    "a fusion": "top(fuse(minmax(clip), zscore(words), weights=[0.7, 0.3]), 0.3)",
    "a list of uids": TERMS + ' - uids("{folder}/list.npy")',
}
_ROWS_AT_ONCE = 1 << 17


def main() -> None:
    """Build, measure, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = options.folder / f"{options.rows}"
    if not (folder / "done").exists():
        build(folder, options.rows)
    _read_all(folder)
    out = folder / "subset.npy"
    for name, expression in CASES.items():
        text = expression.format(folder=folder)
        walls, processors = [], []
        for _ in range(options.rounds):
            before, began = os.times(), time.perf_counter()
            selected = select(folder, text, out=out)
            walls.append(time.perf_counter() - began)
            after = os.times()
            processors.append(sum(after[:2]) - sum(before[:2]))
        verdict = "checked" if check(folder, name, out) else "WRONG"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{name:20} {median(walls):6.2f} s wall ({min(walls):.2f} to {max(walls):.2f}), "
            f"{median(processors):.2f} s of processor, {len(selected):,} of "
            f"{options.rows:,} rows kept, peak {peak:.2f} GiB, {verdict}"
        )


def columns(n_rows: int) -> dict[str, np.ndarray]:
    """The same values each time: scores with ties, NaN and -inf among them."""
    random = np.random.default_rng(0)
    clip = random.normal(0.22, 0.05, n_rows).astype(np.float16).astype(np.float32)
    clip += (random.integers(0, 1 << 10, n_rows) * 2.0**-24).astype(np.float32)
    clip[random.random(n_rows) < 0.002] = np.nan
    cosine = random.uniform(0.3, 1.0, n_rows).astype(np.float32)
    cosine[random.random(n_rows) < 0.01] = -np.inf
    cosine[random.random(n_rows) < 0.001] = np.nan
    return {
        "uids": random.integers(0, 1 << 64, (n_rows, 2), dtype=np.uint64),
        "clip": clip,
        "semdedup": cosine,
        "basic": random.random(n_rows) < 0.4,
        "words": random.integers(1, 60, n_rows).astype(np.int32),
        "cluster": random.integers(0, 1000, n_rows).astype(np.int32),
    }


def build(folder: Path, n_rows: int) -> None:
    """Write the tables and a list of uids."""
    print(f"building {n_rows:,} rows in {folder}", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    values = columns(n_rows)
    ids = Ids("uid32", values["uids"])
    digest = ids_digest(ids)
    nearest = np.random.default_rng(1).permutation(n_rows)
    for name, file, parts in (
        ("semdedup", "scores/semdedup.parquet", ("semdedup", "nearest", "cluster")),
        ("clip", "scores/clip/scores.parquet", ("clip",)),
        ("basic", "scores/basic/scores.parquet", ("basic", "words")),
    ):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = [("uid", pa.large_string())]
        fields += [
            (
                part,
                pa.large_string() if part == "nearest" else pa.from_numpy_dtype(values[part].dtype),
            )
            for part in parts
        ]
        schema = pa.schema([*fields, ("reason", pa.string())], metadata={METADATA_KEY: digest})
        with atomic.replacing_parquet(path, schema) as (writer, _):
            for start in range(0, n_rows, _ROWS_AT_ONCE):
                rows = slice(start, min(start + _ROWS_AT_ONCE, n_rows))
                arrays = [ids.slice(rows.start, rows.stop).to_arrow()]
                arrays += [
                    ids.take(nearest[rows]).to_arrow() if part == "nearest" else values[part][rows]
                    for part in parts
                ]
                nulls = pa.nulls(rows.stop - rows.start, pa.string())
                writer.write_table(pa.table([*arrays, nulls], schema=schema))
        print(f"  {name}", flush=True)
    listed = np.sort(ids.take(np.arange(0, n_rows, 4)).to_uid_array())
    np.save(folder / "list.npy", listed)
    (folder / "done").write_text("")


def check(folder: Path, name: str, out: Path) -> bool:
    """Whether the subset is what sorting says."""
    n_rows = int(folder.name)
    values = columns(n_rows)
    ids = Ids("uid32", values["uids"])
    with np.errstate(invalid="ignore"):
        kept = (values["semdedup"] <= np.float32(1.0 - 0.1)) & values["basic"]
    if name == "a fusion":
        clip, words = values["clip"].astype(float), values["words"].astype(float)
        scaled = (clip - np.nanmin(clip)) / (np.nanmax(clip) - np.nanmin(clip))
        fused = 0.7 * scaled + 0.3 * ((words - words.mean()) / words.std())
        top = _top(fused, ids, np.ones(n_rows, bool), int(0.3 * n_rows))
        found = np.load(out)
        # Its mean and deviation differ in the last bits, which can turn a few ranks.
        same = np.isin(found, ids.take(np.flatnonzero(top)).to_uid_array()).mean()
        return len(found) == int(top.sum()) and bool(same > 0.9999)
    if name == "three terms within":
        rows = _top(values["clip"], ids, kept, int(kept.sum()) * 3 // 10)
    else:
        rows = _top(values["clip"], ids, np.ones(n_rows, bool), n_rows * 3 // 10) & kept
    if name == "a list of uids":
        rows[::4] = False
    expected = ids.take(np.flatnonzero(rows))
    return bool((np.load(out) == expected.take(expected.argsort()).to_uid_array()).all())


def _top(scores: np.ndarray, ids: Ids, base: np.ndarray, k: int) -> np.ndarray:
    """The k largest, equal ones by uid, by sorting everything."""
    inside = np.flatnonzero(base & ~np.isnan(scores))
    inside = inside[np.argsort(-scores[inside], kind="stable")]
    cut = scores[inside[k - 1]]
    mask = base & (scores > cut)
    ties = np.flatnonzero(base & (scores == cut))
    mask[ties[ids.take(ties).argsort()][: k - int(mask.sum())]] = True
    return mask


def _read_all(folder: Path) -> None:
    for file in folder.rglob("*.*"):
        file.read_bytes()


if __name__ == "__main__":
    main()
