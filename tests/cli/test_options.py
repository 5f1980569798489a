"""Options of ``mm fit`` that are none: one line that names what may have been meant, and code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from mm.cli import main

SMOKE = str(Path(__file__).parents[2] / "experiments" / "smoke.yaml")


def refuse(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["fit", "--config", SMOKE, *options]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("mm: error: ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("model.loss_wieght", "model.loss_weight"),
        ("trainer.max_step", "trainer.max_steps"),
        ("throughput.second", "throughput.seconds"),
    ],
)
@pytest.mark.parametrize("separator", [" ", "="])
def test_an_option_of_the_command(
    capsys: pytest.CaptureFixture[str], name: str, meant: str, separator: str
) -> None:
    said = refuse(capsys, *f"--{name}{separator}1".split(" "))
    assert said == f"mm fit has no option {name!r}; did you mean {meant!r}?"


def test_an_option_that_is_like_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert refuse(capsys, "--zzz", "1") == "mm fit has no option 'zzz'; mm fit --help lists the options"


@pytest.mark.parametrize(
    ("option", "owner", "name", "meant"),
    [
        ("data.batch_sise", "mm.data.MixedDataModule", "batch_sise", "batch_size"),
        (
            "data.synthesizer.init_args.limits.max_magnifed",
            "mm.synthesis.MotionLimits",
            "max_magnifed",
            "max_magnified",
        ),
    ],
)
def test_a_parameter_of_a_class(
    capsys: pytest.CaptureFixture[str], option: str, owner: str, name: str, meant: str
) -> None:
    said = refuse(capsys, f"--{option}=3")
    assert said.startswith(f"{owner} has no parameter {name!r}; did you mean {meant!r}? (it has ")


def test_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("model:\n  learning_rte: 0.1\n")
    said = refuse(capsys, "--config", str(file))
    assert said == "mm fit has no option 'model.learning_rte'; did you mean 'model.learning_rate'?"
    file.write_text("data:\n  class_path: mm.data.MixedDataModule\n  init_args:\n    batch_sze: 3\n")
    said = refuse(capsys, "--config", str(file))
    assert said.startswith("mm.data.MixedDataModule has no parameter 'batch_sze'; did you mean 'batch_size'?")
