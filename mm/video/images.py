"""Images as a clip: folders of them, and the pages of TIFF files, read through OpenCV."""

from __future__ import annotations

import math
import re
import statistics
import warnings
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import torch
from torch import Tensor

from mm.errors import ClipWarning, InputError
from mm.video.audio import AudioCopy
from mm.video.colour import RGB, Colour
from mm.video.info import Chunk, ClipInfo, checked_span

# What it prints of a file that is no image is said in the one line of the error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

IMAGE_SUFFIXES = (
    ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".pnm", ".webp"
)  # fmt: skip
_STACKS = (".tif", ".tiff")
DEFAULT_FOLDER_RATE = Fraction(30)


class ImageFolder:
    """Images in natural order ("2" before "10"), read as a stream: of a folder, or the pages of a TIFF file.

    Args:
        path: the folder, or a TIFF file. All pages of a TIFF file count, in a folder too.
        rate: frames per second, which images do not know.
        start: seconds at which to begin.
        end: seconds before which to stop.
        depth: bits of a sample of images that keep fewer than 16 bits in 16, such as 12 for many cameras.
        quiet: whether to leave out warnings, of images that were read before.

    Raises:
        InputError: if the folder is missing or holds no image, or none between ``start`` and ``end``, or if
            ``depth`` is not from 8 to 16.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction = DEFAULT_FOLDER_RATE,
        start: float | None = None,
        end: float | None = None,
        depth: int | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self.path = Path(path)
        begin, until = checked_span(start, end)
        self._begin, self._until = begin, until
        names = list_images(self.path) if self.path.is_dir() else [self.path]
        if not quiet:
            self._warn_of_gaps(names)
        found = [(name, page) for name in names for page in range(_pages(name))]
        time_base = 1 / rate
        self._numbered = [
            (number, image)
            for number, image in enumerate(found)
            if begin <= float(number * time_base) and (until is None or float(number * time_base) < until)
        ]
        if not self._numbered:
            raise InputError(
                f"{self.path} has no frame between {begin:g} s and "
                f"{'its end' if until is None else f'{until:g} s'}: its {len(found)} images last "
                f"{float(len(found) * time_base):.2f} s at {float(rate):g} frames a second; give other times"
            )
        name, page = self._numbered[0][1]
        first = _read_image(name, page)
        deep, grey = first.dtype == "uint16", first.ndim == 2
        if depth is not None and not 8 <= depth <= (16 if deep else 8):
            raise InputError(f"depth must be from 8 to {16 if deep else 8} bits for {name}, got {depth}")
        self._top = 2 ** (depth or (16 if deep else 8)) - 1
        brightest = int(first.max())
        if deep and depth is None and 255 < brightest < 2**14:
            used = max(10, 2 * math.ceil(brightest.bit_length() / 2))
            warnings.warn(
                f"{name} uses 1/{2 ** (16 - used)} of its 16 bits (its largest value is {brightest}); "
                f"if the camera has {used} bits, give --depth {used}",
                ClipWarning,
                stacklevel=2,
            )
        self.info = ClipInfo(
            path=self.path,
            width=first.shape[1],
            height=first.shape[0],
            rate=rate,
            time_base=time_base,
            frames=len(found),
            duration=float(len(found) * time_base),
            pixel_format=("gray16le" if deep else "gray") if grey else ("rgb48le" if deep else "rgb24"),
            bit_depth=depth or (16 if deep else 8),
            colour=Colour(RGB, full_range=True),
            grey=grey,
            codec=name.suffix.lower().lstrip("."),
            is_folder=True,
            left_out=("its alpha channel (frames are shown opaque)",) if _has_alpha(name) else (),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""

    def again(self, start: float) -> ImageFolder:
        """Read the images once more from another time on, in seconds, without their warnings."""
        depth = self.info.bit_depth
        return ImageFolder(self.path, self.info.rate, start, self._until, depth, quiet=True)

    @property
    def start(self) -> float:
        """Seconds at which the clip was asked to begin."""
        return self._begin

    @property
    def first_time(self) -> Fraction:
        """The display time of the first frame that is handed out, in seconds."""
        return self._numbered[0][0] * self.info.time_base

    def times(self) -> list[float]:
        """Return when the frames are shown, in seconds."""
        return [float(number * self.info.time_base) for number, _ in self._numbered]

    def audio(self) -> AudioCopy | None:
        """None: images make no sound."""
        return None

    def chunks(self, size: int = 8, device: torch.device | str = "cpu") -> Iterator[Chunk]:
        """Hand out the frames, ``size`` at a time (fewer at the end), on ``device``.

        Raises:
            InputError: if an image cannot be read, or has another size than the first.
        """
        for begin in range(0, len(self._numbered), size):
            part = self._numbered[begin : begin + size]
            yield Chunk(
                torch.cat([self._load(*image) for _, image in part]).to(device),
                tuple(number for number, _ in part),
            )

    def _load(self, name: Path, page: int) -> Tensor:
        pixels = _read_image(name, page)
        if pixels.shape[:2] != (self.info.height, self.info.width):
            raise InputError(
                f"{name} changes the frame size from {self.info.width}×{self.info.height} to "
                f"{pixels.shape[1]}×{pixels.shape[0]}; all images of a folder must have one size"
            )
        if pixels.max() > self._top:
            raise InputError(
                f"{name} holds a value of {pixels.max()}, above the {self._top} of "
                f"{self.info.bit_depth} bits; give its true depth, or leave --depth out"
            )
        frame = torch.from_numpy(pixels.astype("float32")).div_(self._top)
        if frame.ndim == 2:
            return frame.expand(1, 3, -1, -1).contiguous()
        return frame.flip(-1).permute(2, 0, 1).unsqueeze(0).contiguous()

    @staticmethod
    def _warn_of_gaps(names: list[Path]) -> None:
        """Warn where frame numbers skip, by the last number in each name."""
        numbers = [[part for part, _ in _natural(name.stem) if part >= 0] for name in names]
        if not all(numbers):
            return
        steps = [after[-1] - before[-1] for before, after in pairwise(numbers)]
        usual = statistics.mode(steps) if steps else 1
        gaps = [place for place, step in enumerate(steps) if step > usual > 0]
        if gaps:
            warnings.warn(
                f"{names[0].parent}: frame numbers skip from {names[gaps[0]].name} to "
                f"{names[gaps[0] + 1].name} ({len(gaps)} gap{'s' * (len(gaps) > 1)} in all); "
                "the frames are taken as evenly spaced",
                ClipWarning,
                stacklevel=3,
            )


def has_no_rate(path: str | Path) -> bool:
    """True for images, a folder of them or a TIFF stack, whose frame rate nobody but the user knows."""
    path = Path(path)
    return path.is_dir() or path.suffix.lower() in _STACKS


def check_rate(path: Path, fps: float | None) -> None:
    """Raise InputError unless a clip's frame rate is known: the container's if ``fps`` is None, else that."""
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"the frame rate must be a number above 0 frames a second, got {fps:g}")
    if has_no_rate(path) and fps is None:
        raise InputError(f"{path} holds images, which have no frame rate; give it with --fps")


def list_images(folder: Path) -> list[Path]:
    """Return a folder's images in natural order, hidden files left out.

    Raises:
        InputError: if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; check the path")
    images = [
        name
        for name in folder.iterdir()
        if name.suffix.lower() in IMAGE_SUFFIXES and not name.name.startswith(".") and name.is_file()
    ]
    if not images:
        raise InputError(
            f"{folder} is a folder without images ({', '.join(IMAGE_SUFFIXES)}); "
            "name a video, or a folder with images"
        )
    return sorted(images, key=lambda name: _natural(name.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which numbers count as numbers."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name.lower())
        if part
    ]


def _pages(name: Path) -> int:
    # A file that is no TIFF has no page; reading it says so.
    return max(1, cv2.imcount(str(name))) if name.suffix.lower() in _STACKS else 1


def _has_alpha(name: Path) -> bool:
    pixels = cv2.imread(str(name), cv2.IMREAD_UNCHANGED)
    return pixels is not None and pixels.ndim == 3 and pixels.shape[2] in (2, 4)


def _read_image(name: Path, page: int = 0) -> cv2.typing.MatLike:
    # These flags keep 16 bits and drop alpha, and turn a JPEG upright.
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    if page:
        _, pages = cv2.imreadmulti(str(name), page, 1, flags=flags)
        pixels = pages[0] if pages else None
    else:
        pixels = cv2.imread(str(name), flags)
    if pixels is None:
        raise InputError(f"{name} cannot be read as an image; remove it from the folder or repair it")
    if pixels.dtype not in ("uint8", "uint16"):
        raise InputError(f"{name} has {pixels.dtype} samples; only 8 and 16 bits are read: convert it")
    return pixels
