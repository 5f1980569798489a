"""The stages of a training step: their time, launches, bytes and FLOPs, by Lightning's own profiler calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.profilers import Profiler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

OTHER = "other"
# Lightning's action -> stage. An action within another one counts as its own stage: the optimiser's step
# calls forward and backward, and the transfer of a batch renders it.
STAGE_OF_ACTION = {
    "train_dataloader_next": "waiting for data",
    "batch_to_device": "transfer",
    "on_after_batch_transfer": "synthesis",
    "training_step": "forward",
    "backward": "backward",
    "optimizer_step": "optimiser",
    "lr_scheduler_step": "optimiser",
}
STAGES = (*dict.fromkeys(STAGE_OF_ACTION.values()), OTHER)
_FIRST = "train_dataloader_next"
# Operators that allocate, or change a shape alone, beside the views that their schemas name.
_IDLE = ("aten::empty", "aten::new_empty", "aten::_unsafe_view", "aten::lift_fresh")


class Stages(Profiler):
    """A profiler of Lightning's that times steps as a whole, then by stage, and counts the operators of one.

    Args:
        steps: number of steps timed as a whole, and as many by stage, at least 1.
        warmup: number of steps before them.
        clock: seconds.

    Attributes:
        step: mean seconds of an undisturbed step.
        seconds: stage -> mean seconds; on a GPU the host waits for the device at the end of each stage.
        counts: stage -> ``launches``, ``bytes`` and ``flops`` of one step, see :class:`OperatorCounter`.
        begun: number of steps begun.
        device: awaited at the ends of timed intervals.
    """

    def __init__(self, steps: int, warmup: int, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self.steps, self.warmup, self._clock = steps, warmup, clock
        self.device = torch.device("cpu")
        self.begun, self.step = 0, 0.0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.counts = {stage: {"launches": 0, "bytes": 0, "flops": 0} for stage in STAGES}
        self._actions: list[str] = []
        self._timing, self._since = False, 0.0
        self._counter = OperatorCounter(lambda: self.counts[self._present])

    @property
    def trainer_steps(self) -> int:
        """Number of steps of a whole measurement: the last one only ends the one before it."""
        return self.warmup + 2 * self.steps + 2

    @property
    def _present(self) -> str:
        return STAGE_OF_ACTION[self._actions[-1]] if self._actions else OTHER

    def start(self, action_name: str) -> None:
        """Begin a stage, if the action is one."""
        action = action_name.rpartition(".")[2]
        if action == _FIRST:
            self._next_step()
        if action in STAGE_OF_ACTION:
            self._charge()
            self._actions.append(action)

    def stop(self, action_name: str) -> None:
        """End the stage that :meth:`start` began."""
        if self._actions and self._actions[-1] == action_name.rpartition(".")[2]:
            self._charge()
            self._actions.pop()

    def _next_step(self) -> None:
        past, self.begun = self.begun - self.warmup, self.begun + 1
        if past == 0:
            self.step = -self._now() / self.steps
        elif past == self.steps:
            self._since = self._now()
            self.step += self._since / self.steps
            self._timing = True
        elif past == 2 * self.steps:
            self._charge()
            self._timing = False
            self._counter.__enter__()
        elif past == 2 * self.steps + 1:
            self._counter.__exit__(None, None, None)

    def _charge(self) -> None:
        """Add the time since the last call to the present stage."""
        if self._timing:
            now = self._now()
            self.seconds[self._present] += (now - self._since) / self.steps
            self._since = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock()


class OperatorCounter(TorchDispatchMode):
    """A count of the operators that reach PyTorch's dispatcher, on any device.

    A launch is an operator that touches memory: neither a view nor an allocation. Its bytes are those of the
    tensors that it reads and writes, each once. FLOPs are those of matrix products and convolutions.

    Args:
        counts: returns the present ``launches``, ``bytes`` and ``flops``, to be increased.
    """

    def __init__(self, counts: Callable[[], dict[str, int]]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        view = any(each.alias_info and not each.alias_info.is_write for each in func._schema.arguments)
        touched = {
            id(each): each for each in tree_leaves((args, kwargs, out)) if isinstance(each, torch.Tensor)
        }
        if touched and not view and not func._schema.name.startswith(_IDLE):
            counts, packet = self._counts(), func._overloadpacket
            counts["launches"] += 1
            counts["bytes"] += sum(each.numel() * each.element_size() for each in touched.values())
            if packet in flop_registry:
                counts["flops"] += flop_registry[packet](*args, **kwargs, out_val=out)
        return out
