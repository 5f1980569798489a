"""Objects of Pascal VOC, cut out by the masks in SegmentationObject.

Expects the layout in which the data set is published (host.robots.ox.ac.uk/pascal/VOC)::

    ROOT/VOC2012/ImageSets/Segmentation/trainval.txt
    ROOT/VOC2012/JPEGImages/2007_000032.jpg …
    ROOT/VOC2012/SegmentationObject/2007_000032.png …

where ROOT is VOCdevkit. In a mask 0 is background, 1, 2, … are objects, and 255 is a band of about 5 px
around objects in which the annotators did not decide; the edge is laid in the middle of it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from mm.data import ImageSource, UnreadableImage, cut_out, feather, read_photograph
from mm.errors import InputError
from mm.registry import image_sources

_UNDECIDED = 255


@image_sources.register("voc-cutouts")
class VocCutouts(ImageSource):
    """Objects of Pascal VOC's segmentation set.

    All masks are read once at the start, to find the objects.

    Args:
        root: the folder VOCdevkit.
        year: of the challenge.
        image_set: name of the list under ImageSets/Segmentation, without .txt.
        min_area: smaller objects, in px², are left out.
        whole: leave out objects that the picture's border cuts.
        edge: width of the soft edge in px.

    Raises:
        InputError: if a file or folder is missing, or no object is left.
    """

    def __init__(
        self,
        root: str,
        year: int = 2012,
        image_set: str = "trainval",
        min_area: int = 48**2,
        whole: bool = True,
        edge: float = 2.0,
    ) -> None:
        base = Path(root, f"VOC{year}")
        listing = base / "ImageSets" / "Segmentation" / f"{image_set}.txt"
        self.photographs, self.masks = base / "JPEGImages", base / "SegmentationObject"
        self.edge = edge
        for path in (listing, self.photographs, self.masks):
            if not path.exists():
                raise InputError(f"VOC: {str(path)!r} does not exist; root must be the folder VOCdevkit")
        self.objects: list[tuple[str, int]] = []
        for name in listing.read_text().split():
            try:
                labels = self._labels(name)
            except UnreadableImage as error:
                warnings.warn(f"{error}; its objects are left out", stacklevel=2)
                continue
            self.objects += [(name, label) for label in _usable(labels, min_area, whole)]
        if not self.objects:
            raise InputError(
                f"VOC: no object of {str(listing)!r} passes the filters (min_area {min_area} px²)"
            )

    def __len__(self) -> int:
        return len(self.objects)

    def load(self, index: int) -> np.ndarray:
        """Return an object, uint8 straight-alpha RGBA, cropped."""
        name, label = self.objects[index]
        labels = self._labels(name)
        inside = labels == label
        alpha = feather(inside, ~inside & (labels != _UNDECIDED), self.edge)
        return cut_out(read_photograph(self.photographs / f"{name}.jpg"), alpha)

    def identity(self, index: int) -> str:
        """Return the name of the photograph that the object is cut from."""
        return f"voc-{self.objects[index][0]}"

    def _labels(self, name: str) -> np.ndarray:
        """Return the labels of one picture, uint8 (H, W)."""
        path = self.masks / f"{name}.png"
        try:
            with Image.open(path) as image:
                # The palette's indices are the labels; converting to colours would lose them.
                labels = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableImage(f"{path} cannot be decoded: {error}") from error
        if labels.ndim != 2:
            raise UnreadableImage(f"{path} is no mask of labels: it has {labels.shape[-1]} channels")
        return labels


def _usable(labels: np.ndarray, min_area: int, whole: bool) -> list[int]:
    """Return the labels of the objects that are large enough and, if ``whole``, not cut by the border."""
    areas = np.bincount(labels.ravel(), minlength=_UNDECIDED + 1)
    edges = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    border = set(np.unique(edges).tolist())
    return [
        label
        for label in range(1, _UNDECIDED)
        if areas[label] >= min_area and not (whole and label in border)
    ]
