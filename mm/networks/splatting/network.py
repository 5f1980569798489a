"""The splatting network: a displacement field from least squares, and the frame's own pixels moved by it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.errors import InputError
from mm.networks.base import ThreePartNetwork
from mm.networks.splatting.config import SplattingConfig
from mm.networks.splatting.field import Field, FieldNetwork
from mm.networks.splatting.filling import FillingNetwork, draw
from mm.networks.splatting.least_squares import Equations, equations
from mm.runtime import exact_arithmetic, without_autocast

_DEFAULT = SplattingConfig()

#: The factor at which :meth:`SplattingNetwork.displacement` reads motion, within the network's reach for
#: input #: motion of up to 10 px.
READING_FACTOR = 5.0


class Magnified(NamedTuple):
    """A manipulated shape: the equations of a magnified shift, and the number that multiplied it."""

    equations: Equations
    gain: Tensor
    """(B, 1, 1, 1), factor − 1."""


class SplattingNetwork(ThreePartNetwork):
    """Encoder, manipulator and decoder that move a frame's pixels in place of repainting them.

    The encoder passes the frame on: its pixels are both texture and shape. The manipulator reads the shift
    between two frames by least squares at several scales, which is linear in their difference, and
    multiplies it by factor − 1. The decoder cleans these shifts into a displacement field with the help of
    the frame's features, splats the frame's pixels forward along it, and fills what was uncovered.

    Two equal shapes, or a factor of 1, give the frame itself, to the last bit. A frame whose sides are not
    multiples of 16 is continued on its right and bottom by its last pixels, and the decoded frame is cropped
    again.

    Args:
        config: the sizes.
    """

    multiple = 16
    min_side = 16
    has_field = True
    texture_is_shape = True

    def __init__(self, config: SplattingConfig = _DEFAULT) -> None:
        super().__init__(config)
        self.config: SplattingConfig = config
        self.field = FieldNetwork(config)
        self.filling = FillingNetwork(config)

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, 3, H, W), continued to multiples of 16 px, as texture and as shape."""
        height, width = frames.shape[-2:]
        margins = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = F.pad(frames, margins, mode="replicate") if any(margins) else frames
        return padded, padded

    def manipulate(self, shape_a: Tensor, shape_b: Tensor, factor: float | Tensor) -> Magnified:
        """Read the shift between two shapes (B, 3, h, w) in 32 bit, and multiply it by ``factor`` − 1."""
        with without_autocast(shape_b.device):
            gain = torch.as_tensor(factor, dtype=torch.float32, device=shape_b.device) - 1
            gain = gain.expand(len(shape_b)).view(-1, 1, 1, 1)
            return Magnified(equations(shape_a.float(), shape_b.float()).times(gain), gain)

    def decode(
        self, texture: Tensor, manipulated: Magnified, size: tuple[int, int], direction: float | None = None
    ) -> Tensor:
        """Draw the magnified frame; see :meth:`ThreePartNetwork.decode`."""
        return self.draw(texture, manipulated, direction)[0][..., : size[0], : size[1]]

    def draw(
        self, texture: Tensor, manipulated: Magnified, direction: float | None = None
    ) -> tuple[Tensor, Field]:
        """Return the magnified frame (B, 3, h, w), unclamped, and the field that it was drawn by."""
        field = self.field(texture, manipulated.equations, manipulated.gain)
        if direction is not None:
            angle = math.radians(direction)
            along = field.displacement.new_tensor([math.cos(angle), math.sin(angle)]).view(1, 2, 1, 1)
            displacement = (field.displacement * along).sum(1, keepdim=True) * along
            field = field._replace(displacement=displacement)
        drawn, coverage = draw(texture.float(), field)
        repaired = drawn + self.filling(drawn, coverage).float()
        return texture + _opening(manipulated, texture) * (repaired - texture), field

    def magnify_with_field(self, a: Tensor, b: Tensor, factor: float | Tensor) -> tuple[Tensor, Field]:
        """Magnify the motion from ``a`` to ``b``, unchecked and unclamped, and return the field too.

        Args:
            a: (B, 3, H, W) in [0, 1], the reference.
            b: (B, 3, H, W) in [0, 1], the moved frame.
            factor: a number or a tensor (B,).

        Returns:
            the frame (B, 3, H, W), and the field, its displacement (B, 2, H, W): how much farther each pixel
            of ``b`` is carried, px.
        """
        texture, shape = self.encode(b)
        frame, field = self.draw(texture, self.manipulate(self.encode(a)[1], shape, factor))
        height, width = b.shape[-2:]
        moved = field.displacement[..., :height, :width]
        return frame[..., :height, :width], field._replace(displacement=moved)

    @torch.no_grad()
    def displacement(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the displacement from ``a`` to ``b``.

        Args:
            a: (B, 3, H, W), float in [0, 1]: the reference. H and W at least 16 px.
            b: the same shape: the moved frame.

        Returns:
            the displacement of each pixel of ``b`` since ``a`` (B, 2, H, W), px, order (x, y), positive
            right and down; and a confidence (B, 1, H, W) in [0, 1], the share of the estimate that rests on
            measured shifts.

        Raises:
            InputError: as :meth:`checked_pair`, and for frames without a batch.
        """
        batch_a, batch_b = self.checked_pair(a, b)
        if a.ndim != 4:
            raise InputError(f"frames a and b must be of shape (B, 3, H, W), got {tuple(a.shape)}")
        texture, shape = self.encode(batch_b)
        with exact_arithmetic(b.device):
            manipulated = self.manipulate(self.encode(batch_a)[1], shape, READING_FACTOR)
            field = self.field(texture, manipulated.equations, manipulated.gain)
        height, width = b.shape[-2:]
        confidence = F.interpolate(field.confidence, scale_factor=4, mode="bilinear")
        displacement = field.displacement / (READING_FACTOR - 1)
        return displacement[..., :height, :width], confidence[..., :height, :width]

    def values(self, height: int, width: int) -> tuple[int, int]:
        """Return how many numbers texture and shape of a frame of this size have."""
        count = 3 * math.prod(side + -side % self.multiple for side in (height, width))
        return count, count

    def working_bytes(self, height: int, width: int, bytes_per_number: int) -> int:
        """Return about how many bytes decoding a frame takes at once."""
        # Full-resolution planes of fields and weights in 32 bit, and the features at 1/2 of the resolution.
        return height * width * (60 * 4 + 2 * self.config.filling[0] * bytes_per_number)


def _opening(manipulated: Magnified, like: Tensor) -> Tensor:
    """Return the weight of the drawn frame against the input, (B, 1, H, W).

    It is 0 where nothing changes nearby or the factor is 1, and 1 from a magnified change of a grey level on.
    """
    change = F.max_pool2d(manipulated.equations.change, 8, ceil_mode=True)
    change = F.max_pool2d(change, 3, 1, 1)
    return 1 - (F.interpolate(change, size=like.shape[-2:], mode="bilinear") * -2000.0).exp()
