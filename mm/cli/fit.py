"""``mm fit``, ``mm validate``, ``mm test``: training and scoring from a YAML configuration by LightningCLI.

A run has a folder, ``trainer.default_root_dir``::

    checkpoints/last.ckpt, best.ckpt
    logs/version_N/             one a start: config.yaml, run.json, metrics.csv, samples/*.png
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

# Before albumentations is imported anywhere: its import would look for updates over the network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import yaml  # type: ignore[import-untyped]
from jsonargparse import ArgumentError, Namespace
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from mm.cli.console import warnings_as_lines
from mm.cli.distributed import check_ranks
from mm.cli.fit_help import page
from mm.data import MagnificationDataModule
from mm.errors import InputError, did_you_mean
from mm.files import locked
from mm.networks.weights import read_checkpoint
from mm.plugins import load_plugins, take_option
from mm.runtime import bf16_in_software
from mm.synthesis import MotionLimits, Synthesizer
from mm.training import (
    AtomicCheckpointIO,
    BestCheckpoint,
    LastCheckpoint,
    MagnificationModule,
    PaperLoss,
    RunRecord,
    SampleImages,
    Throughput,
    WeightAverage,
)
from mm.training.scores import table

SUBCOMMANDS = ("fit", "validate", "test")
MOST_VALUES = 100_000  # of a configuration
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
# The key of each callback that every run has.
CALLBACKS: dict[str, type[Callback]] = {
    "last_checkpoint": LastCheckpoint,
    "best_checkpoint": BestCheckpoint,
    "average": WeightAverage,
    "sample_images": SampleImages,
    "throughput": Throughput,
}

PARTS: dict[str, type] = {
    "model": MagnificationModule,
    "model.loss": PaperLoss,
    "data": MagnificationDataModule,
    "data.synthesizer": Synthesizer,
    "data.synthesizer.limits": MotionLimits,
}


class MagnificationCLI(LightningCLI):
    """LightningCLI with this project's module, data, callbacks, records and loggers; see :func:`build`."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the commands, each with the arguments of the trainer's method that are no options."""
        known = LightningCLI.subcommands()
        # Lightning's own table of scores has a column a data loader, each with all values: "verbose" is ours.
        return {name: known[name] | {"verbose"} for name in SUBCOMMANDS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, the defaults of class options, and where checkpoints go."""
        # Any command's: all have the same options of model, data and trainer.
        self.options = parser
        for key, callback in CALLBACKS.items():
            parser.add_lightning_class_args(callback, key)
        for key in ("last_checkpoint", "best_checkpoint"):
            parser.link_arguments(
                "trainer.default_root_dir", f"{key}.dirpath", compute_fn=lambda root: f"{root}/checkpoints"
            )
        parser.set_defaults({"data": {"class_path": "mm.data.MixedDataModule"}})
        parser.set_defaults({"model.loss": {"class_path": "mm.training.PaperLoss"}})

    @property
    def chosen(self) -> Namespace:
        """The options of the command."""
        command = self.config.get("subcommand")
        return self.config[command] if command else self.config

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; keep the checkpoint's path, from which Lightning would take all hyper-parameters.

        Raises:
            InputError: in one line.
        """
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except ArgumentError as error:
            raise InputError(self._explained(str(error), args if isinstance(args, list) else [])) from error
        self.checkpoint = self.chosen.get("ckpt_path")
        if self.checkpoint:
            self.chosen["ckpt_path"] = None

    def _explained(self, said: str, words: Sequence[str]) -> str:
        """Return a misspelt option of the command line with the known one, or else the parser's words."""
        groups: dict[str, set[str]] = {}
        for key in self.options.get_defaults(skip_validation=True).keys(branches=True):
            group, _, name = short(key).rpartition(".")
            groups.setdefault(group, set()).add(name)
        for word in words:
            option = word.partition("=")[0].removeprefix("--")
            group, _, name = short(option).rpartition(".")
            known = groups.get(group, {name})
            if word.startswith("--") and name not in known and (hint := did_you_mean(name, known)):
                return f"there is no option --{option}{hint}"
        return f"{deepest(said)} (in the options, or in {', '.join(_files(words))})"

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint; keep Weights & Biases in the run's folder, and offline without a login."""
        command = self.config.get("subcommand")
        if command:
            self._find_checkpoint(command)
        trainer = self.chosen["trainer"]
        for logger in _listed(trainer.get("logger")):
            if "WandbLogger" in str(logger.class_path):
                _keep_local(logger, str(trainer.default_root_dir))

    def _find_checkpoint(self, command: str) -> None:
        """Set the checkpoint's path; to score one, take its architecture too, and nothing else."""
        path = self.checkpoint
        if path in ("last", "best"):
            path = Path(self.chosen["trainer"].default_root_dir, "checkpoints", f"{path}.ckpt")
            if not path.is_file() and command == "fit" and path.stem == "last":
                rank_zero_info(f"there is no {path} yet: training starts anew")
                return
        if not path:
            if command == "fit":
                return
            raise InputError(
                f"mm {command} needs --ckpt_path last, best or a file: without one, a network that has "
                "learned nothing would be scored"
            )
        if not Path(path).is_file():
            raise InputError(f"no checkpoint {str(path)!r}: give --ckpt_path a file, last or best")
        saved = read_checkpoint(Path(path))
        if command != "fit":
            self.chosen["model"]["network"] = saved["hyper_parameters"]["network_config"]
        self.chosen["ckpt_path"] = str(path)
        # Nothing in a checkpoint is ever executed.
        self.chosen["weights_only"] = True

    def instantiate_classes(self) -> None:
        """Make the parts, and check that they agree.

        Raises:
            InputError: what a part that refuses a value says.
        """
        try:
            super().instantiate_classes()
        except (MisconfigurationException, TypeError, ValueError) as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, InputError):
                cause = cause.__cause__ or cause.__context__
            raise cause or InputError(deepest(str(error))) from error
        self._check()

    def _check(self) -> None:
        """Refuse what a trainer takes and this training cannot do, before it begins."""
        trainer, command = self.trainer, self.config.get("subcommand") or "fit"
        check_ranks(trainer, self.datamodule, command)
        if self.chosen["trainer"].val_check_interval == 0:
            raise InputError(
                "trainer.val_check_interval must be above 0, got 0; --trainer.limit_val_batches 0 leaves "
                "validation out"
            )
        if trainer.precision not in PRECISIONS:
            raise InputError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {trainer.precision}: "
                "frames are rendered, and measured, in 32 bits"
            )
        monitor, known = self.chosen["best_checkpoint"].monitor, self.model.logged_metrics(self.datamodule)
        # A callback of the user's may log anything.
        if monitor not in known and not self.chosen["trainer"].get("callbacks"):
            raise InputError(f"no run logs best_checkpoint.monitor {monitor!r}{did_you_mean(monitor, known)}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the CSV log beside the chosen loggers and whole checkpoints only."""
        command = self.config.get("subcommand")
        chosen = (self.config_init[command] if command else self.config_init)["trainer"]
        loggers, plugins, callbacks = (_listed(chosen.get(key)) for key in ("logger", "plugins", "callbacks"))
        if not any(isinstance(logger, CSVLogger) for logger in loggers):
            # First: it names the run's log folder. Flushed at once, because a run may be killed any time.
            loggers.insert(0, CSVLogger(chosen.default_root_dir, name="logs", flush_logs_every_n_steps=1))
        plugins.append(AtomicCheckpointIO(keep_earlier=True))
        own_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        if chosen.enable_progress_bar and not own_bar:
            # Showing a metric waits for the GPU, so the bar does it at each fiftieth step only.
            callbacks.append(TQDMProgressBar(refresh_rate=50))
        kwargs["enable_progress_bar"] = chosen.enable_progress_bar or own_bar
        return super().instantiate_trainer(logger=loggers, plugins=plugins, callbacks=callbacks, **kwargs)

    def before_fit(self) -> None:
        """Warn of bfloat16 on a processor that has none: once for all ranks."""
        precision, device = str(self.trainer.precision), self.trainer.strategy.root_device
        if precision.startswith("bf16") and self.trainer.is_global_zero and bf16_in_software(device):
            with warnings_as_lines():
                warnings.warn(
                    f"{precision}: this CPU has no bfloat16 arithmetic, and imitating it takes about ten "
                    "times as long as 32 bits; give --trainer.precision 32-true --model.channels_last false",
                    stacklevel=2,
                )

    before_validate = before_test = before_fit

    def after_fit(self) -> None:
        """Print where the run is, and the command that makes weights of it."""
        best = Path(self.trainer.default_root_dir, "checkpoints", "best.ckpt")
        if best.is_file():
            rank_zero_info(
                f"the run is in {self.trainer.default_root_dir}; mm export {best} mine.safetensors makes "
                "weights of it, for mm magnify --weights"
            )

    def fit(self, **options: Any) -> None:
        """Train; the run's folder is this run's alone until it ends.

        Raises:
            InputError: for the folder of a run that is in progress.
        """
        root = self.trainer.default_root_dir
        said = f"a run is in progress in {root}; give another --trainer.default_root_dir, or wait for its end"
        # The other ranks are of the same run.
        alone = self.trainer.is_global_zero and "://" not in root
        with locked(Path(root), said) if alone else contextlib.nullcontext():
            self.trainer.fit(**options)

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


def build(arguments: list[str], run: bool = True, command: str = "mm fit") -> MagnificationCLI:
    """Parse and, if ``run``, execute ``[command, *options]``; ``run=False`` takes the options alone.

    Args:
        arguments: what follows ``mm``, or the options.
        run: whether to execute.
        command: without ``run``, the user's command, for messages.

    Raises:
        InputError: for arguments or a configuration that cannot be used, in one line.
    """
    # Without abbreviations: a misspelt option that begins like a real one would otherwise set that one.
    options: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False, "prog": command}
    if run:
        options |= {"prog": "mm", **{name: {**options, "prog": f"mm {name}"} for name in SUBCOMMANDS}}
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
            # In a file, a bar is ten thousand lines; Throughput then prints a line a minute.
            "enable_progress_bar": sys.stderr.isatty(),
        },
        parser_kwargs=options,
        # Hyper-parameters are saved by the module itself, as plain values.
        load_from_checkpoint_support=False,
        auto_configure_optimizers=False,
        args=arguments,
        run=run,
    )


