import subprocess
import sys
from dataclasses import replace

import pytest

from sycoca.model.config import SyCoCaConfig, TextEncoderConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.plain_data import from_plain, to_plain
from sycoca.preprocess.config import TokenizerConfig
from sycoca.training.config import DataConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config


def test_plain_form_of_a_run_comes_back(make_run_config):
    config = make_run_config()
    assert from_plain(PretrainConfig, to_plain(config)) == config


def test_component_without_objective_is_not_built(make_run_config):
    config = make_run_config(objectives=ObjectivesConfig(captioning_weight=0.0))
    resolved = resolved_model_config(config, vocab_size=280)
    assert resolved.text_decoder is None
    assert resolved.image_decoder == config.model.image_decoder
    assert resolved.text_encoder == replace(config.model.text_encoder, vocab_size=280)
    clip = make_run_config(objectives=ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0))
    assert resolved_model_config(clip, 280).image_decoder is None


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("text_decoder", r"objectives\.captioning_weight is 2\.0 but model\.text_decoder is null"),
        ("image_decoder", r"objectives\.masked_image_weight is 1\.0 but model\.image_decoder is null"),
    ],
)
def test_objective_without_component_is_refused(make_run_config, component: str, message: str):
    model = replace(make_run_config().model, **{component: None})
    with pytest.raises(ValueError, match=message):
        make_run_config(model=model)


def test_tokenizer_larger_than_the_model_is_refused(make_run_config):
    with pytest.raises(ValueError, match=r"tokenizer\.vocab_size 301 is more than the 300"):
        make_run_config(tokenizer=TokenizerConfig(vocab_size=301))


def test_model_of_another_vocabulary_is_fine():
    model = SyCoCaConfig(text_encoder=TextEncoderConfig(vocab_size=8192))
    training = TrainingConfig(steps=1, global_batch_size=1)
    assert PretrainConfig(preset="x", out="x", data=DataConfig(train="x"), training=training, model=model)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, r"training\.steps must be at least 1, got 0"),
        ({"global_batch_size": 0}, r"training\.global_batch_size must be at least 1, got 0"),
        ({"log_every": 0}, r"training\.log_every must be at least 1, got 0"),
        ({"evaluate_every": 0}, r"training\.evaluate_every must be at least 1, got 0"),
        ({"save_every": 0}, r"training\.save_every must be at least 1, got 0"),
        ({"micro_batch_size": 0}, r"training\.micro_batch_size must be at least 1, got 0"),
        ({"keep_checkpoints": 0}, r"training\.keep_checkpoints must be at least 1, got 0"),
        ({"evaluation_samples": 0}, r"training\.evaluation_samples must be at least 1, got 0"),
        ({"gradient_clip_norm": 0.0}, r"training\.gradient_clip_norm must be positive, got 0\.0"),
        ({"micro_batch_size": 3}, r"global_batch_size 8 is not a multiple of training.micro_batch_size 3"),
    ],
)
def test_contradictions_in_training_are_refused(fields: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"steps": 5, "global_batch_size": 8, **fields})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OptimizerConfig(peak_lr=0.0), r"optimizer\.peak_lr must be positive, got 0\.0"),
        (lambda: OptimizerConfig(eps=0.0), r"optimizer\.eps must be positive, got 0\.0"),
        (lambda: OptimizerConfig(betas=(0.9, 1.0)), r"optimizer\.betas must lie in \[0, 1\), got \(0\.9, 1\.0\)"),
        (lambda: OptimizerConfig(weight_decay=-0.1), r"optimizer\.weight_decay must not be negative, got -0\.1"),
        (lambda: ScheduleConfig(warmup_steps=-1), r"schedule\.warmup_steps must be at least 0, got -1"),
        (lambda: ScheduleConfig(final_lr_ratio=1.5), r"schedule\.final_lr_ratio must lie between 0 and 1, got 1\.5"),
        (lambda: DataConfig(train="x", num_workers=-1), r"data\.num_workers must be at least 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()


def test_micro_batch_of_a_process():
    training = TrainingConfig(steps=1, global_batch_size=24)
    assert training.micro_batch_on(1) == 24
    assert training.micro_batch_on(4) == 6
    assert replace(training, micro_batch_size=3).micro_batch_on(4) == 3


@pytest.mark.parametrize(("micro_batch_size", "world_size"), [(None, 5), (8, 2), (None, 48)])
def test_batch_that_processes_cannot_share_is_refused(micro_batch_size: int | None, world_size: int):
    training = TrainingConfig(steps=1, global_batch_size=24, micro_batch_size=micro_batch_size)
    with pytest.raises(ValueError, match=f"global_batch_size 24 cannot be divided among {world_size} processes"):
        training.micro_batch_on(world_size)


def test_configs_and_presets_load_without_torch():
    code = (
        "import sys, sycoca.presets.pretrain, sycoca.training.run_folder;"
        "assert not {'torch', 'tyro', 'PIL', 'numpy'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
