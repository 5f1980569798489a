"""``mm synthesize`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mm.cli import main
from mm.registry import motion_generators
from mm.video import read_clip

SMALL = ("--size", "56x40", "--max-magnified", "6", "--max-motion", "2", "--device", "cpu")


def synthesize(out: Path, *arguments: str) -> int:
    return main(["synthesize", "--out", str(out), *SMALL, *arguments])


def record(folder: Path, number: int) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / f"{number:06d}.json").read_text())
    return facts


def picture(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples: each subset once, and the first again; translations and rotations."""
    out = tmp_path_factory.mktemp("triplets") / "new" / "folder"
    assert synthesize(out, "--count", "6", "--motion", "translation:1,rotation:3", "--perturbed") == 0
    return out


def test_all_subsets_in_turn(written: Path) -> None:
    assert [record(written, i)["subset"] for i in range(6)] == [
        "sharp",
        "blurred",
        "background",
        "static",
        "objects",
        "sharp",
    ]
    assert [record(written, i)["index"] for i in range(6)] == list(range(6))


def test_frames(written: Path) -> None:
    for number in range(6):
        facts = record(written, number)
        assert set(facts["frames"]) == {"xa", "xb", "y", "xb_perturbed", "y_perturbed"}
        for file in facts["frames"].values():
            assert picture(written / file).shape == (40, 56, 3)
        assert facts["size"] == [56, 40]
    static = {name: picture(written / file) for name, file in record(written, 3)["frames"].items()}
    assert np.abs(static["xa"].astype(int) - static["y"]).max() < 25
    assert np.abs(static["xb_perturbed"].astype(int) - static["xb"]).mean() > 2


def test_truth(written: Path) -> None:
    motions = set()
    for number in range(6):
        facts = record(written, number)
        assert 1 <= facts["factor"] <= 100
        layers = facts["layers"]
        assert [layer["order"] for layer in layers] == list(range(len(layers)))
        assert [layer["kind"] for layer in layers[:-1]] == ["object"] * (len(layers) - 1)
        assert layers[-1]["kind"] == "background"
        assert layers[-1]["centre"] == [27.5, 19.5]
        assert len(layers) == 1 if facts["subset"] == "background" else 8 <= len(layers) <= 16
        visible = picture(written / facts["visible_layer"])
        assert visible.shape == (40, 56)
        assert set(np.unique(visible)) <= {layer["label"] for layer in layers}
        for layer in layers:
            motions.add(layer["motion"])
            magnified = [facts["factor"] * d for d in layer["displacement"]]
            assert layer["magnified_displacement"] == pytest.approx(magnified)
            assert np.hypot(*magnified) <= 6.01
        if facts["displacement_field"] is None:
            assert all(layer["is_translation"] for layer in layers)
            continue
        field = np.load(written / facts["displacement_field"])
        assert field.shape == (40, 56, 2)
        assert field.dtype == np.float32
        for layer in layers:
            own = field[visible == layer["label"]]
            if layer["is_translation"] and len(own):
                assert np.abs(own - layer["displacement"]).max() < 1e-5
        if facts["subset"] == "static":
            assert not field.any()
    assert motions == {"translation", "rotation"}


def test_contact_sheet(written: Path) -> None:
    sheet = picture(written / "contact_sheet.png")
    xa = picture(written / "000003_xa.png").repeat(2, axis=0).repeat(2, axis=1)
    assert sheet.shape[1] > 7 * 112
    # The titles of such narrow pictures take two lines, and a label of six is higher than they are.
    top = 40 + 3 * (100 + 4)
    assert sheet.shape[0] == 40 + 6 * (100 + 4)
    row = sheet[top : top + 80]
    assert any((row[:, x : x + 112] == xa).all() for x in range(sheet.shape[1] - 111))


@pytest.mark.parametrize("size", ["56x40", "90x96", "24x32"])
def test_titles_stay_over_their_pictures(tmp_path: Path, size: str) -> None:
    assert synthesize(tmp_path, "--count", "1", "--size", size) == 0
    sheet = picture(tmp_path / "contact_sheet.png")
    cell = (sheet.shape[1] - 190) // 7
    lit = sheet.max(axis=(1, 2))
    titles = sheet[: int(np.argmax(lit[20:] == 0)) + 20]
    assert titles.any()
    for column in range(7):
        end = 190 + (column + 1) * cell
        assert not titles[:, end : end + 4].any(), f"the title of column {column} runs into the next"


