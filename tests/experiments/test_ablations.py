"""The ablations: each differs from the base by its one choice; the script trains, measures, tabulates."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from mm.cli import main

FOLDER = Path(__file__).parents[2] / "experiments" / "ablations"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("ablations", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(tree: dict, at: tuple = ()) -> dict:
    found = {}
    for key, value in tree.items():
        found |= leaves(value, (*at, key)) if isinstance(value, dict) else {(*at, key): value}
    return found


def test_each_differs_from_the_base_in_what_it_says(script):
    base = leaves(yaml.safe_load((FOLDER / "base.yaml").read_text()))
    names = script.names()[1:]
    assert len(names) == len(list(FOLDER.glob("*.yaml"))) - 1
    for name in names:
        own = leaves(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
        changed = {key for key, value in own.items() if base.get(key) != value}
        assert changed, f"{name} is the base"
        assert len(changed) <= 3, f"{name} is more than one choice"


def test_the_table_has_a_line_a_network_and_the_mean_over_renderers(script):
    cells = [("base", "0", 0.5), ("base", "0", 0.7), ("base", "3", 0.2), ("adam", "0", 1), ("adam", "3", "")]
    rows = [
        {"method": name, "motion": "0.10", "factor": "10.0", "noise": noise, "gain": str(value)}
        for name, noise, value in cells
    ]
    lines = list(script.table(rows, ["base", "adam"], "gain"))
    assert lines[0] == "| network | 0.1 px ×10 | 0.1 px ×10, noise 3 |"
    assert lines[2:] == ["| base | 0.600 | 0.200 |", "| adam | 1.000 | – |"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adma", "no ablation is called 'adma'; did you mean 'adam'?"),
        ("adma@10", "no ablation is called 'adma'"),
        ("base@", "after the @ stands a number of steps"),
        ("base@0", "after the @ stands a number of steps"),
        ("base@ten", "after the @ stands a number of steps"),
    ],
)
def test_a_name_that_means_nothing_is_refused(script, monkeypatch, capsys, name, message):
    monkeypatch.setattr("sys.argv", ["run.py", name])
    with pytest.raises(SystemExit):
        script.main()
    assert message in capsys.readouterr().err


def test_two_short_trainings_end_in_a_table(script, monkeypatch, tmp_path, capfd):
    """The whole way, on the network of the smoke configuration; within this process, which is faster."""

    def within(*words: str) -> None:
        assert main(words) == 0

    monkeypatch.setattr(script, "run_mm", within)
    names = ["base", "lambda-0", "base@1"]
    smoke = yaml.safe_load((FOLDER.parent / "smoke.yaml").read_text())
    smoke["trainer"] |= {"limit_val_batches": 0, "max_steps": 2}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(smoke))
    (tmp_path / "lambda-0.yaml").write_text("model: {loss: {weight: 0.0}}\n")
    monkeypatch.setattr(script, "HERE", tmp_path)
    monkeypatch.setattr(script, "MOTIONS", "1")
    monkeypatch.setattr(script, "NOISES", "1")
    monkeypatch.setattr(script, "GAIN_MOTIONS", "1")
    monkeypatch.setattr(script, "GAIN_FACTORS", "2")
    monkeypatch.setattr("sys.argv", ["run.py", "--out", str(tmp_path / "out"), "--count", "1", *names])
    script.main()
    text = (tmp_path / "out" / "RESULTS.md").read_text()
    assert all(text.count(f"| {name} |") == 4 for name in names)
    done = [torch.load(tmp_path / "out" / name / "checkpoints" / "last.ckpt") for name in names]
    assert [checkpoint["global_step"] for checkpoint in done] == [2, 2, 1]
    # Trained once: a second call measures alone; another length is not taken for this one.
    trained = (tmp_path / "out" / "base" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    script.train("base", tmp_path / "out", 2, [])
    assert (tmp_path / "out" / "base" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == trained
    with pytest.raises(SystemExit, match="was trained for 2 steps, not 1"):
        script.train("base", tmp_path / "out", 1, [])
    assert script.seconds(tmp_path / "out" / "base", 3) is None


def test_a_command_that_fails_ends_the_script(script, capfd):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        script.run_mm("fti")
    assert failed.value.returncode == 2
    assert "did you mean 'fit'?" in capfd.readouterr().err


def test_what_is_not_trained_is_not_measured(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "base", "--only-measure", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        script.main()
    assert "is trained to its end yet" in capsys.readouterr().err
