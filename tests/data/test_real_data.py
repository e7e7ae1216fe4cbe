"""Data sets as their makers publish them; counts are those of their own descriptions."""

import subprocess
import sys
from collections import Counter

import pytest

from builders.shared_data import shared_data
from sycoca.data.samples import ImageTextSample, SampleSource, skipped_samples
from sycoca.data.spec import open_source


def samples_of(source: SampleSource) -> list[ImageTextSample]:
    assert list(skipped_samples(source)) == []
    return [source[index] for index in range(len(source))]


def count(samples: list[ImageTextSample], field: str) -> int:
    return sum(len(getattr(sample, field)) for sample in samples)


@pytest.mark.slow
def test_coco_captions():
    samples = samples_of(open_source(f"coco:{shared_data('metric_refs/coco_captions_val2017.json.gz')}"))
    assert (len(samples), count(samples, "captions")) == (5000, 25_014)
    black_honda = next(sample for sample in samples if sample.key == "000000179765.jpg")
    assert black_honda.captions[0] == "A black Honda motorcycle parked in front of a garage."


@pytest.mark.parametrize(
    ("split", "num_questions"), [pytest.param("train", 6795, marks=pytest.mark.slow), ("test", 5673)]
)
def test_daquar(split, num_questions):
    lines = shared_data("daquar/qa.jsonl")
    spec = f"{lines}?images={shared_data('daquar/images')}&question=question_clean&split={split}"
    samples = samples_of(open_source(spec))
    assert count(samples, "questions") == num_questions
    assert samples[0].open_image().size == (253, 192)
    if split == "test":
        first = samples[0].questions[0]
        assert first.question.endswith("right side of the blue armchair ?")
        assert first.answers == ("garbage_bin",)


@pytest.mark.slow
def test_all_of_daquar():
    samples = samples_of(open_source(f"{shared_data('daquar/qa.jsonl')}?images={shared_data('daquar/images')}"))
    # Two of the 1,449 photos are never asked about.
    assert len(samples) == 1447
    assert sum(len(entry.answers) > 1 for sample in samples for entry in sample.questions) == 1243


@pytest.mark.parametrize(
    ("split", "num_images", "num_questions"),
    [pytest.param("train", 4000, 38_575, marks=pytest.mark.slow), ("test", 1000, 9673)],
)
def test_easy_vqa(split, num_images, num_questions):
    images = shared_data(f"easy_vqa/{split}_images.zip")
    samples = samples_of(open_source(f"{shared_data(f'easy_vqa/{split}.jsonl.gz')}?images={images}"))
    assert (len(samples), count(samples, "questions")) == (num_images, num_questions)
    answers = {answer for sample in samples for entry in sample.questions for answer in entry.answers}
    assert len(answers) == 13
    assert samples[-1].open_image().size == (64, 64)


@pytest.mark.parametrize(
    ("name", "per_class"), [pytest.param("test.zip", 1000, marks=pytest.mark.slow), ("train_500_per_class.zip", 500)]
)
def test_cifar10(name, per_class):
    samples = samples_of(open_source(str(shared_data(f"cifar10/{name}"))))
    counts = Counter(sample.label for sample in samples)
    assert len(counts) == 10
    assert set(counts.values()) == {per_class}
    assert samples[0].key == "airplane/0000.jpg"
    assert samples[0].open_image().size == (32, 32)


@pytest.mark.parametrize(("label", "first"), [("class_index", "0"), ("original_name", "tench")])
def test_imagenet_sample(label, first):
    images = shared_data("imagenet_sample/images")
    samples = samples_of(open_source(f"{shared_data('imagenet_sample/labels.csv')}?images={images}&label={label}"))
    assert len(samples) == 1000
    assert (samples[0].label, samples[0].captions) == (first, ())
    assert min(samples[0].open_image().size) == 192


@pytest.mark.parametrize(
    ("split", "num_photos"),
    [pytest.param("train", 6000, marks=pytest.mark.slow), ("val", 1000), ("test", 1000), ("none", 91)],
)
def test_flickr8k(split, num_photos):
    path = shared_data("flickr8k/captions.jsonl")
    samples = samples_of(open_source(f"{path}?images={shared_data('flickr8k/images')}&split={split}"))
    assert (len(samples), count(samples, "captions")) == (num_photos, 5 * num_photos)


def test_a_file_of_forty_thousand_questions_opens_in_two_seconds():
    spec = f"{shared_data('easy_vqa/train.jsonl.gz')}?images={shared_data('easy_vqa/train_images.zip')}"
    # In a process of its own: here every call's types are checked, which takes many times as long.
    code = (
        "import sys, time; from sycoca.data.spec import open_source; start = time.process_time();"
        "open_source(sys.argv[1]); print(time.process_time() - start)"
    )
    run = subprocess.run([sys.executable, "-c", code, spec], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2
