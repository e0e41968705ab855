"""The check of the CUDA module's machine code."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def check_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_check", ROOT / "tools/cuda_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = check_module()
LISTING = """
Fatbin elf code:
================
arch = {arch}
code version = [1,8]

	code for {arch}
		Function : _ZN5tamis4cuda11find_by_mmaENS_8HalfRowsE
	.headerflags	@"EF_CUDA_TEXMODE_UNIFIED EF_CUDA_64BIT_ADDRESS"
        /*0000*/                   MOV R1, c[0x0][0x28] ;          /* 0x00000a0000017a02 */
                                                                   /* 0x000fc40000000f00 */
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R2], [R4.64] ; /* 0x0000000004027fae */
        /*0020*/                   LDSM.16.M88.4 R8, [R2] ;        /* 0x000000000208783b */
        /*0030*/                   HMMA.16816.F32 R4, R8, R12, R4 ;/* 0x0000000c0804723c */
        /*0040*/                   EXIT ;                          /* 0x000000000000794d */
		..........
		Function : _ZN5tamis4cuda12_GLOBAL__N_111look_by_mmaILi1EEEvNS0_6SearchE
        /*0000*/                   LDGSTS.E [R2], [R4.64] ;        /* 0x0000000004027fae */
        /*0010*/              @UP1 LDSM.16.M88.4 R8, [R2] ;        /* 0x000000000208783b */
        /*0020*/                   HMMA.16816.F32 R4, R8, R12, R4 ;/* 0x0000000c0804723c */
		Function : _ZN5tamis4cuda9overlooksEv
        /*0000*/               @P3 STL.128 [R1], R12 ;             /* 0x0000000c01007387 */
"""
WARPGROUPS = """
		Function : _ZN5tamis4cuda12_GLOBAL__N_113find_by_wgmmaILb1EEEv14CUtensorMap_stS3_i
        /*0000*/                   UTMALDG.2D.MULTICAST [UR8], [UR4], UR6 ; /* 0x00000008040073b4 */
        /*0010*/                   WARPGROUP.ARRIVE ;              /* 0x00000000000079c5 */
        /*0020*/                   HGMMA.64x256x16.F32 R24, gdesc[UR4], R24, UP0 ; /* 0x03e0 */
        /*0030*/                   HGMMA.64x256x16.F32 R24, gdesc[UR8], R24, gsb0 ; /* 0x03e0 */
        /*0040*/                   WARPGROUP.DEPBAR.LE gsb0, 0x1 ; /* 0x00008000000079c5 */
		Function : _ZN5tamis4cuda12_GLOBAL__N_113look_by_wgmmaILi1EEEv14CUtensorMap_stS3_fi
        /*0000*/                   UTMALDG.2D [UR8], [UR4] ;       /* 0x00000008040075b4 */
        /*0010*/                   HGMMA.64x256x16.F32 R24, gdesc[UR4], R24, gsb0 ; /* 0x03e0 */
"""
USAGE = """
arch = {arch}
Resource usage:
 Common:
  GLOBAL:0
 Function _ZN5tamis4cuda11find_by_mmaENS_8HalfRowsE:
  REG:128 STACK:{stack} SHARED:0 LOCAL:0 CONSTANT[0]:364 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _ZN5tamis4cuda9overlooksEv:
  REG:32 STACK:64 SHARED:0 LOCAL:0 CONSTANT[0]:364 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def both(text: str, of_sm_90a: str = "", **values: Any) -> list[str]:
    parts = [text.format(arch=arch, **values) for arch in ("sm_80", "sm_90a")]
    return ("".join(parts) + of_sm_90a).splitlines()


def test_the_check_reads_instructions_and_stacks() -> None:
    code = check.instructions(both(LISTING, WARPGROUPS))
    kernel = check.Kernel("sm_90a", "_ZN5tamis4cuda11find_by_mmaENS_8HalfRowsE")
    assert code[kernel] == Counter(MOV=1, LDGSTS=1, LDSM=1, HMMA=1, EXIT=1)
    assert len(code) == 8
    assert check.stacks(both(USAGE, stack=24))[kernel] == 24


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_Z4lookPf", "look"),
        ("_ZN5tamis4cuda12_GLOBAL__N_14lookILi1EEEvNS0_6SearchE", "look"),
        ("_ZN5tamis4cuda45_GLOBAL__N__17150a11_12_canonical_cu_0b09bd244lookIdEEv", "look"),
        ("main", ""),
    ],
)
def test_the_check_reads_mangled_names(mangled: str, name: str) -> None:
    assert check.name_of(check.Kernel("sm_80", mangled)) == name


def test_the_check_accepts_what_is_right() -> None:
    code, stack = check.instructions(both(LISTING, WARPGROUPS)), check.stacks(both(USAGE, stack=0))
    assert check.faults(code, stack, ["sm_80"]) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("HMMA", "FFMA", "has no HMMA for sm_90a"),
        ("LDSM", "LDS", "has no LDSM for sm_80"),
        ("LDGSTS", "LDG", "has no LDGSTS for sm_80"),
        ("11find_by_mma", "12found_by_mma", "sm_80 has no kernel find_by_mma"),
        ("11look_by_mma", "13looked_by_mma", "sm_90a has no kernel look_by_mma"),
        ("MOV R1", "STL R1", "has 1 local loads and stores"),
        ("MOV R1", "LDL.64 R1", "has 1 local loads and stores"),
    ],
)
def test_the_check_finds_what_is_wrong(old: str, new: str, told: str) -> None:
    code = check.instructions(both(LISTING.replace(old, new), WARPGROUPS))
    stack = check.stacks(both(USAGE, stack=0))
    assert any(told in fault for fault in check.faults(code, stack, ["sm_80"]))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("HGMMA", "HMMA", "find_by_wgmma has no HGMMA for sm_90a"),
        ("UTMALDG", "LDG", "look_by_wgmma has no UTMALDG for sm_90a"),
        ("13find_by_wgmma", "12find_by_wmma", "sm_90a has no kernel find_by_wgmma"),
        ("WARPGROUP.ARRIVE", "STL.64 [R1], R2", "has 1 local loads and stores"),
        ("HGMMA.64x256x16.F32 R24, gdesc[UR8]", "WARPGROUP.ARRIVE", "waits 3 times for 1 products"),
    ],
)
def test_the_check_finds_what_is_wrong_with_warpgroups(old: str, new: str, told: str) -> None:
    code = check.instructions(both(LISTING, WARPGROUPS.replace(old, new)))
    stack = check.stacks(both(USAGE, stack=0))
    assert any(told in fault for fault in check.faults(code, stack, ["sm_80"]))


def test_the_check_finds_a_stack_and_missing_ptx() -> None:
    code, stack = check.instructions(both(LISTING, WARPGROUPS)), check.stacks(both(USAGE, stack=8))
    said = check.faults(code, stack, [])
    assert said[0] == "there is no PTX for sm_80"
    assert [re.sub(":.*", "", fault) for fault in said[1:]] == [
        f"a matrix kernel for {arch} keeps 8 bytes of stack and has 0 local loads and stores"
        for arch in ("sm_80", "sm_90a")
    ]
