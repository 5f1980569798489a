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
import torch.nn.functional as F
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
    """What a stream says of its colours, as H.273 code points.

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
    """How chroma planes are laid on the frame.

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
    luma = (y.float() - luma_zero) / luma_span
    blue, red = (
        _upsample((chroma.float() - chroma_zero) / chroma_span, luma.shape[-2:], subsampling)
        for chroma in (cb, cr)
    )
    kr, kb = _LUMA_WEIGHTS[colour.matrix]
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return torch.stack([r, g, b], dim=1).clamp_(0, 1)


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
        Luma (n, H, W) and two chroma planes (n, H or ceil(H/2), W or ceil(W/2)), int32 codes, rounded to
        nearest.
    """
    luma_zero, luma_span, chroma_zero, chroma_span = _levels(bit_depth, colour.full_range)
    kr, kb = _LUMA_WEIGHTS[colour.matrix]
    r, g, b = rgb.float().unbind(1)
    luma = kr * r + (1 - kr - kb) * g + kb * b
    blue = _downsample((b - luma) / (2 * (1 - kb)), subsampling)
    red = _downsample((r - luma) / (2 * (1 - kr)), subsampling)
    top = 2**bit_depth - 1
    return (
        (luma * luma_span + luma_zero).round_().clamp_(0, top).int(),
        (blue * chroma_span + chroma_zero).round_().clamp_(0, top).int(),
        (red * chroma_span + chroma_zero).round_().clamp_(0, top).int(),
    )


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


def _upsample(plane: Tensor, size: torch.Size, subsampling: Subsampling) -> Tensor:
    if subsampling.vertical:
        plane = _up_centred(plane, size[0], dim=-2)
    if subsampling.horizontal:
        up = _up_centred if subsampling.centred else _up_cosited
        plane = up(plane, size[1], dim=-1)
    return plane


def _downsample(plane: Tensor, subsampling: Subsampling) -> Tensor:
    if subsampling.horizontal:
        down = _down_centred if subsampling.centred else _down_cosited
        plane = down(plane, dim=-1)
    if subsampling.vertical:
        plane = _down_centred(plane, dim=-2)
    return plane


def _up_cosited(plane: Tensor, size: int, dim: int) -> Tensor:
    """Double along ``dim`` where samples lie on the even places: those are kept, the odd ones are means."""
    after = _pad(plane, 0, 1, dim).narrow(dim, 1, plane.shape[dim])
    return _interleave(plane, (plane + after) / 2, size, dim)


def _up_centred(plane: Tensor, size: int, dim: int) -> Tensor:
    """Double along ``dim`` where a sample lies in the middle of two places: weights 3/4 and 1/4."""
    padded, count = _pad(plane, 1, 1, dim), plane.shape[dim]
    before, after = padded.narrow(dim, 0, count), padded.narrow(dim, 2, count)
    return _interleave(0.75 * plane + 0.25 * before, 0.75 * plane + 0.25 * after, size, dim)


def _down_cosited(plane: Tensor, dim: int) -> Tensor:
    """Halve along ``dim``: the left inverse of :func:`_up_cosited` (analysis low-pass of the 5/3 pair)."""
    return _decimate(plane, (-0.125, 0.25, 0.75, 0.25, -0.125), 2, dim)


def _down_centred(plane: Tensor, dim: int) -> Tensor:
    """Halve along ``dim``: the left inverse of :func:`_up_centred` (analysis low-pass of the 3/1 pair)."""
    return _decimate(plane, (-0.25, 0.75, 0.75, -0.25), 1, dim)


def _decimate(plane: Tensor, taps: tuple[float, ...], before: int, dim: int) -> Tensor:
    count = (plane.shape[dim] + 1) // 2
    padded = _pad(plane, before, len(taps), dim)
    steps = torch.arange(count, device=plane.device) * 2
    total = torch.zeros((), device=plane.device)
    for offset, tap in enumerate(taps):
        total = total + tap * padded.index_select(dim, steps + offset)
    return total


def _interleave(even: Tensor, odd: Tensor, size: int, dim: int) -> Tensor:
    place = dim % even.ndim
    return torch.stack([even, odd], dim=place + 1).flatten(place, place + 1).narrow(place, 0, size)


def _pad(plane: Tensor, before: int, after: int, dim: int) -> Tensor:
    """Repeat the border samples along ``dim`` (-1 or -2) of an (n, H, W) tensor."""
    pad = (before, after, 0, 0) if dim == -1 else (0, 0, before, after)
    return F.pad(plane.unsqueeze(0), pad, mode="replicate").squeeze(0)
