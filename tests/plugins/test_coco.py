"""COCO's layout, written small and read back."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mm import plugins
from mm.data import ImageBank, UnreadableImage
from mm.data import held_out as room
from mm.errors import InputError

HEIGHT, WIDTH = 60, 80
SQUARE = [20.0, 10.0, 50.0, 10.0, 50.0, 40.0, 20.0, 40.0]


@pytest.fixture
def coco(shipped: Path) -> ModuleType:
    plugins.load_plugins([shipped / "coco.py"])
    return importlib.import_module("mm.plugins.coco")


def runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths: down the columns, starting with zeros."""
    flat = mask.ravel(order="F").astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *changes, flat.size]).tolist()
    return lengths if flat[0] == 0 else [0, *lengths]


def annotation(number: int, image: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    base = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "area": 900.0}
    return base | {"bbox": [20, 10, 30, 30], "segmentation": segmentation} | more


def ramp(number: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack((x * 3, y * 4, np.full_like(x, number * 20))).astype(np.uint8)


def disc() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 40) ** 2 + (y - 30) ** 2 < 15**2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    images = []
    for number in range(1, 7):
        name = f"{number:012}.png"
        Image.fromarray(ramp(number)).save(tmp_path / "train2017" / name)
        images.append(
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1 + number % 2}
        )
    rle = {"size": [HEIGHT, WIDTH], "counts": runs(disc())}
    annotations = [
        annotation(10, 1, [SQUARE]),
        annotation(11, 2, rle, category_id=2, area=700.0),
        annotation(12, 2, rle, iscrowd=1),
        annotation(13, 3, [SQUARE], area=90.0),
        annotation(14, 3, [SQUARE], bbox=[0, 10, 50, 30]),
        annotation(15, 4, [SQUARE], bbox=[20, 10, 60, 30]),
        annotation(16, 5, {"size": [HEIGHT, WIDTH], "counts": [5, 5]}),
    ]
    content = {
        "images": images[::-1],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "kite"}],
    }
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return tmp_path


def test_photographs(coco: ModuleType, root: Path) -> None:
    source = coco.CocoPhotographs(str(root), min_side=60)
    assert len(source) == 6
    assert source.identity(2) == "coco-3"
    np.testing.assert_array_equal(source.load(2), ramp(3))
    licensed = coco.CocoPhotographs(str(root), min_side=0, licences=[2])
    assert [licensed.identity(i) for i in range(len(licensed))] == ["coco-1", "coco-3", "coco-5"]
    with pytest.raises(InputError, match="no image of"):
        coco.CocoPhotographs(str(root), min_side=61)


def test_objects_from_polygons(coco: ModuleType, root: Path) -> None:
    image = coco.CocoCutouts(str(root), min_area=100).load(0)
    # The polygon covers pixels 20…49 and 10…39 exactly.
    solid = image[..., 3] == 255
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    assert 28 <= len(rows) <= 31
    assert 28 <= len(columns) <= 31
    assert (image[..., 3] / 255).sum() == pytest.approx(900, rel=0.03)
    inside = image[solid][:, :3]
    assert inside.min(axis=0).tolist() == pytest.approx([60, 40, 20], abs=4)
    assert inside.max(axis=0).tolist() == pytest.approx([147, 156, 20], abs=4)


def test_objects_from_runs(coco: ModuleType, root: Path) -> None:
    source = coco.CocoCutouts(str(root), min_area=100, categories=["kite"])
    assert [source.identity(i) for i in range(len(source))] == ["coco-2"]
    alpha = source.load(0)[..., 3] / 255
    assert alpha.sum() == pytest.approx(disc().sum(), rel=0.02)
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 40, "the edge is soft"


def test_objects_that_are_small_cut_or_crowds_are_left_out(coco: ModuleType, root: Path) -> None:
    def identities(**options: Any) -> list[str]:
        source = coco.CocoCutouts(str(root), **options)
        return [source.identity(i) for i in range(len(source))]

    assert identities(min_area=100) == ["coco-1", "coco-2", "coco-5"]
    assert identities(min_area=10) == ["coco-1", "coco-2", "coco-3", "coco-5"]
    assert identities(min_area=100, whole=False) == ["coco-1", "coco-2", "coco-3", "coco-4", "coco-5"]
    assert identities(min_area=100, licences=[1]) == ["coco-2"]
    with pytest.raises(InputError, match=r"no category is called 'dog' \(known: cat, kite\)"):
        coco.CocoCutouts(str(root), categories=["dog"])
    with pytest.raises(InputError, match="no object"):
        coco.CocoCutouts(str(root), min_area=10**6)


def test_what_measurements_are_made_on_is_known_by_its_photograph(
    coco: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_photographs", lambda: frozenset({"coco-2", "coco-5"}))
    assert room.held_out(coco.CocoPhotographs(str(root), min_side=60)).tolist() == [1, 4]
    assert room.held_out(coco.CocoCutouts(str(root), min_area=10)).tolist() == [1, 3]


def test_a_damaged_outline_is_skipped(coco: ModuleType, root: Path) -> None:
    source = coco.CocoCutouts(str(root), min_area=100)
    with pytest.raises(UnreadableImage, match="object 2 of COCO image 5"):
        source.load(2)
    bank = ImageBank(source, None, "cut-out")
    with pytest.warns(UserWarning, match="COCO image 5"):
        drawn = [bank.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert {image.shape[2] for image in drawn} == {4}


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        # Written by hand from the format: 5 bits a character from "0" on, 32 marks more, 16 is the sign.
        ("0", [0]),
        ("?", [15]),
        # 16 needs a second group: alone, its bit is the sign.
        ("`0", [16]),
        ("@", [-16]),
        ("P1", [32]),
        ("Q2", [65]),
        # The fourth is the second plus 3, the fifth the third minus 2.
        ("4563N", [4, 5, 6, 8, 4]),
    ],
)
def test_packed_runs(coco: ModuleType, packed: str, expected: list[int]) -> None:
    assert coco._unpack_runs(packed) == expected


def test_packed_and_plain_runs_give_the_same_mask(coco: ModuleType) -> None:
    mask = disc()
    plain = runs(mask)
    np.testing.assert_array_equal(coco.decode_runs(plain, HEIGHT, WIDTH), mask)
    np.testing.assert_array_equal(coco.decode_runs(pack(plain), HEIGHT, WIDTH), mask)
    with pytest.raises(ValueError, match="for a mask of"):
        coco.decode_runs(plain[:-1], HEIGHT, WIDTH)


def pack(plain: list[int]) -> str:
    """The inverse, from the format's description: two's complement in groups of 5 bits, lowest first."""
    text = ""
    for position, run in enumerate(plain):
        value = run - plain[position - 2] if position > 2 else run
        while True:
            group, value = value & 31, value >> 5
            last = (value == 0 and not group & 16) or (value == -1 and group & 16)
            text += chr((group if last else group | 32) + 48)
            if last:
                break
    return text


def test_a_missing_layout_is_said(coco: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"instances_train2017\.json' does not exist; root must hold"):
        coco.CocoPhotographs(str(tmp_path))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text("[]")
    with pytest.raises(InputError, match="is not a COCO annotation file"):
        coco.CocoPhotographs(str(tmp_path))
