"""Cached features of a frozen image encoder: the same training, without the encoder."""

import json
import logging
import os
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never, get_args

import pytest
import torch
from safetensors.torch import load_file

from builders.predictors import photo
from builders.starts import built
from builders.twelve_pictures import question_lines, write_lines, write_pictures
from sycoca.data.loading.features.feature_files import (
    SAMPLES_PER_FILE,
    FeatureFile,
    StoredFeatures,
    TokenShape,
    is_whole,
    write_features,
)
from sycoca.data.loading.skipping import SkipLog
from sycoca.facts.training_facts import FinetuneTask
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.records import ImageTokens
from sycoca.training.config import DataConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.finetune import finetune
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.run import cached_features
from sycoca.training.run.assembly import assemble
from sycoca.training.run.cached_features import _filled, cached_crops
from sycoca.training.run_folder import RunFolder
from sycoca.weights.parts import part_of

NO_CROPS = ImageTransformConfig(crop_min_area=1.0)
NO_MASKED_IMAGES = ObjectivesConfig(masked_image_weight=0.0)

ConfigMaker = Callable[..., PretrainConfig]


@pytest.fixture
def make_config(make_run_config: ConfigMaker, clip: Path) -> ConfigMaker:
    """Return a function that makes the config of a captioner on a frozen image encoder; keywords replace sections."""

    def make(**changes: object) -> PretrainConfig:
        sections: dict[str, object] = {
            "start": InitialWeightsConfig(weights=str(clip), frozen=("image_encoder",)),
            "objectives": NO_MASKED_IMAGES,
            "masking": MaskingConfig(strategy="attentive", hides_from_captioning=True),
            "transforms": NO_CROPS,
            "training": TrainingConfig(steps=9, global_batch_size=4, log_every=1, tensorboard=False, report=False),
        }
        return make_run_config(**{**sections, **changes})

    return make


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every pass through an image encoder appends its number of images."""
    sizes: list[int] = []
    forward = ImageEncoder.forward

    def counted(self: ImageEncoder, images: torch.Tensor, **options: object) -> object:
        sizes.append(len(images))
        return forward(self, images, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ImageEncoder, "forward", counted)
    return sizes


def cached(config: PretrainConfig, folder: Path, views: int = 1, **changes: object) -> PretrainConfig:
    data = replace(config.data, cached_views=views, cache_folder=str(folder), **changes)
    return replace(config, out=f"{config.out}-cached-{views}", data=data)


def losses(run: Path) -> list[dict[str, float]]:
    names = ("contrastive", "captioning", "gradient_norm", "logit_scale", "answering", "classification")
    return [
        {name: value for name, value in line.items() if name in names} for line in read_metrics(run / "metrics.jsonl")
    ]


def trained(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights" / "model.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    assert len(losses(one)) > 0
    assert losses(one) == losses(other)
    first, second = trained(one), trained(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def files_in(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("micro_batch_size", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_one_view_without_crops_is_the_same_run_to_the_last_bit(make_config, tmp_path, encoded, micro_batch_size):
    config = make_config()
    config = replace(config, training=replace(config.training, micro_batch_size=micro_batch_size))
    plain = pretrain(config)
    encoded.clear()
    assert_same_run(plain, pretrain(cached(config, tmp_path)))
    assert sum(encoded) == (12 if micro_batch_size is None else 10), "ten images, in whole micro-batches"


def test_what_follows_the_cached_tokens_is_trained(make_config, vit: Path, tmp_path):
    config = make_config(start=InitialWeightsConfig(weights=str(vit), frozen=("image_encoder",)))
    config = replace(config, masking=MaskingConfig(strategy="random"))
    plain, with_cache = pretrain(config), pretrain(cached(config, tmp_path))
    assert_same_run(plain, with_cache)
    projection = "image_encoder.projection.weight"
    assert projection not in load_file(vit / "model.safetensors"), "it is new, so it is trained"


def test_views_are_the_crops_of_the_first_epochs(make_config, tmp_path):
    config = make_config(transforms=ImageTransformConfig(crop_min_area=0.5))
    plain, two = losses(pretrain(config)), losses(pretrain(cached(config, tmp_path, views=2)))
    assert plain[:5] == two[:5], "two epochs of ten images"
    assert plain[5:] != two[5:], "then the crops repeat"
    one = losses(pretrain(cached(config, tmp_path, views=1)))
    assert plain[:2] == one[:2]
    assert plain[3:5] != one[3:5]


def test_runs_share_what_is_equal(make_config, tmp_path, encoded, caplog):
    config = make_config()
    pretrain(cached(config, tmp_path))
    encoded.clear()
    other = replace(cached(config, tmp_path), out=f"{config.out}-other")
    with caplog.at_level(logging.INFO, "sycoca"):
        pretrain(replace(other, objectives=replace(NO_MASKED_IMAGES, captioning_weight=1.0)))
    assert encoded == [], "no image is encoded"
    assert f"cached features: 0.00 GiB in {tmp_path}" in caplog.text
    before = files_in(tmp_path)
    pretrain(replace(other, out=f"{config.out}-seed", seed=7, transforms=ImageTransformConfig(crop_min_area=0.5)))
    after = files_in(tmp_path)
    assert before.items() < after.items(), "other crops are other files"


@pytest.mark.parametrize("damage", ["remove", "halve", "empty"])
def test_a_damaged_file_is_computed_again(make_config, tmp_path, damage: str):
    config = make_config()
    first = pretrain(cached(config, tmp_path))
    (file,) = files_in(tmp_path)
    content = file.read_bytes()
    match damage:
        case "remove":
            file.unlink()
        case "halve":
            file.write_bytes(content[: len(content) // 2])
        case _:
            file.write_bytes(b"")
    assert_same_run(first, pretrain(replace(cached(config, tmp_path), out=f"{config.out}-again")))
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["skipped", "cls_tokens", "is_readable"])
def test_a_file_whose_names_are_garbled_is_not_whole(tmp_path: Path, name: str):
    file = FeatureFile(path=tmp_path / "one.safetensors", view=0, samples=range(2))
    shape = TokenShape(num_cls=1, num_patches=3, width=4)
    tokens = ImageTokens(cls_tokens=torch.zeros(2, 1, 4), patch_tokens=torch.zeros(2, 3, 4))
    features = StoredFeatures(tokens, torch.tensor([1, 2]), torch.tensor([True, True]), {})
    write_features(file.path, features)
    assert is_whole(file, shape, torch.float32)
    content = file.path.read_bytes()
    file.path.write_bytes(content.replace(name.encode(), name.upper().encode()))
    assert not is_whole(file, shape, torch.float32)


def photos_in(folder: Path, broken: tuple[int, ...] = ()) -> str:
    """Write twelve photos, of which two are equal, and return the SPEC of a list of them."""
    folder.mkdir()
    for number in range(12):
        photo(seed=max(number, 1)).save(folder / f"{number}.png")
        if number in broken:
            (folder / f"{number}.png").write_bytes(b"no image")
    lines = [json.dumps({"image": f"{number}.png", "caption": f"photo number {number}"}) for number in range(12)]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return str(folder / "captions.jsonl")


def test_unreadable_images_are_skipped_and_replaced_as_without_a_cache(make_config, tmp_path):
    config = make_config(data=DataConfig(train=photos_in(tmp_path / "photos", broken=(3, 8))))
    plain, with_cache = pretrain(config), pretrain(cached(config, tmp_path / "cache"))
    assert_same_run(plain, with_cache)
    lists = [sorted((run / "skipped.jsonl").read_text().splitlines()) for run in (plain, with_cache)]
    assert len(lists[0]) == 2
    assert lists[0] == lists[1]


def test_an_image_that_could_not_be_read_for_a_while_is_tried_again(make_config, tmp_path, monkeypatch):
    config = make_config(data=DataConfig(train=photos_in(tmp_path / "photos")))
    with monkeypatch.context() as patch:
        patch.setenv("SYCOCA_MAX_DECODED_BYTES", "2000")
        with pytest.raises(ValueError, match="max_skipped_ratio"):
            pretrain(cached(config, tmp_path / "cache"))
    run = pretrain(replace(cached(config, tmp_path / "cache"), out=f"{config.out}-2"))
    assert not (run / "skipped.jsonl").exists()
    assert_same_run(pretrain(replace(config, out=f"{config.out}-3")), run)


def test_a_changed_image_is_encoded_again(make_config, tmp_path, encoded, monkeypatch):
    monkeypatch.setattr("sycoca.data.loading.features.feature_files.SAMPLES_PER_FILE", 4)
    monkeypatch.setattr("sycoca.data.loading.features.cached_crops.SAMPLES_PER_FILE", 4)
    config = make_config(data=DataConfig(train=photos_in(tmp_path / "photos")))
    pretrain(cached(config, tmp_path / "cache"))
    before = files_in(tmp_path / "cache")
    assert len(before) == 3
    photo(seed=99).save(tmp_path / "photos" / "5.png")
    encoded.clear()
    with_cache = pretrain(replace(cached(config, tmp_path / "cache"), out=f"{config.out}-2"))
    assert encoded == [4], "the four images of its file"
    assert len(files_in(tmp_path / "cache").items() - before.items()) == 1
    assert_same_run(pretrain(replace(config, out=f"{config.out}-3")), with_cache)


def test_bf16_takes_half_of_the_space(make_config, tmp_path):
    config = make_config()
    found, sizes = {}, {}
    for precision in ("fp32", "bf16"):
        run = replace(cached(config, tmp_path / precision, cached_precision=precision), out=f"{config.out}-{precision}")
        found[precision] = losses(pretrain(run))
        (file,) = files_in(tmp_path / precision)
        tensors = load_file(file)
        sizes[precision] = tensors["cls_tokens"].nbytes + tensors["patch_tokens"].nbytes
    assert sizes["fp32"] == 2 * sizes["bf16"]
    assert found["bf16"] != found["fp32"]
    for one, other in zip(found["bf16"], found["fp32"], strict=True):
        assert one["captioning"] == pytest.approx(other["captioning"], rel=1e-2)


def test_a_resumed_run_is_the_same(make_config, tmp_path):
    config = cached(make_config(), tmp_path)
    config = replace(config, training=replace(config.training, save_every=5))
    whole = pretrain(config)
    resumed = RunFolder(Path(f"{config.out}-resumed"))
    shutil.copytree(whole, resumed.path)
    shutil.rmtree(resumed.checkpoints / "step-00000009")
    shutil.rmtree(resumed.weights)
    resume_pretraining(replace(resumed.read_config(PretrainConfig), out=str(resumed.path)))
    assert_same_run(whole, resumed.path)


def finetuning(task: FinetuneTask, folder: Path, weights: Path) -> FinetuneConfig:
    """Return the config of a fine-tuning with a frozen image encoder."""
    common: dict[str, Any] = {
        "weights": str(weights),
        "out": str(folder / task),
        "data": DataConfig(train="scenes:?count=10&size=16"),
        "frozen": ("image_encoder",),
        "transforms": NO_CROPS,
        "training": TrainingConfig(steps=4, global_batch_size=4, log_every=1, tensorboard=False, report=False),
        "schedule": ScheduleConfig(warmup_steps=0, final_lr_ratio=1.0),
        "runtime": RuntimeConfig(device="cpu"),
    }
    match task:
        case "captioning" | "retrieval":
            return FinetunePairsConfig(task=task, objectives=NO_MASKED_IMAGES, **common)
        case "vqa":
            write_pictures(folder)
            lines = [line for line in question_lines() if "what" in str(line)]
            common["data"] = DataConfig(train=str(write_lines(folder / "questions.jsonl", lines)))
            return FinetuneVqaConfig(task=task, **common)
        case "classification":
            return FinetuneClassificationConfig(task=task, **common)
        case unknown:
            assert_never(unknown)


@pytest.mark.parametrize("task", get_args(FinetuneTask))
def test_every_fine_tuning_uses_them(weights: Path, tmp_path, encoded, task: FinetuneTask):
    config = finetuning(task, tmp_path, weights)
    plain = finetune(config)
    data = replace(config.data, cached_views=1, cache_folder=str(tmp_path / "cache"))
    finetune(replace(config, out=f"{config.out}-first", data=data))
    encoded.clear()
    with_cache = finetune(replace(config, out=f"{config.out}-second", data=data))
    assert encoded == []
    assert_same_run(plain, with_cache)
    before, after = load_file(weights / "model.safetensors"), trained(plain)
    changed = {part_of(name) for name in after if name in before and not torch.equal(after[name], before[name])}
    assert "image_encoder" not in changed
    assert changed or task == "classification"


def test_features_of_an_encoder_that_learns_are_refused(make_config, tmp_path):
    config = cached(make_config(), tmp_path)
    recipe, trained = built(config, tmp_path / "run")
    trained.model.image_encoder.positions.requires_grad_()
    source = recipe.open_sources().train
    with Runtime(config.runtime) as runtime:
        parts = assemble(config, source, trained, runtime, SkipLog(source, 0.0))
        with pytest.raises(ValueError, match=r"image_encoder\.positions is trained, since the weights do not have it"):
            cached_crops(config, parts, None)


def test_a_disk_that_is_too_full_is_refused_before_anything_is_computed(make_config, tmp_path, encoded, monkeypatch):
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**6, 10**6 - 100, 100))
    with pytest.raises(ValueError, match=r"^cached features need 0\.00 GiB in .* --data\.cache-folder names another"):
        pretrain(cached(make_config(), tmp_path))
    assert encoded == []
    assert files_in(tmp_path) == {}


def test_what_cannot_be_cached(make_config):
    config = make_config()
    views = replace(config.data, cached_views=1)
    with pytest.raises(ValueError, match=r"^data\.cached_views caches .* trained: add --start\.frozen image_encoder$"):
        replace(config, data=views, start=replace(config.start, frozen=("text_encoder",)))
    with pytest.raises(
        ValueError, match=r"with objectives\.masked_image_weight 1 images are encoded in every step; set"
    ):
        replace(config, data=views, objectives=ObjectivesConfig())
    with pytest.raises(ValueError, match=r"with drop_path 0\.1 images are encoded in every step; set it to None$"):
        replace(config, data=views, drop_path=0.1)
    with pytest.raises(ValueError, match=r"^data\.cached_views must be at least 1, got 0$"):
        replace(config.data, cached_views=0)


class Ranks:
    """Two processes that fill a cache; files appear, which another run writes, before the second one looks."""

    world_size = 2

    def __init__(self, folder: Path, rank: int, meet: threading.Barrier, shown: dict[int, list[Any]]) -> None:
        self.folder, self.rank, self.runtime, self.is_main_rank = folder, rank, self, rank == 0
        self._meet, self._shown = meet, shown
        self.computed: list[range] = []

    def barrier(self) -> None:
        self._meet.wait(timeout=100)

    def gather_plain(self, values: list[Any]) -> list[Any]:
        self._shown[self.rank] = values
        self.barrier()
        found = [*self._shown[0], *self._shown[1]]
        self.barrier()
        return found

    def image_states(self) -> list[str]:
        return [str(index) for index in range(4 * SAMPLES_PER_FILE)]

    def announce(self, *_: object) -> None:
        pass

    def to_compute(self, files: Sequence[FeatureFile], _: Sequence[str]) -> list[FeatureFile]:
        self.barrier()
        if self.rank == 1:
            self.barrier()
            write_features(files[0].path, self.features_of(files[0]))
        found = self.missing(files)
        if self.rank == 0:
            self.barrier()
        return found

    def missing(self, files: Sequence[FeatureFile]) -> list[FeatureFile]:
        return [file for file in files if not file.path.exists()]

    def features_of(self, file: FeatureFile) -> StoredFeatures:
        self.computed.append(file.samples)
        rows = torch.zeros(len(file.samples), 1, 1)
        number = torch.zeros(len(rows), dtype=torch.long)
        return StoredFeatures(ImageTokens(cls_tokens=rows, patch_tokens=rows.clone()), number, number == 0, {})


def test_processes_miss_no_file_while_another_run_fills_the_cache(tmp_path):
    meet, shown = threading.Barrier(2), dict[int, list[Any]]()
    ranks = [Ranks(tmp_path, rank, meet, shown) for rank in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(_filled, rank, 1, None) for rank in ranks]  # pyright: ignore[reportArgumentType]
        files = [one.result() for one in found]
    assert files[0] == files[1]
    assert all(file.path.exists() for file in files[0])


def test_an_image_that_was_away_for_a_moment_is_tried_again(make_config, tmp_path, monkeypatch):
    """Such as on a network drive: it was there when the state of its file was asked for, and has the same one later."""
    config = make_config(data=DataConfig(train=photos_in(tmp_path / "photos")))
    photo_5, away = tmp_path / "photos" / "5.png", tmp_path / "away.png"
    with monkeypatch.context() as patch:
        states = cached_features.image_states
        patch.setattr(cached_features, "image_states", lambda samples: (states(samples), photo_5.rename(away))[0])
        pretrain(cached(config, tmp_path / "cache"))
    away.rename(photo_5)
    run = pretrain(replace(cached(config, tmp_path / "cache"), out=f"{config.out}-2"))
    assert not (run / "skipped.jsonl").exists()


def test_a_missing_image_is_not_looked_for_in_every_run(make_config, tmp_path, encoded):
    config = make_config(data=DataConfig(train=photos_in(tmp_path / "photos")))
    (tmp_path / "photos" / "5.png").unlink()
    pretrain(cached(config, tmp_path / "cache"))
    encoded.clear()
    pretrain(replace(cached(config, tmp_path / "cache"), out=f"{config.out}-2"))
    assert encoded == []


def test_what_a_killed_run_has_left_is_deleted_later(make_config, tmp_path):
    config = make_config(training=TrainingConfig(steps=1, global_batch_size=4, tensorboard=False, report=False))
    pretrain(cached(config, tmp_path / "cache"))
    (file,) = (tmp_path / "cache").rglob("*.safetensors")
    old, new = (file.with_name(f".{file.name}.{'0123' * 3}{kind}.partial.safetensors") for kind in "ab")
    for path, age in ((old, 4000), (new, 10)):
        path.write_bytes(b"0" * 100)
        os.utime(path, (time.time() - age,) * 2)
    pretrain(replace(cached(config, tmp_path / "cache"), out=f"{config.out}-2"))
    assert set(file.parent.iterdir()) == {file, new}  # another run may be writing the newer one
