"""Files that are not read are told or refused by name; none is lost without a word."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.cli.command import call
from tests.samples.layouts import (
    json_lines,
    pairs,
    read_all,
    write_images,
    write_parquet,
    write_tar,
)

from tamis.data.pool import open_pool
from tamis.data.samples import open_samples
from tamis.errors import PoolError
from tamis.run.inputs import input_records

ROWS = pairs(6)


def test_a_link_to_nothing_among_tars(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", ROWS)
    (tmp_path / "1.tar").symlink_to(tmp_path / "unmounted" / "1.tar")
    with pytest.raises(PoolError, match=r"cannot read .*1.tar: No such file or directory"):
        open_samples(tmp_path)


def test_a_link_to_nothing_among_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.eye(2, 4, dtype="f2"))
    (tmp_path / "1.npy").symlink_to(tmp_path / "unmounted.npy")
    with pytest.raises(PoolError, match=r"1.npy: .*No such file"):
        open_pool(tmp_path)


def test_what_is_no_file_among_images(tmp_path: Path) -> None:
    write_images(tmp_path, ROWS, texts=False)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "me.png").symlink_to("me.png")
    pool = open_samples(tmp_path)
    assert pool.n_rows == len(ROWS)
    assert pool.problems() == [
        "3 links to folders or to nothing, pipes or devices are passed over: "
        "gone.png, me.png, pipe.png"
    ]


@pytest.mark.parametrize("name", ["1.TAR", "1.tar.gz", "1.tgz", "1.Parquet", "1.JSONL"])
@pytest.mark.parametrize("folder", ["", "shards"])
def test_endings_that_are_not_read(tmp_path: Path, name: str, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(b"")
    told = f"not read: {name} .endings are in lower case, and tars are not compressed.$"
    if not folder:
        with pytest.raises(PoolError, match=f"holds no samples: .*; {told}"):
            open_samples(tmp_path)
    write_tar(place / "0.tar", ROWS)
    (problem,) = open_samples(tmp_path).problems()
    assert problem == f"not read: {name} (endings are in lower case, and tars are not compressed)"


@pytest.mark.parametrize("name", ["a.tar", "a.jsonl", "a.parquet", "a.npy", "a.npz"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    done = call("inspect", tmp_path / name)
    assert done.code == 2
    assert "is neither a file nor a folder; copy it to a file" in done.told


def test_texts_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.JPG").write_bytes(b"image")
    (tmp_path / "A.TXT").write_text("a kite")
    assert [sample.text for sample in read_all(open_samples(tmp_path))] == ["a kite"]
    (tmp_path / "A.txt").write_text("two kites")
    with pytest.raises(PoolError, match=r"A.(TXT|txt) and A.(TXT|txt) are both the text of A.JPG"):
        open_samples(tmp_path)


def test_an_image_whose_name_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    with open(os.fsencode(tmp_path) + b"/b\xff.png", "wb") as file:
        file.write(b"2")
    pool = open_samples(tmp_path)
    assert [sample.image for sample in read_all(pool)] == [b"1", b"2"]
    assert pool.ids().to_list() == ["a", "b\\xff"] == [sample.key for sample in read_all(pool)]
    assert call("inspect", tmp_path).code == 0


def test_an_image_that_cannot_be_read_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, ROWS, texts=False)
    pool = open_samples(tmp_path)
    bad = pool.locate(2)[0]
    before = input_records(pool.inputs())
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    samples = read_all(pool)
    assert [sample.faults for sample in samples] == [
        {"image": "image file cannot be read"} if row == 2 else {} for row in range(6)
    ]
    records = input_records(pool.inputs())
    assert records == input_records(pool.inputs()) != before


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    names = ["text", "text"]
    write_parquet(tmp_path / "a.parquet", pa.table([pa.array(["a"]), pa.array(["b"])], names))
    done = call("inspect", tmp_path)
    assert (done.code, done.told) == (
        2,
        f"{tmp_path}/a.parquet: two columns are called 'text'; rename one of them",
    )


def test_a_first_line_without_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"error": 404}\n' + json_lines(ROWS))
    pool = open_samples(tmp_path)
    assert [sample.text for sample in read_all(pool)] == [None, *(row.text for row in ROWS)]
    assert pool.columns == ["error", "text", "width", "uid"]


def test_half_surrogate_pairs_in_names_and_deeper_values(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a", "\\ud800": 1, "n": {"k": "\\ud800"}}\n{"text": "b", "n": {"k": "c"}}\n'
    )
    pool = open_samples(tmp_path)
    assert pool.columns == ["text", "n"]
    (unit,) = pool.units(2)
    assert pool.read_columns(["n"], unit).column(0).to_pylist() == [None, {"k": "c"}]
    assert call("inspect", tmp_path).code == 0
