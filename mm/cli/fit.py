"""``mm fit``, ``mm validate``, ``mm test``: training and scoring from a YAML configuration, through
LightningCLI.

A run has a folder, ``trainer.default_root_dir``::

    checkpoints/last.ckpt, best.ckpt
    logs/version_N/             one a start: config.yaml, run.json, metrics.csv, samples/*.png
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Before albumentations is imported anywhere: its import would look for updates over the network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from jsonargparse import ArgumentError
from jsonargparse.typing import register_type
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from mm.cli.class_paths import check_arguments, refused_generator, refused_option, refused_recipe
from mm.cli.console import warnings_as_lines
from mm.cli.logged import logged_metrics
from mm.cli.ranks import check_ranks
from mm.data import MagnificationDataModule
from mm.errors import InputError, did_you_mean
from mm.networks.weights import read_checkpoint
from mm.plugins import load_plugins, take_option
from mm.runtime import bf16_in_software
from mm.synthesis import SubsetConfig
from mm.training import (
    AtomicCheckpointIO,
    BestCheckpoint,
    LastCheckpoint,
    MagnificationModule,
    RunRecord,
    SampleImages,
    SparingProgressBar,
    Throughput,
    WeightAverage,
)
from mm.training.checkpoints import EARLIER
from mm.training.provenance import RECORD_KEY
from mm.training.scores import table
from mm.yaml_files import read_mapping

DEFAULT_DATA, DEFAULT_LOSS = "mm.data.MixedDataModule", "mm.training.PaperLoss"
SUBCOMMANDS = ("fit", "validate", "test")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
# Values of --ckpt_path that name a checkpoint of the run instead of a file.
SYMBOLIC_CHECKPOINTS = ("last", "best")


class MagnificationCLI(LightningCLI):
    """LightningCLI with this project's module, checkpoints, records and loggers; see :func:`build`."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands and the arguments of the trainer's methods that the CLI fills in itself."""
        known = LightningCLI.subcommands()
        # Lightning's own table of scores has a column a data loader, each with all values: "verbose" is ours.
        return {name: known[name] | {"verbose"} for name in SUBCOMMANDS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that every run has, each configurable under its own key."""
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        parser.add_lightning_class_args(BestCheckpoint, "best_checkpoint")
        parser.add_lightning_class_args(SampleImages, "sample_images")
        parser.add_lightning_class_args(Throughput, "throughput")
        parser.add_lightning_class_args(WeightAverage, "average")
        for key in ("last_checkpoint", "best_checkpoint"):
            parser.link_arguments("trainer.default_root_dir", f"{key}.dirpath", compute_fn=_checkpoint_folder)
        parser.set_defaults(
            {"data": {"class_path": DEFAULT_DATA}, "model.loss": {"class_path": DEFAULT_LOSS}}
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; unlike Lightning's own, without a warning that ``sys.argv`` is not what is parsed."""
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except ArgumentError as error:
            # The parser names neither the file nor its line.
            for path in _config_files(args if isinstance(args, list) else []):
                read_mapping(
                    path,
                    "configuration",
                    "experiments",
                    "the sections model, data and trainer, or some of them",
                )
            word = args[0] if isinstance(args, list) and args else None
            used = getattr(self, "_subcommand_parsers", {}).get(word, parser)
            command = parser.prog if used is parser else f"{parser.prog} {word}"
            said = refused_option(str(error), command, lambda: _options(used))
            if said is None:
                raise
            raise InputError(said) from error
        command = self.config.get("subcommand")
        if command and self.config[command].get("weights_only") is None:
            # A checkpoint of this project holds plain values only; nothing in one is ever executed.
            self.config[command]["weights_only"] = True

    def before_instantiate_classes(self) -> None:
        """Look for what the parser has not seen; let Weights & Biases keep its files in the run's folder."""
        command = self.config.get("subcommand")
        check_arguments(self.config[command] if command else self.config)
        trainer = self._get(self.config, "trainer")
        loggers = trainer.get("logger")
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if "WandbLogger" in str(getattr(logger, "class_path", "")):
                if logger.init_args.get("save_dir") in (None, "."):
                    logger.init_args["save_dir"] = str(trainer.default_root_dir)
                Path(logger.init_args["save_dir"]).mkdir(parents=True, exist_ok=True)
                ready = "WANDB_MODE" in os.environ or logger.init_args.get("offline") or _logged_in()
                if not ready:
                    # Not its "offline", which sets an environment variable too late to be read.
                    logger["dict_kwargs"] = {**logger.get("dict_kwargs", {}), "mode": "offline"}
                    rank_zero_info(
                        "no login for Weights & Biases: it writes to the run's folder; wandb sync uploads it"
                    )

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint of ``--ckpt_path``; to score it, take its architecture and nothing else.

        Lightning's own would take every hyper-parameter from there, over the command line's.
        """
        path = self._chosen("ckpt_path") if "subcommand" in self.config else None
        if not path:
            command = self.config.get("subcommand")
            if command in ("validate", "test"):
                raise InputError(
                    f"mm {command} needs --ckpt_path last, best or a file: without one, a network that has "
                    "learned nothing would be scored"
                )
            return
        if path in SYMBOLIC_CHECKPOINTS:
            path = Path(_checkpoint_folder(self._chosen("trainer.default_root_dir"))) / f"{path}.ckpt"
            if not path.is_file():
                if self.config.subcommand == "fit" and path.stem == "last":
                    earlier = sorted(path.parent.glob(f"{EARLIER}-*/{path.name}"))
                    hint = f"; {earlier[-1]} is of an earlier run" if earlier else ""
                    rank_zero_info(f"there is no {path} yet: training starts anew{hint}")
                    self.config[self.config.subcommand]["ckpt_path"] = None
                    return
                raise InputError(f"there is no {path}: train first, or name a checkpoint with --ckpt_path")
            self.config[self.config.subcommand]["ckpt_path"] = str(path)
        checkpoint = _checkpoint(Path(path))
        self._tell_other_images(path, checkpoint)
        if self.config.subcommand != "fit":
            # A network is scored as it was trained.
            network = checkpoint["hyper_parameters"]["network_config"]
            self.config[self.config.subcommand]["model"]["network"] = network

    def _tell_other_images(self, path: str | Path, checkpoint: dict[str, Any]) -> None:
        """Say when a checkpoint saw other images than are named now: the scores do not compare."""
        trained = (checkpoint.get(RECORD_KEY) or {}).get("config", {}).get("data")
        if not trained:
            return
        for name in ("photographs", "cutouts"):
            seen = _named((trained.get("init_args") or {}).get(name))
            now = _named(self._chosen(f"data.init_args.{name}"))
            if seen != now:
                rank_zero_info(
                    f"{path} was trained with data.{name} {_images(seen)}, and now there are {_images(now)}; "
                    f"give --data.{name} again if that is not meant"
                )

    def _chosen(self, key: str) -> Any:
        return self.config.get(f"{self.config.subcommand}.{key}")

    def fit(self, **options: Any) -> None:
        """Train; a start that is refused before anything was written leaves no empty folder behind."""
        try:
            self.trainer.fit(**options)
        except (InputError, MisconfigurationException, ValueError) as error:
            refused = isinstance(error, InputError | MisconfigurationException)
            # Of Lightning's own refusals this one is a plain ValueError.
            if not refused and "`val_check_interval`" not in str(error):
                raise
            if self.trainer.is_global_zero:
                # Not the trainer's own log_dir: asking for that waits for the other ranks.
                _remove_empty(getattr(self.trainer.logger, "log_dir", None))
            if isinstance(error, InputError):
                raise
            raise InputError(f"trainer: {_one_line(str(error))}") from error

    def validate(self, **options: Any) -> None:
        """Score the checkpoint on the validation sets and print a row a subset."""
        self.trainer.validate(verbose=False, **options)
        self._print_scores("val")

    def test(self, **options: Any) -> None:
        """Score the checkpoint on the test sets and print a row a subset."""
        self.trainer.test(verbose=False, **options)
        self._print_scores("test")

    def _print_scores(self, stage: str) -> None:
        if self.trainer.is_global_zero:
            print(table(self.trainer.callback_metrics, stage))

    def instantiate_classes(self) -> None:
        """Make the parts; the message of a part that refuses a value comes through as it is."""
        try:
            super().instantiate_classes()
        except MisconfigurationException as error:
            raise InputError(_one_line(str(error))) from error
        except ValueError as error:
            # jsonargparse wraps what a class raises in an account of every type that it tried.
            behind: BaseException | None = error
            while behind is not None and not isinstance(behind, InputError):
                behind = behind.__cause__ or behind.__context__
            if behind is None:
                raise
            raise behind from error
        command = self.config.get("subcommand") or "fit"
        check_ranks(self.trainer, self.datamodule, command)
        self._check_trainer()

    def _check_trainer(self) -> None:
        """Refuse what a trainer takes and this training cannot do, before it begins."""
        trainer = self.trainer
        if trainer.precision not in PRECISIONS:
            raise InputError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {trainer.precision}: "
                "frames are rendered, and measured, in 32 bits"
            )
        if trainer.overfit_batches:  # type: ignore[attr-defined]
            raise InputError(
                "trainer.overfit_batches cannot be used, for samples are drawn as a stream; for the same few "
                "samples again and again give a small data.samples_per_epoch and data.repeat true"
            )
        if trainer.accumulate_grad_batches < 1:
            raise InputError(
                f"trainer.accumulate_grad_batches must be at least 1, got {trainer.accumulate_grad_batches}"
            )
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        monitored = [call.monitor for call in callbacks if isinstance(call, BestCheckpoint)]
        known = logged_metrics(self.model, self.datamodule)
        # A callback of the user's own may log anything.
        own = self._get(self.config, "trainer").get("callbacks")
        for name in monitored:
            if name not in known and not own:
                raise InputError(
                    f"no run logs best_checkpoint.monitor {name!r}{did_you_mean(name, known)} (logged: "
                    f"{', '.join(known)})"
                )

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise InputError(f"seed_everything: {_one_line(str(error))}") from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the CSV log beside the chosen loggers and whole checkpoints only."""
        chosen = self._get(self.config_init, "trainer")
        root = chosen.get("default_root_dir")
        _check_folder(str(root))
        loggers = chosen.get("logger")
        if not isinstance(loggers, list):
            loggers = [] if loggers is None or isinstance(loggers, bool) else [loggers]
        if not any(isinstance(logger, CSVLogger) for logger in loggers):
            # First: it gives the run's log folder its name. Flushed at once, for a run may be killed any
            # time.
            loggers = [CSVLogger(root, name="logs", flush_logs_every_n_steps=1), *loggers]
        plugins = chosen.get("plugins") or []
        plugins = [
            *(plugins if isinstance(plugins, list) else [plugins]),
            AtomicCheckpointIO(keep_earlier=True),
        ]
        callbacks = chosen.get("callbacks") or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        own_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        bar = chosen.get("enable_progress_bar")
        if bar is None:
            # In a file, a bar is ten thousand lines; Throughput then says a line a minute.
            bar = own_bar or sys.stderr.isatty()
        if bar and not own_bar:
            callbacks.append(SparingProgressBar())
        try:
            return super().instantiate_trainer(
                logger=loggers, plugins=plugins, callbacks=callbacks, enable_progress_bar=bar, **kwargs
            )
        except InputError:
            raise
        except (MisconfigurationException, ValueError) as error:
            raise InputError(f"trainer: {_one_line(str(error))}") from error

    def before_fit(self) -> None:
        """Warn of bfloat16 on a processor that has none: once for all ranks, and only where a run begins."""
        precision = str(self.trainer.precision)
        if not precision.startswith("bf16") or not self.trainer.is_global_zero:
            return
        if bf16_in_software(self.trainer.strategy.root_device):
            with warnings_as_lines():
                warnings.warn(
                    f"{precision}: this CPU has no bfloat16 arithmetic, and imitating it takes about ten "
                    "times as long as 32 bits; give --trainer.precision 32-true --model.channels_last false",
                    stacklevel=2,
                )

    before_validate = before_test = before_fit

    def after_fit(self) -> None:
        """Say where the run is, and what makes weights of it."""
        root = Path(self.trainer.default_root_dir)
        best = Path(_checkpoint_folder(root)) / "best.ckpt"
        if best.is_file():
            rank_zero_info(
                f"the run is in {root}; mm export {best} mine.safetensors makes weights of it, "
                "for mm magnify --weights"
            )


def _options(parser: LightningArgumentParser) -> list[str]:
    """Return the options of a parser, but for what is within a class that is named by a path."""
    return [*parser.get_defaults(skip_validation=True).keys(branches=True), "config"]


def _checkpoint_folder(root: Any) -> str:
    return str(Path(root or ".") / "checkpoints")


def _remove_empty(folder: str | None) -> None:
    """Remove a start's log folder, and the folder of such folders, where there is nothing in them."""
    with suppress(OSError):
        for path in (Path(folder), Path(folder).parent) if folder else ():
            path.rmdir()


def _logged_in() -> bool:
    """Say whether Weights & Biases has a key; without one it would stop and ask for it."""
    import wandb

    if "prompt" in inspect.signature(wandb.login).parameters:
        return bool(wandb.login(prompt=False, verify=False))
    return wandb.api.api_key is not None


def _checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"no checkpoint {str(path)!r}: give a file, last or best")
    return read_checkpoint(path)


