"""``mm export --evaluation``: into the card go whole scores, measured with its weights."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mm.cli import main
from mm.cli.export import card
from mm.evaluation.tables import Row, to_csv
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import digest, load

SMALL = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)


def trained(path: Path, seed: int) -> Path:
    """A checkpoint whose running average is not its plain weights."""
    state = {}
    for number, prefix in enumerate(("network.", "ema.")):
        torch.manual_seed(10 * seed + number)
        state |= {prefix + name: value for name, value in MagnificationNetwork(SMALL).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"network_config": asdict(SMALL)}}, path)
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return trained(folder / "mine.ckpt", 1), trained(folder / "other.ckpt", 2)


@pytest.fixture(scope="module")
def measured(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``mm evaluate`` wrote of two checkpoints."""
    images = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    photograph = cv2.GaussianBlur(generator.integers(0, 256, (120, 120, 3)).astype(np.uint8), (0, 0), 2)
    alpha = cv2.circle(np.zeros((50, 50), np.uint8), (25, 25), 22, 255, -1)
    for name, image in (("behind", photograph), ("before", np.dstack([photograph[:50, :50], alpha]))):
        (images / name).mkdir()
        cv2.imwrite(str(images / name / "one.png"), image)
    out = tmp_path_factory.mktemp("measured")
    methods = ",".join(f"{path.stem}={path}" for path in checkpoints)
    options = ["--levels", "0.3", "--count", "2", "--size", "64x64", "--renderer", "fourier"]
    sources = ["--photographs", str(images / "behind"), "--cutouts", str(images / "before")]
    command = ["evaluate", "static", "--out", str(out), "--methods", methods, "--device", "cpu"]
    assert main([*command, *options, *sources]) == 0
    return out


@pytest.fixture
def export(checkpoints: tuple[Path, Path], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Exports the first checkpoint; returns the evaluation in its card."""

    def run(folder: Path, *options: str) -> dict[str, Any]:
        target = tmp_path / "mine.safetensors"
        assert main(["export", str(checkpoints[0]), str(target), "--evaluation", str(folder), *options]) == 0
        found: dict[str, Any] = json.loads(target.with_suffix(".json").read_text())["evaluation"]
        return found

    return run


@pytest.fixture
def refused(
    checkpoints: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Asks for an export of the first checkpoint that is refused; returns the one line that says why."""

    def run(folder: Path, *options: str) -> str:
        target = tmp_path / "mine.safetensors"
        assert main(["export", str(checkpoints[0]), str(target), "--evaluation", str(folder), *options]) == 2
        assert not target.exists()
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    return run


@pytest.fixture
def copy(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "copy"))


def test_a_measurement_says_which_weights_were_measured(
    measured: Path, checkpoints: tuple[Path, Path]
) -> None:
    weights = json.loads((measured / "static.json").read_text())["weights"]
    assert weights == {path.stem: digest(load(path)) for path in checkpoints}
    assert len(set(weights.values())) == 2


def test_the_scores_of_the_checkpoint_go_into_the_card(
    measured: Path, export: Callable[..., dict[str, Any]]
) -> None:
    found = export(measured, "--column", "mine")["static"]
    assert found["renderers"] == ["fourier"]
    assert found["rounding"] == "random"
    assert found["measured_on"] == "two frames"
    (level,) = found["levels"]
    for key in ("ssim", "ssim_std", "psnr", "psnr_std"):
        assert set(level[key]) == {"input", "this", "other"}
    # Nothing moves: a static scene has no gain.
    assert not {"gain", "gain_std", "gain_scenes"} & set(level)