def test_the_same_again_and_with_another_count_and_device_batch(written: Path, tmp_path: Path) -> None:
    assert synthesize(tmp_path, "--count", "1", "--motion", "translation:1,rotation:3") == 0
    assert (tmp_path / "000000_y.png").read_bytes() == (written / "000000_y.png").read_bytes()
    mine, theirs = record(tmp_path, 0), record(written, 0)
    assert mine["layers"] == theirs["layers"]
    assert mine["sample_seed"] == theirs["sample_seed"]
    assert set(mine["frames"]) == {"xa", "xb", "y"}
    assert not list(tmp_path.glob("*perturbed*"))


def test_one_subset_is_what_it_is_among_all(written: Path, tmp_path: Path) -> None:
    assert (
        synthesize(tmp_path, "--subset", "sharp", "--count", "6", "--motion", "translation:1,rotation:3") == 0
    )
    assert {record(tmp_path, i)["subset"] for i in range(6)} == {"sharp"}
    assert (tmp_path / "000005_xb.png").read_bytes() == (written / "000005_xb.png").read_bytes()


def test_seed(written: Path, tmp_path: Path) -> None:
    assert synthesize(tmp_path, "--count", "1", "--seed", "7") == 0
    assert record(tmp_path, 0)["seed"] == 7
    assert record(tmp_path, 0)["sample_seed"] != record(written, 0)["sample_seed"]
    # Translations alone need no field.
    assert record(tmp_path, 0)["displacement_field"] is None
    assert not list(tmp_path.glob("*.npy"))


def test_own_photographs_and_cutouts(tmp_path: Path) -> None:
    """Blue photographs and red discs give blue frames with red in them."""
    y, x = np.mgrid[:40, :40] - 19.5
    disc = np.zeros((40, 40, 4), np.uint8)
    disc[..., 2], disc[..., 3] = 200, 255 * (np.hypot(x, y) < 18)
    for folder, image in (("photographs", np.full((90, 120, 3), (200, 30, 10), np.uint8)), ("cutouts", disc)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "one.png"), image)
    given = ("--photographs", str(tmp_path / "photographs"), "--cutouts", str(tmp_path / "cutouts"))
    assert synthesize(tmp_path / "out", "--subset", "objects", "--count", "1", *given) == 0
    xa = picture(tmp_path / "out" / "000000_xa.png").astype(int)
    red = xa[..., 2] > xa[..., 0] + 50
    blue = xa[..., 0] > xa[..., 2] + 50
    assert red.mean() > 0.02
    assert blue.mean() > 0.2
    assert (red | blue).mean() > 0.6


PLUGIN = """
import torch
from mm.registry import motion_generators
from mm.video import read_clip


@motion_generators.register("sideways")
class Sideways:
    parameters = 1
    is_translation = True

    def displacement(self, points, parameters, gain):
        return gain * torch.stack((2 * (parameters[:, :1] > 0.5) - 1.0, 0 * parameters[:, :1]), dim=-1)
"""


def test_a_plugins_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_PLUGINS", "")
    plugin = tmp_path / "sideways_plugin.py"
    plugin.write_text(PLUGIN)
    out = tmp_path / "out"
    try:
        given = ("--plugins", str(plugin), "--motion", "sideways", "--subset", "background", "--count", "2")
        assert synthesize(out, *given) == 0
    finally:
        motion_generators.entries.pop("sideways", None)
    for number in range(2):
        layer = record(out, number)["layers"][0]
        assert layer["motion"] == "sideways"
        assert abs(layer["displacement"][0]) >= 0.01
        assert layer["displacement"][1] == 0


