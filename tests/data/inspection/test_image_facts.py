import io

import numpy as np
from PIL import Image

from builders.predictors import photo
from sycoca.data.inspection.image_facts import ImageFacts, image_facts, perceptual_hash
from sycoca.preprocess.decoding import open_rgb


def bits_apart(first: Image.Image, second: Image.Image) -> int:
    return (perceptual_hash(first) ^ perceptual_hash(second)).bit_count()


def slow_perceptual_hash(image: Image.Image) -> int:
    small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=2.0), dtype=float)
    values = []
    for v in range(8):
        for u in range(8):
            total = 0.0
            for y in range(32):
                for x in range(32):
                    total += small[y, x] * np.cos(np.pi * (2 * y + 1) * v / 64) * np.cos(np.pi * (2 * x + 1) * u / 64)
            values.append(round(total / 1024, 3))
    middle = sorted(values)[31:33]
    return int("".join("1" if value > sum(middle) / 2 else "0" for value in values), 2)


def test_facts_worked_by_hand():
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 4:] = [200, 100, 50]
    facts = image_facts(Image.fromarray(pixels))
    assert (facts.width, facts.height, facts.is_gray) == (8, 4, False)
    assert facts.colors == bytes([0, 0, 0, 0, 0, 0, 200, 100, 50, 200, 100, 50] * 4)
    assert len(facts.pixel_hash) == 16
    assert 0 <= facts.perceptual_hash < 2**64


def test_gray_means_every_pixel():
    pixels = np.full((64, 64, 3), 90, dtype=np.uint8)
    assert image_facts(Image.fromarray(pixels)).is_gray
    pixels[5, 5, 2] = 91
    assert not image_facts(Image.fromarray(pixels)).is_gray


def test_the_perceptual_hash_is_the_published_one():
    for seed in range(2):
        assert perceptual_hash(photo(seed=seed)) == slow_perceptual_hash(photo(seed=seed))


def test_pixel_hashes_differ_where_a_pixel_or_the_shape_does():
    image = Image.new("RGB", (6, 4))
    other = image.copy()
    other.putpixel((5, 3), (0, 0, 1))
    hashes = {image_facts(each).pixel_hash for each in (image, other, Image.new("RGB", (4, 6)))}
    assert len(hashes) == 3
    assert image_facts(image.copy()).pixel_hash in hashes


def test_a_picture_compressed_or_resized_again_keeps_nearly_all_bits():
    image = photo(160, 120)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    assert bits_apart(image, open_rgb(io.BytesIO(file.getvalue()), "x")) <= 4
    assert bits_apart(image, image.resize((97, 73))) <= 4
    assert all(bits_apart(image, photo(160, 120, seed=seed)) > 10 for seed in range(1, 20))


def test_images_of_one_color_have_no_frequencies_but_their_brightness():
    hashes = {perceptual_hash(Image.new("RGB", (50, 40), (shade, shade, shade))) for shade in (1, 77, 255)}
    assert hashes == {2**63}


def test_facts_are_comparable_records():
    assert image_facts(photo()) == image_facts(photo())
    assert isinstance(image_facts(photo()), ImageFacts)
