"""``mm evaluate`` as a user runs it, on small frames, with a freshly initialised network."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mm.cli import main
from mm.cli.evaluate import MEASUREMENTS
from mm.data import MixedDataModule, NamedSource, ProceduralCutouts, ProceduralPhotographs
from mm.data.held_out import PROCEDURAL_SEED
from mm.errors import InputError
from mm.evaluation import physical, random_texture
from mm.evaluation.pictures import named_pictures
from mm.evaluation.tables import COLUMNS
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save, shipped
from mm.registry import methods
from mm.synthesis import Synthesizer

SMALL = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(MagnificationNetwork(SMALL), path, {})
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A photograph and a cut-out, which are quicker read than procedural ones are made."""
    photographs, cutouts = (tmp_path_factory.mktemp(name) for name in ("photographs", "cutouts"))
    texture = random_texture(130, 150, torch.Generator().manual_seed(0)).permute(1, 2, 0) * 255
    pixels = texture.round().byte().numpy()
    cv2.imwrite(str(photographs / "texture.png"), pixels)
    disc = np.dstack([pixels[:60, :60, ::-1], np.zeros((60, 60), np.uint8)])
    alpha = np.zeros((60, 60), np.uint8)
    cv2.circle(alpha, (30, 30), 26, 255, -1, cv2.LINE_AA)
    disc[..., 3] = alpha
    cv2.imwrite(str(cutouts / "disc.png"), disc)
    return "--photographs", str(photographs), "--cutouts", str(cutouts)


def evaluate(measurement: str, out: Path, weights: Path, *more: str) -> list[dict[str, str]]:
    options = ["--out", str(out), "--size", "72x64", "--count", "1", "--device", "cpu"]
    assert main(["evaluate", measurement, *options, "--methods", f"new={weights}", *more]) == 0
    return read_rows(out / f"{measurement}.csv")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def is_a_picture(path: Path) -> bool:
    image = cv2.imread(str(path))
    return image is not None and min(image.shape[:2]) > 200 and image.std() > 5


