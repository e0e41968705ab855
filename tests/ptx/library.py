"""The machine that executes PTX, compiled, and called by ctypes with texts that tests write."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from tests.cuda.compiled import compiled

Array: TypeAlias = npt.NDArray[Any]
Size: TypeAlias = int | tuple[int, int, int]

SOURCES = Path(__file__).with_name("machine")
SHARED_BASE = 1024  # the address where a block's shared memory begins

HEADER = ".version 8.8\n.target sm_90a\n.address_size 64\n"
REGISTERS = """
.reg .pred %p, %q, %g;
.reg .b16 %rs<8>;
.reg .b32 %t, %r<32>;
.reg .b64 %rd<16>;
.reg .f32 %f<8>;
.reg .f64 %fd<8>;
mov.u32 %t, %tid.x;
"""


def library() -> ctypes.CDLL:
    """Everything but the runtime's own calls. Skips where there is no compiler."""
    found = _built()
    if isinstance(found, BaseException):
        raise found
    return found


@cache
def _built() -> ctypes.CDLL | BaseException:
    """What went wrong, where it did: no test after the first compiles again."""
    sources = [path for path in SOURCES.glob("*.cpp") if not path.stem.startswith("runtime")]
    flags = {source: ["-O2"] for source in sources}
    try:
        native = ctypes.CDLL(str(compiled("libtamis_ptx.so", flags, "-Wl,--no-undefined")))
    except pytest.fail.Exception as failure:
        return failure
    native.ptx_run.restype = ctypes.c_char_p
    return native


def run(
    text: str,
    kernel: str,
    *arguments: Array | np.generic,
    grid: Size = 1,
    block: Size = 32,
    cluster: Size = 1,
    shared: int = 0,
    seed: int = 0,
) -> None:
    """Execute a kernel; RuntimeError with its sentence where that fails.

    An array is passed as the address of its elements, a NumPy scalar as its bytes.
    """
    values = [_bytes_of(argument) for argument in arguments]
    pointers = (ctypes.c_char_p * len(values))(*values)
    sizes = (ctypes.c_uint32 * 9)(*_size(grid), *_size(block), *_size(cluster))
    sentence = library().ptx_run(
        text.encode(),
        kernel.encode(),
        sizes,
        ctypes.c_uint64(shared),
        pointers,
        ctypes.c_int64(len(values)),
        ctypes.c_uint64(seed),
    )
    if sentence is not None:
        raise RuntimeError(sentence.decode())


def written(body: str, *parameters: str, directives: str = "", before: str = "") -> str:
    """A text with one kernel, `test`, around the body.

    Parameters are names of pointers, loaded into registers %name, or declared as name:u32,
    loaded likewise, or name:b8[128], whose bytes only the body uses.
    """
    declared, loaded = [], []
    for parameter in parameters:
        name, _, kind = parameter.partition(":")
        if "[" in kind:
            declared.append(f".param .align 64 .b8 {name}{kind[kind.index('[') :]}")
            continue
        kind = kind or "u64"
        bits = max(16, int(kind[1:]))
        declared.append(f".param .{kind} {name}")
        loaded.append(f".reg .b{bits} %{name};\nld.param.{kind} %{name}, [{name}];")
        if parameter == name:
            loaded.append(f"cvta.to.global.u64 %{name}, %{name};")
    head = f"{HEADER}{before}\n.visible .entry test({', '.join(declared)})\n{directives}"
    prologue = "\n".join(loaded)
    return f"{head}\n{{\n{REGISTERS}{prologue}\n{body}\nret;\n}}\n"


def execute(body: str, **arguments: Any) -> None:
    """Run a body once, its parameters named as these arguments; sizes are passed on to run()."""
    options = {
        name: arguments.pop(name)
        for name in ("grid", "block", "cluster", "shared", "seed", "directives", "before")
        if name in arguments
    }
    texts = {name: options.pop(name) for name in ("directives", "before") if name in options}
    parameters = [_parameter(name, value) for name, value in arguments.items()]
    run(written(body, *parameters, **texts), "test", *arguments.values(), **options)


def each(instructions: str, result: npt.DTypeLike, *columns: Array) -> Array:
    """What the instructions leave in %d for each row, of which %a, %b, %c are the columns."""
    out = np.zeros(len(columns[0]), result)
    names = "abc"[: len(columns)]
    body = [
        ".reg .b64 %at, %row;\nmov.u32 %r30, %ctaid.x;\nmad.lo.s32 %r31, %r30, 128, %t;",
        "cvt.u64.u32 %row, %r31;\nsetp.ge.u32 %g, %r31, %n;\n@%g ret;",
    ]
    for name, column in zip(names, columns, strict=True):
        bits = 8 * column.itemsize
        body.append(
            f".reg .b{max(16, bits)} %{name};\nmad.lo.s64 %at, %row, {bits // 8}, %in_{name};"
        )
        body.append(f"ld.global.b{bits} %{name}, [%at];")
    bits = 8 * out.itemsize
    body.append(
        f".reg .b{max(16, bits)} %d;\n{instructions}\nmad.lo.s64 %at, %row, {bits // 8}, %out;"
    )
    body.append(f"st.global.b{bits} [%at], %d;")
    inputs = {
        f"in_{name}": np.ascontiguousarray(column)
        for name, column in zip(names, columns, strict=True)
    }
    grid = -(-len(out) // 128)
    execute("\n".join(body), out=out, **inputs, n=np.uint32(len(out)), grid=grid, block=128)
    return out


def by_lanes(instructions: str, **inputs: Array) -> Array:
    """%d of each lane of a warp. Inputs are 32 numbers each, or one for all, in %name."""
    found = np.zeros(32, np.uint32)
    body = [".reg .b32 %d;", "mov.u32 %d, 0xdead;"]
    for name in inputs:
        body += [
            f".reg .b32 %{name};",
            f"mad.wide.u32 %rd1, %t, 4, %in_{name};",
            f"ld.global.b32 %{name}, [%rd1];",
        ]
    body += [instructions, "mad.wide.u32 %rd1, %t, 4, %found;", "st.global.b32 [%rd1], %d;"]
    columns = {
        f"in_{name}": np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.uint32), 32))
        for name, value in inputs.items()
    }
    execute("\n".join(body), found=found, **columns)
    return found


def shared_array(size: int, alignment: int = 1024) -> str:
    """The declaration of a name, `memory`, of shared memory."""
    return f".shared .align {alignment} .b8 memory[{size}];\n"


def crossed(*columns: Array) -> list[Array]:
    """Columns of all combinations."""
    return [grid.ravel() for grid in np.meshgrid(*columns, indexing="ij")]


def _size(size: Size) -> Sequence[int]:
    return (size, 1, 1) if isinstance(size, int) else size


def _bytes_of(argument: Array | np.generic) -> bytes:
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return np.uint64(argument.ctypes.data).tobytes()
    return argument.tobytes()


def _parameter(name: str, value: Array | np.generic) -> str:
    if isinstance(value, np.ndarray):
        return name
    kinds = {"u": "u", "i": "s", "f": "f", "V": "b"}
    kind = kinds[value.dtype.kind]
    return f"{name}:b8[{value.nbytes}]" if kind == "b" else f"{name}:{kind}{8 * value.nbytes}"
