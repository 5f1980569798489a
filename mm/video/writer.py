"""Writing clips a few frames at a time: video files through FFmpeg, folders of PNG images.

What is written has a temporary name beside the output until it is complete. The output's own name holds
either what it held before or the whole new clip, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.files import Draft, writing
from mm.video.audio import AudioCopy
from mm.video.colour import BT709, RGB, SRGB_TRANSFER, Colour
from mm.video.info import ClipInfo
from mm.video.pixels import rgb_to_frames

# Constant rate factor of H.264. 18 is called visually transparent; magnified motion is looked at closely.
DEFAULT_CRF = 14
_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
DEFAULT_COLOUR = Colour(BT709, full_range=False, primaries=BT709, transfer=SRGB_TRANSFER)


class VideoWriter:
    """A video file that ordinary players open: H.264, 4:2:0, constant quality; or lossless FFV1.

    4:2:0 has chroma for two by two pixels, so an odd width or height is brought to an even one by repeating
    the last column or row. Lossless files keep odd sizes.

    Args:
        path: the file; its suffix chooses the container (.mp4, .m4v, .mov, .mkv; lossless: .mkv only).
        size: (height, width) of the frames.
        rate: playback frames per second, which the container shows as its average.
        time_base: seconds of one tick of the timestamps; 1/rate if None. Matroska rounds times to 1 ms.
        bit_depth: bits of a sample; above 8 the file is written with 10 (H.264 High 10), or losslessly with
            10, 12, 14 or 16.
        colour: matrix, range and tags of the file.
        crf: H.264's constant rate factor, 0 to 51; lower is better.
        lossless: keep every frame exactly, to within the rounding to ``bit_depth``, as FFV1 in RGB.
        sample_aspect: width of a pixel over its height.
        audio: audio to copy into the file; closed with the writer.

    Raises:
        InputError: if the suffix is not known, the folder cannot be written to, or the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        *,
        rate: Fraction | float = Fraction(30),
        time_base: Fraction | None = None,
        bit_depth: int = 8,
        colour: Colour = DEFAULT_COLOUR,
        crf: float = DEFAULT_CRF,
        lossless: bool = False,
        sample_aspect: Fraction = Fraction(1),
        audio: AudioCopy | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = size
        self._rate = Fraction(rate).limit_denominator(1_000_000)
        self._time_base = time_base or 1 / self._rate
        self._colour = colour.for_output
        self._audio = audio
        self._first_pts: int | None = None
        self._last_pts = 0
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        muxer, self._pixel_format, self.padding = _plan(self.path, size, bit_depth, lossless)
        height, width = size[0] + self.padding[0], size[1] + self.padding[1]
        self._draft = _draft(self.path)
        self._container: Any = None
        try:
            with writing(self.path):
                options = {"movflags": "+faststart"} if muxer in ("mp4", "mov") else {}
                name = str(self._draft.path.absolute())
                self._container = av.open(name, "w", format=muxer, options=options)
                codec = "ffv1" if lossless else "libx264"
                settings = (
                    {"level": "3", "slicecrc": "1"} if lossless else {"crf": f"{crf:g}", "preset": "medium"}
                )
                stream = self._container.add_stream(codec, rate=self._rate, options=settings)
                stream.width, stream.height, stream.pix_fmt = width, height, self._pixel_format
                context = stream.codec_context
                context.time_base = self._time_base
                context.sample_aspect_ratio = sample_aspect
                context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
                # Lossless files are RGB, which has no matrix and the whole range.
                context.colorspace = RGB if lossless else self._colour.matrix
                context.color_range = 2 if lossless or self._colour.full_range else 1
                self._stream = stream
                self._audio_streams = self._add_audio()
                self._container.start_encoding()
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        else:
            self.discard()

    def write(self, frames: Tensor, pts: tuple[int, ...] | None = None) -> None:
        """Append frames.

        Args:
            frames: (n, 3, H, W) R'G'B' in [0, 1], on any device.
            pts: ``n`` increasing timestamps in ticks of the time base; the first frame of all becomes time 0.
                Evenly spaced if None.

        Raises:
            InputError: if the disk is full or the file cannot be written to.
        """
        if pts is None:
            begin = 0 if self._first_pts is None else self._last_pts + self._step
            pts = tuple(begin + self._step * number for number in range(len(frames)))
        bottom, right = self.padding
        rgb = frames.detach().cpu().float()
        if bottom or right:
            rgb = F.pad(rgb, (0, right, 0, bottom), mode="replicate")
        with writing(self.path):
            for frame, tick in zip(rgb_to_frames(rgb, self._pixel_format, self._colour), pts, strict=True):
                if self._first_pts is None:
                    self._first_pts = tick
                self._last_pts = tick
                frame.pts, frame.time_base = tick - self._first_pts, self._time_base
                self._container.mux(self._stream.encode(frame))
            if self._first_pts is not None:
                self._copy_audio(float((self._last_pts - self._first_pts + self._step) * self._time_base))

    def _add_audio(self) -> list[Any]:
        if self._audio is None:
            return []
        known = self._container.supported_codecs
        streams: list[Any] = []
        for source in self._audio.streams:
            name = source.codec_context.codec.canonical_name
            if name in known:
                streams.append(self._container.add_stream_from_template(source))
            else:
                warnings.warn(
                    f"{name} audio cannot be copied into {self.path.suffix}; it is left out "
                    "(an .mkv output keeps it)",
                    stacklevel=3,
                )
                streams.append(None)
        return streams

    def _copy_audio(self, seconds: float) -> None:
        if self._audio is None:
            return
        for index, packet in self._audio.until(seconds):
            if self._audio_streams[index] is not None:
                packet.stream = self._audio_streams[index]
                self._container.mux_one(packet)

    def _complete(self) -> None:
        try:
            with writing(self.path):
                if self._first_pts is None:
                    raise InputError(f"no frame was written to {self.path}; nothing is left there")
                if self._audio is not None and not self._audio.cut_end:
                    self._copy_audio(math.inf)
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._draft.keep()
        except BaseException:
            self.discard()
            raise
        if self._audio is not None:
            self._audio.close()

    def discard(self) -> None:
        """Remove what was written, unless it is complete."""
        if self._audio is not None:
            self._audio.close()
        # Closing may fail for the reason that brought us here; the file goes away in any case.
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            if self._container is not None:
                self._container.close()
        self._draft.discard()


