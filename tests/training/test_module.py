"""The LightningModule: it trains, averages, scores, writes plain values, and stops when it must."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import load, save
from mm.training import (
    AtomicCheckpointIO,
    LastCheckpoint,
    MagnificationModule,
    MuonAdam,
    PaperLoss,
    WarmupCosine,
    WeightAverage,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available.*")


def adam(lr: float, **options: Any) -> partial[torch.optim.Adam]:
    return partial(torch.optim.Adam, lr=lr, **options)


def cosine(**options: Any) -> partial[WarmupCosine]:
    return partial(WarmupCosine, **options)


def test_loss_falls_when_one_batch_is_learned(data, trainer, tiny):
    pl.seed_everything(0)
    module = MagnificationModule(tiny, optimizer=adam(1e-3))
    source = data(count=4)
    run = trainer(max_steps=40, limit_val_batches=0)
    batch = next(iter(source.train_dataloader()))
    with torch.no_grad():
        before = (module(batch["xa"], batch["xb"], batch["factor"]) - batch["y"]).abs().mean()
    run.fit(module, source)
    with torch.no_grad():
        after = (module(batch["xa"], batch["xb"], batch["factor"]) - batch["y"]).abs().mean()
    assert after < 0.6 * before


def test_perturbed_frames_are_needed_where_there_is_a_weight_on_them(data, tiny, trainer):
    """And nowhere else."""
    source = data(count=4)
    whole = source.train_dataloader().dataset
    fewer = [
        {name: value for name, value in whole[item].items() if "perturbed" not in name}
        for item in range(len(whole))
    ]
    source.train_dataloader = lambda: torch.utils.data.DataLoader(fewer, batch_size=4)
    with pytest.raises(InputError, match=r"reads xb_perturbed, y_perturbed.*data.synthesizer.perturbed"):
        trainer(max_steps=1, limit_val_batches=0).fit(MagnificationModule(tiny, PaperLoss(0.1)), source)
    run = trainer(max_steps=1, limit_val_batches=0)
    run.fit(MagnificationModule(tiny, PaperLoss(0.0)), source)
    assert run.callback_metrics["train/loss"].isfinite()


def test_training_step_is_the_paper_s_loss(data, tiny, trainer):
    """The step against the loss written out with the network's own parts, one frame at a time."""
    module = MagnificationModule(tiny, PaperLoss(0.1))
    source = data(count=4)
    batch = next(iter(source.train_dataloader()))
    network = module.network
    with torch.no_grad():
        texture = {}
        shape = {}
        for name in ("xa", "xb", "xb_perturbed", "y_perturbed"):
            texture[name], shape[name] = network.encode(batch[name])
        output = network.decode(
            texture["xb"],
            network.manipulate(shape["xa"], shape["xb"], batch["factor"]),
            batch["y"].shape[-2:],
        )
        expected = (output - batch["y"]).abs().mean() + 0.1 * (
            (texture["xa"] - texture["xb"]).abs().mean()
            + (texture["xb_perturbed"] - texture["y_perturbed"]).abs().mean()
            + (shape["xb"] - shape["xb_perturbed"]).abs().mean()
        )
    run = trainer(max_steps=1, limit_val_batches=0)
    run.fit(module, source)
    torch.testing.assert_close(run.callback_metrics["train/loss"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"image": "log", "ssim": 0.3, "motion_gain": 0.2}])
def test_without_lambda_the_perturbed_frames_are_not_encoded(data, tiny, trainer, monkeypatch, options):
    """The same loss and gradients as with a λ that weighs nothing, from half as many encodings."""
    encoded: list[tuple[int, int]] = []

    def step(weight: float) -> dict:
        pl.seed_everything(0)
        module = MagnificationModule(tiny, PaperLoss(weight, **options))
        encode = module.network.encode

        def counting(frames, shapes):
            texture, shape = encode(frames, shapes)
            encoded.append((len(texture), len(shape)))
            return texture, shape

        monkeypatch.setattr(module.network, "encode", counting)
        trainer(max_steps=1, limit_val_batches=0).fit(module, data(count=4))
        return {name: parameter.grad.clone() for name, parameter in module.network.named_parameters()}

    none, next_to_none = step(0.0), step(1e-12)
    assert encoded == [(8, 8), (16, 12)]
    assert none.keys() == next_to_none.keys()
    for name, gradient in none.items():
        torch.testing.assert_close(gradient, next_to_none[name], rtol=1e-4, atol=1e-7, msg=name)


