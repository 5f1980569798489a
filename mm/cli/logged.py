"""Names of the metrics that a run of ``mm fit`` logs, for a sweep or a checkpoint that asks for one."""

from __future__ import annotations

from mm.data import MagnificationDataModule
from mm.training import MagnificationModule
from mm.training.scores import COLUMNS


def logged_metrics(model: MagnificationModule, data: MagnificationDataModule) -> list[str]:
    """Return the names that a run of these parts logs."""
    names = [f"train/{name}" for name in (*model.loss.names, "loss", "learning_rate", "samples_seen")]
    names += ["train/samples_per_second", "val/score"]
    moving = {each.name for each in data.synthesizer.subsets if each.background_moves or each.objects_move}
    measured = moving if model.gain_samples else set()
    return names + [
        f"val/{subset}/{score}"
        for subset in data.subset_names
        for score in COLUMNS
        if score != "gain" or subset in measured
    ]
