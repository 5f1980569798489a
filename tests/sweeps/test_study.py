"""Studies: the values of the trials, whichever process draws them; pruning; the ends of processes."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml
from scipy import stats

from mm.errors import InputError
from mm.sweeps import Study, first_values, read_sweep
from mm.sweeps.study import NumberedSampler, logged

SWEEP = {
    "method": "random",
    "metric": {"name": "val/score", "goal": "maximize"},
    "parameters": {"b": {"values": [1, 2, 3]}, "a": {"min": 0.0, "max": 1.0}},
    "command": ["mm", "fit", "${args}"],
}


def write(folder: Path, **changes: object):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **changes}, sort_keys=False))
    return read_sweep(path)


def test_a_grid_is_each_combination_once_the_last_name_fastest(tmp_path: Path):
    sweep = write(tmp_path, parameters={"b": {"values": ["x", "y"]}, "a": {"min": 1, "max": 3}})
    found = [(values["a"], values["b"]) for values in first_values(sweep, "grid", 0, 6)]
    assert found == list(itertools.product([1, 2, 3], ["x", "y"]))


def test_random_values_fill_the_range_and_depend_on_seed_and_number_alone(tmp_path: Path):
    sweep = write(tmp_path)
    values = [each["a"] for each in first_values(sweep, "random", 0, 300)]
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert len(set(values)) == 300
    alone = write(tmp_path, parameters={"a": SWEEP["parameters"]["a"]})
    assert [each["a"] for each in first_values(alone, "random", 0, 300)] == values
    assert first_values(sweep, "random", 1)[0]["a"] != values[0]


def test_processes_that_share_a_study_do_not_repeat_each_others_values(tmp_path: Path):
    sweep = write(tmp_path)
    studies = [Study(sweep, tmp_path / "out", "random", 4, []).study for _ in range(2)]
    drawn = [studies[n % 2].ask(sweep.parameters).params for n in range(6)]
    assert drawn == first_values(sweep, "random", 4, 6)


def test_bayes_looks_near_the_best(tmp_path: Path):
    sweep = write(tmp_path, parameters={"a": {"min": 0.0, "max": 1.0}})
    study = optuna.create_study(direction="maximize", sampler=NumberedSampler(sweep, "bayes", 0))
    study.optimize(lambda trial: -((trial.suggest_float("a", 0, 1) - 0.8) ** 2), n_trials=40)
    late = [trial.params["a"] for trial in study.trials[20:]]
    # A uniform draw would be 0.34 away on average.
    assert np.mean(np.abs(np.array(late) - 0.8)) < 0.17


def test_early_termination_is_successive_halving(tmp_path: Path):
    stop = {"type": "hyperband", "max_iter": 12, "eta": 2, "s": 2}
    study = Study(write(tmp_path, early_terminate=stop), tmp_path / "out", "random", 0, []).study
    good, bad = study.ask(), study.ask()
    for step in (1, 2, 3):
        good.report(0.9, step)
        assert not good.should_prune()
        bad.report(0.1, step)
        # The first of the rungs 12 / 4 and 12 / 2.
        assert bad.should_prune() == (step == 3)


def test_another_sweep_of_the_same_name_is_refused(tmp_path: Path):
    Study(write(tmp_path), tmp_path / "out", "random", 0, [])
    for changes, options in (
        ({}, ("random", 1, [])),
        ({}, ("grid", 0, [])),
        ({}, ("random", 0, ["--trainer.max_steps=4"])),
        ({"parameters": {"a": {"value": 1}}}, ("random", 0, [])),
    ):
        with pytest.raises(InputError, match="--out"):
            Study(write(tmp_path, **changes), tmp_path / "out", *options)
    # A comment makes no other sweep.
    (tmp_path / "sweep.yaml").write_text("# a remark\n" + yaml.safe_dump(SWEEP))
    Study(read_sweep(tmp_path / "sweep.yaml"), tmp_path / "out", "random", 0, [])


@pytest.mark.parametrize("storage", ["nonsense", "sqlite:////nowhere/study.db"])
def test_a_storage_that_cannot_be_opened(tmp_path: Path, storage: str):
    with pytest.raises(InputError, match="--storage") as refused:
        Study(write(tmp_path), tmp_path / "out", "random", 0, [], storage)
    assert "\n" not in str(refused.value)


def test_an_early_termination_that_is_not_whole(tmp_path: Path):
    with pytest.raises(InputError, match=r"early_terminate.*min_iter"):
        Study(write(tmp_path, early_terminate={"type": "hyperband"}), tmp_path / "out", "random", 0, [])


def test_the_metric_is_finite_by_step_and_of_all_starts(tmp_path: Path):
    for version, text in enumerate(
        # The last row of the second was cut off as it was written.
        [
            "step,val/score,train/loss\n1,,3\n1,0.4,\n2,0.7,\n",
            "step,val/score\n2,0.6\n4,nan\n5,8.1e-",
            "step\n5\n",
        ]
    ):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(text)
    assert logged(tmp_path, "val/score") == [0.4, 0.6]
    assert logged(tmp_path, "val/other") == []
    assert logged(tmp_path / "nothing", "val/score") == []


PROGRAM = """
import sys
from pathlib import Path
import mm.sweeps.study as study
from mm.cli.main import signals_end
from mm.sweeps import Study, read_sweep
folder = Path(sys.argv[1])
study.GRACE, sys.executable = 1.0, str(folder / "python")
with signals_end():
    Study(read_sweep(folder / "sweep.yaml"), folder / "out", "grid", 0, []).run(2, 2)
