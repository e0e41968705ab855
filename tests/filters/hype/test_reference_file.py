"""A reference on disk: written whole, and believed only where it keeps what it promises."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from tests.filters.hype.reference_pools import tangents

from tamis import lorentz
from tamis.errors import PoolError, RunError
from tamis.filters.hype.reference import Reference
from tamis.filters.hype.reference_file import (
    KEY,
    MOST_BYTES,
    open_reference,
    reference_bytes,
    save_reference,
)
from tamis.filters.hype.space import Space
from tamis.run import atomic

SPACE = Space(6, 0.5, model="m")


def reference(**changes: Any) -> Reference:
    images, texts = tangents(12)
    texts[4] = [1 / 64, 0, 0, 0, 0, 0]
    images[2] *= 100
    rows = np.arange(12)[::-1].copy()
    fields: dict[str, Any] = {"space": SPACE, "img": images, "txt": texts, "rows": 15, "seed": 0}
    fields |= {"img_rows": rows, "txt_rows": rows, "source": {"pool": "é"}}
    return Reference(**(fields | changes))


def text_only(**changes: Any) -> Reference:
    return reference(img=None, img_rows=None, **changes)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("made", [reference, text_only])
def test_what_was_written_is_read(tmp_path: Path, made: Any, dtype: str) -> None:
    texts = reference().txt.astype(dtype)
    written = made(txt=texts)
    save_reference(written, tmp_path / "a" / "r.safetensors")
    found = open_reference(tmp_path / "a" / "r.safetensors")
    assert found.manifest() == written.manifest() and found.digest == written.digest
    assert found.txt.dtype == dtype and np.array_equal(found.txt, texts)
    assert np.array_equal(found.txt_rows, written.txt_rows)
    assert (found.img is None) == (written.img is None)


def test_the_manifest_counts_what_is_at_a_clamp() -> None:
    made = reference()
    angles = lorentz.half_aperture(made.txt, curvature=0.5)
    told = json.loads(json.dumps(made.manifest()))
    assert told["texts_at_clamp"] == (angles > 1.57079).sum() == 2
    assert abs(told["mean_half_aperture"] - angles.mean()) < 1e-9
    assert told["beyond_limit"] == {"img": 1, "txt": 0}
    assert told["count"] == {"img": 12, "txt": 12} and told["rows"] == 15
    wide = text_only(min_radius=100.0)
    assert wide.texts_at_clamp == 12 and wide.mean_half_aperture == 1.570796327
    no_texts = reference(txt=None, txt_rows=None)
    assert no_texts.texts_at_clamp is None and no_texts.mean_half_aperture is None


def test_a_text_at_the_clamp_to_within_rounding_is_at_it() -> None:
    limit = math.asinh(0.2)
    lengths = [math.nextafter(limit, 1), limit * (1 + 1e-6)]
    texts = np.array([[length, 0.0] for length in lengths])
    made = Reference(Space(2, 1.0), None, texts, None, np.arange(2), None, None, {})
    assert made.texts_at_clamp == 1


def test_the_last_digit_of_an_angle_may_differ(tmp_path: Path) -> None:
    angle = reference().mean_half_aperture
    for error, kept in ((1e-9, True), (-1e-9, True), (3e-9, False)):
        (tmp_path / "r.safetensors").write_bytes(changed(mean_half_aperture=angle + error))
        if kept:
            assert open_reference(tmp_path / "r.safetensors").mean_half_aperture == angle
        else:
            with pytest.raises(PoolError, match="it says mean_half_aperture"):
                open_reference(tmp_path / "r.safetensors")


def test_the_digest_is_that_of_points_and_space() -> None:
    made = reference()
    other = made.txt.copy()
    other[3, 3] = np.nextafter(other[3, 3], np.float32(2))
    same = [
        reference(rows=None, seed=None),
        reference(source={}),
        reference(min_radius=0.2),
        reference(img_rows=np.arange(12)),
    ]
    different = [
        reference(txt=other),
        reference(txt=made.txt.astype("f8")),
        reference(txt=made.img, img=made.txt),
        reference(space=Space(6, 0.25, model="m")),
        reference(space=Space(6, 0.5)),
        text_only(),
        reference(txt=made.txt[::-1].copy()),
    ]
    assert {each.digest for each in same} == {made.digest}
    assert len({made.digest, *(each.digest for each in different)}) == len(different) + 1


def test_another_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    save_reference(reference(), path)
    before = path.stat().st_mtime_ns
    save_reference(reference(), path)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"another reference is at .*r\.safetensors.*--overwrite"):
        save_reference(text_only(), path)
    assert path.read_bytes() == reference_bytes(reference())
    save_reference(text_only(), path, overwrite=True)
    assert open_reference(path).img is None


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.safetensors"
    save_reference(reference(), path)

    def full(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_write", full)
    with pytest.raises(RunError, match="the disk is full"):
        save_reference(text_only(), path, overwrite=True)
    assert os.listdir(tmp_path) == ["r.safetensors"]
    assert path.read_bytes() == reference_bytes(reference())


def test_the_suffix_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.safetensors, got .*r\.pt"):
        save_reference(reference(), tmp_path / "r.pt")


def changed(**changes: Any) -> bytes:
    """A file with other tensors, or None for none; or with other words in its manifest."""
    content = reference_bytes(reference())
    tensors = load(content)
    told = reference().manifest()
    for name, value in changes.items():
        place: dict[str, Any] = tensors if name in tensors else told
        if value is None:
            del place[name]
        else:
            place[name] = value
    return save(tensors, metadata={KEY: json.dumps(told)})


def with_row(value: float, dtype: str = "f4") -> np.ndarray:
    texts = reference().txt.astype(dtype)
    texts[5] = value
    return texts


HOSTILE = {
    "empty": (b"", "is no safetensors file that can be read"),
    "truncated": (reference_bytes(reference())[:-1], "is no safetensors file that can be read"),
    "no manifest": (save({"txt": tangents(3)[1]}), "is no reference of tamis"),
    "no JSON": (save({}, metadata={KEY: "{"}), "is no reference of tamis"),
    "deep JSON": (save({}, metadata={KEY: "[" * 100_000}), "is no reference of tamis"),
    "another file": (changed(what="hyperbolic adapter"), "is no reference of tamis"),
    "another format": (changed(format=2), "expected a reference of format 1, got 2"),
    "no points": (changed(img=None, txt=None, img_rows=None, txt_rows=None), "got neither"),
    "no images": (changed(img=None), "img_rows is there, but no img: the images are missing"),
    "no row numbers": (changed(txt_rows=None), "txt_rows: expected 12 row numbers.*got none"),
    "few row numbers": (changed(txt_rows=np.arange(3)), "txt_rows: expected 12 row numbers"),
    "32-bit row numbers": (changed(txt_rows=np.arange(12.0)), "got float64"),
    "repeated rows": (changed(txt_rows=np.zeros(12, np.int64)), "distinct row numbers"),
    "negative rows": (changed(txt_rows=np.arange(-1, 11)), "distinct row numbers of at least 0"),
    "integers": (changed(txt=np.ones((12, 6), np.int64)), "expected float16, float32 or float64"),
    "bytes": (changed(txt=np.ones((12, 6), np.uint8)), "txt: expected one of F16.*got U8"),
    "one-dimensional": (changed(txt=np.ones(12, "f4")), r"rows of 6 numbers, got shape \(12,\)"),
    "dimensions": (changed(txt=np.ones((12, 5), "f4")), r"rows of 6 numbers, got shape \(12, 5\)"),
    "no rows": (changed(txt=np.ones((0, 6), "f4")), r"rows of 6 numbers, got shape \(0, 6\)"),
    "NaN": (changed(txt=with_row(np.nan)), "txt: row 5 is not finite"),
    "infinite": (changed(txt=with_row(np.inf, "f8")), "txt: row 5 is not finite"),
    "zero": (changed(txt=with_row(0)), "txt: row 5 is zero"),
    "another point": (changed(txt=with_row(0.1)), "it says mean_half_aperture"),
    "counts": (changed(count={"img": 12, "txt": 11}), "it says count"),
    "no counts": (changed(count=None), "it says count None"),
    "clamp": (changed(texts_at_clamp=0), "it says texts_at_clamp 0, but its points have 2"),
    "aperture": (changed(mean_half_aperture=0.5), "it says mean_half_aperture 0.5"),
    "NaN aperture": (changed(mean_half_aperture=np.nan), "it says mean_half_aperture nan"),
    "more than asked": (changed(rows=11), "expected at most 11 points a side"),
    "rows in words": (changed(rows="all"), "expected rows to be a whole number"),
    "seed in words": (changed(seed=1.5), "expected seed to be a whole number"),
    "no source": (changed(source=None), "expected a description of the source"),
    "reasons": (changed(source={"passed_over": [1]}), "rows that were left out by reason"),
    "counts in words": (changed(source={"passed_over": {"a": "b"}}), "left out by reason"),
    "left out": (changed(source={"left_out": {"txt": 3}}), "rows that were left out by reason"),
    "no space": (changed(space=None), "expected a space with"),
    "curvature": (changed(space={**SPACE.recipe(), "curvature": 0}), "expected a curvature"),
    "huge": (changed(space={**SPACE.recipe(), "curvature": 10**400}), "expected a curvature"),
    "kind": (changed(space={**SPACE.recipe(), "kind": ["x"]}), "expected a kind of rows"),
    "min_radius": (changed(min_radius=-1), "finite min_radius above 0"),
    "huge min_radius": (changed(min_radius=10**400), "is no reference that can be used"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_breaks_a_promise_is_refused(tmp_path: Path, name: str) -> None:
    content, told = HOSTILE[name]
    path = tmp_path / "r.safetensors"
    path.write_bytes(content)
    with pytest.raises(PoolError, match=told) as refused:
        open_reference(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="there is no such file"):
        open_reference(tmp_path / "none.safetensors")
    with pytest.raises(PoolError, match="that is no file"):
        open_reference(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(PoolError, match="expected at most 17,179,869,184 bytes"):
        open_reference(path)


CONTENT = reference_bytes(reference())


@given(place=st.integers(0, len(CONTENT) - 1), value=st.integers(0, 255))
def test_no_damage_passes_unseen(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(CONTENT[:place] + bytes([value]) + CONTENT[place + 1 :])
    with suppress(PoolError):
        # Other points, rows or words are possible, but nothing that is no reference.
        found = open_reference(path)
        assert np.isfinite(found.txt).all() and found.count == {"img": 12, "txt": 12}
