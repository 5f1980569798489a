from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning import LightningDataModule, LightningModule, Trainer

import mm.data
from mm.data import (
    CodecStage,
    FolderOfCutouts,
    FolderOfPhotographs,
    ImageSource,
    JoinedSources,
    MagnificationDataModule,
    MixedDataModule,
    ProceduralPhotographs,
    Split,
)
from mm.data.datamodule import _prepare_worker
from mm.errors import InputError
from mm.synthesis import SUBSETS, MotionLimits, Synthesizer

NAMES = ("sharp", "blurred", "background", "static", "objects")


def synthesizer() -> Synthesizer:
    return Synthesizer(
        height=24, width=32, limits=MotionLimits(max_motion=1.0, max_magnified=4.0), max_objects=15
    )


def module(
    photographs: Path, cutouts: Path, kind: type[MagnificationDataModule] = MixedDataModule, **options: Any
):
    options = {"num_workers": 0, "validation_samples": 3, "samples_per_epoch": 24, "batch_size": 3} | options
    made = kind(
        photographs=[str(photographs)],
        cutouts=[str(cutouts)],
        synthesizer=synthesizer(),
        split=Split(0.6, 0.2, 0.2),
        **options,
    )
    made.setup("fit")
    return made


def stacked(loader: Any) -> dict[str, torch.Tensor]:
    batches = list(loader)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_validation_is_one_fixed_set_a_subset_whatever_the_loading(photographs: Path, cutouts: Path) -> None:
    reference = [stacked(loader) for loader in module(photographs, cutouts).val_dataloader()]
    assert [set(part["subset"].tolist()) for part in reference] == [{0}, {1}, {2}, {3}, {4}]
    assert [part["index"].tolist() for part in reference] == [[0, 1, 2]] * 5
    for options in ({"batch_size": 2, "cache_mb": 0}, {"num_workers": 1}):
        loaders = module(photographs, cutouts, **options).val_dataloader()
        assert all(same(stacked(loader), part) for loader, part in zip(loaders, reference, strict=True))
    first, second = (part["seed"] for part in reference[:2])
    assert not set(first.tolist()) & set(second.tolist())
    tests = stacked(module(photographs, cutouts).test_dataloader()[0])
    assert not set(tests["seed"].tolist()) & set(first.tolist())


def test_stages_share_no_photograph_and_no_cutout(photographs: Path, cutouts: Path) -> None:
    made = module(photographs, cutouts)
    for kind in ("photographs", "cutouts"):
        banks = [getattr(made.dataset(stage), kind) for stage in ("train", "val", "test")]
        names = [{bank.source.identity(int(i)) for i in bank.indices} for bank in banks]
        assert sum(map(len, names)) == len(set.union(*names)) == (24 if kind == "photographs" else 20)
        assert all(names)


@pytest.mark.parametrize("workers", [1, 2])
def test_training_samples_do_not_depend_on_workers_or_batches(
    photographs: Path, cutouts: Path, workers: int
) -> None:
    reference = stacked(module(photographs, cutouts).train_dataloader())
    assert reference["index"].tolist() == list(range(24))
    other = module(photographs, cutouts, num_workers=workers, batch_size=4)
    assert same(stacked(other.train_dataloader()), reference)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_module_for_each_subset(photographs: Path, cutouts: Path, name: str) -> None:
    made = module(photographs, cutouts, getattr(mm.data, f"{name.capitalize()}DataModule"))
    assert made.subset_names == (name,)
    index = NAMES.index(name)
    assert set(stacked(made.train_dataloader())["subset"].tolist()) == {index}
    (loader,) = made.val_dataloader()
    assert set(stacked(loader)["subset"].tolist()) == {index}


def test_batches_are_rendered_after_the_transfer(photographs: Path, cutouts: Path) -> None:
    made = module(photographs, cutouts)
    layers = next(iter(made.train_dataloader()))
    rendered = made.on_after_batch_transfer(layers, 0)
    for name in ("xa", "xb", "y", "xb_perturbed", "y_perturbed"):
        frame = rendered[name]
        assert frame.shape == (3, 3, 24, 32)
        assert frame.dtype == torch.float32
        assert 0 <= frame.min() < frame.max() <= 1
        assert not frame.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        again = made.on_after_batch_transfer(layers, 0)
    assert same(rendered, again), "coordinates must not be rounded to the training's precision"
    assert made.on_after_batch_transfer({"xa": 1}, 0) == {"xa": 1}


