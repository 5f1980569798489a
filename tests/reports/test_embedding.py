"""A copy for the page: as it is where it fits, else the same picture in fewer bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mm.errors import InputError
from mm.reports.embedding import Embedded, _encode, embeddable
from mm.video import read_clip, write_clip

FRAMES, HEIGHT, WIDTH = 24, 240, 320


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coarse texture under fine noise, which a codec cannot predict."""
    generator = torch.Generator().manual_seed(0)
    coarse = F.interpolate(torch.rand(1, 3, 6, 8, generator=generator), (HEIGHT, WIDTH), mode="bicubic")
    noise = 0.1 * torch.randn(FRAMES, 3, HEIGHT, WIDTH, generator=generator)
    path = tmp_path_factory.mktemp("clip") / "large.mp4"
    write_clip(path, (0.25 + 0.5 * coarse + noise).clamp(0, 1), rate=25)
    return path


def reread(made: Embedded, folder: Path) -> tuple[torch.Tensor, float]:
    path = folder / "copy.mp4"
    path.write_bytes(made.data)
    frames, info = read_clip(path)
    assert (info.height, info.width) == made.size
    assert len(frames) == -(-FRAMES // made.every)
    return frames, float(info.rate)


def test_what_fits_is_left_as_it_is(large: Path) -> None:
    made = embeddable(large, large.stat().st_size)
    assert made == Embedded(large.read_bytes(), (HEIGHT, WIDTH))
    assert made.says == ""


@pytest.mark.parametrize("part", [2, 8, 30])
def test_what_does_not_fit_keeps_its_picture_and_its_times(large: Path, tmp_path: Path, part: int) -> None:
    limit = large.stat().st_size // part
    made = embeddable(large, limit)
    assert made.reduced
    assert len(made.data) <= limit
    frames, rate = reread(made, tmp_path)
    assert made.every == 1
    assert rate == 25
    wanted = F.interpolate(read_clip(large)[0].mean(0)[None], made.size, mode="bicubic", antialias=True)
    assert float((frames.mean(0) - wanted[0]).abs().mean()) < 0.02
    assert made.says.endswith(f"{made.size[1]}×{made.size[0]} px and compressed more")


def test_at_last_frames_are_left_out(tmp_path: Path) -> None:
    """Every frame is another picture, so that each takes its own bytes."""
    pictures = torch.rand(FRAMES, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    large = tmp_path / "large.mp4"
    write_clip(large, F.interpolate(pictures, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1), rate=25)
    _encode(large, tmp_path / "small.mp4", (120, 160), 1)
    limit = (tmp_path / "small.mp4").stat().st_size // 3
    made = embeddable(large, limit)
    assert len(made.data) <= limit
    assert min(made.size) == 120
    frames, _ = reread(made, tmp_path)
    assert made.every > 1
    assert made.says.endswith(f"with one frame of every {made.every}")
    assert len(frames) > 1
    # Less than one frame cannot be shown.
    assert embeddable(large, 100).every >= FRAMES


def test_no_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(InputError):
        embeddable(path)
