"""Linear kernels that approximate the encoder's responses (Oh et al. 2018, Figure 9).

A grey pixel of a picture is made a little brighter and a little darker, and half of the difference of the
two encodings, over the step, is the response to an impulse there. Averaged over many places in many pictures
it is a linear kernel that is near to the channel. The encodings are coarser than the picture; impulses at
every place within a step of theirs give the kernel at the picture's resolution.

A kernel's quality is the share of the channel's variance over the pictures that its response explains: their
squared correlation, 1 for a linear channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import BASELINE, Candidate
from mm.evaluation.figures import draw_kernels
from mm.evaluation.runner import Advance, Conditions, silent
from mm.evaluation.scene_spec import Pictures, picture
from mm.evaluation.tables import Table, csv_text
from mm.runtime import exact_arithmetic

Part = Literal["texture", "shape"]
STEPS: dict[Part, int] = {"texture": 4, "shape": 2}  # px of the picture per sample of the encoding
PLACES = max(STEPS.values()) ** 2  # of the impulses, one after the other
REACH = 16  # px of the kernel on each side of its middle
SPACING = 80  # px between impulses: farther than two encoders see
STEP = 0.02  # of the impulse, in [0, 1] units
SIZE = 2 * SPACING  # px, side of the pictures


@dataclass(frozen=True)
class Kernels:
    """The kernels of one part of an encoder.

    Attributes:
        part: "texture" or "shape".
        weights: (C, L, L), L = 2 · REACH + 1, a convolution kernel: [REACH + dy, REACH + dx] weighs the pixel
            that lies dy rows and dx columns before the sample.
        explained: (C,) share of the channel's variance, in [0, 1]; NaN for a channel that is constant.
    """

    part: Part
    weights: Tensor
    explained: Tensor

    def best(self, count: int) -> list[int]:
        """Return the channels that their kernel describes best, the best first."""
        return self.explained.nan_to_num(-torch.inf).argsort(descending=True)[:count].tolist()


Found = Mapping[str, Mapping[Part, Kernels]]


class EncoderKernels:
    """The kernels of each network's encoder, on pieces of photographs.

    Args:
        pictures: of the photographs.
        size: not used, the pictures have their own.
    """

    name = "kernels"

    def __init__(self, pictures: Pictures, size: tuple[int, int] = (SIZE, SIZE)) -> None:
        self.pictures = pictures

    def steps(self, candidates: Sequence[Candidate], conditions: Conditions) -> int:
        """Return how often :meth:`run` advances.

        Raises:
            InputError: for a candidate that has no network.
        """
        for candidate in candidates:
            if candidate.network is None and candidate.name != BASELINE:
                raise InputError(f"the method {candidate.name!r} has no encoder to measure; leave it out")
        return PLACES * sum(candidate.network is not None for candidate in candidates)

    def run(
        self, candidates: Sequence[Candidate], conditions: Conditions, advance: Advance = silent
    ) -> dict[str, dict[Part, Kernels]]:
        """Measure each network; return its kernels by the parts of its encoder."""
        shown = kernel_pictures(self.pictures, conditions.seed, conditions.count).to(conditions.device)
        return {
            each.name: measure_kernels(each.network.encode, shown, advance)
            for each in candidates
            if each.network is not None
        }

    def write(self, folder: Path, found: Found) -> list[str]:
        """Write the share of variance explained, the kernels as arrays, and their picture."""
        lines = (
            (name, part, channel, value)
            for name, parts in found.items()
            for part, kernels in parts.items()
            for channel, value in enumerate(kernels.explained.tolist())
        )
        table = csv_text(("method", "part", "channel", "explained"), lines)
        (folder / "kernels.csv").write_text(table, encoding="utf-8")
        arrays: dict[str, Any] = {
            f"{name}.{part}": kernels.weights.numpy()
            for name, parts in found.items()
            for part, kernels in parts.items()
        }
        np.savez_compressed(folder / "kernels.npz", **arrays)
        draw_kernels(folder / "kernels.png", found)
        return ["kernels.csv", "kernels.npz", "kernels.png"]

    def tables(self, found: Found) -> Iterator[Table]:
        """Yield one table: the median channel, and the best ones."""
        lines = [
            (
                name,
                part,
                f"{100 * float(kernels.explained.nanmedian()):.0f} %",
                ", ".join(f"{i} ({100 * float(kernels.explained[i]):.0f} %)" for i in kernels.best(4)),
            )
            for name, parts in found.items()
            for part, kernels in parts.items()
        ]
        yield Table("", ["method", "part", "variance explained: median", "best channels"], lines, text=4)

    def notes(self, found: Found) -> tuple[str, ...]:
        """Return no lines."""
        return ()


@torch.no_grad()
def measure_kernels(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    pictures: Tensor,
    advance: Callable[[], None] = lambda: None,
) -> dict[Part, Kernels]:
    """Measure the kernels of an encoder, in float32 also where a GPU would round products to 11 bits.

    Args:
        encode: (B, 3, H, W) -> texture (B, C, H/4, W/4) and shape (B, C, H/2, W/2).
        pictures: (B, 3, S, S) in [0, 1], S a multiple of :data:`SPACING`; only their luminance is used.
        advance: called once for each of the 16 places of the impulses.

    Raises:
        InputError: for pictures of another size.
    """
    side = pictures.shape[-1]
    if pictures.shape[-2] != side or side % SPACING:
        raise InputError(
            f"pictures must be square, with sides of a multiple of {SPACING} px, "
            f"got {pictures.shape[-1]}×{pictures.shape[-2]} px"
        )
    # A response is a small difference of two large encodings.
    with exact_arithmetic(pictures.device):
        return _measured(encode, pictures, advance)


def _measured(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]], pictures: Tensor, advance: Callable[[], None]
) -> dict[Part, Kernels]:
    side = pictures.shape[-1]
    # Room for the impulse on both sides.
    grey = pictures.mean(1, keepdim=True).clamp(STEP, 1 - STEP).expand(-1, 3, -1, -1)
    centres = range(SPACING // 2, side, SPACING)
    parts: tuple[Part, ...] = ("texture", "shape")
    plain = dict(zip(parts, encode(grey), strict=True))
    sums = {part: _empty(plain[part].shape[1]).to(grey) for part in parts}
    counts = {part: _empty(1).to(grey) for part in parts}
    finest = max(STEPS.values())
    for down in range(finest):
        for across in range(finest):
            impulse = torch.zeros_like(grey[:1])
            for y in centres:
                for x in centres:
                    impulse[..., y + down, x + across] = STEP
            for part, up, low in zip(parts, encode(grey + impulse), encode(grey - impulse), strict=True):
                response = ((up - low) / (2 * STEP)).mean(0)
                _gather(sums[part], counts[part], response, STEPS[part], centres, down, across)
            advance()
    found: dict[Part, Kernels] = {}
    for part in parts:
        weights = sums[part] / counts[part]
        found[part] = Kernels(
            part, weights.cpu(), _explained(weights, grey[:, :1], plain[part], STEPS[part]).cpu()
        )
    return found


def kernel_pictures(pictures: Pictures, seed: int, count: int) -> Tensor:
    """Return (count, 3, SIZE, SIZE): pieces of photographs, to measure kernels on."""
    contents = (picture(pictures, SIZE, SIZE, seed, index, 0.0) for index in range(count))
    return torch.stack(
        [c.background[:, c.margin : -c.margin, c.margin : -c.margin].float().clamp(0, 1) for c in contents]
    )


def _empty(channels: int) -> Tensor:
    return torch.zeros(channels, 2 * REACH + 1, 2 * REACH + 1)


def _gather(
    sums: Tensor, counts: Tensor, response: Tensor, step: int, centres: range, down: int, across: int
) -> None:
    """Add the response (C, h, w) to impulses at centre + (down, across) to the kernels' taps."""
    samples = torch.arange(-(REACH // step), (REACH + max(STEPS.values())) // step + 1, device=sums.device)

    def seen(phase: int) -> tuple[Tensor, Tensor]:
        # The sample at centre + step · n sees the impulse step · n − phase pixels before itself.
        taps = step * samples - phase
        within = taps.abs() <= REACH
        return samples[within], taps[within] + REACH

    (rows, row_taps), (columns, column_taps) = seen(down), seen(across)
    for y in centres:
        for x in centres:
            part = response[:, y // step + rows][:, :, x // step + columns]
            sums[:, row_taps[:, None], column_taps] += part
            counts[:, row_taps[:, None], column_taps] += 1


def _explained(weights: Tensor, grey: Tensor, encoded: Tensor, step: int) -> Tensor:
    """Return (C,) the share of each channel's variance over the pictures that its kernel explains."""
    inside = SPACING // 4 // step
    padded = F.pad(grey, (REACH, REACH, REACH, REACH), mode="reflect")
    predicted = F.conv2d(padded, weights.flip(-2, -1)[:, None], stride=step)
    # What the frame's rim does to an encoding is not the channel's.
    predicted, encoded = (
        each[..., inside:-inside, inside:-inside].transpose(0, 1).flatten(1) for each in (predicted, encoded)
    )
    # A channel that saturates answers a small impulse more strongly than a large edge: how strongly is left
    # open.
    predicted, encoded = (each - each.mean(1, keepdim=True) for each in (predicted, encoded))
    both = (predicted * encoded).sum(1)
    return both.square() / (predicted.square().sum(1) * encoded.square().sum(1))
