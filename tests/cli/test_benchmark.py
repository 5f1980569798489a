"""``mm benchmark train`` as it is typed, on the smoke configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from mm.cli import main
from mm.cli.benchmark import roofline
from mm.errors import InputError
from mm.training.stages import STAGES

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def benchmark(*options: str) -> int:
    return main(["benchmark", "train", "--config", str(SMOKE), *options])


def test_the_table_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--steps", "1", "--warmup", "0", "--json", "b.json", "--card", "h200", "--data.batch_size=3")
    assert benchmark(*options) == 0
    printed = capsys.readouterr().out
    figures = json.loads(Path("b.json").read_text())
    assert tuple(figures["stages"]) == STAGES
    for name, stage in figures["stages"].items():
        assert f"\n{name} " in printed
        assert stage["ms"] > 0
        assert stage["least_ms"] >= 1e3 * stage["bytes"] / 4.8e12
    for name in ("synthesis", "forward", "backward", "optimiser"):
        assert figures["stages"][name]["launches"] > 0
        assert figures["stages"][name]["bytes"] > 0
    assert figures["samples_per_second"] == pytest.approx(3 * 1000 / figures["step_ms"])
    assert f"{figures['samples_per_second']:.1f} samples/s" in printed
    assert (figures["batch_size"], figures["frame"], figures["precision"]) == (3, [40, 40], "32-true")
    # One photograph of the procedural source at the size of its use, 58 px, takes 0.01 MiB.
    assert figures["decoded_images_mib"] > 0.01
    # A measurement leaves nothing behind: no run folder, no checkpoint.
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_the_roofline_is_the_slowest_of_memory_arithmetic_and_launches() -> None:
    counts = {"launches": 10, "bytes": 0, "flops": 0}
    assert roofline(counts, "h200", False) == pytest.approx(50e-6)
    assert roofline({**counts, "bytes": 4.8e9}, "h200", False) == pytest.approx(1e-3 / 0.75)
    assert roofline({**counts, "flops": 494e9}, "h200", False) == pytest.approx(1e-3 / 0.75)
    assert roofline({**counts, "flops": 494e9}, "h200", True) == pytest.approx(1e-3 / 0.75 * 494 / 989)


def test_no_bar_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for the device, also where its like is part of ``mm fit``: on a terminal."""
    bars = []

    def fit(self: Trainer, *options: object) -> None:
        bars.append(self.progress_bar_callback)
        raise InputError("seen")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "fit", fit)
    assert benchmark("--steps=1", "--warmup=0", "--trainer.enable_progress_bar=true") == 2
    assert bars == [None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmark", "tarin"], "'tarin'"),
        (["benchmark", "train"], "--config"),
        (["benchmark", "train", "--config", str(SMOKE), "--steps", "0"], "--steps"),
        (["benchmark", "train", "--config", str(SMOKE), "--steps", "x"], "--steps"),
        (["benchmark", "train", "--config", str(SMOKE), "--warmup=-1"], "--warmup"),
        (["benchmark", "train", "--config", str(SMOKE), "--json", "no/where.json"], "no/where.json"),
        (["benchmark", "train", "--config", str(SMOKE), "--data.batch_sise", "3"], "batch_sise"),
        (["benchmark", "train", "--config", "none.yaml"], "none.yaml"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "train", "--help"])
    assert stop.value.code == 0
    assert "--card" in capsys.readouterr().out
