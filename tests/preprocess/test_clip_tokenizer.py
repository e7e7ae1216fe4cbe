import html
import itertools
import json
import pickle
import string
import subprocess
import sys

import ftfy
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from sycoca.preprocess.clip_vocabulary import clean_words
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.token_batch import encode_batch
from sycoca.preprocess.tokenizer import SpecialTokens, Tokenizer, WordSpan

CLIP = {"own": Tokenizer.clip(pad="own"), "zero": Tokenizer.clip(pad="zero")}
BOS, EOS = 49406, 49407

each_pad = pytest.mark.parametrize("tokenizer", CLIP.values(), ids=CLIP.keys())


@each_pad
def test_the_empty_text_has_no_tokens(tokenizer: Tokenizer):
    assert tokenizer.encode(" \n", 77) == [BOS, EOS]
    assert tokenizer.decode([]) == tokenizer.decode([BOS, EOS]) == ""


def test_own_padding_is_an_additional_token():
    assert CLIP["own"].special == SpecialTokens(pad_id=49408, bos_id=BOS, eos_id=EOS)
    assert CLIP["own"].vocab_size == 49409
    assert CLIP["own"].token_strings([49408, BOS, EOS]) == ["<pad>", "<|startoftext|>", "<|endoftext|>"]
    assert CLIP["own"].decode([320, 49408, 1929]) == "a dog"


def test_padding_of_open_clip_is_id_0():
    assert CLIP["zero"].special == SpecialTokens(pad_id=0, bos_id=BOS, eos_id=EOS)
    assert CLIP["zero"].vocab_size == 49408


@each_pad
def test_a_token_with_the_id_of_open_clips_padding_is_text(tokenizer: Tokenizer):
    ids = tokenizer.encode("wow !% !", 77)
    assert 0 in ids
    assert tokenizer.decode(ids) == "wow !% !"
    batch = encode_batch(tokenizer, ["wow !% !", "a"], 77)
    assert batch.is_padding.tolist() == [[False] * len(ids), [False] * 3 + [True] * (len(ids) - 3)]
    assert batch.tokens[1, 3:].unique().tolist() == [tokenizer.special.pad_id]
    assert [tokenizer.decode(row) for row in batch.tokens.tolist()] == ["wow !% !", "a"]


@each_pad
@pytest.mark.parametrize("text", ["<|startoftext|>", "a <|endoftext|> b", "<pad>", "<start_of_text>"])
def test_names_of_special_tokens_are_text_like_any_other(tokenizer: Tokenizer, text: str):
    ids = tokenizer.encode(text, 77)[1:-1]
    assert not set(ids) & {BOS, EOS, 49408}
    assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")


@each_pad
def test_a_saved_tokenizer_encodes_as_before(tokenizer: Tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    text = "It's a doghouse!% <pad> &eacute; <|endoftext|>"
    for again in (Tokenizer.load(tmp_path / "tokenizer.json"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.special == tokenizer.special
        assert again.vocab_size == tokenizer.vocab_size
        assert again.encode(text, 77) == tokenizer.encode(text, 77)
        assert again.word_spans(text, 77) == tokenizer.word_spans(text, 77)
        again.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@each_pad
def test_the_file_alone_encodes_plain_captions_alike(tokenizer: Tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    alone = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = ["A dog's  BALL!!", " ünïcode cafe\u0301\t42 🐶 ", "!% wow"]
    rows = encode_batch(tokenizer, texts, 77).tokens.tolist()
    assert [encoding.ids for encoding in alone.encode_batch(texts)] == rows
    assert alone.decode(alone.encode(texts[0]).ids) == "a dog 's ball !! "


@each_pad
def test_padding_is_named_as_a_special_token_in_the_file(tokenizer: Tokenizer, tmp_path):
    # transformers looks this name up, and removes it from every text.
    tokenizer.save(tmp_path / "tokenizer.json")
    file = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert file["padding"]["pad_token"] in {token["content"] for token in file["added_tokens"]}


def test_token_strings_are_readable():
    ids = CLIP["zero"].encode("It's a doghouse, ok!", 77)
    pieces = ["<|startoftext|>", "it", "'s", "a", "do", "ghouse", ",", "ok", "!", "<|endoftext|>"]
    assert CLIP["zero"].token_strings(ids) == pieces


@each_pad
def test_words_are_found_in_the_encoded_caption(tokenizer: Tokenizer):
    assert tokenizer.word_spans("  A doghouse, ok ", 77) == [
        WordSpan(word="a", start=1, stop=2),
        WordSpan(word="doghouse", start=2, stop=4),
        WordSpan(word=",", start=4, stop=5),
        WordSpan(word="ok", start=5, stop=6),
    ]
    assert tokenizer.word_spans("", 77) == []


def test_words_that_do_not_fit_are_truncated():
    assert CLIP["own"].word_spans("a doghouse, ok", 4) == [
        WordSpan(word="a", start=1, stop=2),
        WordSpan(word="do", start=2, stop=3),
    ]


def test_other_vocabularies_do_not_change_texts():
    tokenizer = Tokenizer.train(["a dog"], TokenizerConfig(vocab_size=300))
    text = "sch\u00c3\u00b6n &amp; \u201cquoted\u201d \ufb01sh"
    assert tokenizer.decode(tokenizer.encode(text, 77)) == text.lower()


def without_end(file: dict) -> None:
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] != "<|endoftext|>"]
    file["post_processor"] = None


def without_padding(file: dict) -> None:
    file["padding"] = None


@pytest.mark.parametrize("take_away", [without_end, without_padding])
def test_refuses_files_that_lack_a_part(take_away, tmp_path):
    CLIP["zero"].save(tmp_path / "tokenizer.json")
    file = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    take_away(file)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(ValueError, match=r'but lacks <\|startoftext\|>, <\|endoftext\|> or the section "padding"'):
        Tokenizer.load(tmp_path / "tokenizer.json")


PRINTABLE = [chr(code) for code in range(0x20, 0x7F) if chr(code) != "&"]


@given(text=st.text(PRINTABLE))
def test_printable_ascii_without_ampersands_needs_no_repair(text: str):
    assert ftfy.fix_text(text) == html.unescape(text) == text
    assert " ".join(clean_words(text)) == repaired(text)


def test_no_two_characters_of_printable_ascii_need_repair():
    # Escapes, entities and broken encodings contain a character outside this set, or an ampersand.
    text = "".join("".join(pair) for pair in itertools.product(PRINTABLE, repeat=2))
    assert ftfy.fix_text(text) == text
    assert " ".join(clean_words(text)) == repaired(text)


@given(text=st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("&#;ampltx") | st.sampled_from(string.digits)))
def test_every_text_is_cleaned_as_by_open_clip(text: str):
    assert " ".join(clean_words(text)) == repaired(text)


def repaired(text: str) -> str:
    """Return what open_clip's ``clean="lower"`` makes of a text, step by step."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).strip().split()).strip().lower()


def test_plain_captions_do_not_load_ftfy():
    code = (
        "import sys\n"
        "from sycoca.preprocess.tokenizer import Tokenizer\n"
        "tokenizer = Tokenizer.clip(pad='own')\n"
        "assert len(tokenizer.encode('A dog, running!', 77)) == 7\n"
        "assert 'ftfy' not in sys.modules\n"
        "tokenizer.encode('caf\\xe9', 77)\n"
        "assert 'ftfy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