def test_other_losses_than_the_paper_s(data, tiny, trainer):
    def metrics(**options) -> dict:
        pl.seed_everything(0)
        run = trainer(max_steps=1, limit_val_batches=0)
        run.fit(MagnificationModule(tiny, PaperLoss(**options)), data(count=4))
        return {name.removeprefix("train/"): float(value) for name, value in run.callback_metrics.items()}

    paper, structured, logarithmic = metrics(), metrics(ssim=0.5), metrics(image="log")
    assert not {"ssim", "image_log"} & set(paper)
    assert structured["loss"] == pytest.approx(paper["loss"] + 0.5 * structured["ssim"])
    moved = metrics(motion_gain=0.5)
    assert "motion_gain" not in paper
    assert moved["motion_gain"] > 0.1
    assert moved["loss"] == pytest.approx(paper["loss"] + 0.5 * moved["motion_gain"])
    banded = metrics(motion_gain=0.5, by_band=True)
    assert banded["motion_gain"] > 0.1
    assert banded["motion_gain"] != pytest.approx(moved["motion_gain"], rel=1e-3)
    assert banded["loss"] == pytest.approx(paper["loss"] + 0.5 * banded["motion_gain"])
    # L1 is logged all the same, so that runs can be compared.
    assert logarithmic["image"] == pytest.approx(paper["image"])
    assert logarithmic["loss"] == pytest.approx(paper["loss"] - paper["image"] + logarithmic["image_log"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_trains_in_each_precision_and_layout(data, trainer, tiny, precision, channels_last):
    pl.seed_everything(0)
    module = MagnificationModule(tiny, channels_last=channels_last)
    run = trainer(precision=precision, max_steps=3)
    run.fit(module, data())
    assert math.isfinite(run.callback_metrics["train/loss"])
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="16-mixed and the sparing of waits are for a GPU")
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "32-true"])
def test_trains_on_a_gpu(data, trainer, tiny, precision):
    module = MagnificationModule(tiny, channels_last=True)
    run = trainer(
        accelerator="cuda", devices=1, precision=precision, max_steps=3, callbacks=[WeightAverage(0.9)]
    )
    run.fit(module, data())
    assert math.isfinite(run.callback_metrics["train/loss"])
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())


def test_validation_reports_each_subset(data, trainer, tiny):
    module = MagnificationModule(tiny)
    run = trainer()
    run.validate(module, data(), verbose=False)
    found = run.callback_metrics
    for subset in ("moving", "static"):
        for name in ("psnr", "ssim", "l1", "copy_ssim", "copy_l1"):
            assert f"val/{subset}/{name}" in found
    assert "val/moving/gain" in found
    # Nothing moves there: there is no gain to measure.
    assert "val/static/gain" not in found
    mean = (found["val/moving/ssim"] + found["val/static/ssim"]) / 2
    torch.testing.assert_close(found["val/score"], mean)
    # A static scene is its own magnification.
    assert found["val/static/copy_l1"] == 0
    assert found["val/moving/copy_l1"] > 0.01


class Oracle(MagnificationModule):
    """Gives the input, or the truth, instead of a network's answer, so that the scores are known."""

    answer = "y"

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.forward = lambda xa, xb, factor: batch[self.answer]
        return super().validation_step(batch, batch_idx, dataloader_idx)


@pytest.mark.parametrize(("answer", "gain"), [("y", 1.0), ("xb", 1 / 3), ("xa", 0.0)])
def test_gain_of_known_answers(data, trainer, tiny, answer, gain):
    module = Oracle(tiny)
    module.answer = answer
    run = trainer()
    run.validate(module, data(), verbose=False)
    assert run.callback_metrics["val/moving/gain"] == pytest.approx(gain, abs=0.02)
    if answer == "y":
        assert run.callback_metrics["val/moving/ssim"] == pytest.approx(1, abs=1e-5)
    if answer == "xb":
        copied = run.callback_metrics["val/moving/copy_ssim"]
        torch.testing.assert_close(run.callback_metrics["val/moving/ssim"], copied)


