"""Layers → training triplets with exactly known motion, on the device, while training runs."""

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
from mm.synthesis.recipes import SUBSETS, Recipe, recipe_index
from mm.synthesis.synthesizer import Synthesizer
from mm.synthesis.truth import LayerTruth, SampleTruth, ground_truth

__all__ = [
    "SUBSETS",
    "Elastic",
    "Geometry",
    "LayerTruth",
    "Mixture",
    "MotionGenerator",
    "MotionLimits",
    "Recipe",
    "Rotation",
    "SampleTruth",
    "Scaling",
    "Shear",
    "Synthesizer",
    "Translation",
    "TravellingWave",
    "ground_truth",
    "recipe_index",
]
