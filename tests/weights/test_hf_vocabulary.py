import json

import pytest

from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.conversion.hugging_face.vocabulary import check_vocabulary


@pytest.fixture
def clip(tmp_path) -> dict:
    Tokenizer.clip(pad="zero").save(tmp_path / "tokenizer.json")
    return json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))


def test_clips_own_vocabulary_needs_no_file(tmp_path, clip):
    check_vocabulary(tmp_path)
    clip["model"]["merges"] = [" ".join(pair) for pair in clip["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(clip))
    check_vocabulary(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(clip["model"]["vocab"]))
    check_vocabulary(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_another_vocabulary_of_the_same_size_is_refused(tmp_path, clip, name):
    vocabulary = clip["model"]["vocab"]
    vocabulary["dog</w>"], vocabulary["cat</w>"] = vocabulary["cat</w>"], vocabulary["dog</w>"]
    (tmp_path / name).write_text(json.dumps(clip if name == "tokenizer.json" else vocabulary))
    with pytest.raises(ValueError, match=rf"{name} is not CLIP's vocabulary \('\w+</w>'\): give a tokenizer.json"):
        check_vocabulary(tmp_path)


def test_other_merges_are_refused(tmp_path, clip):
    merges = clip["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    (tmp_path / "tokenizer.json").write_text(json.dumps(clip))
    with pytest.raises(ValueError, match=r"its merges are others"):
        check_vocabulary(tmp_path)
