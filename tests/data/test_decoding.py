from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mm.data.decoding import UnreadableImage, image_files, read_cutout, read_photograph

RAMP = np.linspace(0, 255, 64).astype(np.uint8)[None, :].repeat(48, axis=0)


def test_grey_palette_and_16_bit_files_become_the_same_rgb(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    Image.fromarray(RAMP).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack((RAMP, RAMP // 2))).save(tmp_path / "grey_alpha.png")
    for name in ("grey", "palette", "deep", "grey_alpha"):
        pixels = read_photograph(tmp_path / f"{name}.png")
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.dstack((RAMP, RAMP, RAMP)), err_msg=name)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    orange = Image.new("RGB", (40, 40), (240, 120, 20))
    orange.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert np.abs(read_photograph(tmp_path / "print.jpg").astype(int) - (240, 120, 20)).max() <= 6


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    upright = np.zeros((30, 50, 3), np.uint8)
    upright[:10, :10] = 255
    exif = Image.Exif()
    # 6: to be shown turned by 90° clockwise; so it is stored turned the other way.
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright, 1)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_photograph(tmp_path / "turned.png"), upright)


def test_webp_keeps_alpha_and_is_cropped(tmp_path: Path) -> None:
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[10:30, 20:50] = (200, 100, 50, 255)
    rgba[10, 20:50, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "object.webp", lossless=True)
    np.testing.assert_array_equal(read_cutout(tmp_path / "object.webp"), rgba[10:30, 20:50])


def test_palette_transparency_is_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    image.paste(1, (5, 6, 15, 16))
    image.save(tmp_path / "object.png", transparency=0)
    pixels = read_cutout(tmp_path / "object.png")
    assert pixels.shape == (10, 10, 4)
    assert (pixels == (255, 0, 0, 255)).all()


def test_large_photographs_are_shrunk_to_the_limit(tmp_path: Path) -> None:
    Image.fromarray(np.kron(RAMP, np.ones((10, 10), np.uint8))).save(tmp_path / "large.jpg")
    pixels = read_photograph(tmp_path / "large.jpg", shortest_side=100)
    assert pixels.shape == (100, 133, 3)
    assert read_photograph(tmp_path / "large.jpg", shortest_side=None).shape == (480, 640, 3)


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(RAMP).save(whole)
    broken = {
        "truncated.jpg": whole.read_bytes()[:-200],
        "text.png": b"not an image",
        "empty.webp": b"",
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage, match=name):
            read_photograph(tmp_path / name)


def test_what_is_no_cutout_is_said(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "opaque.png")
    with pytest.raises(UnreadableImage, match=r"opaque\.png has no transparency"):
        read_cutout(tmp_path / "opaque.png")
    Image.fromarray(np.zeros((9, 9, 4), np.uint8)).save(tmp_path / "nothing.png")
    with pytest.raises(UnreadableImage, match="transparent everywhere"):
        read_cutout(tmp_path / "nothing.png")


def test_files_are_found_at_any_depth_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a.jpeg", "b/1.webp", ".hidden/3.jpg", "._a.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in image_files(tmp_path)]
    assert found == ["a.jpeg", "b/1.webp", "b/2.PNG"]
