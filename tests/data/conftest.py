"""Small folders of photographs and cut-outs, made once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """A smooth random colour picture, uint8 (H, W, 3)."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def disc(side: int, seed: int) -> np.ndarray:
    """A textured disc, uint8 straight RGBA (side, side, 4), with rubbish under the transparent part."""
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 2 - 2, 255, -1, cv2.LINE_AA)
    return np.dstack((picture(side, side, seed), mask))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    for number in range(24):
        place = folder / "more" if number % 3 == 0 else folder
        Image.fromarray(picture(60 + number, 90 - number, number)).save(
            place / f"p{number:02}.jpg", quality=95
        )
    return folder


@pytest.fixture(scope="session")
def cutouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cutouts")
    for number in range(20):
        suffix = "png" if number % 2 else "webp"
        Image.fromarray(disc(24 + number, number)).save(folder / f"c{number:02}.{suffix}", lossless=True)
    return folder
