"""Temporal band-pass filters over tensors of any shape, time first, streaming or over a whole clip.

Public: :class:`Band` (what a user asks for), :func:`make_filter` and :func:`from_band` (which make it),
:data:`FILTERS` (the names that a user can type), :class:`TemporalFilter` and :class:`Aligned` (what they
give).
"""

from mm.temporal.band import Band
from mm.temporal.base import Aligned, TemporalFilter
from mm.temporal.filters import FILTERS, from_band, make_filter

__all__ = ["FILTERS", "Aligned", "Band", "TemporalFilter", "from_band", "make_filter"]
