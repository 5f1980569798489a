"""Whether a sweep can be run, found out by the parser of ``mm fit`` itself before anything runs."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mm.cli.class_paths import nearest_option
from mm.cli.fit import MagnificationCLI, build
from mm.errors import InputError, did_you_mean
from mm.plugins import load_plugins, take_option
from mm.sweeps import Sweep, fit_options
from mm.synthesis import Recipe
from mm.training.losses import Representations, loss_terms
from mm.training.scores import COLUMNS

# The parts of an option's full name that may be left out on the command line.
_OPTIONAL_PARTS = ("init_args",)
_LOSS_OPTIONS = ("loss_weight", "image_loss", "ssim_weight", "amplitude_weight", "coarse_weight")


def check_runs(sweep: Sweep, values: Mapping[str, Any], extra: Sequence[str]) -> MagnificationCLI:
    """Make everything that a trial is made of, short of running it; and once with each listed value.

    Args:
        sweep: the file.
        values: of one trial.
        extra: options that are added to every trial's.

    Returns:
        The trial's parts.

    Raises:
        InputError: for an option that ``mm fit`` does not have, or a value that it does not take.
    """
    _check_extra(sweep, extra)
    try:
        parts = _parts([*fit_options(sweep, values), *extra])
        for name, distribution in sweep.parameters.items():
            for value in distribution.choices() or []:
                if value != values[name]:
                    _parts([*fit_options(sweep, {**values, name: value}), *extra])
    except InputError as error:
        raise _blamed(sweep, values, extra, error) from error
    return parts


def _check_extra(sweep: Sweep, extra: Sequence[str]) -> None:
    swept = {_short(name): name for name in sweep.parameters}
    for word in extra:
        name = word.removeprefix("--").split("=")[0]
        if not word.startswith("--"):
            continue
        if name in ("trainer.default_root_dir", "ckpt_path"):
            raise InputError(
                f"--fit {word}: a sweep gives each trial its own folder, and goes on there itself"
            )
        if _short(name) in swept:
            raise InputError(f"--fit {word}: {sweep.path} draws {swept[_short(name)]}; take it out of one")


def _blamed(sweep: Sweep, values: Mapping[str, Any], extra: Sequence[str], error: InputError) -> InputError:
    """Return the error with the parameter that it comes from, and what it may have been meant to be."""
    try:
        known = _names(_parts([*fit_options(sweep, {}), *extra]))
    except InputError as base:
        return InputError(f"{sweep.path}: its command cannot be run: {base}")
    for name, distribution in sweep.parameters.items():
        for value in distribution.choices() or [values[name]]:
            try:
                _parts([*fit_options(sweep, {name: value}), *extra])
            except InputError as own:
                if _short(name) in known:
                    return InputError(f"{sweep.path}: {name} cannot be {value!r}: {own}")
                hint = nearest_option(_short(name), known) or "; mm fit --help lists the options"
                return InputError(f"{sweep.path}: mm fit has no option {name!r}{hint}")
    # Each is good alone: it is the values together.
    return InputError(f"{sweep.path}: {error}")


def _parts(options: list[str]) -> MagnificationCLI:
    paths, rest = take_option(options)
    load_plugins(paths)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        # The run's folder is made on the way, and none is to be left behind.
        return build([*rest, f"--trainer.default_root_dir={folder}"], run=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says of a run that will not take place."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _names(parts: MagnificationCLI) -> set[str]:
    """Return the options of a run, as short as they may be written."""
    return {_short(name) for name in parts.config.keys(branches=True)}


def _short(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _OPTIONAL_PARTS)


def logged_metrics(parts: MagnificationCLI) -> list[str]:
    """Return the names that a run logs."""
    terms = _other_terms(**{name: parts.model.hparams[name] for name in _LOSS_OPTIONS})
    names = [f"train/{name}" for name in ("image", *terms, "loss", "learning_rate", "samples_seen")]
    names += ["train/samples_per_second", "val/score"]
    moving = {recipe.name for recipe in parts.datamodule.synthesizer.subsets if _moves(recipe)}
    measured = moving if parts.model.hparams["gain_samples"] else set()
    return names + [
        f"val/{subset}/{score}"
        for subset in parts.datamodule.subset_names
        for score in COLUMNS
        if score != "gain" or subset in measured
    ]


def _other_terms(
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


def check_metric(sweep: Sweep, parts: MagnificationCLI) -> None:
    """Find out whether the runs will log the sweep's metric.

    Raises:
        InputError: if they do not, naming what they log.
    """
    name, trainer = sweep.metric.name, parts.trainer
    known = logged_metrics(parts)
    # The parts are one trial's; others may draw a loss that has these.
    for option in _LOSS_OPTIONS:
        drawn = sweep.parameters.get(f"model.{option}")
        # A weight that is drawn from a range has no choices: it is above 0 somewhere.
        values = (drawn.choices() or ([] if option == "image_loss" else [1.0])) if drawn else []
        terms = {str(value): _other_terms(**{option: value}) for value in values}
        logged = [f"train/{term}" for each in terms.values() for term in each]
        known += logged
        without = [value for value, each in terms.items() if name.removeprefix("train/") not in each]
        if name in logged and without:
            raise InputError(
                f"{sweep.path}: trials with model.{option} {without[0]} do not log the metric {name!r}; "
                "name one that all log"
            )
    known = [*dict.fromkeys(known)]
    # A callback of the user's own may log anything.
    own = parts.config.get("trainer.callbacks")
    if name not in known and not own:
        hint = did_you_mean(name, known)
        short = [each for each in known if each.count("/") == 1]
        subsets = ", ".join(parts.datamodule.subset_names)
        raise InputError(
            f"{sweep.path}: no run logs the metric {name!r}{hint} (logged: {', '.join(short)}, and "
            f"val/SUBSET/{'|'.join(COLUMNS)} for {subsets})"
        )
    if not name.startswith("val/"):
        return
    never = f"{sweep.path}: no run would log {name}:"
    if trainer.limit_val_batches == 0 or parts.datamodule.validation_samples == 0:
        raise InputError(f"{never} trainer.limit_val_batches or data.validation_samples is 0, raise it")
    interval, last = trainer.val_check_interval, trainer.max_steps * trainer.accumulate_grad_batches
    if trainer.check_val_every_n_epoch is None and isinstance(interval, int) and 0 < last < interval:
        raise InputError(
            f"{never} the first validation is after {interval} batches (trainer.val_check_interval), and the "
            f"run ends after {last}; lower the one or raise trainer.max_steps"
        )
