"""The learning rate over the steps of a run."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine"]


def rate_fraction(
    step: int, schedule: Schedule, *, warmup_steps: int = 0, total_steps: int = 0, final_fraction: float = 0.0
) -> float:
    """Return the learning rate of one optimiser step as a fraction of its peak.

    Args:
        step: the step, from 0.
        schedule: what follows the warm-up: ``constant`` (the paper), or ``cosine``, which falls along half a
            cosine from 1 to ``final_fraction`` at ``total_steps`` and stays there.
        warmup_steps: steps over which the rate rises linearly; step 0 already has 1 / ``warmup_steps``.
        total_steps: the length of the run in steps, of use to ``cosine`` only.
        final_fraction: the fraction that ``cosine`` ends at, in [0, 1].
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    span = max(1, total_steps - warmup_steps)
    progress = min(1.0, (step - warmup_steps) / span)
    return final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress))