class FolderWriter:
    """A new folder of PNG images, 000000.png and on.

    Args:
        path: the folder; it must not exist yet, or be empty.
        size: (height, width) of the frames.
        bit_depth: bits of a sample; above 8 the images have 16.

    Raises:
        InputError: if the folder is there and not empty, or cannot be made.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], *, bit_depth: int = 8) -> None:
        self.path = Path(path)
        self.size = size
        self.padding = (0, 0)
        self._top, self._kind = (255, "uint8") if bit_depth == 8 else (65535, "uint16")
        self._count = 0
        if self.path.exists() and not self.path.is_dir():
            raise InputError(
                f"{self.path} is a file; name a new folder, or a video with a suffix such as .mp4"
            )
        with writing(self.path):
            if self.path.exists() and any(self.path.iterdir()):
                raise InputError(f"the folder {self.path} is not empty; name a new one, or remove it first")
            self._draft = _draft(self.path, folder=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with writing(self.path):
                    if not self._count:
                        raise InputError(f"no frame was written to {self.path}; nothing is left there")
                    self._draft.keep()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, unless it is complete."""
        self._draft.discard()

    def write(self, frames: Tensor, pts: tuple[int, ...] | None = None) -> None:
        """Append (n, 3, H, W) R'G'B' frames in [0, 1]; a folder has no times, so ``pts`` is not used.

        Raises:
            InputError: if the disk is full or the folder cannot be written to.
        """
        codes = (
            frames.detach()
            .cpu()
            .double()
            .mul(self._top)
            .round()
            .clamp(0, self._top)
            .permute(0, 2, 3, 1)
            .flip(-1)
        )
        with writing(self.path):
            for pixels in codes.numpy().astype(self._kind):
                coded, data = cv2.imencode(".png", pixels)
                assert coded
                (self._draft.path / f"{self._count:06d}.png").write_bytes(data.tobytes())
                self._count += 1


