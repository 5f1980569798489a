"""``mm sweep``: what is drawn, run, written down and gone on with; and what is refused before it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mm.cli import main
from mm.cli.fit import build
from mm.sweeps import Study, first_values, read_sweep

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
[ -n "$root" ] || exit 0
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
# The first run ends before the second one is looked at.
if [ -e "$here/lasts" ] && [ "$(basename "$root")" != trial-0000 ]; then exec sleep 60; fi
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
def place(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Place:
    if request.cls is not TestBadInput:
        # It takes a second a call.
        monkeypatch.setattr("mm.cli.sweep.check", lambda *_: None)
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
    expected = first_values(read_sweep(place.file), "random", 5, 4)
    for trial, (row, values) in enumerate(zip(place.table, expected, strict=True)):
        assert {name: row[name] for name in values} == {name: str(value) for name, value in values.items()}
        assert (row["trial"], row["state"], row["error"]) == (str(trial), "complete", "")
        # The best value that was logged, not the last.
        assert float(row["val/score"]) == values["model.loss.weight"]
    best = max(place.table, key=lambda row: float(row["val/score"]))
    assert f"trial {best['trial']}," in next(line for line in said if line.startswith("val/score"))


def test_a_second_call_adds_trials(place: Place):
    place.run("--count", 2)
    before = place.table
    assert place.run("--count", 3)[0] == 0
    assert place.table[:2] == before
    assert [line.split()[0] for line in place.starts] == ["trial-0000", "trial-0001", "trial-0002"]
    assert place.run("--count", 3)[0] == 0
    assert len(place.starts) == 3


def test_a_trial_that_was_interrupted_is_resumed_from_its_checkpoint(place: Place):
    # A process that was killed leaves a running trial, a folder, and no lock on it.
    sweep = read_sweep(place.file)
    Study(sweep, place.out, "random", 0, []).study.ask(sweep.parameters)
    (place.out / "trial-0000" / "checkpoints").mkdir(parents=True)
    (place.out / "trial-0000" / "checkpoints" / "last.ckpt").touch()
    assert place.run("--count", 1)[0] == 0
    assert [line.split() for line in place.starts] == [["trial-0000", "resumed"]]
    assert [row["state"] for row in place.table] == ["complete"]


def test_a_failed_trial_ends_nothing_and_is_named_in_one_line(place: Place):
    weights = [values["model.loss.weight"] for values in first_values(read_sweep(place.file), "random", 0, 4)]
    (place.folder / "fails").write_text(repr(sorted(weights)[1]))
    code, said, _ = place.run("--count", 4)
    assert code == 0
    failed = weights.index(min(weights))
    assert [row["state"] for row in place.table] == ["fail" if n == failed else "complete" for n in range(4)]
    assert place.table[failed]["error"] == "mm: error: too light"
    (line,) = [line for line in said if "too light" in line]
    assert line.startswith(f"trial {failed}: fail")
    assert f"trial-000{failed}" in line
    # It stays, unless it is to be repeated.
    place.run("--count", 4)
    assert len(place.starts) == 4
    (place.folder / "fails").unlink()
    for _ in range(2):
        place.run("--count", 4, "--retry")
        assert len(place.starts) == 5
    assert [row["model.loss.weight"] for row in place.table[failed:5:4]] == [str(weights[failed])] * (
        1 + (failed == 0)
    )
    assert place.table[4]["state"] == "complete"


def test_the_exit_code_is_one_if_no_trial_is_complete(place: Place):
    (place.folder / "silent").touch()
    assert place.run("--count", 1)[0] == 1
    assert "val/score" in place.table[0]["error"]


def test_a_grid_is_run_whole(place: Place):
    place.write(method="grid", parameters={"model.loss.weight": {"values": [0.1, 0.3, 0.2]}})
    assert place.run("--count", 7)[0] == 0
    assert [row["model.loss.weight"] for row in place.table] == ["0.1", "0.3", "0.2"]


def test_a_bad_run_is_pruned(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mm.sweeps.study.POLL", 0.05)
    (place.folder / "lasts").touch()
    values = {"model.loss.weight": {"values": [0.5, 0.2]}}
    place.write(
        method="bayes", parameters=values, early_terminate={"type": "hyperband", "min_iter": 1, "eta": 2}
    )
    place.run("--method", "grid")
    # The first ended by itself.
    assert [row["state"] for row in place.table] == ["complete", "pruned"]


def test_two_processes_share_a_database(place: Place):
    url = f"sqlite:///{place.folder}/study.db"
    place.run("--count", 2, "--storage", url)
    place.out = place.folder / "other"
    place.run("--count", 4, "--storage", url)
    assert [path.name for path in sorted(place.out.glob("trial-*"))] == ["trial-0002", "trial-0003"]
    expected = [
        values["model.loss.weight"] for values in first_values(read_sweep(place.file), "random", 0, 4)
    ]
    assert [float(row["val/score"]) for row in place.table] == expected


@pytest.mark.parametrize(
    ("cards", "jobs", "own"), [("5,7", 2, {"5", "7"}), ("5", 2, {"5"}), ("1,2,3", 1, {"1,2,3"})]
)
def test_jobs_share_the_graphics_cards(place: Place, monkeypatch: pytest.MonkeyPatch, cards, jobs, own):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
    place.run("--count", 2 * jobs, "--jobs", jobs)
    assert len(place.starts) == 2 * jobs
    assert {line.split()[1] for line in place.starts} <= own


def test_a_folder_with_something_else(place: Place):
    place.out.mkdir()
    (place.out / "thesis.tex").touch()
    assert "--out" in place.refuse("--count", 1)


def test_a_folder_that_cannot_be_written(place: Place):
    place.out.write_text("a file")
    assert str(place.out) in place.refuse("--count", 1)


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
    assert (good["state"], bad["state"]) == ("complete", "fail")
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
        assert "--model.loss.wieght" in line
        assert "'weight'" in line

    def test_a_value_that_mm_fit_refuses(self, place: Place) -> None:
        place.write(parameters={"model.loss.image": {"values": ["l1", "l2"]}})
        line = place.refuse("--count", 1)
        assert "model.loss.image" in line
        assert "'l2'" in line

    def test_values_that_do_not_go_together(self, place: Place) -> None:
        limits = "data.synthesizer.init_args.limits"
        place.write(
            parameters={f"{limits}.max_magnified": {"value": 3}, f"{limits}.min_motion": {"value": 0.1}}
        )
        assert "min_motion" in place.refuse("--count", 1)

    def test_a_command_that_cannot_be_run(self, place: Place) -> None:
        place.write(command=["mm", "fit", "--config", "gone.yaml", "${args}"])
        assert "gone.yaml" in place.refuse("--count", 1)

    @pytest.mark.parametrize("name", ["val/scor", "val/static/gain"])
    def test_a_metric_that_nothing_logs(self, place: Place, name: str) -> None:
        place.write(metric={"name": name, "goal": "maximize"})
        line = place.refuse("--count", 1)
        assert repr(name) in line
        assert "'val/score'" in line

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (("--count", 0), ["--count", "0"]),
            (("--count", 1, "--jobs", 0), ["--jobs", "0"]),
            (("--count", 1, "--seed", -1), ["--seed", "-1"]),
            ((), ["--count"]),
            (("--method", "grid"), ["'model.loss.weight'", "--method random"]),
            (("--count", 1, "--fit", "--trainer.default_root_dir=x"), ["--fit", "trainer.default_root_dir"]),
            (("--count", 1, "--fit", "--ckpt_path", "last"), ["--fit", "ckpt_path"]),
            (("--count", 1, "--fit", "--model.loss.weight=1"), ["--fit", "model.loss.weight"]),
        ],
    )
    def test_options(self, place: Place, options: tuple[object, ...], names: list[str]) -> None:
        line = place.refuse(*options)
        assert all(name in line for name in names), line