def run(command: str, arguments: list[str]) -> int:
    """Run ``mm fit``, ``mm validate`` or ``mm test``; return 0.

    Raises:
        InputError: for an input that cannot be used.
    """
    if {"--help", "-h"} & set(arguments):
        print(page(command, PARTS | CALLBACKS))
        raise SystemExit(0)
    build([command, *prepare(command, arguments)])
    return 0


def prepare(command: str, arguments: list[str]) -> list[str]:
    """Load the plug-ins that the arguments name, and return the other arguments, for :func:`build`.

    Raises:
        InputError: if no configuration is named, or one cannot be used.
    """
    paths, rest = take_option(arguments)
    if not _files(rest):
        raise InputError(
            f"mm {command} needs a configuration: --config experiments/smoke.yaml takes seconds, "
            "experiments/small.yaml suits a CPU, experiments/paper.yaml a GPU"
        )
    for path in _files(rest):
        check_configuration(path)
    load_plugins(paths)
    # Lightning's remarks on itself, on the averaged network and on a folder that a start after a kill shares.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode.*")
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty.*")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )
    return rest


def short(name: str) -> str:
    """Return an option's name as it may be typed, without ``init_args``."""
    return ".".join(part for part in name.split(".") if part != "init_args")


def deepest(account: str) -> str:
    """Return the branch of the parser's indented account that leads to its innermost line, as one line.

    The parser tries every type that a value may have; the one that fits best fails deepest.
    """
    whole = [line for line in account.splitlines() if line.strip()]
    lines = [(len(line) - len(line.lstrip()), line.strip(" -")) for line in whole]
    at = max(range(len(lines)), key=lambda place: (lines[place][0], -place))
    branch = [lines[at]]
    for line in reversed(lines[:at]):
        if line[0] < branch[0][0]:
            branch.insert(0, line)
    return " ".join(text for _, text in branch)


