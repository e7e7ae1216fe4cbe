"""Small vocabularies of SentencePiece, as the tokenizer.json of a SigLIP2 (pairs) and of a SigLIP (unigrams)."""

import json
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

PAD, EOS, BOS, UNKNOWN = 0, 1, 2, 3
_LETTERS = [chr(number) for number in range(ord("a"), ord("z") + 1)]
_PAIRS = [("▁", "a"), ("▁", "t"), ("t", "h"), ("▁t", "h"), ("▁th", "e"), ("c", "a"), ("d", "o"), ("e", "r")]

PIECES = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *_LETTERS, *("".join(pair) for pair in _PAIRS), "!"]
"""The 40 pieces of SigLIP2's vocabulary here, in the order of their ids."""


def siglip2_backend() -> tokenizers.Tokenizer:
    """Return merges of pairs, as of Gemma: spaces are pieces' beginnings, and a text has none in front."""
    ids = {piece: number for number, piece in enumerate(PIECES)}
    backend = tokenizers.Tokenizer(models.BPE(ids, _PAIRS, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    backend.add_special_tokens(PIECES[:3])
    return backend


def siglip_backend() -> tokenizers.Tokenizer:
    """Return unigrams, as of T5: every word, the first one too, begins with the mark of a space."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *_LETTERS, "▁the", "▁a", "▁cat", "▁dog", "s", "ing", "!"]
    scores = [0.0, 0.0, 0.0, -3.0, *(-6.0 for _ in _LETTERS), -1.0, -1.5, -2.0, -2.0, -4.0, -3.0, -5.0]
    unique = dict(zip(pieces, scores, strict=True))
    backend = tokenizers.Tokenizer(models.Unigram(list(unique.items()), unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<pad>", "</s>"])
    return backend


def write_siglip2_tokenizer(folder: Path) -> Path:
    """Write tokenizer.json as Hugging Face does: rows of 64 ids, padded with <pad>."""
    backend = siglip2_backend()
    backend.enable_padding(pad_id=PAD, pad_token="<pad>", length=64)
    backend.enable_truncation(64)
    path = folder / "tokenizer.json"
    path.write_text(backend.to_str(), encoding="utf-8")
    return path


def write_siglip_tokenizer(folder: Path) -> Path:
    """Write tokenizer.json without padding, and tokenizer_config.json, which says that </s> pads."""
    path = folder / "tokenizer.json"
    path.write_text(siglip_backend().to_str(), encoding="utf-8")
    named = {"tokenizer_class": "SiglipTokenizer", "pad_token": {"content": "</s>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
    return path
