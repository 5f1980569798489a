"""The LightningModule: the paper's network, loss and optimiser, with validation that measures motion."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig, load
from mm.training.losses import (
    PAPER_WEIGHT,
    Representations,
    amplitude,
    amplitude_by_band,
    coarse,
    log_l1,
    loss_terms,
    mean_square,
    structure,
    total_loss,
)
from mm.training.muon import Muon, hidden_and_other
from mm.training.schedule import Schedule, rate_fraction
from mm.training.scores import SubsetScores

Batch = dict[str, Tensor]

_PAPER = NetworkConfig.paper()

# Steps between two looks at whether the loss is still finite, where looking stops the pipeline or the ranks.
FINITE_CHECK_INTERVAL = 50


class MagnificationModule(pl.LightningModule):
    """Trains a :class:`~mm.networks.MagnificationNetwork` on rendered triplets (Oh et al. 2018, section 3).

    The defaults are the paper's: Adam with β 0.9 and 0.999, learning rate 1e-4 throughout, λ 0.1, no weight
    decay, no averaging.

    Args:
        network_config: the architecture; a plain dict of the same fields is taken too.
        learning_rate: the peak learning rate.
        betas: Adam's decay rates of the mean and of the square.
        weight_decay: L2 penalty, added to the gradient as Adam does.
        loss_weight: λ of the texture and shape terms; at 0 they are neither computed nor logged, and two of
            the four frames are not encoded.
        image_loss: ``l1`` with the true magnified frame (the paper), or ``log``, in which every sample's
            error counts relative to itself (:func:`mm.training.losses.log_l1`), or ``square``.
        ssim_weight: of 1 − SSIM with the true magnified frame, beside its L1; 0 in the paper.
        amplitude_weight: of the error in how far small motions are moved
            (:func:`mm.training.losses.amplitude`); 0 in the paper.
        amplitude_bands: take that error in each band of spatial frequency by itself
            (:func:`mm.training.losses.amplitude_by_band`).
        coarse_weight: of the L1 of means over squares (:func:`mm.training.losses.coarse`), for ablations; 0
            in the paper.
        warmup_steps: optimiser steps over which the learning rate rises linearly.
        schedule: ``constant``, or ``cosine`` down to ``final_learning_rate``.
        final_learning_rate: where ``cosine`` ends.
        total_steps: the step at which ``cosine`` ends; the trainer's ``max_steps`` or ``max_epochs`` if None.
        ema_decay: decay of an exponential moving average of the weights, in (0, 1), which then is what is
            validated and exported; None keeps none.
        channels_last: lay activations out as NHWC, which is faster on GPUs with tensor cores and on CPUs with
            AVX-512; on one without, its backward pass takes half as long again.
        compile: pass the training step's forward pass through ``torch.compile``.
        fused: use the fused Adam kernel. It cannot be joined with gradient clipping under ``16-mixed``, whose
            scaled gradients it would have to see first.
        initial_weights: what :func:`mm.networks.load` takes (a shipped name, a file), to go on from; None
            for a fresh network. A checkpoint that a run resumes from wins over it.
        gain_samples: validation samples a subset whose motion is measured; see :class:`SubsetScores`.
        optimizer: ``adam`` (the paper), or ``muon``: orthogonalised momentum for the hidden convolutions and
            Adam for the rest, which learns more from as many samples; see :class:`mm.training.muon.Muon`.
            It knows no weight decay and no fused kernel.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        network_config: NetworkConfig | dict[str, Any] = _PAPER,
        learning_rate: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        loss_weight: float = PAPER_WEIGHT,
        warmup_steps: int = 0,
        schedule: Schedule = "constant",
        final_learning_rate: float = 0.0,
        total_steps: int | None = None,
        ema_decay: float | None = None,
        channels_last: bool = False,
        compile: bool = False,
        fused: bool = False,
        gain_samples: int = 32,
        initial_weights: str | None = None,
        optimizer: Literal["adam", "muon"] = "adam",
        image_loss: Literal["l1", "log", "square"] = "l1",
        ssim_weight: float = 0.0,
        amplitude_weight: float = 0.0,
        coarse_weight: float = 0.0,
        amplitude_bands: bool = False,
    ) -> None:
        super().__init__()
        config = (
            NetworkConfig.from_dict(network_config) if isinstance(network_config, Mapping) else network_config
        )
        _check(learning_rate > 0, f"model.learning_rate must be above 0, got {learning_rate:g}")
        _check(loss_weight >= 0, f"model.loss_weight must be at least 0, got {loss_weight:g}")
        _check(
            image_loss in ("l1", "log", "square"),
            f"model.image_loss must be l1, log or square, got {image_loss!r}",
        )
        _check(ssim_weight >= 0, f"model.ssim_weight must be at least 0, got {ssim_weight:g}")
        _check(amplitude_weight >= 0, f"model.amplitude_weight must be at least 0, got {amplitude_weight:g}")
        _check(coarse_weight >= 0, f"model.coarse_weight must be at least 0, got {coarse_weight:g}")
        _check(
            amplitude_weight > 0 or not amplitude_bands,
            "model.amplitude_bands is of a term without a weight; give model.amplitude_weight too",
        )
        _check(
            len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
            f"model.betas must be two numbers of at least 0 and below 1, got {tuple(betas)}",
        )
        _check(weight_decay >= 0, f"model.weight_decay must be at least 0, got {weight_decay:g}")
        _check(warmup_steps >= 0, f"model.warmup_steps must be at least 0 steps, got {warmup_steps}")
        _check(
            ema_decay is None or 0 < ema_decay < 1,
            f"model.ema_decay must be above 0 and below 1, got {ema_decay}",
        )
        _check(
            0 <= final_learning_rate <= learning_rate,
            f"model.final_learning_rate must be between 0 and model.learning_rate ({learning_rate:g}), "
            f"got {final_learning_rate:g}",
        )
        _check(optimizer in ("adam", "muon"), f"model.optimizer must be adam or muon, got {optimizer!r}")
        _check(
            optimizer == "adam" or not (weight_decay or fused),
            "model.optimizer muon has no weight decay and no fused kernel; leave model.weight_decay and "
            "model.fused out, or use adam",
        )
        # Not the initial weights: a checkpoint has its own.
        # Plain values only, so that a checkpoint loads with weights_only=True and needs no class of ours.
        self.save_hyperparameters(
            {
                "network_config": asdict(config),
                "learning_rate": learning_rate,
                "betas": tuple(betas),
                "weight_decay": weight_decay,
                "loss_weight": loss_weight,
                "image_loss": image_loss,
                "ssim_weight": ssim_weight,
                "amplitude_weight": amplitude_weight,
                "amplitude_bands": amplitude_bands,
                "coarse_weight": coarse_weight,
                "warmup_steps": warmup_steps,
                "schedule": schedule,
                "final_learning_rate": final_learning_rate,
                "total_steps": total_steps,
                "ema_decay": ema_decay,
                "channels_last": channels_last,
                "compile": compile,
                "fused": fused,
                "optimizer": optimizer,
                "gain_samples": gain_samples,
            },
            logger=False,
        )
        self.network = MagnificationNetwork(config)
        if initial_weights is not None:
            known = load(initial_weights)
            differs = [key for key, value in asdict(config).items() if asdict(known.config)[key] != value]
            _check(
                not differs,
                f"model.initial_weights {initial_weights!r} is another architecture than "
                "model.network_config: "
                + ", ".join(
                    f"{key} {getattr(known.config, key)} and {getattr(config, key)}" for key in differs
                ),
            )
            self.network.load_state_dict(known.state_dict())
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Kept as a network of its own (its keys in a checkpoint are "ema.<parameter>"): validation and export
        # use it as it is, and nothing has to be swapped in and out.
        self.ema: MagnificationNetwork | None = None
        if ema_decay is not None:
            self.ema = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.scores: dict[str, SubsetScores] = {}
        self.samples_seen = 0
        self.seconds_trained = 0.0
        self._started: float | None = None
        # The learning rate of a step as a fraction of its peak.
        self._rate: Callable[[int], float] = partial(rate_fraction, schedule="constant")
        self._latest_scores: dict[str, float] = {}
        self._scored_at = 0
        # Of each step not yet looked at: its number, its loss, and what names its samples.
        self._unchecked: list[tuple[int, Tensor, dict[str, Tensor]]] = []
        self._training_forward = (
            torch.compile(self._predict_and_represent) if compile else self._predict_and_represent
        )

    # The network

    @property
    def averaged(self) -> MagnificationNetwork:
        """The network to validate and export: the averaged one where there is one."""
        return self.network if self.ema is None else self.ema

    def forward(self, xa: Tensor, xb: Tensor, factor: Tensor | float) -> Tensor:
        """Return ``xb`` with its motion relative to ``xa`` multiplied by ``factor``, unclamped.

        Args:
            xa: reference frame, (B, 3, H, W) in [0, 1].
            xb: moved frame, of the same shape.
            factor: total gain of the displacement, at least 0; one for all or (B,).
        """
        return self.averaged(self._layout(xa), self._layout(xb), factor)

    def _layout(self, frames: Tensor) -> Tensor:
        return (
            frames.contiguous(memory_format=torch.channels_last) if self.hparams["channels_last"] else frames
        )

    def _predict_and_represent(self, frames: Tensor, factor: Tensor) -> tuple[Tensor, Representations | None]:
        """Encode xa, xb and, if they are there, xb_perturbed and y_perturbed; decode the magnified frame.

        Args:
            frames: (2B, …) or (4B, …), one after the other: one batch for the encoder.
            factor: (B,).

        Returns:
            Ŷ (B, 3, H, W), and what the representations' terms compare, None without the perturbed frames.
        """
        count, (height, width) = len(factor), frames.shape[-2:]
        # No term looks at the shape of y_perturbed.
        seen = {"shapes": 3 * count} if len(frames) > 3 * count else {}
        texture, shape = self.network.encode(frames, **seen)
        textures, shapes = texture.split(count), shape.split(count)
        magnified = self.network.manipulate(shapes[0], shapes[1], factor)
        prediction = self.network.decode(textures[1], magnified, (height, width))
        if len(textures) == 2:
            return prediction, None
        texture_a, texture_b, texture_bp, texture_yp = textures
        return prediction, Representations(texture_a, texture_bp, texture_yp, texture_b, shapes[1], shapes[2])

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one rendered batch, and log each of its terms."""
        # Without λ nothing looks at the perturbed frames.
        seen = ("xa", "xb", "xb_perturbed", "y_perturbed") if self.hparams["loss_weight"] else ("xa", "xb")
        if missing := [name for name in seen if name not in batch]:
            raise InputError(
                f"the terms of model.loss_weight {self.hparams['loss_weight']:g} look at frames that are not "
                f"rendered, {', '.join(missing)}; set data.synthesizer.init_args.perturbed to true"
            )
        frames = self._layout(torch.cat([batch[name] for name in seen]))
        prediction, features = self._training_forward(frames, batch["factor"])
        terms = loss_terms(prediction, batch["y"], features)
        if self.hparams["image_loss"] == "log":
            terms["image_log"] = log_l1(prediction, batch["y"])
        elif self.hparams["image_loss"] == "square":
            terms["image_square"] = mean_square(prediction, batch["y"])
        if self.hparams["ssim_weight"]:
            terms["structure"] = structure(prediction, batch["y"])
        if self.hparams["amplitude_weight"]:
            moved = amplitude_by_band if self.hparams["amplitude_bands"] else amplitude
            terms["amplitude"] = moved(prediction, batch["y"], batch["xa"], batch["change"])
        if self.hparams["coarse_weight"]:
            terms["coarse"] = coarse(prediction, batch["y"])
        loss = total_loss(
            terms,
            self.hparams["loss_weight"],
            ssim_weight=self.hparams["ssim_weight"],
            amplitude_weight=self.hparams["amplitude_weight"],
            coarse_weight=self.hparams["coarse_weight"],
        )
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
        """Start the clock, and let a changed learning rate win over the one in a checkpoint."""
        self._started = time.monotonic()
        for entry in self.trainer.lr_scheduler_configs:
            entry.scheduler.base_lrs = [self.hparams["learning_rate"] for _ in entry.scheduler.base_lrs]
            # A schedule that the checkpoint's run did not have would begin at its first step.
            entry.scheduler.last_epoch = self.global_step
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.hparams["learning_rate"] * self._rate(self.global_step)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step, and move the averaged weights.

        Here and not in ``on_train_batch_end``, which runs after the callbacks': a checkpoint that they write
        would hold an average that is a step behind its weights.
        """
        super().optimizer_step(*args, **kwargs)
        if self.ema is None:
            return
        # Early weights are far from good ones: an average that starts at once would carry them for long.
        steps = self.global_step + 1
        decay = min(float(self.hparams["ema_decay"]), (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(list(self.ema.parameters()), list(self.network.parameters()), None)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, also for the fused optimiser, wherever gradients are not scaled.

        Lightning refuses that under any mixed precision.

        Raises:
            InputError: for the fused optimiser under ``16-mixed``.
        """
        plugin = self.trainer.precision_plugin
        if not self.hparams["fused"] or gradient_clip_val is None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        _check(
            getattr(plugin, "scaler", None) is None,
            "model.fused cannot be joined with trainer.gradient_clip_val under trainer.precision 16-mixed: "
            "use bf16-mixed, or leave one of them out",
        )
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
        Precision.clip_gradients(plugin, optimizer, gradient_clip_val, algorithm)

    def on_train_end(self) -> None:
        """Look at the last losses that were not yet looked at."""
        self._check_finite()

    def configure_optimizers(self) -> Any:
        """Return the optimiser and, unless the rate is constant from the first step, its schedule."""
        options = self.hparams
        optimizer = self._optimizer()
        if options["schedule"] == "constant" and options["warmup_steps"] == 0:
            return optimizer
        total = self._total_steps() if options["schedule"] == "cosine" else 0
        self._rate = partial(
            rate_fraction,
            schedule=options["schedule"],
            warmup_steps=options["warmup_steps"],
            total_steps=total,
            final_fraction=options["final_learning_rate"] / options["learning_rate"],
        )
        # A lambda, not the partial: the scheduler would put a callable object's state into the checkpoint.
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _optimizer(self) -> torch.optim.Optimizer:
        rate, options = self.hparams["learning_rate"], self._optimizer_options()
        if self.hparams["optimizer"] == "muon":
            return Muon(hidden_and_other(self.network), lr=rate, betas=options["betas"])
        return torch.optim.Adam(self.network.parameters(), lr=rate, **options)

    def _optimizer_options(self) -> dict[str, Any]:
        options = self.hparams
        return {
            "betas": tuple(options["betas"]),
            "weight_decay": options["weight_decay"],
            "fused": options["fused"] or None,
        }

    def _total_steps(self) -> int:
        if self.hparams["total_steps"] is not None:
            return int(self.hparams["total_steps"])
        steps = self.trainer.estimated_stepping_batches
        _check(
            steps != float("inf"),
            "model.schedule is cosine, but the run has no known length in steps: set model.total_steps, "
            "trainer.max_steps or trainer.max_epochs, or use model.schedule constant",
        )
        return int(steps)

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
            f"(rank {self.global_rank}): lower model.learning_rate, set trainer.gradient_clip_val, or use "
            "trainer.precision 32"
        )

    def _fail(self, message: str) -> NoReturn:
        """End all ranks for a reason that all of them know: rank 0 says it."""
        if self.global_rank > 0:
            # Well, for whoever started the ranks would else kill rank 0 before it has spoken.
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
        """Return what the data module calls the subset of an evaluation dataloader."""
        names = getattr(getattr(self.trainer, "datamodule", None), "subset_names", ())
        return names[dataloader_idx] if dataloader_idx < len(names) else str(dataloader_idx)

    def _new_scores(self) -> None:
        self.scores = {}

    def _score(self, batch: Batch, dataloader_idx: int) -> Tensor:
        name = self.subset_name(dataloader_idx)
        if name not in self.scores:
            # Over all ranks together; every rank has one, for their scores are joined.
            total = self.hparams["gain_samples"]
            share = len(range(self.global_rank, total, self.trainer.world_size))
            self.scores[name] = SubsetScores(max(1, share) if total else 0).to(self.device)
        # In float32 whatever the training precision: so it magnifies, and so scores compare. In bfloat16 the
        # small motions lose most.
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
                "go on from the last one with a lower model.learning_rate or with trainer.gradient_clip_val"
            )
        elapsed = 0.0 if self._started is None else time.monotonic() - self._started
        checkpoint["training"] = {
            "samples_seen": self.samples_seen,
            "seconds": self.seconds_trained + elapsed,
            "scores": dict(self._latest_scores),
            "scored_at": self._scored_at,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters up where the checkpoint left them, and fit its averaged weights to ours.

        Changed options of the optimiser win over the checkpoint's; the learning rate does so in
        :meth:`on_train_start`. A run that goes on with averaging where there was none starts the average at
        the plain weights; one that goes on without it leaves the average behind.
        """
        state = checkpoint["state_dict"]
        averaged = [name for name in state if name.startswith("ema.")]
        if self.ema is None:
            checkpoint["state_dict"] = {key: value for key, value in state.items() if key not in averaged}
        elif not averaged:
            plain = [name for name in state if name.startswith("network.")]
            state |= {f"ema.{name.removeprefix('network.')}": state[name].clone() for name in plain}
        # Here, not in the optimiser: it places its state by what the loaded groups say of its kernel.
        options = self._optimizer_options()
        for optimizer in checkpoint.get("optimizer_states", []):
            for group in optimizer["param_groups"]:
                group |= {name: value for name, value in options.items() if name in group}
        training = checkpoint.get("training", {})
        self.samples_seen = int(training.get("samples_seen", 0))
        self.seconds_trained = float(training.get("seconds", 0.0))
        self._latest_scores = dict(training.get("scores", {}))
        self._scored_at = int(training.get("scored_at", 0))


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
