"""Sweep files: W&B's distributions as Optuna's, the agent's command line, and files that cannot be run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from mm.errors import InputError
from mm.sweeps import fit_options, read_sweep

WHOLE = {
    "method": "bayes",
    "metric": {"name": "val/score"},
    "parameters": {"a": {"value": 1}},
    "command": ["${env}", "${interpreter}", "-m", "mm", "fit", "--config", "c.yaml", "${args}", "--last=1"],
}


def read(folder: Path, **changes: object):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**WHOLE, **changes}, sort_keys=False))
    return read_sweep(path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"value": 7}, CategoricalDistribution([7])),
        ({"values": ["a", 1.5, True]}, CategoricalDistribution(["a", 1.5, True])),
        ({"values": [[1, 2]]}, CategoricalDistribution(["[1, 2]"])),
        ({"min": 1, "max": 4}, IntDistribution(1, 4)),
        ({"min": 1, "max": 4.0}, FloatDistribution(1, 4)),
        ({"distribution": "q_uniform", "min": 16, "max": 128, "q": 8}, FloatDistribution(16, 128, step=8)),
        ({"distribution": "log_uniform", "min": 0, "max": 1}, FloatDistribution(1, math.e, log=True)),
        ({"distribution": "inv_log_uniform", "min": -1, "max": 0}, FloatDistribution(1, math.e, log=True)),
        ({"distribution": "log_uniform_values", "min": 0.1, "max": 1}, FloatDistribution(0.1, 1, log=True)),
        (
            {"distribution": "inv_log_uniform_values", "min": 0.1, "max": 1},
            FloatDistribution(0.1, 1, log=True),
        ),
    ],
)
def test_distributions(tmp_path: Path, given, expected):
    assert read(tmp_path, parameters={"x.y": given}).parameters == {"x.y": expected}


def test_the_goal_is_wandbs_if_it_is_not_given(tmp_path: Path):
    assert not read(tmp_path).maximize
    assert read(tmp_path, metric={"name": "val/score", "goal": "maximize"}).maximize


def test_the_command_line_is_the_agents(tmp_path: Path):
    values = {"model.loss_weight": 0.1, "n": 3, "deep": True, "word": "{a: 1}", "tiny": 1e-5}
    flags = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    assert fit_options(read(tmp_path), values) == ["--config", "c.yaml", *flags["args"], "--last=1"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"method": "baise"}, ["method", "'baise'"]),
        ({"metrik": {}}, ["'metrik'", "'metric'"]),
        ({"metric": "val/score"}, ["metric", "'val/score'"]),
        ({"metric": {"name": "x", "goal": "maximise"}}, ["goal", "'maximise'"]),
        ({"parameters": [1]}, ["parameters", "[1]"]),
        ({"command": "mm fit"}, ["command", "'mm fit'"]),
        ({"parameters": {"x": 3}}, ["'x'", "got 3"]),
        ({"parameters": {"x": {"min": 1}}}, ["'x'", "max"]),
        ({"parameters": {"x": {"parameters": {"a": {"value": 1}}}}}, ["'x'", "A.B"]),
        ({"parameters": {"x": {"distribution": "beta", "min": 0, "max": 1}}}, ["'x'", "'beta'", "uniform"]),
        ({"parameters": {"x": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, ["'x'", "low"]),
        ({"parameters": {"x": {"distribution": "log_uniform", "min": 1, "max": 1000}}}, ["'x'"]),
        ({"parameters": {"x": {"min": 2, "max": 1}}}, ["'x'", "low"]),
        ({"parameters": {"x": {"min": "1e-5", "max": 1}}}, ["'x'", "'1e-5'", "1.0e-5"]),
        ({"parameters": {"x": {"values": []}}}, ["'x'"]),
        ({"parameters": {"x": {"values": [0.9, None]}}}, ["'x'", "None"]),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.5]}}}, ["'x'", "probabilities"]),
    ],
)
def test_a_file_that_cannot_be_run(tmp_path: Path, changes, names):
    with pytest.raises(InputError) as refused:
        read(tmp_path, **changes)
    line = str(refused.value)
    assert all(name in line for name in [str(tmp_path / "sweep.yaml"), *names]), line
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"a: [", b"\x89PNG\r\n\x1a\n\xff\xfe", b"just words", b"", None])
def test_a_file_that_is_no_sweep(tmp_path: Path, content):
    path = tmp_path / "sweep.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"sweep\.yaml|no sweep file"):
        read_sweep(path)


@pytest.mark.parametrize(
    "command",
    [
        ["${env}", "python", "train.py", "${args}"],
        ["python", "-m", "mm", "validate", "${args}"],
        ["python", "-m", "mm", "fit"],
        ["python", "-m", "mm", "${args}", "fit"],
    ],
)
def test_a_command_without_a_training(tmp_path: Path, command):
    with pytest.raises(InputError, match="command"):
        fit_options(read(tmp_path, command=command), {})
