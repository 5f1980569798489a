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
        ("data.batch_sise", "data.batch_size"),
        ("throughput.second", "throughput.seconds"),
        ("seed_everythin", "seed_everything"),
        ("ckpt_pth", "ckpt_path"),
    ],
)
def test_an_option_of_the_command(capsys: pytest.CaptureFixture[str], name: str, meant: str) -> None:
    for words in ([f"--{name}", "1"], [f"--{name}=1"]):
        said = refuse(capsys, *words)
        assert f"--{name}; did you mean {meant.rpartition('.')[2]!r}?" in said


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--zzz=1", ["--zzz"]),
        ("--data.synthesizer.limits.max_magnifed=1", ["limits", "MotionLimits", "max_magnifed"]),
        ("--data.synthesizer.height=x", ["height", "int", "x"]),
        ("--model.loss=PaperLos", ["model.loss", "PaperLos"]),
    ],
)
def test_a_value_deep_inside(capsys: pytest.CaptureFixture[str], option: str, named: list[str]) -> None:
    said = refuse(capsys, option)
    assert all(word in said for word in named)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, ["own.yaml"]),
        ("model: [\n a: b: c", ["own.yaml", "line 1"]),
        ("- 1\n", ["own.yaml"]),
        ("throughput: {second: 3}", ["own.yaml", "throughput.second"]),
        ("data: {synthesizer: {limits: {max_magnifed: 3}}}", ["own.yaml", "MotionLimits", "max_magnifed"]),
    ],
)
def test_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, named: list[str]
) -> None:
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_text(content)
    said = refuse(capsys, "--config", str(file))
    assert all(word in said for word in named)


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
    subsets = f"--data.synthesizer.subsets=[{{name: sharp}}, {recipe}]"
    assert refuse(capsys, subsets).startswith(said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("magnify a.mp4 b.mp4 --metod phase", "mm magnify has no option '--metod'; did you mean '--method'?"),
        ("magnify --metod=phase a.mp4 b.mp4", "mm magnify has no option '--metod'; did you mean '--method'?"),
        ("slice a.mp4 --uot b.png", "mm slice has no option '--uot'; did you mean '--out'?"),
        ("magnify a b c", "several clips need --out-dir DIR; without it give IN and OUT"),
        ("magnify a b --zzz 1", "unrecognized arguments: --zzz 1; `mm magnify --help` lists the options"),
        ("--verison", "mm has no option '--verison'; did you mean '--version'?"),
        ("magnfy a.mp4 b.mp4", "no command is called 'magnfy'; did you mean 'magnify'? (commands: "),
    ],
)
def test_other_commands(capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    assert main(line.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"mm: error: {said}")
