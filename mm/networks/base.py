"""The contract of a magnification network: encode two frames, manipulate, decode."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mm.errors import InputError
from mm.runtime import exact_arithmetic

# The smallest frame, in px, that any method takes.
MIN_SIDE = 8


class ThreePartNetwork(nn.Module, ABC):
    """Encoder, manipulator and decoder (Oh et al. 2018, section 3), for frames of any size.

    Convention: frames are (B, 3, H, W), RGB, float in [0, 1]. An encoder turns each frame into a texture,
    which is drawn, and a shape, in which motion is read; a temporal filter may act on shapes. A manipulator
    reads the motion between two shapes and magnifies it; a decoder draws the magnified frame.

    ``encode``, ``manipulate`` and ``decode`` check nothing and take no decision from values, so they can be
    compiled and exported; :meth:`magnify_pair` is the one that checks.

    Attributes:
        config: the architecture.
        card: facts about the weights (data, scores, limits); empty until weights are loaded.
        multiple: sides inside the network are multiples of it, px.
        min_side: the smallest frame, px.
        has_field: whether the network estimates a displacement field: then it takes a ``direction``, and has
            ``displacement``.
        texture_is_shape: whether both are the same numbers, so that a stream keeps them once.
    """

    multiple: ClassVar[int]
    min_side: ClassVar[int]
    has_field: ClassVar[bool] = False
    texture_is_shape: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}

    @abstractmethod
    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Encode frames of any size.

        Args:
            frames: (B, 3, H, W) in [0, 1], H and W at least ``min_side``.

        Returns:
            texture and shape, (B, …) each.
        """

    @abstractmethod
    def manipulate(self, shape_a: Tensor, shape_b: Tensor, factor: float | Tensor) -> Any:
        """Magnify the motion from one shape to another.

        Args:
            shape_a: the reference's, (B, …).
            shape_b: the moved frame's, of the same shape.
            factor: total gain of the displacement, ≥ 0; a number or a tensor (B,).

        Returns:
            what ``decode`` takes.
        """

    @abstractmethod
    def decode(
        self, texture: Tensor, manipulated: Any, size: tuple[int, int], direction: float | None = None
    ) -> Tensor:
        """Draw the magnified frame.

        Args:
            texture: the moved frame's.
            manipulated: by ``manipulate``.
            size: (H, W) of the frame that was encoded.
            direction: degrees from right to down, along which alone motion is magnified; None for every
            direction.
                Only a network with ``has_field`` takes one.

        Returns:
            (B, 3, H, W), nominally in [0, 1], unclamped.
        """

    @abstractmethod
    def values(self, height: int, width: int) -> tuple[int, int]:
        """Return how many numbers texture and shape of a frame of this size have."""

    @abstractmethod
    def working_bytes(self, height: int, width: int, bytes_per_number: int) -> int:
        """Return about how many bytes decoding a frame of this size takes at once."""

    def forward(self, a: Tensor, b: Tensor, factor: float | Tensor, direction: float | None = None) -> Tensor:
        """Magnify the motion from ``a`` to ``b``, unchecked and unclamped.

        Args:
            a: (B, 3, H, W) in [0, 1], the reference.
            b: (B, 3, H, W) in [0, 1], the moved frame.
            factor: a number or a tensor (B,).
            direction: see :meth:`decode`.

        Returns:
            (B, 3, H, W), nominally in [0, 1].
        """
        # One call a frame, not one of a batch of both: equal frames then give equal shapes to the last bit,
        # whatever the backend makes of a sample's place in the batch.
        _, shape_a = self.encode(a)
        texture_b, shape_b = self.encode(b)
        manipulated = self.manipulate(shape_a, shape_b, factor)
        return self.decode(texture_b, manipulated, (b.shape[-2], b.shape[-1]), direction)

    def reconstruct(self, frames: Tensor) -> Tensor:
        """Encode and decode frames, clamped: the result of any pair at a factor of 1.

        Args:
            frames: (B, 3, H, W) or (3, H, W) in [0, 1].

        Returns:
            the same shape, in [0, 1].

        Raises:
            InputError: as :meth:`magnify_pair`.
        """
        return self.magnify_pair(frames, frames, 1.0)

    @torch.no_grad()
    def magnify_pair(
        self, a: Tensor, b: Tensor, factor: float | Tensor = 10.0, direction: float | None = None
    ) -> Tensor:
        """Magnify the motion from ``a`` to ``b``.

        Args:
            a: (B, 3, H, W) or (3, H, W), float in [0, 1]: the reference. H and W at least ``min_side``.
            b: the same shape: the moved frame.
            factor: total gain of the displacement, ≥ 0: 1 gives ``b``'s own reconstruction, below 1
                attenuates. A number, or a tensor (B,).
            direction: degrees from right to down; motion across it stays as it is. None magnifies every
            direction.

        Returns:
            the same shape, in [0, 1], in the network's precision (float32; neither autocast nor
            TensorFloat-32 shortens it).

        Raises:
            InputError: for a factor that is negative, NaN or infinite; a direction that is not finite, or
            that the
                network cannot take; for frames of different or unusable
                shapes, not floating point, not finite, outside [0, 1], or on another device than the network.
        """
        batch_a, batch_b = self.checked_pair(a, b)
        check_factor(factor, len(batch_a))
        self.check_direction(direction)
        if isinstance(factor, Tensor):
            factor = factor.to(batch_a.device, batch_a.dtype)
        with exact_arithmetic(batch_a.device):
            return self(batch_a, batch_b, factor, direction).clamp(0, 1).view(a.shape)

    def _at_home(self, frames: Tensor) -> Tensor:
        """Frames in the network's precision; those on another device are refused."""
        home = next(self.parameters())
        if frames.device != home.device:
            raise InputError(
                f"the frames are on {frames.device}, the network on {home.device}; move one with .to()"
            )
        return frames.to(home.dtype)

    def checked_pair(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return two frames as batches (B, 3, H, W) in the network's precision.

        Raises:
            InputError: for frames of different or unusable shapes, not floating point, not finite, outside
            [0, 1],
                or on another device than the network.
        """
        check_frames(a, "frame a", self.min_side)
        check_frames(b, "frame b", self.min_side)
        if a.shape != b.shape:
            raise InputError(
                f"frames a and b must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}; "
                "crop or scale one"
            )
        batch_a, batch_b = (self._at_home(frame if frame.ndim == 4 else frame[None]) for frame in (a, b))
        return batch_a, batch_b

    def check_direction(self, direction: float | None) -> None:
        """Raise InputError for a direction that is not finite, or that this network cannot take."""
        if direction is None:
            return
        if not self.has_field:
            raise InputError(
                "these weights have no displacement field to project on a direction; choose others, "
                "such as splat, or leave the direction out"
            )
        if not math.isfinite(direction):
            raise InputError(f"direction must be a finite angle in degrees, got {direction:g}")


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


def check_frames(frames: Tensor, what: str, min_side: int = MIN_SIDE) -> None:
    """Raise InputError unless ``frames`` can be encoded: shape, size, type and range."""
    if frames.ndim not in (3, 4) or frames.shape[-3] != 3:
        raise InputError(f"{what} must be of shape (B, 3, H, W) or (3, H, W), got {tuple(frames.shape)}")
    if min(frames.shape[-2:]) < min_side:
        raise InputError(
            f"{what} must be at least {min_side} px high and wide, "
            f"got {frames.shape[-2]}×{frames.shape[-1]} px (height × width)"
        )
    if not frames.is_floating_point():
        raise InputError(
            f"{what} must be floating point in [0, 1], got {frames.dtype}; divide 8-bit frames by 255"
        )
    if frames.numel():
        # One pass: NaN comes through a minimum.
        low, high = (float(value) for value in frames.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError(f"{what} must be finite, got NaN or infinite values")
        # Half an 8-bit step of slack: resampled frames overshoot by rounding, 0…255 frames by far more.
        if low < -0.5 / 255 or high > 1 + 0.5 / 255:
            raise InputError(f"{what} must be in [0, 1], got values from {low:g} to {high:g}")
