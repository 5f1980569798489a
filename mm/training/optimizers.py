"""Muon for convolutions, and the learning rate over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from mm.errors import InputError

# Jordan et al., "Muon" (2024): five steps take all singular values from (0.003, 1] to about 0.7–1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
# Makes the root mean square of an orthogonal update that of a typical step of Adam (Liu et al., "Muon is
# Scalable for LLM Training", 2025), so that both share one learning rate.
_ADAM_RMS = 0.2


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return the nearest (roughly) semi-orthogonal matrices, by Newton–Schulz iterations.

    Args:
        matrices: (N, rows, columns) with rows ≤ columns, float32.
    """
    a, b, c = _COEFFICIENTS
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class MuonAdam(torch.optim.Optimizer):
    """Orthogonalised momentum for the weights of hidden convolutions, Adam for all other parameters.

    A convolution's weight is the matrix (out, in · height · width). Those between the image and the features,
    with 3 rows or columns at most, take Adam's rule: made orthogonal, all their filters would be equally
    strong.

    Args:
        params: the network's parameters.
        lr: the learning rate of both rules.
        momentum: of the orthogonal rule (with Nesterov's look-ahead).
        betas: Adam's decay rates.
        eps: Adam's.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not lr > 0 or not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"Muon needs lr above 0 and betas in [0, 1), got {lr:g} and {tuple(betas)}")
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for p in params:
            groups[p.ndim == 4 and min(p.shape[:2]) > 3].append(p)
        super().__init__(
            [{"params": some, "orthogonal": hidden} for hidden, some in groups.items()],
            {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            (self._orthogonal_step if group["orthogonal"] else self._adam_step)(group, parameters)
        return loss

    def _orthogonal_step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for p in parameters:
            assert p.grad is not None
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            ahead = p.grad.lerp(state["momentum"], group["momentum"])
            matrix = ahead.reshape(ahead.shape[0], -1)
            alike.setdefault((matrix.shape[0], matrix.shape[1]), []).append((p, matrix))
        for (rows, columns), entries in alike.items():
            stack = torch.stack([matrix for _, matrix in entries])
            update = orthogonalise(stack) if rows <= columns else orthogonalise(stack.mT).mT
            scale = _ADAM_RMS * max(rows, columns) ** 0.5
            for (p, _), step in zip(entries, update, strict=True):
                p.add_(step.reshape(p.shape), alpha=-group["lr"] * scale)

    def _adam_step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        fast, slow = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        states = [self.state[p] for p in parameters]
        for p, state in zip(parameters, states, strict=True):
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
            state["step"] += 1
        means, squares = ([state[name] for state in states] for name in ("mean", "square"))
        # Over all parameters at once: most are biases, and each operation on a GPU costs a launch.
        torch._foreach_lerp_(means, gradients, 1 - fast)
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - slow)
        mean = torch._foreach_div(means, [1 - fast ** state["step"] for state in states])
        root = torch._foreach_div(squares, [1 - slow ** state["step"] for state in states])
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, group["eps"])
        torch._foreach_addcdiv_(parameters, mean, root, value=-group["lr"])


class WarmupCosine(LRScheduler):
    """A linear rise of the learning rate, then half a cosine down.

    Step n of the warm-up has (n + 1) / ``warmup_steps`` of the optimiser's rate.

    Args:
        optimizer: its learning rate is the peak.
        warmup_steps: steps of the rise, at least 0.
        eta_min: the rate at ``total_steps`` and after; the peak itself keeps the rate constant.
        total_steps: length of the run in steps; the trainer's own if None.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int = 0,
        eta_min: float = 0.0,
        total_steps: int | None = None,
    ) -> None:
        peak = optimizer.param_groups[0]["lr"]
        if warmup_steps < 0:
            raise InputError(f"model.lr_scheduler.warmup_steps must be at least 0, got {warmup_steps}")
        if not 0 <= eta_min <= peak:
            raise InputError(
                f"model.lr_scheduler.eta_min must be between 0 and the optimiser's lr ({peak:g}), "
                f"got {eta_min:g}"
            )
        self.warmup_steps, self.eta_min, self.total_steps = warmup_steps, eta_min, total_steps
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the step at hand, one a parameter group."""
        step, rise = self.last_epoch, self.warmup_steps
        if step < rise:
            return [peak * (step + 1) / rise for peak in self.base_lrs]
        progress = min(1.0, (step - rise) / max(1, (self.total_steps or 0) - rise))
        share = 0.5 * (1.0 + math.cos(math.pi * progress))
        return [self.eta_min + (peak - self.eta_min) * share for peak in self.base_lrs]

    def go_to(self, step: int) -> None:
        """Set the rate of ``step``, from 0."""
        self.last_epoch = step
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return the step alone: its options are the configuration's, which may change on resuming."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the step of a checkpoint, with this scheduler's own options."""
        self.go_to(state_dict["last_epoch"])
