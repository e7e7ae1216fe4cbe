"""Cached features of the training images: computed once by the frozen image encoder, before the first step."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import assert_never, final

import torch
from rich.console import Console
from torch import Tensor

from sycoca.data.loading.crops import Crop, TrainingCrops
from sycoca.data.loading.features.cached_crops import CachedCrops
from sycoca.data.loading.features.feature_files import (
    SAMPLES_PER_FILE,
    FeatureFile,
    StoredFeatures,
    TokenShape,
    feature_files,
    has_passing_problem,
    is_whole,
    write_features,
)
from sycoca.data.loading.features.image_states import image_states
from sycoca.data.samples import SampleSource
from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.atomic import remove_abandoned_files
from sycoca.outputs.cache_folder import user_cache_folder
from sycoca.outputs.tensor_bytes import tensor_bytes
from sycoca.plain_data import to_plain
from sycoca.progress_bar import tracked
from sycoca.records import ImageTokens, TrainingBatch
from sycoca.training.config import RunConfig
from sycoca.training.data_config import CachedPrecision
from sycoca.training.engine.limits import gigabytes
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.recipe import TrainedParts
from sycoca.training.run.assembly import RunParts

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Increases when features of the same images and weights would differ."""


def cached_crops(config: RunConfig, parts: RunParts, console: Console | None) -> CachedCrops | None:
    """Return the features of ``data.cached_views`` crops of every image; None where none are to be cached.

    Called by all processes once the checkpoint is restored, with which the encoder's weights come; each computes a part
    of the missing features. Raises ValueError where a tensor of the image encoder is trained, the disk is too full, or
    the processes do not share the folder.
    """
    if config.data.cached_views is None:
        return None
    _refuse_changes(parts.trained.model)
    # A sharded encoder cannot be called by itself.
    with parts.as_used(in_all_processes=True) as trained:
        files = _filled(_Cache(config, parts.source, trained, parts.updater.runtime), config.data.cached_views, console)
    return CachedCrops(files, len(parts.source), config.seed)


def _refuse_changes(model: SyCoCa) -> None:
    learning = [name for name, tensor in model.image_encoder.trunk().items() if tensor.requires_grad]
    if learning:
        raise ValueError(
            f"data.cached_views: image_encoder.{learning[0]} is trained, since the weights do not have it; features"
            " would change with it"
        )


def _filled(cache: "_Cache", num_views: int, console: Console | None) -> Sequence[FeatureFile]:
    """Return the files of the cache once all processes have written what was missing."""
    runtime = cache.runtime
    states = cache.image_states()
    files = feature_files(cache.folder, states, num_views)
    # Another run may write some between the looks of two processes, which would then divide different lists.
    found = set(runtime.gather_plain([file.path.name for file in cache.to_compute(files, states)]))
    missing = [file for file in files if file.path.name in found]
    if runtime.is_main_rank:
        cache.announce(files, missing)
    own = missing[runtime.rank :: runtime.world_size]
    for file in tracked(own, len(own), "caching features", console=console if runtime.is_main_rank else None):
        write_features(file.path, cache.features_of(file))
    runtime.barrier()
    absent = cache.missing(missing)
    if absent:
        raise ValueError(
            f"{absent[0].path}, which another process has written, cannot be read here: all processes must share the"
            " folder; name it with --data.cache-folder"
        )
    return files


def cached_bytes(config: RunConfig, model: SyCoCa, num_samples: int) -> int | None:
    """Return the size of the cached features of so many samples; None where none are to be cached."""
    num_views = config.data.cached_views
    if num_views is None:
        return None
    return num_views * num_samples * _token_shape(model).num_bytes(_dtype(config.data.cached_precision))


@torch.no_grad()
def with_features(batch: TrainingBatch, model: SyCoCa, runtime: Runtime) -> TrainingBatch:
    """Return a batch with the features of its images in place of their pixels."""
    with runtime.autocast():
        cls_tokens, patch_tokens = model.image_encoder(runtime.to_device(batch).images)
    return replace(batch, images=ImageTokens(cls_tokens=cls_tokens, patch_tokens=patch_tokens))


