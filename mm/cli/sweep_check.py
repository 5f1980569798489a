"""Whether a sweep can be run, found out by the parser of ``mm fit`` itself before anything runs."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mm.cli.fit import MagnificationCLI, build, short
from mm.errors import InputError, did_you_mean
from mm.plugins import load_plugins, take_option
from mm.sweeps import Sweep, fit_options
from mm.training.scores import COLUMNS


def check_runs(sweep: Sweep, values: Mapping[str, Any], extra: Sequence[str]) -> MagnificationCLI:
    """Make everything that a trial is made of, short of running it; and once with each named value.

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
            for value in distribution.telling():
                if value != values[name]:
                    _parts([*fit_options(sweep, {**values, name: value}), *extra])
    except InputError as error:
        raise _blamed(sweep, values, extra, error) from error
    return parts


def _check_extra(sweep: Sweep, extra: Sequence[str]) -> None:
    swept = {short(name): name for name in sweep.parameters}
    for word in extra:
        name = word.removeprefix("--").split("=")[0]
        if not word.startswith("--"):
            continue
        if name in ("trainer.default_root_dir", "ckpt_path"):
            raise InputError(
                f"--fit {word}: a sweep gives each trial its own folder, and goes on there itself"
            )
        if short(name) in swept:
            raise InputError(f"--fit {word}: {sweep.path} draws {swept[short(name)]}; take it out of one")


def _blamed(sweep: Sweep, values: Mapping[str, Any], extra: Sequence[str], error: InputError) -> InputError:
    """Return the error with the parameter that it comes from, and what it may have been meant to be."""
    try:
        known = _names(_parts([*fit_options(sweep, {}), *extra]))
    except InputError as base:
        return InputError(f"{sweep.path}: its command cannot be run: {base}")
    for name, distribution in sweep.parameters.items():
        for value in distribution.telling():
            try:
                _parts([*fit_options(sweep, {name: value}), *extra])
            except InputError as own:
                if short(name) in known:
                    return InputError(f"{sweep.path}: {name} cannot be {value!r}: {own}")
                hint = did_you_mean(short(name), known) or "; mm fit --help lists the options"
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
    return {short(name) for name in parts.config.keys(branches=True)}


def check_metric(sweep: Sweep, parts: MagnificationCLI) -> None:
    """Find out whether the runs will log the sweep's metric.

    Raises:
        InputError: if they do not, naming what they log.
    """
    name, trainer = sweep.metric.name, parts.trainer
    known = parts.model.logged_metrics(parts.datamodule)
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
