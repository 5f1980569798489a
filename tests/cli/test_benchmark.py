"""``mm benchmark train`` as it is typed, on the smoke configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from mm.cli import main
from mm.errors import InputError
from mm.training.profile import PARTS

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def benchmark(*options: str) -> int:
    return main(["benchmark", "train", "--config", str(SMOKE), *options])


def test_the_table_and_the_file_say_where_the_time_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert benchmark("--steps", "2", "--warmup", "1", "--json", "b.json", "--data.batch_size=3") == 0
    printed = capsys.readouterr().out
    figures = json.loads(Path("b.json").read_text())
    assert tuple(figures["parts"]) == PARTS
    for name, part in figures["parts"].items():
        assert f"\n{name}" in printed
        assert f"{part['share']:.1%}" in printed
        assert part["ms"] > 0
        assert part["share"] == pytest.approx(part["ms"] / figures["profiled_step_ms"])
    assert sum(part["share"] for part in figures["parts"].values()) == pytest.approx(1)
    assert figures["samples_per_second"] == pytest.approx(3 * 1000 / figures["step_ms"])
    assert f"{figures['samples_per_second']:.1f} samples/s" in printed
    assert (figures["batch_size"], figures["frame"], figures["precision"]) == (3, [40, 40], "32-true")
    assert figures["worker"] is None
    assert figures["memory_mib"]["process"] > 50
    # One photograph of the procedural source at the size of its use, 58 px, takes 0.01 MiB.
    assert figures["memory_mib"]["images"] > 0.01
    # A measurement leaves nothing behind: no run folder, no checkpoint.
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_rendering_on_workers_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--steps=1", "--warmup=0", "--data.num_workers=1", "--data.render_on=workers", "--json=b.json"]
    assert benchmark(*options) == 0
    figures = json.loads(Path("b.json").read_text())
    # The hook passes the batch through; the work is the worker's.
    assert figures["parts"]["synthesis"]["ms"] < figures["worker"]["synthesis"]
    assert figures["worker"]["layers"] > 0
    printed = capsys.readouterr().out
    assert "1 workers, rendering on the workers" in printed
    assert "beside the step and not in it" in printed


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
        (["benchmark", "tarin"], "mm benchmark measures no 'tarin'; did you mean 'train'?"),
        (["benchmark", "train"], "mm benchmark train needs a configuration"),
        (["benchmark", "train", "--config", str(SMOKE), "--steps", "0"], "--steps must be at least 1, got 0"),
        (["benchmark", "train", "--config", str(SMOKE), "--steps", "x"], "--steps: invalid int value: 'x'"),
        (["benchmark", "train", "--config", str(SMOKE), "--warmup=-1"], "--warmup must be at least 0 steps"),
        (["benchmark", "train", "--config", str(SMOKE), "--json", "no/where.json"], "there is no folder"),
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


def test_help_of_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "train", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "--warmup" in printed
    assert "options are those of mm fit" in printed.replace("\n", " ")
