"""The notebooks run from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    environment = os.environ | {"MM_FIGURE": str(figure), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, str(notebook)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert figure.stat().st_size > 10_000
    if notebook.stem == "quickstart":
        gain = float(re.search(r"true motion: (-?[\d.]+)", result.stdout).group(1))  # type: ignore[union-attr]
        assert 0.5 < gain < 1.5


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
