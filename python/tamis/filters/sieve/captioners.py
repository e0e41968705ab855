"""From a word on the command line to a captioner.

| captioner | captions |
|---|---|
| `labels` | names of ImageNet classes; an offline baseline, no captioner |
"""

from __future__ import annotations

from tamis.filters.sieve.captioner import Captioner, GivenCaptions

KINDS = ("labels",)


def open_captioner(spec: str) -> Captioner | GivenCaptions:
    """Load a captioner.

    Args:
        spec: a line of this module's table.

    Raises:
        ValueError: an unknown captioner.
        MissingExtraError: a package is not installed; names the extra that brings it.
    """
    if spec == "labels":
        from tamis.filters.sieve.labels import LabelCaptioner

        return LabelCaptioner()
    raise ValueError(f"expected a captioner {' or '.join(KINDS)}, got {spec!r}")
