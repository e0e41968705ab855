"""The training loop: the same bits for any number of threads, and whenever it was interrupted.

Torch computes on one thread of a CPU, whatever the machine has: the sums of its products depend on
how many share them. The order of an epoch comes from counter-based keys, the learning rate from the
number of the step, and a checkpoint holds all the rest.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tamis.errors import RunError
from tamis.filters.hype.adapter import Adapter
from tamis.filters.hype.training.checkpoint import Checkpoint, Tensors
from tamis.filters.hype.training.curves import ValidationPairs, measure
from tamis.filters.hype.training.heads import SIDES, Heads
from tamis.filters.hype.training.options import Options
from tamis.filters.hype.training.split import Index, Rows
from tamis.kernels import sample
from tamis.run.progress import Advance

BETAS = (0.9, 0.98)
_NUMBERS = ("curvature", "logit_scale")


class Loop:
    """A training that can be stopped and continued after any step.

    Args:
        images, texts: float16 (n, d), the canonical rows of all pairs.
        train: int64, the pairs that are learned from, at least a batch.
        validation: the pairs that are measured.
        options: of the training.
        device: "cpu" or "cuda".

    Attributes:
        curves: one record per epoch; that of epoch 0 is measured before the first step.
        best: the adapter that is kept, and the number of its epoch.
    """

    def __init__(
        self,
        images: Rows,
        texts: Rows,
        train: Index,
        validation: ValidationPairs,
        options: Options,
        device: str,
    ) -> None:
        import torch

        self._rows = [torch.from_numpy(rows).to(device) for rows in (images, texts)]
        self._train = train
        self._validation = validation
        self._options = options
        self._heads = Heads({"image": images.shape[1], "text": texts.shape[1]}, options, device)
        self._learned = {
            name: tensor for name, tensor in self._heads.parameters.items() if tensor.requires_grad
        }
        maps = [tensor for name, tensor in self._learned.items() if name.startswith("weight")]
        rest = [tensor for name, tensor in self._learned.items() if not name.startswith("weight")]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": maps, "weight_decay": options.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=options.lr,
            betas=BETAS,
            foreach=False,
        )
        self._batch_size = options.batch_for(len(train))
        self._steps_per_epoch = len(train) // self._batch_size
        self._step = 0
        self._sums = [0.0, 0.0]
        self.curves: list[dict[str, Any]] = []
        self.best: tuple[int, Adapter] | None = None

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self._steps_per_epoch * self._options.epochs

    @property
    def steps_done(self) -> int:
        """By this process and earlier ones."""
        return self._step

    def run(self, advance: Advance, after_step: Callable[[], None]) -> None:
        """Take the steps that are missing.

        Args:
            advance: told of every step.
            after_step: called after every step, when :meth:`checkpoint` may be asked for.

        Raises:
            RunError: the training has diverged.
        """
        with deterministic():
            if not self.curves:
                self._record(0, {})
            while self._step < self.steps:
                epoch, first = divmod(self._step, self._steps_per_epoch)
                for batch in self._batches(epoch)[first:]:
                    self._take(batch)
                    self._step += 1
                    if self._step % self._steps_per_epoch == 0:
                        self._end_epoch(epoch + 1)
                    advance(1)
                    after_step()

    def checkpoint(self) -> Checkpoint:
        """Return where the training stands."""
        tensors = {
            f"parameter.{name}": tensor.detach().cpu().numpy()
            for name, tensor in self._heads.parameters.items()
        }
        for name, tensor in self._learned.items():
            for key, moment in self._optimizer.state[tensor].items():
                tensors[f"optimizer.{name}.{key}"] = moment.detach().cpu().numpy()
        told: dict[str, Any] = {"step": self._step, "sums": self._sums, "curves": self.curves}
        if self.best is not None:
            told["best"], adapter = self.best
            tensors |= {f"best.{name}": value for name, value in _tensors(adapter).items()}
        return Checkpoint(tensors, told)

    def restore(self, content: bytes, place: str) -> None:
        """Go on from the bytes of a checkpoint; `place` is for the sentence of an error.

        Raises:
            RunError: it is not one of this training.
        """
        import torch

        checkpoint = Checkpoint.of(content, self.checkpoint().tensors, place)
        tensors, told = checkpoint.tensors, checkpoint.told
        with torch.no_grad():
            for name, tensor in self._heads.parameters.items():
                tensor.copy_(torch.tensor(tensors[f"parameter.{name}"]))
        for name, tensor in self._learned.items():
            start = f"optimizer.{name}."
            self._optimizer.state[tensor] = {
                key.removeprefix(start): _moment(value, tensor.device)
                for key, value in tensors.items()
                if key.startswith(start)
            }
        self._step, self._sums, self.curves = told["step"], told["sums"], told["curves"]
        if "best" in told:
            self.best = told["best"], _adapter(tensors)

    def _batches(self, epoch: int) -> Index:
        """The pairs of every step of an epoch, (steps, batch)."""
        n, size = len(self._train), self._batch_size
        counters = np.arange(n, dtype=np.int64) + epoch * n
        keys = sample.keys(self._options.seed, sample.EPOCH, counters)
        order = np.argsort(keys, kind="stable")[: self._steps_per_epoch * size]
        return self._train[order].reshape(-1, size)

    def _take(self, pairs: Index) -> None:
        import torch

        device = self._rows[0].device
        chosen = torch.from_numpy(pairs).to(device)
        contrastive, entailment = self._heads.losses(*(rows[chosen] for rows in self._rows))
        loss = contrastive + self._options.entailment_weight * entailment
        values = contrastive.item(), entailment.item()
        if not all(map(math.isfinite, values)):
            raise RunError(
                f"the training has diverged at step {self._step + 1}: its loss is not finite; "
                "lower --lr"
            )
        rate = self._options.rate(self._step, self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._heads.clamp()
        self._sums = [total + value for total, value in zip(self._sums, values, strict=True)]

    def _end_epoch(self, epoch: int) -> None:
        contrastive, entailment = (total / self._steps_per_epoch for total in self._sums)
        self._sums = [0.0, 0.0]
        losses = {
            "train_contrastive_loss": contrastive,
            "train_entailment_loss": entailment,
            "train_loss": contrastive + self._options.entailment_weight * entailment,
        }
        adapter = self._record(epoch, losses)
        kept = None if self.best is None else self.curves[self.best[0]]["loss"]
        if kept is None or self._options.keep == "last" or self.curves[epoch]["loss"] < kept:
            self.best = epoch, adapter

    def _record(self, epoch: int, losses: dict[str, float]) -> Adapter:
        try:
            adapter = self._heads.adapter()
            weight = self._options.entailment_weight
            found = measure(adapter, self._validation, entailment_weight=weight)
        except ValueError as error:
            raise RunError(f"the training has diverged in epoch {epoch}; lower --lr") from error
        self.curves.append({"epoch": epoch, **losses, **found})
        return adapter


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """One thread on a CPU, and of a GPU's algorithms only those that repeat their bits."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads = torch.get_num_threads()
    precision = torch.get_float32_matmul_precision()
    before = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)


def _moment(value: Any, device: Any) -> Any:
    import torch

    tensor = torch.tensor(value)
    return tensor.to(device) if tensor.ndim else tensor  # the counter of steps stays on the CPU


def _tensors(adapter: Adapter) -> Tensors:
    numbers = {name: getattr(adapter, name) for name in _NUMBERS}
    numbers |= {f"scale.{side}": adapter.scales[side] for side in SIDES}
    weights = {f"weight.{side}": adapter.weights[side] for side in SIDES}
    return {name: np.array(value, np.float64) for name, value in numbers.items()} | weights


def _adapter(tensors: Tensors) -> Adapter:
    curvature, logit_scale = (float(tensors[f"best.{name}"]) for name in _NUMBERS)
    return Adapter(
        {side: tensors[f"best.weight.{side}"] for side in SIDES},
        {side: float(tensors[f"best.scale.{side}"]) for side in SIDES},
        curvature,
        logit_scale,
    )
