import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sycoca
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.plain_data import read_yaml, to_plain
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig
from sycoca.training.engine.interruption import TrainingInterrupted
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.engine.update import Updater
from sycoca.training.pretrain import FIXED_ON_RESUME, pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run.start import check_resumable
from sycoca.training.run_folder import RunFolder


def with_accumulation_and_workers(config: PretrainConfig) -> PretrainConfig:
    return replace(
        config,
        training=replace(config.training, micro_batch_size=2, save_every=2, keep_checkpoints=9),
        data=replace(config.data, num_workers=2),
    )


def assert_same_run(one: Path, other: Path) -> None:
    """Compare weights, optimizer state and all logged values except times, to the last bit."""
    for name in ("checkpoints/step-00000004/model.safetensors", "checkpoints/step-00000004/optimizer.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    first_lines, second_lines = (
        [{key: value for key, value in line.items() if key != "images_per_second"} for line in read_metrics(path)]
        for path in (one / "metrics.jsonl", other / "metrics.jsonl")
    )
    assert first_lines == second_lines
    assert [line["step"] for line in first_lines] == [1, 2, 3, 4]


def interrupt_after(num_updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGINT during an update."""
    update, calls = Updater.update, []

    def pressing(self: Updater, micro_batches: object, lr: float) -> object:
        calls.append(None)
        if len(calls) == num_updates:
            signal.raise_signal(signal.SIGINT)
        return update(self, micro_batches, lr)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Updater, "update", pressing)


@pytest.fixture(scope="module")
def whole_run(make_run_config) -> Path:
    return pretrain(with_accumulation_and_workers(make_run_config("whole")))


def test_four_steps_are_two_and_a_resume_and_two(whole_run: Path, make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = with_accumulation_and_workers(make_run_config("cut"))
    interrupt_after(2, monkeypatch)
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 2, .*--resume"):
        pretrain(config)
    monkeypatch.undo()
    assert not (Path(config.out) / "weights").exists()
    assert resume_pretraining(RunFolder(Path(config.out)).read_config(PretrainConfig)) == Path(config.out)
    assert_same_run(whole_run, Path(config.out))


def test_killed_between_checkpoints_goes_on_from_the_last(whole_run: Path, tmp_path: Path):
    """A killed run has logged steps after its checkpoint, which are repeated."""
    cut = tmp_path / "killed"
    shutil.copytree(whole_run, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000004")
    shutil.rmtree(cut / "weights")
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    assert_same_run(whole_run, cut)


def test_killed_before_the_first_checkpoint_restarts(whole_run: Path, tmp_path: Path):
    cut = tmp_path / "killed"
    shutil.copytree(whole_run, cut)
    shutil.rmtree(cut / "checkpoints")
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    assert_same_run(whole_run, cut)


def test_loss_scaling_goes_on_where_it_was(make_run_config, tmp_path: Path):
    config = make_run_config(runtime=RuntimeConfig(device="cpu", precision="fp16"))
    # The first updates overflow at the initial loss scale, which is then lowered.
    run_dir = pretrain(replace(config, training=replace(config.training, save_every=2)))
    states = [json.loads((path / "state.json").read_text("utf-8")) for path in (run_dir / "checkpoints").iterdir()]
    assert all(state["scaler"]["scale"] < 65536.0 for state in states)
    cut = tmp_path / "cut"
    shutil.copytree(run_dir, cut)
    shutil.rmtree(cut / "checkpoints" / "step-00000004")
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    assert_same_run(run_dir, cut)


def test_seed_decides_everything(make_run_config):
    runs = [pretrain(make_run_config(name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, again, other = (load_file(run / "weights" / "model.safetensors") for run in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image_encoder.positions"], other["image_encoder.positions"])


def test_global_generator_is_left_alone(make_run_config):
    before = torch.get_rng_state()
    pretrain(make_run_config())
    assert torch.equal(torch.get_rng_state(), before)


def test_run_folder_is_complete(make_run_config):
    config = make_run_config(data=DataConfig(train="scenes:?count=10&size=16", validation="scenes:?count=6&size=16"))
    config = replace(config, training=replace(config.training, log_every=3, tensorboard=True, evaluation_samples=5))
    run_dir = pretrain(config)
    config = replace(config, runtime=replace(config.runtime, precision="fp32"))  # what auto stood for
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "log.txt",
        "metrics.jsonl",
        "tensorboard",
        "tokenizer.json",
        "weights",
    ]
    assert RunFolder(run_dir).read_config(PretrainConfig) == config
    assert read_yaml(run_dir / "config.yaml") == to_plain(config)
    third, last = read_metrics(run_dir / "metrics.jsonl")
    assert set(third) == {
        "step", "contrastive", "captioning", "masked_image", "lr", "logit_scale", "gradient_norm",
        "images_per_second", "samples_seen", "skipped_samples",
        "skipped_steps",
    }  # fmt: skip
    assert (third["step"], third["samples_seen"], last["step"], last["samples_seen"]) == (3, 12, 4, 16)
    assert third["lr"] == pytest.approx(1e-2)
    assert {"validation_captioning", "validation_mask_coverage", "validation_text_to_image_recall_at_1"} <= set(last)
    log = (run_dir / "log.txt").read_text(encoding="utf-8")
    assert "test: " in log
    assert "1.6 epochs" in log
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step-00000004"]


def test_weights_load_and_are_those_of_the_last_step(make_run_config):
    run_dir = pretrain(make_run_config(objectives=ObjectivesConfig(captioning_dropped_share=0.25)))
    predictor = sycoca.load(run_dir / "weights", device="cpu")
    saved = load_file(run_dir / "checkpoints" / "step-00000004" / "model.safetensors")
    assert all(torch.equal(tensor, saved[name]) for name, tensor in predictor.model.state_dict().items())
    assert predictor.config.masking == MaskingConfig(strategy="random")
    assert predictor.config.captioning_dropped_share == 0.25
    assert predictor.config.history == (
        "Trained from scratch (preset `test`) for 4 steps of 4 samples on `scenes:?count=10&size=16`, seed 0.",
    )


@pytest.mark.parametrize(
    ("weights", "terms"),
    [
        ((1.0, 0.0, 0.0), {"contrastive"}),
        ((1.0, 2.0, 0.0), {"contrastive", "captioning"}),
        ((0.0, 0.0, 1.0), {"masked_image"}),
    ],
)
def test_objectives_are_switches(make_run_config, weights: tuple[float, ...], terms: set[str]):
    names = ("contrastive_weight", "captioning_weight", "masked_image_weight")
    run_dir = pretrain(make_run_config(objectives=ObjectivesConfig(**dict(zip(names, weights, strict=True)))))
    line = read_metrics(run_dir / "metrics.jsonl")[-1]
    assert set(line) & {"contrastive", "captioning", "masked_image"} == terms
    model = sycoca.load(run_dir / "weights", device="cpu").model
    assert (model.text_decoder is None, model.image_decoder is None) == (weights[1] == 0, weights[2] == 0)


def test_trains_on_pairs_at_hand(make_run_config):
    pairs = [(Image.new("RGB", (20, 16), color), f"a field of {color}") for color in ("red", "blue", "lime")]
    run_dir = pretrain(make_run_config(), pairs, validation=pairs)
    assert "3 samples of pairs" in (run_dir / "log.txt").read_text(encoding="utf-8")
    assert "validation_contrastive" in read_metrics(run_dir / "metrics.jsonl")[-1]


def test_folder_of_another_run_is_left_alone(make_run_config):
    config = make_run_config()
    pretrain(config)
    with pytest.raises(ValueError, match="already holds a run; resume it with: sycoca pretrain --resume"):
        pretrain(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": DataConfig(train="nowhere.jsonl")},
        {"data": DataConfig(train="scenes:?count=4", validation="scenes:?levl=easy")},
    ],
)
def test_mistyped_data_leaves_no_folder_behind(make_run_config, changes: dict[str, object]):
    config = make_run_config(**changes)
    with pytest.raises(ValueError, match=r"nowhere\.jsonl|levl"):
        pretrain(config)
    assert not Path(config.out).exists()


def test_source_without_samples_is_refused(make_run_config):
    with pytest.raises(ValueError, match="pairs has no samples"):
        pretrain(make_run_config(), [])


def test_resume_of_what_is_no_run_is_refused(make_run_config):
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config\.yaml"):
        resume_pretraining(make_run_config("nowhere"))


def test_a_resumed_run_has_no_fewer_steps_than_it_has_done(whole_run: Path, tmp_path: Path):
    folder = RunFolder(Path(shutil.copytree(whole_run, tmp_path / "done")))
    before = folder.config.read_bytes()
    config = replace(folder.read_config(PretrainConfig), out=str(folder.path))
    with pytest.raises(ValueError, match=r"^training\.steps is 3, and the run has done 4; give at least as many"):
        resume_pretraining(replace(config, training=replace(config.training, steps=3)))
    assert folder.config.read_bytes() == before
    resume_pretraining(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": ObjectivesConfig(masked_image_weight=0.0)}, "belongs to another model"),
        ({"training": {"average_decay": 0.9}}, "has no average of the weights; resume without training.average_decay"),
    ],
)
def test_a_refused_resume_leaves_the_config_as_it_was(
    whole_run: Path, tmp_path: Path, changes: dict[str, Any], said: str
):
    """What the error advises, to resume with the config of before, must be possible."""
    folder = RunFolder(Path(shutil.copytree(whole_run, tmp_path / "done")))
    before = folder.config.read_bytes()
    config = replace(folder.read_config(PretrainConfig), out=str(folder.path))
    training = replace(config.training, steps=5)
    if "training" in changes:
        changes = {"training": replace(training, **changes["training"])}
    with pytest.raises(ValueError, match=said):
        resume_pretraining(replace(config, **{"training": training, **changes}))
    assert folder.config.read_bytes() == before
    resume_pretraining(replace(config, training=training))
    assert folder.read_config(PretrainConfig).training.steps == 5
    copy = folder.checkpoints / "step-00000005" / "config.yaml"
    assert copy.read_bytes() == folder.config.read_bytes()


@pytest.mark.parametrize("name", ["tokenizer.json", "start.json"])
def test_files_of_something_else_are_no_run(make_run_config, whole_run: Path, name: str):
    config = make_run_config("other")
    Path(config.out).mkdir()
    Path(config.out, name).write_bytes((whole_run / "tokenizer.json").read_bytes())
    with pytest.raises(ValueError, match=f"{name} is there already, of a weights folder or of a run that was removed"):
        pretrain(config)
    Path(config.out, name).unlink()
    pretrain(config)


def test_resume_refuses_what_a_run_cannot_change(make_run_config):
    config = make_run_config()
    longer = replace(config, training=replace(config.training, steps=9, global_batch_size=8, micro_batch_size=1))
    check_resumable(config, replace(longer, out="elsewhere", optimizer=OptimizerConfig(peak_lr=1e-4)), FIXED_ON_RESUME)
    for name, changed in {
        "seed": replace(config, seed=5),
        "model.embed_dim": replace(config, model=replace(config.model, embed_dim=4)),
        "data.train": replace(config, data=DataConfig(train="scenes:?count=11&size=16")),
        "data.order": replace(config, data=replace(config.data, order="table")),
        "transforms.flips": replace(config, transforms=replace(config.transforms, flips=True)),
    }.items():
        assert any(name.startswith(fixed) for fixed in FIXED_ON_RESUME)
        with pytest.raises(ValueError, match=f"^{name} cannot change when a run is resumed"):
            check_resumable(config, changed, FIXED_ON_RESUME)


def test_finished_run_can_go_on_longer(make_run_config):
    config = make_run_config()
    pretrain(config)
    longer = replace(config, training=replace(config.training, steps=6))
    resume_pretraining(longer)
    assert [line["step"] for line in read_metrics(Path(config.out) / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    kept = replace(longer, runtime=replace(longer.runtime, precision="fp32"))  # what auto stood for
    assert RunFolder(Path(config.out)).read_config(PretrainConfig) == kept
    assert "resuming after step 4" in (Path(config.out) / "log.txt").read_text(encoding="utf-8")


def test_a_resumed_run_counts_its_samples_whatever_the_batch_size(make_run_config):
    config = make_run_config()  # four steps of four samples
    run = RunFolder(pretrain(config))
    resume_pretraining(replace(config, training=replace(config.training, steps=6, global_batch_size=2)))
    lines = read_metrics(run.metrics)
    assert [line["samples_seen"] for line in lines] == [4, 8, 12, 16, 18, 20]
    state = json.loads((run.checkpoints / "step-00000006" / "state.json").read_text(encoding="utf-8"))
    assert state["samples_seen"] == 20
    num_samples = int(config.data.train.split("count=")[1].split("&")[0])
    assert f"6 of 2 samples each ({20 / num_samples:.1f} epochs)" in (run.weights / "README.md").read_text("utf-8")


def test_diverging_run_stops_with_its_last_sound_checkpoint(make_run_config):
    config = make_run_config(optimizer=OptimizerConfig(peak_lr=1e30))
    config = replace(config, training=replace(config.training, log_every=100, save_every=1, steps=8))
    # Nothing is logged before step 8, but every step is reviewed.
    with pytest.raises(
        FloatingPointError, match=r"the last 5 steps had .* set aside as unsound: step-00000001\.unsound;"
    ):
        pretrain(config)
    assert [path.name for path in (Path(config.out) / "checkpoints").iterdir()] == ["step-00000001.unsound"]
