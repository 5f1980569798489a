"""Sweeps: W&B's sweep files, read and run without its server.

``definition`` reads a file, ``distributions`` knows what values a parameter takes, ``draws`` makes a trial's
values, ``agent`` makes its command line as W&B's agent does, ``running`` runs several at a time,
``results`` keeps the table. Nothing here knows what a trial trains: the command line joins the two.
"""

from mm.sweeps.agent import fit_options, flags, started_by
from mm.sweeps.definition import Metric, Sweep, read_sweep
from mm.sweeps.distributions import Distribution, parse_distribution
from mm.sweeps.draws import grid_size, trial_values
from mm.sweeps.results import Result, Results, best_logged, ranked
from mm.sweeps.running import Ended, graphics_cards, run_trials

__all__ = [
    "Distribution",
    "Ended",
    "Metric",
    "Result",
    "Results",
    "Sweep",
    "best_logged",
    "fit_options",
    "flags",
    "graphics_cards",
    "grid_size",
    "parse_distribution",
    "ranked",
    "read_sweep",
    "run_trials",
    "started_by",
    "trial_values",
]
