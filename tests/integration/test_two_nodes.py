"""The torchrun script for real: two nodes on this machine, which meet over loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "cluster" / "torchrun.sh"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_two_nodes_train_the_smoke_configuration(tmp_path):
    options = [
        "--config",
        str(ROOT / "experiments" / "smoke.yaml"),
        "--trainer.accelerator=cpu",
        "--trainer.max_steps=3",
        "--data.subsets=[background]",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
    ]
    common = {
        **os.environ,
        # The same Python's torchrun, and this checkout's mm.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "NODES": "2",
        "DEVICES": "1",
        "MASTER": f"127.0.0.1:{free_port()}",
    }
    logs = [tmp_path / f"node{rank}.txt" for rank in (0, 1)]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for rank, log in enumerate(logs):
            with open(log, "wb") as file:
                environment = {**common, "NODE_RANK": str(rank)}
                command = ["bash", str(SCRIPT), *options]
                nodes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
        codes = [node.wait(timeout=300) for node in nodes]
    finally:
        for node in nodes:
            # torchrun ends its own workers at SIGTERM; at SIGKILL they would live on.
            node.terminate()
            node.wait()
    assert codes == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)
    assert sorted(os.listdir(tmp_path / "run" / "checkpoints")) == ["best.ckpt", "last.ckpt"]
    assert os.listdir(tmp_path / "run" / "logs") == ["version_0"]
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3
    assert kept["run"]["hardware"]["ranks"] == 2
    # Three steps of two ranks of two samples each: both nodes took part in one training.
    assert kept["training"]["samples_seen"] == 12
    assert 0 < kept["training"]["scores"]["val/score"] < 1


def test_no_device_is_said(tmp_path):
    """On a machine without GPUs the script does not guess."""
    environment = {**os.environ, "DEVICES": "0"}
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "give DEVICES=N" in done.stderr
