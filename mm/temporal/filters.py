"""The filters that a user can name."""

from __future__ import annotations

import torch

from mm.errors import InputError
from mm.temporal.band import Band
from mm.temporal.base import TemporalFilter
from mm.temporal.design import butterworth, first_order_difference, windowed
from mm.temporal.ideal import IdealFilter
from mm.temporal.streaming import StreamingFilter

#: name → what it is. All but the two causal ones are in step with their input.
FILTERS = {
    "butter": "Butterworth, forward and backward: zero phase, steep, looks ahead a period of the low edge",
    "iir": "difference of two first-order low-passes, forward and backward: zero phase, gentle slopes",
    "fir": "windowed linear-phase FIR, its delay compensated: zero phase, length as wished",
    "ideal": "the Fourier components of the band: zero phase, holds the whole clip",
    "butter-causal": "Butterworth: no look-ahead, but the output lags or leads within the band",
    "iir-causal": "difference of two first-order low-passes (Wu et al. 2012): no look-ahead, lags or leads",
}

_LAG = "causal, lags or leads within the band"


def make_filter(
    name: str,
    low: float,
    high: float,
    fps: float,
    *,
    order: int | None = None,
    taps: int | None = None,
    storage: torch.dtype | None = None,
) -> TemporalFilter:
    """Make the band-pass called ``name``.

    =================  ==================  =========================  =====================================
    name               phase               gain at the edges          frames held
    =================  ==================  =========================  =====================================
    ``butter``         zero                −3 dB                      look-ahead, about 1.2 fps / low, more
                                                                      for a band narrower than low
    ``iir``            zero                shallow; 1 at √(low·high)  look-ahead, about 0.8 fps / low
    ``fir``            zero                −6 dB                      ``taps``, by default 2 fps / low, more
                                                                      for a band narrower than 2 low
    ``ideal``          zero                steps from 1 to 0          the whole clip, twice
    ``butter-causal``  0 at √(low·high)    −3 dB                      none (a state of 2·order frames)
    ``iir-causal``     0 near √(low·high)  shallow; 1 at √(low·high)  none (a state of 2 frames)
    =================  ==================  =========================  =====================================

    Args:
        name: a key of :data:`FILTERS`.
        low: lower edge, Hz.
        high: upper edge, Hz.
        fps: capture rate, frames a second.
        order: of the Butterworth filters: 2 (default), 4, 6 or 8.
        taps: of ``fir``: its length in frames, see :func:`mm.temporal.design.windowed`.
        storage: dtype in which frames wait, see :class:`mm.temporal.TemporalFilter`.

    Raises:
        InputError: for an unknown name, a band that the rate cannot hold, an option that the filter has not.
    """
    if name not in FILTERS:
        raise InputError(f"no temporal filter is called {name!r} (known: {', '.join(FILTERS)})")
    band = Band(low, high, fps, name, order, taps)
    if order is not None and not name.startswith("butter"):
        raise InputError(f"the {name} filter has no order, got {order}; leave it out, or choose butter")
    if taps is not None and name != "fir":
        raise InputError(f"the {name} filter has no taps, got {taps}; leave them out, or choose fir")
    match name:
        case "ideal":
            return IdealFilter(band, storage)
        case "fir":
            return StreamingFilter(band, windowed(band, taps), "zero phase", storage)
        case "iir" | "iir-causal":
            kernel = first_order_difference(band, zero_phase=name == "iir")
        case _:
            kernel = butterworth(band, 2 if order is None else order, zero_phase=name == "butter")
    return StreamingFilter(band, kernel, _LAG if name.endswith("causal") else "zero phase", storage)


def from_band(band: Band, storage: torch.dtype | None = None) -> TemporalFilter:
    """Make the filter that ``band`` asks for, see :func:`make_filter`."""
    return make_filter(
        band.filter, band.low, band.high, band.fps, order=band.order, taps=band.taps, storage=storage
    )
