"""The three-part network: encode two frames, manipulate the difference of their shapes, decode."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm.errors import InputError
from mm.networks.config import NetworkConfig
from mm.networks.decoder import Decoder
from mm.networks.encoder import Encoder
from mm.networks.init import initialise_colours, initialise_he, initialise_linear
from mm.networks.manipulator import LinearManipulator, NonlinearManipulator
from mm.runtime import exact_arithmetic

# Two stride-2 steps: sizes inside the network are multiples of 4.
MULTIPLE = 4
# The smallest frame, in px, whose representations can be reflected as far as convolutions reach: at 8 px the
# texture is 2 px wide and padded by 1, the shape 4 px wide and padded by at most 3.
MIN_SIDE = 8

_PAPER = NetworkConfig.paper()


class MagnificationNetwork(nn.Module):
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

    def __init__(self, config: NetworkConfig = _PAPER) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
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
        frames = F.pad(frames, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="reflect")
        if self.config.input_range == "signed":
            frames = frames * 2 - 1
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

    def decode(self, texture: Tensor, shape: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode into a frame.

        Args:
            texture: (B, channels, h/4, w/4).
            shape: (B, channels, h/2, w/2).
            size: (H, W) of the frame that was encoded.

        Returns:
            (B, 3, H, W), nominally in [0, 1], unclamped (unless ``config.clip_output``).
        """
        frames = self.decoder(texture, shape)[..., : size[0], : size[1]]
        # Out of autocast's 8 bits before the last arithmetic, which would round a second time.
        frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
        if self.config.input_range == "signed":
            frames = (frames + 1) / 2
        return frames.clamp(0, 1) if self.config.clip_output else frames

    def forward(self, a: Tensor, b: Tensor, factor: float | Tensor) -> Tensor:
        """Magnify the motion from ``a`` to ``b``, unchecked and unclamped.

        Args:
            a: (B, 3, H, W) in [0, 1], the reference.
            b: (B, 3, H, W) in [0, 1], the moved frame.
            factor: a number or a tensor (B,).

        Returns:
            (B, 3, H, W), nominally in [0, 1].
        """
        # One call a frame, not one of a batch of both: equal frames then give equal shapes to the last bit,
        # whatever the backend makes of a sample's place in the batch.
        _, shape_a = self.encode(a)
        texture_b, shape_b = self.encode(b)
        return self.decode(texture_b, self.manipulate(shape_a, shape_b, factor), (b.shape[-2], b.shape[-1]))

    @torch.no_grad()
    def reconstruct(self, frames: Tensor) -> Tensor:
        """Encode and decode frames with nothing in between, clamped: what any pair gives at a factor of 1.

        Args:
            frames: (B, 3, H, W) or (3, H, W) in [0, 1].

        Returns:
            the same shape, in [0, 1].

        Raises:
            InputError: as :meth:`magnify_pair`.
        """
        check_frames(frames, "frames")
        batch = self._at_home(frames if frames.ndim == 4 else frames[None])
        texture, shape = self.encode(batch)
        return (
            self.decode(texture, shape, (frames.shape[-2], frames.shape[-1])).clamp(0, 1).view(frames.shape)
        )

    @torch.no_grad()
    def magnify_pair(self, a: Tensor, b: Tensor, factor: float | Tensor = 10.0) -> Tensor:
        """Magnify the motion from ``a`` to ``b``.

        Args:
            a: (B, 3, H, W) or (3, H, W), float in [0, 1]: the reference. H and W at least 8 px.
            b: the same shape: the moved frame.
            factor: total gain of the displacement, ≥ 0: 1 gives ``b``'s own reconstruction, below 1
                attenuates. A number, or a tensor (B,).

        Returns:
            the same shape, in [0, 1], in the network's precision (float32; neither autocast nor
            TensorFloat-32 shortens it).

        Raises:
            InputError: for a factor that is negative, NaN or infinite; for frames of different or unusable
                shapes, not floating point, not finite, outside [0, 1], or on another device than the network.
        """
        check_frames(a, "frame a")
        check_frames(b, "frame b")
        if a.shape != b.shape:
            raise InputError(
                f"frames a and b must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}; "
                "crop or scale one"
            )
        batch_a, batch_b = (self._at_home(frame if frame.ndim == 4 else frame[None]) for frame in (a, b))
        check_factor(factor, len(batch_a))
        if isinstance(factor, Tensor):
            factor = factor.to(batch_a.device, batch_a.dtype)
        with exact_arithmetic(batch_a.device):
            return self(batch_a, batch_b, factor).clamp(0, 1).view(a.shape)

    def _at_home(self, frames: Tensor) -> Tensor:
        """Frames in the network's precision; those on another device are refused."""
        home = next(self.parameters())
        if frames.device != home.device:
            raise InputError(
                f"the frames are on {frames.device}, the network on {home.device}; move one with .to()"
            )
        return frames.to(home.dtype)


def check_factor(factor: float | Tensor, batch: int) -> None:
    """Raise InputError unless ``factor`` is finite, at least 0, and one number or one a sample."""
    if isinstance(factor, Tensor) and (factor.ndim > 1 or factor.numel() not in (1, batch)):
        raise InputError(
            f"factor must be one number or one for each of the {batch} frames, "
            f"got a tensor of shape {tuple(factor.shape)}"
        )
    for value in factor.flatten().tolist() if isinstance(factor, Tensor) else [factor]:
        if not (math.isfinite(value) and value >= 0):
            raise InputError(
                f"factor must be a finite number of at least 0 (1 keeps motion as it is), got {value:g}"
            )


def check_frames(frames: Tensor, what: str) -> None:
    """Raise InputError unless ``frames`` can be encoded: shape, size, type and range."""
    if frames.ndim not in (3, 4) or frames.shape[-3] != 3:
        raise InputError(f"{what} must be of shape (B, 3, H, W) or (3, H, W), got {tuple(frames.shape)}")
    if min(frames.shape[-2:]) < MIN_SIDE:
        raise InputError(
            f"{what} must be at least {MIN_SIDE} px high and wide, "
            f"got {frames.shape[-2]}×{frames.shape[-1]} px (height × width)"
        )
    if not frames.is_floating_point():
        raise InputError(
            f"{what} must be floating point in [0, 1], got {frames.dtype}; divide 8-bit frames by 255"
        )
    if not bool(frames.isfinite().all()):
        raise InputError(f"{what} must be finite, got NaN or infinite values")
    if frames.numel():
        low, high = (float(value) for value in frames.aminmax())
        # Half an 8-bit step of slack: resampled frames overshoot by rounding, 0…255 frames by far more.
        if low < -0.5 / 255 or high > 1 + 0.5 / 255:
            raise InputError(f"{what} must be in [0, 1], got values from {low:g} to {high:g}")
