"""``mm fit``, ``validate``, ``test`` and ``export`` as they are typed, on the smoke configuration."""

from __future__ import annotations

import csv
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning.callbacks import RichProgressBar
from safetensors import safe_open

from mm.cli import main
from mm.cli.fit import build
from mm.data import MagnificationDataModule
from mm.files import locked
from mm.networks import weights
from mm.synthesis import Synthesizer
from mm.training import LastCheckpoint, MagnificationModule, PaperLoss

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
SUBSETS = ("sharp", "blurred", "background", "static", "objects")
# For tests that are not about validation, which takes most of the time.
NO_VALIDATION = ["--trainer.limit_val_batches", "0"]

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def mm(command: str, folder: Path, *options: str) -> int:
    return main([command, "--config", str(SMOKE), "--trainer.default_root_dir", str(folder), *options])


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The folder of one whole run of ``mm fit --config experiments/smoke.yaml``."""
    folder = tmp_path_factory.mktemp("smoke")
    assert mm("fit", folder) == 0
    return folder


def test_fit_leaves_a_whole_run(smoke):
    for name in ("last", "best"):
        assert checkpoint(smoke, name)["global_step"] in (3, 6)
    assert checkpoint(smoke)["global_step"] == 6
    log = smoke / "logs" / "version_0"
    table = rows(log)
    losses = [float(row["train/loss"]) for row in table if row["train/loss"]]
    assert len(losses) == 6
    for name in ("image", "texture", "texture_perturbed", "shape", "learning_rate", "samples_per_second"):
        assert all(np.isfinite(float(row[f"train/{name}"])) for row in table if row["train/loss"])
    validations = [row for row in table if row["val/score"]]
    assert len(validations) == 2
    for subset in SUBSETS:
        assert 0 < float(validations[-1][f"val/{subset}/copy_ssim"]) < 1
        assert np.isfinite(float(validations[-1][f"val/{subset}/psnr"]))
    assert "val/sharp/gain" in table[0]
    assert "val/static/gain" not in table[0]
    mean = np.mean([float(validations[-1][f"val/{subset}/ssim"]) for subset in SUBSETS])
    assert float(validations[-1]["val/score"]) == pytest.approx(mean, abs=1e-5)


def test_fit_writes_sample_images(smoke):
    folder = smoke / "logs" / "version_0" / "samples"
    assert {path.name for path in folder.iterdir()} == {
        f"{subset}-000000{step}.png" for subset in SUBSETS for step in (3, 6)
    }
    picture = np.asarray(Image.open(folder / "static-0000006.png"))
    # Two samples of 40×40 px, four columns, 4 px between.
    assert picture.shape == (2 * 44 - 4, 4 * 44 - 4, 3)
    # In a static scene xa, xb and truth differ by noise only.
    xa, xb, truth = (picture[:40, left : left + 40].astype(float) for left in (0, 44, 88))
    assert np.abs(xa - xb).mean() < 6
    assert np.abs(xa - truth).mean() < 6
    moving = np.asarray(Image.open(folder / "background-0000006.png")).astype(float)
    assert np.abs(moving[:, :40] - moving[:, 88:128]).mean() > 6


def test_run_is_recorded(smoke):
    record = json.loads((smoke / "logs" / "version_0" / "run.json").read_text())
    assert record["command"] == "fit"
    assert record["software"]["torch"] == torch.__version__
    assert record["hardware"]["ranks"] == 1
    kept = checkpoint(smoke)["run"]
    assert kept["config"]["average"]["decay"] == 0.9
    assert kept["config"]["data"]["init_args"]["synthesizer"]["init_args"]["height"] == 40


def test_saved_configuration_is_complete(smoke, tmp_path):
    """The saved file alone, without the one it came from, trains the same: to the last bit, on one device."""
    config = smoke / "logs" / "version_0" / "config.yaml"
    assert "Unable to serialize" not in config.read_text()
    again = ["fit", "--config", str(config), "--trainer.default_root_dir", str(tmp_path)]
    assert main([*again, "--trainer.max_steps", "2", *NO_VALIDATION]) == 0
    first = [row["train/loss"] for row in rows(smoke / "logs" / "version_0") if row["train/loss"]]
    second = [row["train/loss"] for row in rows(tmp_path / "logs" / "version_0") if row["train/loss"]]
    assert [float(value) for value in second] == pytest.approx(
        [float(value) for value in first[:2]], rel=1e-5
    )


@pytest.mark.parametrize(
    ("command", "stage", "which"), [("validate", "val", "last"), ("test", "test", "best")]
)
def test_scoring_a_checkpoint(smoke, capsys, command, stage, which):
    """With its network and its averaged weights, whatever the configuration."""
    own = ["--model.network.decoder_blocks", "7", "--average.decay", "null"]
    assert mm(command, smoke, "--ckpt_path", which, "--sample_images.samples", "0", *own) == 0
    printed = capsys.readouterr().out
    for subset in SUBSETS:
        assert f"\n{subset}" in printed
    assert "motion gain" in printed
    log = max((smoke / "logs").iterdir(), key=lambda path: path.stat().st_mtime)
    (row,) = [row for row in rows(log) if row[f"{stage}/score"]]
    if command == "validate":
        # The set is fixed and the weights are those that the run ended with.
        ended = [row for row in rows(smoke / "logs" / "version_0") if row["val/score"]][-1]
        for subset in SUBSETS:
            assert float(row[f"val/{subset}/ssim"]) == pytest.approx(
                float(ended[f"val/{subset}/ssim"]), abs=1e-4
            )


def test_export(smoke, tmp_path, capsys):
    source, target = smoke / "checkpoints" / "last.ckpt", tmp_path / "mine.safetensors"
    assert main(["export", str(source), str(target), "--card", "licence=MIT", "note=a=b"]) == 0
    assert "mine.safetensors" in capsys.readouterr().out
    network = weights.load(target)
    averaged = {
        key.removeprefix("ema."): v for key, v in checkpoint(smoke)["state_dict"].items() if "ema." in key
    }
    assert averaged
    for name, value in network.state_dict().items():
        assert torch.equal(value, averaged[name])
    card = json.loads(target.with_suffix(".json").read_text())
    with safe_open(target, framework="pt") as file:
        assert json.loads(file.metadata()["card"])["samples_seen"] == card["samples_seen"]
    assert card["samples_seen"] == 12
    assert card["steps"] == 6
    assert 0 < card["wall_time_hours"] < 1
    assert card["licence"] == "MIT"
    assert card["note"] == "a=b"
    assert card["data"] == {"photographs": "procedural", "cutouts": "procedural"}
    assert card["max_magnified_motion"] == 6.0
    assert card["max_factor"] == 50.0
    assert set(card["validation"]) == {*SUBSETS, "score", "step"}
    assert card["validation"]["step"] == 6
    ended = [row for row in rows(smoke / "logs" / "version_0") if row["val/score"]][-1]
    assert card["validation"]["sharp"]["ssim"] == pytest.approx(float(ended["val/sharp/ssim"]), abs=1e-4)
    # Nothing tells where the run's files are.
    assert str(smoke) not in json.dumps(card)


def test_export_puts_the_scores_of_an_evaluation_into_the_card(smoke, tmp_path, capsys):
    source, measured = smoke / "checkpoints" / "last.ckpt", tmp_path / "measured"
    options = ["--methods", f"mine={source},other={source}", "--count", "1", "--size", "64x64"]
    command = ["evaluate", "subpixel", "--levels", "0.1,1", "--out", str(measured), "--no-gain"]
    assert main([*command, *options]) == 0
    target = tmp_path / "mine.safetensors"
    export = ["export", str(source), str(target), "--evaluation", str(measured)]
    assert main([*export, "--column", "mine"]) == 0
    found = json.loads(target.with_suffix(".json").read_text())["evaluation"]
    assert list(found) == ["subpixel"]
    assert found["subpixel"]["size"] == [64, 64]
    assert found["subpixel"]["scenes"] == 1
    with (measured / "subpixel.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    levels = found["subpixel"]["levels"]
    assert [(level["renderer"], level["motion"]) for level in levels] == [
        (renderer, motion) for renderer in ("fourier", "project") for motion in (0.1, 1.0)
    ]
    for level in levels:
        of_level = {
            row["method"]: float(row["ssim"])
            for row in table
            if row["renderer"] == level["renderer"] and float(row["motion"]) == level["motion"]
        }
        of_level["this"] = of_level.pop("mine")
        assert level["ssim"] == pytest.approx(of_level, abs=1e-4)
    # Which of several is the card's network is not guessed.
    capsys.readouterr()
    export.append("--overwrite")
    assert main(export) == 2
    assert "it has several methods; give --column one of mine, other" in capsys.readouterr().err
    assert main([*export, "--column", "nobody"]) == 2
    assert "none of its methods is 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.ckpt", "o.safetensors"], "no weights file 'nothing.ckpt'"),
        (["nothing.pt", "o.safetensors"], "its name must end in .ckpt"),
        (["LAST", "o.bin"], "saved as .safetensors"),
        (["LAST", "missing/o.safetensors"], "there is no folder missing"),
        pytest.param(
            ["LAST", "/proc/self/o.safetensors"],
            "cannot write /proc/self/o.json",
            marks=pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="root may write anywhere else"),
        ),
        (["LAST", "o.safetensors", "--evaluation", "."], ". holds no measurement of mm evaluate"),
        (["LAST", "o.safetensors", "--column", "x"], "give --evaluation FOLDER too"),
        (["LAST", "o.safetensors", "--card", "novalue"], "--card takes KEY=VALUE, got 'novalue'"),
    ],
)
def test_export_errors(smoke, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    last = str(smoke / "checkpoints" / "last.ckpt")
    assert main(["export", *(last if text == "LAST" else text for text in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_resume_goes_on(smoke, tmp_path, capsys):
    for name in ("last", "best"):
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / f"{name}.ckpt").write_bytes(
            (smoke / "checkpoints" / f"{name}.ckpt").read_bytes()
        )
    assert mm("fit", tmp_path, "--ckpt_path", "last", "--trainer.max_steps", "8", *NO_VALIDATION) == 0
    steps = [int(row["step"]) for row in rows(tmp_path / "logs" / "version_0") if row["train/loss"]]
    assert steps == [6, 7]
    kept = checkpoint(tmp_path)
    assert kept["global_step"] == 8
    assert kept["training"]["samples_seen"] == 16
    assert kept["training"]["seconds"] > checkpoint(smoke)["training"]["seconds"]


@pytest.mark.parametrize("decay", ["null", "0.5"])
def test_averaging_may_change_when_a_run_goes_on(smoke, tmp_path, capsys, decay):
    """The smoke run's checkpoint with and without averaged weights, into a run without and with them."""
    kept = checkpoint(smoke)
    if decay != "null":
        state = kept["state_dict"]
        kept["state_dict"] = {name: value for name, value in state.items() if not name.startswith("ema.")}
    (tmp_path / "checkpoints").mkdir()
    torch.save(kept, tmp_path / "checkpoints" / "last.ckpt")
    options = ["--ckpt_path", "last", "--average.decay", decay, "--trainer.max_steps", "7", *NO_VALIDATION]
    assert mm("fit", tmp_path, *options) == 0
    again = checkpoint(tmp_path)
    assert again["global_step"] == 7
    assert any(name.startswith("ema.") for name in again["state_dict"]) == (decay != "null")


