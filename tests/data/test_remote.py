"""Pools by URL: what a local copy gives, from memory and from a web server."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from tests.data.pools import unit_rows, write_clip_retrieval, write_datacomp, write_lists
from tests.data.server import serving
from tests.samples.layouts import POOL, json_lines, pairs, write_images, write_parquet

from tamis.data.pool import Pool, open_pool
from tamis.data.remote import RemotePath, name_inside, place_of
from tamis.data.samples import open_samples
from tamis.errors import MissingExtraError, PoolError, RunError
from tamis.run.inputs import fingerprint, input_records
from tamis.run.pool_link import pool_of, remember_pool


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(params=["memory", "web"])
def published(request: pytest.FixtureRequest, memory: fsspec.AbstractFileSystem) -> Iterator:
    """A function from a local folder to the URL of a copy."""
    servers = []

    def publish(folder: Path) -> str:
        if request.param == "memory":
            memory.put(str(folder), "/pool", recursive=True)
            return "memory://pool"
        server = serving(folder)
        servers.append(server)
        return server.__enter__()[0]

    yield publish
    for server in servers:
        server.__exit__(None, None, None)


def rows_of(pool: Pool) -> bytes:
    return b"".join(pool.read_embeddings(unit).tobytes() for unit in pool.units(100))


def fingerprints(pool) -> dict[str, tuple[int, str]]:
    records = input_records(pool.inputs())
    return {path: (record["size"], record["fingerprint"]) for path, record in records.items()}


@pytest.mark.parametrize("inner", ["", "/shards", "/metadata", "/shards/00001.tar"])
def test_sample_pool(published, inner: str) -> None:
    here = open_samples(f"{POOL}{inner}")
    there = pickle.loads(pickle.dumps(open_samples(published(POOL) + inner)))
    assert there.describe() == here.describe()
    assert there.ids().to_list() == here.ids().to_list()
    for unit in here.units(200):
        assert there.read(unit) == here.read(unit)
        names = ["uid", "original_width"]
        assert there.read_columns(names, unit).equals(here.read_columns(names, unit))
    assert fingerprints(there) == fingerprints(here)


def test_images_paths_and_lines(published, tmp_path: Path) -> None:
    rows = pairs(7)
    write_images(tmp_path / "i", rows, texts=True)
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.jsonl").write_bytes(json_lines(rows))
    paths = ["img/0.jpg", "../i/part_0/x.jpg", "/etc/passwd", "http://x.org/a.jpg", "img/1.jpg"]
    write_parquet(tmp_path / "p" / "a.parquet", pa.table({"image_path": paths}))
    (tmp_path / "p" / "img").mkdir()
    (tmp_path / "p" / "img" / "0.jpg").write_bytes(b"image")
    url = published(tmp_path)
    for name in ("i", "l", "p"):
        here, there = open_samples(tmp_path / name), open_samples(f"{url}/{name}/")
        assert there.describe() == here.describe()
        assert fingerprints(there) == fingerprints(here)
        if name != "p":
            assert [there.read(u) for u in there.units(3)] == [here.read(u) for u in here.units(3)]
    outside = {"image": "image path leaves the pool's folder"}
    none = {"image": "image file does not exist"}
    samples = there.read(there.units(9)[0])
    assert samples[0].image == b"image"
    assert [sample.faults for sample in samples] == [{}, outside, outside, outside, none]


def test_embeddings(published, tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    for name in ("2", "10"):
        np.save(tmp_path / "n" / f"{name}.npy", unit_rows(30, seed=int(name)))
    write_datacomp(tmp_path / "d", [5, 7])
    write_datacomp(tmp_path / "z", [5, 7], compressed=True)
    write_clip_retrieval(tmp_path / "c", [3, 4], padded=False)
    (tmp_path / "p").mkdir()
    write_lists(tmp_path / "p" / "a.parquet", unit_rows(40), id=list(range(40)))
    url = published(tmp_path)
    for name, key in (("n", None), ("d", "l14_img"), ("z", "b32_img"), ("c", None), ("p", None)):
        here = open_pool(tmp_path / name, embedding=key)
        there = open_pool(f"{url}/{name}", embedding=key)
        assert there.describe() == here.describe()
        assert rows_of(there) == rows_of(here)
        assert there.ids().to_list() == here.ids().to_list()
        assert fingerprints(there) == fingerprints(here)
    assert open_pool(f"{url}/n/10.npy").n_rows == 30


def test_only_the_rows_asked_for_are_fetched(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((10_000, 64), "f2"))
    with serving(tmp_path) as (url, asked):
        pool = open_pool(f"{url}/a.npy")
        asked.clear()
        pool.read_embeddings(pool.units(100)[50])
    assert [stop - start for _, start, stop in asked] == [100 * 64 * 2]


def test_what_is_not_there(published, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("x")
    url = published(tmp_path)
    for name in ("none", "none.parquet", "none.tar"):
        for read in (open_samples, open_pool):
            with pytest.raises(PoolError, match=rf"the pool {url}/{name} does not exist"):
                read(f"{url}/{name}")
    with pytest.raises(PoolError, match="holds no samples"):
        open_samples(url)
    with pytest.raises(RunError, match=rf"cannot read the input {url}/none: "):
        fingerprint(place_of(f"{url}/none"))


def test_a_server_without_ranges_or_none_at_all(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", unit_rows(3))
    message = r"a.npy: the server serves no parts of files; copy"
    with serving(tmp_path, ranges=False) as (url, _), pytest.raises(PoolError, match=message):
        open_pool(f"{url}/a.npy")
    with pytest.raises(PoolError, match=rf"cannot read {url}/a.npy"):
        open_pool(f"{url}/a.npy")


def test_a_page_that_links_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    np.save(tmp_path / "secret.npy", unit_rows(3))
    np.save(tmp_path / "pool" / "a.npy", unit_rows(3))
    links = ("/secret.npy", "../secret.npy", "a.npy", "a.npy?x=1", "b/c.npy", "http://x.org/d.npy")
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "pool" / "index.html").write_text(page)
    with serving(tmp_path) as (url, _):
        assert [str(file) for file in open_pool(f"{url}/pool").files] == [f"{url}/pool/a.npy"]


def test_a_file_system_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("install a package")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    for scheme, extra in {"s3": "s3", "gs": "gs", "https": "http"}.items():
        with pytest.raises(MissingExtraError, match=rf'install "tamis\[{extra}\]"$'):
            open_samples(f"{scheme}://bucket/pool")
    with pytest.raises(MissingExtraError, match=r"install a package$"):
        open_pool("hdfs://host/pool")


def test_errors_of_a_file_system_name_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(url: str) -> None:
        raise RuntimeError("quota exceeded\nrequest 5")

    monkeypatch.setattr("fsspec.core.url_to_fs", broken)
    with pytest.raises(PoolError, match=r"cannot read gs://bucket/pool: quota exceeded$"):
        open_samples("gs://bucket/pool")


def test_places() -> None:
    assert place_of("a/b") == Path("a/b")
    assert place_of("file:///a/b") == Path("/a/b")
    assert place_of("s3://a/b/") == RemotePath("s3://a/b")
    assert place_of(Path("s3://a/b")) == RemotePath("s3://a/b")
    place = RemotePath("s3://a/b/c.tar.gz")
    assert (place.name, place.stem, place.suffix) == ("c.tar.gz", "c.tar", ".gz")
    assert str(place.parent / "x" / "y") == "s3://a/b/x/y"
    assert str(place.with_suffix(".npz")) == "s3://a/b/c.tar.npz"
    assert name_inside(place, RemotePath("s3://a")) == "b/c.tar.gz"
    with pytest.raises(ValueError, match="is not in"):
        name_inside(place, RemotePath("s3://a/bb"))


def test_a_run_notes_the_url_of_its_pool(tmp_path: Path) -> None:
    for name, pool in {"a": "https://x.org/p", "b": Path("https://x.org/p")}.items():
        remember_pool(tmp_path / name, pool)
        assert pool_of(tmp_path / name) == "https://x.org/p"
