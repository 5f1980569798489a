"""Reading a sweep file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mm.errors import InputError
from mm.sweeps import read_sweep

WHOLE = """
program: mm/__main__.py
method: bayes
run_cap: 3
metric: {name: val/score, goal: maximize}
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  model.loss_weight: {min: 0.1, max: 1.0}
command: [mm, fit, "${args}"]
"""


def test_a_whole_file(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(WHOLE)
    sweep = read_sweep(path)
    assert (sweep.method, sweep.run_cap, sweep.early_terminate) == ("bayes", 3, True)
    assert (sweep.metric.name, sweep.metric.goal) == ("val/score", "maximize")
    assert sweep.parameters["model.loss_weight"].kind == "uniform"
    assert sweep.command == ("mm", "fit", "${args}")


def test_the_goal_is_wandbs_if_none_is_given(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(WHOLE.replace(", goal: maximize", ""))
    assert read_sweep(path).metric.goal == "minimize"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("method: bayes", "method: baise", "no method is called 'baise'; did you mean 'bayes'?"),
        ("method: bayes", "method: 3", "no method is called 3 (known: grid, random, bayes)"),
        ("method: bayes", "", "says no method"),
        ("metric: {", "metrik: {", "no sweep has 'metrik'; did you mean 'metric'?"),
        (WHOLE, "seed_everything: 0\nmodel: {}\n", "is a configuration of mm fit, not a sweep"),
        ("goal: maximize", "goal: maximise", "must be maximize or minimize, got 'maximise'"),
        ("{name: val/score, goal: maximize}", "val/score", "metric must have a name and a goal"),
        ("run_cap: 3", "run_cap: 0", "run_cap must be at least 1 trial, got 0"),
        ("{min: 0.1, max: 1.0}", "{min: 0.1}", "parameter 'model.loss_weight' must say value"),
        ('[mm, fit, "${args}"]', "mm fit", "command must be a list of words, got 'mm fit'"),
        ("  model.loss_weight: {min: 0.1, max: 1.0}", "  [1]", "parameters must be names with an entry each"),
        (WHOLE, "parameters: [", "is not YAML, line 1"),
        (WHOLE, "just words", "must have the keys method, metric and parameters"),
        (WHOLE, "", "must have the keys method, metric and parameters"),
    ],
)
def test_what_cannot_be_run_is_one_line_that_names_the_file(tmp_path: Path, old: str, new: str, says: str):
    path = tmp_path / "sweep.yaml"
    assert old in WHOLE
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(InputError) as refused:
        read_sweep(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"no sweep file .*gone\.yaml"):
        read_sweep(tmp_path / "gone.yaml")
    with pytest.raises(InputError, match="cannot read the sweep file"):
        read_sweep(tmp_path)


def test_a_picture_is_no_sweep(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(InputError, match="is not YAML"):
        read_sweep(tmp_path / "a.png")
