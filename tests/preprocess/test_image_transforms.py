import io
import math
from threading import Barrier

import numpy as np
import pytest
import torch
from PIL import Image

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import inference_batch, inference_image, to_pictures, training_image


def random_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def position_picture(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom: a crop tells where it comes from."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, :, 0] = (np.arange(width) + 0.5) / width * 255
    pixels[:, :, 1] = ((np.arange(height) + 0.5) / height * 255)[:, None]
    return Image.fromarray(pixels)


PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def crop_sides(crop: torch.Tensor) -> tuple[float, float]:
    """Return the fractions of the image's width and height that a crop of the position picture covers."""
    size = crop.shape[-1]
    red, green = crop[0].mean(dim=0), crop[1].mean(dim=1)
    inner = slice(4, size - 4)
    stretch = (size - 1) / (size - 9) * size / (size - 1)
    return float(red[inner][-1] - red[inner][0]) * stretch, float(green[inner][-1] - green[inner][0]) * stretch


def draw(picture: Image.Image, config: ImageTransformConfig, seed: int, size: int = 64) -> torch.Tensor:
    return training_image(picture, size, config, torch.Generator().manual_seed(seed))


def test_normalization_worked_by_hand():
    config = ImageTransformConfig(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    pixel = inference_image(Image.new("RGB", (3, 3), (255, 0, 51)), 1, config)[:, 0, 0]
    assert pixel.tolist() == pytest.approx([1.0, -1.0, 0.1])


def test_inference_takes_the_central_square():
    picture = random_picture(6, 4)
    expected = np.asarray(picture)[:, 1:5].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(inference_image(picture, 4, ImageTransformConfig(**PLAIN)), expected, atol=1e-6)
    tall = picture.transpose(Image.Transpose.TRANSPOSE)
    expected = np.asarray(tall)[1:5].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(inference_image(tall, 4, ImageTransformConfig(**PLAIN)), expected, atol=1e-6)


def test_squashing_keeps_the_whole_image():
    picture = position_picture(90, 60)
    whole = crop_sides(inference_image(picture, 64, ImageTransformConfig(**PLAIN, resize="squash")))
    center = crop_sides(inference_image(picture, 64, ImageTransformConfig(**PLAIN)))
    assert whole == pytest.approx((1, 1), abs=0.02)
    assert center == pytest.approx((2 / 3, 1), abs=0.02)


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_training_crop_of_the_full_area_is_the_whole_image(resize):
    config = ImageTransformConfig(**PLAIN, crop_min_area=1.0, resize=resize)
    picture = random_picture(90, 60)
    squashed = inference_image(picture, 48, ImageTransformConfig(**PLAIN, resize="squash"))
    torch.testing.assert_close(draw(picture, config, seed=3, size=48), squashed)


@pytest.mark.parametrize(("width", "height"), [(200, 200), (320, 200), (150, 260)])
def test_training_crops_keep_their_area_and_aspect(width, height):
    config = ImageTransformConfig(**PLAIN, crop_min_area=0.4, crop_max_aspect=1.5)
    picture = position_picture(width, height)
    sides = np.array([crop_sides(draw(picture, config, seed)) for seed in range(60)])
    areas = sides.prod(axis=1)
    aspects = sides[:, 0] * width / (sides[:, 1] * height)
    assert areas.min() > 0.4 - 0.03
    assert areas.max() <= 1.02
    assert areas.max() - areas.min() > 0.4
    fits = np.minimum(aspects, 1 / aspects) > 1 / 1.5 - 0.05
    assert fits[areas < 0.6].all()
    assert aspects.std() > 0.05


def test_the_aspect_limit_is_exceeded_where_the_area_would_not_fit():
    config = ImageTransformConfig(**PLAIN, crop_min_area=0.9, crop_max_aspect=4 / 3)
    across, down = crop_sides(draw(position_picture(400, 50), config, seed=1))
    assert across * down > 0.87
    assert across * 400 / (down * 50) > 4


def test_squashed_crops_have_the_aspect_ratio_of_the_image():
    config = ImageTransformConfig(**PLAIN, crop_min_area=0.5, crop_max_aspect=1.0, resize="squash")
    across, down = crop_sides(draw(position_picture(300, 150), config, seed=2))
    assert across == pytest.approx(down, abs=0.03)
    assert across < 0.99


def test_crops_come_from_everywhere():
    config = ImageTransformConfig(**PLAIN, crop_min_area=0.5)
    crops = torch.stack([draw(position_picture(128, 128), config, seed, size=32) for seed in range(40)])
    centers = crops[:, :2].mean(dim=(2, 3))
    assert (centers.std(dim=0) > 0.03).all()
    assert (centers.mean(dim=0) - 0.5).abs().max() < 0.05


def test_about_half_of_the_images_are_flipped():
    picture = random_picture(16, 16)
    straight = inference_image(picture, 16, ImageTransformConfig(**PLAIN))
    config = ImageTransformConfig(**PLAIN, crop_min_area=1.0, flips=True)
    crops = [draw(picture, config, seed, size=16) for seed in range(60)]
    is_flipped = [torch.equal(crop, straight.flip(2)) for crop in crops]
    assert 15 < sum(is_flipped) < 45
    assert all(flipped or torch.equal(crop, straight) for crop, flipped in zip(crops, is_flipped, strict=True))


def test_never_flips_where_left_and_right_carry_meaning():
    picture = random_picture(16, 16)
    config = ImageTransformConfig(**PLAIN, crop_min_area=1.0)
    straight = inference_image(picture, 16, config)
    assert all(torch.equal(draw(picture, config, seed, size=16), straight) for seed in range(20))


def test_crops_depend_on_the_generator_alone():
    picture, config = random_picture(50, 40), ImageTransformConfig(crop_min_area=0.3, flips=True)
    assert torch.equal(draw(picture, config, 7), draw(picture, config, 7))
    assert not torch.equal(draw(picture, config, 7), draw(picture, config, 8))


def test_normalization_can_be_inverted():
    picture, config = random_picture(20, 20), ImageTransformConfig()
    shown = to_pictures(inference_image(picture, 20, config)[None], config)
    np.testing.assert_array_equal(shown[0], np.asarray(picture))


def test_pictures_outside_the_range_are_clipped():
    shown = to_pictures(torch.tensor([-9.0, 0.5, 9.0])[None, :, None, None], ImageTransformConfig(**PLAIN))
    assert shown.ravel().tolist() == [0, 128, 255]


def test_a_gray_image_needs_no_conversion():
    pixels = inference_image(Image.new("L", (4, 4), 51), 2, ImageTransformConfig(**PLAIN))
    assert pixels.shape == (3, 2, 2)
    assert math.isclose(float(pixels.mean()), 0.2, abs_tol=1e-6)


def test_a_batch_equals_its_images_one_by_one():
    config = ImageTransformConfig()
    pictures = [random_picture(20 + seed, 16, seed) for seed in range(5)]
    batch = inference_batch([lambda _, picture=picture: picture for picture in pictures], 8, config)
    assert torch.equal(batch, torch.stack([inference_image(picture, 8, config) for picture in pictures]))


def test_images_of_a_batch_are_read_in_parallel(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both_are_open = Barrier(2, timeout=20)

    def open_image(_: int) -> Image.Image:
        both_are_open.wait()
        return random_picture(8, 8)

    assert inference_batch([open_image, open_image], 8, ImageTransformConfig()).shape == (2, 3, 8, 8)


def test_decoding_large_jpegs_at_a_reduced_size_changes_pixels_little():
    # Strong edges and fine grain, as a photo has, at seven times the input size.
    grain = np.asarray(random_picture(1568, 1568), dtype=np.float64) - 127.5
    coarse = np.asarray(random_picture(28, 28, seed=1).resize((1568, 1568), Image.Resampling.NEAREST))
    file = io.BytesIO()
    Image.fromarray((coarse * 0.7 + grain * 0.3 + 38).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    config = ImageTransformConfig(**PLAIN)
    opened: list[Image.Image] = []

    def open_image(smallest_side: int) -> Image.Image:
        opened.append(open_rgb(file, "photo.jpg", smallest_side))
        return opened[-1]

    difference = inference_batch([open_image], 224, config)[0] - inference_image(open_rgb(file), 224, config)
    assert opened[0].size == (784, 784)
    assert difference.abs().mean() < 2 / 255
