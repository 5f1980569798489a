"""A trial's values, and the command line that the agent makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from mm.errors import InputError
from mm.sweeps import Sweep, fit_options, flags, grid_size, read_sweep, started_by, trial_values

WHOLE = {
    "method": "random",
    "metric": {"name": "val/score", "goal": "maximize"},
    "parameters": {"b": {"values": [1, 2, 3]}, "a": {"values": ["x", "y"]}},
    "command": ["${env}", "${interpreter}", "-m", "mm", "fit", "--config", "c.yaml", "${args}", "--last=1"],
}


@pytest.fixture
def sweep(tmp_path: Path):
    def make(**changes: object) -> Sweep:
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump({**WHOLE, **changes}, sort_keys=False))
        return read_sweep(path)

    return make


def test_a_grid_is_every_combination_once_the_last_name_fastest(sweep):
    grid = sweep(method="grid")
    found = [tuple(trial_values(grid, "grid", 0, i).values()) for i in range(grid_size(grid))]
    # The columns are in the file's order, b and then a.
    assert found == [(1, "x"), (2, "x"), (3, "x"), (1, "y"), (2, "y"), (3, "y")]


def test_a_grid_over_a_range_is_refused(sweep):
    endless = sweep(parameters={"a": {"min": 0.0, "max": 1.0}})
    with pytest.raises(InputError, match="a grid needs values, and 'a' is uniform"):
        grid_size(endless)


def test_a_trial_has_the_same_values_whatever_else_is_drawn(sweep):
    ranges = {"a": {"min": 0.0, "max": 1.0}, "b": {"min": 0.0, "max": 1.0}}
    one, both = sweep(parameters={"b": ranges["b"]}), sweep(parameters=ranges)
    values = trial_values(both, "random", 3, 7)
    assert values == trial_values(both, "random", 3, 7)
    assert values["b"] == trial_values(one, "random", 3, 7)["b"]
    # Not the same number for every name, trial or seed.
    others = [trial_values(both, "random", 3, 8), trial_values(both, "random", 4, 7)]
    assert len({values["a"], *(v for each in (values, *others) for v in each.values())}) == 6


def test_random_values_fill_the_range(sweep):
    ranges = sweep(parameters={"a": {"min": 0.0, "max": 1.0}})
    values = sorted(trial_values(ranges, "random", 0, trial)["a"] for trial in range(1000))
    # Kolmogorov–Smirnov: beyond 1.63 / √n in one of a hundred samples.
    assert max(abs(value - (i + 0.5) / 1000) for i, value in enumerate(values)) < 1.63 / 1000**0.5


def test_flags_are_those_of_the_agent():
    values = {"model.loss_weight": 0.1, "n": 3, "deep": True, "word": "{a: 1}", "list": [1, 2], "tiny": 1e-5}
    command = {"args": {name: {"value": value} for name, value in values.items()}}
    assert flags(values) == create_sweep_command_args(command)["args"]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (["${env}", "${interpreter}", "-m"], ""),
        (["nice", "-n", "10"], "nice -n 10"),
        (["${env}", "sh", "-c", 'exec "$@"', "sh", "python", "-m"], "sh -c 'exec \"$@\"' sh"),
        (["/usr/bin/env", "python3.12", "-u", "-m"], "/usr/bin/env"),
        (["python", "-m"], ""),
        (["nice", "-n", "10", "${interpreter}", "-m"], "nice -n 10"),
    ],
)
def test_what_starts_mm_fit_is_told(sweep, before, said):
    assert started_by(sweep(command=[*before, "mm", "fit", "${args}"])) == said


def test_fit_options_are_what_follows_fit_in_the_command(sweep):
    assert fit_options(sweep(), {"a": "x"}) == ["--config", "c.yaml", "--a=x", "--last=1"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["${env}", "python", "train.py", "${args}"], "does not run mm fit"),
        (["python", "-m", "mm", "validate", "${args}"], "does not run mm fit"),
        (["python", "-m", "mm", "fit"], "no ${args} after fit"),
        (["python", "-m", "mm", "${args}", "fit"], "does not run mm fit"),
        (["mm", "fit", "${args}", "${args_json_file}"], "${args_json_file} in the command is not known here"),
    ],
)
def test_a_command_that_trains_nothing_is_refused(sweep, command, says):
    with pytest.raises(InputError) as refused:
        fit_options(sweep(command=command), {})
    assert says in str(refused.value)
