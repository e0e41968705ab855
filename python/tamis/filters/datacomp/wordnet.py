"""The first synset of a word, as nltk 3.8.1 finds it, from WordNet's own files and without nltk.

`nltk.corpus.wordnet.synsets(word)[0]` is found like this:

1. The word is lower-cased.
2. Parts of speech are tried in the order noun, verb, adjective, adverb; the first one that has a
   form of the word wins, so a verb form that can be stripped to some noun is that noun ("has" is
   "ha"). Adjective satellites are adjectives in the index.
3. Forms of a word, for one part of speech: if `noun.exc` and so on list the word, it and the forms
   listed, those that are in the index. Else the word and what the suffix rules make of it in one
   step. Else what they make of it in two steps, three, until one is in the index or no rule fits.
   (Repeated steps are nltk's up to 3.8.1, which DataComp pins; nltk 3.9 and Princeton's own morphy
   stop after one step.)
4. The synset is the first that the index lists for the first form, its most frequent sense.

A word of more than 1,000 characters is not looked up: stripping one letter at a time from it takes
hours, and no lemma has more than 80.

Files: `index.noun`, `index.verb`, `index.adj`, `index.adv` (format: wndb(5WN)) and `noun.exc`,
`verb.exc`, `adj.exc`, `adv.exc`, in one folder, or in a zip archive as nltk downloads it
(`corpora/wordnet` or `corpora/wordnet.zip`). ImageNet's synsets are those of WordNet 3.0.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tamis.data.asset import AssetError, asset
from tamis.run.inputs import InputFile

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
SUFFIXES: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
LONGEST_WORD = 1000
_FILES = [f"index.{part}" for part in PARTS_OF_SPEECH] + [f"{p}.exc" for p in PARTS_OF_SPEECH]
_EXPECTED = "a WordNet folder or zip archive with index.noun, noun.exc and the like"
_MAX_BYTES = 1 << 28
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,  # a compression that Python does not have
    RuntimeError,  # encrypted
)


class WordNet:
    """The index of a WordNet.

    Args:
        path: the folder, or the zip archive.

    Raises:
        AssetError: a file is missing or is not what wndb(5WN) says; names file and line.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        archive = None if self.path.is_dir() else asset(self.path, "wordnet", expected=_EXPECTED)
        self._inputs = [archive] if archive else []
        self._first: dict[str, dict[str, int]] = {}
        self._exceptions: dict[str, dict[str, list[str]]] = {}
        texts = self._read_archive() if archive else self._read_folder()
        for part in PARTS_OF_SPEECH:
            self._first[part] = _parse_index(texts[f"index.{part}"], f"{path}: index.{part}")
            self._exceptions[part] = _parse_exceptions(texts[f"{part}.exc"])

    def inputs(self) -> list[InputFile]:
        """The files that were read."""
        return self._inputs

    def first_synset(self, word: str) -> int | None:
        """Return the offset of the word's first synset, None where it has none.

        The offset alone does not tell the part of speech.
        """
        if len(word) > LONGEST_WORD:
            return None
        word = word.lower()
        for part in PARTS_OF_SPEECH:
            form = self._first_form(word, part)
            if form is not None:
                return self._first[part][form]
        return None

    def _first_form(self, word: str, part: str) -> str | None:
        index = self._first[part]
        listed = self._exceptions[part].get(word)
        if listed is not None:
            return next((form for form in [word, *listed] if form in index), None)
        if word in index:
            return word
        forms = [word]
        while forms:
            forms = _strip(forms, part)
            found = next((form for form in forms if form in index), None)
            if found is not None:
                return found
        return None

    def _read_folder(self) -> dict[str, str]:
        texts = {}
        for name in _FILES:
            file = asset(self.path / name, "wordnet", expected=f"WordNet's {name}")
            self._inputs.append(file)
            texts[name] = _decode((self.path / name).read_bytes(), f"{self.path}: {name}")
        return texts

    def _read_archive(self) -> dict[str, str]:
        texts = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = {PurePosixPath(m.filename).name: m for m in archive.infolist()}
                for name in _FILES:
                    if name not in members:
                        raise AssetError(f"expected WordNet's {name} in {self.path}: it has none")
                    if members[name].file_size > _MAX_BYTES:
                        raise AssetError(f"{self.path}: {name} claims over {_MAX_BYTES} bytes")
                    texts[name] = _decode(archive.read(members[name]), f"{self.path}: {name}")
        except _ARCHIVE_ERRORS as error:
            raise AssetError(f"expected {_EXPECTED} at {self.path}: {error}") from error
        return texts


def read_wnids(path: Path | str) -> frozenset[int]:
    """Read a list of WordNet ids, one on a line ("n02084071"), as noun offsets.

    Raises:
        AssetError: no such file, an empty one, or a line that is no id; names the line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ids.txt"
        >>> _ = path.write_text("n02084071\\nn00000042\\n")
        >>> sorted(read_wnids(path))
        [42, 2084071]
    """
    path = Path(path)
    asset(path, "wnids", expected="the list of ImageNet-21k's WordNet ids")
    offsets = set()
    for number, line in enumerate(_decode(path.read_bytes(), str(path)).splitlines(), 1):
        wnid = line.strip()
        if not wnid:
            continue
        digits = wnid[1:]
        if wnid[0] != "n" or len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
            raise AssetError(
                f"{path}: line {number}: expected n and 8 digits, as in n02084071, "
                f"got {wnid[:40]!r}"
            )
        offsets.add(int(digits))
    if not offsets:
        raise AssetError(f"{path}: expected WordNet ids, one on a line, got none")
    return frozenset(offsets)


def _strip(forms: Iterable[str], part: str) -> list[str]:
    stripped = [
        form[: -len(suffix)] + ending
        for form in forms
        for suffix, ending in SUFFIXES[part]
        if form.endswith(suffix)
    ]
    return list(dict.fromkeys(stripped))  # the order decides, repeats do not


def _parse_index(text: str, name: str) -> dict[str, int]:
    """Return lemma -> offset of its first synset."""
    first = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(" "):  # the licence
            continue
        fields = line.split()
        try:
            lemma, n_synsets, n_pointers = fields[0], int(fields[2]), int(fields[3])
            offsets = fields[6 + n_pointers :]
            if n_synsets < 1 or n_pointers < 0 or len(offsets) != n_synsets:
                raise ValueError
            first[lemma] = int(offsets[0])
        except (ValueError, IndexError):
            raise AssetError(f"{name} line {number}: not a line of a WordNet index") from None
    return first


def _parse_exceptions(text: str) -> dict[str, list[str]]:
    """Return form -> base forms."""
    lines = (line.split() for line in text.splitlines())
    return {fields[0]: fields[1:] for fields in lines if fields}


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise AssetError(f"{name}: expected UTF-8 text") from None