"""
# One run saves at SIGTERM; the other does not end by itself, and has a child.
RUN = """#!/bin/sh
for word; do case "$word" in --trainer.default_root_dir=*) cd "${word#*=}" ;; esac; done
case "$PWD" in
    *0000) echo $$ > pid; trap 'echo saved; exit 143' TERM; touch ready; while :; do sleep 0.05; done ;;
    *) echo $$ > pid; trap '' TERM; sleep 300 & echo $! > child; touch ready; while :; do sleep 0.05; done ;;
esac
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_sweep_is_the_end_of_its_runs(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    sweep = write(tmp_path, method="grid", parameters={"b": {"values": [1, 2]}})
    (tmp_path / "python").write_text(RUN)
    (tmp_path / "python").chmod(0o755)
    words = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)]
    # A shell's background job, as these tests may be, is started with Ctrl-C ignored.
    process = subprocess.Popen(
        words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    )
    roots = [tmp_path / "out" / f"trial-000{n}" for n in "01"]
    deadline = time.monotonic() + 120
    while not all((root / "ready").exists() for root in roots) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(120)
    study = Study(sweep, tmp_path / "out", "grid", 0, [])
    assert [row["state"] for row in study.rows] == ["running", "running"]
    if number == signal.SIGKILL:
        # The runs live, and their folders are taken.
        assert study._claim(0) is None
        for name in ("0/pid", "1/pid", "1/child"):
            os.kill(int((tmp_path / "out" / f"trial-000{name}").read_text()), signal.SIGKILL)
        for trial in range(2):
            while (lock := study._claim(trial)) is None and time.monotonic() < deadline:
                time.sleep(0.02)
            assert lock is not None
            lock.close()
    else:
        assert (roots[0] / "output.txt").read_text() == "saved\n"
    child = Path(f"/proc/{(roots[1] / 'child').read_text().strip()}/stat")
    # A dead process without a parent that waits for it may stay in the table as a zombie.
    if number != signal.SIGKILL:
        assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"
    # A later call takes up both, and no new one.
    (tmp_path / "python").write_text(
        '#!/bin/sh\nfor word; do case "$word" in --trainer.default_root*) root=${word#*=} ;; esac; done\n'
        "printf 'step,val/score\\n1,0.5\\n' > $root/metrics.csv\n"
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    study.run(2, 2)
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"], row["b"]) for row in rows] == [
        ("0", "complete", "1"),
        ("1", "complete", "2"),
    ]
