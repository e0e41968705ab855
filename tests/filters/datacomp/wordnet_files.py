"""A tiny WordNet in the format of the real files, with real and made-up words."""

from __future__ import annotations

from pathlib import Path

LICENSE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
INDEX = {
    "noun": """\
cat n 2 4 @ ~ #m + 2 1 02121620 10153414
daemon n 1 2 @ + 1 0 09000001
dog n 7 5 @ ~ #m #p %p 7 1 02084071 10114209 10023039 09886220 07676602 03901548 02710044
glass n 1 1 @ 1 1 03438257
ha n 1 1 @ 1 0 13888783
hot_dog n 1 1 @ 1 1 07697537
leaf n 1 1 @ 1 1 13152742
man n 1 1 @ 1 1 10287213
posse n 1 1 @ 1 0 08208016
run n 2 2 @ ~ 2 2 00558630 00558629
us n 1 0 1 0 09044862
""",
    "verb": """\
bark v 1 1 @ 1 0 01047745
dog v 1 1 @ 1 0 02001858
have v 1 0 1 1 02203362
hunt v 1 1 @ 1 1 01143838
run v 1 0 1 1 01926311
stop v 1 0 1 1 01859221
twin v 1 1 @ 1 0 02084071
""",
    "adj": """\
big a 1 1 ! 1 1 01382086
old a 1 1 ! 1 1 01638438
red a 1 2 & + 1 1 00381097
""",
    "adv": """\
fast r 1 1 \\ 1 1 00085811
slowly r 1 1 ! 1 1 00161630
""",
}
EXCEPTIONS = {
    "noun": "leaves leaf\nmen man\ngeese goose\n",
    "verb": "ran run\nrunning run\nhas have\n",
    "adj": "bigger big\n",
    "adv": "best well\n",
}


def write_wordnet(folder: Path) -> Path:
    """Write index.* and *.exc."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in INDEX.items():
        (folder / f"index.{part}").write_text(LICENSE * 3 + lines)
        (folder / f"{part}.exc").write_text(EXCEPTIONS[part])
    return folder


def parsed_index() -> dict[str, dict[str, list[int]]]:
    """Part of speech -> lemma -> offsets, read from the text above field by field."""
    index: dict[str, dict[str, list[int]]] = {}
    for part, lines in INDEX.items():
        index[part] = {}
        for line in lines.splitlines():
            lemma, _, n_synsets, *rest = line.split()
            index[part][lemma] = [int(offset) for offset in rest[-int(n_synsets) :]]
    return index


def parsed_exceptions() -> dict[str, dict[str, list[str]]]:
    """Part of speech -> form -> base forms."""
    return {
        part: {line.split()[0]: line.split()[1:] for line in lines.splitlines()}
        for part, lines in EXCEPTIONS.items()
    }
