"""Fine-tuning with low-rank adapters: only they are trained and saved, and they are merged where they are used."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import sycoca
from builders.predictors import photo
from sycoca.cli.main import main
from sycoca.model.adapters import is_of_adapter
from sycoca.objectives.config import ObjectivesConfig
from sycoca.outputs.manifest import Manifest, file_entry
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.limits import state_bytes
from sycoca.training.engine.runtime import Runtime
from sycoca.training.finetune import finetune, resume_finetuning
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.classification.config import FinetuneClassificationConfig
from sycoca.training.recipes.finetune_config import LoraConfig
from sycoca.training.recipes.pairs.config import FinetunePairsConfig
from sycoca.training.recipes.pairs.recipe import PairsFinetuning
from sycoca.training.run.assembly import whole_copy
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import load_weights


@pytest.fixture(scope="module")
def weights(make_run_config) -> Path:
    return pretrain(make_run_config("pretrained")) / "weights"


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> FinetunePairsConfig:
    return FinetunePairsConfig(
        task="captioning",
        weights=str(weights),
        out=str(tmp_path / "tuned"),
        data=DataConfig(train="scenes:?count=10&size=16", validation="scenes:?count=4&size=16&split=validation"),
        lora=LoraConfig(rank=2),
        objectives=ObjectivesConfig(masked_image_weight=0.0),
        training=TrainingConfig(
            steps=4, global_batch_size=4, log_every=1, save_every=2, keep_checkpoints=5, tensorboard=False, report=False
        ),
        optimizer=OptimizerConfig(peak_lr=5e-2),
        schedule=ScheduleConfig(warmup_steps=0, final_lr_ratio=1.0),
        runtime=RuntimeConfig(device="cpu"),
    )


def tensors_in(folder: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(folder / name)


def test_only_adapters_are_trained_and_saved(config: FinetunePairsConfig, weights: Path):
    run = finetune(config)
    names = {path.name for path in (run / "weights").iterdir()}
    assert names == {"config.json", "adapter.safetensors", "tokenizer.json", "README.md", "manifest.json"}
    saved = tensors_in(run / "weights", "adapter.safetensors")
    assert saved
    assert all(map(is_of_adapter, saved))
    assert any(tensor.any() for name, tensor in saved.items() if name.endswith(".up"))
    checkpoint = run / "checkpoints" / "step-00000004"
    assert tensors_in(checkpoint).keys() == saved.keys(), "a checkpoint has no tensors of the base"
    assert json.loads((checkpoint / "state.json").read_text())["format_version"] == 5
    moments = load_file(checkpoint / "optimizer.safetensors")
    assert {key.split("/")[1] for key in moments} == saved.keys()
    said = (run / "log.txt").read_text()
    number = sum(tensor.numel() for tensor in saved.values())
    assert f"LoRA of rank 2: {number:,} of " in said
    assert f"{number:,} trained parameters; the others are in `{weights}`" in (run / "weights/README.md").read_text()


def test_the_loaded_model_is_the_trained_one(config: FinetunePairsConfig, weights: Path):
    run = finetune(config)
    state = torch.get_rng_state()
    loaded, before = sycoca.load(run / "weights"), sycoca.load(weights)
    assert torch.equal(torch.get_rng_state(), state), "loading draws nothing from the caller's generator"
    trained = tensors_in(run / "checkpoints" / "step-00000004")
    scale = 16.0 / 2
    name = "text_decoder.self_blocks.0.attention.query_key_value"
    update = scale * trained[f"{name}.adapter.up"] @ trained[f"{name}.adapter.down"]
    assert update.abs().max() > 1e-3
    own = loaded.model.state_dict()
    torch.testing.assert_close(own[f"{name}.weight"], before.model.state_dict()[f"{name}.weight"] + update)
    assert own.keys() == {one for one in before.model.state_dict() if not one.startswith("image_decoder")}
    assert loaded.config.adapter is None
    image, texts = photo(), ["a red circle", "a blue square"]
    assert not torch.equal(loaded.similarity([image], texts), before.similarity([image], texts))


def test_a_resumed_run_is_the_same_to_the_last_bit(config: FinetunePairsConfig, tmp_path: Path):
    whole = finetune(config)
    resumed = replace(config, out=str(tmp_path / "resumed"))
    shutil.copytree(whole, resumed.out)
    shutil.rmtree(Path(resumed.out) / "checkpoints" / "step-00000004")
    shutil.rmtree(Path(resumed.out) / "weights")
    resume_finetuning(resumed)
    ours, theirs = (tensors_in(Path(run) / "weights", "adapter.safetensors") for run in (whole, resumed.out))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("average_decay", [pytest.param(None, marks=pytest.mark.slow), 0.5])
def test_a_checkpoint_of_before_is_resumed(config: FinetunePairsConfig, weights: Path, average_decay: float | None):
    """Versions before format 5 kept the base's tensors in every checkpoint."""
    config = replace(config, training=replace(config.training, average_decay=average_decay))
    run = finetune(config)
    expected = tensors_in(run / "weights", "adapter.safetensors")
    shutil.rmtree(run / "checkpoints" / "step-00000004")
    shutil.rmtree(run / "weights")
    checkpoint = run / "checkpoints" / "step-00000002"
    base = {name: tensor for name, tensor in tensors_in(weights).items() if not name.startswith("image_decoder")}
    save_file(base | tensors_in(checkpoint), checkpoint / "model.safetensors")
    state = json.loads((checkpoint / "state.json").read_text())
    del state["base_sha256"]
    (checkpoint / "state.json").write_text(json.dumps({**state, "format_version": 3}))
    written = {name: file_entry(checkpoint / name) for name in Manifest.read(checkpoint).files}
    Manifest(kind="checkpoint", step=2, files=written).write(checkpoint)
    resume_finetuning(config)
    found = tensors_in(run / "weights", "adapter.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_no_run_is_resumed_with_other_weights(config: FinetunePairsConfig, make_run_config, tmp_path: Path):
    base = tmp_path / "base"
    shutil.copytree(config.weights, base)
    config = replace(config, weights=str(base))
    run = finetune(replace(config, training=replace(config.training, steps=2)))
    shutil.rmtree(base)
    shutil.copytree(pretrain(make_run_config("others", seed=5)) / "weights", base)
    with pytest.raises(ValueError, match=r"step-00000002 has adapters of weights with other tensors .*put back"):
        resume_finetuning(config)
    assert not (run / "checkpoints" / "step-00000004").exists()


def test_adapters_do_not_change_when_a_run_is_resumed(config: FinetunePairsConfig):
    finetune(replace(config, training=replace(config.training, steps=2)))
    with pytest.raises(ValueError, match=r"^lora\.alpha cannot change when a run is resumed"):
        resume_finetuning(replace(config, lora=LoraConfig(rank=2, alpha=4.0)))


def test_a_new_head_is_saved_beside_the_adapters(config: FinetunePairsConfig, tmp_path: Path):
    classes = FinetuneClassificationConfig(
        task="classification",
        weights=config.weights,
        out=str(tmp_path / "classes"),
        data=config.data,
        lora=LoraConfig(rank=2, alpha=4.0, parts=("image_encoder",)),
        training=config.training,
        optimizer=config.optimizer,
        runtime=config.runtime,
    )
    run = finetune(replace(classes, data=replace(config.data, validation=None)))
    saved = tensors_in(run / "weights", "adapter.safetensors")
    heads = {name for name in saved if not is_of_adapter(name)}
    assert heads == {"class_head.linear.weight", "class_head.linear.bias"}
    assert {name.split(".")[0] for name in saved if is_of_adapter(name)} == {"image_encoder"}
    predictor = sycoca.load(run / "weights")
    assert torch.equal(predictor.model.state_dict()["class_head.linear.bias"], saved["class_head.linear.bias"])
    assert len(predictor.classify([photo()])) == 1


def test_merge_gives_a_whole_model(config: FinetunePairsConfig, weights: Path, tmp_path: Path, capsys):
    adapter, moved = finetune(config) / "weights", tmp_path / "moved"
    assert main(["merge", str(adapter), "--out", str(tmp_path / "merged")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "merged")
    ours, theirs = load_weights(tmp_path / "merged").model.state_dict(), load_weights(adapter).model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    plain = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert "adapter" not in plain
    assert plain["format_version"] == 4, "older versions can read it"
    shutil.move(weights, moved)
    try:
        with pytest.raises(
            ValueError, match=r"is an adapter of .*, where no weights of a whole model are; sycoca merge"
        ):
            sycoca.load(adapter)
        assert main(["merge", str(adapter), "--base", str(moved), "--out", str(tmp_path / "again")]) == 0
        assert sycoca.load(adapter, base=moved).caption([photo()]) == sycoca.load(tmp_path / "merged").caption(
            [photo()]
        )
    finally:
        shutil.move(moved, weights)


@pytest.mark.parametrize("command", ["merge", "average"])
def test_the_base_that_an_adapter_names_is_not_replaced(
    config: FinetunePairsConfig, weights: Path, tmp_path: Path, capsys, command: str
):
    """It is an input as the adapter is: other adapters would have lost it."""
    adapter, base = finetune(config) / "weights", tmp_path / "link"
    base.symlink_to(weights)
    before = tensors_in(weights)
    inputs = {"merge": [str(adapter)], "average": [str(adapter), str(adapter)]}[command]
    assert main([command, *inputs, "--out", str(base), "--overwrite"]) == 2
    assert "would replace what it is made from" in capsys.readouterr().err
    assert tensors_in(weights).keys() == before.keys()
    sycoca.load(adapter)


def test_other_weights_are_no_base(config: FinetunePairsConfig, make_run_config, tmp_path: Path, capsys):
    adapter = finetune(config) / "weights"
    other = pretrain(make_run_config("other", seed=3)) / "weights"
    assert main(["merge", str(adapter), "--base", str(other), "--out", str(tmp_path / "merged")]) == 1
    said = capsys.readouterr().err
    assert f"is an adapter of other weights than those in {other}" in said
    assert not (tmp_path / "merged").exists()
    with pytest.raises(ValueError, match="is no adapter: it holds a whole model and has no base"):
        sycoca.load(other, base=other)
    assert main(["merge", str(other), "--out", str(tmp_path / "merged")]) == 1
    assert "is no adapter" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "nowhere"), "--out", str(tmp_path / "merged")]) == 1
    assert "nowhere does not exist; a weights folder holds" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"is an adapter itself; sycoca merge .* makes a whole model of it"):
        finetune(replace(config, weights=str(adapter), out=str(tmp_path / "second")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("class_head.linear.bias"), "lacks tensors: class_head.linear.bias"),
        (lambda tensors: tensors.update(other=torch.ones(2)), "has unknown tensors or shapes: other"),
    ],
)
def test_an_adapter_with_other_tensors(
    config: FinetunePairsConfig, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
):
    classes = FinetuneClassificationConfig(
        task="classification",
        weights=config.weights,
        out=str(tmp_path / "classes"),
        data=DataConfig(train="scenes:?count=10&size=16"),
        lora=LoraConfig(rank=2),
        training=replace(config.training, steps=1, save_every=None),
        runtime=config.runtime,
    )
    adapter = finetune(classes) / "weights"
    tensors = tensors_in(adapter, "adapter.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter.safetensors")
    with pytest.raises(ValueError, match=r"adapter\.safetensors differs from its SHA-256|is truncated|bytes too many"):
        sycoca.load(adapter)
    with pytest.raises(ValueError, match=message):
        sycoca.load(adapter, verify=False)


