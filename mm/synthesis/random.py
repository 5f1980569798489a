"""Random numbers that are a function of (sample seed, purpose, position) and of nothing else.

A stateful generator would make a sample depend on its place in the batch, on the batch size and on the rank
(after ``seed_everything`` all ranks draw the same numbers on the device). Here each number is the hash of a
counter, computed for the whole batch at once on its device.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

# Multipliers and shifts of a 32-bit finaliser with low bias (C. Wellons, "Prospecting for hash functions",
# 2018), the second multiplier written as a signed 32-bit number.
_SHIFT_1, _FACTOR_1, _SHIFT_2, _FACTOR_2, _SHIFT_3 = 16, 0x7FEB352D, 15, 0x846CA68B - (1 << 32), 16


def _xor_shift_(x: Tensor, shift: int) -> Tensor:
    # int32 shifts keep the sign: the mask makes the shift a logical one.
    return x.bitwise_xor_((x >> shift).bitwise_and_((1 << (32 - shift)) - 1))


def _mix_(x: Tensor) -> Tensor:
    """Scramble int32 values in place; a bijection of the 32-bit integers."""
    _xor_shift_(x, _SHIFT_1).mul_(_FACTOR_1)
    _xor_shift_(x, _SHIFT_2).mul_(_FACTOR_2)
    return _xor_shift_(x, _SHIFT_3)


class SampleRandom:
    """Random numbers for a batch, one independent family a sample.

    Args:
        seed: (B,) int64, one seed a sample, on the device on which numbers are wanted.
    """

    def __init__(self, seed: Tensor) -> None:
        low = (seed & 0x7FFFFFFF).to(torch.int32)
        high = ((seed >> 31) & 0x7FFFFFFF).to(torch.int32)
        # Two keys, each of all bits of the seed: with one of 32 bits, about one pair among 100,000 samples
        # would have the same numbers.
        self._key = _mix_(low ^ _mix_(high.clone()))
        self._second_key = _mix_(high ^ _mix_(low + 0x3C6EF372))

    def _bits(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        stream = zlib.crc32(purpose.encode()) & 0x7FFFFFFF
        count = math.prod(shape)
        first, second = _mix_(self._key ^ stream), _mix_(self._second_key ^ stream)
        counter = torch.arange(count, dtype=torch.int32, device=self._key.device)
        # Two keyed scrambles: with one, streams whose keys differ by a small number would be shifted copies.
        bits = _mix_(counter[None, :] + first[:, None])
        bits = _mix_(bits.bitwise_xor_(second[:, None]))
        return bits.view(self._key.shape[0], *shape)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Return (B, *shape) float32 in [0, 1), the same for the same seed, purpose and shape."""
        return ((self._bits(purpose, shape) >> 8) & 0xFFFFFF).to(torch.float32).mul_(2.0**-24)

    def between(self, purpose: str, low: float, high: float, *shape: int) -> Tensor:
        """Return (B, *shape) float32, uniform in [low, high)."""
        return self.uniform(purpose, *shape).mul_(high - low).add_(low)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Return (B, *shape) float32 of the standard normal distribution (Box–Muller)."""
        count = math.prod(shape)
        half = (count + 1) // 2
        pair = self.uniform(purpose, 2, half)
        # 1 − u is in (0, 1], so that the logarithm is finite.
        radius = (1.0 - pair[:, 0]).log_().mul_(-2.0).sqrt_()
        angle = pair[:, 1] * (2.0 * math.pi)
        both = torch.cat((radius * angle.cos(), radius * angle.sin()), dim=1)
        return both[:, :count].reshape(self._key.shape[0], *shape)
