"""Between the planes of a decoder's or encoder's frame and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import torch
from av import VideoFrame
from torch import Tensor

from mm.errors import InputError
from mm.video.colour import RGB, Colour, Subsampling, grey_to_rgb, rgb_to_ycbcr, ycbcr_to_rgb

# Packed 8-bit RGB: bytes a pixel, and where red, green and blue are among them.
_PACKED = {
    "rgb24": (3, (0, 1, 2)),
    "bgr24": (3, (2, 1, 0)),
    "rgb0": (4, (0, 1, 2)),
    "rgba": (4, (0, 1, 2)),
    "bgr0": (4, (2, 1, 0)),
    "bgra": (4, (2, 1, 0)),
    "0rgb": (4, (1, 2, 3)),
    "argb": (4, (1, 2, 3)),
    "0bgr": (4, (3, 2, 1)),
    "abgr": (4, (3, 2, 1)),
}
# FFmpeg's codes of the range.
_LIMITED, _FULL = 1, 2
# Chroma widths and heights relative to luma, as format names write them.
_SUBSAMPLED = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}


@dataclass(frozen=True)
class PixelFormat:
    """The properties of a pixel format that reading needs.

    Attributes:
        name: FFmpeg's name.
        kind: "ycbcr", "grey" or "rgb".
        bit_depth: bits of a code.
        read_as: the format that the frame is brought to first, by moving samples only; ``name`` if none is
            needed.
        horizontal: chroma has half the columns.
        vertical: chroma has half the rows.
        white: codes of red, green and blue at their highest, for planar RGB.
    """

    name: str
    kind: str
    bit_depth: int
    read_as: str
    horizontal: bool = False
    vertical: bool = False
    white: tuple[int, ...] = ()


def describe(name: str) -> PixelFormat:
    """Return what must be known of FFmpeg's pixel format ``name``.

    Raises:
        InputError: if its samples are floating point or its layout is none that can be read.
    """
    layout = av.VideoFormat(name, 64, 64)
    if name.startswith("xyz"):
        raise InputError(
            f"pixel format {name} (digital cinema XYZ) cannot be read; convert the clip to RGB first"
        )
    depth = max(component.bits for component in layout.components)
    if name in _PACKED:
        return PixelFormat(name, "rgb", depth, name)
    if layout.is_rgb or layout.has_palette or name.startswith("mono"):
        white = (2 ** max(depth, 8) - 1,) * 3
        if layout.is_rgb and depth < 8:
            # FFmpeg fills the lower bits of 5:5:5 and the like with zeros: 248 is white.
            frame = VideoFrame(8, 8, name)
            for plane in frame.planes:
                plane.update(b"\xff" * plane.buffer_size)
            # Its planar order is green, blue, red.
            g, b, r = (int(_rows(frame.reformat(format="gbrp"), index, 8)[0, 0]) for index in range(3))
            white = (r, g, b)
        depth = max(depth, 8)
        read_as = "gbrp" if depth == 8 else f"gbrp{_container(depth)}le"
        return PixelFormat(name, "rgb", depth, read_as, white=white)
    if len(layout.components) <= 2:
        return PixelFormat(name, "grey", depth, "gray" if depth == 8 else f"gray{_container(depth)}le")
    ratio = (64 // layout.chroma_width(64), 64 // layout.chroma_height(64))
    if ratio not in _SUBSAMPLED:
        # 4:1:1, 4:1:0, 4:4:0: rare enough to leave the interpolation to FFmpeg.
        ratio = (1, 1)
    full = name.startswith("yuvj")
    target = f"yuv{'j' if full else ''}{_SUBSAMPLED[ratio]}p"
    if depth > 8:
        target = f"yuv{_SUBSAMPLED[ratio]}p{_container(depth)}le"
    return PixelFormat(name, "ycbcr", depth, target, ratio[0] == 2, ratio[1] == 2)


def _container(depth: int) -> int:
    if depth not in (9, 10, 12, 14, 16):
        raise InputError(
            f"a pixel format of {depth} bits a sample cannot be read; convert the clip to 8, 10, 12 or 16"
        )
    return depth


def frames_to_rgb(
    frames: Sequence[VideoFrame],
    layout: PixelFormat,
    colour: Colour,
    *,
    centred_chroma: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return decoded frames of one size and format as (n, 3, H, W) float32 R'G'B' in [0, 1].

    The codes go to the device as they are, in a quarter of the bytes or less, and become RGB there.

    Args:
        frames: the decoded frames.
        layout: what :func:`describe` says of their format.
        colour: matrix and range of the stream.
        centred_chroma: see :class:`mm.video.colour.Subsampling`.
        device: where the result is.
    """
    if layout.read_as != layout.name:
        kind: dict[str, Any] = {"src_color_range": _range(colour), "dst_color_range": _range(colour)}
        frames = [frame.reformat(format=layout.read_as, **kind) for frame in frames]
    width, height = frames[0].width, frames[0].height

    def plane(index: int, width: int = width, height: int = height) -> Tensor:
        rows = [_rows(frame, index, layout.bit_depth)[:height, :width] for frame in frames]
        return torch.from_numpy(np.stack(rows)).to(device)

    if layout.read_as in _PACKED:
        size, order = _PACKED[layout.read_as]
        packed = plane(0, width * size).unflatten(2, (width, size))
        return torch.stack([packed[..., place] for place in order], dim=1).float().div_(255)
    if layout.kind == "rgb":
        # FFmpeg's planar order is green, blue, red.
        rgb = torch.stack([plane(index) for index in (2, 0, 1)], dim=1).float()
        return rgb.div_(torch.tensor(layout.white, device=device).view(3, 1, 1))
    if layout.kind == "grey":
        return grey_to_rgb(plane(0), bit_depth=layout.bit_depth, full_range=colour.full_range)
    size_c = (
        (width + 1) // 2 if layout.horizontal else width,
        (height + 1) // 2 if layout.vertical else height,
    )
    return ycbcr_to_rgb(
        plane(0),
        plane(1, *size_c),
        plane(2, *size_c),
        bit_depth=layout.bit_depth,
        colour=colour,
        subsampling=Subsampling(layout.horizontal, layout.vertical, centred_chroma),
    )


