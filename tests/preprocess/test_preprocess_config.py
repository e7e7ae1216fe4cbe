import subprocess
import sys

import pytest

from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"std": (0.2, 0.0, 0.2)}, r"transforms.std must be above 0, got \(0.2, 0.0, 0.2\)"),
        ({"crop_min_area": 0.0}, "crop_min_area must be above 0 and at most 1, got 0.0"),
        ({"crop_min_area": 1.1}, "crop_min_area must be above 0 and at most 1, got 1.1"),
        ({"crop_max_aspect": 0.9}, "crop_max_aspect must be at least 1, got 0.9"),
    ],
)
def test_refuses_invalid_transforms(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageTransformConfig(**settings)


def test_refuses_a_vocabulary_without_room_for_the_bytes():
    with pytest.raises(ValueError, match=r"vocab_size must be at least 259 .*, got 258"):
        TokenizerConfig(vocab_size=258)
    assert TokenizerConfig(vocab_size=259).vocab_size == 259


def test_imports_no_torch():
    code = "import sys, sycoca.preprocess.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
