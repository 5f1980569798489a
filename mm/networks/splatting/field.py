"""Estimation of the magnified displacement field, with depth order, from one frame and normal equations."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm.networks.splatting.config import SplattingConfig
from mm.networks.splatting.layers import Residual, conv, up, zero
from mm.networks.splatting.least_squares import CHANNELS, Equations, residual, solve

#: Bound of a displacement, px: beyond it a solution is noise.
BOUND = 64.0


class Field(NamedTuple):
    """A displacement field of the moved frame's pixels, and how they are drawn."""

    displacement: Tensor
    """(B, 2, H, W), px (x, y): how much farther each pixel is carried."""
    order: Tensor
    """(B, 1, H, W), logarithm of a pixel's weight where several land: nearer surfaces weigh more."""
    background: Tensor
    """(B, 1, H, W), logarithm of a pixel's weight in filling what was uncovered."""
    confidence: Tensor
    """(B, 1, h/4, w/4), share of the estimate that rests on measured shifts, 0 to 1."""


class Aggregation(nn.Module):
    """Sums of normal equations over neighbours that belong together, as a frame's features say.

    Two steps over 3×3 cells, one and two cells apart, with weights that differ from place to place and sum
    to 1. The result is linear in the equations.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = zero(nn.Conv2d(channels, 18, 1))
        with torch.no_grad():
            line = torch.tensor([1.0, 2.0, 1.0])
            assert self.weights.bias is not None
            self.weights.bias.copy_((line[:, None] * line).log().flatten().repeat(2))

    def forward(self, equation: Tensor, features: Tensor) -> Tensor:
        """(B, C, h, w) and (B, channels, h, w) → (B, C, h, w)."""
        height, width = equation.shape[-2:]
        for step, logits in zip((1, 2), self.weights(features).float().chunk(2, 1), strict=True):
            weights = logits.softmax(1)
            padded = F.pad(equation, (step,) * 4, mode="replicate")
            equation = sum(
                padded[..., i * step : i * step + height, j * step : j * step + width]
                * weights[:, 3 * i + j, None]
                for i in range(3)
                for j in range(3)
            )
        return equation


class Level(nn.Module):
    """One scale of the estimate: shifts to choose from, what the frame says of them, and a choice.

    The candidates are the least-squares shifts of this scale, the estimate of the next coarser scale here
    and two cells away on each side, and zero. Beside each stands what it leaves unexplained of the change at
    this place.

    Args:
        context: channels of the frame's features.
        width: channels of the estimate.
        coarser: channels of the next coarser scale's estimate; 0 for the coarsest.
        own: least-squares shifts of this scale.
        blocks: residual blocks.
    """

    def __init__(self, context: int, width: int, coarser: int, own: int, blocks: int = 1) -> None:
        super().__init__()
        count = own + (5 if coarser else 0) + 1
        self.aggregation = Aggregation(context)
        self.entry = conv(context + 1 + 4 * own + 2 * (count - 1) + own * count, width)
        self.merge = nn.Conv2d(width + coarser, width, 1) if coarser else None
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.choice = conv(width, count)
        self.correction = zero(conv(width, 2))

    def forward(
        self, context: Tensor, equations: list[Tensor], gain: Tensor, coarser: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the magnified displacement.

        Args:
            context: (B, context, h, w), the frame's features.
            equations: one or two of (B, 6, h, w), of magnified shifts.
            gain: (B, 1, 1, 1).
            coarser: features (B, coarser, h/2, w/2) and field (B, 2, h/2, w/2) of the next coarser scale.

        Returns:
            features (B, width, h, w), field (B, 2, h, w) in px, and the share of the choice that is not zero
            (B, 1, h, w).
        """
        solved = [
            solve(each) for each in self.aggregation(torch.cat(equations, 1), context).split(CHANNELS, 1)
        ]
        candidates = [shift.clamp(-BOUND, BOUND) for shift, _ in solved]
        if coarser is not None:
            field = up(coarser[1], context, "bilinear")
            padded = F.pad(field, (2, 2, 2, 2), mode="replicate")
            height, width = field.shape[-2:]
            candidates += [
                padded[..., y : y + height, x : x + width]
                for y, x in ((2, 2), (0, 2), (4, 2), (2, 0), (2, 4))
            ]
        candidates.append(torch.zeros_like(candidates[0]))
        shifts = torch.stack(candidates, 1)
        moving = shifts[:, :-1].flatten(1, 2)
        said = [
            gain.abs().log1p().expand(-1, 1, *context.shape[-2:]) / 5,
            moving.sign() * moving.abs().log1p(),
        ]
        said += [known for _, known in solved] + [residual(each, shifts) for each in equations]
        x = F.relu(self.entry(torch.cat((context, *said), 1)))
        if self.merge is not None and coarser is not None:
            x = F.relu(self.merge(torch.cat((x, up(coarser[0], x)), 1)))
        x = self.blocks(x)
        choice = self.choice(x).float().softmax(1)
        extent = moving.abs().amax(1, keepdim=True).clamp_max(16)
        field = (choice[:, :, None] * shifts).sum(1) + self.correction(x).float() * extent
        return x, field, 1 - choice[:, -1:]


