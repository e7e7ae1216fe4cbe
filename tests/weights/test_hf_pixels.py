import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sycoca.preprocess.image_transforms import inference_image
from sycoca.weights.conversion.hugging_face.pixels import hf_pixels, read_hf_pixels

FULL: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
}


def convert(**changes: object):
    return hf_pixels({**FULL, **changes}, "x.json", 32)


def normalized(described: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """Return what transformers makes of pixels from 0 to 255: rescaled, then normalized."""
    if described["do_rescale"]:
        pixels = pixels * described["rescale_factor"]
    if described["do_normalize"]:
        pixels = (pixels - np.array(described["image_mean"])) / np.array(described["image_std"])
    return pixels


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"do_normalize": False, "do_rescale": False},
        {"do_normalize": False, "rescale_factor": 1 / 127.5},
    ],
)
def test_pixels_are_normalized_as_the_file_says(changes):
    transforms, notices = convert(**changes)
    assert notices == ()
    image = Image.new("RGB", (32, 32), (10, 128, 250))
    ours = inference_image(image, 32, transforms)[:, 5, 5].numpy()
    theirs = normalized({**FULL, **changes}, np.array([10.0, 128.0, 250.0]))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_usual_values_are_taken_to_the_last_bit():
    transforms, _ = convert(rescale_factor=0.00392156862745098)
    assert (transforms.mean, transforms.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("changes", "resize", "notice"),
    [
        ({"size": 32}, "crop", None),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, "squash", None),
        ({"size": 32, "default_to_square": True, "do_center_crop": False}, "squash", None),
        ({"do_resize": False}, "crop", "images keep their size there (do_resize is false); here they are resized"),
        (
            {"do_center_crop": False},
            "crop",
            "whole images are seen there (do_center_crop is false); here their central",
        ),
        ({"size": {"shortest_edge": 37}}, "crop", "images are resized to 37 pixels on the shorter side there before"),
        (
            {"size": {"height": 37, "width": 37}},
            "crop",
            "images are resized to 37 x 37 pixels there before the central",
        ),
        ({"crop_size": 64}, "crop", "images have 64 x 64 pixels there, and 32 pixels here, as the model says"),
        ({"do_pad": True}, "crop", "images are padded there (do_pad) and never here"),
        ({"resample": 2}, "crop", "resized with filter 2 of Pillow"),
        ({"offset": 3, "new_field": None}, "crop", "ignored, since it is not known here: offset"),
    ],
)
def test_what_is_done_otherwise_is_said(changes, resize, notice):
    transforms, notices = convert(**changes)
    assert transforms.resize == resize
    assert len(notices) == (notice is not None)
    assert notice is None or notice in notices[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_flip_channel_order": True}, "x.json: do_flip_channel_order is True, a step that cannot be converted"),
        ({"size": {"longest_edge": 32}}, r"x.json: size is .*; height and width, or shortest_edge can be converted"),
        ({"size": "32"}, "x.json: size is '32'"),
        ({"image_mean": [0.5]}, "x.json: image_mean must be a number for each of red, green and blue, got"),
        ({"image_std": [None] * 3}, "x.json: image_std must be"),
        ({"rescale_factor": 0}, "x.json: rescale_factor must be a positive number, got 0"),
        ({"image_processor_type": "NewProcessor", "image_mean": None}, "x.json: image_mean must be"),
    ],
)
def test_what_cannot_be_converted_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        convert(**changes)


def write(folder: Path, name: str, described: object) -> None:
    (folder / name).write_text(json.dumps(described))


def test_the_file_of_transformers_5_is_read_and_comes_first(tmp_path):
    write(tmp_path, "processor_config.json", {"image_processor": FULL, "processor_class": "CLIPProcessor"})
    assert read_hf_pixels(tmp_path, 32, "CLIP")[0].mean == (0.5, 0.4, 0.3)
    write(tmp_path, "preprocessor_config.json", {**FULL, "image_mean": [0.1] * 3})
    assert read_hf_pixels(tmp_path, 32, "CLIP")[0].mean == (0.5, 0.4, 0.3)
    write(tmp_path, "processor_config.json", {"processor_class": "CLIPProcessor"})
    assert read_hf_pixels(tmp_path, 32, "CLIP")[0].mean == (0.1, 0.1, 0.1)
    write(tmp_path, "processor_config.json", {"image_processor": "CLIP"})
    with pytest.raises(ValueError, match="image_processor must be an object"):
        read_hf_pixels(tmp_path, 32, "CLIP")


def test_a_folder_without_a_file_is_taken_for_the_usual_one_and_that_is_said(tmp_path):
    clip, notices = read_hf_pixels(tmp_path, 224, "CLIP")
    assert (clip.mean[0], clip.resize) == (0.48145466, "crop")
    assert notices[0].endswith("is there: images are normalized as CLIP does")
    vit, notices = read_hf_pixels(tmp_path, 224, "ViT")
    assert (vit.mean, vit.std, vit.resize) == ((0.5,) * 3, (0.5,) * 3, "squash")
    assert "filter 2 of Pillow" in notices[1]


def test_an_old_file_of_a_vit_says_little_and_means_a_square(tmp_path):
    old = {"do_resize": True, "size": 32, "do_normalize": True, "feature_extractor_type": "ViTFeatureExtractor"}
    write(tmp_path, "preprocessor_config.json", old)
    transforms, _ = read_hf_pixels(tmp_path, 32, "ViT")
    assert (transforms.mean, transforms.resize) == ((0.5,) * 3, "squash")
