"""The shipped plug-in method goes the whole way, and its numbers are those of its own formula."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mm.cli import main
from mm.video import read_clip, write_clip


def test_it_magnifies_a_clip(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = torch.full((4, 3, 16, 16), 0.5)
    frames[1, :, 4:8], frames[2, :, 4:8] = 0.52, 0.9
    write_clip(tmp_path / "in.mkv", frames, lossless=True)
    paths = [str(tmp_path / name) for name in ("in.mkv", "out.mkv")]
    options = ["--method", "difference", "-o", "limit=0.1", "--factor", "3", "--device", "cpu", "--lossless"]
    assert main(["magnify", *paths, "--plugins", str(shipped / "difference.py"), *options]) == 0
    assert "difference, factor 3, changes up to 0.1" in capsys.readouterr().out
    out, _ = read_clip(paths[1])
    torch.testing.assert_close(out[:, 1, 5, 5], torch.tensor([0.5, 0.56, 1.0, 0.5]), atol=0.01, rtol=0)


def test_its_band_is_refused(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "in.mkv", torch.rand(4, 3, 16, 16), lossless=True)
    paths = [str(tmp_path / name) for name in ("in.mkv", "out.mkv")]
    options = ["--method", "difference", "--low", "1", "--high", "3"]
    assert main(["magnify", *paths, "--plugins", str(shipped / "difference.py"), *options]) == 2
    assert "the difference method has no band" in capsys.readouterr().err
    assert not (tmp_path / "out.mkv").exists()
