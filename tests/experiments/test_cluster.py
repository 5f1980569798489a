"""The SLURM script, with stand-ins for ``srun`` and ``scontrol``: what it starts, and when it is requeued."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from mm.cli import main
from mm.cli.fit import build

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "experiments" / "cluster"
SBATCH = CLUSTER / "slurm.sbatch"
SMOKE = ROOT / "experiments" / "smoke.yaml"
# What SLURM sets in a job of two nodes with two tasks each; the last three for one of its tasks.
JOB = {
    "SLURM_JOB_ID": "1234",
    "SLURM_JOB_NAME": "mm",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_CPUS_PER_TASK": "3",
}
TASK = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NODELIST": "node[07-08]",
}
STAND_IN = """#!{python}
import json, os, sys
name = os.path.basename(sys.argv[0])
with open(os.path.join({folder!r}, name + ".json"), "w") as file:
    json.dump({{"arguments": sys.argv[1:], "cpus": os.environ.get("SRUN_CPUS_PER_TASK")}}, file)
sys.exit(int(os.environ["EXIT"]) if name == "srun" else 0)
"""


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")


@pytest.fixture(autouse=True)
def same_rank(monkeypatch):
    """Put back the rank that Lightning notes for the whole process: another's warnings are silent."""
    monkeypatch.setattr(rank_zero_only, "rank", getattr(rank_zero_only, "rank", 0), raising=False)


def submit(folder: Path, code: int, *options: str) -> tuple[int, dict[str, dict]]:
    """Run the script as a job whose training ends with ``code``; return its code and what it called."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("srun", "scontrol"):
        (tools / name).write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        (tools / name).chmod(0o755)
    path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
    environment = {**os.environ, **JOB, "PATH": path, "EXIT": str(code)}
    done = subprocess.run(
        ["bash", str(SBATCH), *options], env=environment, cwd=folder, timeout=60, check=False
    )
    return done.returncode, {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}


def test_a_task_becomes_a_rank(tmp_path, monkeypatch):
    """What the script gives to srun, taken as the last task of the job would take it."""
    options = ["--config", str(SMOKE), f"--trainer.default_root_dir={tmp_path}"]
    options += ["--trainer.accelerator=cpu", "--data.validation_samples=4"]
    code, called = submit(tmp_path, 0, *options)
    assert code == 0
    assert set(called) == {"srun"}
    assert called["srun"]["cpus"] == "3"
    started = called["srun"]["arguments"]
    place = started.index("-m")
    assert started[place - 1 : place + 3] == ["python", "-m", "mm", "fit"]
    for name, value in {**JOB, **TASK}.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        # Lightning sets both; so they are put back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert started[place + 3 : place + 5] == ["--ckpt_path", "last"]
    # The trainer alone, not what `fit` would do with it: wait for the other three.
    trainer = build(started[place + 5 :], run=False).trainer
    environment = trainer.strategy.cluster_environment
    assert isinstance(environment, SLURMEnvironment)
    assert (trainer.num_nodes, trainer.num_devices, trainer.world_size) == (2, 2, 4)
    assert (trainer.global_rank, trainer.local_rank, trainer.node_rank) == (3, 1, 1)
    assert environment.main_address == "node07"


def test_more_tasks_than_the_trainer_has_ranks(tmp_path, monkeypatch, capsys):
    """As with ``--ntasks-per-node`` changed and ``--trainer.devices`` given beside it."""
    for name, value in {**JOB, **TASK}.items():
        monkeypatch.setenv(name, value)
    root = f"--trainer.default_root_dir={tmp_path}"
    assert main(["fit", "--config", str(SMOKE), root, "--trainer.accelerator=cpu"]) == 2
    assert "mm: error: srun started 4 processes, but the trainer has 1 ranks" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "again"), [(138, True), (0, False), (1, False), (2, False), (143, False)])
@pytest.mark.skipif(sys.platform != "linux", reason="the signal's number")
def test_only_the_warning_puts_a_job_back(tmp_path, code, again):
    """138 is 128 + SIGUSR1; a run that ended, failed, was refused or was cancelled is not started again."""
    ended, called = submit(tmp_path, code, "--config", str(SMOKE))
    assert ended == code
    assert ("scontrol" in called) == again
    if again:
        assert called["scontrol"]["arguments"] == ["requeue", "1234"]


def test_the_job_asks_for_what_it_counts_on():
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", SBATCH.read_text(), re.M))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    # To the tasks and not, as "B:" would say, to the script.
    assert re.fullmatch(r"USR1@\d+", asked["signal"])
    assert "requeue" in asked


def test_every_script_is_described():
    described = (CLUSTER / "README.md").read_text()
    paths = list(CLUSTER.iterdir())
    assert {".sh", ".sbatch"} & {path.suffix for path in paths}
    for path in paths:
        assert path.name in described or path.name == "README.md"
        if path.suffix in (".sh", ".sbatch"):
            subprocess.run(["bash", "-n", str(path)], check=True)
            assert os.access(path, os.X_OK)
