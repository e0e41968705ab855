"""Why CUDA cannot be used, for every cause."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cli.command import call

import tamis
from tamis import _native

H200 = {"ordinal": 0, "capability": 90, "sms": 132, "shared_bytes": 232448}
TURING = {"ordinal": 1, "capability": 75, "sms": 40, "shared_bytes": 65536}


class FakeCuda(SimpleNamespace):
    """What tamis._cuda says of a machine."""

    driver = 13000
    runtime = 13000
    devices: tuple[dict[str, int], ...] = (H200, TURING)
    current = 0

    def architectures(self) -> list[str]:
        return ["sm_80", "compute_80", "sm_90a"]

    def driver_version(self) -> int:
        return self.driver

    def runtime_version(self) -> int:
        return self.runtime

    def device_count(self) -> int:
        return len(self.devices)

    def current_device(self) -> int:
        return self.current

    def device(self, ordinal: int) -> dict[str, int]:
        return dict(self.devices[ordinal])

    def mainloop(self, ordinal: int) -> str:
        return "wgmma" if self.devices[ordinal]["capability"] == 90 else "mma"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`machine(driver=0)` puts a FakeCuda in the place of tamis._cuda."""

    def put(**facts: Any) -> FakeCuda:
        module = FakeCuda(**facts)
        monkeypatch.setattr(_native, "_module", module)
        monkeypatch.setattr(_native, "_refused", {})
        monkeypatch.setattr(_native, "_mainloop_refused", {})
        return module

    return put


@pytest.fixture
def without_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "_imported", lambda: None)


CAUSES = [
    ({"driver": 0}, "no NVIDIA driver is loaded"),
    (
        {"driver": 12080},
        "the NVIDIA driver is too old: it knows CUDA 12.8, tamis needs CUDA 13.0, "
        "driver R580 or newer",
    ),
    (
        {"driver": 11040, "runtime": 12060},
        "the NVIDIA driver is too old: it knows CUDA 11.4, tamis needs CUDA 12.0",
    ),
    ({"devices": ()}, "no GPU is visible"),
]


@pytest.mark.parametrize(("facts", "why"), CAUSES)
def test_a_machine_without_a_usable_gpu_says_why(
    machine: Any, facts: dict[str, Any], why: str
) -> None:
    machine(**facts)
    assert _native.cuda_absent() == _native.cuda_absent(0) == why
    assert tamis.info()["cuda"]["reason"] == why and not tamis.info()["cuda"]["available"]
    with pytest.raises(RuntimeError, match="CUDA cannot be used") as refused:
        _native.cuda()
    assert why in str(refused.value)
    with pytest.raises(RuntimeError, match=r'^device="cuda:0" cannot be used: ') as named:
        _native.ordinal_of("cuda:0")
    assert why in str(named.value) and str(named.value).endswith('; use device="cpu"')


def test_a_build_without_the_module_says_so(without_module: None) -> None:
    why = "this build of tamis has no CUDA module"
    assert _native.cuda_absent() == _native.cuda_absent(3) == why
    facts = tamis.info()["cuda"]
    assert facts == {
        "available": False,
        "reason": why,
        "built": False,
        "architectures": [],
        "driver": None,
        "devices": [],
    }
    assert f"CUDA no: {why}" in " ".join(call("info").out.split())


def test_what_the_driver_refuses_is_a_reason(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("CUDA could not count the devices: it is on fire")

    monkeypatch.setattr(machine(), "device_count", fail, raising=False)
    assert _native.cuda_absent() == "CUDA could not count the devices: it is on fire"


def test_a_driver_of_the_same_major_version_will_do(machine: Any) -> None:
    module = machine(driver=13000, runtime=13020)
    assert _native.cuda_absent() is None
    assert _native.cuda() is module


def test_devices_are_judged_one_by_one(machine: Any) -> None:
    machine()
    assert _native.cuda_absent(0) is None
    assert _native.cuda_absent(1) == "cuda:1 has compute capability 7.5, tamis needs 8.0 or newer"
    assert _native.cuda_absent(2) == "cuda:2 does not exist: 2 GPUs are visible"
    machine(devices=(H200,))
    assert _native.cuda_absent(1) == "cuda:1 does not exist: 1 GPU is visible"


def test_a_refused_device_stays_refused(machine: Any) -> None:
    machine(devices=(H200,))
    why = "the self-check of cuda:0 found a label that differs from the CPU's"
    _native.refuse_cuda(0, why)
    assert _native.cuda_absent(0) == why
    assert _native.cuda_absent() is None
    with pytest.raises(RuntimeError, match="the self-check of cuda:0"):
        _native.ordinal_of("cuda")
    facts = tamis.info()["cuda"]
    assert (facts["available"], facts["reason"]) == (False, why)


@pytest.mark.parametrize(
    ("device", "ordinal"),
    [(None, None), ("auto", None), ("cpu", None), ("cuda", 0), ("cuda:0", 0)],
)
def test_devices_by_name(machine: Any, device: str | None, ordinal: int | None) -> None:
    machine()
    assert _native.ordinal_of(device) == ordinal


def test_cuda_without_a_number_is_the_current_device(machine: Any) -> None:
    machine(devices=(H200, H200 | {"ordinal": 1}), current=1)
    assert _native.ordinal_of("cuda") == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA", "", "cpu:0", 0])
def test_other_words_are_refused(machine: Any, device: Any) -> None:
    machine()
    with pytest.raises(ValueError, match="device must be None") as refused:
        _native.ordinal_of(device)
    assert repr(device) in str(refused.value)


def test_info_names_architectures_driver_and_devices(machine: Any) -> None:
    machine()
    _native.refuse_mainloop(1, "it is too old")
    facts = tamis.info()["cuda"]
    assert (facts["available"], facts["reason"], facts["driver"]) == (True, None, "13.0")
    assert [device["mainloop"] for device in facts["devices"]] == ["wgmma", "mma"]
    assert [device["mainloop_reason"] for device in facts["devices"]] == [None, "it is too old"]
    assert [device["capability"] for device in facts["devices"]] == ["9.0", "7.5"]
    assert facts["devices"][0]["reason"] is None
    assert json.loads(json.dumps(facts)) == facts
    text = " ".join(call("info").out.split())
    assert "built for sm_80, compute_80, sm_90a, driver for CUDA 13.0" in text
    assert "cuda:0, capability 9.0, 132 processors" in text
    assert "cuda:1, capability 7.5, no: cuda:1 has compute capability 7.5" in text