def test_average_follows_the_weights(data, trainer, tiny):
    """The running average against one kept here, step by step."""
    module = MagnificationModule(tiny, optimizer=adam(1e-2))
    expected = {name: value.clone() for name, value in module.network.state_dict().items()}

    class Follow(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            decay = min(0.6, (1 + trainer.global_step) / (10 + trainer.global_step))
            for name, value in pl_module.network.state_dict().items():
                expected[name] = decay * expected[name] + (1 - decay) * value

    trainer(max_steps=8, callbacks=[WeightAverage(0.6), Follow()], limit_val_batches=0).fit(module, data())
    for name, value in module.ema.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert module.averaged is module.ema


def test_average_counts_optimiser_steps_not_batches(data, trainer, tiny):
    module = MagnificationModule(tiny, optimizer=adam(0.1))
    before = [parameter.clone() for parameter in module.network.parameters()]
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            moved = any(
                not torch.equal(a, b) for a, b in zip(before, pl_module.ema.parameters(), strict=True)
            )
            seen.append((trainer.global_step, moved))

    callbacks = [WeightAverage(0.9), Watch()]
    run = trainer(max_steps=2, accumulate_grad_batches=2, callbacks=callbacks, limit_val_batches=0)
    run.fit(module, data())
    assert seen == [(0, False), (0, False), (1, True), (1, True)]


def test_checkpoint_holds_plain_values_only(data, trainer, tiny, tmp_path):
    path = tmp_path / "checkpoints"
    module = MagnificationModule(tiny, None, adam(2e-4, betas=(0.8, 0.99)), cosine(warmup_steps=2))
    run = trainer(
        enable_checkpointing=True,
        callbacks=[LastCheckpoint(str(path)), WeightAverage(0.9)],
        plugins=[AtomicCheckpointIO()],
        max_steps=3,
    )
    run.fit(module, data())
    checkpoint = torch.load(path / "last.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["network_config"] == asdict(NetworkConfig.from_dict(tiny))
    assert checkpoint["training"]["samples_seen"] == 12
    assert checkpoint["training"]["seconds"] > 0
    names = {name for name, _ in module.network.named_parameters()}
    state = checkpoint["state_dict"]
    assert {name.removeprefix("ema.") for name in state if name.startswith("ema.")} == names
    assert {name.removeprefix("network.") for name in state if name.startswith("network.")} == names

    again = MagnificationModule.load_from_checkpoint(path / "last.ckpt", weights_only=True, network=tiny)
    assert dict(again.hparams) == dict(module.hparams)
    for name, value in again.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])
    # The package's own loader takes the average.
    network = load(path / "last.ckpt")
    assert isinstance(network, MagnificationNetwork)
    for name, value in network.state_dict().items():
        assert torch.equal(value, module.ema.state_dict()[name])


def test_resumed_run_equals_uninterrupted_run(data, trainer, tiny, tmp_path):
    def module():
        pl.seed_everything(3)
        return MagnificationModule(tiny, lr_scheduler=cosine(warmup_steps=2, total_steps=8))

    whole = module()
    trainer(max_steps=8, limit_val_batches=0, callbacks=[WeightAverage(0.9)]).fit(whole, data(count=4))
    first = module()
    # One batch an epoch: these data are the same wherever a run goes on.
    run = trainer(
        max_steps=4,
        enable_checkpointing=True,
        callbacks=[LastCheckpoint(str(tmp_path / "c")), WeightAverage(0.9)],
        plugins=[AtomicCheckpointIO()],
        limit_val_batches=0,
    )
    run.fit(first, data(count=4))
    second = module()
    run = trainer(max_steps=8, limit_val_batches=0, callbacks=[WeightAverage(0.9)])
    run.fit(second, data(count=4), ckpt_path=str(tmp_path / "c" / "last.ckpt"), weights_only=True)
    assert run.global_step == 8
    assert second.samples_seen == 32
    for name, value in second.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-5, atol=1e-7)


