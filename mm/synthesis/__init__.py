"""Layers → training triplets with exactly known motion, on the device, while training runs."""

from mm.synthesis.camera import Camera
from mm.synthesis.clips import ClipSynthesizer
from mm.synthesis.geometry import Geometry
from mm.synthesis.limits import MotionLimits
from mm.synthesis.motion import (
    Elastic,
    Mixture,
    MotionGenerator,
    Rotation,
    Scaling,
    Shear,
    Translation,
    TravellingWave,
)
from mm.synthesis.subsets import SUBSETS, SubsetConfig, subset_index
from mm.synthesis.synthesizer import Synthesizer
from mm.synthesis.trajectory import TrajectoryConfig
from mm.synthesis.truth import LayerTruth, SampleTruth, ground_truth

__all__ = [
    "SUBSETS",
    "Camera",
    "ClipSynthesizer",
    "Elastic",
    "Geometry",
    "LayerTruth",
    "Mixture",
    "MotionGenerator",
    "MotionLimits",
    "Rotation",
    "SampleTruth",
    "Scaling",
    "Shear",
    "SubsetConfig",
    "Synthesizer",
    "TrajectoryConfig",
    "Translation",
    "TravellingWave",
    "ground_truth",
    "subset_index",
]