def test_spreads_and_how_many_scenes_have_a_gain_go_into_the_card(
    checkpoints: tuple[Path, Path], export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    common = ("subpixel", "objects", "fourier")
    rows = [
        Row(*common, "input", 0.1, 100.0, 0.0, 3, 0.5, 0.01, math.inf, math.nan, 0.01, 0.002, 3, 0.012),
        Row(*common, "mine", 0.1, 100.0, 0.0, 3, math.nan, math.nan, 30.0, 1.5, math.nan, math.nan, 0),
    ]
    (tmp_path / "subpixel.csv").write_text(to_csv(rows))
    made = {"weights": {"mine": digest(load(checkpoints[0]))}, "renderers": ["fourier"], "scenes": 3}
    (tmp_path / "subpixel.json").write_text(json.dumps(made))
    (level,) = export(tmp_path)["subpixel"]["levels"]
    # A score that a method failed to have, and one that JSON cannot hold, are null.
    assert level["ssim"] == {"input": 0.5, "this": None}
    assert level["ssim_std"] == {"input": 0.01, "this": None}
    assert level["psnr"] == {"input": None, "this": 30.0}
    assert level["psnr_std"] == {"input": None, "this": 1.5}
    assert level["gain"] == {"input": 0.01, "this": None}
    assert level["gain_std"] == {"input": 0.002, "this": None}
    assert level["gain_scenes"] == {"input": 3, "this": 0}
    assert level["gain_median"] == {"input": 0.012, "this": None}


def test_another_networks_scores_are_refused(copy: Path, refused: Callable[..., str]) -> None:
    told = refused(copy, "--column", "other")
    assert "'other' was measured with other weights" in told
    assert "measure this checkpoint" in told


def test_scores_of_nobody_knows_which_weights_are_refused(copy: Path, refused: Callable[..., str]) -> None:
    sheet = copy / "static.json"
    made = json.loads(sheet.read_text())
    weights = made.pop("weights")
    sheet.write_text(json.dumps(made))
    assert "does not say which weights were measured" in refused(copy, "--column", "mine")
    sheet.write_text(json.dumps({**made, "weights": {"other": weights["other"]}}))
    assert "'mine' is a method without weights; give --column one of other" in refused(
        copy, "--column", "mine"
    )


def test_the_card_tells_the_farthest_that_any_subset_went() -> None:
    far = {"name": "far", "limits": {"max_magnified": 42.0, "max_factor": 20.0}}
    near = {"name": "near", "limits": {"max_motion": 1.0, "max_magnified": 5.0, "max_factor": 10.0}}

    def told(subsets: list[dict[str, Any]] | None, weights: dict[str, float] | None) -> list[float]:
        options = {"limits": {"max_motion": 3.0}, "subsets": subsets}
        data = {"init_args": {"synthesizer": {"init_args": options}, "subsets": weights}}
        found = card({"state_dict": {}, "run": {"config": {"data": data}}})
        return [found[name] for name in ("max_input_motion", "max_magnified_motion", "max_factor")]

    # What the synthesizer leaves out is the default: 30 px, × 100; what a subset does, the synthesizer's.
    assert told(None, None) == [3.0, 30.0, 100.0]
    assert told([{"name": "sharp", "limits": None}, far], None) == [3.0, 42.0, 100.0]
    # A subset that nothing was drawn from does not count, nor what only such a one would have had.
    assert told([{"name": "sharp"}, far], {"sharp": 1.0, "far": 0.0}) == [3.0, 30.0, 100.0]
    assert told([{"name": "sharp"}, near], {"near": 1.0}) == [1.0, 5.0, 10.0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("static.json", Path.unlink, "static.csv has no static.json beside it"),
        ("static.json", cut, "static.json is no JSON, or is cut off"),
        ("static.json", lambda path: path.write_bytes(b'"\xff"'), "static.json is no JSON"),
        ("static.json", lambda path: path.write_text("[]"), "static.json is not what mm evaluate writes"),
        ("static.csv", cut, "static.csv, line 4: "),
        ("static.csv", lambda path: path.write_bytes(b"\xff\xfe"), "static.csv is no CSV that can be read"),
        ("static.csv", lambda path: path.write_text(""), "static.csv is no table of a measurement"),
        ("static.csv", lambda path: path.write_text(to_csv([])), "static.csv has no line of a method"),
        (
            "static.csv",
            lambda path: path.write_text(path.read_text().replace(",2,", ",two,")),
            "static.csv, line 2: scenes is no number: 'two'; measure again",
        ),
        (
            "static.csv",
            lambda path: path.write_text(path.read_text().replace(",0.3,", ",0.3,0.3,")),
            "static.csv, line 2: 17 cells instead of 16; measure again",
        ),
    ],
)
def test_a_damaged_measurement_is_one_line(
    copy: Path, refused: Callable[..., str], file: str, damage: Callable[[Path], Any], message: str
) -> None:
    damage(copy / file)
    assert message in refused(copy, "--column", "mine")
