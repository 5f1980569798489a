"""Motion measurement: registration, displacement, gain, block tracking and spectrum.

The room knows neither the renderers nor the methods and networks that it judges. A user's clip is followed
by ``blocks``, and its frequencies are found by ``spectrum``; both are imported by name alone.
"""

from mm.motion.gain import BANDS, gain_by_frequency, motion_gain
from mm.motion.registration import LocalDisplacement, local_displacement, measure_displacement

__all__ = [
    "BANDS",
    "LocalDisplacement",
    "gain_by_frequency",
    "local_displacement",
    "measure_displacement",
    "motion_gain",
]