def _named(value: Any) -> Any:
    """Return the images that are named as a list of plain values, as the record in a checkpoint has them."""
    plain = json.loads(json.dumps(value, default=lambda each: getattr(each, "as_dict", each.__str__)()))
    return plain if plain is None or isinstance(plain, list) else [plain]


def _images(value: Any) -> str:
    return "procedural images" if value is None else str(value)


def _check_folder(root: str) -> None:
    """Find out before the training whether its results can be written; a remote address is not tried."""
    if "://" in root:
        return
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        raise InputError(
            f"cannot write to the run's folder {root}: {error.strerror}; "
            "name another with --trainer.default_root_dir"
        ) from error


def build(arguments: list[str], run: bool = True, command: str = "mm fit") -> MagnificationCLI:
    """Parse and, if ``run``, execute ``[command, *options]``; ``run=False`` takes the options alone.

    Args:
        arguments: what follows ``mm``, or the options.
        run: whether to execute.
        command: without ``run``, what the user called, for messages.

    Raises:
        InputError: for arguments or a configuration that cannot be used, in one line.
    """
    try:
        return MagnificationCLI(
            MagnificationModule,
            MagnificationDataModule,
            subclass_mode_data=True,
            save_config_callback=RunRecord,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            # The samplers of mm.data shard by rank themselves.
            trainer_defaults={
                "default_root_dir": "runs/default",
                "use_distributed_sampler": False,
                "enable_model_summary": False,
            },
            parser_kwargs=_parser_options(run, command),
            # Hyper-parameters are saved by the module itself, as plain values.
            load_from_checkpoint_support=False,
            auto_configure_optimizers=False,
            args=arguments,
            run=run,
        )
    except ArgumentError as error:
        said = str(error)
        raise InputError(refused_generator(said) or refused_recipe(said) or _one_line(said)) from error


