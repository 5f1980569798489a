"""Photographs and cut-out objects of COCO, by its annotation files.

Expects the layout in which the data set is published (cocodataset.org)::

    ROOT/annotations/instances_train2017.json
    ROOT/train2017/000000000009.jpg …

An object has the identity of its photograph, so that with equal shares no photograph of the training split
gives objects to the validation split, or the other way round.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mm.data import ImageSource, UnreadableImage, cut_out, feather, read_photograph
from mm.errors import InputError
from mm.registry import image_sources

# Objects this near to the picture's border, in px, count as cut by it.
_BORDER = 2
# Fine pixels along a pixel's side when a polygon is drawn.
_FINE = 4


class _Coco(ImageSource):
    """The images that an annotation file lists."""

    def __init__(self, root: str, annotations: str, min_side: int, licences: list[int] | None) -> None:
        file = Path(root, "annotations", f"{annotations}.json")
        # instances_train2017 describes the folder train2017.
        self.folder = Path(root, annotations.rpartition("_")[2])
        for path in (file, self.folder):
            if not path.exists():
                raise InputError(
                    f"COCO: {str(path)!r} does not exist; root must hold annotations/ and the image folders"
                )
        try:
            self._content: dict[str, Any] = json.loads(file.read_bytes())
            images = [
                image
                for image in self._content["images"]
                if min(image["width"], image["height"]) >= min_side
                and (licences is None or image.get("license") in licences)
            ]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"COCO: {str(file)!r} is not a COCO annotation file: {error!r}") from error
        self.images = {image["id"]: image for image in sorted(images, key=lambda image: int(image["id"]))}
        if not self.images:
            raise InputError(
                f"COCO: no image of {str(file)!r} has {min_side} px a side and one of the licences {licences}"
            )

    def _photograph(self, image_id: int) -> np.ndarray:
        return read_photograph(self.folder / self.images[image_id]["file_name"])


@image_sources.register("coco-photographs")
class CocoPhotographs(_Coco):
    """COCO's photographs.

    Args:
        root: the data set's folder.
        annotations: name of the file under annotations/, without .json.
        min_side: photographs whose shorter side has fewer px are left out.
        licences: ids of the licences that are allowed; None for all.

    Raises:
        InputError: if a file or folder is missing, or no photograph is left.
    """

    def __init__(
        self,
        root: str,
        annotations: str = "instances_train2017",
        min_side: int = 256,
        licences: list[int] | None = None,
    ) -> None:
        super().__init__(root, annotations, min_side, licences)
        del self._content
        self._ids = list(self.images)

    def __len__(self) -> int:
        return len(self._ids)

    def load(self, index: int) -> np.ndarray:
        """Return a photograph, uint8 RGB (H, W, 3)."""
        return self._photograph(self._ids[index])

    def identity(self, index: int) -> str:
        """Return the image's id."""
        return f"coco-{self._ids[index]}"


@image_sources.register("coco-cutouts")
class CocoCutouts(_Coco):
    """COCO's objects, cut out by their polygons or run lengths; crowds are left out.

    Args:
        root: the data set's folder.
        annotations: name of the file under annotations/, without .json.
        min_area: smaller objects, in px², are left out.
        whole: leave out objects that the picture's border cuts.
        categories: names of the categories that are wanted; None for all.
        licences: ids of the licences that are allowed; None for all.

    Raises:
        InputError: if a file or folder is missing, or no object is left.
    """

    def __init__(
        self,
        root: str,
        annotations: str = "instances_train2017",
        min_area: float = 48.0**2,
        whole: bool = True,
        categories: list[str] | None = None,
        licences: list[int] | None = None,
    ) -> None:
        super().__init__(root, annotations, 0, licences)
        content = self._content
        del self._content
        known = {category["id"]: category["name"] for category in content.get("categories", [])}
        for name in categories or []:
            if name not in known.values():
                raise InputError(
                    f"COCO: no category is called {name!r} (known: {', '.join(sorted(known.values()))})"
                )
        self._objects = [
            (annotation["image_id"], annotation["segmentation"])
            for annotation in sorted(
                content.get("annotations", []), key=lambda annotation: int(annotation["id"])
            )
            if not annotation.get("iscrowd")
            and annotation["image_id"] in self.images
            and annotation["area"] >= min_area
            and (categories is None or known.get(annotation["category_id"]) in categories)
            and not (whole and self._is_cut(annotation))
        ]
        if not self._objects:
            raise InputError(
                f"COCO: no object of {annotations!r} passes the filters (min_area {min_area} px²)"
            )

    def __len__(self) -> int:
        return len(self._objects)

    def load(self, index: int) -> np.ndarray:
        """Return an object, uint8 straight-alpha RGBA, cropped."""
        image_id, segmentation = self._objects[index]
        photograph = self._photograph(image_id)
        try:
            alpha = _alpha(segmentation, *photograph.shape[:2])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UnreadableImage(
                f"object {index} of COCO image {image_id} has a damaged outline: {error!r}"
            ) from error
        return cut_out(photograph, alpha)

    def identity(self, index: int) -> str:
        """Return the id of the photograph that the object is cut from."""
        return f"coco-{self._objects[index][0]}"

    def _is_cut(self, annotation: dict[str, Any]) -> bool:
        image = self.images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        return bool(
            min(x, y) < _BORDER
            or x + width > image["width"] - _BORDER
            or y + height > image["height"] - _BORDER
        )


def _alpha(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return the mask of a polygon list or of run lengths, uint8 (height, width), with a soft edge."""
    if isinstance(segmentation, list):
        # Drawn finely and averaged: OpenCV's own anti-aliasing makes outlines almost a pixel too wide.
        fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
        for polygon in segmentation:
            # In COCO the first pixel spans 0..1; in OpenCV its centre is 0.
            points = np.asarray(polygon, np.float64).reshape(-1, 2) * _FINE - 0.5
            cv2.fillPoly(fine, [np.rint(points).astype(np.int32)], 255)
        return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    inside = decode_runs(segmentation["counts"], *segmentation["size"])
    return feather(inside, ~inside)


def decode_runs(counts: list[int] | str, height: int, width: int) -> np.ndarray:
    """Return the mask, bool (height, width), of COCO's run lengths.

    Runs of 0 and 1 alternate, starting with 0, down the columns. As a string, each run is written in groups
    of 5 bits, lowest first, from the character "0" on; 32 marks that another group follows; from the fourth
    run on it is the difference to the run before the last.

    Raises:
        ValueError: if the runs do not fill the mask.
    """
    runs = _unpack_runs(counts) if isinstance(counts, str) else counts
    if min(runs, default=-1) < 0 or sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} px for a mask of {height * width} px")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _unpack_runs(packed: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for code in packed.encode("ascii"):
        group = code - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            # The sign bit of the last group.
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