def rgb_to_frames(rgb: Tensor, pixel_format: str, colour: Colour) -> list[VideoFrame]:
    """Return (n, 3, H, W) R'G'B' in [0, 1] as ``n`` frames for an encoder.

    Args:
        rgb: the frames; codes are made where they are.
        pixel_format: "yuv420p", "yuv420p10le", "bgr0", or "gbrp" of 10, 12, 14 or 16 bits.
        colour: matrix and range for the first two; primaries and transfer, which are written into the tags.
    """
    count, _, height, width = rgb.shape
    frames = [VideoFrame(width, height, pixel_format) for _ in range(count)]
    depth = av.VideoFormat(pixel_format).components[0].bits
    if pixel_format == "bgr0":
        codes = rgb.mul(255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        for frame, pixels in zip(frames, codes, strict=True):
            rows = _rows(frame, 0, 8)
            rows[:, : 4 * width].reshape(height, width, 4)[:, :, :3] = pixels[:, :, ::-1]
    elif pixel_format.startswith("gbrp"):
        rgb_codes = rgb.double().mul(2**depth - 1).round_().clamp_(0, 2**depth - 1).int().cpu()
        for frame, (r, g, b) in zip(frames, rgb_codes, strict=True):
            for index, plane in enumerate((g, b, r)):
                _write_plane(frame, index, plane, depth)
    else:
        planes = [
            plane.cpu()
            for plane in rgb_to_ycbcr(
                rgb, bit_depth=depth, colour=colour, subsampling=Subsampling(True, True)
            )
        ]
        for number, frame in enumerate(frames):
            for index, plane in enumerate(planes):
                _write_plane(frame, index, plane[number], depth)
    return [marked(frame, colour) for frame in frames]


def marked(frame: VideoFrame, colour: Colour) -> VideoFrame:
    """Return a frame for an encoder with its colours' tags."""
    is_rgb = frame.format.is_rgb
    frame.colorspace = RGB if is_rgb else colour.matrix
    frame.color_range = _FULL if is_rgb else _range(colour)
    frame.color_primaries = colour.primaries
    frame.color_trc = colour.transfer
    return frame


def _range(colour: Colour) -> int:
    return _FULL if colour.full_range or colour.matrix == RGB else _LIMITED


def _write_plane(frame: VideoFrame, index: int, codes: Tensor, bit_depth: int) -> None:
    height, width = codes.shape
    _rows(frame, index, bit_depth)[:height, :width] = codes.numpy()


def _rows(frame: VideoFrame, index: int, bit_depth: int) -> np.ndarray:
    """A plane's own memory as rows of codes, with what FFmpeg pads them by."""
    plane: Any = frame.planes[index]
    codes = np.frombuffer(plane, np.uint8 if bit_depth == 8 else np.dtype("<u2"))
    return codes.reshape(-1, plane.line_size // codes.itemsize)
