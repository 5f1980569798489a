"""Float32 arithmetic at float32 precision, whatever the training's settings; where bfloat16 is slow.

A motion of 0.01 px at column 400 is one part in 40 000, for which float32 has the bits (24) and nothing
shorter: a trainer's mixed precision would round to 8 or 11 bits, TensorFloat-32 products to 11, and "medium"
matrix precision on a CPU to 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Within this context, products and convolutions of float32 on ``device`` are done in float32."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(_exact_products())
        stack.enter_context(_exact_convolutions())
        yield


def bf16_in_software(device: torch.device) -> bool:
    """Say whether ``device`` is known to have no bfloat16 arithmetic, so that torch imitates it.

    A training step then takes about ten times as long as in 32 bits, a frame of ``mm magnify`` thirty times.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or capabilities is None:
        return False
    known = capabilities()
    return known.get("architecture") == "x86_64" and not (known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def _exact_products() -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Set through the interface that torch 2.9 added; torch then refuses the older one.
        backends: Any = torch.backends
        with _ieee(backends.cuda.matmul), _ieee(backends.mkldnn.matmul):
            yield
        return
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        with _ieee(cudnn.conv):
            yield
        return
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@contextmanager
def _ieee(owner: Any) -> Iterator[None]:
    before = owner.fp32_precision
    owner.fp32_precision = "ieee"
    try:
        yield
    finally:
        owner.fp32_precision = before
