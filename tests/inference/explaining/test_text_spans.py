import itertools

import pytest

from builders.predictors import small_tokenizer
from sycoca.inference.explaining.text_spans import locate_words
from sycoca.preprocess.tokenizer import Tokenizer

DECOMPOSED = "Cafe\N{COMBINING ACUTE ACCENT}"


@pytest.mark.parametrize("caption", ["A  Red circle, left", f"a {DECOMPOSED} tree", "a a aa a", "", "  犬 dog\n"])
@pytest.mark.parametrize("tokenizer", [small_tokenizer(), Tokenizer.clip(pad="own")], ids=["own", "clip"])
def test_spans_cover_the_letters_of_the_caption(tokenizer: Tokenizer, caption: str):
    words = [word.word for word in tokenizer.word_spans(caption, 30)]
    spans = locate_words(caption, words)
    assert "".join(caption[span.start : span.end] for span in spans) == "".join(caption.split())
    assert all(first.end <= second.start for first, second in itertools.pairwise(spans))


def test_a_repaired_word_has_an_empty_span():
    caption = "salt &amp; pepper"
    words = [word.word for word in Tokenizer.clip(pad="own").word_spans(caption, 30)]
    assert words == ["salt", "&", "pepper"]
    # The ampersand is found as the first letter of its entity.
    assert [caption[span.start : span.end] for span in locate_words(caption, words)] == ["salt", "&", "pepper"]
    (span,) = locate_words("&eacute;", ["é"])
    assert (span.start, span.end) == (0, 0)


def test_a_word_that_is_cut_within_a_character_is_found():
    (span,) = locate_words("犬", ["\N{REPLACEMENT CHARACTER}"])
    assert span.start == span.end
    first, second = locate_words("a 犬が", ["a", "犬\N{REPLACEMENT CHARACTER}"])
    assert (first.end, second.start, second.end) == (1, 2, 3)
