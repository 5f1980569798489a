"""Pascal VOC's layout, written small and read back."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mm import plugins
from mm.errors import InputError

HEIGHT, WIDTH = 90, 120


@pytest.fixture
def voc(shipped: Path) -> ModuleType:
    plugins.load_plugins([shipped / "voc.py"])
    return importlib.import_module("mm.plugins.voc")


def distance(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(columns - x, rows - y)


def save(root: Path, name: str, labels: np.ndarray) -> None:
    """Write a photograph, red where x is large, and its mask as VOC's palette files are."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    photograph = np.dstack((columns * 2, rows * 2, np.full_like(rows, 99))).astype(np.uint8)
    Image.fromarray(photograph).save(
        root / "VOC2012" / "JPEGImages" / f"{name}.jpg", quality=98, subsampling=0
    )
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette([(37 * i) % 256 for i in range(768)])
    mask.save(root / "VOC2012" / "SegmentationObject" / f"{name}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "SegmentationObject", "ImageSets/Segmentation"):
        (tmp_path / "VOC2012" / folder).mkdir(parents=True)
    labels = np.zeros((HEIGHT, WIDTH))
    # The true outline has a radius of 20; annotators leave 2.5 px undecided on each side of it.
    labels[distance(40, 45) < 22.5] = 255
    labels[distance(40, 45) < 17.5] = 1
    labels[distance(90, 60) < 5] = 2
    save(tmp_path, "2007_000001", labels)
    labels = np.zeros((HEIGHT, WIDTH))
    labels[distance(60, 0) < 20] = 1
    labels[distance(60, 60) < 18] = 3
    save(tmp_path, "2007_000002", labels)
    (tmp_path / "VOC2012" / "ImageSets" / "Segmentation" / "trainval.txt").write_text(
        "2007_000001\n2007_000002\n"
    )
    return tmp_path


def test_objects_are_found_and_the_cut_and_small_ones_left_out(voc: ModuleType, root: Path) -> None:
    source = voc.VocCutouts(str(root), min_area=400)
    assert source.objects == [("2007_000001", 1), ("2007_000002", 3)]
    assert source.identity(1) == "voc-2007_000002"
    assert voc.VocCutouts(str(root), min_area=20).objects[1] == ("2007_000001", 2)
    assert ("2007_000002", 1) in voc.VocCutouts(str(root), min_area=400, whole=False).objects


def test_the_edge_lies_in_the_middle_of_the_undecided_band_and_is_soft(voc: ModuleType, root: Path) -> None:
    image = voc.VocCutouts(str(root), min_area=400, edge=2.0).load(0)
    alpha = image[..., 3] / 255
    assert alpha.sum() == pytest.approx(np.pi * 20**2, rel=0.03)
    # Soft over about 2 px of a circumference of 126.
    assert 126 < ((alpha > 0.02) & (alpha < 0.98)).sum() < 420
    assert image.shape[:2] == pytest.approx((41, 41), abs=2)
    solid = image[image[..., 3] == 255][:, :3].astype(int)
    assert solid.mean(axis=0).tolist() == pytest.approx([80, 90, 99], abs=3)


def test_a_broken_mask_is_left_out_with_a_warning(voc: ModuleType, root: Path) -> None:
    (root / "VOC2012" / "SegmentationObject" / "2007_000001.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"2007_000001\.png cannot be decoded.*left out"):
        source = voc.VocCutouts(str(root), min_area=400)
    assert source.objects == [("2007_000002", 3)]


def test_a_missing_layout_is_said(voc: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trainval\.txt' does not exist; root must be the folder VOCdevkit"):
        voc.VocCutouts(str(tmp_path))
