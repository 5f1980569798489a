"""Checkpoints that a kill at any moment cannot spoil."""

from __future__ import annotations

import pickle
import re
import signal
import threading
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from mm.errors import InputError
from mm.files import replacing, writing

# A scheduler ends a job with the first, and warns before that with the second, where it is asked to; a
# terminal that is closed sends the third, unless nohup has it ignored.
STOP_SIGNALS = ("SIGTERM", "SIGUSR1", "SIGHUP")
# Batches between two times that the ranks ask each other whether one was told to stop, or whether it is time
# to save: asking is a synchronisation, and a scheduler gives many seconds.
STOP_CHECK_INTERVAL = 10


# What a run writes, and where that of the run before it goes.
KEPT = ("last.ckpt", "best.ckpt")
EARLIER = "earlier"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, to the disk, and only then moves it there.

    Lightning's own writer goes through the system's folder for temporary files; where that is on another
    file system, the move is a copy, and a kill in the middle leaves half a file under the checkpoint's name.
    Within one folder a rename is atomic: the name always holds the old checkpoint or the new one, whole.

    It also makes sure that a checkpoint can be read back with ``weights_only=True``, as it will be when the
    run goes on: a value of another kind, which some callback kept in its state, is an error now and not then.

    Args:
        keep_earlier: whether a run that starts anew moves ``last.ckpt`` and ``best.ckpt`` of another out of
            its folder, with its first checkpoint, to ``earlier-1`` or the next number there. One that goes on
            from a checkpoint of the folder writes over them in any case.
    """

    def __init__(self, keep_earlier: bool = False) -> None:
        super().__init__()
        self.keep_earlier = keep_earlier
        # Folders whose checkpoints are this run's own.
        self._own: set[Path] = set()

    def load_checkpoint(self, path: str | Path, *args: Any, **named: Any) -> dict[str, Any]:
        """Load a checkpoint to go on from, or to score; what is beside it is of the same run."""
        if "://" not in str(path):
            self._own.add(Path(path).absolute().parent)
        return super().load_checkpoint(path, *args, **named)

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
        try:
            with writing(place):
                place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                with open(partial, "wb") as file:
                    torch.save(checkpoint, file)
                # Mapped, not read: this costs a look at the file's index, not at its tensors.
                torch.load(partial, map_location="cpu", weights_only=True, mmap=True)
                # Only now that there is something whole in its place.
                self._keep_earlier(place.absolute().parent)
        except pickle.UnpicklingError as error:
            kind = re.search(r"GLOBAL (\S+)", str(error))
            raise InputError(
                f"{place} was not written: it would hold more than tensors and plain values"
                + (f" ({kind[1]})" if kind else "")
                + ", and could not be read back safely; remove the callback that keeps it in its state"
            ) from error

    def _keep_earlier(self, folder: Path) -> None:
        """Move another run's checkpoints out of the way, once, on the one rank that writes."""
        if not self.keep_earlier or folder in self._own:
            return
        self._own.add(folder)
        found = [place for place in map(folder.joinpath, KEPT) if place.exists()]
        if not found:
            return
        number = 1
        while (kept := folder / f"{EARLIER}-{number}").exists():
            number += 1
        kept.mkdir()
        for place in found:
            place.rename(kept / place.name)
        rank_zero_info(
            f"{folder} had the checkpoints of an earlier run, which are now in {kept}; --ckpt_path last "
            "would have gone on from them"
        )


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt``, the newest state, which ``--ckpt_path last`` goes on from.

    It is written at an interval, at the end of the run, and when the run is stopped by Ctrl-C, SIGTERM,
    SIGUSR1 or SIGHUP, always under one name. A signal stops all ranks after the same step, and the exit code
    of rank 0 is 128 plus the signal's number, as of a process that the signal ended.

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
        self._signal: int | None = None
        self._batches = 0

    @property
    def state_key(self) -> str:
        """Return one name whatever the interval, which a resumed run may change."""
        return type(self).__name__

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take signals over from Lightning, which gives them back when the run ends.

        Its own handlers talk to the other ranks, and save, wherever the signal happens to find each of them:
        two ranks that it finds in different places of a step wait for one another for ever.
        """
        super().on_train_start(trainer, pl_module)
        self._signal, self._batches = None, 0
        if threading.current_thread() is threading.main_thread():
            for name in STOP_SIGNALS:
                # Windows has the first alone.
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._signal = signum

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the interval; stop all ranks if one of them was told to.

        Raises:
            SIGTERMException: if one was.
        """
        # Not by the batch's number, which begins anew with each epoch.
        self._batches += 1
        asks = trainer.world_size == 1 or self._batches % STOP_CHECK_INTERVAL == 0
        # Whether it is time to save is rank 0's to say: Lightning's own asks it after each batch.
        if asks or self.steps is not None:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if asks and trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False):
            # Lightning logs a step after its callbacks, which this one would take from it.
            trainer._logger_connector.update_train_step_metrics()
            self._stop(trainer)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop here too where there is no other rank to ask; several ranks end the validation first.

        Raises:
            SIGTERMException: if the run was told to.
        """
        if self._signal is not None and trainer.world_size == 1:
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> NoReturn:
        rank_zero_info(f"told to stop at step {trainer.global_step}; --ckpt_path last goes on from there")
        # A rank beside rank 0 ends well: whoever started them would else kill rank 0 before it ends.
        raise SIGTERMException(128 + (self._signal or signal.SIGTERM) if trainer.is_global_zero else 0)

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
        # Saving is waited for by all ranks. Those beside one whose worker was killed alone would not come.
        worker_died = worker_died and (trainer.world_size == 1 or self._signal is not None)
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
