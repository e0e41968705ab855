"""Matrices in the registers of a warp: ldmatrix, stmatrix and mma, with the ISA's layouts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import Array, execute, shared_array


def by_lane(element: int) -> tuple[Array, Array]:
    """Row and column of an 8x8 matrix that each lane holds: two neighbours of a row."""
    lane = np.arange(32)
    return lane // 4, lane % 4 * 2 + element


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_are_loaded_by_rows(n: int, transposed: bool) -> None:
    """Rows lie anywhere; lane i says where row i % 8 of matrix i // 8 is."""
    rng = np.random.default_rng(n)
    memory = rng.permutation(64 * 8).astype(np.uint16).reshape(64, 8)
    places = rng.permutation(64)[:32].astype(np.uint32)
    found = np.zeros((32, n), np.uint32)
    registers = ", ".join(f"%r{10 + i}" for i in range(n))
    form = f"x{n}.trans" if transposed else f"x{n}"
    body = f"""
    {shared_array(1024)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r2, %t, 32, %r1;
    mad.wide.u32 %rd1, %t, 32, %rows;
    ld.global.v4.u32 {{%r3, %r4, %r5, %r6}}, [%rd1];
    st.shared.v4.u32 [%r2], {{%r3, %r4, %r5, %r6}};
    ld.global.v4.u32 {{%r3, %r4, %r5, %r6}}, [%rd1+16];
    st.shared.v4.u32 [%r2+16], {{%r3, %r4, %r5, %r6}};
    mad.wide.u32 %rd1, %t, 4, %places;
    ld.global.u32 %r7, [%rd1];
    mad.lo.u32 %r7, %r7, 16, %r1;
    bar.warp.sync -1;
    ldmatrix.sync.aligned.m8n8.{form}.shared.b16 {{{registers}}}, [%r7];
    mad.wide.u32 %rd1, %t, {4 * n}, %found;
    """
    body += "\n".join(f"st.global.u32 [%rd1+{4 * i}], %r{10 + i};" for i in range(n))
    execute(body, found=found, rows=memory, places=places)
    for i in range(n):
        matrix = memory[places[8 * i : 8 * i + 8]]
        matrix = matrix.T if transposed else matrix
        low, high = (matrix[by_lane(element)].astype(np.uint32) for element in (0, 1))
        assert found[:, i].tolist() == (high << 16 | low).tolist()


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_are_stored_by_rows(n: int, transposed: bool) -> None:
    rng = np.random.default_rng(n)
    places = rng.permutation(32).astype(np.uint32)
    given = rng.integers(0, 2**32, (32, n), np.uint32)
    memory = np.zeros((32, 8), np.uint16)
    registers = ", ".join(f"%r{10 + i}" for i in range(n))
    form = f"x{n}.trans" if transposed else f"x{n}"
    body = f"""
    {shared_array(512)}
    mov.u32 %r1, memory;
    mad.lo.u32 %r2, %t, 16, %r1;
    mov.u32 %r3, 0;
    st.shared.v4.u32 [%r2], {{%r3, %r3, %r3, %r3}};
    mad.wide.u32 %rd1, %t, 4, %places;
    ld.global.u32 %r7, [%rd1];
    mad.lo.u32 %r7, %r7, 16, %r1;
    mad.wide.u32 %rd1, %t, {4 * n}, %given;
    {" ".join(f"ld.global.u32 %r{10 + i}, [%rd1+{4 * i}];" for i in range(n))}
    bar.warp.sync -1;
    stmatrix.sync.aligned.m8n8.{form}.shared.b16 [%r7], {{{registers}}};
    bar.warp.sync -1;
    ld.shared.v4.u32 {{%r3, %r4, %r5, %r6}}, [%r2];
    mad.wide.u32 %rd1, %t, 16, %rows;
    st.global.v4.u32 [%rd1], {{%r3, %r4, %r5, %r6}};
    """
    execute(body, rows=memory, places=places, given=given)
    expected = np.zeros((32, 8), np.uint16)
    for i in range(n):
        matrix = np.zeros((8, 8), np.uint16)
        for element in (0, 1):
            matrix[by_lane(element)] = given[:, i] >> 16 * element & 0xFFFF
        expected[places[8 * i : 8 * i + 8]] = matrix.T if transposed else matrix
    assert memory.tolist() == expected.tolist()


@pytest.mark.parametrize(("step", "why"), [(8, "multiple of 16"), (1024, "outside")])
def test_a_row_must_be_aligned_and_inside(step: int, why: str) -> None:
    load = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1];"
    body = f"{shared_array(64)}mov.u32 %r1, memory;\nadd.s32 %r1, %r1, %step;\n{load}"
    execute(body, step=np.uint32(0))
    with pytest.raises(RuntimeError, match=why):
        execute(body, step=np.uint32(step))


def test_lanes_that_have_no_row_may_say_anything() -> None:
    """Of one matrix only eight addresses count."""
    body = f"""
    {shared_array(128)}
    mov.u32 %r1, memory;
    setp.lt.u32 %p, %t, 8;
    selp.u32 %r1, %r1, 3, %p;
    ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%r2}}, [%r1];
    mad.wide.u32 %rd1, %t, 4, %found;
    st.global.u32 [%rd1], %r2;
    """
    found = np.zeros(32, np.uint32)
    execute(body, found=found)
    assert len(set(found.tolist())) == 1


