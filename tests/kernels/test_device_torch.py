"""torch tensors as the kernels see them; tensors in host memory stand in for those on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.cuda.extension import emulated_cuda
from tests.cuda.fake_gpu import fake_gpu

import cases
import tamis
from bits import assert_same_bits
from tamis import _array
from tamis.cuda import assign, batch, device, kmeans, libraries, max_cosine

torch = pytest.importorskip("torch")
from tests.cuda.host_torch import HostTorch, ordinal  # noqa: E402


@pytest.fixture(autouse=True)
def tensors_count_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fake_gpu(emulated_cuda(), late=False):  # host memory is not freed in a stream's order
        monkeypatch.setitem(libraries.LIBRARIES, "torch", HostTorch)
        for module in (_array, assign, batch, device, kmeans, max_cosine):
            monkeypatch.setattr(module, "cuda_ordinal", ordinal)
        yield


def here(found: Any) -> Any:
    if isinstance(found, tuple):
        return tuple(map(here, found))
    return found.numpy() if isinstance(found, torch.Tensor) else found


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_dtype_comes_back_as_tensors(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = torch.tensor(rng.standard_normal((60, 9))).to(getattr(torch, dtype))
    host = x.float().numpy() if dtype == "bfloat16" else x.numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_array, "cuda_ordinal", lambda x: None)
        expected = (
            *(*tamis.assign(host, host[:7]), *tamis.canonical(host), *tamis.max_cosine(host)),
            *vars(tamis.kmeans(host, 5)).values(),
            *vars(tamis.kmeans(host.reshape(2, 30, 9), 5, spherical=False)).values(),
        )
    x.requires_grad_()
    found = (
        *(*tamis.assign(x, x[:7]), *tamis.canonical(x), *tamis.max_cosine(x)),
        *vars(tamis.kmeans(x, 5, max_points_per_centroid=None)).values(),
        *vars(tamis.kmeans(x.reshape(2, 30, 9), 5, spherical=False)).values(),
    )
    assert all(isinstance(part, torch.Tensor) for part in found[:8])
    assert found[0].dtype is torch.int32 and found[3].dtype is torch.bool
    assert_same_bits(here(found), expected)


def test_strided_and_integer_tensors_are_refused() -> None:
    rows = torch.tensor(cases.unit_rows(8, 4))
    with pytest.raises(ValueError, match=r"x: expected C-contiguous rows .* \(16, 2\) bytes"):
        tamis.max_cosine(rows[::2])
    with pytest.raises(TypeError, match="got Tensor of dtype int64"):
        tamis.max_cosine(torch.zeros((3, 4), dtype=torch.int64))
    assert len(tamis.max_cosine(rows[:1].T.contiguous().T[:1])[0]) == 1  # strides of one row


def test_offsets_may_be_tensors() -> None:
    rows = torch.tensor(cases.unit_rows(8, 4))
    offsets = torch.tensor([0, 3, 8])
    assert_same_bits(here(tamis.max_cosine(rows, offsets)), here(tamis.max_cosine(rows, [0, 3, 8])))
