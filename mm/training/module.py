"""The LightningModule: a network, its loss and its optimiser, with validation that measures motion."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mm.errors import InputError
from mm.networks import NetworkConfig, build, config_from_dict, config_to_dict, load
from mm.training.losses import Loss, PaperLoss
from mm.training.optimizers import WarmupCosine
from mm.training.scores import COLUMNS, SubsetScores

Batch = dict[str, Tensor]

# Steps between two looks at whether the loss is still finite, where looking stops the pipeline or the ranks.
FINITE_CHECK_INTERVAL = 50


class MagnificationModule(pl.LightningModule):
    """Trains a magnification network on rendered triplets (Oh et al. 2018, section 3).

    The defaults are the paper's: its network and loss, and Adam at a constant rate of 1e-4.

    Args:
        network: a network, its configuration, or that as a mapping (:func:`mm.networks.config_from_dict`);
            the paper's if None.
        loss: called with the network and a batch; :class:`~mm.training.losses.PaperLoss` if None.
        optimizer: makes the optimiser of the parameters.
        lr_scheduler: makes the scheduler of the optimiser, stepped after every optimiser step; None keeps the
            rate. A :class:`~mm.training.optimizers.WarmupCosine` without a length takes the trainer's.
        initial_weights: a shipped name or a file (:func:`mm.networks.load`) to start from; None draws fresh
            weights. A checkpoint that a run resumes from wins over it.
        gain_samples: validation samples a subset whose motion is measured; see :class:`SubsetScores`.
        channels_last: whether weights and activations are NHWC. Faster on GPUs with tensor cores and CPUs
            with AVX-512; on other CPUs the backward pass takes half as long again.
        compile: whether the network and the loss of a training step pass through ``torch.compile``.

    Attributes:
        ema: the averaged network, where :class:`~mm.training.WeightAverage` keeps one. It is validated and
            exported; its keys in a checkpoint begin with "ema.".

    Raises:
        InputError: for a configuration that cannot be built, or weights of another architecture.
    """

    network: Any
    ema: Any

    def __init__(
        self,
        network: dict[str, Any] | NetworkConfig | nn.Module | None = None,
        loss: Loss | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        lr_scheduler: LRSchedulerCallable | None = None,
        initial_weights: str | None = None,
        gain_samples: int = 32,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.network = network if isinstance(network, nn.Module) else build(network or {})
        self.loss = loss or PaperLoss()
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.gain_samples = gain_samples
        config = config_to_dict(self.network.config)
        # Plain values only, so that a checkpoint loads with weights_only=True and needs no class of ours.
        self.save_hyperparameters({"network_config": config}, logger=False)
        if initial_weights is not None:
            known = load(initial_weights)
            _check_same(f"model.initial_weights {initial_weights!r}", config_to_dict(known.config), config)
            self.network.load_state_dict(known.state_dict())
        if channels_last:
            # Convolutions of NHWC weights convert the frames, once, in the first layer.
            self.network.to(memory_format=torch.channels_last)
        self.ema = None
        self.scores: dict[str, SubsetScores] = {}
        self.samples_seen = 0
        self.seconds_trained = 0.0
        self._started: float | None = None
        self._latest_scores: dict[str, float] = {}
        self._scored_at = 0
        # Each step not yet looked at: its number, its loss, and the names of its samples.
        self._unchecked: list[tuple[int, Tensor, dict[str, Tensor]]] = []
        self._terms: Callable[..., dict[str, Tensor]] = (
            torch.compile(self.loss.__call__) if compile else self.loss
        )

    # The network

    @property
    def averaged(self) -> Any:
        """The network to validate and export: the averaged one where there is one."""
        return self.network if self.ema is None else self.ema

    def forward(self, xa: Tensor, xb: Tensor, factor: Tensor | float) -> Tensor:
        """Return ``xb`` with its motion relative to ``xa`` multiplied by ``factor``, unclamped.

        Args:
            xa: reference frame, (B, 3, H, W) in [0, 1].
            xb: moved frame, of the same shape.
            factor: total gain of the displacement, at least 0; one for all or (B,).
        """
        magnified: Tensor = self.averaged(xa, xb, factor)
        return magnified

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one rendered batch, and log each of its terms."""
        if missing := [name for name in self.loss.inputs if name not in batch]:
            raise InputError(
                f"model.loss {type(self.loss).__name__} reads {', '.join(missing)}, not rendered; set "
                "data.synthesizer.perturbed or data.synthesizer.displacement to true"
            )
        terms = self._terms(self.network, batch)
        loss = self.loss.total(terms)
        self._watch(loss, batch)
        count = batch["y"].shape[0]
        self.samples_seen += count * self.trainer.world_size
        logged: dict[str, Any] = {f"train/{name}": value.detach() for name, value in terms.items()}
        # As tensors on the CPU: Lightning would copy a number to the GPU, and wait for the GPU to take it.
        logged["train/learning_rate"] = torch.tensor(self.trainer.optimizers[0].param_groups[0]["lr"])
        logged["train/samples_seen"] = torch.tensor(float(self.samples_seen))
        self.log_dict(logged, batch_size=count)
        self.log("train/loss", loss.detach(), batch_size=count, prog_bar=True)
        return loss

    def on_train_start(self) -> None:
        """Start the clock; a schedule that the checkpoint did not have begins at the run's step."""
        self._started = time.monotonic()
        for entry in self.trainer.lr_scheduler_configs:
            if isinstance(entry.scheduler, WarmupCosine):
                entry.scheduler.go_to(self.global_step)

    def on_train_end(self) -> None:
        """Look at the last losses that were not yet looked at."""
        self._check_finite()

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its scheduler, if there is one.

        Raises:
            InputError: for options that the optimiser refuses, or a cosine without an end.
        """
        optimizer = self._new_optimizer()
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        if isinstance(scheduler, WarmupCosine) and scheduler.total_steps is None:
            steps = self.trainer.estimated_stepping_batches
            if steps == float("inf"):
                raise InputError(
                    "the run has no known length in steps for WarmupCosine: set trainer.max_steps, "
                    "trainer.max_epochs or model.lr_scheduler.total_steps"
                )
            scheduler.total_steps = int(steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _new_optimizer(self) -> torch.optim.Optimizer:
        try:
            return self.optimizer(self.network.parameters())
        except ValueError as error:
            raise InputError(f"model.optimizer: {error}") from error

    def logged_metrics(self, data: Any) -> list[str]:
        """Return the names that a run with a :class:`~mm.data.MagnificationDataModule` logs."""
        names = [f"train/{name}" for name in (*self.loss.names, "loss", "learning_rate", "samples_seen")]
        names += ["train/samples_per_second", "val/score"]
        moving = {
            each.name for each in data.synthesizer.subsets if each.background_moves or each.objects_move
        }
        measured = moving if self.gain_samples else set()
        return names + [
            f"val/{subset}/{score}"
            for subset in data.subset_names
            for score in COLUMNS
            if score != "gain" or subset in measured
        ]

    # A loss that is not a number

    def _watch(self, loss: Tensor, batch: Batch) -> None:
        names: dict[str, Tensor] = {key: batch[key] for key in ("index", "subset", "seed") if key in batch}
        self._unchecked.append((self.global_step, loss.detach(), names))
        # With one process on a CPU looking is free, and the weights are still good. A GPU would have to be
        # waited for, and other ranks asked.
        free = loss.device.type == "cpu" and self.trainer.world_size == 1
        if free or len(self._unchecked) >= FINITE_CHECK_INTERVAL:
            self._check_finite()

    def _check_finite(self) -> None:
        """Raise if a loss since the last look was not finite, naming the samples of the first such batch.

        All ranks look after the same batch, and find the first such batch of all of them: the averaged
        gradients of one rank's spoil the weights, and so the next loss, of all.
        """
        entries, self._unchecked = self._unchecked, []
        if not entries:
            return
        finite = torch.isfinite(torch.stack([loss for _, loss, _ in entries])).tolist()
        first = finite.index(False) if False in finite else len(entries)
        # A rank that is interrupted cannot ask: the others are anywhere.
        if self.trainer.world_size == 1 or self.trainer.interrupted:
            if first < len(entries):
                self._fail(self._not_finite(*entries[first]))
            return
        strategy = self.trainer.strategy
        firsts = strategy.all_gather(torch.tensor([first], device=self.device)).flatten().tolist()
        rank = firsts.index(min(firsts))
        if firsts[rank] < len(entries):
            own = self._not_finite(*entries[first]) if self.global_rank == rank else ""
            self._fail(strategy.broadcast(own, src=rank))

    def _not_finite(self, step: int, loss: Tensor, names: dict[str, Tensor]) -> str:
        samples = ", ".join(f"{key} {values.tolist()}" for key, values in names.items())
        return (
            f"the loss is {float(loss)} at step {step}, for the samples of {samples} "
            f"(rank {self.global_rank}): lower model.optimizer.lr, set trainer.gradient_clip_val, or use "
            "trainer.precision 32"
        )

    def _fail(self, message: str) -> NoReturn:
        """End all ranks for a reason that all of them know; rank 0 prints it."""
        if self.global_rank > 0:
            # A launcher kills rank 0, before it has printed, if another rank ends badly.
            raise SystemExit(0)
        raise InputError(message)

    # Validation and test

    def on_validation_epoch_start(self) -> None:
        """Make empty scores, one set a subset."""
        self._new_scores()

    def on_test_epoch_start(self) -> None:
        """Make empty scores, one set a subset."""
        self._new_scores()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Score one batch of the subset ``dataloader_idx``; return the clamped prediction, for callbacks."""
        return self._score(batch, dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Score one batch of the test set, as in validation."""
        return self._score(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of each subset and ``val/score``, their mean SSIM."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of each subset and ``test/score``, their mean SSIM."""
        self._log_scores("test")

    def subset_name(self, dataloader_idx: int) -> str:
        """Return the data module's name of the subset of an evaluation dataloader."""
        names = getattr(getattr(self.trainer, "datamodule", None), "subset_names", ())
        return names[dataloader_idx] if dataloader_idx < len(names) else str(dataloader_idx)

    def _new_scores(self) -> None:
        self.scores = {}

    def _score(self, batch: Batch, dataloader_idx: int) -> Tensor:
        name = self.subset_name(dataloader_idx)
        if name not in self.scores:
            # Over all ranks together; every rank has one, because their scores are joined.
            total = self.gain_samples
            share = len(range(self.global_rank, total, self.trainer.world_size))
            self.scores[name] = SubsetScores(max(1, share) if total else 0).to(self.device)
        # In float32 whatever the training precision, as frames are magnified, so that scores compare. In
        # bfloat16 the small motions lose most.
        with torch.autocast(self.device.type, enabled=False):
            prediction = self(batch["xa"], batch["xb"], batch["factor"]).clamp(0, 1)
            self.scores[name].update(batch["xa"], batch["xb"], prediction, batch["y"])
        return prediction

    def _log_scores(self, stage: str) -> None:
        found: dict[str, Tensor] = {}
        for name, scores in self.scores.items():
            found |= {f"{stage}/{name}/{key}": value for key, value in scores.compute().items()}
        ssims = [value for key, value in found.items() if key.endswith("/ssim")]
        if ssims:
            found[f"{stage}/score"] = torch.stack(ssims).mean()
        # compute() has already joined the ranks; averaging equal values spares Lightning's warnings.
        self.log_dict(found, sync_dist=True)
        if not self.trainer.sanity_checking:
            self._latest_scores = {key: float(value) for key, value in found.items()}
            self._scored_at = self.global_step
        self._new_scores()

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a card needs to know; refuse to write weights that are not finite over good ones."""
        self._check_finite()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters()):
            self._fail(
                f"the weights are not finite at step {self.global_step}; no checkpoint of them is written: "
                "resume from the last one with a lower model.optimizer.lr or with trainer.gradient_clip_val"
            )
        elapsed = 0.0 if self._started is None else time.monotonic() - self._started
        checkpoint["training"] = {
            "optimizer": type(self.trainer.optimizers[0]).__name__ if self.trainer.optimizers else None,
            "samples_seen": self.samples_seen,
            "seconds": self.seconds_trained + elapsed,
            "scores": dict(self._latest_scores),
            "scored_at": self._scored_at,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters up where the checkpoint left them.

        The configured options of the optimiser win over the checkpoint's. A run that resumes with averaging
        where there was none starts the average at the plain weights; one that resumes without it leaves the
        average behind.

        Raises:
            InputError: for a checkpoint of another architecture, or of another optimiser.
        """
        own = self.hparams["network_config"]
        saved = config_to_dict(config_from_dict(checkpoint["hyper_parameters"]["network_config"]))
        _check_same("the checkpoint", saved, own)
        state = checkpoint["state_dict"]
        averaged = [name for name in state if name.startswith("ema.")]
        fitting = self._trainer is not None and self.trainer.state.fn == "fit"
        if averaged and self.ema is None and not fitting:
            self.keep_average()
        if self.ema is None:
            checkpoint["state_dict"] = {key: value for key, value in state.items() if key not in averaged}
        elif not averaged:
            plain = [name for name in state if name.startswith("network.")]
            state |= {f"ema.{name.removeprefix('network.')}": state[name].clone() for name in plain}
        training = checkpoint.get("training", {})
        if fitting:
            optimizer = self._new_optimizer()
            # Earlier checkpoints name it among the hyper-parameters; the first ones are Adam's.
            older = {"muon": "MuonAdam"}.get(checkpoint["hyper_parameters"].get("optimizer"), "Adam")
            before = training.get("optimizer") or older
            if before != type(optimizer).__name__:
                raise InputError(
                    f"the checkpoint has the state of {before}, which {type(optimizer).__name__} cannot use: "
                    f"give --model.optimizer {before}, or start anew with --model.initial_weights"
                )
            # Here, not in the optimiser: it places its state by what the loaded groups say of its kernel.
            for entry in checkpoint.get("optimizer_states", []):
                for group in entry["param_groups"]:
                    group |= {name: value for name, value in optimizer.defaults.items() if name in group}
        self.samples_seen = int(training.get("samples_seen", 0))
        self.seconds_trained = float(training.get("seconds", 0.0))
        self._latest_scores = dict(training.get("scores", {}))
        self._scored_at = int(training.get("scored_at", 0))

    def keep_average(self) -> None:
        """Make :attr:`ema`, a copy of the network that is not trained."""
        self.ema = copy.deepcopy(self.network).requires_grad_(False).eval()


def _check_same(source: str, known: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise InputError unless two configurations of a network are the same."""
    differs = [key for key in {**known, **config} if known.get(key) != config.get(key)]
    if differs:
        said = ", ".join(f"{key} {known.get(key)!r}, not {config.get(key)!r}" for key in differs)
        raise InputError(f"{source} is of another architecture than model.network: {said}")
