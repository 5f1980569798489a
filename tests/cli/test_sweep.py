"""``mm sweep``: what is drawn, run, written down and gone on with; and what is refused before it."""

from __future__ import annotations

import csv
import fcntl
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mm.cli import main
from mm.cli.fit import build
from mm.sweeps import read_sweep, trial_values

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
SWEEP: dict[str, Any] = {
    "method": "random",
    "metric": {"name": "val/score", "goal": "maximize"},
    "parameters": {
        "model.loss.weight": {"distribution": "log_uniform_values", "min": 0.01, "max": 1.0},
    },
    "command": ["${env}", "${interpreter}", "-m", "mm", "fit", "--config", str(SMOKE), "${args}"],
}
# Stands in for `python -m mm fit`: the score is the loss weight; a weight below the number in the file
# `fails` is an error; each start is a line in the file `starts`.
STAND_IN = r"""#!/bin/sh
for word; do case "$word" in
    --trainer.default_root_dir=*) root=${word#*=} ;;
    --model.loss.weight=*) weight=${word#*=} ;;
    --ckpt_path=*) resumed=1 ;;
esac; done
here=$(dirname "$0")
echo "$(basename "$root") $CUDA_VISIBLE_DEVICES${resumed:+ resumed}" >> "$here/starts"
if [ -e "$here/fails" ] && awk "BEGIN { exit !($weight < $(cat "$here/fails")) }"; then
    echo "Traceback" >&2; echo "mm: error: too light" >&2; echo "wandb: bye" >&2; exit 2
fi
if [ ! -e "$here/silent" ]; then
    mkdir -p "$root/logs/version_0" "$root/checkpoints"
    printf 'step,val/score\n1,%s\n2,0.001\n' "$weight" > "$root/logs/version_0/metrics.csv"
    touch "$root/checkpoints/last.ckpt"
fi
"""


