"""Where the time of a training step goes.

Lightning's loop tells its profiler when each of its actions begins and ends. :class:`StepProfiler` listens to
the few that make up a step and shares the time out among them, so that what is measured is the loop that
``mm fit`` runs, and the parts add up to the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning.profilers import Profiler

from mm.errors import InputError

WAITING = "waiting for data"
OTHER = "other"
# Lightning's action, without the class that does it -> the part of a step that it is. An action within
# another one counts as its own part: the optimiser's step calls forward and backward, and the transfer of a
# batch renders it.
PART_OF_ACTION = {
    "train_dataloader_next": WAITING,
    "batch_to_device": "transfer",
    "on_after_batch_transfer": "synthesis",
    "training_step": "forward",
    "backward": "backward",
    "optimizer_step": "optimiser",
    "lr_scheduler_step": "optimiser",
}
PARTS = (*dict.fromkeys(PART_OF_ACTION.values()), OTHER)
_STEP_BEGINS = "train_dataloader_next"


@dataclass(frozen=True)
class StepTimes:
    """What :class:`StepProfiler` measured.

    Attributes:
        steps: how many were measured each way.
        step: mean seconds of a step that nothing disturbs, from batch to batch.
        parts: mean seconds of each of :data:`PARTS` in a profiled step. On a GPU a profiled step is longer:
            it waits for the device at the end of each part.
    """

    steps: int
    step: float
    parts: dict[str, float]

    @property
    def profiled_step(self) -> float:
        """Mean seconds of a profiled step: the sum of its parts."""
        return sum(self.parts.values())

    def share(self, part: str) -> float:
        """Return the part's share of a profiled step, 0–1."""
        return self.parts[part] / self.profiled_step


class StepProfiler(Profiler):
    """Lets ``warmup`` steps pass, then times ``steps`` steps as a whole, then as many part by part.

    A step lasts from asking for its batch to asking for the next one (with gradients accumulated, it is one
    batch), so the trainer must go on for one step more than these.

    Args:
        steps: to measure each way, at least 1.
        warmup: to leave out first, at least 0.
        device: whose work is waited for at the ends of what is timed; may be set later.
        clock: seconds; another one for tests, or to count a process's own time on a busy machine.

    Raises:
        InputError: for a number out of range.
    """

    def __init__(
        self,
        steps: int,
        warmup: int,
        device: torch.device | str = "cpu",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise InputError(f"--steps must be at least 1, got {steps}")
        if warmup < 0:
            raise InputError(f"--warmup must be at least 0 steps, got {warmup}")
        self.steps = steps
        self.warmup = warmup
        self.device = torch.device(device)
        self._clock = clock
        self._begun = 0
        self._window = 0.0
        self._since = 0.0
        self._profiling = False
        # The actions under way that are parts of a step, innermost last.
        self._under_way: list[str] = []
        self._seconds = dict.fromkeys(PARTS, 0.0)

    @property
    def trainer_steps(self) -> int:
        """Steps that the trainer has to take for this."""
        return self.warmup + 2 * self.steps + 1

    def start(self, action_name: str) -> None:
        """Note that an action begins."""
        action = action_name.rpartition(".")[2]
        if action == _STEP_BEGINS:
            self._begin_step()
        if self._profiling and action in PART_OF_ACTION:
            self._charge()
            self._under_way.append(action)

    def stop(self, action_name: str) -> None:
        """Note that an action has ended."""
        # An action that began before the profiling did is not of ours.
        if self._under_way and self._under_way[-1] == action_name.rpartition(".")[2]:
            self._charge()
            self._under_way.pop()

    def _begin_step(self) -> None:
        done = self._begun
        self._begun += 1
        if done == self.warmup:
            self._window = -self._now()
        if done == self.warmup + self.steps:
            self._since = self._now()
            self._window += self._since
            self._profiling = True
        if done == self.warmup + 2 * self.steps:
            self._charge()
            self._profiling = False

    def _charge(self) -> None:
        """Give the time since the last call to the innermost part under way."""
        now = self._now()
        part = PART_OF_ACTION[self._under_way[-1]] if self._under_way else OTHER
        self._seconds[part] += now - self._since
        self._since = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock()

    def result(self) -> StepTimes:
        """Return what was measured.

        Raises:
            InputError: if the training ended before it was.
        """
        if self._begun < self.trainer_steps:
            raise InputError(
                f"the training ended after {self._begun} of the {self.trainer_steps} steps that the "
                "benchmark takes; leave trainer.max_time and trainer.fast_dev_run out, or give fewer --steps"
            )
        return StepTimes(
            self.steps,
            self._window / self.steps,
            {part: seconds / self.steps for part, seconds in self._seconds.items()},
        )


def peak_memory(device: torch.device) -> dict[str, Any]:
    """Return what the training took at most so far, in MiB: of the GPU, or of this process on a CPU.

    ``allocated`` is what tensors took, ``reserved`` what the allocator held for them; ``process`` is the
    process's resident memory, None where the system does not tell.
    """
    if device.type == "cuda":
        return {
            "allocated": torch.cuda.max_memory_allocated(device) / 2**20,
            "reserved": torch.cuda.max_memory_reserved(device) / 2**20,
        }
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return {"process": None}
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # KiB, but bytes on macOS.
    return {"process": peak / (2**20 if sys.platform == "darwin" else 2**10)}
