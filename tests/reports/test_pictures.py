import base64
import io

import numpy as np
from PIL import Image

from sycoca.reports.pictures import data_uri, score_overlay, without_patches

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def decoded(uri: str, kind: str = "png") -> np.ndarray:
    head, data = uri.split(",", 1)
    assert head == f"data:image/{kind};base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_small_images_are_enlarged_by_an_integer_factor():
    shown = decoded(data_uri(PICTURE, side=20))
    assert shown.shape == (12, 18, 3)
    assert np.array_equal(shown[::3, ::3], PICTURE)
    assert np.array_equal(shown[2::3, 2::3], PICTURE)


def test_an_image_of_the_right_size_is_not_changed():
    assert np.array_equal(decoded(data_uri(PICTURE, side=6)), PICTURE)


def test_a_photo_is_reduced():
    gray = np.full((300, 400, 3), 90, dtype=np.uint8)
    shown = decoded(data_uri(gray, side=200), "jpeg")
    assert shown.shape == (150, 200, 3)
    assert np.abs(shown.astype(int) - 90).max() <= 2


def test_hidden_patches_are_blank():
    is_gone = np.array([[True, False, False], [False, False, True]])
    shown = without_patches(PICTURE, is_gone)
    assert (shown[:2, :2] == [228, 230, 236]).all()
    assert (shown[2:, 4:] == [228, 230, 236]).all()
    assert np.array_equal(shown[:2, 2:], PICTURE[:2, 2:])


def test_the_brightness_of_a_patch_is_its_value_on_the_scale():
    flat = np.full((4, 6, 3), 100, dtype=np.uint8)
    scores = np.array([[0.1, 0.2, 0.3], [0.9, 0.0, 0.5]], dtype=np.float32)
    shown = score_overlay(flat, scores, (0.0, 0.9)).astype(int).sum(2)
    assert shown[2, 0] == shown.max()
    assert shown[3, 3] == shown.min()
    weak = score_overlay(flat, scores, (0.0, 2.0)).astype(int).sum(2)
    assert weak[3, 3] == shown[3, 3]
    assert weak[2, 0] < shown[2, 0]
    equal = score_overlay(flat, np.ones((2, 3), dtype=np.float32), (1.0, 1.0))
    assert (equal == equal[0, 0]).all()