class Place:
    """A folder with a sweep file in it, and what `mm sweep` says and leaves there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.file, self.out = folder / "sweep.yaml", folder / "out"
        self.write()

    def write(self, **changes: Any) -> None:
        self.file.write_text(yaml.safe_dump({**SWEEP, **changes}, sort_keys=False))

    def run(self, *options: object) -> tuple[int, list[str], list[str]]:
        code = main(["sweep", str(self.file), "--out", str(self.out), *map(str, options)])
        said = self.capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    def refuse(self, *options: object) -> str:
        """Run, hold what every refusal has in common, and return its line."""
        code, _, lines = self.run(*options)
        assert code == 2
        assert len(lines) == 1, lines
        assert lines[0].startswith("mm: error: ")
        assert not list(self.folder.glob("out/trial-*"))
        return lines[0]

    @property
    def table(self) -> list[dict[str, str]]:
        with (self.out / "results.csv").open() as file:
            return list(csv.DictReader(file))

    @property
    def starts(self) -> list[str]:
        path = self.folder / "starts"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    script = tmp_path / "python"
    script.write_text(STAND_IN)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Place(tmp_path, capsys)


def test_trials_have_their_values_and_the_best_is_shown(place: Place):
    distribution = {"data.synthesizer.init_args.limits.distribution": {"values": ["log-uniform", "uniform"]}}
    place.write(parameters={**SWEEP["parameters"], **distribution})
    code, said, _ = place.run("--count", 4, "--jobs", 2, "--seed", 5)
    assert code == 0
    sweep = read_sweep(place.file)
    for trial, row in enumerate(place.table):
        values = trial_values(sweep, "random", 5, trial)
        assert {name: row[name] for name in values} == {name: str(value) for name, value in values.items()}
        assert (row["trial"], row["status"], row["error"]) == (str(trial), "finished", "")
        # The best value that was logged, not the last.
        assert float(row["val/score"]) == values["model.loss.weight"]
    assert len(place.table) == 4
    best = max(place.table, key=lambda row: float(row["val/score"]))
    first = next(line for line in said if line.startswith("│"))
    assert first.split("│")[1].strip() == best["trial"]
    assert said[-1] == f"4 finished · {place.out / 'results.csv'}"


def test_a_second_call_goes_on(place: Place):
    place.run("--count", 2)
    before = place.table
    code, said, _ = place.run("--count", 3)
    assert code == 0
    assert said[0] == f"2 of 3 trials are in {place.out / 'results.csv'} already"
    assert place.table[:2] == before
    assert [line.split()[0] for line in place.starts] == ["trial-0000", "trial-0001", "trial-0002"]
    assert place.run("--count", 3)[0] == 0
    assert len(place.starts) == 3


def test_a_trial_that_was_interrupted_goes_on_from_its_checkpoint(place: Place):
    place.run("--count", 1)
    path = place.out / "results.csv"
    path.write_text(path.read_text().replace("finished", "interrupted"))
    place.run("--count", 1)
    assert place.starts[1].endswith(" resumed")
    assert [row["status"] for row in place.table] == ["finished"]


def test_a_failed_trial_ends_nothing_and_says_why(place: Place):
    weights = [trial_values(read_sweep(place.file), "random", 0, n)["model.loss.weight"] for n in range(4)]
    (place.folder / "fails").write_text(repr(sorted(weights)[1]))
    code, said, _ = place.run("--count", 4)
    assert code == 0
    failed = weights.index(min(weights))
    expected = ["failed" if n == failed else "finished" for n in range(4)]
    assert [row["status"] for row in place.table] == expected
    assert place.table[failed]["error"] == "mm: error: too light"
    assert said[-1].startswith(("3 finished, 1 failed", "1 failed, 3 finished"))
    # It stays as it is, unless it is to be tried again.
    place.run("--count", 4)
    assert len(place.starts) == 4
    (place.folder / "fails").unlink()
    place.run("--count", 4, "--retry")
    assert len(place.starts) == 5
    assert {row["status"] for row in place.table} == {"finished"}


def test_when_none_finishes_the_exit_code_says_so(place: Place):
    (place.folder / "silent").touch()
    code, _, _ = place.run("--count", 1)
    assert code == 1
    assert place.table[0]["error"] == "it logged no finite val/score"


def test_a_grid_is_run_whole(place: Place):
    place.write(method="grid", parameters={"model.loss.weight": {"values": [0.1, 0.3, 0.2]}})
    code, said, _ = place.run("--count", 7)
    assert code == 0
    assert said[0] == f"the grid of {place.file} has 3 trials, not 7"
    assert [row["model.loss.weight"] for row in place.table] == ["0.1", "0.3", "0.2"]


def test_bayes_is_the_servers_and_its_parameters_can_be_drawn_at_random(place: Place):
    place.write(method="bayes", early_terminate={"type": "hyperband", "min_iter": 3}, run_cap=1)
    assert "bayes needs W&B's server" in (line := place.refuse())
    assert "--method random" in line
    code, said, _ = place.run("--method", "random")
    assert code == 0
    assert "early_terminate needs W&B's server" in said[0]
    assert len(place.table) == 1


def test_each_job_has_graphics_cards_of_its_own(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    place.run("--count", 4, "--jobs", 2)
    assert {line.split()[1] for line in place.starts} == {"5", "7"}


@pytest.mark.slow
def test_real_trainings_one_of_which_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The whole way, with real processes: the scores are in the runs' logs, the failed one says why."""
    place = Place(tmp_path, capsys)
    place.write(
        method="grid",
        parameters={"data.photographs": {"values": ["null", f"[{tmp_path / 'gone'}]"]}},
    )
    tiny = ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--data.validation_samples=1"]
    code, _, _ = place.run("--jobs", 2, "--fit", *tiny)
    assert code == 0
    good, bad = place.table
    assert (good["status"], bad["status"]) == ("finished", "failed")
    assert bad["error"].startswith("mm: error: ")
    assert str(tmp_path / "gone") in bad["error"]
    (log,) = (place.out / "trial-0000").rglob("metrics.csv")
    with log.open() as file:
        lines = list(csv.DictReader(file))
    assert float(good["val/score"]) == max(float(line["val/score"]) for line in lines if line["val/score"])
    # What the check of a sweep's metric holds for logged is what is logged.
    parts = build(["--config", str(SMOKE)], run=False)
    known = set(parts.model.logged_metrics(parts.datamodule))
    assert set(lines[0]) - {"epoch", "step"} == known
    # The checkpoint is the trial's own, with the trial's option.
    saved = torch.load(place.out / "trial-0000" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["run"]["config"]["data"]["init_args"]["photographs"] is None


class TestBadInput:
    def test_a_misspelt_parameter(self, place: Place) -> None:
        place.write(parameters={"model.loss.wieght": {"value": 0.1}})
        line = place.refuse("--count", 1)
        assert (
            f"{place.file}: mm fit has no option 'model.loss.wieght'; did you mean 'model.loss.weight'?"
            in line
        )
        assert place.starts == []

    def test_a_misspelt_parameter_deep_inside(self, place: Place) -> None:
        name = "data.synthesizer.init_args.limits.distribtion"
        place.write(parameters={"model.loss.weight": {"value": 0.1}, name: {"values": ["uniform"]}})
        line = place.refuse("--count", 1)
        assert f"no option {name!r}; did you mean 'data.synthesizer.limits.distribution'?" in line

    def test_a_value_that_is_none_of_the_options(self, place: Place) -> None:
        place.write(parameters={"model.loss.image": {"values": ["l1", "l2"]}})
        assert "model.loss.image cannot be 'l2'" in place.refuse("--count", 1)

    def test_values_that_do_not_go_together(self, place: Place) -> None:
        limits = "data.synthesizer.init_args.limits"
        place.write(
            parameters={f"{limits}.max_magnified": {"value": 3}, f"{limits}.min_motion": {"value": 0.1}}
        )
        assert "min_motion × max_factor" in place.refuse("--count", 1)

    def test_a_command_that_cannot_be_run(self, place: Place) -> None:
        place.write(command=["mm", "fit", "--config", "gone.yaml", "${args}"])
        line = place.refuse("--count", 1)
        assert "its command cannot be run" in line
        assert "gone.yaml" in line

    def test_a_metric_that_nothing_logs(self, place: Place) -> None:
        place.write(metric={"name": "val/scor", "goal": "maximize"})
        line = place.refuse("--count", 1)
        assert "no run logs the metric 'val/scor'; did you mean 'val/score'?" in line
        assert "train/loss" in line
        assert "for sharp, blurred, background, static, objects" in line

    def test_a_gain_where_nothing_moves_is_logged_by_nothing(self, place: Place) -> None:
        place.write(metric={"name": "val/static/gain", "goal": "maximize"})
        assert "no run logs the metric 'val/static/gain'" in place.refuse("--count", 1)

    def test_a_metric_of_a_validation_that_never_comes(self, place: Place) -> None:
        assert "the first validation is after 3 batches" in place.refuse(
            "--count", 1, "--fit", "--trainer.max_steps=2"
        )
        assert "limit_val_batches" in place.refuse("--count", 1, "--fit", "--trainer.limit_val_batches=0")

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (("--count", 0), "--count must be at least 1 trial, got 0"),
            (("--count", 1, "--jobs", 0), "--jobs must be at least 1, got 0"),
            (("--count", 1, "--seed", -1), "--seed must be at least 0, got -1"),
            ((), "how many trials? --count N"),
            (("--method", "grid"), "a grid needs values, and 'model.loss.weight' is log_uniform_values"),
            (("--count", 1, "--fit", "--trainer.default_root_dir=x"), "gives each trial its own folder"),
            (("--count", 1, "--fit", "--ckpt_path", "last"), "gives each trial its own folder"),
            (("--count", 1, "--fit", "--model.loss.weight=1"), "draws model.loss.weight; take it out of one"),
        ],
    )
    def test_options(self, place: Place, options: tuple[object, ...], says: str) -> None:
        assert says in place.refuse(*options)

    def test_an_unknown_method(self, place: Place) -> None:
        place.write(method="rnadom")
        assert "no method is called 'rnadom'; did you mean 'random'?" in place.refuse("--count", 1)

    def test_a_file_that_is_not_there_or_is_not_yaml(self, place: Place) -> None:
        place.file.write_text("a: [")
        assert "is not YAML, line 1" in place.refuse("--count", 1)
        place.file.unlink()
        assert "no sweep file" in place.refuse("--count", 1)

    def test_the_folder_of_another_sweep(self, place: Place) -> None:
        place.run("--count", 1)
        before = place.table
        for change, what in (
            (lambda: place.run("--count", 1, "--seed", 1), "seed is"),
            (lambda: place.run("--count", 1, "--fit", "--trainer.max_steps=4"), "fit is"),
            (
                lambda: (
                    place.write(method="grid", parameters={"model.loss.weight": {"value": 1}}),
                    place.run("--count", 1),
                )[1],
                "method and parameters are",
            ),
        ):
            code, _, lines = change()
            assert code == 2
            assert f"{place.out} holds another sweep than {place.file}: its {what} not the same" in lines[0]
        assert place.table == before

    def test_a_comment_makes_no_other_sweep(self, place: Place) -> None:
        place.run("--count", 1)
        place.file.write_text("# a remark\n" + place.file.read_text())
        assert place.run("--count", 2)[0] == 0

    def test_a_folder_with_something_else(self, place: Place) -> None:
        place.out.mkdir()
        (place.out / "thesis.tex").touch()
        assert "holds something else than a sweep" in place.refuse("--count", 1)

    def test_a_folder_that_is_in_use(self, place: Place) -> None:
        place.out.mkdir()
        with (place.out / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "is in use by another mm sweep" in place.refuse("--count", 1)

    def test_a_folder_that_cannot_be_written(self, place: Place) -> None:
        place.out.write_text("a file")
        assert "cannot write to" in place.refuse("--count", 1)
