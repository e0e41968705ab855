"""DataComp's baselines, one row at a time, transcribed from the statement of their rules.

The statement is that of `baselines.py` and `baselines/apply_filter.py` of DataComp. These are the
references of the parity tests: slow, obvious, and sharing no code with the package. They know no
missing values: the published code stops with an exception at a null caption.

A table is a mapping of columns: uid, text (lists of str), original_width, original_height (int64),
clip_b32_similarity_score, clip_l14_similarity_score (float32). A language is a function from a text
without newlines to its ISO code. Every baseline returns the kept uids, in the order of the rows;
:func:`subset` makes of them the file that the published code writes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

Table = Mapping[str, Any]
Language = Callable[[str], str]
FirstSynset = Callable[[str], int | None]


def subset(uids: Sequence[str]) -> np.ndarray:
    """The subset file: dtype "u8,u8", sorted, repeats kept."""
    pairs = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], "u8,u8")
    pairs.sort()
    return pairs


def no_filter(table: Table) -> list[str]:
    return list(table["uid"])


def basic_filter(table: Table, language: Language) -> list[str]:
    kept = []
    for uid, text, width, height in zip(
        table["uid"],
        table["text"],
        table["original_width"],
        table["original_height"],
        strict=True,
    ):
        english = language(text.replace("\n", " ")) == "en"
        caption = len(text.split()) > 2 and len(text) > 5
        smaller, larger = np.minimum(width, height), np.maximum(width, height)
        with np.errstate(all="ignore"):
            image = smaller >= 200 and larger / smaller <= 3.0
        if english and caption and image:
            kept.append(uid)
    return kept


def caption_filter(text: str, language: Language) -> bool:
    """The caption rule of image_based; not that of basic_filter."""
    english = language(text.replace("\n", " ")) == "en"
    return english and len(fasttext_tokenize(text)) > 1 and len(text) > 5


def fasttext_tokenize(text: str) -> list[bytes]:
    """fastText's tokenizer, byte by byte.

    A token ends at a space, a newline, CR, tab, VT, FF or NUL. A newline that ends a token is put
    back; a newline where no token has begun is the token </s>.
    """
    tokens = []
    token = b""
    stream = list(text.encode("utf-8"))
    position = 0
    while position < len(stream):
        byte = stream[position]
        position += 1
        if byte in b" \n\r\t\v\f\0":
            if token == b"" and byte == ord("\n"):
                tokens.append(b"</s>")
            elif token != b"":
                tokens.append(token)
                token = b""
                if byte == ord("\n"):
                    position -= 1
        else:
            token += bytes([byte])
    if token != b"":
        tokens.append(token)
    return tokens


def clip_threshold(scores: np.ndarray, fraction: float) -> Any:
    """Element int(N * fraction), counted from 0, of the scores in descending order.

    Raises IndexError for fraction = 1.0, as the published code does.
    """
    n = int(len(scores) * fraction)
    return -np.sort(-scores)[n]


def clip_score(
    table: Table, arch: str, *, threshold: float | None = None, fraction: float | None = None
) -> list[str]:
    """Keep score >= threshold: with a fraction, one row more than n, and all ties."""
    scores = table[f"clip_{arch}_similarity_score"]
    if threshold is None:
        assert fraction is not None
        threshold = clip_threshold(scores, fraction)
    kept = scores >= threshold
    return [uid for uid, keep in zip(table["uid"], kept, strict=True) if keep]


def laion2b(table: Table, language: Language) -> list[str]:
    kept = table["clip_b32_similarity_score"] >= 0.28
    return [
        uid
        for uid, text, keep in zip(table["uid"], table["text"], kept, strict=True)
        if keep and language(text.replace("\n", " ")) == "en"
    ]


def text_based(
    table: Table, language: Language, first_synset: FirstSynset, wnids: Sequence[str]
) -> list[str]:
    entities = [int(wnid.strip()[1:]) for wnid in wnids]
    return [
        uid
        for uid, text in zip(table["uid"], table["text"], strict=True)
        if language(text.replace("\n", " ")) == "en" and names_entity(text, first_synset, entities)
    ]


def names_entity(text: str, first_synset: FirstSynset, entities: Container[int]) -> bool:
    for word in text.split():
        offset = first_synset(word)
        if offset is not None and offset in entities:
            return True
    return False


def image_based(
    table: Table,
    language: Language,
    embeddings: np.ndarray,
    centroids: np.ndarray,
    imagenet: np.ndarray,
    *,
    arch: str | None = None,
    threshold: float | None = None,
    fraction: float | None = None,
) -> list[str]:
    """With an arch, image_based_intersect_clip_score: the score first, over the whole pool."""
    targets = {nearest_centroid(row, centroids) for row in imagenet}
    chosen = set(table["uid"])
    if arch is not None:
        chosen = set(clip_score(table, arch, threshold=threshold, fraction=fraction))
    return [
        uid
        for uid, text, row in zip(table["uid"], table["text"], embeddings, strict=True)
        if uid in chosen
        and caption_filter(text, language)
        and nearest_centroid(row, centroids) in targets
    ]


def nearest_centroid(row: np.ndarray, centroids: np.ndarray) -> int:
    """The number of the largest inner product; the first of equal ones."""
    products = [float(np.dot(row.astype(float), centroid.astype(float))) for centroid in centroids]
    return products.index(max(products))


SUFFIXES = {
    "noun": "s: ses:s ves:f xes:x zes:z ches:ch shes:sh men:man ies:y",
    "verb": "s: ies:y es:e es: ed:e ed: ing:e ing:",
    "adj": "er: est: er:e est:e",
    "adv": "",
}


def synsets(
    word: str,
    index: Mapping[str, Mapping[str, Sequence[int]]],
    exceptions: Mapping[str, Mapping[str, Sequence[str]]],
) -> list[int]:
    """Offsets of nltk 3.8.1's wordnet.synsets(word), all of them, in its order.

    index: part of speech -> lemma -> offsets; exceptions: part of speech -> form -> base forms.
    """
    word = word.lower()
    offsets: list[int] = []
    for part in ("noun", "verb", "adj", "adv"):
        for form in base_forms(word, part, index[part], exceptions[part]):
            offsets += index[part][form]
    return offsets


def base_forms(
    word: str, part: str, lemmas: Container[str], exceptions: Mapping[str, Sequence[str]]
) -> list[str]:
    rules = [rule.split(":") for rule in SUFFIXES[part].split()]

    def stripped(forms: Sequence[str]) -> list[str]:
        return [
            form.removesuffix(suffix) + ending
            for form in forms
            for suffix, ending in rules
            if form.endswith(suffix)
        ]

    def known(forms: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(form for form in forms if form in lemmas))

    if word in exceptions:
        return known([word, *exceptions[word]])
    forms = stripped([word])
    found = known([word, *forms])
    while forms and not found:
        forms = stripped(forms)
        found = known(forms)
    return found
