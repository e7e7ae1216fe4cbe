import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.token_batch import encode_batch, pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer, WordSpan, may_be_longer
from sycoca.texts import normal_form

CAPTIONS = [
    "a red circle left of a blue square",
    "there is a red circle to the left of a blue square",
    "A green triangle is above an Orange cross.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS * 3, TokenizerConfig(vocab_size=400))


TRAINED = Tokenizer.train(CAPTIONS * 3, TokenizerConfig(vocab_size=400))
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zs", "Zl", "Zp")), min_size=1)


@given(words=st.lists(WORDS, max_size=5), gap=st.sampled_from([" ", "  ", "\t", "\n "]))
def test_decoding_returns_the_text_lower_cased_with_single_spaces(words, gap):
    ids = TRAINED.encode(gap.join(["", *words, ""]), context_length=10_000)
    composed = map(normal_form, words)
    assert TRAINED.decode(ids) == " ".join("".join(letter.lower() for letter in word) for word in composed)
    assert not {0, 1, 2} & set(ids[1:-1])


def test_a_new_model_may_have_clips_vocabulary_with_an_added_padding_token():
    config = TokenizerConfig(kind="clip", vocab_size=300)
    tokenizer = Tokenizer.build(["unread"], config)
    assert (tokenizer.vocab_size, tokenizer.special.pad_id) == (49_409, 49_408)
    trained = Tokenizer.build(CAPTIONS, TokenizerConfig(vocab_size=300))
    again = Tokenizer.train(CAPTIONS, TokenizerConfig(vocab_size=300))
    assert trained.encode(CAPTIONS[0], 20) == again.encode(CAPTIONS[0], 20)


def test_lower_casing_can_be_switched_off():
    tokenizer = Tokenizer.train(CAPTIONS, TokenizerConfig(vocab_size=300, lowercase=False))
    assert tokenizer.decode(tokenizer.encode("An Orange", 20)) == "An Orange"


def test_frequent_words_are_single_tokens(tokenizer):
    assert tokenizer.num_tokens("a red circle left of a blue square") == 8 + 2
    assert 259 < tokenizer.vocab_size <= 400


@pytest.mark.parametrize("text", ["<pad>", "<eos>", "a <bos> red<pad>"])
def test_names_of_special_tokens_are_text_like_any_other(tokenizer, text):
    for reader in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        ids = reader.encode(text, 50)
        assert not {0, 1, 2} & set(ids[1:-1])
        assert reader.decode(ids) == text


def test_a_long_caption_is_truncated_but_ends_with_eos(tokenizer):
    special = tokenizer.special
    whole = tokenizer.encode("a red circle left of a blue square", 50)
    cut = tokenizer.encode("a red circle left of a blue square", 5)
    assert whole[0] == special.bos_id
    assert whole[-1] == special.eos_id
    assert cut == [*whole[:4], special.eos_id]
    assert tokenizer.num_tokens("a red circle left of a blue square") == len(whole)
    assert tokenizer.encode("", 5) == [special.bos_id, special.eos_id]


def test_refuses_a_context_without_room_for_bos_and_eos(tokenizer):
    with pytest.raises(ValueError, match=r"context_length must be at least 2 .*, got 1"):
        tokenizer.encode("a", 1)


def test_decoding_stops_at_the_first_eos(tokenizer):
    red, blue = (tokenizer.encode(word, 9)[1] for word in ("red", "blue"))
    assert tokenizer.decode([1, red, 0, blue, 2, red, 2]) == "red blue"


def test_a_batch_is_padded_on_the_right_to_its_longest_caption(tokenizer):
    batch = encode_batch(tokenizer, ["red", "a red circle", ""], 50)
    a, red, circle = (tokenizer.encode(word, 9)[1] for word in ("a", "red", "circle"))
    assert batch.tokens.tolist() == [[1, red, 2, 0, 0], [1, a, red, circle, 2], [1, 2, 0, 0, 0]]
    assert batch.is_padding.tolist() == [[False] * 3 + [True] * 2, [False] * 5, [False] * 2 + [True] * 3]


def test_refuses_an_empty_batch():
    with pytest.raises(ValueError, match="a batch needs at least one caption"):
        pad_tokens([], 0)


def test_token_strings_are_readable(tokenizer):
    ids = tokenizer.encode("a red ox", 50)
    assert tokenizer.token_strings(ids) == ["<bos>", "a", "red", "o", "x", "<eos>"]


def test_words_are_found_in_the_encoded_caption(tokenizer):
    spans = tokenizer.word_spans("  A red-ish circle,  ok ", 50)
    assert [span.word for span in spans] == ["a", "red-ish", "circle,", "ok"]
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    ids = tokenizer.encode("A red-ish circle, ok", 50)
    assert spans[0].start == 1
    assert spans[-1].stop == len(ids) - 1
    assert [tokenizer.decode(ids[span.start : span.stop]) for span in spans] == [span.word for span in spans]


def test_words_that_do_not_fit_are_left_out(tokenizer):
    assert tokenizer.word_spans("red blue red", 4) == [
        WordSpan(word="red", start=1, stop=2),
        WordSpan(word="blue", start=2, stop=3),
    ]
    assert tokenizer.word_spans("", 4) == []


def test_the_same_captions_give_the_same_tokenizer(tokenizer, tmp_path):
    again = Tokenizer.train(iter(CAPTIONS * 3), TokenizerConfig(vocab_size=400))
    for name, each in (("one", tokenizer), ("two", again)):
        each.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_saved_tokenizer_encodes_as_before(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    text = "An orange  CROSS <eos> ünïcode"
    assert loaded.encode(text, 60) == tokenizer.encode(text, 60)
    assert loaded.special == tokenizer.special
    assert loaded.vocab_size == tokenizer.vocab_size


def test_refuses_files_that_are_no_tokenizer(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json is not a tokenizer file"):
        Tokenizer.load(path)
    tokenizer.save(path)
    path.write_text(path.read_text().replace("<eos>", "<end>"))
    with pytest.raises(ValueError, match="not a tokenizer of sycoca: its vocabulary lacks one of <pad>, <bos>, <eos>"):
        Tokenizer.load(path)


def test_refuses_to_train_without_captions():
    with pytest.raises(ValueError, match="a tokenizer needs captions to be trained on, got none"):
        Tokenizer.train([], TokenizerConfig())


@pytest.mark.parametrize("chosen", [None, "true"])
def test_forked_workers_can_encode_without_a_warning(chosen):
    code = """
        import os
        from sycoca.preprocess.config import TokenizerConfig
        from sycoca.preprocess.tokenizer import Tokenizer
        tokenizer = Tokenizer.train(["a red circle"] * 9, TokenizerConfig(vocab_size=300))
        print(os.environ.get("TOKENIZERS_PARALLELISM"), flush=True)
        child = os.fork()
        if child == 0:
            os._exit(len(tokenizer.encode("a red circle", 9)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    # NumPy and PyTorch must not start threads of their own; Python warns of any beside a fork.
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    environment |= {"OMP_NUM_THREADS": "1"} | ({} if chosen is None else {"TOKENIZERS_PARALLELISM": chosen})
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    assert done.stdout.split() == [str(chosen), "5"]
    # With TOKENIZERS_PARALLELISM set by the user, threads are used, and Python warns.
    assert chosen == "true" or not re.search("fork", done.stderr)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_training_leaves_no_threads_behind():
    code = """
        import os
        from sycoca.preprocess.config import TokenizerConfig
        from sycoca.preprocess.tokenizer import Tokenizer
        before = len(os.listdir("/proc/self/task"))
        Tokenizer.train(["a red circle", "a blue square"] * 99, TokenizerConfig(vocab_size=300))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    assert done.stdout.strip() == "0"


def test_two_spellings_of_a_letter_have_the_same_ids():
    for tokenizer in (TRAINED, Tokenizer.clip(pad="own")):
        assert tokenizer.encode("Cafe\u0301", 20) == tokenizer.encode("caf\u00e9", 20)
    assert TRAINED.decode(TRAINED.encode("cafe\u0301", 20)) == "caf\u00e9"


def test_a_tokenizer_from_before_composing_keeps_its_ids(tmp_path):
    TRAINED.save(tmp_path / "new.json")
    plain = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    steps = plain["normalizer"]["normalizers"]
    assert steps.pop(0) == {"type": "NFC"}
    (tmp_path / "old.json").write_text(json.dumps(plain), encoding="utf-8")
    old = Tokenizer.load(tmp_path / "old.json")
    assert old.encode("cafe\u0301", 20) != old.encode("caf\u00e9", 20)
    assert old.decode(old.encode("cafe\u0301", 20)) == "cafe\u0301"


@pytest.mark.parametrize("text", ["a red circle " * 9, "caf\u00e9", "&amp;" * 30, "'s" * 40, "A" * 80, "12" * 40])
@pytest.mark.parametrize("tokenizer", [TRAINED, Tokenizer.clip(pad="own")], ids=["trained", "clip"])
def test_no_text_is_longer_than_it_may_be(text, tokenizer):
    assert may_be_longer(text, tokenizer.num_tokens(text) - 1)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=300)


@given(text=TEXTS)
def test_merging_word_by_word_gives_the_ids_of_merging_the_text(text):
    at_once = TRAINED._backend.encode(text, add_special_tokens=False).ids
    assert list(TRAINED._words._ids_of_words(text, 1024)) == at_once


def test_a_tokenizer_is_trained_on_words_of_any_length_in_time():
    started_at = time.process_time()
    trained = Tokenizer.train(["red circle", "ab" * 100_000, "red"], TokenizerConfig(vocab_size=300))
    assert time.process_time() - started_at < 5  # as one word 15 seconds, and 100 times that for one 10 times as long
    assert trained.token_strings(trained.encode("red", 9)) == ["<bos>", "red", "<eos>"]


def test_long_captions_of_short_words_train_the_same_tokenizer():
    captions = ["a red circle left of the blue one, " * 100, "two red circles"] * 2
    short = [*("a red circle left of the blue one," for _ in range(200)), *["two red circles"] * 2]
    config = TokenizerConfig(vocab_size=330)
    assert Tokenizer.train(captions, config)._backend.to_str() == Tokenizer.train(short, config)._backend.to_str()


@given(text=TEXTS, context_length=st.integers(2, 40))
@pytest.mark.parametrize("tokenizer", [TRAINED, Tokenizer.clip(pad="own")], ids=["trained", "clip"])
def test_truncated_texts_begin_as_whole_ones(tokenizer: Tokenizer, text: str, context_length: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYCOCA_MAX_WORD_CHARACTERS", "5")
        whole = tokenizer.encode(text, 10**6)[1:-1]
        assert tokenizer.encode(text, context_length)[1:-1] == whole[: context_length - 2]


def test_of_a_long_text_only_what_is_read_is_split():
    text = "a red circle, caf\u00e9 " * 20_000
    longest = max(map(len, TRAINED._backend.get_vocab()))
    assert TRAINED.encode(text, 76)[1:-1] == TRAINED._words.encode(text)[:74]
    found = list(TRAINED._words._ids_of_words(text, 1024, 74))
    assert len(found) < 74 * longest + 1025 < len(text) / 4


def test_long_texts_keep_their_ids_and_only_longer_words_are_split(monkeypatch):
    text = " ".join(["A red\tcircle", "kreis" * 200, "left, of", "caf\u00e9" * 250] * 4)
    assert TRAINED.encode(text, 10**6)[1:-1] == TRAINED._backend.encode(text, add_special_tokens=False).ids
    long = "redcircle" * 1000
    assert TRAINED.decode(TRAINED.encode(long, 10**6)) == long
    monkeypatch.setenv("SYCOCA_MAX_WORD_CHARACTERS", "10")
    assert TRAINED.decode(TRAINED.encode(text, 10**6)) == TRAINED.decode(TRAINED._backend.encode(text).ids)
