"""No option that is a number takes NaN: comparisons with it are all false, so a check has to be written for it."""

import dataclasses
import math

import pytest

from sycoca.data.inspection.photo_checks import PhotoThresholds
from sycoca.evaluation.pair_scores import Threshold
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.mapping.settings import MapSettings
from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.serve.settings import ServeSettings
from sycoca.training.config import OptimizerConfig, ScheduleConfig
from sycoca.training.runtime_config import RuntimeConfig

CONFIGS = (
    *(GenerationConfig, ImageTransformConfig, MapSettings, MaskingConfig, ObjectivesConfig, OptimizerConfig),
    *(PhotoThresholds, RuntimeConfig, ScheduleConfig, ServeSettings, Threshold),
)
FIELDS = [
    (config, field.name)
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if field.type in ("float", "float | None", float, float | None)
]
NEEDED = {"top_p": {"temperature": 1.0}}


@pytest.mark.parametrize(("config", "name"), FIELDS)
def test_nan_is_refused_by_name(config: type, name: str):
    assert len(FIELDS) > 30
    with pytest.raises(ValueError, match="nan"):
        config(**{**NEEDED.get(name, {}), name: math.nan})
