"""The steps of examples/build_pool.py that need no network weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def poolbuild(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import poolbuild.choose
    import poolbuild.write

    yield poolbuild
    for name in [name for name in sys.modules if name.split(".")[0] == "poolbuild"]:
        del sys.modules[name]


def _png_header(width: int, height: int) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size + b"\x08\x06\0\0\0"


def _add(folder: Path, name: str, png: bytes, title: str, description: str = "") -> None:
    for kind, data in (("png", png), ("svg", _svg(title, description))):
        file = folder / kind / f"{name}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _svg(title: str, description: str) -> bytes:
    fields = f"<dc:title>{title}</dc:title><dc:description>{description}</dc:description>"
    return f"<svg><cc:Work>{fields}</cc:Work>".encode()


def test_source_reads_text_and_skips_by_reason(poolbuild: Any, tmp_path: Path) -> None:
    _add(tmp_path, "a/crab", _png_header(3, 2), "Crab\n &amp; &amp;#39;", "it has  ten legs")
    _add(tmp_path, "a/mail", _png_header(3, 2), "x@example.org")
    _add(tmp_path, "b/big", _png_header(10_000, 4_001), "Big")
    _add(tmp_path, "b/none", _png_header(3, 2), "")
    _add(tmp_path, "c/note", _png_header(4, 4), "Note", "write to me at x@example.org")
    drawings, skipped = poolbuild.source.read_drawings(tmp_path)
    assert [d.path for d in drawings] == ["a/crab.png", "c/note.png"]
    assert [d.text for d in drawings] == ["Crab & &#39;. it has ten legs", "Note"]
    assert (drawings[0].width, drawings[0].height) == (3, 2)
    assert vars(skipped) == {"no_title": 1, "email_in_title": 1, "too_large": 1}


def test_source_rejects_what_is_no_png(poolbuild: Any, tmp_path: Path) -> None:
    _add(tmp_path, "a", b"GIF89a" + bytes(30), "A")
    with pytest.raises(ValueError, match=r"expected a PNG.*a\.png"):
        poolbuild.source.read_drawings(tmp_path)
    with pytest.raises(FileNotFoundError, match="openclipart-svg"):
        poolbuild.source.find_openclipart(tmp_path / "png")


def test_chosen_families_are_whole_and_fit_pairs_are_others(poolbuild: Any) -> None:
    drawing = poolbuild.source.Drawing
    made = [
        drawing(f"f{i % 700}/{i}.png", Path(), f"t{i % 900}", f"{i % 1100:064x}", 1, 1)
        for i in range(1400)
    ]
    giant = [drawing(f"giant/{i}.png", Path(), "giant", "f" * 64, 1, 1) for i in range(60)]
    drawings = [*made, *giant]
    pool = poolbuild.choose.choose_pool(drawings)
    assert len(pool) == poolbuild.choose.POOL_SIZE
    chosen = {d.path for d in pool}
    for family in poolbuild.source.families(drawings):
        inside = sum(d.path in chosen for d in family)
        assert inside in (0, min(len(family), poolbuild.choose.MAX_FAMILY))
    assert sum(d.text == "giant" for d in pool) == poolbuild.choose.MAX_FAMILY
    fit, held_out = poolbuild.choose.choose_fit(drawings, pool)
    assert len(fit) > len(held_out) > 0
    assert not {d.sha256 for d in [*fit, *held_out]} & {d.sha256 for d in pool}
    assert not {d.text for d in fit} & {d.text for d in held_out}


def test_same_rows_give_the_same_bytes(
    poolbuild: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [
        poolbuild.write.Sample(f"{i:032x}", "u", f"é{i}", 5, 4, 3, 2, "0" * 64, "png", b"x" * i)
        for i in range(5)
    ]
    rows = {"a": np.arange(10, dtype=np.float16).reshape(5, 2)}
    scores = np.linspace(0, 1, 5, dtype=np.float32)
    for name, now in (("one", 1e9), ("two", 1.7e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        poolbuild.write.write_shard(tmp_path / name, 3, samples, "s", scores, rows)
        poolbuild.write.write_checksums(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [p.name for p in files] == [
        "00003.npz",
        "00003.parquet",
        "00003.tar",
        "00003_stats.json",
    ]
    for file in [*files, Path("SHA256SUMS")]:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
