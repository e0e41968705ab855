"""A reference set on disk: a safetensors file that says where its points come from.

Tensors `img` (M_I, D) and `txt` (M_T, D), of which one may be absent, with `img_rows` and
`txt_rows`, int64. The metadata key "tamis" holds the manifest as JSON, without dates: the bytes
depend on the reference alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tamis.errors import PoolError, RunError
from tamis.filters.hype.reference import FORMAT, SIDES, TENSORS, WHAT, Reference
from tamis.filters.hype.space import Space
from tamis.run import atomic

KEY: Final = "tamis"
MOST_BYTES: Final = 1 << 34
"""16 GiB: of a file that is read, and of what it unpacks to."""
DTYPE_NAMES: Final = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
_ANGLE_ERROR = 2e-9  # of an angle that was rounded to 9 decimals


def reference_bytes(reference: Reference) -> bytes:
    """The content of the file.

    Example:
        >>> texts = np.eye(2, dtype=np.float32)
        >>> made = Reference(Space(2, 1.0), None, texts, None, np.arange(2), None, None, {})
        >>> reference_bytes(made) == reference_bytes(made)
        True
    """
    from safetensors.numpy import save

    tensors: dict[str, Any] = {}
    for name, points in reference.points.items():
        tensors[name] = np.ascontiguousarray(points)
        tensors[f"{name}_rows"] = reference.row_numbers[name]
    told = json.dumps(reference.manifest(), sort_keys=True, allow_nan=False)
    return bytes(save(tensors, metadata={KEY: told}))


def save_reference(reference: Reference, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a reference, whole or not at all.

    Args:
        reference: what to write.
        path: the file, .safetensors; its folder is created where it is missing.
        overwrite: whether another file may be there. One with the same bytes always may.

    Raises:
        RunError: another file is there, or the file cannot be written.
        ValueError: a path that does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"expected a reference file that ends in .safetensors, got {path}")
    content = reference_bytes(reference)
    if path.exists() and not overwrite:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        raise RunError(f"another reference is at {path}: choose another --out, or --overwrite it")
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, content)


def open_reference(path: Path | str) -> Reference:
    """Read a reference and check all that it promises.

    Raises:
        PoolError: there is no such file, or it is not what `save_reference` writes: tensors, their
            shapes and dtypes, points that are not finite or at the origin, the space, the counts.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path, (*TENSORS, *(f"{name}_rows" for name in TENSORS)))
    try:
        told = json.loads(metadata.get(KEY, "null"))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("what") != WHAT:
        raise PoolError(
            f"{path} is no reference of tamis: make one with tamis reference build, or take one "
            "over with tamis reference import"
        )
    if told.get("format") != FORMAT:
        raise PoolError(
            f"{path}: expected a reference of format {FORMAT}, got {told.get('format')!r:.40}; "
            "update tamis, or build it anew"
        )
    try:
        reference = _reference(tensors, told)
        _require_kept(told, reference.manifest())
    except (ValueError, TypeError, OverflowError) as error:
        raise PoolError(f"{path} is no reference that can be used: {error}") from error
    return reference


def read_safetensors(
    path: Path, names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors of a file that are called so, and its metadata.

    Raises:
        PoolError: no safetensors file, one that is too large, or a tensor of a dtype that no
            reference has.
    """
    from safetensors import SafetensorError, safe_open

    require_file(path)
    tensors: dict[str, np.ndarray] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            present = set(file.keys())
            for name in names:
                if name not in present:
                    continue
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPE_NAMES:
                    expected = ", ".join(DTYPE_NAMES)
                    raise PoolError(f"{path}: {name}: expected one of {expected}, got {dtype}")
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        told = " ".join(str(error).split())
        raise PoolError(f"{path} is no safetensors file that can be read: {told:.200}") from error
    return tensors, metadata


def require_file(path: Path) -> None:
    """Raise PoolError unless a file is there that is not too large to be read."""
    try:
        size = path.stat().st_size if path.is_file() else -1
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    if size < 0:
        what = "that is no file" if path.exists() else "there is no such file"
        raise PoolError(f"expected a reference at {path}, but {what}")
    if size > MOST_BYTES:
        raise PoolError(f"{path}: expected at most {MOST_BYTES:,} bytes, got {size:,}")


def _reference(tensors: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> Reference:
    rows, seed, source = told.get("rows"), told.get("seed"), told.get("source")
    for name, value in (("rows", rows), ("seed", seed)):
        if not (value is None or type(value) is int):
            raise ValueError(f"expected {name} to be a whole number or null, got {value!r:.40}")
    if not isinstance(source, dict):
        raise ValueError(f"expected a description of the source, got {source!r:.40}")
    left_out = source.get("left_out", {})
    counted = list(left_out.values()) if isinstance(left_out, dict) else [left_out]
    for counts in (source.get("passed_over", {}), *counted):
        if not (isinstance(counts, dict) and all(type(rows) is int for rows in counts.values())):
            raise ValueError(f"expected rows that were left out by reason, got {counts!r:.40}")
    min_radius = told.get("min_radius")
    if not isinstance(min_radius, int | float):
        raise ValueError(f"expected min_radius to be a number, got {min_radius!r:.40}")
    for name, side in SIDES.items():
        if f"{name}_rows" in tensors and name not in tensors:
            raise ValueError(f"{name}_rows is there, but no {name}: the {side}s are missing")
    return Reference(
        Space.of(told.get("space")),
        img=tensors.get("img"),
        txt=tensors.get("txt"),
        img_rows=tensors.get("img_rows"),
        txt_rows=tensors.get("txt_rows"),
        rows=rows,
        seed=seed,
        source=source,
        min_radius=min_radius,
    )


def _require_kept(told: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Compare what a file says of its tensors with what they are."""
    for name, value in found.items():
        stored = told.get(name)
        close = (
            name == "mean_half_aperture"
            and type(stored) is float
            and type(value) is float
            and abs(stored - value) <= _ANGLE_ERROR
        )
        if stored != value and not close:
            raise ValueError(f"it says {name} {stored!r:.80}, but its points have {value!r:.80}")
