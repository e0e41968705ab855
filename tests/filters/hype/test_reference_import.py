"""References that were made elsewhere."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.filters.hype.reference_pools import tangents

from tamis.errors import PoolError
from tamis.filters.hype import reference_import
from tamis.filters.hype.reference_file import open_reference, reference_bytes, save_reference
from tamis.filters.hype.reference_import import import_reference

torch = pytest.importorskip("torch")

IMAGES, TEXTS = tangents(9)


def write(path: Path, **arrays: Any) -> Path:
    arrays = arrays or {"img": IMAGES, "txt": TEXTS}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        save_file(arrays, path)
    else:
        torch.save({name: torch.as_tensor(rows) for name, rows in arrays.items()}, path)
    return path


SUFFIXES = [".pt", ".pth", ".safetensors", ".npz"]


def test_every_format_gives_the_same_reference(tmp_path: Path) -> None:
    files = [write(tmp_path / f"reference{suffix}") for suffix in SUFFIXES]
    found = [import_reference(path, curvature=0.5, model="hype") for path in files]
    assert len({each.digest for each in found}) == 1
    for path, made in zip(files, found, strict=True):
        assert np.array_equal(made.img, IMAGES) and np.array_equal(made.txt, TEXTS)
        assert made.rows is made.seed is None and made.img_rows.tolist() == list(range(9))
        assert made.source["imported"] == path.name and len(made.source["sha256"]) == 64
        assert made.space.recipe() == {
            "dim": 6,
            "curvature": 0.5,
            "kind": "tangent",
            "model": "hype",
        }
    save_reference(found[0], tmp_path / "ours.safetensors")
    assert open_reference(tmp_path / "ours.safetensors").digest == found[0].digest
    assert reference_bytes(found[0]) == reference_bytes(
        import_reference(files[0], curvature=0.5, model="hype")
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_side_is_enough(tmp_path: Path, suffix: str) -> None:
    made = import_reference(write(tmp_path / f"r{suffix}", txt=TEXTS), curvature=1.0)
    assert made.img is None and made.count == {"txt": 9}


def test_other_precisions_are_kept(tmp_path: Path) -> None:
    half = write(tmp_path / "half.pt", txt=TEXTS.astype("f2"))
    assert import_reference(half, curvature=1.0).txt.dtype == np.float16
    brain = tmp_path / "brain.pt"
    torch.save({"txt": torch.as_tensor(TEXTS).bfloat16()}, brain)
    found = import_reference(brain, curvature=1.0).txt
    assert found.dtype == np.float32
    assert np.array_equal(found, torch.as_tensor(TEXTS).bfloat16().float().numpy())


def test_a_parameter_is_a_tensor(tmp_path: Path) -> None:
    torch.save({"txt": torch.nn.Parameter(torch.as_tensor(TEXTS))}, tmp_path / "r.pt")
    assert np.array_equal(import_reference(tmp_path / "r.pt", curvature=1.0).txt, TEXTS)


def test_the_kind_is_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "r.npz", txt=TEXTS / 4)
    ball = import_reference(path, curvature=0.5, kind="poincare")
    assert ball.space.kind == "poincare"
    assert ball.mean_half_aperture != import_reference(path, curvature=0.5).mean_half_aperture


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_that_are_no_points_are_left_out_and_counted(tmp_path: Path, suffix: str) -> None:
    texts = TEXTS.copy()
    texts[0], texts[3], texts[4] = 0, np.nan, np.inf
    made = import_reference(write(tmp_path / f"r{suffix}", img=IMAGES, txt=texts), curvature=0.5)
    assert made.source["left_out"] == {"img": {}, "txt": {"zero": 1, "not_finite": 2}}
    assert made.txt_rows.tolist() == [1, 2, 5, 6, 7, 8]
    assert np.array_equal(made.txt, texts[made.txt_rows])


REFUSED = {
    "no tensors": ({"a": TEXTS}, "expected rows called img, txt or both"),
    "integers": ({"txt": np.ones((3, 4), np.int64)}, "txt: expected float"),
    "one-dimensional": ({"txt": np.ones(3, "f4")}, r"txt: expected rows.*\(3,\)"),
    "no rows": ({"txt": np.ones((0, 3), "f4")}, r"txt: expected rows.*\(0, 3\)"),
    "dimensions": ({"img": IMAGES, "txt": TEXTS[:, :4]}, r"the same dimensions, got \[4, 6\]"),
    "nothing usable": ({"txt": np.zeros((3, 4), "f4")}, "txt: none of its 3 rows"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_reference_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    arrays, told = REFUSED[name]
    path = write(tmp_path / f"r{suffix}", **arrays)
    with pytest.raises(PoolError, match=told) as refused:
        import_reference(path, curvature=1.0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"whole{suffix}").read_bytes()
    for number, content in enumerate([b"", b"no", whole[:-1], whole[: len(whole) // 2]]):
        path = tmp_path / f"r{number}{suffix}"
        path.write_bytes(content)
        with pytest.raises(PoolError, match=str(path)):
            import_reference(path, curvature=1.0)


@pytest.mark.parametrize("curvature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_curvature_is_above_0(tmp_path: Path, curvature: float) -> None:
    with pytest.raises(ValueError, match="expected a curvature"):
        import_reference(write(tmp_path / "r.npz"), curvature=curvature)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.place,)

    def __init__(self, place: Path) -> None:
        self.place = str(place)


def test_no_code_is_run(tmp_path: Path) -> None:
    evil = Evil(tmp_path / "was run")
    torch.save({"txt": evil}, tmp_path / "r.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"txt": evil}))
    np.savez(tmp_path / "r.npz", txt=np.array([evil], object))
    for name in ("r.pt", "old.pt", "r.npz"):
        with pytest.raises(PoolError, match=name):
            import_reference(tmp_path / name, curvature=1.0)
    assert not (tmp_path / "was run").exists()


def test_a_few_numbers_do_not_pose_as_many(tmp_path: Path) -> None:
    torch.save({"txt": torch.ones(1, 1).expand(1 << 40, 768)}, tmp_path / "r.pt")
    with pytest.raises(PoolError, match="txt: expected at most"):
        import_reference(tmp_path / "r.pt", curvature=1.0)


def test_rows_that_share_numbers_are_refused(tmp_path: Path) -> None:
    torch.save({"txt": torch.ones(1, 6).expand(9, 6)}, tmp_path / "r.pt")
    with pytest.raises(PoolError, match=r"txt: expected \(9, 6\) numbers, it stores fewer"):
        import_reference(tmp_path / "r.pt", curvature=1.0)


def test_an_archive_with_a_damaged_directory_is_refused(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "whole.pt").read_bytes())
    content[content.rindex(b"PK\x01\x02")] = 0
    (tmp_path / "r.pt").write_bytes(content)
    with pytest.raises(PoolError, match=r"r\.pt is no dictionary of tensors"):
        import_reference(tmp_path / "r.pt", curvature=1.0)


def test_a_reference_of_tamis_keeps_its_space(tmp_path: Path) -> None:
    made = import_reference(write(tmp_path / "r.npz"), curvature=0.5, model="hype")
    save_reference(made, tmp_path / "ours.safetensors")
    with pytest.raises(PoolError, match="is a reference of tamis already, which has a space"):
        import_reference(tmp_path / "ours.safetensors", curvature=9.0)


def test_what_would_unpack_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_import, "MOST_BYTES", 100_000)
    zeros = np.ones((1000, 100), "f4")
    np.savez_compressed(tmp_path / "r.npz", txt=zeros)
    torch.save({"txt": torch.as_tensor(zeros)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "r.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    for name in ("r.npz", "r.pt"):
        assert (tmp_path / name).stat().st_size < 100_000
        told = "expected at most 100,000 bytes" + ", it unpacks" * (name == "r.pt")
        with pytest.raises(PoolError, match=told):
            import_reference(tmp_path / name, curvature=1.0)


def test_other_objects_are_refused(tmp_path: Path) -> None:
    torch.save([torch.as_tensor(TEXTS)], tmp_path / "list.pt")
    with pytest.raises(PoolError, match="expected a dictionary of tensors, got list"):
        import_reference(tmp_path / "list.pt", curvature=1.0)
    torch.save({"txt": [1.0]}, tmp_path / "numbers.pt")
    with pytest.raises(PoolError, match="txt: expected a dense tensor, got list"):
        import_reference(tmp_path / "numbers.pt", curvature=1.0)
    torch.save({"txt": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    with pytest.raises(PoolError, match="txt: expected a dense tensor"):
        import_reference(tmp_path / "sparse.pt", curvature=1.0)
    with pytest.raises(PoolError, match=r"expected a reference as \.pt"):
        import_reference(tmp_path / "r.csv", curvature=1.0)
    with pytest.raises(PoolError, match="there is no such file"):
        import_reference(tmp_path / "r.pt", curvature=1.0)
