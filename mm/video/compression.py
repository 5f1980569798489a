"""Compression of a clip: picture types, quantiser, repeated blocks and frames, measured in its first part.

A codec with predicted pictures leaves out changes that are small against its quantiser's step, and so the
motion that makes them: a block that is repeated stands still whatever it showed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from mm.video.info import ClipInfo
from mm.video.reader import _open as open_stream

Array = NDArray[np.floating]

FRAMES = 150  # that are looked at
BLOCK = 16  # px, a macroblock of H.264
_H264, _MPEG2 = 1, 2  # kinds of FFmpeg's AVVideoEncParams
WHOLE = 0.995  # of the blocks that a repeated frame repeats
# A decoder may not say the quantiser: x264's at so many bits a px, and its change for ten times fewer.
GUESS_AT_BITS, GUESS, GUESS_SLOPE = 0.05, 30.0, 12.0


@dataclass(frozen=True)
class Compression:
    """The measured compression of a clip.

    Attributes:
        codec: the video codec's name.
        predicted: whether pictures are made from others, which is what loses small motion.
        picture_types: how many pictures of each type were seen, such as {"I": 1, "P": 40, "B": 109}.
        group: frames from one self-contained picture to the next; None if fewer than two were seen.
        bits_per_px: of the stream.
        quantiser: (rows, columns) mean quantiser (H.264's scale) in blocks of 16×16 px; one value if guessed.
        guessed: whether the quantiser is guessed from the bit rate.
        repeated: (rows, columns) in [0, 1], the share of frames that repeat the block before, px for px.
        doubled: numbers of the frames that repeat the whole frame before.
        frames: how many were looked at.
    """

    codec: str
    predicted: bool
    picture_types: dict[str, int]
    group: int | None
    bits_per_px: float
    quantiser: Array
    guessed: bool
    repeated: Array
    doubled: tuple[int, ...]
    frames: int

    @property
    def step(self) -> float:
        """The quantiser's step in levels of 255; 0 for a codec without loss or prediction."""
        return self.step_in(0, 0, 10**6, 10**6)

    def step_in(self, x: float, y: float, width: float, height: float) -> float:
        """Return the quantiser's step in a region, px of the clip, in levels of 255."""
        quantiser = float(_within(self.quantiser, x, y, width, height).mean())
        # H.264: 0 with its lossless transform, else 0.625 at 0 and twice as much at every 6 more.
        return 2 ** ((quantiser - 4) / 6) if self.predicted and quantiser > 0 else 0.0

    def repeated_in(self, x: float, y: float, width: float, height: float) -> float:
        """Return the mean share of repeated blocks in a region, px of the clip."""
        return float(_within(self.repeated, x, y, width, height).mean())

    @property
    def doubled_period(self) -> int | None:
        """Frames after which a repeated one follows, where they follow evenly."""
        gaps = np.diff(self.doubled)
        return int(gaps[0]) if len(gaps) >= 3 and (gaps == gaps[0]).all() else None

    def line(self) -> str:
        """Return the compression in one line."""
        types = ", ".join(f"{count} {name}" for name, count in self.picture_types.items())
        parts = [f"{self.codec}: {types} of {self.frames} pictures", f"{self.bits_per_px:.2g} bits a px"]
        if self.group is not None:
            parts.append(f"a self-contained picture every {self.group} frames")
        if self.step:
            about = "about " if self.guessed else ""
            parts.append(
                f"quantiser {about}{float(self.quantiser.mean()):.0f}, a step of {self.step:.1f} levels"
            )
        if self.predicted:
            parts.append(f"{float(self.repeated.mean()):.0%} of the blocks repeated")
        return ", ".join(parts)


def measure_compression(info: ClipInfo) -> Compression | None:
    """Look at the pictures of a clip as they are coded; None for a folder of images.

    Args:
        info: of the clip.

    Raises:
        InputError: if it cannot be opened.
    """
    if info.is_folder:
        return None
    container, stream = open_stream(info.path)
    with container:
        stream.codec_context.options = {"export_side_data": "venc_params"}
        types: list[str] = []
        quantisers: list[Array] = []
        repeats: list[NDArray[np.bool_]] = []
        before: NDArray | None = None
        bits = 8 * _bytes(info.path, stream, container)
        try:
            for frame in container.decode(stream):
                types.append(PictureType(frame.pict_type).name)
                quantiser = _quantiser(frame)
                if quantiser is not None:
                    quantisers.append(quantiser)
                luma = _luma(frame)
                if before is not None and before.shape == luma.shape:
                    repeats.append(_repeated(luma, before))
                before = luma
                if len(types) == FRAMES:
                    break
        except av.FFmpegError:
            pass  # What the reader says of a damaged clip is enough.
    seen = list(dict.fromkeys(types))
    predicted = any(name in ("P", "B") for name in seen)
    keys = [number for number, name in enumerate(types) if name == "I"]
    frames = info.frames or len(types)
    bits_per_px = bits / max(frames * info.width * info.height, 1)
    guess = GUESS - GUESS_SLOPE * math.log10(max(bits_per_px, 1e-4) / GUESS_AT_BITS)
    turned = -round(info.rotation / 90)
    repeated = np.mean(repeats, axis=0) if repeats else np.zeros((1, 1))
    return Compression(
        codec=info.codec,
        predicted=predicted,
        picture_types={name: types.count(name) for name in seen},
        group=round(float(np.diff(keys).mean())) if len(keys) > 1 and predicted else None,
        bits_per_px=bits_per_px,
        quantiser=np.rot90(
            np.mean(quantisers, axis=0) if quantisers else np.full((1, 1), max(guess, 1.0)), turned
        ),
        guessed=not quantisers,
        repeated=np.rot90(repeated, turned),
        doubled=tuple(
            number + 1
            for number, each in enumerate(repeats)
            if predicted and each.mean() >= WHOLE > repeated.mean()
        ),
        frames=len(types),
    )


def _within(grid: Array, x: float, y: float, width: float, height: float) -> Array:
    if grid.size == 1:
        return grid
    rows, columns = grid.shape
    top, left = min(int(y // BLOCK), rows - 1), min(int(x // BLOCK), columns - 1)
    bottom, right = math.ceil((y + height) / BLOCK), math.ceil((x + width) / BLOCK)
    return grid[max(top, 0) : max(bottom, top + 1), max(left, 0) : max(right, left + 1)]


def _bytes(path: Path, stream: av.video.stream.VideoStream, container: av.container.InputContainer) -> float:
    if stream.bit_rate and stream.duration and stream.time_base:
        return stream.bit_rate / 8 * float(stream.duration * stream.time_base)
    return path.stat().st_size


def _quantiser(frame: VideoFrame) -> Array | None:
    """Return the quantiser of each block of a frame, from FFmpeg's AVVideoEncParams; None if it has none."""
    try:
        side_data: Any = frame.side_data
        data = next((bytes(each) for each in side_data if each.type == Type.VIDEO_ENC_PARAMS), None)
    except ValueError:
        return None  # Side data of a kind that PyAV does not know.
    if data is None:
        return None
    # struct { unsigned nb_blocks; size_t blocks_offset, block_size; int type, qp; … }
    count = int(np.frombuffer(data, np.uint32, 1)[0])
    offset, size = (int(value) for value in np.frombuffer(data, np.uint64, 2, 8))
    kind, quantiser = (int(value) for value in np.frombuffer(data, np.int32, 2, 24))
    if kind not in (_H264, _MPEG2):
        return None
    columns, rows = math.ceil(frame.width / BLOCK), math.ceil(frame.height / BLOCK)
    grid = np.full((rows, columns), float(quantiser))
    if count and size >= 20:
        # struct { int src_x, src_y, w, h; int32_t delta_qp; }
        blocks = np.frombuffer(data, np.int32, count * size // 4, offset).reshape(count, size // 4)
        row, column = (blocks[:, 1] // BLOCK).clip(0, rows - 1), (blocks[:, 0] // BLOCK).clip(0, columns - 1)
        grid[row, column] += blocks[:, 4]
    # MPEG-2 and MPEG-4 part 2: the step is twice the quantiser.
    return grid if kind == _H264 else 4 + 6 * np.log2(2 * grid.clip(1))


def _luma(frame: VideoFrame) -> NDArray[np.integer]:
    """Return a frame's first plane (H, W), copied."""
    plane: Any = frame.planes[0]
    kind: Any = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    return rows[:, : plane.width].copy()


def _repeated(luma: NDArray[np.integer], before: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which blocks of 16×16 px are those of the frame before."""
    rows, columns = (max(1, math.ceil(side / BLOCK)) for side in luma.shape)
    padded = np.zeros((rows * BLOCK, columns * BLOCK), bool)
    padded[: luma.shape[0], : luma.shape[1]] = luma != before
    return np.asarray(~padded.reshape(rows, BLOCK, columns, BLOCK).any((1, 3)))
