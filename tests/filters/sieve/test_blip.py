"""A tiny BLIP through the code path that real weights take."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.conftest import Pin
from tests.filters.sieve.captioners import picture, write_images
from tests.filters.sieve.tiny_blip import SIDE, WORDS, save_tiny_blip

from tamis.data.samples import open_samples
from tamis.filters.sieve.blip import BlipCaptioner
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.caption_transform import ClipTransform, ModelTransform
from tamis.filters.sieve.captioner import NOTHING
from tamis.filters.sieve.captioners import open_captioner
from tamis.filters.sieve.captions import run_captions

N_IMAGES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_blip(tmp_path_factory.mktemp("model") / "tiny")


def opened(folder: Path, **options: Any) -> BlipCaptioner:
    captioner = open_captioner(f"blip:{folder}", device="cpu", **options)
    assert isinstance(captioner, BlipCaptioner)
    return captioner


@pytest.fixture(scope="module")
def captioner(folder: Path) -> BlipCaptioner:
    return opened(folder)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N_IMAGES, SIDE, SIDE, 3), np.uint8)


KEYS = np.arange(N_IMAGES, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@pytest.fixture(scope="module")
def expected(captioner: BlipCaptioner, images: np.ndarray) -> list[list[str]]:
    return captioner.caption(images, KEYS, 4)


def test_captions_are_the_rows_own(
    captioner: BlipCaptioner, images: np.ndarray, expected: list[list[str]], pinned: Pin
) -> None:
    assert [len(row) for row in expected] == [4] * N_IMAGES
    assert len({text for row in expected for text in row}) > 3 * N_IMAGES
    for size in (1, 3, 8):
        for threads in (1, 4):
            with pinned(threads=threads):
                parts = [
                    captioner.caption(images[start : start + size], KEYS[start : start + size], 4)
                    for start in range(0, N_IMAGES, size)
                ]
            assert [row for part in parts for row in part] == expected
    order = np.random.default_rng(1).permutation(N_IMAGES)
    shuffled = captioner.caption(images[order], KEYS[order], 4)
    assert shuffled == [expected[row] for row in order]


def test_seed_key_and_image_all_matter(
    folder: Path, captioner: BlipCaptioner, images: np.ndarray, expected: list[list[str]]
) -> None:
    assert opened(folder, seed=1).caption(images, KEYS, 4) != expected
    assert opened(folder, seed=0).caption(images, KEYS, 4) == expected
    other_keys = captioner.caption(images, KEYS + np.uint64(1), 4)
    other_images = captioner.caption(images[::-1].copy(), KEYS, 4)
    for row in range(N_IMAGES):
        assert other_keys[row] != expected[row]
        if row != N_IMAGES // 2:
            assert other_images[row] != expected[row]


def test_nothing_is_drawn_from_the_global_generator(
    captioner: BlipCaptioner, images: np.ndarray, expected: list[list[str]]
) -> None:
    torch.manual_seed(12345)
    state = torch.random.get_rng_state()
    assert captioner.caption(images[:2], KEYS[:2], 4) == expected[:2]
    assert (torch.random.get_rng_state() == state).all()


def test_best_tokens_are_the_librarys(folder: Path, images: np.ndarray) -> None:
    from transformers import BlipForConditionalGeneration, BlipProcessor

    greedy = opened(folder, top_k=1)
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    processor = BlipProcessor.from_pretrained(folder)
    pixels = greedy.prepare_image.finish(torch.from_numpy(images))
    inputs = processor.tokenizer(["a picture of "] * N_IMAGES, return_tensors="pt")
    tokens = model.generate(
        pixel_values=pixels,
        input_ids=inputs.input_ids,
        do_sample=False,
        num_beams=1,
        min_length=5,
        max_length=20,
        repetition_penalty=1.1,
    )
    texts = [processor.decode(row, skip_special_tokens=True) for row in tokens]
    assert all(text.startswith("a picture of") for text in texts)
    found = greedy.caption(images, KEYS, 2)
    assert [row[0] for row in found] == [text[len("a picture of ") :] for text in texts]
    assert all(row[0] == row[1] for row in found)


def test_lengths_count_the_prompt(folder: Path, images: np.ndarray) -> None:
    lengths: list[int] = []
    captioner = opened(folder, min_tokens=6, max_tokens=9)
    with torch.no_grad():  # captions that would like to end early
        captioner._model.text_decoder.cls.predictions.bias[captioner._ends[0]] += 5
    texts = captioner._texts

    def counting(rows: np.ndarray) -> list[str]:
        assert (rows[:, :4] == captioner._prompt).all() and rows.shape[1] == 9
        lengths.extend([*row, captioner._ends[0]].index(captioner._ends[0]) for row in rows)
        return texts(rows)

    captioner._texts = counting  # type: ignore[method-assign]
    captioner.caption(np.repeat(images, 6, 0), np.arange(6 * N_IMAGES, dtype=np.uint64), 4)
    assert min(lengths) == 6 and max(lengths) == 9


def test_a_prompt_is_cut_off(folder: Path, captioner: BlipCaptioner) -> None:
    def texts(which: BlipCaptioner, words: str) -> list[str]:
        tokens = [*which._prompt, *(WORDS.index(word) for word in words.split()), 3, 0, 0]
        return which._texts(np.array([tokens]))

    assert texts(captioner, "the red dog") == ["the red dog"]
    assert texts(captioner, "") == [""]
    assert texts(captioner, "##s dog") == [" dog"]  # as published: letters are counted
    own = opened(folder, prompt="Two SMALL ")
    assert own._prompt[1:] == [WORDS.index("two"), WORDS.index("small")]
    assert texts(own, "two small cat") == ["two small cat"]
    unknown = opened(folder, prompt="two  zebras ")  # which no tokenizer gives back
    assert texts(unknown, "two cat") == ["two cat"]
    assert opened(folder, prompt="")._prompt == captioner._prompt[:1]


def test_weights_that_are_no_numbers_give_no_captions(folder: Path, tmp_path: Path) -> None:
    captioner = opened(folder)
    with torch.no_grad():
        captioner._model.text_decoder.cls.predictions.bias[3] = torch.nan
    pool = open_samples(write_images(tmp_path / "pool", [picture(0), picture(1)]))
    summary = run_captions(pool, tmp_path / "run", captioner, captions=2, max_bad_fraction=1)
    assert summary["reasons"] == {NOTHING: 2}


def test_a_step_is_the_same_for_any_workers_batches_and_order(
    captioner: BlipCaptioner, tmp_path: Path
) -> None:
    images = [picture(n, (40 + n, 30)) for n in range(7)]
    write_images(tmp_path / "images", images)
    found: list[dict[str, list[str]]] = []
    order = [4, 0, 6, 2, 5, 1, 3]
    for number, (rows, options) in enumerate(
        [
            (range(7), {"batch_size": 1}),
            (range(7), {"batch_size": 3, "workers": 2}),
            (order, {"batch_size": 8, "rows_per_unit": 3}),
        ]
    ):
        table = pa.table(
            {
                "uid": [f"{row:032x}" for row in rows],
                "image_path": [str(tmp_path / "images" / f"{row:04d}.png") for row in rows],
            }
        )
        (tmp_path / "images" / f"{number}").mkdir()
        name = tmp_path / "images" / f"{number}.parquet"
        pq.write_table(table, name)
        pool = open_samples(name)
        out = tmp_path / f"run{number}"
        run_captions(pool, out, captioner, captions=3, **options)
        store = CaptionStore.open(out)
        ids = [str(row) for row in store.ids().to_list()]
        found.append(dict(zip(ids, store.read(0, 7).to_lists(), strict=True)))
    assert found[0] == found[1] == found[2]
    assert len({tuple(row) for row in found[0].values()}) == 7


class WholePasses:
    """A GPU's way of working, on the CPU: every pass whole, in one piece."""

    kind = "cuda"

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, function: Any, *arrays: np.ndarray, rows_per_piece: int) -> np.ndarray:
        self.sizes.append(len(arrays[0]))
        with torch.inference_mode():
            return np.asarray(function(*(torch.from_numpy(array) for array in arrays)))


