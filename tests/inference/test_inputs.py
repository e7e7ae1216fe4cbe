import numpy as np
import pytest
import torch
from PIL import Image

from builders.predictors import photo
from sycoca.inference.inputs import check_list, image_batch, open_image
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import inference_image


def test_opens_images_files_and_functions(tmp_path):
    photo().save(tmp_path / "photo.png")
    for given in (photo(), tmp_path / "photo.png", str(tmp_path / "photo.png"), photo):
        np.testing.assert_array_equal(np.asarray(open_image(given)), np.asarray(photo()))


def test_makes_rgb_of_anything():
    gray = Image.new("L", (4, 4), 100)
    assert open_image(gray).getpixel((0, 0)) == (100, 100, 100)


def test_a_batch_keeps_the_order():
    transforms = ImageTransformConfig()
    pictures = [photo(seed=seed) for seed in range(9)]
    expected = torch.stack([inference_image(picture, 16, transforms) for picture in pictures])
    torch.testing.assert_close(image_batch(pictures, 16, transforms), expected, rtol=0, atol=0)


def test_refuses_what_is_no_image():
    with pytest.raises(ValueError, match="expected a PIL image, a path or a function that opens an image, got int"):
        open_image(lambda: 3)


@pytest.mark.parametrize(("given", "name"), [(photo(), "Image"), ("photo.jpg", "str"), (photo, "function")])
def test_refuses_one_where_a_list_is_expected(given: object, name: str):
    with pytest.raises(ValueError, match=f"expected a list of images, got one {name}; put it in brackets"):
        check_list(given, "images")