class Code:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("fit", ["--config", "missing.yaml"], "missing.yaml"),
        ("fit", ["--config", "broken.yaml"], "expected"),
        ("fit", ["--model.chanels_last", "1"], "model.chanels_last"),
        ("fit", ["--model.gain_samples", "many"], "model.gain_samples"),
        ("fit", ["--model.loss.weight", "-1"], "model.loss.weight must be at least 0, got -1"),
        ("fit", ["--data.batch_size", "0"], "data.batch_size must be at least 1, got 0"),
        ("fit", ["--data.photographs", "[missing-folder]"], "missing-folder"),
        ("fit", ["--trainer.accelerator", "cuda"], "CUDA"),
        ("fit", ["--trainer.strategy", "foo"], "foo"),
        ("fit", ["--trainer.precision", "bf16-true"], "trainer.precision must be one of 32-true, bf16-mixed"),
        ("fit", ["--last_checkpoint.steps", "-5"], "Invalid value for every_n_train_steps"),
        ("fit", ["--best_checkpoint.monitor", "val/scor"], "monitor 'val/scor'; did you mean 'val/score'?"),
        ("fit", ["--ckpt_path", "missing.ckpt"], "no checkpoint 'missing.ckpt'"),
        ("fit", ["--ckpt_path", "stranger.ckpt"], "stranger.ckpt is refused"),
        ("fit", ["--ckpt_path", "half.ckpt"], "half.ckpt is refused: it is no checkpoint as torch writes it"),
        ("fit", ["--ckpt_path", "other.ckpt"], "other.ckpt is not a checkpoint of this project's training"),
        ("fit", ["--plugins", "missing.py"], "missing.py"),
        ("fit", ["--trainer.default_root_dir", "broken.yaml/run"], "broken.yaml/run"),
        ("validate", ["--ckpt_path", "last"], "no checkpoint 'run/checkpoints/last.ckpt'"),
        ("test", ["--trainer.max_steps", "1"], "mm test needs --ckpt_path"),
        ("fit", ["--model.loss", "PaperLos"], "PaperLos"),
        ("fit", ["--data.synthesizer.height", "x"], "Expected a <class 'int'>. Got value: x"),
        ("fit", ["--model.network.chanels", "3"], "has no 'chanels'; did you mean 'channels'?"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, smoke, command, options, message):
    if options[1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("model: [")
    torch.save({"state_dict": Code()}, "stranger.ckpt")
    torch.save({"state_dict": {}}, "other.ckpt")
    Path("half.ckpt").write_bytes((smoke / "checkpoints" / "last.ckpt").read_bytes()[:4000])
    assert mm(command, Path("run"), *options) == 2
    error = capsys.readouterr().err.strip().splitlines()
    (line,) = [text for text in error if text.startswith("mm: error:")]
    assert message in line
    assert error[-1] == line
    assert not any("Traceback" in text for text in error)
    assert not Path("executed").exists()
    assert not Path("run/checkpoints").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.network.channels=6"], "channels 8, not 6"),
        (["--model.optimizer=MuonAdam"], "has the state of Adam, which MuonAdam cannot use"),
    ],
)
def test_a_checkpoint_that_cannot_be_resumed(smoke, tmp_path, capsys, options, said):
    path = str(smoke / "checkpoints" / "last.ckpt")
    assert mm("fit", tmp_path, "--ckpt_path", path, *options) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_starts_anew_keeps_the_checkpoints_of_the_one_before(smoke, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("last", "best", "mine"):
        source = smoke / "checkpoints" / f"{'last' if name == 'mine' else name}.ckpt"
        (folder / f"{name}.ckpt").write_bytes(source.read_bytes())
    # A start that fails moves nothing.
    assert mm("fit", tmp_path, "--data.photographs", "[nowhere]") == 2
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt", "mine.ckpt"]
    assert mm("fit", tmp_path, "--trainer.max_steps", "1", *NO_VALIDATION) == 0
    steps = {
        str(path.relative_to(folder)): torch.load(path, weights_only=True)["global_step"]
        for path in folder.rglob("*.ckpt")
    }
    last, best = (checkpoint(smoke, name)["global_step"] for name in ("last", "best"))
    earlier = {"earlier-1/last.ckpt": last, "earlier-1/best.ckpt": best}
    assert steps == {"last.ckpt": 1, "mine.ckpt": last, **earlier}
    # Going on moves nothing.
    assert mm("fit", tmp_path, "--ckpt_path", "last", "--trainer.max_steps", "2", *NO_VALIDATION) == 0
    assert len(list(folder.iterdir())) == 3


def test_the_folder_of_a_run_in_progress_is_refused(tmp_path, capsys):
    with locked(tmp_path, "another run"):
        assert mm("fit", tmp_path, "--trainer.max_steps", "1", *NO_VALIDATION) == 2
    assert f"a run is in progress in {tmp_path}; give another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert mm("fit", tmp_path, "--trainer.max_steps", "1", *NO_VALIDATION) == 0


def test_a_bar_is_for_a_terminal(tmp_path, monkeypatch):
    def bar(*options: str):
        arguments = ["--config", str(SMOKE), f"--trainer.default_root_dir={tmp_path}", *options]
        return build(arguments, run=False).trainer.progress_bar_callback

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert bar().refresh_rate == 50
    assert bar("--trainer.enable_progress_bar=false") is None
    own = "--trainer.callbacks+=RichProgressBar"
    assert type(bar(own)) is RichProgressBar
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert bar() is None
    assert type(bar(own)) is RichProgressBar


def test_help_names_every_option_in_a_page(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) < 120
    for part in (MagnificationModule, MagnificationDataModule, Synthesizer, PaperLoss, LastCheckpoint):
        for name in inspect.signature(part).parameters:
            assert f"  {name} " in said or name == "dirpath"


def test_plugin_is_loaded_before_the_configuration(tmp_path, capsys):
    """A motion generator in a file of the user's, named in the configuration by its class path."""
    plugin = tmp_path / "still.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "from torch import Tensor\n"
        "from mm.synthesis import Translation\n"
        "class Downwards(Translation):\n"
        "    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:\n"
        "        Path(__file__).with_suffix('.used').touch()\n"
        "        return gain * torch.tensor([0.0, 1.0])[None, None].expand(len(parameters), 1, 2)\n"
    )
    motion = "--data.synthesizer.init_args.motion.class_path=mm.plugins.still.Downwards"
    options = ["--plugins", str(plugin), motion, "--trainer.max_steps", "1", *NO_VALIDATION]
    assert mm("fit", tmp_path / "run", *options) == 0
    config = (tmp_path / "run" / "logs" / "version_0" / "config.yaml").read_text()
    assert "mm.plugins.still.Downwards" in config
    # And it is what moved the layers.
    assert plugin.with_suffix(".used").exists()