class FieldNetwork(nn.Module):
    """Features of one frame and least-squares shifts at four scales → displacement, depth order.

    Every estimate of the magnified displacement is a weighted mean of least-squares shifts, zero among them,
    and a correction in proportion to their size. So no change gives no displacement.

    Args:
        config: the sizes.
    """

    def __init__(self, config: SplattingConfig) -> None:
        super().__init__()
        c, f = config.context, config.field
        self.stem = conv(48, c[0])
        self.down = nn.ModuleList(conv(c[i], c[i + 1], 2) for i in range(3))
        self.context = nn.ModuleList(Residual(width) for width in c)
        self.levels = nn.ModuleList(
            Level(c[i], f[i], f[i + 1] if i < 3 else 0, 2 if i < 3 else 1, 2 if i == 0 else 1)
            for i in range(4)
        )
        self.drawing = zero(conv(f[0], 32))
        self.fine = nn.Sequential(conv(f[0], f[0]), nn.ReLU(), nn.Conv2d(f[0], 144, 1))
        self.trust = zero(nn.Conv2d(f[0], 1, 1))

    def forward(self, frame: Tensor, equations: Equations, gain: Tensor) -> Field:
        """Estimate how much farther each pixel of a frame is to be carried.

        Args:
            frame: (B, 3, H, W) in [0, 1], the moved frame; H and W multiples of 16.
            equations: of the magnified shift from the reference to it.
            gain: (B, 1, 1, 1), factor − 1.
        """
        features = [self.context[0](F.relu(self.stem(F.pixel_unshuffle(frame * 2 - 1, 4))))]
        for down, block in zip(self.down, list(self.context)[1:], strict=True):
            features.append(block(F.relu(down(features[-1]))))
        fine = [equations.fine]
        for _ in range(3):
            fine.append(F.avg_pool2d(fine[-1], 2, ceil_mode=True))
        coarser, chosen = None, fine[0]
        for i in (3, 2, 1, 0):
            own = [fine[i], equations.coarse[i]] if i < 3 else [fine[i]]
            x, field, chosen = self.levels[i](features[i], own, gain, coarser)
            coarser = x, field
        assert coarser is not None
        return self._field(*coarser, equations.pixels, chosen)

    def _field(self, x: Tensor, field: Tensor, pixels: Tensor, chosen: Tensor) -> Field:
        batch, _, h, w = field.shape
        padded = F.pad(field, (1, 1, 1, 1), mode="replicate")
        near = torch.stack([padded[..., i : i + h, j : j + w] for i in range(3) for j in range(3)], 1)
        # Each pixel is a mean of the 3×3 cells about its own (Teed and Deng, "RAFT", ECCV 2020); here those
        # whose shift # leaves less of the pixels' own change unexplained weigh more.
        logits = self.fine(x).float().view(batch, 9, 4, 4, h, w)
        repeated = near.repeat_interleave(2, 3).repeat_interleave(2, 4)
        misfit = residual(pixels, repeated).view(batch, 9, h, 2, w, 2).permute(0, 1, 3, 5, 2, 4)
        misfit = misfit.repeat_interleave(2, 2).repeat_interleave(2, 3)
        trust = F.softplus(self.trust(x).float() + 1)[:, :, None, None]
        weights = (logits - trust * misfit).softmax(1)
        full = torch.stack([(weights * near[:, :, k, None, None]).sum(1) for k in range(2)], 1)
        full = full.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 4 * h, 4 * w)
        order, background = F.pixel_shuffle(self.drawing(x).float(), 4).clamp(-8, 8).split(1, 1)
        return Field(full, order, background, chosen)
