"""Two processes train as one does: the same samples, the same steps, the same scores, one checkpoint."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import Dataset, TensorDataset

from mm.cli import main
from mm.data.sampling import FixedSampler, StreamPosition, StreamSampler
from mm.errors import InputError
from mm.training import LastCheckpoint, MagnificationModule

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "smoke.yaml"
# Three batches of two ranks, or six of one, in an epoch. The ranks do not divide the validation set.
DATA = [
    "--data.batch_size=2",
    "--data.samples_per_epoch=12",
    "--data.validation_samples=3",
    "--data.subsets=[sharp, static]",
    "--sample_images.samples=0",
]
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]
NO_VALIDATION = "--trainer.limit_val_batches=0"

RECORDER = '''
import hashlib
import json
from pathlib import Path

import pytorch_lightning as pl


class Recorder(pl.Callback):
    """Writes a line a sample that a rank trains on."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        with open(self.folder / f"rank{trainer.global_rank}.jsonl", "a") as file:
            for index, pixels in zip(batch["index"].tolist(), batch["y"], strict=True):
                digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
                line = [trainer.global_step, trainer.current_epoch, index, digest, float(pixels.mean())]
                file.write(json.dumps(line) + "\\n")
'''

POISON = """
import pytorch_lightning as pl


class Poison(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 1:
            batch["y"].fill_(float("nan"))
"""

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


@dataclass
class Sample:
    step: int
    epoch: int
    index: int
    digest: str
    mean: float


@dataclass
class Run:
    """The folder of a run, and what each rank saw."""

    folder: Path

    def samples(self, rank: int) -> list[Sample]:
        file = self.folder / f"rank{rank}.jsonl"
        return [Sample(*json.loads(line)) for line in file.read_text().splitlines()]

    def checkpoint(self) -> dict:
        return torch.load(self.folder / "checkpoints" / "last.ckpt", weights_only=True)

    def rows(self) -> list[dict[str, str]]:
        (log,) = (self.folder / "logs").iterdir()
        with open(log / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))


def arguments(folder: Path, *options: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [
        "fit",
        "--config",
        str(SMOKE),
        f"--trainer.default_root_dir={folder}",
        "--trainer.callbacks+=ddp_recorder.Recorder",
        f"--trainer.callbacks.folder={folder}",
        *DATA,
        *options,
    ]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory) -> Path:
    """A folder with the module ``ddp_recorder``, where this process and those that it starts find it."""
    folder = tmp_path_factory.mktemp("recorder")
    (folder / "ddp_recorder.py").write_text(RECORDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.fixture(scope="module")
def two(recorder, tmp_path_factory) -> Run:
    """Two ranks, four steps: one epoch, and a third of the next."""
    folder = tmp_path_factory.mktemp("two")
    options = [*TWO, "--trainer.max_steps=4", "--trainer.val_check_interval=4"]
    command = [sys.executable, "-m", "mm", *arguments(folder, *options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Run(folder)


@pytest.fixture(scope="module")
def one(recorder, tmp_path_factory) -> Run:
    """One process with the same global batch."""
    folder = tmp_path_factory.mktemp("one")
    options = ["--data.batch_size=4", "--trainer.max_steps=4", NO_VALIDATION]
    assert main(arguments(folder, *options)) == 0
    return Run(folder)


def test_the_ranks_share_the_samples_of_one_process(two, one):
    ranks = [two.samples(rank) for rank in (0, 1)]
    for epoch in (0, 1):
        parts = [{sample.index for sample in rank if sample.epoch == epoch} for rank in ranks]
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == {sample.index for sample in one.samples(0) if sample.epoch == epoch}
    assert {sample.index for rank in ranks for sample in rank if sample.epoch == 0} == set(range(12))
    # What the ranks rendered differs too, and is what one process renders.
    digests = [sample.digest for rank in ranks for sample in rank]
    assert len(set(digests)) == len(digests) == 16
    means = {sample.index: sample.mean for rank in ranks for sample in rank}
    assert means == pytest.approx({sample.index: sample.mean for sample in one.samples(0)}, abs=1e-4)


def test_a_step_of_two_ranks_is_a_step_of_one_on_the_same_global_batch(two, one):
    """Same samples a step, and gradients averaged: so the same weights."""
    for step in range(4):
        parts = [sample.index for rank in (0, 1) for sample in two.samples(rank) if sample.step == step]
        assert sorted(parts) == [sample.index for sample in one.samples(0) if sample.step == step]
    ours, theirs = two.checkpoint()["state_dict"], one.checkpoint()["state_dict"]
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        # Half of the batch alone, without the other rank's gradients, ends 7e-3 away.
        assert torch.allclose(ours[name], value, rtol=0, atol=2e-4), name


def test_one_checkpoint_one_log_and_the_count_of_all_ranks(two):
    assert sorted(os.listdir(two.folder / "checkpoints")) == ["best.ckpt", "last.ckpt"]
    assert os.listdir(two.folder / "logs") == ["version_0"]
    kept = two.checkpoint()
    assert kept["global_step"] == 4
    assert kept["training"]["samples_seen"] == 16
    assert kept["run"]["hardware"]["ranks"] == 2
    seen = [float(row["train/samples_seen"]) for row in two.rows() if row["train/samples_seen"]]
    assert seen == [4, 8, 12, 16]


def test_the_score_is_that_of_one_process(two, tmp_path):
    """Three samples a subset, two on one rank and one on the other: none left out, none counted twice."""
    last = two.folder / "checkpoints" / "last.ckpt"
    options = ["--trainer.default_root_dir", str(tmp_path), "--ckpt_path", str(last)]
    assert main(["validate", "--config", str(SMOKE), *DATA, *options]) == 0
    (row,) = [row for row in Run(tmp_path).rows() if row["val/score"]]
    found = two.checkpoint()["training"]["scores"]
    assert {"val/score", "val/sharp/gain", "val/sharp/psnr", "val/static/l1"} <= set(found)
    assert found == pytest.approx({name: float(row[name]) for name in found}, abs=1e-4)


def test_one_rank_goes_on_where_two_stopped(two, tmp_path):
    """In the middle of an epoch: at the next sample, with the count of both."""
    last = two.folder / "checkpoints" / "last.ckpt"
    options = [f"--ckpt_path={last}", "--trainer.max_steps=9", NO_VALIDATION]
    assert main(arguments(tmp_path, *options)) == 0
    assert [sample.index for sample in Run(tmp_path).samples(0)] == list(range(16, 26))
    kept = Run(tmp_path).checkpoint()
    assert kept["global_step"] == 9
    assert kept["training"]["samples_seen"] == 26


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_two_ranks_go_on_where_one_stopped_and_a_signal_stops_both_at_the_same_step(recorder, tmp_path):
    """One stops after 5 of its 6 batches of an epoch; two have 3 batches in one."""
    single = tmp_path / "single"
    assert main(arguments(single, "--trainer.max_steps=5", NO_VALIDATION)) == 0
    assert [sample.index for sample in Run(single).samples(0)] == list(range(10))
    last = single / "checkpoints" / "last.ckpt"
    run = Run(tmp_path / "run")
    options = [*TWO, f"--ckpt_path={last}", "--trainer.max_steps=100000", NO_VALIDATION]
    command = [sys.executable, "-m", "mm", *arguments(run.folder, *options, "--last_checkpoint.steps=100000")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    try:
        while not (run.folder / "rank1.jsonl").is_file() or len(run.samples(1)) < 10:
            assert process.poll() is None, process.stdout.read()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # To rank 0 alone: it tells the other one.
        process.send_signal(signal.SIGUSR1)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert process.returncode == 128 + signal.SIGUSR1, said[-3000:]
    ranks = [run.samples(rank) for rank in (0, 1)]
    steps = ranks[0][-1].step
    assert ranks[1][-1].step == steps
    together = sorted(sample.index for rank in ranks for sample in rank)
    assert together == list(range(10, 10 + len(together)))
    assert sorted(os.listdir(run.folder / "checkpoints")) == ["last.ckpt"]
    kept = run.checkpoint()
    assert kept["global_step"] == steps + 1
    assert kept["training"]["samples_seen"] == 10 + len(together)


@pytest.mark.slow
def test_a_loss_that_breaks_on_the_second_rank_ends_both_with_its_samples(recorder, tmp_path):
    """Rank 0 says it in one line, and is not killed for what the other one found."""
    (recorder / "ddp_poison.py").write_text(POISON)
    run = Run(tmp_path)
    options = [*TWO, "--trainer.max_steps=4", NO_VALIDATION, "--trainer.callbacks+=ddp_poison.Poison"]
    command = [sys.executable, "-m", "mm", *arguments(run.folder, *options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr[-3000:]
    (line,) = [text for text in done.stderr.splitlines() if "mm: error: " in text]
    guilty = [sample.index for sample in run.samples(1) if sample.step == 1]
    assert f"the loss is nan at step 1, for the samples of index {guilty}" in line
    assert "(rank 1)" in line
    assert "Traceback" not in done.stderr
    # The weights of both are spoilt, and not saved.
    assert not list(run.folder.glob("checkpoints/*"))


@pytest.mark.parametrize(
    ("number", "where", "step"),
    [(signal.SIGTERM, "training", 3), (signal.SIGTERM, "validation", 4), (signal.SIGHUP, "training", 3)],
)
def test_a_signal_ends_one_process_at_once_with_its_state_saved(
    data, trainer, tiny, tmp_path, number, where, step
):
    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if where == "training" and trainer.global_step == 2:
                os.kill(os.getpid(), number)

        def on_validation_start(self, trainer, pl_module):
            os.kill(os.getpid(), number)

    # nohup, under which tests may run, ignores SIGHUP.
    ignored = signal.signal(number, signal.default_int_handler)
    before = signal.getsignal(number)
    callbacks = [Kill(), LastCheckpoint(str(tmp_path), steps=100)]
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    made = trainer(
        max_steps=8, enable_checkpointing=True, callbacks=callbacks, logger=logger, log_every_n_steps=1
    )
    try:
        with pytest.raises(SystemExit) as ended:
            made.fit(MagnificationModule(tiny), data())
        # What was there before takes the next signal.
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, ignored)
    assert ended.value.code == 128 + number
    # Every step that was trained is in the log, the last one too.
    with open(Path(logger.log_dir, "metrics.csv"), newline="") as file:
        assert len([row for row in csv.DictReader(file) if row["train/loss"]]) == step
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == step


# Samplers alone: what cannot be shared out

NUMBERS: Dataset[int] = TensorDataset(torch.arange(20))


def test_a_set_that_the_ranks_do_not_divide_is_shared_out_whole():
    parts = [list(FixedSampler(NUMBERS, 7, rank, 3)) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]
    assert [len(FixedSampler(NUMBERS, 7, rank, 3)) for rank in range(3)] == [3, 2, 2]


def test_more_ranks_than_samples_are_refused():
    with pytest.raises(InputError, match="is 2, too few for 3 ranks"):
        FixedSampler(NUMBERS, 2, 0, 3)
    with pytest.raises(InputError, match="samples_per_epoch is 2, too few for 3 ranks"):
        StreamSampler(NUMBERS, StreamPosition(), 2, 1, rank=0, ranks=3)
    # A batch of all ranks that goes over the same samples again would hold some twice.
    with pytest.raises(InputError, match=r"is 7, too few for 2 ranks .* at least 4 each: raise it to 8"):
        StreamSampler(NUMBERS, StreamPosition(), 7, 4, repeat=True, rank=0, ranks=2)
    assert len(list(StreamSampler(NUMBERS, StreamPosition(), 8, 4, repeat=True, rank=0, ranks=2))) == 4


# Bad input


def refused(capsys, *options: str) -> str:
    """Run ``mm fit`` with what cannot work, and return its one line."""
    assert main(["fit", "--config", str(SMOKE), *options]) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("mm: error: ")]
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.samples_per_epoch=1"], "data.samples_per_epoch is 1, too few for 2 ranks"),
        (["--data.validation_samples=1"], "data.validation_samples is 1, too few for 2 ranks"),
        (["--data.repeat=true", "--data.samples_per_epoch=3"], "data.samples_per_epoch is 3, too few for 2"),
    ],
)
def test_more_ranks_than_samples(capsys, tmp_path, options, message):
    assert message in refused(capsys, f"--trainer.default_root_dir={tmp_path}", *TWO, *options)
    assert not (tmp_path / "checkpoints").exists()


def test_scoring_counts_the_samples_that_it_uses(capsys, two, tmp_path):
    last = f"--ckpt_path={two.folder / 'checkpoints' / 'last.ckpt'}"
    root = f"--trainer.default_root_dir={tmp_path}"
    for command, name in (("validate", "validation_samples"), ("test", "test_samples")):
        assert main([command, "--config", str(SMOKE), last, root, *TWO, f"--data.{name}=1"]) == 2
        assert f"data.{name} is 1, too few for 2 ranks" in capsys.readouterr().err


def test_more_devices_than_there_are(capsys, tmp_path, monkeypatch):
    root = f"--trainer.default_root_dir={tmp_path}"
    line = refused(capsys, root, "--trainer.accelerator=cuda", "--trainer.devices=64")
    assert "cuda" in line.lower()
    # As on a machine with one GPU.
    monkeypatch.setattr("lightning_fabric.accelerators.cuda.num_cuda_devices", lambda: 1)
    monkeypatch.setattr("pytorch_lightning.accelerators.cuda.num_cuda_devices", lambda: 1)
    line = refused(capsys, root, "--trainer.accelerator=cuda", "--trainer.devices=2")
    assert "But your machine only has: [0]" in line


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "torchrun"),
        ({"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2"}, "srun"),
    ],
)
def test_processes_that_are_no_ranks_of_the_trainer(capsys, tmp_path, monkeypatch, variables, launcher):
    """Without a word, each would train on its own, and write the same checkpoint."""
    for name, value in {
        "SLURM_JOB_NAME": "mm",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        **variables,
    }.items():
        monkeypatch.setenv(name, value)
    line = refused(capsys, f"--trainer.default_root_dir={tmp_path}")
    assert f"{launcher} started 2 processes, but the trainer has 1 ranks (trainer.devices 1 ×" in line


@pytest.mark.parametrize("option", ["--ckpt_path", "--model.initial_weights"])
def test_a_checkpoint_of_another_network(capsys, two, tmp_path, option):
    last = two.folder / "checkpoints" / "last.ckpt"
    line = refused(
        capsys,
        f"--trainer.default_root_dir={tmp_path}",
        f"{option}={last}",
        "--model.network.channels=16",
    )
    assert "channels" in line
