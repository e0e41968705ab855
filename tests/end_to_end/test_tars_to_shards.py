"""The whole way: tars -> embed -> score -> dedup -> select -> reshard -> read by webdataset."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.cli.command import call

from tamis.data import read_subset

SHARD = Path(__file__).parents[2] / "examples" / "pool" / "shards" / "00000.tar"
N_SAMPLES = 96
DAMAGED = 17
"""Its image is cut off."""


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample pool's first samples in two shards, a copy of a few of them, one damaged image."""
    folder = tmp_path_factory.mktemp("pool")
    samples: dict[str, dict[str, bytes]] = {}
    for name, content in members(SHARD).items():
        key, _, suffix = name.partition(".")
        samples.setdefault(key, {})[suffix] = content
    chosen = list(samples.items())[:N_SAMPLES]
    for shard in range(2):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for number, (key, sample) in list(enumerate(chosen))[shard::2]:
                for suffix, content in sample.items():
                    if number == DAMAGED and suffix in ("png", "jpg"):
                        content = content[: len(content) // 3]
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


@pytest.fixture(scope="module")
def run(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    for step in (
        ["embed", pool, "--model", "demo", "--name", "demo", "--batch-size", 32]
        + ["--max-bad-fraction", 0.1, "--out", run],
        ["score", "clip", "--embeddings", "demo", "--out", run],
        ["score", "basic", "--width", "width", "--height", "height", "--out", run],
        ["dedup", run / "embeddings" / "demo", "--embedding", "img_emb", "--clusters", 2]
        + ["--max-bad-fraction", 0.1, "--out", run],
        ["select", run, "top(clip, 0.5) within semdedup(eps=0.1)", "--out", run / "subset.npy"],
        ["reshard", run, "--subset", run / "subset.npy", "--shard-size", 20]
        + ["--out", run.parent / "filtered"],
    ):
        outcome = call(*step, "--json")
        assert outcome.code == 0, (step, outcome.err)
    return run


def test_the_damaged_row_is_quarantined_alone(run: Path) -> None:
    table = pq.read_table(run / "embeddings" / "demo" / "quarantine.parquet")
    assert table.num_rows == 1 and table["reason"][0].as_py().startswith("image")
    (uid,) = table["uid"].to_pylist()
    scores = pq.read_table(run / "scores" / "clip" / "scores.parquet")
    unscored = scores.filter(np.isnan(scores["clip"].to_numpy()))
    assert unscored["uid"].to_pylist() == [uid]
    assert scores.num_rows == N_SAMPLES
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["rows_in"], summary["quarantined"]) == (N_SAMPLES, 1)
    assert uid not in read_subset(run / "subset.npy").to_list()


def test_the_report_accounts_for_the_selection(run: Path) -> None:
    report = json.loads((run / "subset.npy.json").read_text())
    terms = {term["term"]: term for term in report["terms"]}
    kept = terms["semdedup(eps=0.1)"]["rows"]
    assert 0 < kept < N_SAMPLES - 1  # the pool has copies
    assert report["kept"] == kept // 2 == len(read_subset(run / "subset.npy"))
    assert report["rows"] == N_SAMPLES


# webdataset leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_the_new_shards_unchanged(run: Path, pool: Path) -> None:
    import webdataset

    filtered = run.parent / "filtered"
    shards = sorted(map(str, filtered.glob("*.tar")))
    subset = read_subset(run / "subset.npy").to_list()
    assert len(shards) == -(-len(subset) // 20)
    read = list(webdataset.WebDataset(shards, shardshuffle=False))
    uids = [json.loads(sample["json"])["uid"] for sample in read]
    gc.collect()  # while the warnings of this test hold
    assert sorted(uids) == subset
    stored = {
        hashlib.sha256(content).digest()
        for shard in pool.glob("*.tar")
        for content in members(shard).values()
    }
    for sample in read:
        parts = {name: part for name, part in sample.items() if not name.startswith("__")}
        assert {"txt", "json"} < parts.keys()
        assert all(hashlib.sha256(part).digest() in stored for part in parts.values())


def test_inspect_tells_what_the_run_holds(run: Path) -> None:
    outcome = call("inspect", run, "--json")
    assert outcome.code == 0
    assert all(name in outcome.out for name in ("demo", "clip", "basic", "semdedup"))


def test_a_recipe_does_the_same(run: Path, pool: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        [embed.demo]
        model = "demo"
        batch_size = 32
        max_bad_fraction = 0.1
        [score.clip]
        embeddings = "demo"
        [select]
        expression = "top(clip, 0.5)"
        """
    )
    out = tmp_path / "run"
    outcome = call("curate", recipe, "--pool", pool, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    for name in ("embeddings/demo/img_emb/img_emb_00001.npy", "scores/clip/scores.parquet"):
        assert (out / name).read_bytes() == (run / name).read_bytes()
    assert len(read_subset(out / "subset.npy")) == N_SAMPLES // 2
