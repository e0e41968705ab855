"""The first synset of a word is nltk's, on a tiny WordNet in the format of the real files."""

from __future__ import annotations

import zipfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.datacomp import stock
from tests.filters.datacomp.wordnet_files import parsed_exceptions, parsed_index, write_wordnet

from tamis.data.asset import AssetError
from tamis.filters.datacomp.wordnet import WordNet, read_wnids

INDEX, EXCEPTIONS = parsed_index(), parsed_exceptions()
LEMMAS = sorted({lemma for part in INDEX.values() for lemma in part})
ENDINGS = ["", "s", "es", "ses", "ed", "ing", "er", "est", "ss", "sses", "men", "'s", ","]


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    return WordNet(write_wordnet(tmp_path_factory.mktemp("wordnet")))


def expected(word: str) -> int | None:
    found = stock.synsets(word, INDEX, EXCEPTIONS)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("word", "offset"),
    [
        ("dog", 2084071),
        ("DOGS", 2084071),
        ("dog,", None),
        ("hot_dog", 7697537),
        ("leaves", 13152742),  # an exception
        ("geese", None),  # an exception whose base form is not there
        ("running", 1926311),  # a noun in no form, a verb by exception
        ("runs", 558630),  # the noun before the verb
        ("has", 13888783),  # a stripped noun before the verb's exception
        ("catss", 2121620),  # stripped twice
        ("possesses", 8208016),  # stripped three times
        ("glasses", 3438257),
        ("us", 9044862),
        ("big", 1382086),
        ("bigger", 1382086),
        ("oldest", 1638438),
        ("fast", 85811),
        ("faster", None),  # adverbs have no suffixes
        ("best", None),
        ("", None),
        ("s", None),
        ("na\u00efve", None),
    ],
)
def test_known_words(wordnet: WordNet, word: str, offset: int | None) -> None:
    assert wordnet.first_synset(word) == offset == expected(word)


def test_every_lemma_with_every_ending(wordnet: WordNet) -> None:
    words = [lemma + ending for lemma, ending in product(LEMMAS, ENDINGS)]
    found = [wordnet.first_synset(word) for word in words]
    assert found == [expected(word) for word in words]
    assert None in found and len(set(found)) > len(LEMMAS) // 2


@given(st.text(st.sampled_from("aceghimnorstuvxyz"), max_size=8))
def test_any_word(wordnet: WordNet, word: str) -> None:
    assert wordnet.first_synset(word) == expected(word)


def test_a_word_that_would_be_stripped_for_hours_is_not_looked_up(wordnet: WordNet) -> None:
    assert wordnet.first_synset("cat" + "s" * 900) == 2121620
    assert wordnet.first_synset("cat" + "s" * 1_000_000) is None


def test_an_archive_is_read_as_the_folder_is(wordnet: WordNet, tmp_path: Path) -> None:
    path = tmp_path / "wordnet.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(wordnet.path.iterdir()):
            archive.write(file, f"wordnet/{file.name}")
    packed = WordNet(path)
    words = [lemma + ending for lemma, ending in product(LEMMAS, ENDINGS)]
    assert [packed.first_synset(w) for w in words] == [wordnet.first_synset(w) for w in words]
    assert [file.path for file in packed.inputs()] == ["wordnet/wordnet.zip"]
    assert "wordnet/index.noun" in [file.path for file in wordnet.inputs()]


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="expected a WordNet folder or zip archive"):
        WordNet(tmp_path / "none")
    folder = write_wordnet(tmp_path / "wordnet")
    (folder / "verb.exc").unlink()
    with pytest.raises(AssetError, match=r"expected WordNet's verb\.exc at .*no such file"):
        WordNet(folder)
    write_wordnet(folder)
    for line in ["dog n", "dog n 2 0 1 1 02084071", "dog n x 0 1 1 02084071", "dog n 0 0 0 0"]:
        (folder / "index.verb").write_text(f"  1 licence\n{line}\n")
        with pytest.raises(AssetError, match=r"index\.verb line 2: not a line of a WordNet index"):
            WordNet(folder)
    (folder / "index.verb").write_bytes(b"\xff\xfe")
    with pytest.raises(AssetError, match="expected UTF-8 text"):
        WordNet(folder)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wordnet.zip"
    path.write_bytes(b"PK no archive")
    with pytest.raises(AssetError, match="expected a WordNet folder or zip archive"):
        WordNet(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("wordnet/index.noun", "")
    with pytest.raises(AssetError, match=r"expected WordNet's index\.verb in .*: it has none"):
        WordNet(path)


def test_lists_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("n02084071\n\n n02121620 \r\n")
    assert read_wnids(path) == {2084071, 2121620}
    for line in ["02084071", "n2084071", "v02084071", "n0208407x", "n\u0660\u0661\u0662345678"]:
        path.write_text(f"n02084071\n{line}\n", encoding="utf-8")
        with pytest.raises(AssetError, match="line 2: expected n and 8 digits"):
            read_wnids(path)
    path.write_text("\n")
    with pytest.raises(AssetError, match="expected WordNet ids, one on a line, got none"):
        read_wnids(path)
    with pytest.raises(AssetError, match="expected the list of ImageNet-21k's WordNet ids"):
        read_wnids(tmp_path / "none")