class Means(LightningModule):
    """Records the mean of every target."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[tuple[int, float]] = []
        self.validated: list[tuple[int, int, float]] = []

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        means = batch["y"].mean(dim=(1, 2, 3))
        self.trained += zip(batch["index"].tolist(), means.tolist(), strict=True)
        return (means * self.weight).sum()

    def validation_step(
        self, batch: dict[str, torch.Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        assert set(batch["subset"].tolist()) == {dataloader_idx}
        means = batch["y"].mean(dim=(1, 2, 3)).tolist()
        self.validated += [
            (dataloader_idx, i, mean) for i, mean in zip(batch["index"].tolist(), means, strict=True)
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec", "ignore:.*last_epoch")
def test_a_trainer_runs_on_it(photographs: Path, cutouts: Path) -> None:
    trained = Means()
    data = module(photographs, cutouts, samples_per_epoch=6, validation_samples=2)
    Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    ).fit(trained, datamodule=data)
    assert [index for index, _ in trained.trained] == list(range(12))
    first, second = trained.validated[:10], trained.validated[10:]
    assert [(loader, index) for loader, index, _ in first] == [(s, i) for s in range(5) for i in range(2)]
    assert first == second, "validation is the same every time"


def test_broken_images_are_counted_at_the_end(photographs: Path, cutouts: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path, dirs_exist_ok=True)
    for file in list(tmp_path.glob("p*.jpg"))[:8]:
        file.write_bytes(b"broken")
    made = module(tmp_path, cutouts, num_workers=1, samples_per_epoch=60)
    # The worker says which (on its own standard error), the main process how many.
    list(made.train_dataloader())
    broken = made.dataset("train").photographs.broken
    assert 1 <= broken <= 8
    with pytest.warns(UserWarning, match=f"^{broken} of 24 photographs could not be read and were skipped"):
        made.teardown("fit")


def test_procedural_images_are_the_default() -> None:
    made = MixedDataModule(synthesizer=synthesizer(), num_workers=0, batch_size=2, samples_per_epoch=2)
    made.setup("fit")
    batch = next(iter(made.train_dataloader()))
    assert batch["background"].float().std() > 5
    assert made.on_after_batch_transfer(batch, 0)["y"].shape == (2, 3, 24, 32)


def test_bad_settings_are_errors_before_training(photographs: Path, cutouts: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.batch_size must be at least 1, got 0"):
        MixedDataModule(synthesizer=synthesizer(), batch_size=0)
    with pytest.raises(InputError, match="has no image in it"):
        module(tmp_path, cutouts)
    with pytest.raises(InputError, match="no subset is called 'shrap'"):
        module(photographs, cutouts, subsets=["shrap"])
    made = MixedDataModule([str(photographs)], [str(cutouts)], synthesizer(), split=Split(0.5, 0.5, 0.0))
    made.setup()
    with pytest.raises(InputError, match="no share for 'test'"):
        made.dataset("test")


def parsed(data: dict[str, Any]) -> LightningDataModule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(MagnificationDataModule, "data")
    return parser.instantiate(parser.parse_object({"data": data})).data


def test_sources_can_be_given_in_yaml_in_every_way(photographs: Path, cutouts: Path) -> None:
    by_class = {"class_path": "mm.data.ProceduralPhotographs", "init_args": {"count": 9, "size": 40}}
    by_name = {"name": "procedural-photographs", "arguments": {"count": 9, "size": 40}}
    ways: list[tuple[Any, type[ImageSource], int]] = [
        ([str(photographs)], FolderOfPhotographs, 24),
        (str(photographs), FolderOfPhotographs, 24),
        (by_class, ProceduralPhotographs, 9),
        (by_name, ProceduralPhotographs, 9),
        ("procedural-photographs", ProceduralPhotographs, 4000),
        ([str(photographs), by_name], JoinedSources, 33),
        (None, ProceduralPhotographs, 4000),
    ]
    for given, kind, count in ways:
        arguments = {
            "photographs": given,
            "cutouts": [str(cutouts)],
            "synthesizer": {
                "class_path": "mm.synthesis.Synthesizer",
                "init_args": {"height": 24, "width": 24},
            },
            "subsets": ["sharp", "static"],
            "split": {"train": 0.6, "val": 0.2, "test": 0.2},
            "augmentation": {"rotation": 0.25},
        }
        made = parsed({"class_path": "mm.data.MagnificationDataModule", "init_args": arguments})
        made.setup("fit")
        assert made.subset_names == ("sharp", "static")
        assert made.augmentation.rotation == 0.25
        source = made.dataset("train").photographs.source
        assert (type(source), len(source)) == (kind, count)
        assert isinstance(made.dataset("train").cutouts.source, FolderOfCutouts)


def test_a_module_of_one_subset_takes_all_other_arguments_from_yaml(photographs: Path) -> None:
    made = parsed({"class_path": "mm.data.StaticDataModule", "init_args": {"batch_size": 7, "seed": 3}})
    assert (made.batch_size, made.seed, made.subset_names) == (7, 3, ("static",))


def test_workers_render_what_the_device_renders(photographs: Path, cutouts: Path) -> None:
    on_device = module(photographs, cutouts)
    layers = list(on_device.train_dataloader())
    rendered = [on_device.on_after_batch_transfer(batch, 0) for batch in layers]
    by_workers = module(photographs, cutouts, render_on="workers", num_workers=1)
    for one, other in zip(rendered, by_workers.train_dataloader(), strict=True):
        assert by_workers.on_after_batch_transfer(other, 0) is other
        assert same(one, other)


def test_validation_can_be_rendered_otherwise_than_training(photographs: Path, cutouts: Path) -> None:
    """Larger frames and another noise in validation, while training keeps its own."""
    other = Synthesizer(
        height=32, width=40, limits=MotionLimits(max_motion=1.0, max_magnified=6.0), noise=(0.1, 0.1)
    )
    made = module(photographs, cutouts, validation_synthesizer=other)
    seen: dict[str, list[tuple[int, ...]]] = {"train": [], "val": []}

    class Look(LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            seen["train"].append(tuple(batch["xa"].shape[-2:]))
            return torch.zeros((), requires_grad=True)

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            seen["val"].append(tuple(batch["xa"].shape[-2:]))

        def configure_optimizers(self) -> None:
            return None

    Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Look(), made)
    assert set(seen["train"]) == {(24, 32)}
    assert set(seen["val"]) == {(32, 40)}


def test_validation_must_have_the_subsets_of_training(photographs: Path, cutouts: Path) -> None:
    with pytest.raises(InputError, match="validation_synthesizer must have the subsets"):
        module(photographs, cutouts, validation_synthesizer=Synthesizer(24, 32, subsets=SUBSETS[:2]))


def test_clips_are_rendered_and_compressed_by_workers_or_on_the_device(
    photographs: Path, cutouts: Path
) -> None:
    made = [
        parsed(
            {
                "class_path": "mm.data.SharpDataModule",
                "init_args": {
                    "photographs": str(photographs),
                    "cutouts": str(cutouts),
                    "batch_size": 2,
                    "samples_per_epoch": 2,
                    "num_workers": 0,
                    "render_on": place,
                    "codec": {"codecs": ["mjpeg"], "crf": [4, 8]},
                    "synthesizer": {
                        "class_path": "mm.synthesis.ClipSynthesizer",
                        "init_args": {
                            "height": 24,
                            "width": 32,
                            "frames": 4,
                            "truth_frames": 1,
                            "trajectories": {"frequencies": [0.1, 0.3], "share": 1.0},
                            "camera": {"flicker": [0, 0.01]},
                            "limits": {"max_magnified": 4.0, "max_motion": 1.0, "max_factor": 20.0},
                        },
                    },
                },
            }
        )
        for place in ("workers", "device")
    ]
    batches = []
    for module in made:
        assert isinstance(module, MagnificationDataModule)
        module.setup("fit")
        batches.append(module.on_after_batch_transfer(next(iter(module.train_dataloader())), 0))
    assert batches[0]["frames"].shape == (2, 4, 3, 24, 32)
    assert batches[0]["truth"].shape == (2, 1, 3, 24, 32)
    assert same(*batches)
    with pytest.raises(InputError, match="codec needs clips"):
        MixedDataModule(synthesizer=synthesizer(), codec=CodecStage())


class Threaded:
    """A cycle, as garbage that holds threads is; its end is written down."""

    def __init__(self, ended: list[int]) -> None:
        self.itself, self.ended = self, ended

    def __del__(self) -> None:
        self.ended.append(1)


def test_a_worker_frees_nothing_of_the_process_that_it_was_forked_from() -> None:
    ended: list[int] = []
    gc.collect()
    Threaded(ended)
    try:
        _prepare_worker(0)
        gc.collect()
        assert not ended
    finally:
        gc.unfreeze()
    gc.collect()
    assert ended
