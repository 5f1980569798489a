"""Sweeps: W&B's sweep files as Optuna studies, which processes and machines share without W&B's server."""

from mm.sweeps.definition import Sweep, fit_options, read_sweep
from mm.sweeps.study import Study, first_values

__all__ = ["Study", "Sweep", "first_values", "fit_options", "read_sweep"]
