"""What a text of PTX means: names and scopes, labels and guards, threads and their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ptx.library import HEADER, execute, run, written


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_name_of_an_inner_scope_hides_another() -> None:
    found = np.zeros(4, np.uint32)
    body = """
    .reg .b32 %x, %r0x, %temp<3>;
    mov.u32 %x, 1;
    mov.u32 %temp1, 5;
    {
      .reg .b32 %x, %temp<2>;
      mov.u32 %x, 2;
      mov.u32 %temp1, 6;
      {
        .reg .b32 %x;
        mov.u32 %x, 3; st.global.u32 [%found], %x;
      }
      { .reg .b32 %temp; mov.b64 {%temp, %r1}, %found; }
      st.global.u32 [%found+4], %x;
    }
    st.global.u32 [%found+8], %x;
    st.global.u32 [%found+12], %temp1;
    """
    execute(body, found=found, block=1)
    assert found.tolist() == [3, 2, 1, 5]


def test_a_label_belongs_to_its_scope() -> None:
    """Text that is pasted twice has the same labels in scopes of its own."""
    found = np.zeros(2, np.uint32)
    once = """
    {{
      .reg .pred %done;
      mov.u32 %r1, 0;
    AGAIN:
      add.s32 %r1, %r1, 1;
      setp.eq.u32 %done, %r1, {n};
      @%done bra LEAVE;
      bra AGAIN;
    LEAVE:
      st.global.u32 [%found+{at}], %r1;
    }}
    """
    execute(once.format(n=3, at=0) + once.format(n=7, at=4), found=found, block=1)
    assert found.tolist() == [3, 7]


def test_comments_and_lines_and_blanks() -> None:
    """A vector over several lines, a comment in an instruction, several instructions in a line."""
    found = np.zeros(4, np.uint32)
    body = """
    // st.global.u32 [%found], 9;
    mov.u32 %r1, 1; mov.u32 %r2, 2;  /* mov.u32 %r1, 9;
    mov.u32 %r2, 9; */ mov.u32 %r3,3;
    $L_1:  mov.u32 	%r4 , /* four */ 0x4;
    st.global.v4.u32 [ %found + 0 ],
      {%r1, %r2,
       %r3, %r4};
    """
    execute(body, found=found, block=1)
    assert found.tolist() == [1, 2, 3, 4]


def test_numbers_are_written_in_many_ways() -> None:
    found = np.zeros(10, np.uint64)
    numbers = {
        "u64": ["17", "-1", "0x1F", "0xFFFFFFFFFFFFFFFF", "18446744073709551615U", "-0x10", "0"],
        "f32": ["0f3F800000", "0F40490fdb"],
        "f64": ["0d400921FB54442D18"],
    }
    body, at = [], 0
    for kind, texts in numbers.items():
        for text in texts:
            register = {"u64": "%rd1", "f32": "%f1", "f64": "%fd1"}[kind]
            body.append(f"mov.{kind} {register}, {text};")
            body.append(f"st.global.{kind} [%found+{at}], {register};")
            at += 8
    execute("\n".join(body), found=found, block=1)
    floats = [np.float32(1).view(np.uint32), np.float32(np.pi).view(np.uint32)]
    expected = [17, 2**64 - 1, 31, 2**64 - 1, 2**64 - 1, 2**64 - 16, 0]
    expected += [int(bits) for bits in floats] + [int(np.float64(np.pi).view(np.uint64))]
    assert found.tolist() == expected


def test_offsets_go_either_way() -> None:
    found = np.arange(8, dtype=np.uint32)
    body = """
    add.s64 %rd1, %found, 16;
    ld.global.u32 %r1, [%rd1+-8];
    ld.global.u32 %r2, [%rd1+12];
    st.global.u32 [%rd1+-16], %r2;
    st.global.u32 [%rd1], %r1;
    """
    execute(body, found=found, block=1)
    assert found.tolist() == [7, 1, 2, 3, 2, 5, 6, 7]


def test_guards() -> None:
    """Of instructions, branches and returns, for the lanes that they hold in."""
    found = np.zeros(32, np.uint32)
    body = """
    mad.wide.u32 %rd1, %t, 4, %found;
    setp.lt.u32 %p, %t, 8;
    setp.lt.u32 %q, %t, 16;
    mov.u32 %r1, 1;
    @%p mov.u32 %r1, 2;
    @!%p add.s32 %r1, %r1, 10;
    @!%q bra $L_far;
    add.s32 %r1, %r1, 100;
    @%p bra.uni $L_near;
    add.s32 %r1, %r1, 200;
    $L_near:
    setp.eq.u32 %g, %t, 3;
    @%g ret;
    $L_far:
    st.global.u32 [%rd1], %r1;
    """
    execute(body, found=found)
    expected = [102] * 8 + [311] * 8 + [11] * 16
    expected[3] = 0
    assert found.tolist() == expected


def test_threads_know_their_place() -> None:
    names = "tid.x tid.y tid.z ntid.x ntid.y ntid.z ctaid.x ctaid.y ctaid.z nctaid.x nctaid.y"
    names += " nctaid.z laneid warpid"
    specials = names.split()
    grid, block = (3, 2, 2), (5, 4, 3)
    threads = 60
    found = np.zeros((12, threads, len(specials)), np.uint32)
    body = ["mov.u32 %r1, %ctaid.x;", "mov.u32 %r2, %ctaid.y;", "mov.u32 %r3, %ctaid.z;"]
    body += ["mad.lo.u32 %r2, %r3, 2, %r2;", "mad.lo.u32 %r1, %r2, 3, %r1;"]
    body += ["mov.u32 %r2, %tid.y;", "mov.u32 %r3, %tid.z;", "mad.lo.u32 %r2, %r3, 4, %r2;"]
    body += ["mad.lo.u32 %r2, %r2, 5, %t;", f"mad.lo.u32 %r1, %r1, {threads}, %r2;"]
    body += [f"mad.wide.u32 %rd1, %r1, {4 * len(specials)}, %found;"]
    for i, name in enumerate(specials):
        body += [f"mov.u32 %r4, %{name};", f"st.global.u32 [%rd1+{4 * i}], %r4;"]
    execute("\n".join(body), found=found, grid=grid, block=block)
    for number, thread in np.ndindex(12, threads):
        own = [thread % 5, thread // 5 % 4, thread // 20, *block]
        own += [number % 3, number // 3 % 2, number // 6, *grid, thread % 32, thread // 32]
        assert found[number, thread].tolist() == own


def test_masks_of_lanes() -> None:
    found = np.zeros((32, 5), np.uint32)
    body = ["mad.wide.u32 %rd1, %t, 20, %found;"]
    for i, name in enumerate(["lt", "le", "gt", "ge", "eq"]):
        body += [f"mov.u32 %r1, %lanemask_{name};", f"st.global.u32 [%rd1+{4 * i}], %r1;"]
    execute("\n".join(body), found=found)
    for lane in range(32):
        below, own = (1 << lane) - 1, 1 << lane
        above = 2**32 - 1 - below - own
        assert found[lane].tolist() == [below, below + own, above, above + own, own]


def test_time_passes_alike_in_every_run() -> None:
    body = """
    mov.u64 %rd1, %globaltimer;
    bar.sync 0;
    mov.u64 %rd2, %globaltimer;
    mad.wide.u32 %rd3, %t, 16, %found;
    st.global.v2.u64 [%rd3], {%rd1, %rd2};
    """
    found = np.zeros((3, 64, 2), np.uint64)
    for i, seed in enumerate([1, 1, 2]):
        execute(body, found=found[i], block=64, seed=seed)
    assert (found[..., 0] > 0).all() and (found[..., 0] < found[..., 1]).all()
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()


def test_kernels_of_a_text_are_apart() -> None:
    one = ".reg .b32 %r<3>; .reg .b64 %rd<2>; ld.param.u64 %rd1, [p];\n"
    text = HEADER + "".join(
        f".visible .entry {name}(.param .u64 p)\n.maxntid 32, 1, 1\n.minnctapersm 2\n{{\n{one}"
        f"mov.u32 %r{i}, {i};\n$L_1:\nst.global.u32 [%rd1], %r{i};\nret;\n}}\n"
        for name, i in [("first", 1), ("second", 2)]
    )
    found = np.zeros(1, np.uint32)
    for name, expected in [("second", 2), ("first", 1)]:
        run(text, name, found, block=1)
        assert found.tolist() == [expected]
    with pytest.raises(RuntimeError, match="third"):
        run(text, "third", found)
    with pytest.raises(RuntimeError, match="1 parameters"):
        run(text, "first", found, found)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("frobnicate.s32 %r1, %r2;", "not known"),
        ("add.s33 %r1, %r2, %r3;", "not known"),
        ("add.s32 %r1, %nothing, %r3;", "%nothing"),
        ("add.s32 %r1, %r2, %r99;", "%r99"),
        ("ld.global.u32 %r1, [%nobody+4];", "%nobody"),
        ("ld.global.u32 %r1, [%rd1+x];", "offset"),
        ("@%nobody bra $L_1;", "predicate"),
        ("bra $L_nowhere;", "label"),
        ("{ .reg .b32 %inner; } mov.u32 %inner, 1;", "%inner"),
        (".surface thing;", "directive"),
    ],
)
def test_what_is_not_understood_is_said_with_its_line(wrong: str, why: str) -> None:
    text = written(f"$L_1:\nmov.u32 %r1, 1;\n{wrong}\nmov.u32 %r1, 2;")
    with pytest.raises(RuntimeError) as caught:
        run(text, "test")
    instruction = wrong.rpartition("} ")[2]
    assert f"line {line_of(text, wrong)}, {instruction.rstrip(';')}" in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize("end", [1, 20])
def test_a_text_without_its_end_is_refused(end: int) -> None:
    text = written("mov.u32 %r1, 1;").rstrip()
    with pytest.raises(RuntimeError, match="end"):
        run(text[:-end], "test")


def test_a_trap_says_where() -> None:
    found = np.zeros(1, np.uint32)
    body = "setp.eq.u32 %p, %t, {};\nst.global.u32 [%found], 1;\n@%p trap;\nmov.u32 %r1, %ctaid.x;"
    execute(body.format(32), found=found)  # nobody
    with pytest.raises(
        RuntimeError, match=r"kernel test, block 0, 0, 0: line \d+, @%p trap: a trap"
    ):
        execute(body.format(31), found=found)
