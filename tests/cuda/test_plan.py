"""The plan of a max cosine: every visible pair in one unit, once, and units of even length."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cuda.library import Library

Int64 = npt.NDArray[np.int64]
EARLIER, PREFIX, ALL = range(3)


class Sizes(NamedTuple):
    block_rows: int = 4
    tile_columns: int = 3
    direct_columns: int = 2
    direct_rows: int = 5
    sms: int = 1


class Case(NamedTuple):
    rows: list[int]  # segment sizes
    columns: list[int] | None  # of another set
    kind: int
    limits: Int64 | None  # for PREFIX

    def offsets(self) -> tuple[Int64, Int64]:
        rows = np.cumsum([0, *self.rows])
        return rows, rows if self.columns is None else np.cumsum([0, *self.columns])

    def visible(self) -> npt.NDArray[np.bool_]:
        """[rows x columns], by the definition of a sight."""
        rows, columns = self.offsets()
        seen = np.zeros((rows[-1], columns[-1]), np.bool_)
        for s, begin in enumerate(rows[:-1]):
            for row in range(begin, rows[s + 1]):
                count = columns[s + 1] - columns[s]
                if self.kind == EARLIER:
                    count = row - begin
                elif self.kind == PREFIX and self.limits is not None:
                    count = self.limits[row]
                seen[row, columns[s] : columns[s] + count] = True
        return seen


class Block(NamedTuple):
    row_begin: int
    segment_row_begin: int
    column_begin: int
    n_columns: int
    first_list: int
    n_rows: int
    n_parts: int
    segment: int


class Plan(NamedTuple):
    blocks: Int64  # [.. x 8], see Block
    units: Int64  # block, part, tile_begin, tile_end
    stretches: Int64  # first_segment, row_begin, row_end
    n_lists: int
    n_tiles: int


def make(library: Library, case: Case, sizes: Sizes, *, host_limits: bool = True) -> Plan:
    rows, columns = case.offsets()
    arguments = (
        *(rows, len(rows) - 1, None if case.columns is None else columns),
        *(case.kind, case.limits if host_limits else None, 0),
        np.array(sizes, np.int64),
    )
    counts = np.zeros(5, np.int64)
    library.call("emulated_plan", *arguments, counts, None, None, None)
    shapes = zip(counts[:3].tolist(), (8, 4, 3), strict=True)
    tables = [np.full(shape, -1, np.int64) for shape in shapes]
    library.call("emulated_plan", *arguments, counts, *tables)
    return Plan(tables[0], tables[1], tables[2], int(counts[3]), int(counts[4]))


def check(library: Library, case: Case, sizes: Sizes, *, host_limits: bool = True) -> Plan:
    plan = make(library, case, sizes, host_limits=host_limits)
    rows, columns = case.offsets()
    visible = case.visible()
    times = np.zeros(visible.shape, np.int64)
    owners = np.zeros(len(visible), np.int64)
    lists = np.zeros(plan.n_lists, np.int64)

    blocks = [Block(*block) for block in plan.blocks.tolist()]
    for block in blocks:
        assert 0 < block.n_rows <= sizes.block_rows
        owners[block.row_begin : block.row_begin + block.n_rows] += 1
        lists[block.first_list : block.first_list + block.n_parts * block.n_rows] += 1
        assert block.segment_row_begin == rows[block.segment]
        assert block.column_begin == columns[block.segment]
        assert rows[block.segment] <= block.row_begin
        assert block.row_begin + block.n_rows <= rows[block.segment + 1]
    n_parts = np.array([block.n_parts for block in blocks], np.int64)
    parts = np.zeros((len(blocks), 1 + n_parts.max(initial=0)), np.int64)
    for number, part, tile_begin, tile_end in plan.units.tolist():
        block = blocks[number]
        assert part < block.n_parts and tile_begin < tile_end
        parts[number, part] += 1
        begin = block.column_begin + tile_begin * sizes.tile_columns
        end = block.column_begin + min(tile_end * sizes.tile_columns, block.n_columns)
        assert begin < end
        times[block.row_begin : block.row_begin + block.n_rows, begin:end] += 1
    for first_segment, row_begin, row_end in plan.stretches:
        assert row_begin < row_end <= row_begin + sizes.direct_rows
        assert rows[first_segment] <= row_begin < rows[first_segment + 1]
        owners[row_begin:row_end] += 1
        seen = visible[row_begin:row_end]
        times[row_begin:row_end] += seen
        if host_limits or case.kind != PREFIX:
            assert seen.sum(axis=1).max() <= sizes.direct_columns

    assert (owners == 1).all(), "every row is in one block or one stretch"
    assert (lists == 1).all(), "every row has a list in every part of its block, its own"
    assert (parts.sum(axis=1) == n_parts).all() and (parts <= 1).all()
    assert times.max(initial=0) <= 1, "no pair is walked twice"
    assert (times[visible] == 1).all(), "every visible pair is walked"

    tiles = -(-plan.blocks[:, 3] // sizes.tile_columns)
    lengths = plan.units[:, 3] - plan.units[:, 2]
    assert plan.n_tiles == tiles.sum() == lengths.sum()
    longest = max(1, -(-plan.n_tiles // (8 * sizes.sms)))
    rank = -np.maximum(lengths, longest // 4)
    order = np.lexsort((plan.units[:, 1], plan.units[:, 0], rank))
    assert (order == np.arange(len(order))).all(), "long ones first, others in row order"
    assert lengths.max(initial=0) <= longest
    assert len(plan.units) <= (tiles > 0).sum() + 8 * sizes.sms
    if case.kind != PREFIX or host_limits:  # nothing that no row of the block sees
        for block in blocks:
            seen = visible[block.row_begin : block.row_begin + block.n_rows, block.column_begin :]
            assert seen.sum(axis=1).max() == block.n_columns
    return plan


def every_case(n: int) -> Iterator[Case]:
    """Every list of up to three segments of up to n rows (and columns), every sight."""
    rng = np.random.default_rng(0)
    for count in range(4):
        for rows in itertools.product(range(n if count < 3 else n // 2), repeat=count):
            other = rng.integers(0, 2 * n, count).tolist()
            yield Case(list(rows), None, EARLIER, None)
            yield Case(list(rows), None, ALL, None)
            yield Case(list(rows), other, ALL, None)
            for columns in (None, other):
                most = np.repeat(list(rows) if columns is None else columns, list(rows))
                yield Case(list(rows), columns, PREFIX, rng.integers(0, most + 1).astype(np.int64))


@pytest.mark.parametrize("sms", [1, 3])
def test_every_small_case(library: Library, sms: int) -> None:
    cases = list(every_case(10))
    assert len(cases) > 1000
    for case in cases:
        check(library, case, Sizes(sms=sms))
        if case.kind == PREFIX:
            check(library, case, Sizes(sms=sms), host_limits=False)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_case(built: Library, data: st.DataObject) -> None:
    sizes = Sizes(*data.draw(st.tuples(*(st.integers(1, most) for most in (9, 9, 6, 20, 9)))))
    rows = data.draw(st.lists(st.integers(0, 60), max_size=8))
    same = data.draw(st.booleans())
    n = len(rows)
    columns = None if same else data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n))
    kind = data.draw(st.sampled_from([EARLIER, PREFIX, ALL] if same else [PREFIX, ALL]))
    most = np.repeat(np.array(columns or rows, np.int64), np.array(rows, np.int64))
    seed = data.draw(st.integers(0, 1000))
    limits = np.random.default_rng(seed).integers(0, most + 1) if kind == PREFIX else None
    check(built, Case(rows, columns, kind, limits), sizes)


def test_a_giant_among_a_thousand_singletons_is_cut_into_even_units(library: Library) -> None:
    sizes = Sizes(block_rows=4, tile_columns=4, direct_columns=2, direct_rows=64, sms=8)
    case = Case([1] * 500 + [700] + [1] * 500, None, EARLIER, None)
    plan = check(library, case, sizes)
    lengths = plan.units[:, 3] - plan.units[:, 2]
    assert lengths.max() <= plan.n_tiles / sizes.sms / 8 + 1
    assert len(plan.stretches) <= 1000 / 64 + 2
    uncut = check(library, Case([40] * 40, None, EARLIER, None), sizes)
    assert (uncut.blocks[:, 6] <= 1).all(), "segments that fit are not cut"
    assert len(uncut.units) == len(uncut.blocks)
    small = make(library, Case([10] * 2000, None, EARLIER, None), sizes)
    assert (np.diff(small.units[:, 0]) > 0).all(), "small segments stay together"


def test_the_triangle_is_half_the_square(library: Library) -> None:
    sizes = Sizes(128, 128, 32, 64, 132)
    triangle = make(library, Case([1024] * 20, None, EARLIER, None), sizes)
    square = make(library, Case([1024] * 20, None, ALL, None), sizes)
    assert triangle.n_tiles == 20 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8)
    assert square.n_tiles == 20 * 64


def test_a_million_rows_plan_within_the_memory_stated(library: Library) -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 1001)
    zipf = rng.permutation(np.maximum(1, 1e6 * weights / weights.sum()).astype(int)).tolist()
    sizes = Sizes(128, 128, 32, 64, 132)
    for rows in (zipf, [1000] * 1000, [8700] * 115, [33] * 30_000, [32] * 30_000, [1] * 10**6):
        plan = make(library, Case(rows, None, EARLIER, None), sizes)
        n_rows = sum(rows)
        assert plan.n_lists <= n_rows + 8 * 132 * 128
        assert len(plan.blocks) <= sum(-(-size // 128) for size in rows if size > 32)
        assert len(plan.stretches) <= n_rows / 64 + len(plan.blocks) + 1
        lengths = plan.units[:, 3] - plan.units[:, 2]
        assert lengths.max(initial=0) <= max(1, -(-plan.n_tiles // (8 * 132)))


@pytest.mark.parametrize("name", ["thousand", "hundred", "zipf", "giant", "giant and singletons"])
def test_no_multiprocessor_idles_long_at_the_end(library: Library, name: str) -> None:
    sms, blocks_per_sm = 132, 2
    rank = np.arange(1, 1001)
    rows = {
        "thousand": [1000] * 1000,
        "hundred": [8700] * 115,
        "zipf": np.random.default_rng(0).permutation(200_000 // rank).tolist(),
        "giant": [20_000],
        "giant and singletons": [1] * 5000 + [20_000] + [1] * 5000,
    }[name]
    plan = make(library, Case(rows, None, EARLIER, None), Sizes(128, 128, 32, 64, sms))
    # Units start in their order, each where a place is free first.
    free = [0] * (sms * blocks_per_sm)
    for length in (plan.units[:, 3] - plan.units[:, 2]).tolist():
        heapq.heapreplace(free, free[0] + length)
    assert max(free) <= 1.15 * plan.n_tiles / len(free)


def test_more_columns_than_can_be_numbered_are_refused(library: Library) -> None:
    for case in (Case([2**31], None, EARLIER, None), Case([1], [2**32], ALL, None)):
        with pytest.raises(RuntimeError, match=r"2\^31 columns"):
            make(library, case, Sizes(128, 128, 32, 64, 132))