def test_changed_learning_rate_wins_over_the_checkpoint(data, trainer, tiny, tmp_path):
    run = trainer(
        max_steps=2, enable_checkpointing=True, callbacks=[LastCheckpoint(str(tmp_path))], limit_val_batches=0
    )
    run.fit(MagnificationModule(tiny, optimizer=adam(1e-3)), data())
    for schedule in (None, cosine(total_steps=10**6)):
        module = MagnificationModule(tiny, None, adam(5e-4), schedule)
        run = trainer(max_steps=3, limit_val_batches=0)
        run.fit(module, data(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
        assert run.callback_metrics["train/learning_rate"] == pytest.approx(5e-4, rel=1e-3)


def test_a_schedule_that_the_checkpoint_did_not_have_goes_on_at_its_step(data, trainer, tiny, tmp_path):
    run = trainer(
        max_steps=3, enable_checkpointing=True, callbacks=[LastCheckpoint(str(tmp_path))], limit_val_batches=0
    )
    run.fit(MagnificationModule(tiny, optimizer=adam(1e-3)), data())
    rates = []

    class Note(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = MagnificationModule(tiny, None, adam(1e-3), cosine(total_steps=6))
    again = trainer(max_steps=6, limit_val_batches=0, callbacks=[Note()])
    again.fit(module, data(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
    # Half of a cosine from step 0 to step 6.
    expected = [1e-3 * (1 + math.cos(math.pi * step / 6)) / 2 for step in (3, 4, 5)]
    assert rates == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, MuonAdam])
def test_changed_options_of_the_optimiser_win_over_the_checkpoint(data, trainer, tiny, tmp_path, optimizer):
    run = trainer(
        max_steps=2, enable_checkpointing=True, callbacks=[LastCheckpoint(str(tmp_path))], limit_val_batches=0
    )
    run.fit(MagnificationModule(tiny, optimizer=partial(optimizer, lr=1e-4)), data())
    changed = {"betas": (0.7, 0.9)}
    if optimizer is not MuonAdam:
        changed |= {"weight_decay": 0.01, "fused": True}
    before = {name: run.optimizers[0].param_groups[0][name] for name in changed}
    seen = {}

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            for group in trainer.optimizers[0].param_groups:
                seen.update({name: group[name] for name in changed})
            # The state is the checkpoint's all the same.
            state = list(trainer.optimizers[0].state.values())
            assert len(state) == len(list(pl_module.parameters()))
            assert {int(one["step"]) for one in state if "step" in one} == {2}

    again = trainer(max_steps=3, limit_val_batches=0, callbacks=[Look()])
    module = MagnificationModule(tiny, optimizer=partial(optimizer, lr=1e-4, **changed))
    again.fit(module, data(), ckpt_path=str(tmp_path / "last.ckpt"), weights_only=True)
    assert again.global_step == 3
    assert seen == changed != before


def test_the_compiled_step_is_the_plain_one(data, trainer, tiny, monkeypatch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend=backend))
    found = {}
    for compiled in (False, True):
        pl.seed_everything(0)
        module = MagnificationModule(tiny, compile=compiled)
        run = trainer(max_steps=2, limit_val_batches=0)
        run.fit(module, data(count=8))
        assert bool(graphs) == compiled
        found[compiled] = run.callback_metrics["train/loss"], module.network.state_dict()
    torch.testing.assert_close(found[True], found[False])


def test_loss_that_is_not_finite_names_its_samples(data, trainer, tiny, tmp_path):
    module = MagnificationModule(tiny)
    run = trainer(max_steps=10, enable_checkpointing=True, callbacks=[LastCheckpoint(str(tmp_path), steps=1)])
    with pytest.raises(
        InputError, match=r"loss is nan at step 1, for the samples of index \[4, 5, 6, 7\].*optimizer.lr"
    ):
        run.fit(module, data(spoil=5))
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1


def test_loss_that_is_not_finite_names_the_seeds_of_rendered_samples(data, trainer, tiny):
    """A rendered sample is a function of its seed and index: by them the batch can be made again."""

    class Seeded(type(data())):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch | {"seed": 1000 + batch["index"]}

    module = MagnificationModule(tiny)
    with pytest.raises(
        InputError,
        match=r"samples of index \[4, 5, 6, 7\], subset \[0, 0, 0, 0\], seed \[1004, 1005, 1006, 1007\] "
        r"\(rank 0\)",
    ):
        trainer(max_steps=10, limit_val_batches=0).fit(module, Seeded(spoil=5))


class Ranks:
    """What a rank of two hears: at which of the batches not looked at its own and the other's loss broke."""

    def __init__(self, firsts: list[int], says: str) -> None:
        self.firsts, self.says = firsts, says

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        self.own = tensor.tolist()
        return torch.tensor(self.firsts)[:, None]

    def broadcast(self, message: str, src: int) -> str:
        self.sent, self.source = message, src
        return message or self.says


@pytest.mark.parametrize(
    ("rank", "losses", "firsts", "source", "sent"),
    [
        # The other one's broke first, and spoilt the weights of both.
        (0, [0.5, 0.5, math.nan], [2, 1], 1, ""),
        (1, [0.5, math.nan, math.nan], [2, 1], 1, "the loss is nan at step 7, for the samples of index [1]"),
        (0, [math.inf, math.nan, math.nan], [0, 1], 0, "the loss is inf at step 7, for the samples of index"),
        (0, [0.5, 0.5, 0.5], [3, 2], 1, ""),
        (1, [0.5, 0.5, 0.5], [3, 3], None, None),
    ],
)
def test_ranks_name_the_samples_that_broke_first(tiny, rank, losses, firsts, source, sent):
    module, ranks = MagnificationModule(tiny), Ranks(firsts, "the loss is nan, on the other")
    module._trainer = SimpleNamespace(
        world_size=2, global_rank=rank, global_step=7, interrupted=False, strategy=ranks
    )
    for index, loss in enumerate(losses):
        module._watch(torch.tensor(loss), {"index": torch.tensor([index])})
        # To look is to wait for the other rank: not at each step.
        assert not hasattr(ranks, "own")
    if source is None:
        module._check_finite()
    else:
        with pytest.raises(InputError if rank == 0 else SystemExit) as ended:
            module._check_finite()
        assert (ranks.source, ranks.sent[: len(sent) or None]) == (source, sent)
        # The launcher kills rank 0, which is to say it, when another one ends badly.
        assert str(ended.value) == ("0" if rank else ranks.sent or ranks.says)
    assert ranks.own == [firsts[rank]]


def test_weights_that_are_not_finite_are_not_saved(data, trainer, tiny, tmp_path):
    module = MagnificationModule(tiny)
    run = trainer(max_steps=1, limit_val_batches=0)
    run.fit(module, data())
    next(module.network.parameters()).data.fill_(float("inf"))
    with pytest.raises(InputError, match="weights are not finite at step 1"):
        run.save_checkpoint(tmp_path / "poisoned.ckpt")
    assert not list(tmp_path.glob("*poisoned*"))


@pytest.mark.parametrize("option", [{"lr": -1.0}, {"betas": (1.5, 0.999)}, {"weight_decay": -1.0}])
def test_options_that_the_optimiser_refuses(data, trainer, tiny, option):
    module = MagnificationModule(tiny, optimizer=partial(torch.optim.Adam, **option))
    with pytest.raises(InputError, match=r"model\.optimizer: Invalid"):
        trainer().fit(module, data())


def test_a_decay_out_of_range():
    with pytest.raises(InputError, match=r"decay must be .* got 1"):
        WeightAverage(1.0)


def test_cosine_needs_a_length(data, trainer, tiny):
    with pytest.raises(InputError, match="no known length"):
        trainer(max_steps=-1, max_epochs=-1, max_time="00:00:00:01").fit(
            MagnificationModule(tiny, lr_scheduler=cosine()), data()
        )


def test_goes_on_from_weights(tiny, tmp_path):
    known = MagnificationNetwork(NetworkConfig(**tiny))
    path = tmp_path / "known.safetensors"
    save(known, path, {})
    module = MagnificationModule(NetworkConfig(**tiny), initial_weights=str(path))
    assert all(
        torch.equal(a, b) for a, b in zip(module.network.parameters(), known.parameters(), strict=True)
    )
    # A checkpoint must load where that file is not.
    assert "initial_weights" not in module.hparams
    with pytest.raises(InputError, match="another architecture"):
        MagnificationModule(NetworkConfig(), initial_weights=str(path))