def test_subpixel_noise_and_static_and_their_common_figure(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = evaluate("subpixel", tmp_path, weights, "--levels", "0.1,1", *folders)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 2 * 2 * 2
    assert {(row["renderer"], row["method"], row["motion"]) for row in rows} == {
        (renderer, method, motion)
        for renderer in ("fourier", "project")
        for method in ("input", "new")
        for motion in ("0.1", "1")
    }
    assert all(0 <= float(row["ssim"]) <= 1 for row in rows)
    assert all(float(row["motion"]) * float(row["factor"]) == pytest.approx(10) for row in rows)
    baseline = [row for row in rows if row["method"] == "input" and row["motion"] == "0.1"]
    assert all(float(row["gain"]) == pytest.approx(0.01, abs=0.02) for row in baseline)
    assert is_a_picture(tmp_path / "subpixel.png")
    assert not (tmp_path / "figure8.png").exists()
    printed = capsys.readouterr().out
    assert "subpixel: SSIM with the truth, fourier renderer" in printed
    assert "new" in printed
    # Of the one pair, at each of the two levels; an untrained network is worse by either.
    assert "the renderers put 2 of 2 pairs of methods into the same order" in printed

    rows = evaluate("noise", tmp_path, weights, "--levels", "0.3", "--renderer", "project", *folders)
    assert {(row["motion"], row["factor"], row["noise"]) for row in rows} == {
        ("0.05", "200", "0.3"),
        ("0.5", "20", "0.3"),
    }
    assert is_a_picture(tmp_path / "noise.png")
    assert is_a_picture(tmp_path / "figure8.png")

    rows = evaluate("static", tmp_path, weights, "--levels", "0,1")
    clean, noisy = (
        float(row["ssim"]) for row in rows if row["method"] == "input" and row["renderer"] == "fourier"
    )
    assert clean > 0.98 > noisy
    settings = json.loads((tmp_path / "static.json").read_text())
    assert settings["size"] == [72, 64]
    assert settings["photographs"] == "procedural"


def test_figure_8_joins_only_what_was_measured_alike(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--renderer", "fourier")
    evaluate("subpixel", tmp_path, weights, "--levels", "1", *small)
    evaluate("noise", tmp_path, weights, "--levels", "0.3", *small)
    assert is_a_picture(tmp_path / "figure8.png")
    capsys.readouterr()
    evaluate("noise", tmp_path, weights, "--levels", "0.3", "--seed", "5", "--overwrite", *small)
    told = capsys.readouterr().err
    assert "no figure8.png" in told
    assert "were measured with other seed; measure both alike" in told
    assert not (tmp_path / "figure8.png").exists()


def test_a_table_of_an_earlier_version_beside_it_keeps_nothing_back(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--renderer", "fourier")
    evaluate("noise", tmp_path, weights, "--levels", "0.3", *small)
    (tmp_path / "noise.csv").write_text("method,ssim\ninput,0.5\n")
    rows = evaluate("subpixel", tmp_path, weights, "--levels", "1", *small)
    told = capsys.readouterr()
    assert len(rows) == 2
    # Both that it measures are shown.
    assert "subpixel: gain of the motion, fourier renderer; " in " ".join(told.out.split())
    assert "SSIM with the truth" in told.out
    assert "no figure8.png" in told.err
    assert "noise.csv is no table of a measurement" in told.err


def test_registered_methods_are_measured_on_clips_unless_pairs_are_asked_for(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ("--methods", f"new={weights},phase,flow")
    common = (*methods, "--renderer", "fourier", "--levels", "0,1", *folders)
    rows = evaluate("static", tmp_path / "clips", weights, *common)
    told = capsys.readouterr()
    assert "input, new: measured on two frames" in told.out
    assert "phase, flow: measured on the middle one of 61 frames" in told.out
    assert told.err.count("nothing moves in these 61 frames") == 1
    settings = json.loads((tmp_path / "clips" / "static.json").read_text())
    assert set(settings["measured_on"]) == {"input", "new", "phase", "flow"}
    assert settings["measured_on"]["new"] == "two frames"
    assert "30 taps, 0.5–7.5 Hz" in settings["measured_on"]["phase"]

    pairs = evaluate("static", tmp_path / "pairs", weights, *common, "--pairs")
    assert "input, new, phase, flow: measured on two frames" in capsys.readouterr().out
    settings = json.loads((tmp_path / "pairs" / "static.json").read_text())
    assert set(settings["measured_on"].values()) == {"two frames"}

    def ssim(rows: list[dict[str, str]], method: str) -> dict[str, float]:
        return {row["noise"]: float(row["ssim"]) for row in rows if row["method"] == method}

    for method in ("input", "new", "flow"):
        assert ssim(rows, method) == ssim(pairs, method)
    # A pair's reference lends its noise to what is magnified; the filter takes out what is constant.
    assert ssim(rows, "phase")["1"] > ssim(pairs, "phase")["1"] + 0.05


def test_gain(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (weights, "--renderer", "fourier", "--count", "2")
    rows = evaluate("gain", tmp_path, *common, "--levels", "0.1,1", "--factors", "2,10")
    assert {row["content"] for row in rows} == {"picture", "pattern"}
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        assert row["ssim"] == ""
        if row["method"] == "input" and row["motion"] == "1":
            assert float(row["gain"]) == pytest.approx(1 / float(row["factor"]), abs=0.03)
    assert is_a_picture(tmp_path / "gain.png")
    told = capsys.readouterr().out
    assert "gain on patterns, fourier renderer; mean ± deviation over scenes, and median" in told
    # Of two scenes the median is the mean. An untrained network's output may be beyond measuring.
    both = [row for row in rows if row["gain_scenes"] == "2"]
    assert {row["method"] for row in both} >= {"input"}
    for row in both:
        assert row["gain_median"] == row["gain"]
        assert f"{float(row['gain']):.3f} ± {float(row['gain_std']):.3f}, {float(row['gain']):.3f}" in told


def test_in_temporal_mode(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = evaluate("gain", tmp_path, weights, "--temporal", "--levels", "0.1", "--renderer", "fourier")
    assert {(row["method"], row["factor"]) for row in rows} == {("input", "10"), ("new", "10")}
    settings = json.loads((tmp_path / "gain.json").read_text())
    assert "61 frames" in settings["measured_on"]["new"]
    assert settings["measured_on"]["input"] == "two frames"
    assert len(settings["weights"]["new"]) == 64
    assert "new: measured on the middle one of 61 frames" in capsys.readouterr().out


def test_frequency(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = evaluate("frequency", tmp_path, weights, "--levels", "0.02,0.05,0.1", "--count", "2")
    assert {(row["motion"], row["factor"]) for row in rows} == {("0.02", "10"), ("0.05", "10")}
    assert len(rows) == 2 * 2 * 2 * 7
    assert {row["scenes"] for row in rows} == {"2"}
    # The input shows a tenth of what it should at every frequency, whatever the scene.
    unmoved = [row for row in rows if row["method"] == "input"]
    assert [float(row["gain"]) for row in unmoved] == pytest.approx([0.1] * len(unmoved), abs=0.03)
    assert all(0 < float(row["gain_std"]) < 0.05 for row in unmoved)
    assert is_a_picture(tmp_path / "frequency.png")
    told = capsys.readouterr().out
    assert "change shown over true change, 0.05 px × 10, project renderer" in told
    assert "0.02 – 0.05" in told


def test_kernels(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = evaluate("kernels", tmp_path, weights)
    assert [(row["part"], row["channel"]) for row in rows] == [
        (part, str(channel)) for part in ("texture", "shape") for channel in range(SMALL.channels)
    ]
    assert all(float(row["explained"]) <= 1 for row in rows)
    assert is_a_picture(tmp_path / "kernels.png")
    with np.load(tmp_path / "kernels.npz") as kernels:
        assert set(kernels) == {"new.texture", "new.shape"}
        assert np.abs(kernels["new.shape"]).max() > 0
    assert "variance explained" in capsys.readouterr().out


def test_physical(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A clip of 20 frames: the measurement of the other 70 is no different.
    monkeypatch.setitem(physical.Physical.__init__.__kwdefaults__, "frames", 20)  # type: ignore[arg-type]
    rows = evaluate("physical", tmp_path, weights, "--factors", "5", "--renderer", "fourier")
    assert [(row["renderer"], row["method"]) for row in rows] == [("fourier", "input"), ("fourier", "new")]
    assert float(rows[0]["correlation"]) > 0.9
    assert float(rows[0]["amplitude_error"]) == pytest.approx(1 / 5 - 1, abs=0.05)
    assert is_a_picture(tmp_path / "physical.png")
    assert [(row["frames"], row["unmeasured"]) for row in rows] == [("20", "0")] * 2
    told = capsys.readouterr().out
    assert "amplitude error" in told
    assert "20 of 20" in told


def test_clip(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    axes = ("--axis", "factor=10", "--axis", "crf=none,30", "--frames", "18")
    rows = evaluate("clip", tmp_path, weights, *axes, "--renderer", "project", *folders)
    assert [(row["method"], row["crf"]) for row in rows] == [
        (method, crf) for method in ("input", "oracle", "new") for crf in ("none", "30")
    ]
    assert {row["factor"] for row in rows} == {"10"}
    scores = {(row["method"], row["crf"]): row for row in rows}
    for crf in ("none", "30"):
        assert float(scores["oracle", crf]["ssim"]) > float(scores["input", crf]["ssim"])
    assert float(scores["input", "none"]["gain"]) == pytest.approx(0.1, abs=0.03)
    assert float(scores["new", "none"]["seconds"]) > float(scores["input", "none"]["seconds"])
    assert is_a_picture(tmp_path / "clip.png")
    settings = json.loads((tmp_path / "clip.json").read_text())
    assert (settings["axes"], settings["frames"]) == (["factor=10", "crf=none,30"], 18)
    assert "× 10, CRF 30" in capsys.readouterr().out


def test_protocol(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = evaluate("protocol", tmp_path, weights, "--set", "geometric", "--renderer", "project", *folders)
    assert {row["content"] for row in rows} == {"translation", "rotation", "noise", "blur"}
    assert {row["method"] for row in rows} == {"input", "new"}
    assert all(float(row["rmse"]) > 0 for row in rows)
    assert is_a_picture(tmp_path / "protocol.png")
    assert json.loads((tmp_path / "protocol.json").read_text())["set"] == "geometric"
    assert "not known: the pictures" in capsys.readouterr().out
    assert "--set geometric" in (tmp_path / "protocol.md").read_text()


def test_a_tiny_leaderboard(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranked by SSIM over all levels, with the command that makes it again."""
    monkeypatch.setattr("mm.evaluation.leaderboard.AXES", {"factor": (50.0,), "crf": (23.0,)})
    entries = ("--methods", f"new={weights},linear")
    more = ("--frames", "18", "--size", "64x64", "--renderer", "project", *folders)
    rows = evaluate("leaderboard", tmp_path / "one", weights, *entries, *more)
    columns = ("input", "oracle", "new", "linear")
    levels = [("20", "none"), ("50", "none"), ("20", "23")]
    assert [(row["method"], row["factor"], row["crf"]) for row in rows] == [
        (method, *level) for method in columns for level in levels
    ]
    page = (tmp_path / "one" / "leaderboard.md").read_text()
    ranking = next(part for part in page.split("\n\n") if part.startswith("| entry"))
    entered = [line.split(" | ") for line in ranking.splitlines()[2:]]
    ssims = {
        method: sum(float(row["ssim"]) for row in rows if row["method"] == method) / 3 for method in columns
    }
    assert [cells[0].strip("| ") for cells in entered] == sorted(columns, key=lambda name: -ssims[name])
    for cells in entered:
        assert float(cells[1].strip("* ")) == pytest.approx(ssims[cells[0].strip("| ")], abs=6e-4)
    # The best of those that do not know the truth stands out.
    (best,) = [cells[0].strip("| ") for cells in entered if cells[1].startswith("**")]
    assert best == max(("new", "linear"), key=ssims.__getitem__)

    (command,) = [line for line in page.splitlines() if line.startswith("mm evaluate leaderboard")]
    assert main([*shlex.split(command)[1:], "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0
    again = read_rows(tmp_path / "again" / "leaderboard.csv")
    timeless = [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]
    assert [{name: row[name] for name in timeless[0]} for row in again] == timeless


def test_the_leaderboard_has_every_method_and_every_shipped_network() -> None:
    entries = MEASUREMENTS["leaderboard"].methods.split(",")
    assert len(entries) >= 8
    networks = {name for name in entries if "=" in name}
    assert networks == {f"{name}={name}" for name in shipped()}
    assert set(entries) - networks == set(methods) - {"learned"}


def test_procedural_images_are_none_that_training_draws(weights: Path, tmp_path: Path) -> None:
    """Neither its own ones nor those that a configuration may name."""
    drawn = _drawn_by_evaluate()
    module = MixedDataModule(synthesizer=Synthesizer(40, 40), num_workers=0)
    module.setup()
    training = {
        bank.source.identity(int(index))
        for dataset in map(module.dataset, ("train", "val", "test"))
        for bank in (dataset.photographs, dataset.cutouts)
        for index in bank.indices
    }
    assert len(training) == 4000
    assert drawn
    assert not drawn & training
    ours = NamedSource("procedural-photographs", {"seed": PROCEDURAL_SEED, "size": 48})
    refused = MixedDataModule(ours, synthesizer=Synthesizer(40, 40), num_workers=0)
    with (
        pytest.warns(UserWarning, match="4000 of 4000 photographs are on the list"),
        pytest.raises(InputError, match="which no training may see"),
    ):
        refused.setup()


def _drawn_by_evaluate() -> set[str]:
    """Identities of the images that scenes are made of when none are named."""
    drawn: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for kind in (ProceduralPhotographs, ProceduralCutouts):

            def noted(self: Any, index: int, load: Any = kind.load) -> Any:
                drawn.add(self.identity(index))
                return load(self, index)

            patch.setattr(kind, "load", noted)
        pictures, told = named_pictures(None, None, 64)
        for index in range(3):
            pictures.photograph(0, index)
            pictures.cutout(0, index, 0)
    assert told.startswith("0 of 0 images")
    return drawn


def test_photographs_and_cutouts_from_folders(
    tmp_path: Path, weights: Path, folders: tuple[str, ...]
) -> None:
    common = ("--levels", "0.1", "--renderer", "fourier")
    rows = evaluate("static", tmp_path / "out", weights, *common, *folders)
    again = evaluate("static", tmp_path / "out", weights, "--overwrite", *common, *folders)
    procedural = evaluate("static", tmp_path / "other", weights, *common)
    assert rows == again
    assert rows != procedural
    assert json.loads((tmp_path / "out" / "static.json").read_text())["photographs"] == [folders[1]]


def test_an_earlier_runs_table_never_stands_beside_new_settings(
    tmp_path: Path, weights: Path, folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--levels", "0.1", "--renderer", "fourier", *folders)
    evaluate("static", tmp_path, weights, *options)

    def full(*_: Any) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mm.evaluation.static.Static.write", full)
    command = [
        "evaluate",
        "static",
        "--out",
        str(tmp_path),
        "--methods",
        f"other={weights}",
        "--overwrite",
        *options,
    ]
    assert main([*command, "--size", "72x64", "--count", "1", "--device", "cpu"]) == 2
    assert list(json.loads((tmp_path / "static.json").read_text())["weights"]) == ["other"]
    assert not (tmp_path / "static.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["subpixel", "--methods", "learnt"], "no method is called 'learnt'; did you mean 'learned'?"),
        (["subpixel", "--size", "32x32"], "between 64 and 2048 px wide and high, got 32×32 px"),
        (["subpixel", "--size", "big"], "--size is WIDTHxHEIGHT in px, such as 192x192, got 'big'"),
        (["noise", "--count", "0"], "--count must be at least 1 scene, got 0"),
        (["noise", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["static", "--levels", "0.1,much"], "--levels is numbers with commas between them"),
        (["static", "--levels", "-2"], "noise factor must be between 0 and 1000, got -2"),
        (["subpixel", "--factors", "2"], "--factors is for gain, frequency, physical; subpixel has none"),
        (
            ["kernels", "--levels", "2"],
            "noise, static, gain, frequency; kernels has none",
        ),
        (["static", "--temporal"], "--temporal is for gain, frequency; static has none"),
        (["gain", "--pairs"], "--pairs is for subpixel, noise, static; gain has none, leave it out"),
        (
            ["static", "--pairs", "--methods", "acceleration"],
            "'acceleration' cannot be measured against a reference frame",
        ),
        (
            ["gain", "--methods", "acceleration"],
            "'acceleration' cannot be measured against a reference frame",
        ),
        (["physical", "--factors", "2,5"], "physical is measured at one factor, got 2,5"),
        (["physical", "--factors", "1e4"], "factor must be above 0 and at most 300"),
        (["gain", "--levels", "20", "--factors", "20"], "gives an output motion of 0.1 to 30 px"),
        (["frequency", "--levels", "0.1"], "gives an output motion of 0.1 to 0.5 px"),
        (["gain", "--device", "warp"], "warp"),
        (
            ["gain", "--photographs", "nowhere"],
            "'nowhere' is neither a folder nor the name of",
        ),
        (["clip", "--axis", "crf=60"], "crf of h264 must be between 0 and 51, got 60"),
        (["clip", "--axis", "band=30"], "band must be below 25, where it reaches 15 Hz"),
        (["clip", "--axis", "gain=2"], "an axis is one of factor, crf, noise"),
        (["clip", "--axis", "factor"], "--axis is numbers with commas between them"),
        (["clip", "--frames", "10000000"], "lower --frames or --size"),
        (["clip", "--frames", "9"], "frames must be at least"),
        (["clip", "--photographs", "nowhere"], "'nowhere' is neither a folder nor the name of"),
        (["protocol", "--set", "disk"], "no protocol is called 'disk'; did you mean 'disc'?"),
        (["gain", "--axis", "crf=20"], "--axis is for clip, leaderboard; gain has none, leave it out"),
        (["noises"], "invalid choice: 'noises'"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if "--methods" not in arguments:
        arguments = [*arguments, "--methods", f"new={weights}"]
    if "--levels" in arguments and "-2" in arguments:
        arguments = [part for part in arguments if part not in ("--levels", "-2")] + ["--levels=-2"]
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_with_no_photographs(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    common = ["evaluate", "subpixel", "--methods", f"new={weights}", "--out", str(tmp_path / "out")]
    assert main([*common, "--photographs", str(tmp_path / "empty")]) == 2
    assert "has no image in it" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert main([*common[:-1], str(tmp_path / "file")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


@pytest.mark.material
def test_the_releases_dead_zone_is_seen(tmp_path: Path, weights: Path, material: Path) -> None:
    """On photographs it moves by a fifth of what it should at 0.02 px × 10, and by about all at 1 px × 10."""
    photographs = ("--photographs", str(material / "data" / "evaluation" / "backgrounds"))
    release = f"2018={material / 'anchors' / 'oh2018_release.npz'}"
    rows = evaluate(
        *("gain", tmp_path, weights, "--methods", release, "--levels", "0.02,1", "--factors", "10"),
        *("--renderer", "fourier", "--size", "128x128", "--count", "2", *photographs),
    )
    gain = {
        row["motion"]: float(row["gain"])
        for row in rows
        if (row["method"], row["content"]) == ("2018", "picture")
    }
    assert gain["0.02"] < 0.45
    assert gain["1"] == pytest.approx(1, abs=0.15)
