"""`tamis.max_cosine` on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._array import as_matrix, as_offsets, cuda_ordinal
from tamis.cuda.device import Array, Device, open_device
from tamis.cuda.rows import HostRows, canonical_rows
from tamis.cuda.segments import Comparison, Group, comparisons, giants
from tamis.kernels.canonical import refuse_bad
from tamis.kernels.max_cosine import check_columns

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

ROOM_FOR_ROWS = 0.5
"""The share of the free memory that the rows of one launch may take."""
GROUP_BYTES = 512 << 20
"""Whole segments go together up to this many bytes, so that transfers hide behind kernels."""
_SCRATCH = 512  # bytes of results and work for a row, about


def max_cosine(
    ordinal: int, x: Any, offsets: Any, others: bool, other: Any, other_offsets: Any
) -> tuple[Any, Any]:
    """(cosine float32, index) where x is: arrays of its library, or NumPy arrays."""
    device = open_device(ordinal, x)
    offsets, other_offsets = device.host(offsets), device.host(other_offsets)
    if cuda_ordinal(x) is None:
        return _of_host(device, x, offsets, others, other, other_offsets)
    rows = canonical_rows(device, device.matrix(x))
    bounds, columns, column_bounds = as_offsets(offsets, len(rows), "offsets"), None, None
    if other is not None:
        columns = canonical_rows(device, device.matrix(other, "other"), "other")
        check_columns(columns.shape, rows.shape)
        column_bounds = as_offsets(other_offsets, len(columns), "other_offsets")
    cosine, index = (device.empty((len(rows),), dtype) for dtype in ("float64", "int64"))
    compare_into(
        device, rows, columns, Comparison(bounds, column_bounds, None, others), cosine, index
    )
    return device.given(device.to_float32(cosine)), device.given(index)


def max_cosine64(
    ordinal: int,
    rows: npt.NDArray[np.float16],
    offsets: Int64,
    other: npt.NDArray[np.float16] | None,
    other_offsets: Int64 | None,
    limits: Int64 | None,
    exclude_self: bool,
) -> tuple[Float64, Int64]:
    """`tamis.kernels.exact.max_cosine64` of canonical rows in host memory."""
    device = open_device(ordinal)
    columns = None if other is None else HostRows(device, other, is_canonical=True)
    sight = Comparison(offsets, other_offsets, limits, exclude_self)
    return Streamed(device, HostRows(device, rows, is_canonical=True), columns, sight).run()


def _of_host(
    device: Device, x: Any, offsets: Any, others: bool, other: Any, other_offsets: Any
) -> tuple[npt.NDArray[np.float32], Int64]:
    rows = HostRows(device, as_matrix(x), is_canonical=False)
    bounds, columns, column_bounds = as_offsets(offsets, rows.shape[0], "offsets"), None, None
    if other is not None:
        columns = HostRows(device, as_matrix(other, "other"), is_canonical=False)
        check_columns(columns.shape, rows.shape)
        column_bounds = as_offsets(other_offsets, columns.shape[0], "other_offsets")
        if len(bounds) != len(column_bounds):
            raise ValueError(
                f"other_offsets: expected {len(bounds) - 1} segments, as in offsets, "
                f"got {len(column_bounds) - 1}"
            )
    streamed = Streamed(device, rows, columns, Comparison(bounds, column_bounds, None, others))
    cosine, index = streamed.run()
    refuse_bad("x", rows.bad)
    if columns is not None:
        refuse_bad("other", columns.bad)
    return cosine.astype(np.float32), index


def compare_into(
    device: Device,
    rows: Array,
    columns: Array | None,
    what: Comparison,
    cosine: Array,
    index: Array,
) -> None:
    """Float64 cosines and column numbers of some rows; no columns: the rows themselves."""
    plan = device.module.MaxCosine(*what, rows.shape[1], device=device.ordinal)
    other = None if columns is None else columns.address
    limits = None if what.limits is None else device.upload(what.limits)
    work = device.work(plan.work_bytes(rows.address, other))
    plan.run(
        *(rows.address, other, None if limits is None else limits.address),
        *(cosine.address, index.address, None, work.address, work.n_bytes),
        stream=device.stream,
    )


class Streamed:
    """Host rows compared within segments: whole segments together, a giant one tile by tile."""

    def __init__(
        self, device: Device, rows: HostRows, columns: HostRows | None, what: Comparison
    ) -> None:
        self.device = device
        self.rows = rows
        self.columns = columns
        self.what = what
        self.cosine = np.full(rows.shape[0], -np.inf)
        self.index = np.full(rows.shape[0], -1, dtype=np.int64)
        widths = [side.matrix.dtype.itemsize for side in (rows, columns) if side is not None]
        row_bytes = rows.shape[1] * max(widths)
        library: Any = device.library
        room = ROOM_FOR_ROWS * library.free_bytes()
        self.most = max(2, int(room) // (2 * row_bytes + 4 * rows.shape[1] + _SCRATCH))
        self.group = max(1, GROUP_BYTES // row_bytes)

    def run(self) -> tuple[Float64, Int64]:
        """Cosines, and indices into x or the other rows."""
        groups = list(comparisons(self.what, min(self.group, self.most)))
        self._groups([group for group in groups if group.size <= self.most])
        for group in groups:
            if group.size > self.most:
                self._giant(group.rows, group.columns)
        self.rows.look_at_rest()
        if self.columns is not None:
            self.columns.look_at_rest()
        return self.cosine, self.index

    def _groups(self, groups: list[Group]) -> None:
        """Groups of segments that fit, each a launch, while the next one is on its way."""
        device = self.device
        shape = (self.rows.shape[0],)
        cosine, index = device.empty(shape, "float64"), device.empty(shape, "int64")
        parts = [group.columns for group in groups]
        others = None if self.columns is None else self.columns.blocks(parts, look=True)
        blocks = self.rows.blocks([group.rows for group in groups], look=True)
        for group, (part, rows) in zip(groups, blocks, strict=True):
            columns = None if others is None else next(others)[1]
            if self._is_good(group.rows, group.columns):
                out = (cosine.part(part), index.part(part))
                compare_into(device, rows, columns, group.what, *out)
        found = device.download(cosine), device.download(index)
        for group in groups:
            part = group.rows
            self._improve(part, found[0][part], found[1][part], group.columns.start)

    def _giant(self, rows: slice, columns: slice) -> None:
        """One segment, tile by tile; tiles of columns come in order, so the first keeps a tie."""
        step = max(1, self.most // 2)
        for part, block in self.rows.blocks(_tiles(rows, step), look=True):
            before, after = giants(self.what, part, columns, self.columns is None)
            self._tiles_into(part, block, _tiles(before, step), columns)
            if self.columns is None:
                limits = self._limits_into(part, part, columns)
                alone = Comparison(_one(part), None, limits, self.what.exclude_self)
                self._tile_into(part, block, None, alone, part)
            self._tiles_into(part, block, _tiles(after, step), columns)

    def _tiles_into(self, part: slice, block: Array, tiles: list[slice], columns: slice) -> None:
        source = self.rows if self.columns is None else self.columns
        for tile, there in source.blocks(tiles, look=True):
            limits = self._limits_into(part, tile, columns)
            what = Comparison(_one(part), _one(tile), limits, False)
            self._tile_into(part, block, there, what, tile)

    def _tile_into(
        self, part: slice, block: Array, columns: Array | None, what: Comparison, tile: slice
    ) -> None:
        if not self._is_good(part, tile):
            return
        shape = (len(block),)
        cosine, index = self.device.empty(shape, "float64"), self.device.empty(shape, "int64")
        compare_into(self.device, block, columns, what, cosine, index)
        found = self.device.download(cosine), self.device.download(index)
        self._improve(part, *found, tile.start)

    def _limits_into(self, part: slice, tile: slice, columns: slice) -> Int64 | None:
        """The limits of some rows within a tile of their segment's columns."""
        if self.what.limits is None:
            return None
        limits: Int64 = self.what.limits[part] - (tile.start - columns.start)
        return limits.clip(0, tile.stop - tile.start)

    def _improve(self, part: slice, cosine: Float64, index: Int64, start: int) -> None:
        better = cosine > self.cosine[part]
        self.cosine[part][better] = cosine[better]
        self.index[part][better] = index[better] + start

    def _is_good(self, rows: slice, columns: slice) -> bool:
        """Whether the kernels may see them; if not, the call will be refused."""
        others = self.rows.bad if self.columns is None else self.columns.bad
        return not (self.rows.bad[rows].any() or others[columns].any())


def _tiles(part: slice, step: int) -> list[slice]:
    return [slice(s, min(s + step, part.stop)) for s in range(part.start, part.stop, step)]


def _one(part: slice) -> Int64:
    return np.array([0, part.stop - part.start], dtype=np.int64)
