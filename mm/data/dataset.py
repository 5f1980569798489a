"""Layers of one training sample: a background, some objects, and the seed of all that the device does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mm.data.augmentation import Augmentation, LayerAugmenter
from mm.data.bank import ImageBank
from mm.errors import InputError
from mm.synthesis import SUBSETS, Geometry, SubsetConfig

_SEEDS = 2**62


class LayersDataset(Dataset[dict[str, Tensor]]):
    """Samples by index; sample i is a function of (``seed``, i) and of the images, and of nothing else.

    Any index ≥ 0 has a sample; ``length`` is only what ``len`` says.

    Args:
        photographs: backgrounds are cut from these.
        cutouts: objects are made from these.
        geometry: sizes of the layers.
        subsets: weight of each subset, by name; one name means that subset alone.
        seed: of the whole set.
        length: number of samples of the set.
        augmentation: how layers are varied.
        recipes: what there is to choose from.

    Raises:
        InputError: if a subset is unknown, a weight is negative or all are 0, or a subset has more objects
            than the geometry has patches.
    """

    def __init__(
        self,
        photographs: ImageBank,
        cutouts: ImageBank,
        geometry: Geometry,
        subsets: Mapping[str, float] | str,
        seed: int = 0,
        length: int = 1000,
        augmentation: Augmentation | None = None,
        recipes: tuple[SubsetConfig, ...] = SUBSETS,
    ) -> None:
        weights = {subsets: 1.0} if isinstance(subsets, str) else dict(subsets)
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise InputError(f"the subsets' weights must be at least 0 with one above 0, got {weights}")
        if seed < 0:
            raise InputError(f"the data's seed must be at least 0, got {seed}")
        names = [recipe.name for recipe in recipes]
        for name in weights:
            if name not in names:
                raise InputError(f"no subset is called {name!r} (known: {', '.join(names)})")
        chosen = {names.index(name): weight for name, weight in weights.items() if weight > 0}
        for recipe in (recipes[index] for index in chosen):
            if recipe.objects[1] > geometry.max_objects:
                raise InputError(
                    f"the subset {recipe.name!r} has up to {recipe.objects[1]} objects, "
                    f"the geometry has room for {geometry.max_objects}; raise max_objects"
                )
        self.photographs = photographs
        self.cutouts = cutouts
        self.geometry = geometry
        self.seed = seed
        self.length = length
        self.recipes = recipes
        self.augmentation = augmentation or Augmentation()
        self._recipes = sorted(chosen)
        shares = np.cumsum([chosen[index] for index in self._recipes])
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
            the recipes) and ``index``.
        """
        index = int(index)
        if index < 0:
            raise IndexError(f"samples are numbered from 0, got {index}")
        generator = np.random.default_rng([self.seed, index])
        # First of all, so that what the device does is the same whatever the images are.
        device_seed = int(generator.integers(_SEEDS))
        place = int(np.searchsorted(self._shares, generator.random(), side="right"))
        subset = self._recipes[min(place, len(self._recipes) - 1)]
        low, high = self.recipes[subset].objects
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
