"""Training: the LightningModule around the network, its loss, and what a run keeps of itself.

Public: :class:`MagnificationModule`, the losses in :mod:`mm.training.losses`, the callbacks
:class:`LastCheckpoint`, :class:`BestCheckpoint`, :class:`SampleImages`, :class:`SparingProgressBar`,
:class:`Throughput`, :class:`RunRecord`, and :class:`AtomicCheckpointIO`.
"""

from mm.training.callbacks import SampleImages, SparingProgressBar, Throughput
from mm.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from mm.training.module import MagnificationModule
from mm.training.record import RunRecord

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "LastCheckpoint",
    "MagnificationModule",
    "RunRecord",
    "SampleImages",
    "SparingProgressBar",
    "Throughput",
]
