"""Take over a reference that was made elsewhere: the published dictionary {img, txt} of rows."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tamis import lorentz
from tamis.errors import PoolError, require
from tamis.filters.hype.reference import (
    DTYPES,
    TENSORS,
    Index,
    Matrix,
    Reference,
    Tensor,
    unusable,
)
from tamis.filters.hype.reference_file import KEY, MOST_BYTES, read_safetensors, require_file
from tamis.filters.hype.space import Space

if TYPE_CHECKING:
    from tamis.kernels.lorentz_rows import Kind

_EXTRA = "adapter"


def import_reference(
    path: Path | str, *, curvature: float, kind: Kind = "tangent", model: str | None = None
) -> Reference:
    """Read img, txt or both, as points of a space that is declared.

    Such a file does not say what its rows are: HYPE's own `reference.pt` holds tangent vectors, and
    its curvature is in the checkpoint. Rows that are zero, not finite or no points are left out and
    counted.

    Args:
        path: .pt or .pth (loaded with torch's `weights_only=True`, which is no security boundary),
            .safetensors, or .npz; float16, float32 or float64, or bfloat16 in a .pt, which becomes
            float32.
        curvature: c > 0; the space has the curvature -c.
        kind: what a row is, see :func:`tamis.lorentz.radii`.
        model: name of the model that made the rows; None where that is not known.

    Raises:
        PoolError: the file cannot be read, holds neither img nor txt, or no usable row of one, or
            is a reference of tamis, which has a space of its own.
        MissingExtraError: a .pt, and torch is not installed.
        ValueError: a curvature or kind that is none.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise PoolError(f"{path}: expected a reference as .pt, .pth, .safetensors or .npz")
    require_file(path)
    found = _READERS[path.suffix](path)
    if not found:
        raise PoolError(f"{path}: expected rows called img, txt or both, got neither")
    dims = {points.shape[1] for points in found.values()}
    if len(dims) > 1:
        raise PoolError(f"{path}: expected img and txt of the same dimensions, got {sorted(dims)}")
    space = Space(dims.pop(), curvature, kind, model)
    rows: dict[Tensor, Index] = {}
    left_out: dict[str, dict[str, int]] = {}
    for name, points in found.items():
        rows[name], left_out[name] = _usable(path, name, points, space)
        if len(rows[name]) < len(points):
            found[name] = points[rows[name]]
    return Reference(
        space,
        img=found.get("img"),
        txt=found.get("txt"),
        img_rows=rows.get("img"),
        txt_rows=rows.get("txt"),
        rows=None,
        seed=None,
        source={"imported": path.name, "sha256": _sha256(path), "left_out": left_out},
    )


def _usable(path: Path, name: Tensor, points: Matrix, space: Space) -> tuple[Index, dict[str, int]]:
    """The rows that are points, and how many of each other state there are."""
    state = lorentz.radii(points, curvature=space.curvature, kind=space.kind).state
    bad = unusable(state)
    if bad.all():
        raise PoolError(f"{path}: {name}: none of its {len(points):,} rows is a usable point")
    codes, counts = np.unique(state[bad], return_counts=True)
    told = {
        lorentz.STATES[code]: count
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    }
    return np.flatnonzero(~bad).astype(np.int64), told


def _check(path: Path, name: str, shape: tuple[int, ...], dtype: object, n_bytes: int) -> None:
    """Shape, dtype and size, before a number of them is held."""
    if len(shape) != 2 or min(shape) < 1:
        raise PoolError(f"{path}: {name}: expected rows, (M, D), got shape {shape}")
    if dtype not in DTYPES:
        raise PoolError(f"{path}: {name}: expected float16, float32 or float64, got {dtype}")
    if n_bytes > MOST_BYTES:
        raise PoolError(f"{path}: {name}: expected at most {MOST_BYTES:,} bytes, got {n_bytes:,}")


def _from_safetensors(path: Path) -> dict[Tensor, Matrix]:
    tensors, metadata = read_safetensors(path, TENSORS)
    if tensors and KEY in metadata:
        raise PoolError(
            f"{path} is a reference of tamis already, which has a space of its own: name it with "
            "--reference as it is"
        )
    for name, points in tensors.items():
        _check(path, name, points.shape, points.dtype, points.nbytes)
    return {name: tensors[name] for name in TENSORS if name in tensors}


def _from_npz(path: Path) -> dict[Tensor, Matrix]:
    from tamis.data.npz_file import npz_keys, open_member

    keys = npz_keys(path)
    found: dict[Tensor, Matrix] = {}
    for name in TENSORS:
        if name in keys:
            member = open_member(path, name)
            _check(path, name, member.shape, member.dtype, member.header.n_bytes)
            found[name] = member.read(0, member.shape[0])
    return found


def _from_torch(path: Path) -> dict[Tensor, Matrix]:
    torch = require("torch", extra=_EXTRA)
    try:
        if _unpacked(path) > MOST_BYTES:
            raise ValueError(f"expected at most {MOST_BYTES:,} bytes, it unpacks to more")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle fail on other files in every way
        first = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".:")
        raise PoolError(f"{path} is no dictionary of tensors that torch loads: {first:.200}") from (
            error
        )
    if not isinstance(loaded, Mapping):
        raise PoolError(f"{path}: expected a dictionary of tensors, got {type(loaded).__name__}")
    return {name: _array(path, name, loaded[name], torch) for name in TENSORS if name in loaded}


def _unpacked(path: Path) -> int:
    """Bytes of what a zip archive holds; torch's older files are none, and do not grow."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def _array(path: Path, name: str, tensor: Any, torch: Any) -> Matrix:
    dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
    if not dense or tensor.is_quantized or tensor.device.type != "cpu":
        raise PoolError(f"{path}: {name}: expected a dense tensor, got {type(tensor).__name__}")
    known = {torch.float16: "f2", torch.bfloat16: "f4", torch.float32: "f4", torch.float64: "f8"}
    if tensor.dtype not in known:
        raise PoolError(f"{path}: {name}: expected floating-point rows, got {tensor.dtype}")
    dtype = np.dtype(known[tensor.dtype])
    shape = tuple(tensor.shape)
    _check(path, name, shape, dtype, math.prod(shape) * dtype.itemsize)
    if tensor.nbytes > tensor.untyped_storage().nbytes():  # a few numbers that pose as many
        raise PoolError(f"{path}: {name}: expected {shape} numbers, it stores fewer")
    wide = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return np.ascontiguousarray(wide.numpy())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_READERS: Final[dict[str, Callable[[Path], dict[Tensor, Matrix]]]] = {
    ".pt": _from_torch,
    ".pth": _from_torch,
    ".safetensors": _from_safetensors,
    ".npz": _from_npz,
}
