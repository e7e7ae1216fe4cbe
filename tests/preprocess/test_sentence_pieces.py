"""SigLIP's vocabularies: texts without bos, cleaned as in training."""

import json
import pickle
from pathlib import Path

import pytest

from builders.sentence_pieces import EOS, PAD, PIECES, siglip2_backend, write_siglip2_tokenizer, write_siglip_tokenizer
from sycoca.preprocess.sentence_pieces import SentencePieces
from sycoca.preprocess.token_batch import encode_batch
from sycoca.preprocess.tokenizer import SpecialTokens, Tokenizer, WordSpan
from sycoca.weights.conversion.hugging_face.vocabulary import siglip_tokenizer

SIGLIP = Path(__file__).resolve().parents[1] / "peers" / "goldens" / "siglip_tokenizer"


def pieces(tokenizer: Tokenizer, text: str, context_length: int = 64) -> list[str]:
    backend = tokenizer._backend
    return [str(backend.id_to_token(number)) for number in tokenizer.encode(text, context_length)]


@pytest.fixture
def siglip2(tmp_path: Path) -> Tokenizer:
    write_siglip2_tokenizer(tmp_path)
    return siglip_tokenizer(tmp_path)


@pytest.fixture
def siglip(tmp_path: Path) -> Tokenizer:
    write_siglip_tokenizer(tmp_path)
    return siglip_tokenizer(tmp_path)


def test_texts_of_siglip2_are_lower_cased_begin_without_bos_and_end_with_eos(siglip2: Tokenizer):
    assert siglip2.special == SpecialTokens(pad_id=PAD, bos_id=None, eos_id=EOS)
    assert siglip2.vocab_size == len(PIECES) == 40
    assert pieces(siglip2, "The CAT!") == ["th", "e", "▁", "ca", "t", "!", "<eos>"]
    assert pieces(siglip2, "a the") == ["a", "▁the", "<eos>"]
    assert siglip2.decode(siglip2.encode("The CAT!", 64)) == "the cat!"
    assert siglip2.num_tokens("The CAT!") == 7
    with pytest.raises(ValueError, match="begin without bos, so no caption can be generated"):
        siglip2.special.first_id  # noqa: B018


def test_punctuation_is_dropped_for_the_first_siglip(siglip: Tokenizer):
    assert siglip.special == SpecialTokens(pad_id=1, bos_id=None, eos_id=1)
    assert pieces(siglip, "  The  cats,\n A dog! ") == ["▁the", "▁cat", "s", "▁a", "▁dog", "</s>"]
    assert siglip.decode(siglip.encode("The cats, a dog!", 64)) == "the cats a dog"


def test_a_long_text_is_cut_and_still_ends_with_eos(siglip2: Tokenizer):
    assert pieces(siglip2, "the the the the", 3) == ["th", "e", "<eos>"]
    batch = encode_batch(siglip2, ["a", "a the", "x " * 99], 5)
    assert batch.tokens.shape == (3, 5)
    assert batch.tokens[0].tolist() == [PIECES.index("a"), EOS, PAD, PAD, PAD]
    assert batch.is_padding.sum(1).tolist() == [3, 2, 0]


def test_a_book_takes_no_quadratic_time_and_has_the_same_ids():
    backend = siglip2_backend()
    words, text = SentencePieces(backend), "the cat er " * 300
    assert words.encode(text) == backend.encode(text, add_special_tokens=False).ids
    assert words.encode(text, 20) == words.encode(text)[:20]
    assert len(words.encode("x" * 3000)) == 3000


def test_words_and_their_positions(siglip2: Tokenizer):
    assert siglip2.word_spans("a the cat", 64) == [
        WordSpan(word="a", start=0, stop=1),
        WordSpan(word="the", start=1, stop=2),
        WordSpan(word="cat", start=2, stop=5),
    ]


def test_it_is_saved_loaded_and_pickled(siglip2: Tokenizer, tmp_path: Path):
    siglip2.save(tmp_path / "saved.json")
    for other in (Tokenizer.load(tmp_path / "saved.json"), pickle.loads(pickle.dumps(siglip2))):
        assert other.special == siglip2.special
        assert other.encode("The CAT! ", 64) == siglip2.encode("The CAT! ", 64)


def test_the_first_siglips_own_file_gives_the_ids_of_transformers():
    tokenizer = siglip_tokenizer(SIGLIP)
    expected: dict[str, list[int]] = json.loads((SIGLIP / "ids.json").read_text(encoding="utf-8"))
    assert len(expected) == 9
    batch = encode_batch(tokenizer, [*expected, "a " * 99], 64)
    assert batch.tokens[:-1].tolist() == list(expected.values())
    assert batch.is_padding[:-1].any(1).tolist() == [True] * 8 + [False]


def test_a_damaged_model_of_sentence_piece_is_named(tmp_path: Path):
    whole = (SIGLIP / "spiece.model").read_bytes()
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "</s>"}')
    path = tmp_path / "spiece.model"
    for size in (0, 1, 2, 9, 500, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"{path} is not a SentencePiece model"):
            siglip_tokenizer(tmp_path)
    for data in (b"\xff" * 99, b"\0" * 99, whole.replace(b"\x18\x01", b"\x18\x02", 1), b"{}"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{path} is not a SentencePiece model"):
            siglip_tokenizer(tmp_path)


def test_what_is_no_such_vocabulary_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no tokenizer\.json, which its text encoder needs.*--image-encoder-only"):
        siglip_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a tokenizer file"):
        siglip_tokenizer(tmp_path)
    Tokenizer.clip(pad="own").save(tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match="is not a vocabulary of SentencePiece"):
        siglip_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(siglip2_backend().to_str())
    with pytest.raises(ValueError, match="names a padding token of the vocabulary"):
        siglip_tokenizer(tmp_path)
    with pytest.raises(ValueError, match='lacks the section "padding" with pad_id'):
        Tokenizer.load(tmp_path / "tokenizer.json")
