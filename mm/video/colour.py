"""Colour codes of a stream, and the exact way between its planes and RGB.

Ordinary players show 8-bit limited-range Y'CbCr with halved chroma. What is magnified is R'G'B' in [0, 1].
The way between the two is done here on float32 tensors rather than by a scaler that works in integers, so
that 10-bit samples keep their precision and so that the matrix and the range that the stream names are the
ones that are used.

Chroma is brought to full size by linear interpolation, and back by the filter that is its *left inverse*
(the dual filters of Cohen, Daubechies and Feauveau, 1992): planes that are decoded and written again without
a change come out as they went in, where the usual averaging blurs chroma a little more each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mm.errors import InputError

# Code points of ITU-T H.273, which are also those of the containers and of FFmpeg.
UNSPECIFIED = 2
RGB = 0
BT709 = 1
BT601 = 6
SRGB_TRANSFER = 13

# (Kr, Kb) of each matrix: H.273 table 4.
_LUMA_WEIGHTS = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_UNSUPPORTED = {
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "chromaticity-derived",
    14: "ICtCp",
}


@dataclass(frozen=True)
class Colour:
    """A stream's colour tags, as H.273 code points.

    Attributes:
        matrix: how luma and chroma are made of RGB (1: BT.709, 5 and 6: BT.601, 9: BT.2020; 0: no matrix,
            RGB).
        full_range: True if black and white are the lowest and the highest code ("pc" range).
        primaries: the primaries; carried through, not converted.
        transfer: the transfer curve; carried through, not converted.
    """

    matrix: int
    full_range: bool
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    def __post_init__(self) -> None:
        if self.matrix != RGB and self.matrix not in _LUMA_WEIGHTS:
            name = _UNSUPPORTED.get(self.matrix, "unknown")
            raise InputError(
                f"colour matrix {self.matrix} ({name}) cannot be read; convert the clip to BT.709 first, "
                "for example with `ffmpeg -i IN -vf scale=out_color_matrix=bt709 OUT`"
            )

    @property
    def for_output(self) -> Colour:
        """The colours for a Y'CbCr copy: the same, or, for RGB, BT.709 in limited range with sRGB's curve."""
        if self.matrix != RGB:
            return self
        known = self.primaries != UNSPECIFIED
        return Colour(
            BT709,
            full_range=False,
            primaries=self.primaries if known else BT709,
            transfer=self.transfer if self.transfer != UNSPECIFIED else SRGB_TRANSFER,
        )


def guess_matrix(width: int, height: int) -> int:
    """Return the matrix that players take for a stream that names none: BT.709 for HD, BT.601 below."""
    return BT709 if width >= 1280 or height >= 720 else BT601


@dataclass(frozen=True)
class Subsampling:
    """The placement of chroma planes on the frame.

    Attributes:
        horizontal: True if chroma has half the columns (rounded up).
        vertical: True if chroma has half the rows (rounded up).
        centred: True if a chroma sample lies between two columns, as in JPEG; False if it lies on the even
            ones, as MPEG-2, H.264 and H.265 have it. Between rows it always lies in the middle.
    """

    horizontal: bool
    vertical: bool
    centred: bool = False


def ycbcr_to_rgb(
    y: Tensor, cb: Tensor, cr: Tensor, *, bit_depth: int, colour: Colour, subsampling: Subsampling
) -> Tensor:
    """Turn planes of codes into R'G'B'.

    Args:
        y: (n, H, W) luma codes, any dtype.
        cb: (n, H or ceil(H/2), W or ceil(W/2)) chroma codes.
        cr: the same for the other chroma.
        bit_depth: bits of a code.
        colour: matrix and range of the codes.
        subsampling: where the chroma samples lie.

    Returns:
        (n, 3, H, W) float32 in [0, 1]; codes outside the RGB cube are clamped.
    """
    luma_zero, luma_span, chroma_zero, chroma_span = _levels(bit_depth, colour.full_range)
    kr, kb = _LUMA_WEIGHTS[colour.matrix]
    # Chroma is scaled while it is small. Neutral chroma adds an exact 0 to all three.
    blue = (cb.float() - chroma_zero).mul_(2 * (1 - kb) / chroma_span)
    red = (cr.float() - chroma_zero).mul_(2 * (1 - kr) / chroma_span)
    green = (kr * red + kb * blue).div_(kr + kb - 1)
    luma = y.float().sub_(luma_zero).div_(luma_span)
    rgb = luma.new_empty(len(luma), 3, *luma.shape[1:])
    for channel, chroma in enumerate((red, green, blue)):
        _upsample(chroma, rgb[:, channel], subsampling)
        rgb[:, channel].add_(luma)
    return rgb.clamp_(0, 1)


def rgb_to_ycbcr(
    rgb: Tensor, *, bit_depth: int, colour: Colour, subsampling: Subsampling
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn R'G'B' into planes of codes: the inverse of :func:`ycbcr_to_rgb`.

    Args:
        rgb: (n, 3, H, W) float32 in [0, 1].
        bit_depth: bits of a code.
        colour: matrix and range of the codes.
        subsampling: where the chroma samples lie.

    Returns:
        Luma (n, H, W) and two chroma planes (n, H or ceil(H/2), W or ceil(W/2)): codes rounded to nearest,
        uint8 for 8 bits, int32 for more.
    """
    luma_zero, luma_span, chroma_zero, chroma_span = _levels(bit_depth, colour.full_range)
    kr, kb = _LUMA_WEIGHTS[colour.matrix]
    r, g, b = rgb.float().unbind(1)
    luma = (kr * r).add_(g, alpha=1 - kr - kb).add_(b, alpha=kb)
    top = 2**bit_depth - 1

    def codes(plane: Tensor, span: float, zero: int) -> Tensor:
        plane = plane.mul_(span).add_(zero).round_().clamp_(0, top)
        return plane.to(torch.uint8 if bit_depth == 8 else torch.int32)

    blue = codes(_downsample(b - luma, subsampling), chroma_span / (2 * (1 - kb)), chroma_zero)
    red = codes(_downsample(r - luma, subsampling), chroma_span / (2 * (1 - kr)), chroma_zero)
    return codes(luma, luma_span, luma_zero), blue, red


