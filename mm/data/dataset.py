"""Layers of one training sample: a background, some objects, and the seed of all that the device does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mm.data.augmentation import Augmentation, LayerAugmenter
from mm.data.bank import ImageBank
from mm.errors import InputError, did_you_mean
from mm.synthesis import SUBSETS, Geometry, SubsetConfig

_SEEDS = 2**62


class LayersDataset(Dataset[dict[str, Tensor]]):
    """Samples by index; sample i is a function of (``seed``, i) and of the images, and of nothing else.

    Any index ≥ 0 has a sample; ``length`` is only what ``len`` says.

    Args:
        photographs: backgrounds are cut from these.
        cutouts: objects are made from these.
        geometry: sizes of the layers.
        subsets: names of the subsets to draw from by their weights, all if None; a text is one alone.
        seed: of the whole set.
        length: number of samples of the set.
        augmentation: how layers are varied.
        kinds: the subsets, with their weights.

    Raises:
        InputError: if a subset is unknown, all weights are 0, or a subset has more objects than the geometry
            has patches.
    """

    def __init__(
        self,
        photographs: ImageBank,
        cutouts: ImageBank,
        geometry: Geometry,
        subsets: Sequence[str] | str | None = None,
        seed: int = 0,
        length: int = 1000,
        augmentation: Augmentation | None = None,
        kinds: tuple[SubsetConfig, ...] = SUBSETS,
    ) -> None:
        if seed < 0:
            raise InputError(f"the data's seed must be at least 0, got {seed}")
        names = [kind.name for kind in kinds]
        wanted = [subsets] if isinstance(subsets, str) else names if subsets is None else list(subsets)
        for name in wanted:
            if name not in names:
                raise InputError(
                    f"no subset is called {name!r}{did_you_mean(name, names)} (known: {', '.join(names)})"
                )
        weights = {names.index(name): kinds[names.index(name)].weight for name in wanted}
        if isinstance(subsets, str):
            weights = dict.fromkeys(weights, 1.0)
        self._choices = sorted(index for index, weight in weights.items() if weight > 0)
        if not self._choices:
            raise InputError(f"one subset must have a weight above 0; {', '.join(wanted)} have none")
        for kind in (kinds[index] for index in self._choices):
            if kind.objects[1] > geometry.max_objects:
                raise InputError(
                    f"the subset {kind.name!r} has up to {kind.objects[1]} objects, "
                    f"the geometry has room for {geometry.max_objects}; raise max_objects"
                )
        self.photographs = photographs
        self.cutouts = cutouts
        self.geometry = geometry
        self.seed = seed
        self.length = length
        self.kinds = kinds
        self.augmentation = augmentation or Augmentation()
        shares = np.cumsum([weights[index] for index in self._choices])
        self._shares = shares / shares[-1]
        self._augmenter: LayerAugmenter | None = None

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipelines behind: they are cheap to build and hold generators."""
        return {**self.__dict__, "_augmenter": None}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return the layers of one sample.

        Returns:
            ``background`` uint8 (3, H + 2m, W + 2m); ``objects`` uint8 (K, 4, P, P), premultiplied, zero
            where there is none; int64 scalars ``seed`` in [0, 2**62), ``subset`` (index into
            ``kinds``) and ``index``.
        """
        index = int(index)
        if index < 0:
            raise IndexError(f"samples are numbered from 0, got {index}")
        generator = np.random.default_rng([self.seed, index])
        # First of all, so that what the device does is the same whatever the images are.
        device_seed = int(generator.integers(_SEEDS))
        place = int(np.searchsorted(self._shares, generator.random(), side="right"))
        subset = self._choices[min(place, len(self._choices) - 1)]
        low, high = self.kinds[subset].objects
        count = int(generator.integers(low, high + 1))
        augmenter = self._get_augmenter()
        background = augmenter.background(self.photographs.draw(generator), generator)
        patch = self.geometry.object_size
        objects = np.zeros((self.geometry.max_objects, patch, patch, 4), np.uint8)
        for place in range(count):
            objects[place] = augmenter.patch(self.cutouts.draw(generator), generator)
        return {
            "background": torch.from_numpy(np.ascontiguousarray(background.transpose(2, 0, 1))),
            "objects": torch.from_numpy(np.ascontiguousarray(objects.transpose(0, 3, 1, 2))),
            "seed": torch.tensor(device_seed, dtype=torch.int64),
            "subset": torch.tensor(subset, dtype=torch.int64),
            "index": torch.tensor(index, dtype=torch.int64),
        }

    def _get_augmenter(self) -> LayerAugmenter:
        if self._augmenter is None:
            height, width = self.geometry.background_size
            shortest = min(self.geometry.height, self.geometry.width)
            self._augmenter = LayerAugmenter(
                height, width, self.geometry.object_size, shortest, self.augmentation
            )
        return self._augmenter
