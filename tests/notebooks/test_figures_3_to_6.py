"""The notebooks of Figures 3 to 6 run, write their pictures, and find what can be known beforehand."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = (
    "figure03_manipulators",
    "figure04_edges_and_occlusion",
    "figure05_temporal_filter",
    "figure06_dynamic_mode",
)
PICTURES = {
    "figure03_manipulators": ["figure03_rendered.png"],
    "figure04_edges_and_occlusion": ["figure04_rendered.png", "figure04_curves.png"],
    "figure05_temporal_filter": ["figure05_motion.png", "figure05_quality.png"],
    "figure06_dynamic_mode": ["figure06_rendered.png"],
}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As a script or a notebook finds them: its folder on the path, no clips, an output folder."""
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MM_NOTEBOOK_OUT", str(tmp_path))
    for name in ("MM_CLIPS", "MM_WEIGHTS", "MM_LINEAR_WEIGHTS", "MM_NONLINEAR_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def _run(name: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the notebook's variables and what it wrote as its verdict."""
    found = runpy.run_path(str(FOLDER / f"{name}.py"))
    written = json.loads((folder / f"{name[:8]}.json").read_text(encoding="utf-8"))
    assert written["pictures"] == PICTURES[name]
    for picture in written["pictures"]:
        image = (folder / picture).read_bytes()
        assert image.startswith(b"\x89PNG")
        assert len(image) > 20_000
    assert written["verdict"] == found["verdict"]
    assert {claim["agrees"] for claim in written["claims"]} <= {True, False, None}
    # What is seen is told in numbers.
    assert all(re.search(r"\d\.\d", claim["seen"]) for claim in written["claims"])
    return found, written


@pytest.mark.slow
def test_figure03_linear_manipulator_passes_noise_as_it_is(tmp_path: Path) -> None:
    found, written = _run("figure03_manipulators", tmp_path)
    # By its definition; and both kinds are homogeneous, since neither has a bias.
    assert found["selective"]["linear"][0] == pytest.approx(1, abs=1e-5)
    assert all(off < 1e-5 for _, off in found["selective"].values())
    assert found["trained"] is False
    # Without weights of its own, every line on pictures says that the manipulator was only replaced.
    assert all("replaced" in claim["source"] for claim in written["claims"][:3])


@pytest.mark.slow
def test_figure04_phase_loses_edges_as_the_motion_grows(tmp_path: Path) -> None:
    found, _ = _run("figure04_edges_and_occlusion", tmp_path)
    measured = found["measured"]
    # Wadhwa et al. 2013, section 3.3: phase holds up to a part of a wavelength, so more motion is worse.
    ssim = [measured[factor]["phase"]["ssim"] for factor in found["FACTORS"]]
    assert ssim == sorted(ssim, reverse=True)
    # The additive method returns the first frame itself: its error is the camera's rounding, below 1/2 step.
    assert measured[20.0]["phase"]["at rest"] < 0.5
    for factor in found["FACTORS"]:
        assert measured[factor]["learned"]["ssim"] > measured[factor]["input"]["ssim"]


@pytest.mark.slow
def test_figure05_filter_selects_one_of_two_known_vibrations(tmp_path: Path) -> None:
    found, _ = _run("figure05_temporal_filter", tmp_path)
    factor = found["FACTOR"]
    for method in ("learned", "phase"):
        static, temporal = found["measured"][method, "static"], found["measured"][method, "temporal"]
        for part in ("wanted", "unwanted", "drift"):
            assert static[part] == pytest.approx(factor, rel=0.2)
        assert temporal["wanted"] == pytest.approx(factor, rel=0.2)
        # Left as they are they are 1; magnified they would be the factor.
        assert abs(temporal["unwanted"]) < factor / 5
        assert abs(temporal["drift"]) < factor / 5


@pytest.mark.slow
def test_figure06_dynamic_mode_shows_velocity_and_acceleration_the_vibration(tmp_path: Path) -> None:
    found, _ = _run("figure06_dynamic_mode", tmp_path)
    assert found["measured"]["learned, dynamic"]["vibration"] == pytest.approx(1, abs=0.15)
    assert found["measured"]["acceleration"]["vibration"] == pytest.approx(1, abs=0.35)
    # Acceleration leaves the even motion alone: what it should show is where the ball is.
    accelerated = found["accelerated"] - found["footage"].displacements
    assert float(accelerated[..., 0].abs().max()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_cells_stand_by_themselves_and_begin_with_text(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)
    assert cells[0] == ""
    assert cells[1].startswith(" [markdown]\n# # Figure ")
    assert "What the paper claims" in cells[1]
    for cell in cells[1:]:
        head, _, body = cell.partition("\n")
        if head.strip() == "[markdown]":
            assert all(line.startswith("#") or not line for line in body.splitlines())
        else:
            ast.parse(body)


@pytest.mark.slow
def test_figure03_compares_trained_networks_if_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mm
    from mm.networks import MagnificationNetwork, NetworkConfig
    from mm.networks.weights import save

    small = {"stem_channels": 4, "channels": 4, "decoder_blocks": 1}
    for kind in ("linear", "nonlinear"):
        network = MagnificationNetwork(NetworkConfig.from_dict({**small, "manipulator": kind}))
        save(network, tmp_path / f"{kind}.safetensors", {})
        monkeypatch.setenv(f"MM_{kind.upper()}_WEIGHTS", str(tmp_path / f"{kind}.safetensors"))
    found, written = _run("figure03_manipulators", tmp_path)
    assert found["trained"] is True
    assert "as it was trained" in written["claims"][0]["source"]
    monkeypatch.setenv("MM_LINEAR_WEIGHTS", str(tmp_path / "nonlinear.safetensors"))
    with pytest.raises(mm.InputError, match=r"linear manipulator is needed .* exchange"):
        runpy.run_path(str(FOLDER / "figure03_manipulators.py"))
    assert torch.is_grad_enabled()