def _parser_options(run: bool, command: str) -> dict[str, Any]:
    # Without abbreviations: a misspelt option that begins like a real one would otherwise set that one.
    options = {"exit_on_error": False, "allow_abbrev": False}
    if not run:
        return {**options, "prog": command}
    return {**options, "prog": "mm", **{name: {**options, "prog": f"mm {name}"} for name in SUBCOMMANDS}}


def _one_line(text: str) -> str:
    """Join a message of several lines, as jsonargparse nests them, into one."""
    return " ".join(part.strip() for part in text.splitlines() if part.strip())


def run(command: str, arguments: list[str]) -> int:
    """Run ``mm fit``, ``mm validate`` or ``mm test``.

    Args:
        command: one of those three words.
        arguments: what follows it.

    Returns:
        0.

    Raises:
        InputError: for anything of the user's that cannot be used.
    """
    rest = prepare(command, arguments)
    with worker_errors():
        build([command, *rest])
    return 0


def prepare(command: str, arguments: list[str]) -> list[str]:
    """Load the plug-ins that the arguments name, and return the other arguments, for :func:`build`.

    Raises:
        InputError: if no configuration is named.
    """
    paths, rest = take_option(arguments)
    if not any(word.split("=")[0] in ("--config", "-c", "--help", "-h", "--print_config") for word in rest):
        raise InputError(
            f"mm {command} needs a configuration: --config experiments/smoke.yaml takes seconds, "
            "experiments/small.yaml suits a CPU, experiments/paper.yaml a GPU"
        )
    load_plugins(paths)
    _quieten()
    return rest


