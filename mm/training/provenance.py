"""The record of a run: its resolved configuration, the code's version and the machine, beside the results."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger

import mm

RECORD_KEY = "run"
"""The key of a checkpoint under which its run's record stands."""


def software() -> dict[str, Any]:
    """Return the versions of mm (with its git commit if it is a checkout) and of what it stands on."""
    return {
        "mm": mm.__version__,
        **_commit(Path(mm.__file__).resolve().parent),
        "torch": str(torch.__version__),
        "pytorch_lightning": pl.__version__,
        "python": platform.python_version(),
    }


def hardware(device: torch.device, ranks: int = 1) -> dict[str, Any]:
    """Return what a run runs on: device, count of ranks, threads."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "ranks": ranks}
    return {"device": f"{device.type} ({_processor()})", "ranks": ranks, "threads": torch.get_num_threads()}


def _processor() -> str:
    """Return the processor's model name, or its architecture where the system does not tell."""
    about = Path("/proc/cpuinfo")
    if about.is_file():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit(folder: Path) -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's checkout: only one that tracks this file counts.
    if not git("ls-files", "__init__.py"):
        return {}
    return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--", "."))}


class RunRecord(SaveConfigCallback):
    """Writes ``config.yaml`` and ``run.json`` into the log folder of a start, and both into its checkpoints.

    A checkpoint so tells alone what it was trained with, wherever it is copied to.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write both files, once a start."""
        self.record = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            # Lightning hands an enumeration, which would not load as a plain value.
            "command": str(getattr(stage, "value", stage)),
            "software": software(),
            "hardware": hardware(trainer.strategy.root_device, trainer.world_size),
        }
        # Here, on every rank: asking for it is a broadcast, and `save_config` runs on rank 0 alone.
        self._folder = Path(trainer.log_dir or trainer.default_root_dir)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write ``run.json`` beside the configuration, and tell the loggers; called on rank 0 only."""
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams({**self._plain_config(), **self.record})
        text = json.dumps(self.record, indent=2, ensure_ascii=False) + "\n"
        (self._folder / "run.json").write_text(text, encoding="utf-8")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the record and the configuration, as plain values, into the checkpoint."""
        checkpoint[RECORD_KEY] = {**self.record, "config": self._plain_config()}

    def _plain_config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.parser.dump(self.config, skip_none=False, format="json"))
        return config
