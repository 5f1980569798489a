"""A render that was stopped goes on, to the file that it would have written at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mm.errors import InputError
from mm.magnify.clip import magnify
from mm.networks.splatting import SplattingNetwork
from mm.video import write_clip

FRAMES, CUT, SEGMENT = 30, 17, 8


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two shots of a pattern that moves."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    shift = (0.3 * torch.arange(FRAMES)).sin()[:, None, None]
    frames = 0.5 + 0.3 * ((x + shift) / 3).sin() * (y / 4).cos()
    frames[CUT:] = 1 - frames[CUT:].roll(9, -1)
    path = tmp_path / "in.mkv"
    write_clip(path, frames[:, None].expand(-1, 3, -1, -1), rate=30)
    return path


HOW: list[dict[str, Any]] = [
    {"factor": 4},
    {"low": 4.0, "high": 8.0, "side_by_side": True},
    {"method": "phase", "mode": "dynamic", "roi": (8, 4, 32, 24)},
]


@pytest.mark.parametrize(("how", "suffix"), [(HOW[0], ".mp4"), (HOW[1], ".gif"), (HOW[2], ".mov")])
@pytest.mark.filterwarnings("ignore")
def test_it_goes_on_to_the_same_bytes(
    source: Path, tmp_path: Path, how: dict[str, Any], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0
    decode = SplattingNetwork.decode

    def counted(self: Any, texture: Any, *rest: Any, **named: Any) -> Any:
        nonlocal decoded
        decoded += len(texture)
        return decode(self, texture, *rest, **named)

    monkeypatch.setattr(SplattingNetwork, "decode", counted)
    monkeypatch.setattr("mm.magnify.resume.SEGMENT", SEGMENT)
    how = how | {"batch": 4}
    magnify(source, tmp_path / f"whole{suffix}", **how)
    whole, decoded = decoded, 0
    assert whole == (0 if "method" in how else FRAMES)

    def stop(frames: float, total: int | None) -> None:
        if frames >= 26:
            raise KeyboardInterrupt

    target = tmp_path / f"out{suffix}"
    with pytest.raises(KeyboardInterrupt):
        magnify(source, target, resume=True, progress=stop, **how)
    assert not target.exists()
    kept = SEGMENT * len(list((tmp_path / f".out{suffix}.resume").glob("0*.mkv")))
    assert 2 * SEGMENT <= kept < FRAMES
    with pytest.raises(InputError, match=r"another .*settings.*remove the folder"):
        magnify(source, target, resume=True, **how | {"factor": 7})
    decoded = 0
    magnify(source, target, resume=True, **how)
    assert target.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    # A batch that is known in part is made again.
    assert decoded == (0 if "method" in how else FRAMES - kept)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", target.name, f"whole{suffix}"}


def test_a_folder_of_images_is_not_kept(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        magnify(source, tmp_path / "images", resume=True, method="linear")
    assert not (tmp_path / "images").exists()
