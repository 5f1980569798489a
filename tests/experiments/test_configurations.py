"""Every configuration under ``experiments/`` can be run, and the paper's holds the paper's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from mm.cli.fit import MagnificationCLI, build
from mm.synthesis import MotionLimits

FOLDER = Path(__file__).parents[2] / "experiments"
# A sweep is no configuration of a run; tests/experiments/test_sweeps.py holds those.
CONFIGURATIONS = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name != "sweeps")


def made(path: Path, folder: Path, *options: str) -> MagnificationCLI:
    """Everything that a run is made of, short of running."""
    # A machine without GPUs must be able to check a configuration for one.
    fixed = [
        "--trainer.default_root_dir",
        str(folder),
        "--trainer.accelerator",
        "cpu",
        "--trainer.devices",
        "1",
    ]
    # An ablation says only what differs from its base.
    base = path.parent / "base.yaml"
    under = ["--config", str(base)] if base.is_file() and base != path else []
    return build([*under, "--config", str(path), *fixed, *options], run=False)


def test_there_are_the_three_that_are_promised():
    assert {"paper.yaml", "small.yaml", "smoke.yaml"} <= {path.name for path in CONFIGURATIONS}


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_configuration_makes_a_run(path, tmp_path):
    cli = made(path, tmp_path)
    assert cli.model.network is not None
    known = [recipe.name for recipe in cli.datamodule.synthesizer.subsets]
    # The paper's five, and what a recipe adds to them; the end of a training may leave some of them out.
    assert known[:5] == ["sharp", "blurred", "background", "static", "objects"]
    drawn = cli.datamodule.subset_names
    assert set(drawn) <= set(known) if path.stem == "shipped" else drawn[:5] == tuple(known[:5])
    # Its comment says how it is run.
    assert "mm fit --config experiments/" in path.read_text()


def test_paper(tmp_path):
    """The numbers of Oh et al. 2018, section 3.3 and section 4, written out again."""
    cli = made(FOLDER / "paper.yaml", tmp_path)
    optimizer = cli.model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    options = optimizer.param_groups[0]
    assert (options["lr"], tuple(options["betas"]), options["weight_decay"]) == (1e-4, (0.9, 0.999), 0)
    terms = ("image", "texture", "texture_perturbed", "shape")
    assert {name: cli.model.loss.weights[name] for name in cli.model.loss.names} == dict(
        zip(terms, (1, 0.1, 0.1, 0.1), strict=True)
    )
    assert cli.model.network.config.manipulator == "nonlinear"
    data = cli.datamodule
    assert data.batch_size == 4
    assert data.samples_per_epoch == 5 * 20_000
    assert data.subset_names == ("sharp", "blurred", "background", "static", "objects")
    assert {subset.weight for subset in data.synthesizer.subsets} == {1.0}
    synthesizer = data.synthesizer
    assert (synthesizer.geometry.height, synthesizer.geometry.width) == (384, 384)
    assert synthesizer.limits.max_factor == 100
    assert synthesizer.limits.max_motion == 10
    assert synthesizer.limits.max_magnified == 30
    assert synthesizer.noise[1] * 255 == pytest.approx(3, rel=1e-3)
    assert type(synthesizer.motion).__name__ == "Translation"
    assert all(recipe.objects in ((7, 15), (0, 0)) for recipe in synthesizer.subsets)


def test_any_value_can_be_given_on_the_command_line(tmp_path):
    cli = made(
        FOLDER / "small.yaml",
        tmp_path,
        "--model.network.manipulator=linear",
        "--data.synthesizer.height=64",
        "--data.synthesizer.limits.max_factor=20",
        "--trainer.max_steps=7",
        "--last_checkpoint.minutes=1.5",
    )
    assert cli.model.network.config.manipulator == "linear"
    assert cli.datamodule.synthesizer.geometry.height == 64
    assert cli.datamodule.synthesizer.limits.max_factor == 20
    assert cli.trainer.max_steps == 7
    assert cli.config["last_checkpoint"].minutes == 1.5


def test_a_subset_may_have_limits_of_its_own(tmp_path):
    """In a configuration, and in the copy of it that a run keeps."""
    far = "{name: far, noise: [0.0, 0.5], limits: {max_magnified: 40.0, max_factor: 20.0}}"
    options = (f"--data.synthesizer.subsets=[{{name: sharp}}, {far}]",)
    for name in ("first", "second"):
        cli = made(FOLDER / "smoke.yaml", tmp_path / name, *options)
        _, recipe = cli.datamodule.synthesizer.subsets
        assert recipe.noise == (0.0, 0.5)
        assert recipe.limits == {"max_magnified": 40.0, "max_factor": 20.0}
        # What is left out is the configuration's.
        synthesizer = cli.datamodule.synthesizer
        limits = recipe.limits_within(synthesizer.limits)
        assert (limits.max_magnified, limits.max_factor) == (40.0, 20.0)
        assert limits.max_motion == synthesizer.limits.max_motion != MotionLimits().max_motion
        assert cli.datamodule.synthesizer.geometry.margin >= 40
        kept = yaml.safe_load(cli.parser.dump(cli.config))["data"]["init_args"]["synthesizer"]["init_args"]
        options = (f"--data.synthesizer.subsets={json.dumps(kept['subsets'])}", *options[1:])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_precisions(tmp_path, precision):
    assert (
        made(FOLDER / "smoke.yaml", tmp_path, f"--trainer.precision={precision}").trainer.precision
        == precision
    )


def test_half_precision_on_a_processor_becomes_bfloat16(tmp_path):
    """Lightning's rule, which the documentation repeats: 16-mixed needs a GPU."""
    with pytest.warns(UserWarning, match="not supported on CPU"):
        assert (
            made(FOLDER / "smoke.yaml", tmp_path, "--trainer.precision=16-mixed").trainer.precision
            == "bf16-mixed"
        )
