"""Optional packages: one sentence where one is missing or broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.errors import MissingExtraError, require


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("import missing_part", 'missing_part is not installed: pip install "tamis[embed]"'),
        (
            "raise ImportError('half of it')",
            r"cannot be imported \(half of it\); often",
        ),
        (
            "raise RuntimeError('operator torchvision::nms does not exist\\nmore')",
            r"\(operator torchvision::nms does not exist\); .* pip install --force-reinstall",
        ),
    ],
)
def test_a_package_that_does_not_import(
    content: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=told.replace("[embed]", r"\[embed\]")):
        require("broken_package", extra="embed")
