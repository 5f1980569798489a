"""The notebooks' halves on the literature's clips run, write their pictures and say what they see."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

pytestmark = [pytest.mark.material, pytest.mark.slow]
FOLDER = Path(__file__).parents[2] / "notebooks"
CLIPS = {
    "figure03_manipulators": ["baby"],
    "figure04_edges_and_occlusion": ["baby"],
    "figure05_temporal_filter": ["guitar"],
    "figure06_dynamic_mode": ["cat_toy", "gun"],
    "figure07_frequency_selection": ["guitar"],
    "figure11_growing_factors": ["baby", "crane_crop"],
}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, material: Path) -> Iterator[None]:
    """As a script finds them: its folder on the path, the clips, an output folder."""
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MM_NOTEBOOK_OUT", str(tmp_path))
    monkeypatch.setenv("MM_CLIPS", str(material / "clips"))
    for name in ("MM_WEIGHTS", "MM_LINEAR_WEIGHTS", "MM_NONLINEAR_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("name", CLIPS)
def test_clips_are_looked_at(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is seen may be for or against the paper; that it is measured, drawn and told is what is held."""
    runpy.run_path(str(FOLDER / f"{name}.py"))
    printed = capsys.readouterr().out
    assert "left out" not in printed
    written = json.loads((tmp_path / f"{name[:8]}.json").read_text(encoding="utf-8"))
    for clip in CLIPS[name]:
        assert f"{name[:8]}_{clip}.png" in written["pictures"]
        picture = cv2.imread(str(tmp_path / f"{name[:8]}_{clip}.png"))
        assert picture is not None
        # Frames of a clip are not white paper with letters.
        assert len(set(map(tuple, picture.reshape(-1, 3)[::50].tolist()))) > 100
        claims = [each for each in written["claims"] if each["source"].startswith(f"{clip}.mp4")]
        assert claims
        for claim in claims:
            assert re.search(r"\d\.\d", claim["seen"])
            verdict = {True: "AGREES", False: "DOES NOT AGREE", None: "NO CLEAR DIFFERENCE"}[claim["agrees"]]
            assert f"[{claim['source']}] {verdict}: {claim['claim']}\n    seen: {claim['seen']}\n" in printed
