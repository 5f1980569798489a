"""A checkpoint's name holds a whole checkpoint at every moment, whatever happens while one is written."""

from __future__ import annotations

import os
import sys
from unittest.mock import MagicMock

import pytest
import torch
from pytorch_lightning.trainer.states import TrainerFn

from mm.errors import InputError
from mm.training import AtomicCheckpointIO, LastCheckpoint, MagnificationModule

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": 1, "state": torch.arange(1000.0)}, path)
    return path


def step(path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def test_replaces_the_old_one_and_leaves_nothing_else(old):
    AtomicCheckpointIO().save_checkpoint({"global_step": 2}, old)
    assert step(old) == 2
    assert os.listdir(old.parent) == ["last.ckpt"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_process_that_dies_in_the_middle_leaves_the_old_one(old, monkeypatch):
    real = torch.save

    def save_half(obj, file):
        real(obj, file)
        file.flush()
        os.truncate(file.name, os.path.getsize(file.name) // 2)
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(torch, "save", save_half)
        AtomicCheckpointIO().save_checkpoint({"global_step": 2, "state": torch.arange(1000.0)}, old)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert step(old) == 1
    assert [name for name in os.listdir(old.parent) if name.endswith(".ckpt")] == ["last.ckpt"]
    # Half a file is there, and the next save takes its place.
    assert len(os.listdir(old.parent)) == 2
    AtomicCheckpointIO().save_checkpoint({"global_step": 3}, old)
    assert step(old) == 3
    assert os.listdir(old.parent) == ["last.ckpt"]


def test_interrupted_write_cleans_up(old, monkeypatch):
    def interrupted(obj, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"global_step": 2}, old)
    assert step(old) == 1
    assert os.listdir(old.parent) == ["last.ckpt"]


def test_full_disk_is_said(old, monkeypatch):
    def full(obj, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"cannot write .*last.ckpt: there is no room"):
        AtomicCheckpointIO().save_checkpoint({"global_step": 2}, old)
    assert step(old) == 1


class NotPlain:
    pass


def test_value_that_could_not_be_read_back_is_refused_now(old):
    with pytest.raises(InputError, match=r"NotPlain.*could not be read back"):
        AtomicCheckpointIO().save_checkpoint({"global_step": 2, "callbacks": {"mine": NotPlain()}}, old)
    assert step(old) == 1
    assert os.listdir(old.parent) == ["last.ckpt"]


def test_last_checkpoint_is_found_and_half_of_one_is_not(data, trainer, tiny, tmp_path):
    folder = tmp_path / "checkpoints"

    def run(steps: int):
        keep = LastCheckpoint(str(folder), steps=2)
        made = trainer(
            max_steps=steps,
            enable_checkpointing=True,
            callbacks=[keep],
            plugins=[AtomicCheckpointIO()],
            limit_val_batches=0,
        )
        made.fit(MagnificationModule(tiny), data(count=4), ckpt_path="last", weights_only=True)
        return made

    # None there yet: the run starts anew. 5 is no multiple of 2: the end is saved too.
    assert run(5).ckpt_path is None
    assert step(folder / "last.ckpt") == 5
    (folder / ".last.ckpt.partial").write_bytes((folder / "last.ckpt").read_bytes()[:5000])
    resumed = run(6)
    assert resumed.ckpt_path == str(folder / "last.ckpt")
    assert step(folder / "last.ckpt") == 6


def fitting(ranks: int) -> MagicMock:
    """A trainer of which a checkpoint callback asks whether it is time to save, or to stop: neither is."""
    trainer = MagicMock(world_size=ranks, fast_dev_run=False, sanity_checking=False, global_step=1)
    trainer.state.fn = TrainerFn.FITTING
    trainer.strategy.broadcast.return_value = True
    trainer.strategy.reduce_boolean_decision.return_value = False
    return trainer


@pytest.mark.parametrize(("ranks", "asked"), [(1, 25), (2, 2)])
def test_whether_it_is_time_is_not_asked_at_each_step_of_several_ranks(tmp_path, ranks, asked):
    """Each time is a broadcast, which a GPU has to be waited for."""
    trainer, keep, saved = fitting(ranks), LastCheckpoint(str(tmp_path)), []
    keep._save_topk_checkpoint = lambda trainer, candidates: saved.append(trainer.global_step)
    for batch in range(25):
        keep.on_train_batch_end(trainer, MagicMock(), None, None, batch)
    assert trainer.strategy.broadcast.call_count == asked
    assert trainer.strategy.reduce_boolean_decision.call_count == asked
    assert saved == []
    trainer.strategy.broadcast.return_value = False
    for batch in range(25, 30):
        keep.on_train_batch_end(trainer, MagicMock(), None, None, batch)
    assert len(saved) == (5 if ranks == 1 else 1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_interval_in_steps_is_kept_by_several_ranks(tmp_path, ranks):
    trainer, keep, saved = fitting(ranks), LastCheckpoint(str(tmp_path), steps=3), []
    keep._save_topk_checkpoint = lambda trainer, candidates: saved.append(trainer.global_step)
    for batch in range(10):
        trainer.global_step = batch + 1
        keep.on_train_batch_end(trainer, MagicMock(), None, None, batch)
    assert saved == [3, 6, 9]
    trainer.strategy.broadcast.assert_not_called()


@pytest.mark.parametrize(("ranks", "told", "saves"), [(1, None, True), (2, None, False), (2, 15, True)])
def test_a_rank_whose_worker_died_alone_waits_for_no_other(tmp_path, monkeypatch, ranks, told, saves):
    """Saving is a collective: the other ranks, in the middle of a step, would never come."""
    saved = []
    callback = LastCheckpoint(str(tmp_path))
    callback._signal = told
    monkeypatch.setattr(callback, "_save_now", saved.append)
    run, died = MagicMock(world_size=ranks), "DataLoader worker (pid 7) is killed by signal: Killed."
    callback.on_exception(run, MagicMock(), RuntimeError(died))
    assert saved == [run] * saves


def test_ctrl_c_saves_and_an_error_does_not(data, trainer, tiny, tmp_path):
    died = RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")
    cases = {"ctrl-c": (KeyboardInterrupt(), True), "worker": (died, True), "other": (RuntimeError(), False)}
    for name, (error, expected) in cases.items():
        folder = tmp_path / name

        class Stop(LastCheckpoint):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx, stop=error):
                if trainer.global_step == 2:
                    raise stop

        made = trainer(
            enable_checkpointing=True, callbacks=[Stop(str(folder), steps=100)], limit_val_batches=0
        )
        with pytest.raises((KeyboardInterrupt, SystemExit, RuntimeError)):
            made.fit(MagnificationModule(tiny), data())
        assert (folder / "last.ckpt").is_file() == expected
