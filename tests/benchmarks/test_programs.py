"""The benchmark programs run on tiny input and print tables; how fast anything is, no test says."""

from __future__ import annotations

import importlib
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
clip = importlib.import_module("benchmarks.clip")
measure = importlib.import_module("benchmarks.measure")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def table(text: str) -> list[list[str]]:
    """The cells of a markdown table's rows, without its head."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def test_peer_prints_a_row_for_each_case() -> None:
    done = run("peer", "--size", "160x96", "--frames", "40", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    ours = [row for row in table(done.stdout) if row[2] == "mm"]
    assert [(row[0], row[1]) for row in ours] == [
        ("linear", "butter"),
        ("linear", "iir-causal"),
        ("phase", "butter"),
    ]
    assert all(float(row[3]) > 0 and float(row[5]) > 50 for row in ours)
    if importlib.util.find_spec("vidmag") is None:
        assert "vidmag is not installed, so this project is timed alone" in done.stdout
        assert len(table(done.stdout)) == 3
    else:
        assert len(table(done.stdout)) == 8


def test_methods_prints_numbers_or_a_reason() -> None:
    done = run(
        "methods", "--methods", "linear,acceleration", "--size", "4x4", "--size", "64x48", "--frames", "12"
    )
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert [row[:2] for row in rows] == [
        ["linear", "4×4"],
        ["acceleration", "4×4"],
        ["linear", "64×48"],
        ["acceleration", "64×48"],
    ]
    # Frames below the pyramid's depth: a reason, and the others go on.
    assert all(row[2:] == ["–"] * 4 for row in rows[:2])
    assert "- linear, 4×4 px: not measured: frames must be at least 8 px" in done.stdout
    assert all(float(row[2]) > 0 and float(row[4]) > 50 for row in rows[2:])
    assert "- linear, 64×48 px: linear, static, factor 10" in done.stdout


def test_instrument_is_near_the_bound() -> None:
    done = run("instrument", "--parts", "noise", "--scenes", "1", "--frames", "50")
    assert done.returncode == 0, done.stderr
    rows = {row[0]: float(row[1]) for row in table(done.stdout)}
    bound = rows["Cramér–Rao bound"]
    assert 0.9 * bound < rows["mm"] < 1.5 * bound
    assert ("pyidi" in rows) == (importlib.util.find_spec("pyidi") is not None)


@pytest.mark.parametrize(
    ("module", "arguments", "says"),
    [
        ("instrument", ["--parts", "colour"], "no table 'colour'"),
        ("peer", ["--size", "640"], "--size"),
        ("peer", ["--frames", "8"], "frames must be at least 30"),
        ("peer", ["--methods", "riesz"], "no method 'riesz'"),
        ("methods", ["--frames", "2"], "frames must be at least 10"),
    ],
)
def test_bad_arguments(module: str, arguments: list[str], says: str) -> None:
    done = run(module, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_clip_tells_its_own_motion() -> None:
    """Magnified exactly, the truth is 1 and in time; as it is, a tenth; a frame late, a frame late."""
    panels = clip.Panels(400, 192, 60)
    frames = panels.frames()
    assert frames.dtype == np.uint8
    assert frames.shape == (60, 192, 400, 3)
    still = panels.truth(frames, 1.0)
    assert still.least == pytest.approx(1, abs=0.1)
    assert still.most == pytest.approx(1, abs=0.1)
    assert still.late < 0.15
    assert panels.truth(frames, 10.0).most == pytest.approx(0.1, abs=0.01)
    assert panels.truth(np.roll(frames, 1, axis=0), 1.0).late == pytest.approx(1, abs=0.15)
    assert clip.Panels(400, 192, 20).truth(frames[:20], 1.0) is None


def test_a_measurement_sees_the_time_and_the_memory_of_its_own_process() -> None:
    cost = measure.alone(measure.example, 200)
    assert cost.added >= 0.9 * 200e6
    assert cost.peak > cost.added
    assert 0 < cost.processor <= 1.5 * cost.seconds + 0.1
    assert math.isfinite(cost.seconds)
    # What this process holds is not the other's.
    assert measure.alone(measure.peak_memory) < cost.peak