def products(depth: int, kind: str, a: Array, b: Array, c: Array) -> Array:
    """a x b + c by a warp, where a is by rows and b by columns, from the fragments of the ISA."""
    lane = np.arange(32)
    group, thread = lane // 4, lane % 4
    n_left, n_right = depth // 4, depth // 8
    left, right = np.zeros((32, n_left, 2), a.dtype), np.zeros((32, n_right, 2), a.dtype)
    sums, found = np.zeros((32, 4), np.float32), np.zeros((32, 4), np.float32)
    for i in range(n_left):
        for j in range(2):
            left[:, i, j] = a[group + 8 * (i % 2), 2 * thread + j + 8 * (i // 2)]
    for i in range(n_right):
        for j in range(2):
            right[:, i, j] = b[2 * thread + j + 8 * i, group]
    for i in range(4):
        sums[:, i] = c[group + 8 * (i // 2), 2 * thread + i % 2]
    of_a = [f"%r{1 + i}" for i in range(n_left)]
    of_b = [f"%r{8 + i}" for i in range(n_right)]
    of_d = [f"%f{i}" for i in range(4)]
    body = [f"mad.wide.u32 %rd1, %t, {4 * n_left}, %left;"]
    body += [f"ld.global.u32 {one}, [%rd1+{4 * i}];" for i, one in enumerate(of_a)]
    body += [f"mad.wide.u32 %rd1, %t, {4 * n_right}, %right;"]
    body += [f"ld.global.u32 {one}, [%rd1+{4 * i}];" for i, one in enumerate(of_b)]
    body += ["mad.wide.u32 %rd1, %t, 16, %sums;"]
    body += [f"ld.global.f32 {one}, [%rd1+{4 * i}];" for i, one in enumerate(of_d)]
    listed = [f"{{{', '.join(ones)}}}" for ones in (of_d, of_a, of_b, of_d)]
    kinds = f"f32.{kind}.{kind}.f32"
    body += [f"mma.sync.aligned.m16n8k{depth}.row.col.{kinds} {', '.join(listed)};"]
    body += ["mad.wide.u32 %rd1, %t, 16, %found;"]
    body += [f"st.global.f32 [%rd1+{4 * i}], {one};" for i, one in enumerate(of_d)]
    execute("\n".join(body), found=found, left=left, right=right, sums=sums)
    result = np.zeros((16, 8), np.float32)
    for i in range(4):
        result[group + 8 * (i // 2), 2 * thread + i % 2] = found[:, i]
    return result


def encoded(numbers: Array, kind: str) -> Array:
    if kind == "f16":
        return numbers.astype(np.float16).view(np.uint16)
    return (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_product_of_small_integers(kind: str, depth: int) -> None:
    rng = np.random.default_rng(depth)
    a, b = rng.integers(-100, 100, (16, depth)), rng.integers(-100, 100, (depth, 8))
    c = rng.integers(-10000, 10000, (16, 8))
    found = products(depth, kind, encoded(a, kind), encoded(b, kind), c.astype(np.float32))
    assert found.tolist() == (a @ b + c).tolist()


def test_products_of_every_half() -> None:
    """By one, and zeros: the number itself, subnormal ones too."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    finite = np.concatenate([finite, np.zeros(-len(finite) % 16, np.float16)])
    b = np.zeros((16, 8), np.float16)
    b[3] = 1
    for rows in finite.reshape(-1, 16)[::37]:
        a = np.zeros((16, 16), np.float16)
        a[:, 3] = rows
        found = products(16, "f16", a.view(np.uint16), b.view(np.uint16), np.zeros((16, 8)))
        assert found.tolist() == np.repeat(rows.astype(np.float32)[:, None], 8, 1).tolist()


def test_a_sum_is_cut_to_single_precision() -> None:
    """Not rounded: what is beyond its last digit is lost, toward zero for either sign."""
    a, b = np.zeros((16, 16), np.float16), np.zeros((16, 8), np.float16)
    a[:, 0], a[:, 1] = 1, -1
    b[0, :4], b[1, 4:] = 0.75, 0.75
    c = np.zeros((16, 8), np.float32)
    c[:, :4], c[:, 4:] = 2**23 + 2, -(2**23) - 2  # the step is 1 here
    found = products(16, "f16", a.view(np.uint16), b.view(np.uint16), c)
    assert found.tolist() == c.tolist()
    b *= 2  # 1.5: one step, not two
    found = products(16, "f16", a.view(np.uint16), b.view(np.uint16), c)
    assert found.tolist() == (c + np.sign(c)).tolist()


def test_a_product_takes_the_whole_warp() -> None:
    mma = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
    body = f"setp.lt.u32 %p, %t, 31;\n@%p {mma} {{%f0, %f1, %f2, %f3}}, {{%r1, %r2}}, {{%r3}},"
    with pytest.raises(RuntimeError, match="not all 32 lanes"):
        execute(body + " {%f0, %f1, %f2, %f3};")