def _files(words: Sequence[str]) -> list[str]:
    """Return the configurations that arguments name."""
    return [
        word.partition("=")[2] or after
        for word, after in pairwise([*words, ""])
        if word.partition("=")[0] in ("--config", "-c")
    ]


def check_configuration(path: str) -> None:
    """Refuse a file that the parser would fail at, or never come to the end of.

    Raises:
        InputError: for one that is no text, is nested too deeply, or grows beyond all bounds by its aliases.
    """
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        """Values of a node with all that it repeats."""
        if id(node) not in sizes:
            parts = node.value if isinstance(node.value, list) else []
            flat = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
            sizes[id(node)] = 1 + sum(map(size, flat))
        return sizes[id(node)]

    try:
        # The parser itself refuses a file that is missing, or is not YAML.
        with contextlib.suppress(OSError, yaml.YAMLError):
            node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            if node is not None and (found := size(node)) > MOST_VALUES:
                raise InputError(
                    f"{path} has {found} values by its aliases, at most {MOST_VALUES}; write less"
                )
    except (UnicodeDecodeError, RecursionError) as error:
        what = "is no text" if isinstance(error, UnicodeDecodeError) else "is nested too deeply"
        raise InputError(f"{path} {what}; name a YAML file such as experiments/small.yaml") from error


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return list(value)
    return [] if value is None or isinstance(value, bool) else [value]


def _keep_local(logger: Namespace, root: str) -> None:
    """Let Weights & Biases write to the run's folder, and offline where it has no key to ask for one."""
    import wandb

    if logger.init_args.get("save_dir") in (None, "."):
        logger.init_args["save_dir"] = root
    Path(logger.init_args["save_dir"]).mkdir(parents=True, exist_ok=True)
    told = "WANDB_MODE" in os.environ or logger.init_args.get("offline")
    if not told and not wandb.login(prompt=False, verify=False):
        # Not its "offline", which sets an environment variable too late to be read.
        logger["dict_kwargs"] = {**logger.get("dict_kwargs", {}), "mode": "offline"}
        rank_zero_info("no login for Weights & Biases: it writes to the run's folder; wandb sync uploads it")
