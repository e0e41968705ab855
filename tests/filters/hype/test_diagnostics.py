"""What a summary says of radii, errors and correlations, against NumPy over whole columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.filters.hype.hype_run import CURVATURE, column, reference, scorer
from tests.filters.hype.reference_pools import BAD, N_ROWS, write_pool

from tamis.filters.hype.diagnostics import diagnose
from tamis.filters.hype.reference import Reference
from tamis.filters.hype.space import Space
from tamis.score.job import run_scorer
from tamis.score.scorer import Tables

EDGE = math.asinh(0.2)
BEYOND = np.float32(np.arcsinh(2.0**15))
TERMS = ["image_specificity", "text_specificity", "neg_distance"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("scored")
    points = write_pool(folder / "pool", [31, 1, 28])
    against = reference(*points)
    made = scorer(folder / "pool", folder / "run", against)
    return folder / "run", against, run_scorer(made, folder / "run", rows_per_unit=9)["diagnostics"]


def test_apexes_at_the_clamp(scored: tuple[Path, Reference, dict[str, Any]]) -> None:
    run, against, found = scored
    radius = column(run, "text_radius")
    of_reference = math.sqrt(CURVATURE) * np.linalg.norm(against.txt.astype(np.float64), axis=1)
    inside = [(radius <= EDGE).sum(), (of_reference <= EDGE).sum()]
    assert min(inside) > 0
    assert found["apexes"] == {
        "clamp_radius": EDGE,
        "text": {"rows": N_ROWS - 2, "at_clamp": inside[0]},
        "reference_text": {"rows": 50, "at_clamp": inside[1]},
    }
    assert found["clamped_radii"] == {"image": 0, "text": 0}


def test_radii_and_errors(scored: tuple[Path, Reference, dict[str, Any]]) -> None:
    run, against, found = scored
    radii = dict(found["radii"])
    width = radii.pop("width")
    values = {side: column(run, f"{side}_radius") for side in ("image", "text")}
    for name, rows in (("image", against.img), ("text", against.txt)):
        wide = math.sqrt(CURVATURE) * np.linalg.norm(rows.astype(np.float64), axis=1)
        values[f"reference_{name}"] = wide.astype(np.float32)
    assert radii.keys() == values.keys()
    largest = max(np.nanmax(column) for column in values.values())
    assert 12 * width <= largest < 24 * width
    for name, column_of in values.items():
        known = np.sort(column_of[~np.isnan(column_of)])
        edges = np.arange(len(radii[name]["counts"]) + 1) * width
        assert radii[name]["counts"] == np.histogram(known, edges)[0].tolist()
        assert sum(radii[name]["counts"]) == len(known)
        assert radii[name]["max"] == known[-1]
        assert radii[name]["quantiles"]["0.5"] == known[math.floor(0.5 * (len(known) - 1))]
    for side in ("image", "text"):
        errors = column(run, f"{side}_error")
        told = found["standard_errors"][side]
        assert told["mean"] == pytest.approx(np.nanmean(errors.astype(np.float64)), rel=1e-12)
        assert (told["min"], told["max"]) == (np.nanmin(errors), np.nanmax(errors))


def test_correlations(scored: tuple[Path, Reference, dict[str, Any]]) -> None:
    run, _, found = scored
    values = np.array([column(run, term) for term in TERMS], np.float64)
    values = values[:, ~np.isnan(values).any(axis=0)]
    told = found["correlations"]
    assert told["terms"] == TERMS and told["rows"] == N_ROWS - len(BAD) == values.shape[1]
    assert np.array(told["matrix"]) == pytest.approx(np.corrcoef(values), abs=1e-12)
    assert [told["matrix"][term][term] for term in range(3)] == [1.0, 1.0, 1.0]
    assert 0.05 < abs(told["matrix"][0][2]) < 0.99


def test_the_summary_holds_them(scored: tuple[Path, Reference, dict[str, Any]]) -> None:
    run, _, found = scored
    written = json.loads((run / "scores/hype/summary.json").read_text())
    assert written["diagnostics"] == found
    assert found["warnings"] == []


def test_one_reference_has_no_error(tmp_path: Path) -> None:
    images, texts = write_pool(tmp_path / "pool", [N_ROWS])
    one = np.zeros(1, np.int64)
    space = Space(6, CURVATURE, model="m")
    against = Reference(space, images[:1], texts[:1], one, one, 1, 0, {})
    found = run_scorer(scorer(tmp_path / "pool", tmp_path / "run", against), tmp_path / "run")
    told = found["diagnostics"]["standard_errors"]["image"]
    assert told["mean"] is None and told["quantiles"]["0.5"] is None


def test_one_side_has_fewer_figures(tmp_path: Path) -> None:
    against = reference(*write_pool(tmp_path / "pool", [N_ROWS]))
    found = {
        only: run_scorer(
            scorer(tmp_path / "pool", tmp_path / only, against, only), tmp_path / only
        )["diagnostics"]
        for only in ("image", "text")
    }
    assert found["image"]["apexes"].keys() == {"clamp_radius", "reference_text"}
    assert found["text"]["apexes"].keys() == {"clamp_radius", "text"}
    assert found["image"]["radii"].keys() == {"width", "image", "reference_text"}
    assert found["text"]["radii"].keys() == {"width", "text", "reference_image"}
    assert found["text"]["correlations"] == {
        "terms": ["text_specificity"],
        "rows": N_ROWS - 2,
        "matrix": [[1.0]],
    }


def tables(text_radius: Sequence[float], terms: dict[str, list[float]] | None = None) -> Tables:
    """Two tables of one score's columns."""
    n_rows = len(text_radius)
    columns: dict[str, Any] = {"h_text_radius": np.float32(text_radius)}
    columns |= {"h_text_error": np.zeros(n_rows, np.float32), "reason": pa.nulls(n_rows)}
    columns |= {f"h_{term}": np.float32(values) for term, values in (terms or {}).items()}
    whole = pa.table(columns)

    def read(names: Sequence[str]) -> Iterator[pa.Table]:
        yield whole.select(names).slice(0, 2)
        yield whole.select(names).slice(2)

    return read


