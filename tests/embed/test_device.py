"""Where networks run: rows depend on no number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tamis.embed.device import ROWS_PER_PIECE, Device


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 5, stride=2),
        torch.nn.GELU(),
        torch.nn.Flatten(),
        torch.nn.LayerNorm(32 * 14 * 14),
        torch.nn.Linear(32 * 14 * 14, 96),
    ).eval()


def batch(n_rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_rows, 3, 32, 32)).astype("f4")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_any_number_of_threads(
    network: torch.nn.Module, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, rows = Device("cpu", precision), batch(37)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("TAMIS_NUM_THREADS", str(threads))
        torch.set_num_threads(threads)
        found.append(device.run(network, rows))
    torch.set_num_threads(before)
    assert found[0].dtype == np.float32 and found[0].shape == (37, 96)
    assert all((rows == found[0]).all() for rows in found)
    with torch.inference_mode():
        plain = network(torch.from_numpy(rows)).numpy()
    difference = np.abs(plain - found[0]).max()
    assert difference < 1e-4 if precision == "fp32" else 1e-4 < difference < 0.1


def test_rows_do_not_depend_on_their_mates(network: torch.nn.Module) -> None:
    device, rows = Device("cpu", "fp32"), batch(24)
    expected = device.run(network, rows)
    others = batch(24, seed=1)
    others[5] = rows[5]
    assert (device.run(network, others)[5] == expected[5]).all()
    shifted = np.roll(rows, 3 + ROWS_PER_PIECE, axis=0)
    assert (np.roll(device.run(network, shifted), -3 - ROWS_PER_PIECE, axis=0) == expected).all()


@pytest.mark.parametrize("n_rows", [2, 3, 5, 8, 9, 15, 17])
def test_rows_do_not_depend_on_their_place(n_rows: int) -> None:
    """A bad text before a row moves it; the library takes other code paths for odd sizes."""
    torch.manual_seed(0)
    layer, device = torch.nn.Linear(768, 512), Device("cpu", "fp32")
    rows = np.random.default_rng(0).standard_normal((n_rows, 768)).astype("f4")
    expected = device.run(layer, rows)
    assert expected.shape == (n_rows, 512)
    for places in range(1, n_rows):
        found = device.run(layer, np.roll(rows, places, axis=0))
        assert (found == np.roll(expected, places, axis=0)).all()


def test_pieces_that_only_fill_up_are_computed_once(network: torch.nn.Module) -> None:
    rows = batch(64)
    rows[11:] = rows[0]
    calls = []

    def counted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return network(x) * y

    scale = np.ones((64, 1), np.float32)
    found = Device("cpu", "fp32").run(counted, rows, scale)
    assert calls == [8, 8, 8]
    assert (found == Device("cpu", "fp32").run(network, rows)).all()
    calls.clear()
    scale[-1] = 2
    assert (Device("cpu", "fp32").run(counted, rows, scale)[-1] == 2 * found[-1]).all()
    assert calls == [8, 8, 8, 8]


def test_the_state_of_torch_is_left_alone(network: torch.nn.Module) -> None:
    before = torch.get_num_threads()

    def fails(_: torch.Tensor) -> torch.Tensor:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        Device("cpu", "fp32").run(fails, batch(3))
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


def test_a_gpu_computes_as_precisely_as_asked() -> None:
    """What is set around a network on a GPU, which can be seen without one."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Device("cuda", "fp32")._precise():
            cudnn = torch.backends.cudnn
            assert cudnn.enabled and cudnn.deterministic
            assert not cudnn.benchmark and not cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_float64_stays() -> None:
    rows = Device("cpu", "fp32").run(lambda x: x.double() / 3, batch(2))
    assert rows.dtype == np.float64


def test_choice() -> None:
    assert Device.choose("cpu") == Device("cpu", "fp32")
    assert Device.choose("cpu", "bf16").recipe()["precision"] == "bf16"
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        Device.choose("cpu", "fp16")
    with pytest.raises(ValueError, match="expected one of auto, cpu, cuda, got tpu"):
        Device.choose("tpu")
    with pytest.raises(ValueError, match="expected one of auto, fp32, bf16, fp16, got int8"):
        Device.choose("cpu", "int8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu() -> None:
    with pytest.raises(ValueError, match="torch finds no GPU here"):
        Device.choose("cuda")
    assert Device.choose().kind == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 5e-3), ("bf16", 0.1)]
)
def test_gpu(network: torch.nn.Module, precision: str, tolerance: float) -> None:
    device, rows = Device.choose("cuda", precision), batch(24)
    expected = Device("cpu", "fp32").run(network.cpu(), rows)
    network.to("cuda")
    try:
        found = device.run(network, rows)
        others = batch(24, seed=1)
        others[5] = rows[5]
        again, mates = device.run(network, rows), device.run(network, others)
    finally:
        network.cpu()
    assert found.dtype == np.float32 and np.abs(found - expected).max() < tolerance
    assert (again == found).all() and (mates[5] == found[5]).all()
