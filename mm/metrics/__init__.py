"""Measures of motion; the room knows nothing of the renderer or of the network that it judges."""

from mm.metrics.displacement import LocalDisplacement, local_displacement, measure_displacement
from mm.metrics.frequency import BANDS, gain_by_frequency
from mm.metrics.gain import motion_gain

__all__ = [
    "BANDS",
    "LocalDisplacement",
    "gain_by_frequency",
    "local_displacement",
    "measure_displacement",
    "motion_gain",
]