def small(model: str | None = "m") -> Reference:
    rows = np.array([[0.1, 0.0], [0.1, 0.1], [2.0, 0.0], [0.0, 0.15]])
    return Reference(Space(2, 1.0, model=model), rows, rows, *[np.arange(4)] * 2, 4, 0, {})


def test_warnings() -> None:
    few = diagnose(tables([0.1, 0.1, 1, 1]), "h", ["text"], [], small(), 0.1)
    assert few["warnings"] == []  # half is not more than half
    many = diagnose(tables([0.1, 0.1, 0.1, 1, np.nan]), "h", ["text"], [], small(), 0.1)
    (told,) = many["warnings"]
    assert told.startswith("75% of the texts are at the aperture clamp, a radius of at most 0.199")
    (told,) = diagnose(tables([11.1, 12, 12, 1]), "h", ["text"], [], small(), 0.1)["warnings"]
    assert told.startswith("75% of the texts lie at the largest radius, 11.09, or beyond")
    (told,) = diagnose(tables([1, 1, 1]), "h", ["text"], [], small(None), 0.1)["warnings"]
    assert told.startswith("the reference does not say which model made it")
    wide = diagnose(tables([0.3, 0.3, 1]), "h", ["text"], [], small(), 0.5)
    assert wide["apexes"]["text"]["at_clamp"] == 2


def test_edges_count_as_inside_and_the_largest_as_clamped() -> None:
    found = diagnose(tables([EDGE, 0, BEYOND, 11.09]), "h", ["text"], [], small(), 0.1)
    assert found["apexes"]["text"] == {"rows": 4, "at_clamp": 2}
    assert found["clamped_radii"] == {"text": 1}
    assert found["radii"]["width"] == 0.5 and len(found["radii"]["text"]["counts"]) == 23


def test_a_constant_term_has_no_correlation() -> None:
    terms = {"a": [1.0, 2, 4], "b": [1.0, 1, 1], "c": [-1.0, -2, -4]}
    found = diagnose(tables([1, 1, 1], terms), "h", [], ["a", "b", "c"], small(), 0.1)
    matrix = found["correlations"]["matrix"]
    assert matrix[1] == [None, None, None] and matrix[0][1] is None
    assert matrix[0][2] == pytest.approx(-1, abs=1e-15) and matrix[0][2] >= -1


def test_nothing_to_tell_of_no_rows() -> None:
    found = diagnose(tables([np.nan] * 3), "h", ["text"], [], small(), 0.1)
    assert found["apexes"]["text"] == {"rows": 0, "at_clamp": 0}
    assert found["radii"]["text"]["counts"] == [] and found["warnings"] == []
