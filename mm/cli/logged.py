"""What a run of ``mm fit`` logs: the names that a sweep or a checkpoint may ask for."""

from __future__ import annotations

import torch

from mm.data import MagnificationDataModule
from mm.synthesis import Recipe
from mm.training import MagnificationModule
from mm.training.losses import Representations, loss_terms
from mm.training.scores import COLUMNS

LOSS_OPTIONS = ("loss_weight", "image_loss", "ssim_weight", "amplitude_weight", "coarse_weight")
"""Of ``model.``, what decides which terms of the loss there are."""


def logged_metrics(model: MagnificationModule, data: MagnificationDataModule) -> list[str]:
    """Return the names that a run logs, of the parts that it is made of."""
    terms = other_terms(**{name: model.hparams[name] for name in LOSS_OPTIONS})
    names = [f"train/{name}" for name in ("image", *terms, "loss", "learning_rate", "samples_seen")]
    names += ["train/samples_per_second", "val/score"]
    moving = {recipe.name for recipe in data.synthesizer.subsets if _moves(recipe)}
    measured = moving if model.hparams["gain_samples"] else set()
    return names + [
        f"val/{subset}/{score}"
        for subset in data.subset_names
        for score in COLUMNS
        if score != "gain" or subset in measured
    ]


def other_terms(
    image_loss: str = "l1",
    ssim_weight: float = 0.0,
    amplitude_weight: float = 0.0,
    coarse_weight: float = 0.0,
    loss_weight: float = 0.0,
) -> list[str]:
    """Return the terms of the loss that these options add to the image's L1."""
    weighed = {"structure": ssim_weight, "amplitude": amplitude_weight, "coarse": coarse_weight}
    terms = [] if image_loss == "l1" else [f"image_{image_loss}"]
    if float(loss_weight) > 0:
        nothing = torch.zeros(1)
        features = Representations(*[nothing] * len(Representations._fields))
        terms += [name for name in loss_terms(nothing, nothing, features) if name != "image"]
    return terms + [term for term, weight in weighed.items() if float(weight) > 0]


def _moves(recipe: Recipe) -> bool:
    return bool(recipe.background_moves or recipe.objects_move)