def test_the_optimizer_keeps_little(config: FinetunePairsConfig, tmp_path: Path):
    sizes = []
    for lora in (LoraConfig(), LoraConfig(rank=1)):
        recipe = PairsFinetuning(replace(config, lora=lora))
        with Runtime(config.runtime) as runtime:
            model = recipe.build(recipe.open_sources().train, RunFolder(tmp_path), runtime).model
            sizes.append(state_bytes(model, config.optimizer) - 4 * model.num_parameters)
    assert sizes[1] < 0.2 * sizes[0]


def test_a_sharded_models_copy_has_its_adapters(config: FinetunePairsConfig, tmp_path: Path):
    recipe = PairsFinetuning(config)
    with Runtime(config.runtime) as runtime:
        model = recipe.build(recipe.open_sources().train, RunFolder(tmp_path), runtime).model
    torch.nn.init.normal_(model.text_encoder.blocks[0].mlp.expand.adapter.up)
    copy = whole_copy(model, has_values=True)
    tokens = torch.tensor([[1, 5, 7, 2]])
    is_padding = torch.zeros(1, 4, dtype=torch.bool)
    ours, theirs = (one.encode_texts(tokens, is_padding).text_embeds for one in (model, copy))
    assert torch.equal(ours, theirs)


def test_what_cannot_be_adapted(config: FinetunePairsConfig):
    with pytest.raises(ValueError, match=r"^lora\.parts and lora\.alpha need a rank: set --lora\.rank 8"):
        LoraConfig(parts=("text_encoder",))
    with pytest.raises(ValueError, match=r"^lora\.rank must be at least 1, got 0$"):
        LoraConfig(rank=0)
    with pytest.raises(ValueError, match=r"^lora\.parts names text_encoder, and frozen too"):
        replace(config, frozen=("text_encoder",), lora=LoraConfig(rank=2, parts=("text_encoder",)))
    with pytest.raises(ValueError, match=r"and random_weights loads none$"):
        replace(config, random_weights=True)
    with pytest.raises(ValueError, match=r"^lora\.rank is 1,000, and no matrix .* a rank above \d\d: adapters would"):
        finetune(replace(config, lora=LoraConfig(rank=1000)))
    with pytest.raises(ValueError, match=r"^lora\.parts names image_decoder, which this training does not have$"):
        finetune(replace(config, lora=LoraConfig(rank=2, parts=("image_decoder",))))
    with pytest.raises(ValueError, match=r"^frozen names image_decoder, which this training does not have$"):
        finetune(replace(config, lora=LoraConfig(), frozen=("image_decoder",), out=f"{config.out}-frozen"))