def test_a_folder_in_use_is_refused_and_overwritten_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synthesize(tmp_path, "--count", "2", "--subset", "background") == 0
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    before = (tmp_path / "000001_y.png").read_bytes()
    capsys.readouterr()
    assert synthesize(tmp_path, "--count", "1", "--subset", "background", "--seed", "3") == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "000001_y.png").read_bytes() == before
    assert synthesize(tmp_path, "--count", "1", "--subset", "background", "--seed", "3", "--overwrite") == 0
    assert record(tmp_path, 0)["seed"] == 3
    # Of the longer run nothing is left, and nothing else is touched.
    assert not list(tmp_path.glob("000001*"))
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count", "0"), "--count must be at least 1, got 0"),
        (("--motion", "rotatoin"), "did you mean 'rotation'"),
        (("--motion", "rotation:much"), "the weight must be a number"),
        (("--motion", "rotation:-1"), "must be at least 0, got -1"),
        (("--motion", "rotation:0"), "needs at least one weight above 0"),
        (("--max-factor", "0.5"), "max_factor 0.5"),
        (("--max-factor", "5000"), "more than max_magnified = 6 px"),
        (("--size", "4x40"), "width must be at least 8 px, got 4"),
        (("--seed", "-1"), "seed must be at least 0, got -1"),
        (("--photographs", "nowhere"), "'nowhere'"),
        (("--cutouts", "nowhere", "elsewhere"), "'nowhere' is neither a folder nor the name of"),
        (("--device", "cuda:99"), "cuda:99"),
        (("--size", "big"), "such as 384x384, got 'big'"),
        (("--subset", "sharpp"), "'sharpp'"),
        (("--count", "few"), "'few'"),
        (("--plugins", "no_such_plugin.py"), "no_such_plugin.py"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert synthesize(out, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_out_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "file"
    out.write_text("mine")
    assert synthesize(out, "--count", "1") == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a moving background, compressed, and one with objects."""
    out = tmp_path_factory.mktemp("clips")
    clip = ("--clip", "--frames", "12", "--fps", "24", "--band", "3", "6", "--steady", "--count", "2")
    moves = ("--motion", "rotation", "--max-motion", "1", "--codec", "mjpeg", "--crf", "2")
    assert synthesize(out, "--subset", "background", *clip, *moves) == 0
    return out


def test_a_clip_is_a_video_its_truth_and_its_motion(clips: Path) -> None:
    facts = record(clips, 1)
    assert facts["band"] == [3.0, 6.0]
    assert facts["fps"] == 24
    assert facts["codec"] == {"name": "mjpeg", "crf": 2.0}
    (background,) = facts["layers"]
    assert (background["kind"], background["label"], background["motion"]) == ("background", 0, "rotation")
    assert np.shape(background["band"]) == (12, 2)
    assert not np.any(background["other"])
    field = np.load(clips / facts["displacement_field"])
    assert field.shape == (12, 40, 56, 2)
    # A rotation's field is linear in the place: its mean is that of the middle, the layer's centre.
    assert np.abs(field.mean((1, 2)) - background["band"]).max() < 0.02 * np.abs(field).max()
    videos = {name: read_clip(clips / facts[name])[0] for name in ("clip", "truth")}
    for frames in videos.values():
        assert frames.shape == (12, 3, 40, 56)
    assert 0.5 / 255 < (videos["clip"] - videos["truth"]).abs().mean() < 0.1
    assert picture(clips / facts["visible_layer"]).max() == 0


def test_clips_are_a_function_of_the_seed(clips: Path, tmp_path: Path) -> None:
    same = ("--clip", "--frames", "12", "--fps", "24", "--band", "3", "6", "--steady", "--count", "1")
    moves = ("--motion", "rotation", "--max-motion", "1")
    assert synthesize(tmp_path, "--subset", "background", *same, *moves) == 0
    again, first = (read_clip(folder / "000000_truth.mkv")[0] for folder in (tmp_path, clips))
    assert torch.equal(again, first)
    lossless, coded = (read_clip(folder / "000000_clip.mkv")[0] for folder in (tmp_path, clips))
    assert 0 < (lossless - coded).abs().mean() < 0.03


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--frames", "8"), "--frames is of clips; add --clip"),
        (("--clip", "--band", "5", "20"), "--band must end at 15 Hz or below, half of --fps, got 20"),
        (("--clip", "--band", "5", "2"), "0 < LOW < HIGH Hz, got 5 2"),
        (("--clip", "--crf", "20"), "add --codec"),
        (("--clip", "--codec", "h264", "--crf", "60"), "crf of h264 must be between 0 and 51, got 60"),
        (("--clip", "--frames", "1"), "frames must be at least 2, got 1"),
        (("--clip", "--frames", "900000000"), "lower --frames or --size"),
        (("--clip", "--fps", "-3", "--band", "1", "2"), "--fps must be above 0, got -3"),
    ],
)
def test_bad_clips_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert synthesize(tmp_path, *arguments) != 0
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
