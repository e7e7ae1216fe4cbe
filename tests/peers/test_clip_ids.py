"""CLIP's tokenizer gives the ids and texts that open_clip's own gave when the goldens were made."""

import json

import pytest
from clip_texts import (
    COCO,
    FLICKR8K,
    GOLDEN,
    NUM_RANDOM,
    coco_captions,
    digest,
    fingerprint,
    flickr8k_captions,
    random_texts,
)

from builders.shared_data import shared_data
from sycoca.preprocess.tokenizer import Tokenizer

OPEN_CLIP = json.loads(GOLDEN.read_text(encoding="utf-8"))
CLIP = {"own": Tokenizer.clip(pad="own"), "zero": Tokenizer.clip(pad="zero")}
BOS, EOS = 49406, 49407
LONG = 10_000

each_pad = pytest.mark.parametrize("tokenizer", CLIP.values(), ids=CLIP.keys())


@each_pad
def test_pieces_and_merges_are_those_of_open_clip(tokenizer: Tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    assert [fingerprint(pieces), fingerprint(model["merges"])] == OPEN_CLIP["vocabulary"]


@each_pad
def test_ids_are_those_of_open_clip(tokenizer: Tokenizer):
    different = [text for text, ids in OPEN_CLIP["texts"] if tokenizer.encode(text, LONG) != [BOS, *ids, EOS]]
    assert different == []


@each_pad
@pytest.mark.parametrize("context_length", [2, 3, 12, 77])
def test_too_long_a_text_is_cut_as_open_clip_cuts_it(tokenizer: Tokenizer, context_length: int):
    for text, ids in OPEN_CLIP["texts"]:
        whole = [BOS, *ids, EOS]
        cut = whole if len(whole) <= context_length else [*whole[: context_length - 1], EOS]
        assert tokenizer.encode(text, context_length) == cut
        assert tokenizer.num_tokens(text) == len(whole)


def test_ids_are_those_of_open_clip_on_thousands_of_random_texts():
    expected = OPEN_CLIP["sets"]["random"]
    texts = random_texts(NUM_RANDOM, seed=0)
    assert len(texts) == expected["count"]
    assert digest(CLIP["zero"].encode, texts) == expected["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "read"), [(FLICKR8K, flickr8k_captions), (COCO, coco_captions)])
def test_ids_are_those_of_open_clip_on_all_captions_of_a_data_set(name, read):
    expected = OPEN_CLIP["sets"][name]
    captions = read(shared_data(name))
    assert len(captions) == expected["count"]
    assert digest(CLIP["zero"].encode, captions) == expected["sha256"]


@each_pad
def test_text_of_any_ids_is_that_of_open_clip_without_the_last_space(tokenizer: Tokenizer):
    for ids, text in OPEN_CLIP["decoded"]:
        assert tokenizer.decode(ids) == text.removesuffix(" ")
        assert tokenizer.decode([BOS, *ids, EOS, 320, EOS]) == text.removesuffix(" ")
