"""Conversion between planes and RGB, against the standards' own numbers and FFmpeg's scaler."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from mm.errors import InputError
from mm.video.colour import (
    BT601,
    BT709,
    RGB,
    Colour,
    Subsampling,
    grey_to_rgb,
    guess_matrix,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)

FULL_SIZE = Subsampling(False, False)
# 100 % colour bars as the standards' tables have them: (R, G, B) → (Y, Cb, Cr).
BARS = {
    (BT601, False, 8): {
        (1, 1, 1): (235, 128, 128),
        (1, 0, 0): (81, 90, 240),
        (0, 1, 0): (145, 54, 34),
        (0, 0, 1): (41, 240, 110),
        (0, 0, 0): (16, 128, 128),
    },
    (BT709, False, 8): {(1, 0, 0): (63, 102, 240), (0, 1, 0): (173, 42, 26), (0, 0, 1): (32, 240, 118)},
    (BT709, False, 10): {(1, 1, 1): (940, 512, 512), (1, 0, 0): (250, 409, 960), (0, 1, 1): (754, 615, 64)},
    (9, False, 10): {(1, 0, 0): (294, 387, 960), (0, 0, 1): (116, 960, 476)},
    (BT601, True, 8): {(1, 1, 1): (255, 128, 128), (0, 0, 0): (0, 128, 128), (0, 0, 1): (29, 255, 107)},
}


@pytest.mark.parametrize("case", BARS)
def test_colour_bars_have_the_codes_of_the_standards(case: tuple[int, bool, int]) -> None:
    matrix, full_range, depth = case
    colour = Colour(matrix, full_range)
    for rgb, codes in BARS[case].items():
        frame = torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)
        planes = rgb_to_ycbcr(frame, bit_depth=depth, colour=colour, subsampling=FULL_SIZE)
        assert tuple(int(plane) for plane in planes) == codes
        y, cb, cr = (torch.tensor([[[code]]]) for code in codes)
        back = ycbcr_to_rgb(y, cb, cr, bit_depth=depth, colour=colour, subsampling=FULL_SIZE)
        assert (back - frame).abs().max() < 2 / 2**depth


@pytest.mark.parametrize(("space", "matrix"), [("ITU709", BT709), ("ITU601", BT601)])
@pytest.mark.parametrize("full_range", [False, True])
def test_agrees_with_ffmpeg(space: str, matrix: int, full_range: bool) -> None:
    generator = np.random.default_rng(1)
    frame = av.VideoFrame(64, 48, "yuv444p")
    codes = [generator.integers(60, 190, (48, 64), dtype=np.uint8) for _ in range(3)]
    for plane, values in zip(frame.planes, codes, strict=True):
        plane.update(values.tobytes())
    oracle = frame.reformat(
        format="rgb24",
        src_colorspace=space,
        src_color_range="JPEG" if full_range else "MPEG",
        dst_color_range="JPEG",
        interpolation="LANCZOS",
    ).to_ndarray()
    ours = ycbcr_to_rgb(
        *(torch.from_numpy(values).unsqueeze(0) for values in codes),
        bit_depth=8,
        colour=Colour(matrix, full_range),
        subsampling=FULL_SIZE,
    )
    difference = ours[0].permute(1, 2, 0).numpy() * 255 - oracle
    # The scaler works in 8 bits and truncates; a wrong matrix or range would miss by 10 and more.
    assert np.abs(difference).max() < 2.5
    assert abs(difference.mean()) < 1


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full_range", [False, True])
# Not among these, since the one case that is not exact: an odd length along which chroma is centred.
@pytest.mark.parametrize(
    ("size", "centred"),
    [
        ((16, 24), False),
        ((10, 7), False),
        ((2, 2), False),
        ((12, 1), False),
        ((16, 24), True),
        ((2, 2), True),
    ],
)
def test_planes_survive_decoding_and_encoding(
    depth: int, full_range: bool, size: tuple[int, int], centred: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    step = 2 ** (depth - 8)
    y = torch.randint(110 * step, 150 * step, (2, *size), generator=generator)
    # Weak enough chroma for every colour to be within the RGB cube, where nothing is clamped.
    cb, cr = (torch.randint(112 * step, 145 * step, (2, *half), generator=generator) for _ in range(2))
    kind = {
        "bit_depth": depth,
        "colour": Colour(BT709, full_range),
        "subsampling": Subsampling(True, True, centred),
    }
    rgb = ycbcr_to_rgb(y, cb, cr, **kind)
    assert rgb.shape == (2, 3, *size)
    for before, after in zip((y, cb, cr), rgb_to_ycbcr(rgb, **kind), strict=True):
        assert torch.equal(before.int(), after.int())


def test_chroma_is_not_shifted() -> None:
    # A horizontal ramp of chroma stays on its line at full size: samples lie on even columns.
    cb = torch.arange(100.0, 116.0).view(1, 1, 16).expand(1, 4, 16)
    y = torch.full((1, 8, 32), 128.0)
    colour = Colour(BT601, True)
    rgb = ycbcr_to_rgb(
        y, cb, torch.full_like(cb, 128), bit_depth=8, colour=colour, subsampling=Subsampling(True, True)
    )
    blue = rgb[0, 2, 4, :31] * 255 - 128
    expected = 1.772 * (100 + torch.arange(31) / 2 - 128)
    torch.testing.assert_close(blue, expected, atol=1e-3, rtol=0)


def test_grey_levels_of_ten_bits_stay_apart() -> None:
    codes = torch.arange(64, 941).view(1, 1, -1)
    grey = grey_to_rgb(codes, bit_depth=10, full_range=False)
    assert grey.shape == (1, 3, 1, 877)
    torch.testing.assert_close(grey[0, 0, 0], torch.linspace(0, 1, 877), atol=1e-6, rtol=0)


def test_untagged_streams_are_taken_as_players_take_them() -> None:
    assert guess_matrix(1920, 1080) == guess_matrix(1280, 544) == BT709
    assert guess_matrix(640, 480) == BT601


def test_rgb_becomes_tagged_bt709() -> None:
    out = Colour(RGB, full_range=True).for_output
    assert (out.matrix, out.full_range, out.primaries) == (BT709, False, BT709)


def test_an_unknown_matrix_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"14 \(ICtCp\)"):
        Colour(14, False)
