"""Configs of other projects whose fields are of another kind than they should be: an error in one line names them."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.weights.conversion.config_fields import section, with_own_values
from sycoca.weights.conversion.hugging_face.image_encoders import HfImageEncoder
from sycoca.weights.conversion.hugging_face.pixels import hf_pixels
from sycoca.weights.conversion.hugging_face.read import read_hugging_face
from sycoca.weights.conversion.open_clip_json import check_sizes, forms_from_json, open_clip_json
from sycoca.weights.conversion.open_clip_shapes import UnseenForms
from sycoca.weights.conversion.pixels import open_clip_pixels

GOLDENS = Path(__file__).parents[1] / "peers" / "goldens"


def copied(golden: str, folder: Path, **changes: Any) -> Path:
    """Copy a model of transformers with other fields in its config; a dot separates sections."""
    described = json.loads((GOLDENS / golden / "config.json").read_text())
    for name, value in changes.items():
        *sections, field = name.split("/")
        own = described
        for one in sections:
            own = own[one]
        own[field] = value
    shutil.copy(GOLDENS / golden / "model.safetensors", folder)
    (folder / "config.json").write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize(
    ("golden", "field", "value", "expected"),
    [
        ("hf_clip_gelu", "projection_dim", None, "None; expected a whole number from 1 on"),
        ("hf_clip_gelu", "projection_dim", True, "True; expected a whole number from 1 on"),
        ("hf_clip_gelu", "text_config", "x", "'x'; expected an object with fields"),
        ("hf_clip_gelu", "text_config/max_position_embeddings", -1, "-1; expected a whole number from 1 on"),
        ("hf_clip_gelu", "vision_config/hidden_act", ["gelu"], r"\['gelu'\]; expected a name"),
        ("hf_siglip", "vision_config/num_hidden_layers", 0, "0; expected a whole number from 1 on"),
        ("hf_siglip", "vision_config", [1], r"\[1\]; expected an object with fields"),
        ("hf_dinov2", "image_size", [24, 32], r"\[24, 32\]; expected a whole number from 1 on"),
        ("hf_dinov2", "layer_norm_eps", None, "None; expected a number above 0"),
        ("hf_dinov2", "qkv_bias", "yes", "'yes'; expected true or false"),
        ("hf_dinov3", "num_register_tokens", -1, "-1; expected a whole number from 0 on"),
    ],
)
def test_a_field_of_transformers_is_refused_by_name(
    tmp_path: Path, golden: str, field: str, value: object, expected: str
):
    folder = copied(golden, tmp_path, **{field: value})
    with pytest.raises(ValueError, match=rf"config\.json: {field.replace('/', '.')} is {expected}$"):
        read_hugging_face(folder)


def test_a_square_may_be_given_by_both_sides(tmp_path: Path):
    read = read_hugging_face(copied("hf_dinov2", tmp_path, image_size=[24, 24], patch_size=[8, 8]))
    assert isinstance(read, HfImageEncoder)
    assert (read.config.image_size, read.config.patch_size) == (24, 8)


def test_null_leaves_a_section_empty_and_no_field():
    assert section({"text_config": None}, "text_config", "x: ") == {}
    assert with_own_values({"num_register_tokens": 4}, {"num_register_tokens": 0, "other": 1}, "") == {
        "num_register_tokens": 0
    }


CLIP_PROCESSOR: dict[str, Any] = {"image_processor_type": "CLIPImageProcessor", "image_mean": [0.5] * 3}


@pytest.mark.parametrize("name", ["do_normalize", "do_rescale", "do_resize", "do_center_crop", "resample", "image_std"])
def test_null_in_an_image_processor_is_what_its_class_decides(name: str):
    """Fast processors of transformers write null for most fields: pixels were taken to be rescaled by nothing."""
    assert hf_pixels({**CLIP_PROCESSOR, name: None}, "x.json", 32) == hf_pixels(CLIP_PROCESSOR, "x.json", 32)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("do_rescale", "no", "do_rescale is 'no'; expected true or false"),
        ("rescale_factor", True, "rescale_factor must be a positive number, got True"),
        ("rescale_factor", math.nan, "rescale_factor must be a positive number, got nan"),
        ("image_mean", [0.5, math.nan, 0.5], "image_mean must be a number for each"),
        ("size", True, "size is True; height and width, or shortest_edge can be converted"),
    ],
)
def test_other_values_in_an_image_processor(name: str, value: object, message: str):
    with pytest.raises(ValueError, match=rf"^x\.json: {message}"):
        hf_pixels({**CLIP_PROCESSOR, name: value}, "x.json", 32)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_colors_are_finite_numbers(name: str):
    colors: dict[str, Any] = {name: (0.5, math.nan, 0.5)}
    with pytest.raises(ValueError, match=rf"^transforms\.{name} must be .*nan"):
        ImageTransformConfig(**colors)


@pytest.mark.parametrize(
    ("name", "value"), [("mean", [0.5, 0.5]), ("std", [None] * 3), ("mean", 1j), ("resize_mode", ["shortest"])]
)
def test_pixels_of_open_clip_are_refused_by_name(name: str, value: object):
    with pytest.raises(ValueError, match=rf"^x\.json: {name} "):
        open_clip_pixels({name: value}, "x.json", 32)


@pytest.fixture(scope="module")
def clip():
    read = read_hugging_face(GOLDENS / "hf_clip_gelu")
    assert not isinstance(read, HfImageEncoder)
    return read.model.config


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        (None, "vision_cfg", [1]),
        (None, "quick_gelu", "no"),
        ("vision_cfg", "head_width", 0),
        ("vision_cfg", "mlp_ratio", "4"),
        ("vision_cfg", "attentional_pool", "serial"),
        ("text_cfg", "heads", None),
        ("text_cfg", "correct_cls_mask", 1),
        ("text_cfg", "layers", [2]),
        ("multimodal_cfg", "heads", "8"),
    ],
)
def test_a_field_of_open_clip_is_refused_by_name(clip, part: str | None, name: str, value: object):
    described = open_clip_json(clip)
    (described if part is None else described.setdefault(part, {}))[name] = value
    with pytest.raises(ValueError, match=rf"^x\.json: {'' if part is None else f'{part}.'}{name} is "):
        check_forms_and_sizes(described, clip)


def test_open_clip_may_give_both_sides_and_null_for_no_decoder(clip):
    described = open_clip_json(clip)
    vision = {**described["vision_cfg"], "image_size": [clip.image_encoder.image_size] * 2, "attentional_pool": None}
    check_forms_and_sizes({**described, "vision_cfg": vision, "multimodal_cfg": None}, clip)


def check_forms_and_sizes(described: dict[str, Any], config: Any) -> None:
    forms_from_json(described, UnseenForms(), "x.json")
    check_sizes(described, config, "x.json")
