from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mm.data import FolderOfCutouts, FolderOfPhotographs, ImageBank, ImageCache, LayersDataset
from mm.errors import InputError
from mm.synthesis import SUBSETS, Geometry

GEOMETRY = Geometry(height=32, width=40, margin=5, object_size=24)
NAMES = [subset.name for subset in SUBSETS]


@pytest.fixture(scope="module")
def banks(photographs: Path, cutouts: Path) -> tuple[ImageBank, ImageBank]:
    cache = ImageCache(10**8)
    return (
        ImageBank(FolderOfPhotographs([str(photographs)]), None, "photograph", cache),
        ImageBank(FolderOfCutouts([str(cutouts)]), None, "cut-out", cache),
    )


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_is_what_the_renderer_expects(banks: tuple[ImageBank, ImageBank]) -> None:
    sample = LayersDataset(*banks, GEOMETRY, "sharp")[11]
    assert sample["background"].shape == (3, 42, 50)
    assert sample["objects"].shape == (15, 4, 24, 24)
    assert sample["background"].dtype == sample["objects"].dtype == torch.uint8
    for name in ("seed", "subset", "index"):
        assert sample[name].shape == ()
        assert sample[name].dtype == torch.int64
    assert sample["index"] == 11
    assert 0 <= sample["seed"] < 2**62


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_objects_is_the_recipes(banks: tuple[ImageBank, ImageBank], name: str) -> None:
    dataset = LayersDataset(*banks, GEOMETRY, name)
    index = NAMES.index(name)
    counts = []
    for i in range(25):
        sample = dataset[i]
        assert sample["subset"] == index
        present = sample["objects"].amax(dim=(1, 2, 3)) > 0
        # Absent ones come last, so that the renderer's order of objects is the order of drawing.
        assert torch.equal(present, torch.arange(15) < present.sum())
        counts.append(int(present.sum()))
    low, high = SUBSETS[index].objects
    assert low <= min(counts) <= max(counts) <= high
    if low < high:
        assert len(set(counts)) > 3


def test_subsets_come_by_their_weights(banks: tuple[ImageBank, ImageBank]) -> None:
    weights = {"background": 3.0, "static": 0.0}
    kinds = tuple(replace(kind, weight=weights.get(kind.name, 1.0)) for kind in SUBSETS)
    dataset = LayersDataset(*banks, GEOMETRY, ["background", "static", "sharp"], kinds=kinds)
    drawn = [NAMES[int(dataset[i]["subset"])] for i in range(120)]
    assert set(drawn) == {"background", "sharp"}
    # 90 expected, with a standard deviation of 4.7.
    assert 70 < drawn.count("background") < 110


def test_a_sample_is_a_function_of_seed_and_index(banks: tuple[ImageBank, ImageBank]) -> None:
    dataset, again = (LayersDataset(*banks, GEOMETRY, seed=9) for _ in range(2))
    forwards = [dataset[i] for i in range(12)]
    backwards = [again[i] for i in reversed(range(12))][::-1]
    assert all(equal(one, other) for one, other in zip(forwards, backwards, strict=True))
    copied = pickle.loads(pickle.dumps(dataset))
    assert equal(copied[5], forwards[5])
    other = LayersDataset(*banks, GEOMETRY, seed=10)[5]
    assert other["seed"] != forwards[5]["seed"]
    assert not torch.equal(other["background"], forwards[5]["background"])


def test_global_generators_play_no_part(banks: tuple[ImageBank, ImageBank]) -> None:
    import random

    dataset = LayersDataset(*banks, GEOMETRY, "sharp")
    before = dataset[3]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[2], torch.get_rng_state()  # noqa: NPY002
    assert equal(dataset[3], before)
    assert random.getstate() == states[0]
    assert np.random.get_state()[2] == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(("workers", "method"), [(1, "fork"), (2, "fork"), (1, "spawn")])
def test_workers_change_nothing(banks: tuple[ImageBank, ImageBank], workers: int, method: str) -> None:
    dataset = LayersDataset(*banks, GEOMETRY, seed=3, length=9)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=method)
    batches = list(loader)
    together = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    for i in range(9):
        assert equal({name: values[i] for name, values in together.items()}, dataset[i])


def test_bad_requests_are_errors(banks: tuple[ImageBank, ImageBank]) -> None:
    with pytest.raises(InputError, match=r"no subset is called 'shrap'; did you mean 'sharp'.*known: sharp"):
        LayersDataset(*banks, GEOMETRY, "shrap")
    with pytest.raises(InputError, match="weight above 0"):
        LayersDataset(*banks, GEOMETRY, kinds=(replace(SUBSETS[0], weight=0),))
    with pytest.raises(InputError, match=r"weight must be .* at least 0, got -1"):
        replace(SUBSETS[0], weight=-1)
    with pytest.raises(InputError, match="up to 15 objects, the geometry has room for 3"):
        LayersDataset(*banks, Geometry(32, 32, 4, 16, max_objects=3), "sharp")
    with pytest.raises(IndexError, match="numbered from 0"):
        LayersDataset(*banks, GEOMETRY, "sharp")[-1]