def test_passes_of_fixed_size(folder: Path, images: np.ndarray, expected: list[list[str]]) -> None:
    captioner = opened(folder)
    device = WholePasses()
    captioner._device = device  # type: ignore[assignment]
    captioner._images_per_pass = 4
    for size in (2, 6):
        parts = [
            captioner.caption(images[start : start + size], KEYS[start : start + size], 4)
            for start in range(0, N_IMAGES, size)
        ]
        assert [row for part in parts for row in part] == expected
    assert set(device.sizes) == {4} and len(device.sizes) == 5 + 3


def test_lower_precision(folder: Path, images: np.ndarray, expected: list[list[str]]) -> None:
    captioner = opened(folder, precision="bf16")
    found = captioner.caption(images, KEYS, 4)
    for row in range(N_IMAGES):
        one = slice(row, row + 1)
        assert captioner.caption(images[one], KEYS[one], 4) == found[one]
    assert found != expected and captioner.recipe()["precision"] == "bf16"
    same = (np.array(found) == np.array(expected)).sum()
    assert same > 2 * N_IMAGES  # of 4 each


@pytest.mark.parametrize("size", [(640, 480), (31, 97), (224, 224), (225, 226), (1, 90)])
def test_the_clip_transform_is_torchvisions(size: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = Image.open(io.BytesIO(picture(3, size)))
    published = Compose([Resize(224, interpolation=InterpolationMode.BICUBIC), CenterCrop(224)])
    transform = ClipTransform(224)
    pixels = transform(image)
    assert (pixels == np.asarray(published(image))).all()
    assert pickle.loads(pickle.dumps(transform)) == transform
    finished = transform.finish(torch.from_numpy(pixels.copy())[None])
    mean, std = (np.array(value) for value in ((0.48145466, 0.4578275, 0.40821073),
                                               (0.26862954, 0.26130258, 0.27577711)))  # fmt: skip
    by_hand = ((pixels / 255 - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(finished[0].numpy(), by_hand, atol=1e-5)


def test_the_models_own_transform(folder: Path, tmp_path: Path) -> None:
    captioner = opened(folder, transform="model")
    transform = captioner.prepare_image
    assert isinstance(transform, ModelTransform)
    image = Image.open(io.BytesIO(picture(1, (50, 20))))
    again = pickle.loads(pickle.dumps(transform))(image)
    assert again.dtype == np.float32 and again.shape == (3, SIDE, SIDE)
    assert (again == transform(image)).all()
    assert captioner.recipe()["transform"] == "model"
    pool = open_samples(write_images(tmp_path / "pool", [picture(n, (50, 20)) for n in range(3)]))
    for workers in (0, 1):
        run_captions(pool, tmp_path / str(workers), captioner, captions=2, workers=workers)
    one, other = (CaptionStore.open(tmp_path / name).read(0, 3) for name in ("0", "1"))
    assert one.to_lists() == other.to_lists()


def test_a_recipe_says_what_matters(folder: Path, captioner: BlipCaptioner) -> None:
    recipe = captioner.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["model"] == "blip:tiny" and recipe["decoding"]["top_p"] == 0.9
    for option in ({"seed": 3}, {"top_p": 0.8}, {"prompt": "a dog "}, {"transform": "model"}):
        assert opened(folder, **option).recipe() != recipe


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "broken")
    return tmp_path / "broken"


def test_models_that_cannot_be_used(broken: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot load no/such.* name a local copy"):
        opened(Path("no/such"))
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    del weights["vision_model.post_layernorm.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack vision_model\.post_layernorm\.weight"):
        opened(broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ValueError, match="expected a model of type blip, it is bert"):
        opened(broken)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"top_p": 0.0}, "top_p above 0"),
        ({"top_k": -1}, "top_k of 0 or more"),
        ({"min_tokens": 21}, "min_tokens <= max_tokens"),
        ({"max_tokens": 4, "min_tokens": 0}, "above the 4 tokens of the prompt"),
        ({"max_tokens": 33}, "max_tokens of at most 32, the model's own limit"),
        ({"repetition_penalty": 0.0}, "repetition penalty above 0"),
        ({"repetition_penalty": float("nan")}, "expected a repetition penalty above 0, got nan"),
        ({"transform": "none"}, "--transform clip or model"),
        ({"images_per_pass": 0}, "images per pass of 1 or more"),
    ],
)
def test_options_out_of_range(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        opened(folder, **options)


@pytest.mark.parametrize("spec", ["blip", "blip:", "labels:", "labels:x", "git:x", "", ":"])
def test_unknown_captioners(spec: str) -> None:
    with pytest.raises(ValueError, match="expected a captioner labels, blip:NAME, "):
        open_captioner(spec)