def create_clip(
    path: str | Path,
    size: tuple[int, int],
    like: ClipInfo | None = None,
    *,
    crf: float = DEFAULT_CRF,
    lossless: bool = False,
    audio: AudioCopy | None = None,
) -> VideoWriter | FolderWriter:
    """Begin a clip with the timing, colours and bit depth of another one; use it in a ``with`` statement.

    Args:
        path: a video file, or (without a suffix) a folder for PNG images.
        size: (height, width) of the frames.
        like: the clip whose properties are carried over; 30 frames per second, 8 bit, BT.709 if None.
        crf: see :class:`VideoWriter`.
        lossless: see :class:`VideoWriter`; folders of PNG are lossless anyway.
        audio: see :class:`VideoWriter`.

    Raises:
        InputError: if it cannot be written.
    """
    if is_folder_name(path):
        if audio is not None:
            audio.close()
        return FolderWriter(path, size, bit_depth=like.bit_depth if like else 8)
    if like is None:
        return VideoWriter(path, size, crf=crf, lossless=lossless, audio=audio)
    return VideoWriter(
        path,
        size,
        rate=like.rate,
        time_base=like.time_base,
        bit_depth=like.bit_depth,
        colour=like.colour,
        crf=crf,
        lossless=lossless,
        sample_aspect=like.sample_aspect,
        audio=audio,
    )


def write_clip(
    path: str | Path, frames: Tensor, *, rate: Fraction | float = 30, lossless: bool = False
) -> None:
    """Write (T, 3, H, W) R'G'B' frames in [0, 1] as a video file; as PNG images if ``path`` has no suffix.

    Raises:
        InputError: if it cannot be written.
    """
    size = (frames.shape[-2], frames.shape[-1])
    writer: VideoWriter | FolderWriter
    writer = (
        FolderWriter(path, size)
        if is_folder_name(path)
        else VideoWriter(path, size, rate=rate, lossless=lossless)
    )
    with writer:
        for part in frames.split(8):
            writer.write(part)


def is_folder_name(path: str | Path) -> bool:
    """True if an output of this name is a folder of images: it has no suffix, or there is a folder."""
    return not Path(path).suffix or Path(path).is_dir()


def check_output(path: str | Path, *, lossless: bool = False) -> None:
    """Raise the InputError that writing to ``path`` would, before the work is begun."""
    path = Path(path)
    if is_folder_name(path):
        FolderWriter(path, (1, 1)).discard()
        return
    _plan(path, (2, 2), 8, lossless)
    _draft(path).discard()


def _plan(
    path: Path, size: tuple[int, int], bit_depth: int, lossless: bool
) -> tuple[str, str, tuple[int, int]]:
    """Muxer, pixel format, and rows and columns to add."""
    suffix = path.suffix.lower()
    if suffix not in _MUXERS:
        raise InputError(
            f"cannot write {path}: the suffix {suffix!r} is none of {', '.join(_MUXERS)} "
            "(a name without a suffix is a folder of PNG images)"
        )
    if lossless:
        if _MUXERS[suffix] != "matroska":
            raise InputError(
                f"cannot write {path} losslessly: {suffix} does not hold FFV1; name the output .mkv"
            )
        depth = next(depth for depth in (8, 10, 12, 14, 16) if depth >= bit_depth)
        return _MUXERS[suffix], "bgr0" if depth == 8 else f"gbrp{depth}le", (0, 0)
    return _MUXERS[suffix], "yuv420p" if bit_depth == 8 else "yuv420p10le", (size[0] % 2, size[1] % 2)


def _draft(path: Path, folder: bool = False) -> Draft:
    if not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    with writing(path):
        return Draft(path, folder=folder)
