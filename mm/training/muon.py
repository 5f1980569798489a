"""Muon for convolutions: orthogonalised momentum, beside Adam for what is no hidden matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Of Jordan et al., "Muon" (2024): five steps take all singular values from (0.003, 1] to about 0.7–1.2.
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


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for the weights of hidden convolutions, Adam for all other parameters.

    A convolution's weight is the matrix (out, in · height · width). Parameters of groups with
    ``orthogonal=True`` take the first rule, others the second; see :func:`hidden_and_other`.

    Args:
        groups: parameter groups, each with a key ``orthogonal``.
        lr: the learning rate of both rules.
        momentum: of the orthogonal rule (with Nesterov's look-ahead).
        betas: Adam's decay rates.
        eps: Adam's.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            groups, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "orthogonal": False}
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


def hidden_and_other(network: nn.Module) -> list[dict[str, Any]]:
    """Return the groups of :class:`Muon`: hidden convolutions, and biases with the first and last layers.

    A layer between the image and the features has few rows or columns; making it orthogonal would force all
    of its filters to be equally strong.
    """
    hidden: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for p in network.parameters():
        is_hidden = p.ndim == 4 and p.shape[0] > 3 and p.shape[1] > 3
        (hidden if is_hidden else other).append(p)
    return [{"params": hidden, "orthogonal": True}, {"params": other, "orthogonal": False}]
