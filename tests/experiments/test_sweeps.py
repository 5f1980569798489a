"""Every sweep file, as W&B's agent runs it: values are drawn, the command line is built, parsed, and run."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

from mm.cli.fit import build, short
from mm.cli.sweep import check
from mm.sweeps import Sweep, first_values, fit_options, read_sweep

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "experiments" / "sweeps").glob("*.yaml"))
# A machine without GPUs must be able to check them.
CPU = ["--trainer.accelerator=cpu"]


def agents_words(path: Path, values: dict[str, Any]) -> list[str]:
    """The command line of one run, by W&B's own code as far as there is some without a server."""
    content = load_sweep_config(str(path))
    # The server sends a run's values as JSON.
    arguments = {name: {"value": value} for name, value in json.loads(json.dumps(values)).items()}
    macros = {
        **create_sweep_command_args({"args": arguments}),
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [content["program"]],
    }
    words: list[str] = []
    for word in map(str, create_sweep_command(content["command"])):
        words += macros[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word]
    return words


def some_values(sweep: Sweep) -> list[dict[str, Any]]:
    """Values of two trials: of a grid the first and the last of its dozen."""
    method = "grid" if sweep.content["method"] == "grid" else "random"
    values = first_values(sweep, method, 1, 12)
    return [values[0], values[-1]]


def test_there_is_one_of_each_method():
    assert {read_sweep(path).content["method"] for path in FILES} == {"random", "grid", "bayes"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFile:
    def test_the_agents_command_line_makes_a_run_with_the_drawn_values(self, path, monkeypatch, tmp_path):
        monkeypatch.chdir(ROOT)
        sweep = read_sweep(path)
        for values in some_values(sweep):
            words = agents_words(path, values)
            # The command comes before its options, and nothing is left of the macros.
            options = words[words.index("fit") + 1 :]
            assert words[words.index("fit") - 3 : words.index("fit")] == ["python", "-m", "mm"]
            assert not [word for word in words if word.startswith("${")]
            assert options == fit_options(sweep, values)
            cli = build([*options, *CPU, f"--trainer.default_root_dir={tmp_path}"], run=False)
            items = [each for each in cli.config.items(branches=True) if not each[0].endswith(".init_args")]
            whole = {short(key): value for key, value in items}
            found = {name: whole[short(name)] for name in values}
            assert {name: plain(value) for name, value in found.items()} == {
                name: plain(value) for name, value in values.items()
            }

    def test_every_listed_value_is_taken_and_the_metric_is_logged(self, path, monkeypatch):
        monkeypatch.chdir(ROOT)
        sweep = read_sweep(path)
        check(sweep, some_values(sweep)[0], CPU)
        assert (sweep.metric, sweep.maximize) == ("val/score", True)

    def test_the_program_is_a_file_and_the_comment_says_how_it_is_run(self, path):
        assert (ROOT / load_sweep_config(str(path))["program"]).is_file()
        assert f"wandb sweep experiments/sweeps/{path.name}" in path.read_text()
        assert f"mm sweep experiments/sweeps/{path.name}" in path.read_text()


def plain(value: Any) -> Any:
    """A mapping that was given as a text is compared as what it means."""
    if isinstance(value, Namespace):
        return value.class_path.rpartition(".")[2]
    if isinstance(value, str) and value.startswith("{"):
        return {key: float(number) for key, number in re.findall(r"(\w+): ([\d.]+)", value)}
    return {key: float(number) for key, number in value.items()} if isinstance(value, dict) else value


def test_early_termination_looks_when_there_is_something_to_see():
    """Hyperband counts validations: its last look must not come after the run's end."""
    content = load_sweep_config(str(ROOT / "experiments" / "sweeps" / "bayes.yaml"))
    numbers = dict(
        re.findall(r"--trainer\.(max_steps|val_check_interval)=(\d+)", " ".join(content["command"]))
    )
    validations = int(numbers["max_steps"]) // int(numbers["val_check_interval"])
    stop = content["early_terminate"]
    assert stop["type"] == "hyperband"
    assert stop["min_iter"] * stop["eta"] <= validations


@pytest.mark.slow
def test_a_run_of_the_agent_for_real(tmp_path):
    """The agent's very command line, with the smoke configuration's small network, and W&B offline."""
    path = ROOT / "experiments" / "sweeps" / "random.yaml"
    values = first_values(read_sweep(path), "random", 0)[0]
    tiny = {
        "trainer.max_steps": 1,
        "trainer.val_check_interval": 1,
        "data.validation_samples": 1,
        # The smoke configuration magnifies less than a motion of 0.1 px by 50.
        "data.synthesizer.init_args.limits.max_factor": 10,
    }
    (tmp_path / "experiments").mkdir()
    for name in ("smoke", "wandb"):
        text = (ROOT / "experiments" / f"{name}.yaml").read_text()
        (tmp_path / "experiments" / f"{'small' if name == 'smoke' else name}.yaml").write_text(text)
    environment = {
        **os.environ,
        # "python" must be the one that the tests run with.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(ROOT),
        "WANDB_MODE": "offline",
        "WANDB_SWEEP_ID": "abc",
        "WANDB_RUN_ID": "xyz",
    }
    done = subprocess.run(
        agents_words(path, {**values, **tiny}), cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # A folder of its own, named as the agent names the run: two agents would share their checkpoints.
    folder = tmp_path / "runs" / "agents" / "abc" / "xyz"
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    with (folder / "logs" / "version_0" / "metrics.csv").open() as file:
        scores = [line["val/score"] for line in csv.DictReader(file) if line["val/score"]]
    assert len(scores) == 1
    # W&B's file is a sequence of protocol buffers: a history item is the key, field 16 and the value as JSON.
    (log,) = folder.rglob("*.wandb")
    assert "xyz" in log.name
    logged = re.findall(rb"val/score\x82\x01.([-\d.e]+)", log.read_bytes(), flags=re.S)
    assert [float(value) for value in logged[:1]] == pytest.approx([float(scores[0])])
