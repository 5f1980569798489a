"""Checkpoints that a kill at any moment cannot spoil."""

from __future__ import annotations

import os
import pickle
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mm.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, to the disk, and only then moves it there.

    Lightning's own writer goes through the system's folder for temporary files; where that is on another
    file system, the move is a copy, and a kill in the middle leaves half a file under the checkpoint's name.
    Within one folder a rename is atomic: the name always holds the old checkpoint or the new one, whole.

    It also makes sure that a checkpoint can be read back with ``weights_only=True``, as it will be when the
    run goes on: a value of another kind, which some callback kept in its state, is an error now and not then.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save ``checkpoint`` as ``path``; a remote address (``s3://…``) is left to Lightning.

        Raises:
            InputError: if it holds more than tensors and plain values, or cannot be written.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        # One name for a checkpoint, so that what a kill left is overwritten by the next save. The ending is
        # not .ckpt: nothing that looks for checkpoints finds it.
        partial = place.with_name(f".{place.name}.partial")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            # Mapped, not read: this costs a look at the file's index, not at its tensors.
            torch.load(partial, map_location="cpu", weights_only=True, mmap=True)
            os.replace(partial, place)
        except pickle.UnpicklingError as error:
            partial.unlink(missing_ok=True)
            kind = re.search(r"GLOBAL (\S+)", str(error))
            raise InputError(
                f"{place} was not written: it would hold more than tensors and plain values"
                + (f" ({kind[1]})" if kind else "")
                + ", and could not be read back safely; remove the callback that keeps it in its state"
            ) from error
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise InputError(f"cannot write the checkpoint {place}: {error.strerror or error}") from error
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, so that it also outlives a power cut. Windows cannot open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt``, the newest state, which ``--ckpt_path last`` goes on from.

    It is written at an interval, at the end of the run, on Ctrl-C and on SIGTERM, always under one name.

    Args:
        dirpath: the folder; ``checkpoints`` in the run's folder if None and the run comes from ``mm fit``.
        minutes: time between two, used if ``steps`` is None.
        steps: optimiser steps between two.
    """

    def __init__(self, dirpath: str | None = None, minutes: float = 10.0, steps: int | None = None) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=self.CHECKPOINT_NAME_LAST,
            save_top_k=1,
            every_n_train_steps=steps,
            train_time_interval=timedelta(minutes=minutes) if steps is None else None,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
        self.minutes = minutes
        self.steps = steps

    @property
    def state_key(self) -> str:
        """Return one name whatever the interval, which a resumed run may change."""
        return type(self).__name__

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the run's last step, even if it is saved already: it may have been scored since."""
        self._last_global_step_saved = 0
        self._save_now(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save when somebody stopped the run; not on an error, whose state may be what is wrong.

        A signal to the whole group of processes may end a data worker first, and the run then sees that.
        """
        worker_died = isinstance(exception, RuntimeError) and "DataLoader worker" in str(exception)
        if worker_died or isinstance(exception, KeyboardInterrupt | SIGTERMException):
            self._save_now(trainer)

    def _save_now(self, trainer: pl.Trainer) -> None:
        if self._should_skip_saving_checkpoint(trainer) or trainer.global_step == 0:
            return
        self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, the state with the best validation score so far.

    Args:
        dirpath: as in :class:`LastCheckpoint`.
        monitor: the metric that decides.
        mode: whether more of it is better.
    """

    def __init__(self, dirpath: str | None = None, monitor: str = "val/score", mode: str = "max") -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