def test_weights_and_biases_without_a_login(tmp_path, monkeypatch, capsys):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    overlay = SMOKE.with_name("wandb.yaml")
    options = ["--config", str(overlay), "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    try:
        assert mm("fit", tmp_path / "run", *options) == 0
    finally:
        import wandb

        wandb.finish()
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert list(folder.rglob("*.png"))
    # CSV always.
    assert rows(tmp_path / "run" / "logs" / "version_0")


SCRIPT = """
import sys
import mm.cli.fit
assert "wandb" not in sys.modules, "a run without Weights & Biases must not pay for it"
from mm.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command_line(folder: Path, *options: str) -> list[str]:
    fit = ["fit", "--config", str(SMOKE), "--trainer.default_root_dir", str(folder), *NO_VALIDATION, *options]
    return [sys.executable, "-c", SCRIPT, *fit]


@pytest.mark.slow
def test_killed_run_goes_on_where_its_last_checkpoint_was(tmp_path, capsys):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = command_line(tmp_path, "--trainer.max_steps", "100000", "--last_checkpoint.steps", "1")
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    last = tmp_path / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    try:
        # Every step writes one: the kill falls into a write sooner or later; here it falls anywhere.
        while not (last.is_file() and checkpoint(tmp_path)["global_step"] >= 3):
            assert process.poll() is None, process.stdout.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    reached = checkpoint(tmp_path)["global_step"]
    # What a kill in the middle of a write leaves, newer than the last whole one.
    (last.parent / ".last.ckpt.partial").write_bytes(last.read_bytes()[:1000])
    target = str(reached + 2)
    assert mm("fit", tmp_path, "--ckpt_path", "last", "--trainer.max_steps", target, *NO_VALIDATION) == 0
    steps = [int(row["step"]) for row in rows(tmp_path / "logs" / "version_1") if row["train/loss"]]
    assert steps == [reached, reached + 1]
    assert checkpoint(tmp_path)["global_step"] == reached + 2
    assert checkpoint(tmp_path)["training"]["samples_seen"] == 2 * (reached + 2)


def test_a_configuration_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.compile", "true"]) == 2
    assert "needs a configuration: --config experiments/smoke.yaml" in capsys.readouterr().err