def _config_files(arguments: list[str]) -> Iterator[Path]:
    """Yield the files that ``--config`` names; not a text in their place, or an address."""
    for number, word in enumerate(arguments):
        option, given, value = word.partition("=")
        if option not in ("--config", "-c"):
            continue
        if not given:
            value = arguments[number + 1] if number + 1 < len(arguments) else ""
        if value and not any(mark in value for mark in ("\n", "{", "://")):
            yield Path(value)


@contextmanager
def worker_errors() -> Iterator[None]:
    """Within this context an error of a worker is its message, without the worker's whole traceback."""
    try:
        yield
    except InputError as error:
        if "Original Traceback" not in str(error):
            raise
        raise InputError(str(error).strip().splitlines()[-1].partition("InputError: ")[2]) from error


def _recipe(values: SubsetConfig | dict[str, Any]) -> SubsetConfig:
    if isinstance(values, SubsetConfig):
        return values
    if isinstance(values, dict):
        # On its way through the parser a null becomes a word.
        values = {name: value for name, value in values.items() if value not in (None, "None")}
    return SubsetConfig.from_dict(values)


def _written(recipe: SubsetConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(recipe).items() if value is not None}


# jsonargparse cannot write instances inside a tuple by itself, and a saved configuration must be complete.
register_type(SubsetConfig, serializer=_written, deserializer=_recipe, fail_already_registered=False)


def _quieten() -> None:
    """Leave out what Lightning says about itself, or about what is meant to be as it is."""
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    # The averaged network stays in evaluation mode.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode.*")
    # A start after a kill goes on in the same folder.
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty.*")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )
