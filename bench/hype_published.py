"""The formulas of MERU and HYPE as published, in float32 and c = 1, every step a matrix of its own.

From tangent vectors: the acos form of the exterior angle with its clamps, a block of rows at a
time. What `bench/hype.py` compares with.
"""

from __future__ import annotations

from typing import Any

BLOCK = 2048  # rows at a time


def _lifted(v: Any) -> tuple[Any, Any]:
    """Space and time parts, float32, c = 1."""
    import numpy as np

    wide = v.astype("f4")
    radius = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    space = wide * (np.sinh(radius) / np.maximum(radius, 1e-8))
    return space, np.sqrt(1 + (space * space).sum(axis=1))


def numpy_specificity(rows: Any, references: Any, *, rows_are_apexes: bool) -> Any:
    """Specificity of each row, float64 (n,): e = exterior angle - half-aperture, K = 0.1."""
    import numpy as np

    (other, other0), found = _lifted(references), []
    for start in range(0, len(rows), BLOCK):
        own, own0 = _lifted(rows[start : start + BLOCK])
        q = own @ other.T - own0[:, None] * other0
        x, x0 = (own, own0[:, None]) if rows_are_apexes else (other, other0)
        y0 = other0 if rows_are_apexes else own0[:, None]
        norm = np.linalg.norm(x, axis=1)
        norm = norm[:, None] if rows_are_apexes else norm
        below = norm * np.sqrt(np.maximum(q * q - 1, 1e-8)) + 1e-8
        angle = np.arccos(np.clip((y0 + x0 * q) / below, -1 + 1e-8, 1 - 1e-8))
        aper = np.arcsin(np.clip(0.2 / (norm + 1e-8), -1 + 1e-8, 1 - 1e-8))
        found.append((angle - aper).mean(axis=1, dtype="f8"))
    return np.concatenate(found)


def torch_specificity(torch: Any, rows: Any, references: Any, *, rows_are_apexes: bool) -> Any:
    """The same steps in eager torch, arrays of numpy in and out."""

    def lifted(v: Any) -> tuple[Any, Any]:
        wide = torch.from_numpy(v).float()
        radius = wide.norm(dim=1, keepdim=True)
        space = wide * (torch.sinh(radius) / radius.clamp(min=1e-8))
        return space, torch.sqrt(1 + (space * space).sum(dim=1))

    (other, other0), found = lifted(references), []
    with torch.inference_mode():
        for start in range(0, len(rows), BLOCK):
            own, own0 = lifted(rows[start : start + BLOCK])
            q = own @ other.T - own0[:, None] * other0
            x, x0 = (own, own0[:, None]) if rows_are_apexes else (other, other0)
            y0 = other0 if rows_are_apexes else own0[:, None]
            norm = x.norm(dim=1)
            norm = norm[:, None] if rows_are_apexes else norm
            below = norm * torch.sqrt((q * q - 1).clamp(min=1e-8)) + 1e-8
            angle = torch.acos(((y0 + x0 * q) / below).clamp(-1 + 1e-8, 1 - 1e-8))
            aper = torch.asin((0.2 / (norm + 1e-8)).clamp(-1 + 1e-8, 1 - 1e-8))
            found.append((angle - aper).mean(dim=1, dtype=torch.float64))
        return torch.cat(found).numpy()


def distance(images: Any, texts: Any) -> Any:
    """Distance of paired rows, float32 (n,)."""
    import numpy as np

    (x, x0), (y, y0) = _lifted(images), _lifted(texts)
    return np.arccosh(np.maximum(x0 * y0 - (x * y).sum(axis=1), 1 + 1e-8))
