"""The notebooks of Figures 7 to 11 run, write their pictures, and find what can be known beforehand."""

from __future__ import annotations

import json
import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

Printed = pytest.CaptureFixture[str]
FOLDER = Path(__file__).parents[2] / "notebooks"
PICTURES = {
    "figure07_frequency_selection": ["figure07_strings.png"],
    "figure08_quantitative": ["figure08_ssim.png"],
    "figure09_kernels": ["figure09_kernels.png"],
    "figure10_physical_accuracy": ["figure10_signals.png"],
    "figure11_growing_factors": ["figure11_factors.png"],
}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As a script or a notebook finds them: its folder on the path, no clips or weights, an output folder."""
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MM_NOTEBOOK_OUT", str(tmp_path))
    for name in ("MM_CLIPS", "MM_WEIGHTS", "MM_RELEASE", "MM_LEVELS"):
        monkeypatch.delenv(name, raising=False)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def _run(name: str, folder: Path, printed: Printed) -> dict[str, Any]:
    """Return the notebook's variables, after a look at its pictures and its verdict."""
    found = runpy.run_path(str(FOLDER / f"{name}.py"))
    written = json.loads((folder / f"{name[:8]}.json").read_text(encoding="utf-8"))
    assert written["pictures"] == PICTURES[name]
    for picture in written["pictures"]:
        image = (folder / picture).read_bytes()
        assert image.startswith(b"\x89PNG")
        assert len(image) > 20_000
    lines = printed.readouterr().out.splitlines()
    told = [line for line in lines if re.match(r"\[.+\] (AGREES|DOES NOT AGREE|NO CLEAR DIFFERENCE): ", line)]
    assert len(told) == len(written["claims"]) > 2
    assert lines[-1].startswith(f"{name[:8]}, ")
    assert f": {found['verdict']} (" in lines[-1]
    # What is seen is told in numbers.
    assert all(re.search(r"\d", claim["seen"]) for claim in written["claims"])
    return found


@pytest.mark.slow
def test_figure07_band_moves_its_string_alone(tmp_path: Path, capsys: Printed) -> None:
    found = _run("figure07_frequency_selection", tmp_path, capsys)
    # The strings were rendered so; the middle third of a bent string moves a little less than its middle.
    assert found["still"] == {name: pytest.approx(found["AMPLITUDE"], rel=0.1) for name in found["STRINGS"]}
    for name, off in found["nearest"].items():
        assert off < found["found"].resolution, name
    for chosen, gains in found["gains"].items():
        for name, gain in gains.items():
            wanted = found["FACTOR"] if name == chosen else 1.0
            assert gain == pytest.approx(wanted, rel=0.3), (chosen, name)
    assert found["verdict"] == "agrees"


@pytest.mark.slow
def test_figure08_levels_are_ordered_as_they_must_be(tmp_path: Path, capsys: Printed) -> None:
    found = _run("figure08_quantitative", tmp_path, capsys)
    scores = found["scores"]
    methods = [method.name for method in found["methods"]]
    assert methods == ["input", "phase", "learned"]
    for method in methods:
        for motion in (found["small"], found["large"]):
            by_noise = list(scores(method, "noise", motion).values())
            # More noise cannot bring anything nearer to a truth without noise.
            assert by_noise == sorted(by_noise, reverse=True), (method, motion)
        # Nothing but a motion that gets larger changes, and it comes out as 10 px every time.
        by_motion = scores(method, "subpixel")
        assert by_motion[1.0] > by_motion[0.01]
    assert scores("learned", "subpixel")[1.0] > scores("input", "subpixel")[1.0]


@pytest.mark.slow
def test_figure09_kinds_are_those_of_known_filters(tmp_path: Path, capsys: Printed) -> None:
    found = _run("figure09_kernels", tmp_path, capsys)
    character = found["character"]
    kinds = {name: character(kernel) for name, kernel in found["known"].items()}
    assert [kind.kind for kind in kinds.values()] == ["blur", "edge", "spot or corner", "edge", "diffuse"]
    # In closed form: ∫ cos² cos 2θ / ∫ cos² = 1/2; a Gaussian's uncertainty product in the plane is 1/(2π).
    assert kinds["its derivative along x"].direction == pytest.approx(0.5, abs=0.01)
    assert kinds["Gaussian"].complexity == pytest.approx(1 / (2 * math.pi), rel=0.02)
    # A kernel's character does not depend on its place, sign or size.
    moved = character(-3 * torch.nn.functional.pad(found["known"]["Gabor filter"], (4, 0, 0, 4)))
    assert moved.direction == pytest.approx(kinds["Gabor filter"].direction, abs=1e-6)
    assert moved.complexity == pytest.approx(kinds["Gabor filter"].complexity, abs=1e-3)


@pytest.mark.slow
def test_figure10_accelerometer_gives_back_what_was_rendered(tmp_path: Path, capsys: Printed) -> None:
    found = _run("figure10_physical_accuracy", tmp_path, capsys)
    displacement, inside = found["displacement"], found["inside"]
    # An ideal sensor's signal, integrated twice, is the displacement itself: no drift, no lag.
    ideal = found["integrated"](found["acceleration"])
    assert torch.allclose(ideal, displacement, atol=1e-9)
    assert found["correlation"](found["accelerometer"][inside], displacement[inside]) > 0.95
    # A course that is known to come two fifths of a frame late.
    turn = torch.arange(64, dtype=torch.float64) / 8
    assert found["lag"](torch.sin(turn - 0.05), torch.sin(turn)) == pytest.approx(0.4, abs=0.03)
    for recording in found["RECORDINGS"]:
        course = found["signals"][recording, "learned"]
        assert course.correlation > 0.9
        # The input shows the motion as it is: a tenth of what is asked for.
        shown = found["signals"][recording, "input"]
        assert 1 + shown.amplitude_error == pytest.approx(1 / found["FACTOR"], rel=0.1)


@pytest.mark.slow
def test_figure11_quality_falls_as_the_factor_grows(tmp_path: Path, capsys: Printed) -> None:
    found = _run("figure11_growing_factors", tmp_path, capsys)
    assert {"temporal filter", "input"} <= set(found["quality"])
    for name, quality in found["quality"].items():
        # Larger motion uncovers more that was never seen: no method gets better by it.
        values = list(quality.values())
        assert values == sorted(values, reverse=True), name
    for factor in found["FACTORS"]:
        assert found["quality"]["temporal filter"][factor] > found["quality"]["input"][factor]
        # What doing nothing shows, by definition.
        assert found["gain"](found["footage"].frames[found["inside"]], factor) == pytest.approx(
            1 / factor, abs=0.03
        )
        assert found["gain"](found["truths"][factor], factor) == pytest.approx(1, abs=0.03)
