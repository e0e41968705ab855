"""Lets a torchvision that was built for CUDA be imported beside a torch that was not.

Python imports this module at its start where this folder is on PYTHONPATH. Such a torchvision
cannot load its compiled operators and then fails to import, as it registers more on top of them.
Declaring the two that it names is enough; nothing here calls them. It happens just before the
first import of torchvision, so that processes without it start as fast as ever.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
from typing import Any

OPERATORS = ("nms", "qnms")


class Guard:
    """Finds no module; sees that torchvision is asked for."""

    library: Any = None

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision" and self.library is None:
            import torch

            if torch.version.cuda is None and not version("torchvision").endswith("+cpu"):
                self.library = torch.library.Library("torchvision", "FRAGMENT")  # keep it alive
                for operator in OPERATORS:
                    self.library.define(
                        operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                    )
        return None


# The tests import this module too, for processes that were started without the folder.
if not any(type(finder).__name__ == Guard.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, Guard())  # type: ignore[arg-type]
