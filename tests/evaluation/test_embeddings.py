import torch
from PIL import Image

from builders.predictors import ListSource, photo, photo_source, small_predictor
from sycoca.data.samples import ImageTextSample
from sycoca.evaluation.embeddings import ImageEmbeddings


def test_both_kinds_are_the_predictors_own():
    predictor, source = small_predictor(), photo_source([("a star",)] * 5)
    embeddings = ImageEmbeddings(predictor, batch_size=2)
    samples = [source[index] for index in range(5)]
    torch.testing.assert_close(embeddings.of(source, 5), predictor.embed_images(samples))
    features = embeddings.of(source, 5, "features")
    torch.testing.assert_close(features, predictor.image_features(samples))
    encoded = predictor.model.encode_images(predictor._pixels(samples))
    torch.testing.assert_close(features, predictor.model.image_features(encoded).float())
    assert features.shape == (5, 24)


def test_each_image_is_encoded_once():
    opened: list[int] = []

    def sample(index: int) -> ImageTextSample:
        def open_image(_smallest_side: int | None = None) -> Image.Image:
            opened.append(index)
            return photo(seed=index)

        return ImageTextSample(key=str(index), captions=(), open_image=open_image)

    source = ListSource(samples=tuple(sample(index) for index in range(5)))
    other = ListSource(samples=tuple(sample(10 + index) for index in range(2)))
    embeddings = ImageEmbeddings(small_predictor())
    first = embeddings.of(source, 3)
    embeddings.of(source, 3, "features")
    torch.testing.assert_close(embeddings.of(source, 2), first[:2], rtol=0, atol=0)
    assert sorted(opened) == [0, 1, 2]
    assert embeddings.of(source, 5).shape == (5, 10)  # more than are known: computed again
    assert embeddings.of(other, 2).shape == (2, 10)
    assert sorted(opened[3:]) == [0, 1, 2, 3, 4, 10, 11]
