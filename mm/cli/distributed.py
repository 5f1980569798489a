"""The check that a run's processes, its trainer and its samples agree, before any process waits."""

from __future__ import annotations

import os

from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from mm.data import MagnificationDataModule
from mm.data.sampling import check_share
from mm.errors import InputError


def check_ranks(trainer: Trainer, data: MagnificationDataModule, command: str) -> None:
    """Check that every process is a rank of the trainer, and that every rank has samples.

    Args:
        trainer: made, but not yet running.
        data: as the run will use it.
        command: ``fit``, ``validate`` or ``test``.

    Raises:
        InputError: if torchrun or srun started another number of processes than the trainer has ranks, or
            there are more ranks than samples.
    """
    ranks = trainer.num_devices * trainer.num_nodes
    environment = getattr(trainer.strategy, "cluster_environment", None)
    external = environment is None or isinstance(environment, SLURMEnvironment | TorchElasticEnvironment)
    launcher, started = _started()
    if external and started is not None and started != ranks:
        # Without this, a trainer of one device would run in each process, all of them in the same folder.
        raise InputError(
            f"{launcher} started {started} processes, but the trainer has {ranks} ranks "
            f"(trainer.devices {trainer.num_devices} × trainer.num_nodes {trainer.num_nodes}): set "
            "trainer.devices to the processes of a node and trainer.num_nodes to the number of nodes"
        )
    if ranks == 1:
        return
    if command == "fit":
        least = data.batch_size if data.repeat else 1
        check_share(data.samples_per_epoch, ranks, "data.samples_per_epoch", least)
    name = "test_samples" if command == "test" else "validation_samples"
    if getattr(data, name) > 0:
        check_share(getattr(data, name), ranks, f"data.{name}")


def _started() -> tuple[str, int | None]:
    """Return the launcher of this process and the number of processes that it started, None without one."""
    if TorchElasticEnvironment.detect():
        return "torchrun", int(os.environ["WORLD_SIZE"])
    # srun alone sets this; a plain command in a job's script is one process, whatever the job asked for.
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS")
    return "srun", int(tasks) if tasks and SLURMEnvironment.detect() else None
