"""Training: the LightningModule around the network, its loss, and what a run keeps of itself.

Public: :class:`MagnificationModule`, :class:`Loss`,
:class:`PaperLoss`, :class:`SplattingLoss`, :class:`MuonAdam` and
:class:`WarmupCosine`, the callbacks :class:`LastCheckpoint`, :class:`BestCheckpoint`, :class:`WeightAverage`,
:class:`SampleImages`, :class:`Throughput`, :class:`RunRecord`, and
:class:`AtomicCheckpointIO`.
"""

from mm.training.callbacks import SampleImages, Throughput, WeightAverage
from mm.training.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from mm.training.losses import Loss, PaperLoss, SplattingLoss
from mm.training.module import MagnificationModule
from mm.training.optimizers import MuonAdam, WarmupCosine
from mm.training.provenance import RunRecord

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "LastCheckpoint",
    "Loss",
    "MagnificationModule",
    "MuonAdam",
    "PaperLoss",
    "RunRecord",
    "SampleImages",
    "SplattingLoss",
    "Throughput",
    "WarmupCosine",
    "WeightAverage",
]
