"""Options and commands that are none: one line that names what may have been meant, and code 2."""

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
        ("model.gain_sample", "model.gain_samples"),
        ("trainer.max_step", "trainer.max_steps"),
        ("throughput.second", "throughput.seconds"),
        ("seed_everythin", "seed_everything"),
        ("ckpt_pth", "ckpt_path"),
    ],
)
@pytest.mark.parametrize("separator", [" ", "="])
def test_an_option_of_the_command(
    capsys: pytest.CaptureFixture[str], name: str, meant: str, separator: str
) -> None:
    said = refuse(capsys, *f"--{name}{separator}1".split(" "))
    assert said == f"mm fit has no option {name!r}; did you mean {meant!r}?"


@pytest.mark.parametrize("name", ["zzz", "model.lr", "model.batch_size", "trainer.gpus"])
def test_an_option_that_is_like_no_other(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """What options of a group have in common says nothing."""
    assert refuse(capsys, f"--{name}", "1") == f"mm fit has no option {name!r}; mm fit --help lists them"


@pytest.mark.parametrize(
    ("content", "name", "meant"),
    [
        ("throughput: {second: 3}", "throughput.second", "throughput.seconds"),
        ("sede_everything: 1", "sede_everything", "seed_everything"),
    ],
)
@pytest.mark.parametrize(
    ("command", "said"),
    [(["fit"], "mm fit"), (["validate"], "mm validate"), (["benchmark", "train"], "mm benchmark train")],
)
def test_a_file_of_whichever_command(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: str,
    name: str,
    meant: str,
    command: list[str],
    said: str,
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content)
    assert main([*command, "--config", SMOKE, "--config", str(file)]) == 2
    expected = f"mm: error: {said} has no option {name!r}; did you mean {meant!r}?"
    assert capsys.readouterr().err.strip().splitlines() == [expected]


@pytest.mark.parametrize(
    ("option", "owner", "name", "meant"),
    [
        ("data.batch_sise", "mm.data.MixedDataModule", "batch_sise", "batch_size"),
        (
            "data=mm.data.SharpDataModule --data.batch_sise",
            "mm.data.SharpDataModule",
            "batch_sise",
            "batch_size",
        ),
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
    said = refuse(capsys, *f"--{option}=3".split(" "))
    assert said.startswith(f"{owner} has no parameter {name!r}; did you mean {meant!r}? (it has ")


def test_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("model:\n  chanels_last: true\n")
    said = refuse(capsys, "--config", str(file))
    assert said == "mm fit has no option 'model.chanels_last'; did you mean 'model.channels_last'?"
    file.write_text("data:\n  class_path: mm.data.MixedDataModule\n  init_args:\n    batch_sze: 3\n")
    said = refuse(capsys, "--config", str(file))
    assert said.startswith("mm.data.MixedDataModule has no parameter 'batch_sze'; did you mean 'batch_size'?")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("{name: far, limts: {}}", "subset 'far' has no 'limts'; did you mean 'limits'? (it has name, "),
        (
            "{name: far, limits: {max_magnfied: 3}}",
            "subset 'far': limits has no 'max_magnfied'; did you mean 'max_magnified'? (it has min_motion, ",
        ),
        ("{name: far, limits: {max_magnified: x}}", "subset 'far': limits: max_magnified must be a number, "),
        (
            "{name: far, limits: {max_magnified: 0.2}}",
            "subset 'far': limits: min_motion × max_factor = 0.5 px is more than max_magnified = 0.2 px",
        ),
        ("{name: far, limits: 3}", "subset 'far': limits must name values of MotionLimits, got 3"),
        ("{name: far, noise: 3}", "subset 'far': noise must be two numbers, least and greatest, got 3"),
        ("{nme: far}", "subset {'nme': 'far'} has no name; write {name: …} and what differs from the rest"),
        ("far", "subset 'far' has no name; write {name: …}"),
        ("{name: far, objects: [5, 2]}", "subset 'far': objects must be a range (low, high) with 0 ≤ low"),
        ("{name: far, objects: [0.5, 2]}", "subset 'far': objects must be whole numbers, got (0.5, 2)"),
        (
            "{name: far, background_blur: [-1, 2]}",
            "subset 'far': background_blur must be a range (low, high)",
        ),
        ("{name: far, objects_move: maybe}", "subset 'far': objects_move must be true or false, got 'maybe'"),
    ],
)
def test_a_subset_that_cannot_be(capsys: pytest.CaptureFixture[str], recipe: str, said: str) -> None:
    subsets = f"--data.synthesizer.init_args.subsets=[{{name: sharp}}, {recipe}]"
    assert refuse(capsys, subsets).startswith(said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("magnify a.mp4 b.mp4 --metod phase", "mm magnify has no option '--metod'; did you mean '--method'?"),
        ("magnify --metod=phase a.mp4 b.mp4", "mm magnify has no option '--metod'; did you mean '--method'?"),
        ("slice a.mp4 --uot b.png", "mm slice has no option '--uot'; did you mean '--out'?"),
        ("magnify a b c", "unrecognized arguments: c; `mm magnify --help` lists the options"),
        ("magnify a b --zzz 1", "unrecognized arguments: --zzz 1; `mm magnify --help` lists the options"),
        ("--verison", "mm has no option '--verison'; did you mean '--version'?"),
        ("magnfy a.mp4 b.mp4", "no command is called 'magnfy'; did you mean 'magnify'? (commands: "),
    ],
)
def test_other_commands(capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    assert main(line.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"mm: error: {said}")


@pytest.mark.parametrize("option", ["--config", "-c"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no configuration '{file}'; there are some in experiments"),
        ("model: [\n a: b: c", "the configuration {file} is not YAML, line 2: "),
        ("- 1\n", "the configuration {file} holds no names with values: it must say "),
        ("", "the configuration {file} holds no names with values: it must say "),
    ],
)
@pytest.mark.parametrize("command", [["fit"], ["validate"], ["benchmark", "train"]])
def test_a_file_that_is_no_configuration(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: str | None,
    said: str,
    option: str,
    command: list[str],
) -> None:
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_text(content)
    assert main([*command, option, str(file)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mm: error: " + said.format(file=file))
