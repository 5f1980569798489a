"""Decoded images are in memory that all workers share, and change no sample."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mm.data import (
    FolderOfCutouts,
    FolderOfPhotographs,
    ImageBank,
    ImageCache,
    LayersDataset,
    MixedDataModule,
    Split,
)
from mm.errors import InputError
from mm.synthesis import Geometry, MotionLimits, Synthesizer

FORK = multiprocessing.get_context("fork")


def image(number: int) -> np.ndarray:
    """An image that no other number has, of a size of its own."""
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (20 + number % 7, 30 + number % 5, 3), dtype=np.uint8)


def in_processes(count: int, work: Callable[[int], None]) -> None:
    processes = [FORK.Process(target=work, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_what_workers_put_at_once_is_whole_and_for_all() -> None:
    count = 60
    size = sum(image(number).nbytes for number in range(count))
    cache = ImageCache(limit=5 * size)
    bank = cache.add_bank(count)

    def work(worker: int) -> None:
        for number in np.random.default_rng(worker).permutation(count).tolist():
            known = cache.get(bank, number)
            if known is None:
                cache.put(bank, number, image(number))
            else:
                assert np.array_equal(known, image(number))

    in_processes(4, work)
    for number in range(count):
        np.testing.assert_array_equal(cache.get(bank, number), image(number))
    # Two that decode one image at the same moment may both keep it, but four processes do not keep four.
    assert size <= cache.used < 2 * size


def test_the_limit_is_that_of_all_workers_together() -> None:
    cache = ImageCache(limit=10_000)
    bank = cache.add_bank(80)

    def work(worker: int) -> None:
        for number in range(20 * worker, 20 * (worker + 1)):
            cache.put(bank, number, image(number))

    in_processes(4, work)
    kept = [number for number in range(80) if cache.get(bank, number) is not None]
    assert 10_000 - image(0).nbytes * 2 < cache.used <= 10_000
    assert cache.used == sum(image(number).nbytes for number in kept)
    for number in kept:
        np.testing.assert_array_equal(cache.get(bank, number), image(number))


def test_a_full_cache_says_so_once() -> None:
    cache = ImageCache(limit=image(0).nbytes)
    bank = cache.add_bank(3)
    cache.put(bank, 0, image(0))
    with pytest.warns(UserWarning, match="cache_mb"):
        cache.put(bank, 1, image(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(bank, 2, image(2))


def test_images_are_not_to_be_written_to() -> None:
    cache = ImageCache(limit=10_000)
    bank = cache.add_bank(1)
    cache.put(bank, 0, image(0))
    known = cache.get(bank, 0)
    assert known is not None
    with pytest.raises(ValueError, match="read-only"):
        known[:] = 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_a_copy_that_no_worker_gets_is_empty_and_its_own(copied: Callable[[ImageCache], ImageCache]) -> None:
    cache = ImageCache(limit=10_000)
    bank = cache.add_bank(2)
    cache.put(bank, 0, image(0))
    other = copied(cache)
    assert (other.limit, other.used, other.get(bank, 0)) == (10_000, 0, None)
    other.put(bank, 1, image(1))
    assert cache.get(bank, 1) is None


def test_more_than_any_system_has_is_an_error() -> None:
    with pytest.raises(InputError, match=r"cannot reserve 8796093022208 MiB .* lower data.cache_mb"):
        ImageCache(2**63)


def test_what_workers_decode_is_there_for_this_process(
    photographs: Path, cutouts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ImageCache(10**8)
    sources = FolderOfPhotographs([str(photographs)]), FolderOfCutouts([str(cutouts)])
    banks = (ImageBank(sources[0], None, "photograph", cache), ImageBank(sources[1], None, "cut-out", cache))
    plain = ImageBank(sources[0]), ImageBank(sources[1], None, "cut-out")
    geometry = Geometry(height=32, width=40, margin=5, object_size=24)
    # Many objects a sample, so that few samples see every image.
    dataset, uncached = (
        LayersDataset(*pair, geometry, "sharp", seed=3, length=40) for pair in (banks, plain)
    )
    expected = [uncached[number] for number in range(8)]
    loader = DataLoader(dataset, batch_size=4, num_workers=1, multiprocessing_context="fork")
    batches = list(loader)
    assert cache.used > 0
    for source in sources:
        monkeypatch.setattr(source, "load", lambda index: pytest.fail(f"image {index} decoded again"))
    for number, sample in enumerate(expected):
        here = dataset[number]
        for name, values in sample.items():
            assert torch.equal(values, here[name])
            assert torch.equal(values, batches[number // 4][name][number % 4])


def made(photographs: Path, cutouts: Path, **options: Any) -> MixedDataModule:
    return MixedDataModule(
        photographs=[str(photographs)],
        cutouts=[str(cutouts)],
        synthesizer=Synthesizer(
            height=24, width=32, limits=MotionLimits(max_motion=1.0, max_magnified=4.0), max_objects=15
        ),
        split=Split(0.6, 0.2, 0.2),
        samples_per_epoch=12,
        batch_size=3,
        **options,
    )


def batches_of(photographs: Path, cutouts: Path, **options: Any) -> list[dict[str, torch.Tensor]]:
    module = made(photographs, cutouts, **options)
    module.setup("fit")
    return list(module.train_dataloader()) + list(module.train_dataloader())


def test_training_samples_are_the_same_with_and_without_the_bank(photographs: Path, cutouts: Path) -> None:
    expected = batches_of(photographs, cutouts, num_workers=0, cache_mb=0)
    for options in (
        {"num_workers": 0, "cache_mb": 64},
        {"num_workers": 1, "cache_mb": 64},
        {"num_workers": 2, "cache_mb": 64, "start_method": "fork"},
    ):
        found = batches_of(photographs, cutouts, **options)
        assert len(found) == len(expected) == 8
        for one, other in zip(expected, found, strict=True):
            assert all(torch.equal(values, other[name]) for name, values in one.items())


def test_the_module_counts_what_its_workers_keep(photographs: Path, cutouts: Path) -> None:
    module = made(photographs, cutouts, num_workers=1)
    assert module.cached_bytes == 0
    module.setup("fit")
    loader = iter(module.train_dataloader())
    next(loader)
    # A photograph of the folder is at least 60×67 px.
    assert module.cached_bytes > 60 * 67 * 3
