"""The quick start and the pictures of the modes, from top to bottom; figures are in ``tests/notebooks``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"


def run(name: str, folder: Path, **environment: str) -> str:
    """Run a notebook as a script in ``folder`` and return what it printed."""
    result = subprocess.run(
        [sys.executable, str(FOLDER / name)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"} | environment,
        cwd=folder,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_quick_start_shows_the_motion(tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    printed = run("quickstart.py", tmp_path, MM_FIGURE=str(figure))
    assert figure.stat().st_size > 10_000
    gain = float(re.search(r"true motion: (-?[\d.]+)", printed).group(1))  # type: ignore[union-attr]
    assert 0.5 < gain < 1.5


@pytest.mark.slow
def test_the_pictures_of_the_modes_show_what_each_selects(tmp_path: Path) -> None:
    """The ideal filter needs whole periods: 30 frames are five of the string's and three of the disc's."""
    printed = run("modes.py", tmp_path, MM_MODES_FRAMES="30", MM_NOTEBOOK_OUT=str(tmp_path))
    swing = {
        (mode, name, side): float(value)
        for mode, name, side, value in re.findall(
            r"(\w+), ([\w ]+), (input|output): the slice changes by ([\d.]+)", printed
        )
    }
    for mode in ("static", "dynamic", "temporal"):
        assert (tmp_path / f"{mode}.png").stat().st_size > 10_000
        assert swing[mode, "string", "output"] > 3 * swing[mode, "string", "input"]
    disc = swing["static", "disc along x", "output"]
    assert swing["temporal", "disc along x", "output"] < 0.4 * disc
