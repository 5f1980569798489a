"""The three-part network: encode two frames, manipulate the difference of their shapes, decode."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mm.networks.base import MIN_SIDE, ThreePartNetwork
from mm.networks.config import NetworkConfig
from mm.networks.decoder import Decoder
from mm.networks.encoder import Encoder
from mm.networks.init import initialise_colours, initialise_he, initialise_linear
from mm.networks.manipulator import LinearManipulator, NonlinearManipulator
from mm.runtime import without_autocast

_PAPER = NetworkConfig.paper()


class MagnificationNetwork(ThreePartNetwork):
    """Encoder, manipulator and decoder of Oh et al. 2018, for frames of any size of at least 8 px a side.

    Convention: frames are (B, 3, H, W), RGB, float in [0, 1], whatever range the network uses inside. A
    frame whose sides are not multiples of 4 is continued by reflection on its right and bottom, once, and
    the decoded frame is cropped again: pixel (x, y) of the output belongs to pixel (x, y) of the input.

    ``encode``, ``manipulate``, ``amplify`` and ``decode`` check nothing and take no decision from values, so
    they can be compiled and exported; :meth:`magnify_pair` is the one that checks.

    Args:
        config: the architecture.

    Attributes:
        config: the architecture.
        card: what is known of the weights (data, scores, limits); empty until weights are loaded.
    """

    # Two stride-2 steps.
    multiple = 4
    # Reflection reaches as far as convolutions do: at 8 px the texture is 2 px wide and padded by 1, the
    # shape 4 px wide # and padded by at most 3.
    min_side = MIN_SIDE

    def __init__(self, config: NetworkConfig = _PAPER) -> None:
        super().__init__(config)
        self.config: NetworkConfig = config
        self.encoder = Encoder(config)
        self.manipulator: LinearManipulator | NonlinearManipulator = (
            LinearManipulator() if config.manipulator == "linear" else NonlinearManipulator(config)
        )
        self.decoder = Decoder(config)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial parameters anew, by ``config.initialisation``, from torch's global generator."""
        initialise_he(self)
        if self.config.initialisation == "linear-start":
            initialise_colours(self.encoder, self.decoder)
            if isinstance(self.manipulator, NonlinearManipulator):
                initialise_linear(self.manipulator)

    def encode(self, frames: Tensor, shapes: int | None = None) -> tuple[Tensor, Tensor]:
        """Encode frames of any size.

        Args:
            frames: (B, 3, H, W) in [0, 1], H and W at least 8 px.
            shapes: of how many frames at most, from the first on, the shape is wanted; None for all.

        Returns:
            texture (B, channels, h/4, w/4) and shape (B or ``shapes``, channels, h/2, w/2), where h and w
            are H and W rounded up to multiples of 4.
        """
        height, width = frames.shape[-2:]
        frames = F.pad(frames, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")
        if self.config.input_range == "signed":
            frames = frames * 2 - 1
        # In bfloat16 a motion of 0.01 px is lost in the rounding of the shapes: half of it was shown.
        with without_autocast(frames.device):
            return self.encoder(frames, shapes)

    def amplify(self, shape: Tensor, difference: Tensor, gain: float | Tensor) -> Tensor:
        """Add a multiple of a difference to a shape, through the manipulator.

        What :meth:`manipulate` and the temporal mode (Oh et al. 2018, equation 4) have in common: there the
        difference is a temporal band of the shape and the gain is α.

        Args:
            shape: (B, channels, h, w).
            difference: (B, channels, h, w).
            gain: of the difference, a number of any sign or a tensor (B,); 0 returns ``shape`` exactly.

        Returns:
            (B, channels, h, w).
        """
        if isinstance(gain, Tensor):
            gain = gain.view(-1, 1, 1, 1)
        with without_autocast(shape.device):
            return shape + self.manipulator(difference, gain)

    def manipulate(self, shape_a: Tensor, shape_b: Tensor, factor: float | Tensor) -> Tensor:
        """Multiply the motion from one shape to another (Oh et al. 2018, equations 2 and 3).

        A factor of 1 gives ``shape_b`` exactly, and two equal shapes give that shape exactly. With
        ``anchor="a"`` the first is not so by construction, as M_a + h(1·g(M_b − M_a)) only learns to be M_b;
        there ``shape_b`` is put in its place in evaluation mode, and not in training, where that would take
        the gradient away.

        Args:
            shape_a: (B, channels, h, w), the reference's.
            shape_b: (B, channels, h, w), the moved frame's.
            factor: total gain of the displacement, ≥ 0; a number or a tensor (B,).

        Returns:
            (B, channels, h, w).
        """
        if self.config.anchor == "b":
            return self.amplify(shape_b, shape_b - shape_a, factor - 1)
        moved = self.amplify(shape_a, shape_b - shape_a, factor)
        if self.training:
            return moved
        return torch.where(
            torch.as_tensor(factor == 1, device=moved.device).view(-1, 1, 1, 1), shape_b, moved
        )

    def decode(
        self, texture: Tensor, shape: Tensor, size: tuple[int, int], direction: float | None = None
    ) -> Tensor:
        """Decode into a frame.

        Args:
            texture: (B, channels, h/4, w/4).
            shape: (B, channels, h/2, w/2).
            size: (H, W) of the frame that was encoded.
            direction: None; this network has no displacement field.

        Returns:
            (B, 3, H, W), nominally in [0, 1], unclamped (unless ``config.clip_output``).
        """
        frames = self.decoder(texture, shape)[..., : size[0], : size[1]]
        # Out of autocast's 8 bits before the last arithmetic, which would round a second time.
        frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
        if self.config.input_range == "signed":
            frames = (frames + 1) / 2
        return frames.clamp(0, 1) if self.config.clip_output else frames

    def values(self, height: int, width: int) -> tuple[int, int]:
        """Return how many numbers texture and shape of a frame of this size have."""
        area = self.config.channels * math.prod(side + -side % self.multiple for side in (height, width))
        return area // 16, area // 4

    def working_bytes(self, height: int, width: int, bytes_per_number: int) -> int:
        """Return about how many bytes decoding a frame takes, most of them at full resolution.

        Measured on a CPU in 32 bit: 1150 to 1390 bytes a px with the paper's 32 channels, at sizes from
        480×270 to 1920×1080 px.
        """
        # Twice as many channels as a representation has: padded, convolved, and the tensors beside them.
        return height * width * 5 * bytes_per_number * 2 * self.config.channels
