"""Where and how precisely a network runs.

On a CPU a batch is cut into pieces of 8 rows, the last one filled up, or of single rows where there
are fewer than 8: a row has the same bits at every place of a batch, which a piece of odd size would
not give it. Every piece is computed by one thread, many at a time: rows depend on no number of
threads, and it is as fast as threads within an operation. Equal pieces, such as those that only
fill a batch up, are computed once. On a GPU the batch is computed whole, in float16 or bfloat16
where that is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis import _native
from tamis.errors import require

ROWS_PER_PIECE = 8
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Device:
    """A processor and a precision.

    Attributes:
        kind: "cpu" or "cuda".
        precision: "fp32", "bf16" or "fp16"; the latter two by torch's autocast.
    """

    kind: str
    precision: str

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto") -> Device:
        """Return the device that is asked for.

        Args:
            device: "auto" takes a GPU where torch has one.
            precision: "auto" is fp32 on a CPU and fp16 on a GPU, whose rows are nearer to fp32's
                than bf16's are; a row that overflows is quarantined, never stored.

        Raises:
            ValueError: an unknown word, or a combination that does not exist.
            MissingExtraError: torch is not installed.
        """
        for word, known in ((device, DEVICES), (precision, PRECISIONS)):
            if word not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {word}")
        cuda = require("torch", extra="embed").cuda
        if device == "cuda" and not cuda.is_available():
            raise ValueError("torch finds no GPU here; use --device cpu")
        kind = "cuda" if device != "cpu" and cuda.is_available() else "cpu"
        if precision == "auto":
            precision = "fp16" if kind == "cuda" else "fp32"
        if (kind, precision) == ("cpu", "fp16"):
            raise ValueError("fp16 needs a GPU; on a CPU use --precision fp32 or bf16")
        return cls(kind, precision)

    def recipe(self) -> dict[str, Any]:
        """What of the device can change a row."""
        torch = importlib.metadata.version("torch").partition("+")[0]
        return {"device": self.kind, "precision": self.precision, "torch": torch}

    def run(
        self,
        function: Callable[..., Any],
        *arrays: npt.NDArray[Any],
        rows_per_piece: int = ROWS_PER_PIECE,
    ) -> npt.NDArray[Any]:
        """Call a network with a batch.

        Args:
            function: takes tensors on the device, as many as `arrays`, and returns one of as many
                rows; called from several threads on a CPU.
            arrays: of n rows each, n at least 1.
            rows_per_piece: rows that one thread of a CPU computes at a time.

        Returns:
            What the function returned, as float32, or as float64 if it is that.
        """
        import torch

        def compute(*parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
            tensors = [_tensor(part).to(self.kind) for part in parts]
            with torch.inference_mode(), self._precise():
                result = function(*tensors)
            if result.dtype != torch.float64:
                result = result.float()
            rows: npt.NDArray[Any] = result.cpu().numpy()
            return rows

        if self.kind == "cuda":
            return compute(*arrays)
        n_rows = len(arrays[0])
        size = rows_per_piece if n_rows >= rows_per_piece else 1
        pieces = [
            [_filled_up(array[start : start + size], size) for array in arrays]
            for start in range(0, n_rows, size)
        ]
        names = [_name(piece) for piece in pieces]
        distinct = dict(zip(names, pieces, strict=True))
        threads = min(_native.facts()["threads"], len(distinct))
        with _one_thread_each(), ThreadPoolExecutor(threads) as pool:
            results = pool.map(lambda piece: compute(*piece), distinct.values())
            found = dict(zip(distinct, results, strict=True))
        return np.concatenate([found[name] for name in names])[:n_rows]

    @contextlib.contextmanager
    def _precise(self) -> Iterator[None]:
        """The asked precision and no other: no TF32, and no choice of algorithm by a race."""
        import torch

        lower = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with contextlib.ExitStack() as stack:
            if self.kind == "cuda":
                stack.enter_context(
                    torch.backends.cudnn.flags(  # without `enabled` it would be off
                        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                    )
                )
                before = torch.get_float32_matmul_precision()
                stack.callback(torch.set_float32_matmul_precision, before)
                torch.set_float32_matmul_precision("highest")
            if lower is not None:
                stack.enter_context(torch.autocast(self.kind, lower))
            yield


def _filled_up(rows: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = size - len(rows)
    return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)]) if missing else rows


def _name(piece: list[npt.NDArray[Any]]) -> bytes:
    digest = hashlib.blake2b()
    for array in piece:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _tensor(array: npt.NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