def grey_to_rgb(y: Tensor, *, bit_depth: int, full_range: bool) -> Tensor:
    """Turn (n, H, W) luma codes into (n, 3, H, W) float32 in [0, 1], three equal channels."""
    zero, span, _, _ = _levels(bit_depth, full_range)
    luma = ((y.float() - zero) / span).clamp_(0, 1)
    return luma.unsqueeze(1).expand(-1, 3, -1, -1).contiguous()


def _levels(bit_depth: int, full_range: bool) -> tuple[int, int, int, int]:
    """Code of black, codes from black to white, code of no chroma, codes across the chroma range (H.273)."""
    if full_range:
        top = 2**bit_depth - 1
        return 0, top, 2 ** (bit_depth - 1), top
    step = 2 ** (bit_depth - 8)
    return 16 * step, 219 * step, 128 * step, 224 * step


def _upsample(plane: Tensor, out: Tensor, subsampling: Subsampling) -> None:
    """Write a chroma plane at full size into ``out`` (n, H, W)."""
    if subsampling.vertical:
        tall = plane.new_empty(len(plane), out.shape[1], plane.shape[2])
        _up_centred(plane.mT, tall.mT)
        plane = tall
    if subsampling.horizontal:
        (_up_centred if subsampling.centred else _up_cosited)(plane, out)
    else:
        out.copy_(plane)


def _downsample(plane: Tensor, subsampling: Subsampling) -> Tensor:
    if subsampling.horizontal:
        plane = _decimate(plane, *(_CENTRED if subsampling.centred else _COSITED))
    if subsampling.vertical:
        plane = _decimate(plane.mT, *_CENTRED).mT
    return plane


def _up_cosited(plane: Tensor, out: Tensor) -> None:
    """Double the last dimension where samples lie on the even places; the odd ones become means."""
    out[..., 0::2] = plane
    between = out[..., 1::2]
    count = plane.shape[-1] - 1
    torch.add(plane[..., :-1], plane[..., 1:], out=between[..., :count]).mul_(0.5)
    between[..., count:] = plane[..., -1:]


def _up_centred(plane: Tensor, out: Tensor) -> None:
    """Double the last dimension where a sample lies in the middle of two places: weights 3/4 and 1/4."""
    left, right = out[..., 0::2], out[..., 1::2]
    left[..., :1] = plane[..., :1]
    torch.lerp(plane[..., 1:], plane[..., :-1], 0.25, out=left[..., 1:])
    count = plane.shape[-1] - 1
    torch.lerp(plane[..., :-1], plane[..., 1:], 0.25, out=right[..., :count])
    right[..., count:] = plane[..., -1:]


# Filters that halve: how many samples before the kept one they begin, and their taps. The left inverse of
# :func:`_up_cosited` (analysis low-pass of the 5/3 pair), and that of :func:`_up_centred` (of the 3/1 pair).
_COSITED = (2, (-0.125, 0.25, 0.75, 0.25, -0.125))
_CENTRED = (1, (-0.25, 0.75, 0.75, -0.25))


def _decimate(plane: Tensor, before: int, taps: tuple[float, ...]) -> Tensor:
    """Halve the last dimension of (n, H, W), whose border samples are repeated."""
    count = (plane.shape[-1] + 1) // 2
    edges = plane[..., :1].expand(-1, -1, before), plane[..., -1:].expand(-1, -1, len(taps))
    padded = torch.cat([edges[0], plane, edges[1]], -1)
    total = taps[0] * padded[..., 0 : 2 * count : 2]
    for offset, tap in enumerate(taps[1:], 1):
        total.add_(padded[..., offset : offset + 2 * count : 2], alpha=tap)
    return total
