"""Lightning's side of the data: loaders for each stage, and the synthesis once a batch is on its device."""

from __future__ import annotations

import copy
import gc
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from mm.data.augmentation import Augmentation
from mm.data.bank import ImageBank
from mm.data.cache import ImageCache, half_of_memory
from mm.data.codec import CodecStage
from mm.data.dataset import LayersDataset
from mm.data.echo import MIRRORED, TURNED, echoed
from mm.data.filtered import FilteredClips
from mm.data.held_out import held_out
from mm.data.procedural import ProceduralCutouts, ProceduralPhotographs
from mm.data.sampling import FixedSampler, StreamLoader, StreamPosition, StreamSampler
from mm.data.sources import FolderOfCutouts, FolderOfPhotographs, ImageSource, NamedSource, build_source
from mm.data.splits import Split, Stage, split_indices
from mm.errors import InputError
from mm.synthesis import ClipSynthesizer, Geometry, Synthesizer

_MEGABYTE = 2**20


class MagnificationDataModule(LightningDataModule):
    """Training triplets from photographs and cut-outs, in any mixture of subsets.

    Workers cut layers; :meth:`on_after_batch_transfer` renders them on the device, so that a batch in a
    training step is what :class:`mm.synthesis.Synthesizer` returns. Training, validation and test use
    different photographs and different cut-outs. Validation and test are fixed sets, the same whatever the
    batch size, number of workers or number of ranks, with one loader for each subset in the order of
    :attr:`subset_names`.

    Args:
        photographs: an image source, its registered name (with arguments), a folder, or a list of names and
            folders; None for procedural ones.
        cutouts: likewise.
        synthesizer: renders the triplets and says how large the layers are; None for its defaults.
        validation_synthesizer: renders validation and test; None for ``synthesizer``. Where what is trained
            on is varied, as in a sweep over motions or noise, this holds what is measured on.
        codec: with a :class:`~mm.synthesis.ClipSynthesizer`, the round trip that its clips go through on the
            CPU; None for uncompressed clips.
        subsets: names of the subsets to draw from; None for all of them. A subset's weight is its own.
        batch_size: samples in a batch of one rank.
        samples_per_epoch: over all ranks; rounded down to whole batches.
        validation_samples: of each subset, over all ranks: at least one a rank, or 0 for no validation.
        test_samples: likewise.
        repeat: whether every epoch has the same samples. Otherwise no sample ever comes twice.
        seed: of all three sets.
        split: shares of the photographs and of the cut-outs in training, validation and test.
        augmentation: how layers are varied; None for the defaults.
        num_workers: processes that cut layers, for each rank; 0 for none but the trainer's own.
        cache_mb: memory for decoded training images, which the forked workers of a rank share, in MiB; up to
            half of the machine's memory if None.
        persistent_workers: keep the training workers from epoch to epoch.
        prefetch_factor: batches that each worker prepares ahead; None for PyTorch's default.
        start_method: how workers are started ("fork", "spawn", "forkserver"); None for the platform's
            default.
        render_on: where training batches are rendered: on the training "device", or by the "workers", on
            their CPUs, so that on a machine without a GPU the next batch is made while this one trains.
            The samples are the same.
        clips: renders a share of the training batches as pairs from clips, as temporal mode sees them; None
            for pairs alone.
        echo: times that each rendered training batch is trained on, mirrored and, if square, turned: up to 4
            or 8. Where rendering takes longer than a step of training, more echoes learn more in an hour.

    Raises:
        InputError: for a number out of range here; in :meth:`setup` for a source that cannot be used.
    """

    alone: tuple[str, ...] | None = None

    def __init__(
        self,
        photographs: ImageSource | NamedSource | list[NamedSource | str] | str | None = None,
        cutouts: ImageSource | NamedSource | list[NamedSource | str] | str | None = None,
        synthesizer: Synthesizer | None = None,
        subsets: Sequence[str] | None = None,
        batch_size: int = 4,
        samples_per_epoch: int = 100_000,
        validation_samples: int = 64,
        test_samples: int = 64,
        repeat: bool = False,
        seed: int = 0,
        split: Split | None = None,
        augmentation: Augmentation | None = None,
        num_workers: int = 2,
        cache_mb: int | None = None,
        persistent_workers: bool = True,
        prefetch_factor: int | None = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        render_on: Literal["device", "workers"] = "device",
        validation_synthesizer: Synthesizer | None = None,
        codec: CodecStage | None = None,
        echo: int = 1,
        clips: FilteredClips | None = None,
    ) -> None:
        super().__init__()
        least = {
            "batch_size": (batch_size, 1),
            "samples_per_epoch": (samples_per_epoch, 1),
            "validation_samples": (validation_samples, 0),
            "test_samples": (test_samples, 0),
            "seed": (seed, 0),
            "num_workers": (num_workers, 0),
            "cache_mb": (cache_mb or 0, 0),
            "echo": (echo, 1),
        }
        for name, (value, limit) in least.items():
            if value < limit:
                raise InputError(f"data.{name} must be at least {limit}, got {value}")
        self.synthesizer = synthesizer or Synthesizer()
        self.validation_synthesizer = validation_synthesizer or self.synthesizer
        names = [
            tuple(subset.name for subset in each.subsets)
            for each in (self.synthesizer, self.validation_synthesizer)
        ]
        if names[0] != names[1]:
            raise InputError(
                "data.validation_synthesizer must have the subsets of data.synthesizer "
                f"({', '.join(names[0])}), got {', '.join(names[1])}"
            )
        self.subsets = subsets or self.alone
        self.batch_size = batch_size
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.test_samples = test_samples
        self.repeat = repeat
        self.seed = seed
        self.split = split or Split()
        self.augmentation = augmentation or Augmentation()
        self.num_workers = num_workers
        self.cache_mb = cache_mb
        self.persistent_workers = persistent_workers
        self.prefetch_factor = prefetch_factor
        self.start_method = start_method
        self.render_on = render_on
        if codec is not None and not isinstance(self.synthesizer, ClipSynthesizer):
            raise InputError("data.codec needs clips; make data.synthesizer a mm.synthesis.ClipSynthesizer")
        size = self.synthesizer.geometry
        most = TURNED if size.height == size.width else MIRRORED
        if echo > most:
            raise InputError(
                f"data.echo must be at most {most} for frames of {size.width} x {size.height} px, got {echo}"
            )
        if echo > 1 and isinstance(self.synthesizer, ClipSynthesizer):
            raise InputError(f"data.echo is of triplets, and must be 1 for clips, got {echo}")
        self.echo = echo
        if clips is not None:
            if isinstance(self.synthesizer, ClipSynthesizer):
                raise InputError("data.clips is for a data.synthesizer of pairs, not a ClipSynthesizer")
            clips.fit(self.synthesizer)
        self.clips = clips
        self._rendered: dict[str, Tensor] = {}
        self.codec = codec
        self._given = (photographs, cutouts)
        self._banks: dict[Stage, tuple[ImageBank, ImageBank]] = {}
        self._cache: ImageCache | None = None
        self._position = StreamPosition()

    @property
    def cached_bytes(self) -> int:
        """Memory that decoded training images take so far, of all workers of this rank together."""
        return 0 if self._cache is None else self._cache.used

    @property
    def subset_names(self) -> tuple[str, ...]:
        """Names of the subsets with a weight above 0, in the order of the validation and test loaders."""
        kinds = [each for each in self.synthesizer.subsets if each.weight > 0]
        return tuple(each.name for each in kinds if self.subsets is None or each.name in self.subsets)

    def setup(self, stage: str | None = None) -> None:
        """Find the images and divide them.

        Raises:
            InputError: if a folder is missing or empty, or there are too few images to divide.
        """
        if self._banks:
            return
        photographs, cutouts = self._given
        geometry = self.synthesizer.geometry
        sources: tuple[ImageSource, ImageSource] = (
            # At the size at which they are used: nothing is gained by drawing them larger.
            ProceduralPhotographs(size=max(geometry.background_size))
            if photographs is None
            else build_source(photographs, FolderOfPhotographs),
            ProceduralCutouts(size=geometry.object_size)
            if cutouts is None
            else build_source(cutouts, FolderOfCutouts),
        )
        parts = [
            _without_held_out(split_indices(source, self.split), source, kind)
            for source, kind in zip(sources, ("photograph", "cut-out"), strict=True)
        ]
        limit = half_of_memory() if self.cache_mb is None else self.cache_mb * _MEGABYTE
        self._cache = ImageCache(limit)
        for name in parts[0]:
            if not len(parts[0][name]):
                continue
            kept = self._cache if name == "train" else None
            self._banks[name] = (
                ImageBank(sources[0], parts[0][name], "photograph", kept),
                ImageBank(sources[1], parts[1][name], "cut-out", kept),
            )
        # A misspelt subset should fail here, not when the first validation starts.
        self.dataset("train")

    def dataset(self, stage: Stage, subset: str | None = None) -> LayersDataset:
        """Return the layers of one stage, of one subset or of the mixture, after :meth:`setup`.

        Raises:
            InputError: if the split leaves nothing for this stage.
        """
        if stage not in self._banks:
            raise InputError(f"the split has no share for {stage!r}; give data.split.{stage} a share above 0")
        photographs, cutouts = self._banks[stage]
        lengths = {"train": self.samples_per_epoch, "val": self.validation_samples, "test": self.test_samples}
        return LayersDataset(
            photographs,
            cutouts,
            self._geometry(stage),
            subset or self.subsets,
            seed=_derived_seed(self.seed, stage, subset or ""),
            length=lengths[stage],
            augmentation=self.augmentation,
            kinds=self._synthesizer(stage).subsets,
        )

    def _synthesizer(self, stage: Stage) -> Synthesizer:
        return self.synthesizer if stage == "train" else self.validation_synthesizer

    def _geometry(self, stage: Stage) -> Geometry:
        return self.clips.geometry if self.clips and stage == "train" else self._synthesizer(stage).geometry

    def _renderer(self, stage: Stage) -> nn.Module:
        return self.clips if self.clips and stage == "train" else self._synthesizer(stage)

    def train_dataloader(self) -> StreamLoader:
        """Return the loader of the mixture, which goes on where a restored run stopped."""
        dataset = self.dataset("train")
        rank, ranks = self._place()
        sampler = StreamSampler(
            dataset,
            self._position,
            self.samples_per_epoch,
            self.batch_size,
            self.repeat,
            dataset.seed,
            rank,
            ranks,
        )
        keep = self.persistent_workers and self.num_workers > 0
        # A copy: validation moves the module's own to the GPU, which a forked worker cannot use.
        workers_own = copy.deepcopy(self._renderer("train")).cpu() if self.render_on == "workers" else None
        collate = None if workers_own is None else _RenderingCollate(workers_own, self.codec)
        return StreamLoader(
            dataset,
            sampler=sampler,
            persistent_workers=keep,
            collate_fn=collate,
            echo=self.echo,
            **self._loading(),
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader for each subset, each of a fixed set."""
        return self._fixed("val", self.validation_samples)

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """Return one loader for each subset, each of a fixed set."""
        return self._fixed("test", self.test_samples)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Render a batch of layers on the device that it is on; anything else is passed through."""
        if isinstance(batch, Mapping) and "echo" in batch:
            number = int(batch["echo"])
            batch = {name: value for name, value in batch.items() if name != "echo"}
            if number == 0:
                self._rendered = self._render(batch)
            return echoed(self._rendered, number)
        return self._render(batch)

    def _render(self, batch: Any) -> Any:
        if not (isinstance(batch, Mapping) and "background" in batch and "objects" in batch):
            return batch
        device = batch["background"].device
        training = self.trainer is None or self.trainer.training
        synthesizer = self._renderer("train" if training else "val")
        if next(synthesizer.buffers(), torch.empty(0, device=device)).device != device:
            synthesizer.to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            rendered: dict[str, Tensor] = synthesizer(dict(batch))
        return self.codec(rendered) if self.codec else rendered

    def teardown(self, stage: str | None = None) -> None:
        """Say how many images were broken."""
        counts = {"photograph": [0, 0], "cut-out": [0, 0]}
        for bank in (bank for banks in self._banks.values() for bank in banks):
            counts[bank.kind][0] += bank.broken
            counts[bank.kind][1] += len(bank)
        said = [f"{broken} of {total} {kind}s" for kind, (broken, total) in counts.items() if broken]
        if said:
            warnings.warn(f"{' and '.join(said)} could not be read and were skipped", stacklevel=2)

    def _fixed(self, stage: Stage, length: int) -> list[DataLoader[Any]]:
        if length == 0 or stage not in self._banks:
            return []
        rank, ranks = self._place()
        loaders = []
        for name in self.subset_names:
            dataset = self.dataset(stage, name)
            sampler = FixedSampler(dataset, length, rank, ranks)
            loaders.append(DataLoader(dataset, sampler=sampler, **self._loading()))
        return loaders

    def _loading(self) -> dict[str, Any]:
        """Return the arguments that all loaders share."""
        on_cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        shared: dict[str, Any] = {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "pin_memory": on_cuda,
        }
        if self.num_workers > 0:
            shared["prefetch_factor"] = self.prefetch_factor
            shared["multiprocessing_context"] = self.start_method
            shared["worker_init_fn"] = _prepare_worker
        return shared

    def _place(self) -> tuple[int, int]:
        """Return this process's rank and the number of ranks."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


class SharpDataModule(MagnificationDataModule):
    """The first subset alone: sharp background and objects, all moving."""

    alone = ("sharp",)


class BlurredDataModule(MagnificationDataModule):
    """The second subset alone: the same on a blurred background of low contrast."""

    alone = ("blurred",)


class BackgroundDataModule(MagnificationDataModule):
    """The third subset alone: only a moving background."""

    alone = ("background",)


class StaticDataModule(MagnificationDataModule):
    """The fourth subset alone: nothing moves, only the noise differs."""

    alone = ("static",)


class ObjectsDataModule(MagnificationDataModule):
    """The fifth subset alone: moving objects on a static background."""

    alone = ("objects",)


class MixedDataModule(MagnificationDataModule):
    """All subsets, by their weights."""


class _RenderingCollate:
    """Makes a batch of samples and renders it, in a worker."""

    def __init__(self, synthesizer: nn.Module, codec: CodecStage | None) -> None:
        self.synthesizer = synthesizer
        self.codec = codec

    def __call__(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        rendered: dict[str, Tensor] = self.synthesizer(default_collate(samples))
        return self.codec(rendered) if self.codec else rendered


def _without_held_out(
    parts: dict[Stage, np.ndarray], source: ImageSource, kind: str
) -> dict[Stage, np.ndarray]:
    """Return the stages' indices without those of images that measurements are made on."""
    known = held_out(source)
    if not len(known):
        return parts
    warnings.warn(
        f"{len(known)} of {len(source)} {kind}s are on the list that measurements are made on; "
        "they are left out of training",
        stacklevel=3,
    )
    kept = {stage: np.setdiff1d(indices, known) for stage, indices in parts.items()}
    if not len(kept["train"]):
        raise InputError(
            f"all {kind}s for training are on the list that measurements are made on, which no training may "
            "see; name another folder"
        )
    return kept


def _derived_seed(seed: int, *names: str) -> int:
    """Return a seed in [0, 2**62) for one use of the user's seed, so that no two uses share samples."""
    digest = hashlib.blake2b("/".join((str(seed), *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


def _prepare_worker(worker: int) -> None:
    """Keep OpenCV to one thread, and leave alone the garbage that a fork brought along.

    There are as many workers as the user wants cores busy. A video decoder among the garbage would be freed
    here, and wait for ever for its threads, which a fork does not copy.
    """
    cv2.setNumThreads(0)
    gc.freeze()
