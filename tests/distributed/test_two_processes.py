"""Two processes with gloo on the CPU do what one does: the same losses, gradients and runs."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import multiprocessing
from torch.distributed.checkpoint import HuggingFaceStorageReader

import sycoca
from builders import sharded_updates
from builders.predictors import photo
from builders.two_processes import MODEL, batch_of, free_ports, rows_of, with_more_captions
from sycoca.data.loading.skipping import read_skipped
from sycoca.facts.training_facts import FinetuneTask
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.outputs.manifest import verification
from sycoca.preprocess.config import TokenizerConfig
from sycoca.records import TrainingProgress
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.checkpoints.soundness import damage_of
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.engine.update import Updater
from sycoca.training.finetune import finetune
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig, LoraConfig
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig

CPU = RuntimeConfig(device="cpu")
SHARDED = RuntimeConfig(device="cpu", sharding="full")

QUICK_SHARDED = ("gradient caching", "accumulation", "bf16", "some steps and images")
"""The others are tested with four processes (tests/reliability)."""

NUM_MEETINGS = 11 + len(QUICK_SHARDED)
"""How often the processes meet anew, at a port of its own each time."""

CASES = {
    # Objectives, into how many micro-batches every process cuts its half, and what is frozen.
    "all objectives": (ObjectivesConfig(), 1, ()),
    "sigmoid loss": (ObjectivesConfig(contrastive_loss="sigmoid"), 2, ()),
    "several captions": (ObjectivesConfig(captions_per_image=3), 1, ()),
    "several captions, decoupled": (ObjectivesConfig(captions_per_image=3, contrastive_loss="decoupled"), 2, ()),
    "accumulation": (ObjectivesConfig(contrastive_weight=0.0), 2, ()),
    "parameters without gradient": (ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0), 1, ()),
    "frozen encoder": (ObjectivesConfig(), 2, ("image_encoder",)),
    "step without TG-MIM": (ObjectivesConfig(masked_image_every=2), 2, ()),
    "frozen encoders": (ObjectivesConfig(), 1, ("image_encoder", "text_encoder")),
}


NO_MASKED_IMAGES = ObjectivesConfig(masked_image_weight=0.0)

FINETUNINGS: dict[FinetuneTask, Callable[..., FinetuneConfig]] = {
    "vqa": FinetuneVqaConfig,
    "classification": partial(FinetuneClassificationConfig, mixup_alpha=0.5, drop_path=0.2, label_smoothing=0.1),
    "captioning": partial(FinetunePairsConfig, objectives=NO_MASKED_IMAGES, lora=LoraConfig(rank=2)),
}


def update_once(
    runtime: Runtime, objectives: ObjectivesConfig, num_parts: int, frozen: tuple[str, ...]
) -> dict[str, Any]:
    """Do one update on this process's shard of eight pairs; return summed terms and all gradients."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = SyCoCa(replace(MODEL, has_logit_bias=objectives.needs_logit_bias)).double()
    for part in frozen:
        model.get_submodule(part).requires_grad_(False)
    ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=objectives, ranks=ranks)
    updater = Updater(runtime, task, build_optimizer(model, OptimizerConfig()), clip_norm=0.5)
    size = 8 // runtime.world_size // num_parts
    first = runtime.rank * size * num_parts
    batch = batch_of(8) if objectives.captions_per_image == 1 else with_more_captions(batch_of(8))
    micro_batches = [rows_of(batch, slice(first + i * size, first + (i + 1) * size)) for i in range(num_parts)]
    result = updater.update(task.at(micro_batches, TrainingProgress(step=1, num_steps=2)), lr=1e-3)
    return {
        "terms": runtime.sum_over_ranks(result.terms),
        "gradient_norm": result.gradient_norm,
        "gradients": {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
        "weights": {name: p.detach() for name, p in model.named_parameters()},
    }


def exchanges(runtime: Runtime) -> list[bool]:
    """Return whether gradients are exchanged in a micro-batch before the last, in the last, and afterwards."""
    task = ImageTextTask(SyCoCa(MODEL), masking=MaskingConfig(), objectives=ObjectivesConfig())
    wrapped = runtime.wrap(task)
    found = []
    for is_last in (False, True):
        with runtime.accumulating(wrapped, is_last=is_last):
            found.append(bool(wrapped.require_backward_grad_sync))
    return [*found, bool(wrapped.require_backward_grad_sync)]


def write_pictures(folder: Path) -> Path:
    """Write ten samples, of which three have no image."""
    for seed in (0, 1, 3, 4, 6, 7, 9):
        photo(20, 20, seed=seed).save(folder / f"{seed}.png")
    captions = folder / "captions.jsonl"
    rows = [json.dumps({"image": f"{seed}.png", "caption": f"number {seed}"}) for seed in range(10)]
    captions.write_text("\n".join(rows), encoding="utf-8")
    return captions


def run_config(folder: Path, name: str) -> PretrainConfig:
    return PretrainConfig(
        preset="test",
        out=str(folder / name),
        model=MODEL,
        masking=MaskingConfig(strategy="random"),
        tokenizer=TokenizerConfig(vocab_size=300),
        data=DataConfig(
            train=str(folder / "captions.jsonl"), validation="scenes:?count=4&size=16", max_skipped_ratio=0.3
        ),
        optimizer=OptimizerConfig(peak_lr=1e-3),
        schedule=ScheduleConfig(warmup_steps=1),
        training=TrainingConfig(steps=3, global_batch_size=4, log_every=1, save_every=2, tensorboard=False),
        runtime=CPU,
    )


def started_config(folder: Path, name: str, weights: Path) -> PretrainConfig:
    start = InitialWeightsConfig(weights=str(weights), frozen=("image_encoder",), lr_ratio=0.5)
    return replace(run_config(folder, name), start=start)


def cached_config(folder: Path, name: str, weights: Path) -> PretrainConfig:
    config = started_config(folder, name, weights)
    data = replace(config.data, cached_views=2, cache_folder=str(folder / f"cache-{name}"), validation=None)
    training = replace(config.training, report=False)
    return replace(config, data=data, training=training, objectives=NO_MASKED_IMAGES)


def sharded_config(folder: Path, name: str) -> PretrainConfig:
    config = run_config(folder, name)
    training = replace(config.training, average_decay=0.9, keep_best="contrastive", save_every=1)
    return replace(config, runtime=SHARDED, training=training)


def finetune_config(task: FinetuneTask, weights: Path, out: Path) -> FinetuneConfig:
    return FINETUNINGS[task](
        task=task,
        weights=str(weights),
        out=str(out),
        data=DataConfig(train="scenes:?count=6&size=16", validation="scenes:?count=5&size=16"),
        optimizer=OptimizerConfig(peak_lr=1e-3, eps=1e-5),
        schedule=ScheduleConfig(warmup_steps=1),
        training=TrainingConfig(
            steps=4, global_batch_size=4, average_decay=0.9, log_every=1, save_every=4, tensorboard=False, report=False
        ),
        runtime=CPU,
    )


def meet_at(ports: Iterator[int]) -> None:
    """Let the processes of the next run meet at a port of its own."""
    os.environ["MASTER_PORT"] = str(next(ports))


def train_sharded(ports: Iterator[int], folder: Path) -> dict[str, Any]:
    """Do updates and a run with sharded parameters; return the results of the updates."""
    results: dict[str, Any] = {}
    for name in QUICK_SHARDED:
        meet_at(ports)
        results[f"sharded {name}"] = sharded_updates.update(sharded_updates.CASES[name], SHARDED)
    meet_at(ports)
    pretrain(sharded_config(folder, "two-sharded"))
    meet_at(ports)
    resume_pretraining(replace(sharded_config(folder, "whole"), out=str(folder / "whole")))
    return results


def train_on_a_frozen_encoder(ports: Iterator[int], folder: Path, weights: Path) -> None:
    meet_at(ports)
    pretrain(started_config(folder, "two-started", weights))
    meet_at(ports)
    pretrain(cached_config(folder, "two-cached", weights))
    meet_at(ports)
    pretrain(replace(cached_config(folder, "two-cached-sharded", weights), runtime=SHARDED))


def train_finetunings(ports: Iterator[int], folder: Path, weights: Path) -> None:
    for task in FINETUNINGS:
        meet_at(ports)
        finetune(finetune_config(task, weights, folder / f"two-{task}"))
    meet_at(ports)
    finetune(replace(finetune_config("captioning", weights, folder / "two-captioning-sharded"), runtime=SHARDED))


def in_a_process(rank: int, world_size: int, free_ports: list[int], folder: str) -> None:
    """Do everything that the tests look at, as one of several processes; the results go to files."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR="127.0.0.1")
    ports, results = iter(free_ports), dict[str, Any]()
    meet_at(ports)
    with Runtime(CPU) as runtime:
        for name, case in CASES.items():
            results[name] = update_once(runtime, *case)
        rows = torch.arange(4.0).reshape(2, 2) + 10 * rank
        rows.requires_grad_(True)
        gathered = runtime.gather(rows)
        (gathered * torch.tensor([[1.0], [2.0], [3.0], [4.0]]) * (rank + 1)).sum().backward()
        results["gathered"], results["gathered gradient"] = gathered.detach(), rows.grad
        results["rows"] = runtime.gather_rows(torch.full((2 * rank, 3), 7.5 + rank))
        results["plain"] = runtime.gather_plain([{"words": "zwölf\nEßen", "rank": rank}] * (2 - rank))
        results["any"] = [runtime.any_rank(rank == 1), runtime.any_rank(False)]
        results["exchanges"] = exchanges(runtime)
        try:
            os.environ["WORLD_SIZE"] = "3"
            Runtime(CPU)
        except ValueError as error:
            results["message"] = str(error)
        os.environ["WORLD_SIZE"] = str(world_size)
    meet_at(ports)
    weights = pretrain(run_config(Path(folder), "two")) / "weights"
    train_on_a_frozen_encoder(ports, Path(folder), weights)
    train_finetunings(ports, Path(folder), weights)
    results |= train_sharded(ports, Path(folder))
    torch.save(results, Path(folder) / f"rank-{rank}.pt")


def without_last_step(run: Path) -> Path:
    """Return the run as one that was killed after its last checkpoint but one; its weights are in ``uninterrupted``."""
    (run / "weights").rename(run / "uninterrupted")
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where two processes have left their results."""
    folder = tmp_path_factory.mktemp("two")
    write_pictures(folder)
    without_last_step(pretrain(replace(sharded_config(folder, "whole"), runtime=CPU)))
    multiprocessing.spawn(in_a_process, args=(2, free_ports(NUM_MEETINGS), str(folder)), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_losses_gradients_and_weights_are_those_of_one_process(ranks: list[dict[str, Any]], name: str):
    objectives, _, frozen = CASES[name]
    alone = update_once(Runtime(CPU), objectives, 1, frozen)
    for result in ranks:
        assert result[name]["terms"] == pytest.approx(alone["terms"], rel=1e-12)
        torch.testing.assert_close(result[name]["gradient_norm"], alone["gradient_norm"])
        for kind in ("gradients", "weights"):
            assert set(alone[kind]) <= set(result[name][kind])
            for parameter, expected in alone[kind].items():
                torch.testing.assert_close(result[name][kind][parameter], expected, msg=f"{kind} {parameter}")


@pytest.mark.parametrize("name", QUICK_SHARDED)
def test_sharded_updates_are_those_of_one_process(ranks: list[dict[str, Any]], name: str):
    found = [result[f"sharded {name}"] for result in ranks]
    assert all(0.45 < result["own"] / result["all"] < 0.55 for result in found)
    assert sum(result["own"] for result in found) == found[0]["all"]
    assert all(result["state bytes"] == 16 * result["own"] for result in found)
    alone = sharded_updates.update(sharded_updates.CASES[name], CPU)
    for result in found:
        sharded_updates.assert_same_updates(result, alone, rtol=sharded_updates.tolerance(name))


def test_a_sharded_run_is_that_of_one_process(folder: Path, ranks: list[dict[str, Any]], tmp_path: Path):
    assert len(ranks) == 2
    write_pictures(tmp_path)
    alone, sharded = pretrain(sharded_config(tmp_path, "one")), folder / "two-sharded"
    ours, theirs = (read_metrics(run / "metrics.jsonl") for run in (alone, sharded))
    for one, two in zip(ours, theirs, strict=True):
        del one["images_per_second"], two["images_per_second"]
        assert two == pytest.approx(one, rel=1e-4)
    assert any(name.startswith("validation_") for name in theirs[-1])
    for name in ("weights", "weights-best"):
        ours, theirs = (load_file(run / name / "model.safetensors") for run in (alone, sharded))
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-6)
    assert (sharded / "report.html").exists()


def test_a_sharded_checkpoint_is_loaded_whole_and_a_whole_one_sharded(
    folder: Path, ranks: list[dict[str, Any]], tmp_path: Path
):
    assert len(ranks) == 2
    shutil.copytree(folder / "two-sharded", tmp_path / "run")
    run = without_last_step(tmp_path / "run")
    resume_pretraining(replace(sharded_config(folder, "run"), out=str(run), runtime=CPU))
    for one in (run, folder / "whole"):
        names = {path.name for path in (one / "checkpoints" / "step-00000003").iterdir()}
        assert ("shard-00002-model-00001-of-00001.safetensors" in names) == (one != run)
        ours, theirs = (load_file(one / name / "model.safetensors") for name in ("weights", "uninterrupted"))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_files_of_a_sharded_checkpoint(folder: Path, ranks: list[dict[str, Any]]):
    assert len(ranks) == 2
    path = folder / "two-sharded" / "checkpoints" / "step-00000003"
    shards = [f"shard-0000{number}-model-00001-of-00001.safetensors" for number in (1, 2)]
    plain = ["config.yaml", "manifest.json", "state.json", "tokenizer.json"]
    assert sorted(one.name for one in path.iterdir()) == sorted([*shards, *plain])
    assert json.loads((path / "state.json").read_text())["shards"] == shards
    sizes = [(path / name).stat().st_size for name in shards]
    assert max(sizes) < 1.1 * min(sizes)
    # Whoever has PyTorch alone can read it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored: dict[str, Any] = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    weights = load_file(folder / "two-sharded" / "weights" / "model.safetensors")
    for part in ("model", "average", "optimizer/exp_avg", "optimizer/exp_avg_sq"):
        sizes = {name: tuple(stored[f"{part}/{name}"].size) for name in weights}
        assert sizes == {name: tuple(tensor.shape) for name, tensor in weights.items()}


def test_damage_of_a_sharded_checkpoint_is_named(folder: Path, ranks: list[dict[str, Any]], tmp_path: Path):
    assert len(ranks) == 2
    path = shutil.copytree(folder / "two-sharded" / "checkpoints" / "step-00000003", tmp_path / "step-00000003")
    assert damage_of(path, 3) is None
    shard = path / "shard-00002-model-00001-of-00001.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data[:-4] + b"\0\0\0\1")
    assert damage_of(path, 3) == f"{shard} differs from its SHA-256 in manifest.json"
    shard.write_bytes(data[:100])
    with verification(False):
        assert str(damage_of(path, 3)).startswith(f"{shard} is damaged: ")
    shard.unlink()
    for verifies in (True, False):
        with verification(verifies):
            assert damage_of(path, 3) == f"{shard} is missing"


def test_gather_is_in_order_of_rank_and_its_gradient_that_of_the_sum(ranks: list[dict[str, Any]]):
    rows = [[0.0, 1.0], [2.0, 3.0], [10.0, 11.0], [12.0, 13.0]]
    for result in ranks:
        assert result["gathered"].tolist() == rows
    # Losses of both ranks weigh a row: 1 * weight + 2 * weight.
    assert ranks[0]["gathered gradient"].tolist() == [[3.0, 3.0], [6.0, 6.0]]
    assert ranks[1]["gathered gradient"].tolist() == [[9.0, 9.0], [12.0, 12.0]]


def test_what_processes_found_is_joined_in_order_of_rank_whoever_has_more(ranks: list[dict[str, Any]]):
    said = [{"words": "zwölf\nEßen", "rank": rank} for rank in (0, 0, 1)]
    for result in ranks:
        assert result["rows"].tolist() == [[8.5] * 3] * 2
        assert result["plain"] == said
    assert Runtime(CPU).gather_plain([1, None]) == [1, None]


def test_a_flag_of_one_rank_is_seen_by_all(ranks: list[dict[str, Any]]):
    assert [result["any"] for result in ranks] == [[True, False]] * 2


def test_gradients_are_exchanged_once_per_step(ranks: list[dict[str, Any]]):
    assert [result["exchanges"] for result in ranks] == [[False, True, True]] * 2


def test_only_the_runtime_knows_the_distributed_library():
    source = Path(sycoca.__file__).parent
    knowing = {path.name for path in source.rglob("*.py") if "import torch.distributed" in path.read_text("utf-8")}
    assert knowing == {"runtime.py", "collectives.py", "rendezvous.py", "shards.py"}


def test_wrong_world_size_is_refused(ranks: list[dict[str, Any]]):
    assert ranks[0]["message"].startswith("WORLD_SIZE is 3 but the process group has 2 processes")


def test_a_run_is_that_of_one_process(folder: Path, ranks: list[dict[str, Any]], tmp_path: Path):
    assert len(ranks) == 2
    write_pictures(tmp_path)
    alone = read_metrics(pretrain(run_config(tmp_path, "one")) / "metrics.jsonl")
    shared = read_metrics(folder / "two" / "metrics.jsonl")
    assert len(alone) == len(shared) == 3
    for one, two in zip(alone, shared, strict=True):
        del one["images_per_second"], two["images_per_second"]
        assert two == pytest.approx(one, rel=1e-4)
    assert [line["skipped_samples"] for line in shared][-1] == 3
    for run in (folder / "two", tmp_path / "one"):
        assert sorted(skipped.name for skipped in read_skipped(run / "skipped.jsonl")) == ["2.png", "5.png", "8.png"]
    assert (folder / "two" / "weights" / "model.safetensors").exists()
    assert len(list((folder / "two" / "checkpoints").iterdir())) == 2


def test_a_run_that_starts_from_weights_is_that_of_one_process(
    folder: Path, ranks: list[dict[str, Any]], tmp_path: Path
):
    assert len(ranks) == 2
    write_pictures(tmp_path)
    weights = folder / "two" / "weights"
    config = started_config(tmp_path, "one", weights)
    alone, shared = (read_metrics(run / "metrics.jsonl") for run in (pretrain(config), folder / "two-started"))
    for one, two in zip(alone, shared, strict=True):
        del one["images_per_second"], two["images_per_second"]
        assert two == pytest.approx(one, rel=1e-4)
    start, ours, theirs = (
        load_file(path / "model.safetensors")
        for path in (weights, tmp_path / "one" / "weights", folder / "two-started" / "weights")
    )
    for name, expected in ours.items():
        torch.testing.assert_close(theirs[name], expected, rtol=1e-4, atol=1e-6)
        assert torch.equal(theirs[name], start[name]) == name.startswith("image_encoder"), name


@pytest.mark.parametrize("name", ["two-cached", "two-cached-sharded"])
def test_processes_share_cached_features(folder: Path, ranks: list[dict[str, Any]], name: str, tmp_path: Path):
    assert len(ranks) == 2
    assert len(list((folder / f"cache-{name}").rglob("*.safetensors"))) == 2, "a file of each process"
    write_pictures(tmp_path)
    config = cached_config(tmp_path, "one", folder / "two" / "weights")
    plain = replace(config, data=replace(config.data, cached_views=None))
    alone, shared = (read_metrics(run / "metrics.jsonl") for run in (pretrain(plain), folder / name))
    for one, two in zip(alone, shared, strict=True):
        del one["images_per_second"], two["images_per_second"]
        assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize(
    ("task", "name"), [*((task, f"two-{task}") for task in FINETUNINGS), ("captioning", "two-captioning-sharded")]
)
def test_a_fine_tuning_is_that_of_one_process(
    folder: Path, ranks: list[dict[str, Any]], task: FinetuneTask, name: str, tmp_path: Path
):
    assert len(ranks) == 2
    config = finetune_config(task, folder / "two" / "weights", tmp_path / "one")
    alone, shared = (read_metrics(run / "metrics.jsonl") for run in (finetune(config), folder / name))
    assert len(alone) == len(shared) == 4
    assert any(own.startswith("validation_") for own in alone[-1])
    for one, two in zip(alone, shared, strict=True):
        del one["images_per_second"], two["images_per_second"]
        assert two == pytest.approx(one, rel=1e-4)
    tensors = "weights/model.safetensors" if config.lora.rank is None else "weights/adapter.safetensors"
    theirs, ours = (load_file(run / tensors) for run in (folder / name, tmp_path / "one"))
    assert theirs.keys() == ours.keys()
    for own, expected in ours.items():
        torch.testing.assert_close(theirs[own], expected, rtol=1e-4, atol=1e-6)
