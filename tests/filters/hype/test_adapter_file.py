"""Adapters on disk: the same bytes for the same content, and nothing believed unchecked."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from tests.filters.hype.makers import small_adapter

from tamis.errors import PoolError, RunError
from tamis.filters.hype import adapter_file
from tamis.filters.hype.adapter import Adapter

ORIGIN = {"embedding": "img_emb", "dim": 8, "encoder": {"model": "x", "weights": "ab"}}
TOLD = {
    "format": 1,
    "what": "hyperbolic adapter",
    "image": {},
    "text": {},
    "training": {},
    "note": "",
}


def tensors() -> dict[str, np.ndarray]:
    numbers = {"curvature": 0.1, "logit_scale": 2.0, "image.scale": 0.5, "text.scale": 0.25}
    weights = {"image.weight": np.eye(3, 4), "text.weight": np.eye(3, 2)}
    return {name: np.array(value, np.float64) for name, value in numbers.items()} | {
        name: value.astype(np.float16) for name, value in weights.items()
    }


def write(path: Path, stored: dict[str, np.ndarray] | None = None, told: object = TOLD) -> Path:
    path.write_bytes(save(tensors() if stored is None else stored, {"tamis": json.dumps(told)}))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    adapter = small_adapter(
        origins={"image": ORIGIN}, training={"seed": 3, "losses": [1.5, 0.25]}, note="nät"
    )
    adapter.save(tmp_path / "a.safetensors")
    adapter.save(str(tmp_path / "b.safetensors"))
    loaded = Adapter.load(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert loaded.to_bytes() == adapter.to_bytes()
    assert loaded.model == adapter.model and loaded.space == adapter.space
    assert loaded.origins == {"image": ORIGIN, "text": {}}
    assert (loaded.training, loaded.note) == (adapter.training, "nät")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tests.filters.hype.makers import small_adapter\n"
        "small_adapter(note='x', training={'b': 1, 'a': 2}).save(sys.argv[1])"
    )
    found = []
    for seed in ("1", "2"):
        path = tmp_path / seed
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True)
        found.append(path.read_bytes())
    assert found[0] == found[1] == small_adapter(note="x", training={"a": 2, "b": 1}).to_bytes()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        small_adapter().save(tmp_path / "no folder" / "a.safetensors")
    with pytest.raises(ValueError, match="JSON"):
        small_adapter(training={"loss": float("nan")}).save(tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def without(name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in tensors().items() if key != name}


@pytest.mark.parametrize("name", sorted(tensors()))
def test_a_missing_tensor(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a", without(name))
    with pytest.raises(PoolError, match=rf"{path} .*expected the tensors .*{name}.*, got "):
        Adapter.load(path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("more", np.zeros(1), "expected the tensors .*, got .*, more"),
        ("curvature", np.float32(1), r"curvature to be one number, F64 of shape \[\], got F32"),
        ("curvature", np.ones(1), r"got F64 \[1\]"),
        ("curvature", np.float64(0), "curvature that is a finite number above 0, got 0.0"),
        ("curvature", np.float64(-1), "got -1.0"),
        ("curvature", np.float64(np.nan), "got nan"),
        ("image.scale", np.float64(0), "image.scale .*, got 0.0"),
        ("text.scale", np.float64(np.inf), "text.scale .*, got inf"),
        ("logit_scale", np.float64(np.nan), "finite logit_scale, got nan"),
        ("image.weight", np.eye(3), r"image.weight to be F16 of shape \[D, dim\], got F64"),
        ("image.weight", np.ones(3, "f2"), r"got F16 \[3\]"),
        ("image.weight", np.ones((3, 0), "f2"), r"got F16 \[3, 0\]"),
        ("image.weight", np.ones((4, 4), "f2"), r"maps into one space, got image.weight \(4, 4\)"),
        ("text.weight", np.full((3, 2), np.nan, "f2"), "text.weight holds NaN or an infinite"),
        ("text.weight", np.full((3, 2), 12, "f2"), "text.weight no longer than 16, got 16.97"),
    ],
)
def test_a_tensor_that_cannot_be_used(
    name: str, value: np.ndarray, told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a", tensors() | {name: np.asarray(value)})
    with pytest.raises(PoolError, match=told) as caught:
        Adapter.load(path)
    assert str(caught.value).startswith(f"{path} is no adapter that can be used: ")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (TOLD | {"format": 2}, "expected format 1, got 2; another tamis wrote it"),
        (TOLD | {"format": True}, "expected format 1, got True"),
        (TOLD | {"format": None}, "expected format 1, got None"),
        (TOLD | {"what": "reference set"}, "describes something else"),
        ([1], "describes something else"),
        (TOLD | {"image": None}, "lacks what it was trained on"),
        (TOLD | {"note": 1}, "lacks what it was trained on"),
        (TOLD | {"training": {"loss": float("nan")}}, "is not JSON"),
    ],
)
def test_told_otherwise(told: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=message):
        Adapter.load(write(tmp_path / "a", told=told))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "has no 'tamis'"),
        ({"format": "pt"}, "has no 'tamis'"),
        ({"tamis": "{"}, "is not JSON"),
        ({"tamis": "[" * 100_000}, "is not JSON"),
        ({"tamis": "1" * 100_000}, "is not JSON"),
    ],
)
def test_told_nothing(metadata: dict[str, str] | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(save(tensors(), metadata))
    with pytest.raises(PoolError, match=message):
        Adapter.load(tmp_path / "a")


def test_too_much_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_file, "LARGEST_TOLD", 300)
    write(tmp_path / "a")
    assert Adapter.load(tmp_path / "a").note == ""
    write(tmp_path / "a", told=TOLD | {"note": "x" * 300})
    with pytest.raises(PoolError, match="'tamis' has more than 300 characters"):
        Adapter.load(tmp_path / "a")


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PoolError, match=r"cannot read the adapter .*none: No such file"):
        Adapter.load(tmp_path / "none")
    with pytest.raises(PoolError, match="expected a file"):
        Adapter.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PoolError, match="expected a file"):
        Adapter.load(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(PoolError, match="empty is no safetensors file, or damaged"):
        Adapter.load(tmp_path / "empty")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(adapter_file.LARGEST_FILE + 1)
    with pytest.raises(PoolError, match="expected at most 268,435,456 bytes, got 268,435,457"):
        Adapter.load(large)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "demo")
    assert Adapter.load("./demo").dims == Adapter.load(Path("demo")).dims == {"image": 4, "text": 2}


def test_headers_that_promise_more_than_there_is(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole").read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header: dict[str, Any] = json.loads(whole[8 : 8 + length])
    weight = header["image.weight"]
    begin = weight["data_offsets"][0]
    hostile = [
        whole[:-1],
        whole[: 8 + length],
        whole[:20],
        whole + b"\0",
        struct.pack("<Q", 1 << 62) + whole[8:],
        struct.pack("<Q", len(whole)) + whole[8:],
    ]
    for shape, end in (
        ([1 << 40, 4], begin + (1 << 43)),
        ([3, 4], begin + 23),
        ([1 << 63, 4], begin + 24),
        ([-3, 4], begin + 24),
    ):
        changed = header | {"image.weight": weight | {"shape": shape, "data_offsets": [begin, end]}}
        text = json.dumps(changed).encode()
        hostile.append(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    for number, content in enumerate(hostile):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with pytest.raises(PoolError, match=rf"{path} is no safetensors file, or damaged"):
            Adapter.load(path)


@given(place=st.integers(0, 1 << 20), flipped=st.integers(1, 255))
def test_a_damaged_byte_is_one_sentence_or_another_adapter(
    place: int, flipped: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "damaged.safetensors")
    whole = bytearray(path.read_bytes())
    whole[place % len(whole)] ^= flipped
    path.write_bytes(whole)
    told = ""
    try:
        dims = Adapter.load(path).dims
    except PoolError as error:
        dims, told = None, str(error)
    assert dims == {"image": 4, "text": 2} or str(path) in told
    assert "\n" not in told
