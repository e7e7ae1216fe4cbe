"""Pretraining from initial weights: frozen tensors, lower learning rates, and warnings of forgetting."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.starts import built, count_of, log_of, notices, tensors_in
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import OptimizerConfig, ScheduleConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.frozen_parts_config import FreezablePart
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.run.dry_run import dry_run
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import load_weights, save_weights


def changed_tensors(run: Path, start: Path) -> set[str]:
    before, after = tensors_in(start), tensors_in(run / "weights")
    return {name for name, tensor in after.items() if name not in before or not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("average_decay", [None, 0.5])
def test_frozen_parts_do_not_change(make_run_config, weights: Path, average_decay: float | None):
    start = InitialWeightsConfig(weights=str(weights), frozen=("image_encoder", "text_decoder", "log_logit_scale"))
    config = make_run_config(start=start)
    run = pretrain(replace(config, training=replace(config.training, average_decay=average_decay, micro_batch_size=2)))
    everything = tensors_in(weights).keys()
    assert changed_tensors(run, weights) == {n for n in everything if n.startswith(("text_encoder", "image_decoder"))}
    moments = load_file(run / "checkpoints" / "step-00000004" / "optimizer.safetensors")
    assert {key.split("/")[1].split(".")[0] for key in moments} == {"text_encoder", "image_decoder"}
    if average_decay is not None:
        means = load_file(run / "checkpoints" / "step-00000004" / "average.safetensors")
        assert means.keys() == changed_tensors(run, weights)
    learning = count_of(weights, "text_encoder") + count_of(weights, "image_decoder")
    total = sum(tensor.numel() for tensor in tensors_in(weights).values())
    assert f"temperature; {learning:,} of {total:,} parameters are trainable" in log_of(run)


def test_what_a_frozen_part_lacks_learns(make_run_config, vit: Path, tmp_path: Path):
    run = pretrain(make_run_config(start=InitialWeightsConfig(weights=str(vit), frozen=("image_encoder",))))
    changed = {name for name in changed_tensors(run, vit) if name.startswith("image_encoder")}
    assert changed == {"image_encoder.projection.weight"}
    _, fresh = built(RunFolder(run).read_config(PretrainConfig), tmp_path / "fresh")
    first, last = fresh.model.image_encoder.projection.state_dict()["weight"], tensors_in(run / "weights")
    assert not torch.equal(first, last["image_encoder.projection.weight"])


def test_a_new_mask_token_learns_through_a_frozen_encoder(make_run_config, clip: Path, tmp_path: Path):
    config = make_run_config(start=InitialWeightsConfig(weights=str(clip), frozen=("image_encoder",)))
    decoder = replace(config.model.image_decoder, mask_tokens="encoder")
    run = pretrain(replace(config, model=replace(config.model, image_decoder=decoder)))
    changed = {name for name in changed_tensors(run, clip) if name.startswith("image_encoder")}
    assert changed == {"image_encoder.mask_token"}
    _, fresh = built(RunFolder(run).read_config(PretrainConfig), tmp_path / "fresh")
    assert not torch.equal(
        fresh.model.state_dict()[changed.pop()], tensors_in(run / "weights")["image_encoder.mask_token"]
    )


def test_a_frozen_temperature_is_not_even_clamped(make_run_config, weights: Path, tmp_path: Path):
    loaded = load_weights(weights)
    loaded.model.log_logit_scale.data.fill_(5.0)  # above the clamp
    save_weights(tmp_path / "hot", loaded.model, loaded.tokenizer, loaded.config)
    frozen, free = (
        pretrain(make_run_config(start=InitialWeightsConfig(weights=str(tmp_path / "hot"), frozen=names)))
        for names in (("log_logit_scale",), ())
    )
    assert tensors_in(frozen / "weights")["log_logit_scale"].item() == 5.0
    assert tensors_in(free / "weights")["log_logit_scale"].item() < 4.7


def test_loaded_tensors_learn_at_their_share_of_the_rate(make_run_config, clip: Path, tmp_path: Path):
    config = make_run_config(start=InitialWeightsConfig(weights=str(clip), lr_ratio=0.25))
    recipe, trained = built(config, tmp_path / "run")
    optimizer = build_optimizer(trained.model, OptimizerConfig(layer_decay=0.5), trained.lr_ratios)
    names = {id(parameter): name for name, parameter in trained.model.named_parameters()}
    scales = {names[id(p)]: group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert scales.keys() == set(names.values())
    assert scales["image_decoder.norm_final.weight"] == scales["text_decoder.vocabulary.weight"] == 1
    assert scales["image_encoder.projection.weight"] == scales["log_logit_scale"] == 0.25
    assert scales["text_encoder.blocks.0.mlp.expand.weight"] == 0.125
    assert scales["text_encoder.positions"] == 0.0625
    assert "learning rate of the loaded tensors: 0.25 times that of new ones" in list(recipe.summary(trained))


def test_the_first_step_moves_loaded_tensors_by_their_ratio(make_run_config, clip: Path):
    """Adam's first update is the learning rate itself, up to epsilon; norms have no weight decay."""
    config = make_run_config(start=InitialWeightsConfig(weights=str(clip), lr_ratio=0.1))
    optimizer = OptimizerConfig(peak_lr=1e-2, eps=1e-15)
    training, schedule = replace(config.training, steps=1), ScheduleConfig(warmup_steps=0)
    run = pretrain(replace(config, optimizer=optimizer, training=training, schedule=schedule))
    before, after = tensors_in(clip), tensors_in(run / "weights")
    loaded = (after["image_encoder.norm_post.weight"] - before["image_encoder.norm_post.weight"]).abs()
    new = (after["image_decoder.norm_final.weight"] - 1).abs()
    lr = read_metrics(run / "metrics.jsonl")[0]["lr"]
    torch.testing.assert_close(loaded, torch.full_like(loaded, 0.1 * lr), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(new, torch.full_like(new, lr), rtol=1e-3, atol=1e-7)


def test_frozen_parts_need_less_memory(make_run_config, weights: Path):
    config = make_run_config(start=InitialWeightsConfig(weights=str(weights), frozen=("image_encoder",)))
    report = dry_run(config)
    frozen = count_of(weights, "image_encoder")
    assert report.estimated_bytes == 16 * (report.parameters["all"] - frozen) + 4 * frozen


def test_more_fits_beside_frozen_encoders(make_run_config, weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.training.engine.limits.device_bytes", lambda _: 2**21)

    def num_fitting(*frozen: FreezablePart) -> int:
        config = make_run_config(start=InitialWeightsConfig(weights=str(weights), frozen=frozen))
        config = replace(config, training=replace(config.training, global_batch_size=4096))
        with pytest.raises(ValueError, match=r"at most [\d,]+ fit") as caught:
            pretrain(config)
        return int(str(caught.value).split("at most ")[1].split(" ")[0].replace(",", ""))

    everything = num_fitting()
    assert everything < num_fitting("text_encoder") < num_fitting("image_encoder")
    assert num_fitting("image_encoder") < num_fitting("image_encoder", "text_encoder", "text_decoder")


def test_warns_where_training_forgets_retrieval(make_run_config, weights: Path, vit: Path, tmp_path: Path):
    blind = ObjectivesConfig(contrastive_weight=0.0)
    config = make_run_config(start=InitialWeightsConfig(weights=str(weights)), objectives=blind)
    assert any("forgets retrieval and zero-shot classification" in line for line in notices(config, tmp_path))
    for harmless in (
        replace(config, objectives=ObjectivesConfig()),
        replace(config, start=InitialWeightsConfig(weights=str(vit))),  # never learned retrieval
        replace(config, start=InitialWeightsConfig(weights=str(weights), frozen=("image_encoder", "text_encoder"))),
    ):
        assert not any("forgets" in line for line in notices(harmless, tmp_path / "harmless"))


def test_warns_of_learning_rates_that_are_too_high_for_loaded_weights(
    make_run_config, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sycoca.training.recipes.notices.LARGE_MODEL_PARAMETERS", 100)
    config = make_run_config(start=InitialWeightsConfig(weights=str(clip)), optimizer=OptimizerConfig(peak_lr=5e-4))
    (said,) = (line for line in notices(config, tmp_path) if "learning rate of the loaded weights" in line)
    assert "5.0e-04 on average" in said
    assert said.endswith("lower --start.lr-ratio or --optimizer.peak-lr")
    slow = replace(config, start=replace(config.start, lr_ratio=0.2))
    assert not any("on average" in line for line in notices(slow, tmp_path / "slow"))


def test_steps_that_would_train_nothing_are_refused(make_run_config, weights: Path):
    """An image decoder alone learns from steps with TG-MIM alone."""
    others = ("image_encoder", "text_encoder", "text_decoder", "log_logit_scale")
    start = InitialWeightsConfig(weights=str(weights), frozen=others)
    config = make_run_config("decoder", start=start, objectives=ObjectivesConfig(masked_image_every=2))
    with pytest.raises(ValueError, match=r"^steps without TG-MIM would train nothing, since all parts but the image"):
        pretrain(config)
    assert pretrain(replace(config, objectives=ObjectivesConfig()))
