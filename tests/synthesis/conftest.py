"""Layers that the tests of this folder render."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mm.synthesis import Geometry

MakeBatch = Callable[..., dict[str, Tensor]]


def texture(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Smooth random texture in [0, 1] over the last two axes."""
    waves = generator.standard_normal((*shape[:-2], 6, 1, 1))
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    kx, ky, phase = generator.uniform(-0.5, 0.5, (3, *shape[:-2], 6, 1, 1))
    wave = waves * np.sin(kx * x + ky * y + 20 * phase)
    return np.clip(0.5 + 0.15 * wave.sum(-3), 0.02, 0.98)


@pytest.fixture
def make_batch() -> MakeBatch:
    """A batch of textured layers, discs on a background, with given seeds and subsets."""

    def make(
        geometry: Geometry, seeds: list[int], subsets: list[int] | None = None, objects: int | None = None
    ) -> dict[str, Tensor]:
        k, patch = geometry.max_objects, geometry.object_size
        y, x = np.mgrid[:patch, :patch] - (patch - 1) / 2
        alpha = np.clip(patch / 2 - 4 - np.hypot(x, y), 0, 1)
        backgrounds, patches = [], []
        for seed in seeds:
            generator = np.random.default_rng([7, seed])
            backgrounds.append(texture(generator, 3, *geometry.background_size))
            colour = texture(generator, k, 3, patch, patch)
            rgba = np.concatenate((colour, np.ones((k, 1, patch, patch))), axis=1) * alpha
            rgba[(k if objects is None else objects) :] = 0
            patches.append(rgba)
        return {
            "background": torch.from_numpy(np.round(np.stack(backgrounds) * 255).astype(np.uint8)),
            "objects": torch.from_numpy(np.round(np.stack(patches) * 255).astype(np.uint8)),
            "seed": torch.tensor(seeds),
            "subset": torch.tensor(subsets or [0] * len(seeds)),
            "index": torch.arange(len(seeds)),
        }

    return make