@final
class _Cache:
    """The features of one encoder, one kind of crops and one precision."""

    def __init__(self, config: RunConfig, source: SampleSource, trained: TrainedParts, runtime: Runtime) -> None:
        self.runtime = runtime
        self._source = source
        self._encoder = trained.model.image_encoder
        self._dtype = _dtype(config.data.cached_precision)
        image = trained.model.config.image_encoder
        self._shape = _token_shape(trained.model)
        self._micro_batch_size = config.training.micro_batch_on(runtime.world_size)
        self._crops = TrainingCrops(
            source,
            trained.weights.transforms,
            image.image_size,
            config.seed,
            cache_images=False,
            with_image_keys=True,
            replaces_unreadable=False,
        )
        root = user_cache_folder() / "features" if config.data.cache_folder is None else Path(config.data.cache_folder)
        made_with = [
            _FORMAT,
            to_plain(image),
            to_plain(trained.weights.transforms),
            config.seed,
            runtime.precision,
            config.data.cached_precision,
            *(["tf32"] if config.runtime.tf32 and runtime.device.type == "cuda" else []),
        ]
        self.folder = root / _digest(made_with, self._encoder.trunk())

    def image_states(self) -> list[str]:
        """Return the states of all images, of which each process finds out a part."""
        own = self.runtime.sharding().own(len(self._source))
        return self.runtime.gather_plain(image_states(self._source[index] for index in own))

    def to_compute(self, files: Sequence[FeatureFile], states: Sequence[str]) -> list[FeatureFile]:
        """Return the files that are missing, and those of an image that may be readable now."""
        missing = {file.path for file in self.missing(files)}
        return [file for file in files if file.path in missing or has_passing_problem(file, states)]

    def missing(self, files: Sequence[FeatureFile]) -> list[FeatureFile]:
        """Return the files that are not there, or not whole."""
        return [file for file in files if not is_whole(file, self._shape, self._dtype)]

    def announce(self, files: Sequence[FeatureFile], missing: Sequence[FeatureFile]) -> None:
        """Delete what killed runs have left of files, and log the size of the cache before it is written.

        Raises ValueError where the disk has less space.
        """
        remove_abandoned_files(self.folder)
        per_image = self._shape.num_bytes(self._dtype)
        size, needed = (per_image * sum(len(file.samples) for file in some) for some in (files, missing))
        if not missing:
            logger.info(f"cached features: {gigabytes(size)} in {self.folder}")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ValueError(
                f"cached features need {gigabytes(needed)} in {self.folder}, and {gigabytes(free)} are free:"
                " --data.cache-folder names another folder, --data.cached-precision bf16 takes half"
            )
        there = "" if needed == size else f" of {gigabytes(size)}; the rest is there"
        logger.info(f"caching features: {gigabytes(needed)}{there}, in {self.folder}")

    def features_of(self, file: FeatureFile) -> StoredFeatures:
        """Compute the features of a file's samples."""
        parts: list[ImageTokens] = []
        crops: list[Crop] = []
        for batch in self._crop_batches(file):
            crops += batch
            parts.append(self._encoded(batch))
        return StoredFeatures(
            tokens=ImageTokens(
                cls_tokens=torch.cat([part.cls_tokens for part in parts]),
                patch_tokens=torch.cat([part.patch_tokens for part in parts]),
            ),
            image_keys=torch.tensor([crop.image_key or 0 for crop in crops]),
            is_readable=torch.tensor([crop.image is not None for crop in crops]),
            skipped={row: crop.skipped[0] for row, crop in enumerate(crops) if crop.image is None},
        )

    def _crop_batches(self, file: FeatureFile) -> Iterator[list[Crop]]:
        """Yield the crops of a file's samples in micro-batches, each read while the one before is encoded."""
        size = self._micro_batch_size
        positions = [(file.view, index) for index in file.samples]
        batches = [positions[start : start + size] for start in range(0, len(positions), size)]
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self._crops.__getitems__, batches[0])
            for batch in [*batches[1:], []]:
                crops = following.result()
                if batch:
                    following = reader.submit(self._crops.__getitems__, batch)
                yield crops

    @torch.no_grad()
    def _encoded(self, crops: Sequence[Crop]) -> ImageTokens:
        """Encode crops; rows of zeros fill up a micro-batch, whose size may change the last bits of a product."""
        size = self._crops.image_size
        images = torch.zeros(max(len(crops), min(self._micro_batch_size, SAMPLES_PER_FILE)), 3, size, size)
        for row, crop in enumerate(crops):
            if crop.image is not None:
                images[row] = crop.image
        with self.runtime.autocast():
            tokens = self._encoder(images.to(self.runtime.device))
        cls_tokens, patch_tokens = (own[: len(crops)].to("cpu", self._dtype) for own in tokens)
        return ImageTokens(cls_tokens=cls_tokens, patch_tokens=patch_tokens)


def _token_shape(model: SyCoCa) -> TokenShape:
    image = model.config.image_encoder
    return TokenShape(int(image.form.has_cls_token), image.num_patches, image.width)


def _dtype(precision: CachedPrecision) -> torch.dtype:
    match precision:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
        case unknown:
            assert_never(unknown)


def _digest(made_with: object, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()[:32]
