"""Vocabularies in folders of Hugging Face: CLIP's needs no file, SigLIP's is read, another one must be given."""

import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import tokenizers
from tokenizers import models, normalizers

from sycoca.file_names import has_suffix
from sycoca.preprocess.clip_vocabulary import clip_merges
from sycoca.preprocess.sentence_pieces import is_sentence_pieces
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.texts import read_utf8
from sycoca.weights.conversion.checkpoint_files import read_json
from sycoca.weights.conversion.hugging_face.spiece import read_spiece

CLIP_VOCAB_SIZE = 49_408
"""Ids of CLIP's vocabulary, whose merges come with this package."""

_REMEDY = "give a tokenizer.json with --tokenizer"


_TOKENIZER_NAME, _SPIECE_NAME, _OPTIONS_NAME = "tokenizer.json", "spiece.model", "tokenizer_config.json"

_PUNCTUATION = tokenizers.Regex("[" + "".join(f"\\{one}" for one in string.punctuation) + "]")


def siglip_tokenizer(folder: Path, path: Path | None = None) -> Tokenizer:
    """Return the tokenizer of a SigLIP or SigLIP2: that of its folder, or of another file of either kind.

    Texts are lower-cased, and punctuation is dropped for the first SigLIP, as in training; their files leave that to
    programs. Raises ValueError where there is no file, or one of another vocabulary.
    """
    candidates = (folder / _TOKENIZER_NAME, folder / _SPIECE_NAME) if path is None else (path,)
    path = next((one for one in candidates if one.is_file()), None)
    if path is None:
        raise ValueError(
            f"{folder} has no {_TOKENIZER_NAME}, which its text encoder needs: {_REMEDY}, or convert the image encoder"
            " alone with --image-encoder-only"
        )
    backend = _backend(path)
    if not is_sentence_pieces(backend):
        raise ValueError(f"{path} is not a vocabulary of SentencePiece, which a SigLIP has: {_REMEDY}")
    _set_padding(backend, folder, path)
    backend.no_truncation()
    steps = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([*_cleaning(backend), *steps])
    return Tokenizer(backend)


def _backend(path: Path) -> tokenizers.Tokenizer:
    if has_suffix(path, ".model"):
        return read_spiece(path)
    try:
        return tokenizers.Tokenizer.from_str(read_utf8(path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} is not a tokenizer file: {error}") from error


def _set_padding(backend: tokenizers.Tokenizer, folder: Path, path: Path) -> None:
    """Have shorter texts padded by one token and to no fixed length."""
    if backend.padding is None:
        options = folder / _OPTIONS_NAME
        named = read_json(options).get("pad_token") if options.is_file() else None
        piece = named.get("content") if isinstance(named, Mapping) else named
    else:
        piece = backend.padding["pad_token"]
    pad_id = backend.token_to_id(piece) if isinstance(piece, str) else None
    if pad_id is None:
        raise ValueError(f"neither {path} nor {folder / _OPTIONS_NAME} names a padding token of the vocabulary")
    backend.enable_padding(pad_id=pad_id, pad_token=piece)


def _cleaning(backend: tokenizers.Tokenizer) -> list[normalizers.Normalizer]:
    """Return what was done to texts before they were cut: SigLIP's vocabulary is a unigram model, SigLIP2's is not."""
    if not isinstance(backend.model, models.Unigram):
        return [normalizers.Lowercase()]
    return [
        normalizers.Lowercase(),
        normalizers.Replace(_PUNCTUATION, ""),
        normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]


def check_vocabulary(folder: Path) -> None:
    """Raise ValueError where a folder of transformers has a vocabulary of CLIP's size that is another one.

    Version 5 writes tokenizer.json, older ones vocab.json and merges.txt, and often both.
    """
    for path, vocabulary, merges in _vocabularies(folder):
        # tokenizer.json may have the beginning and the end of a text elsewhere. Of another size, the checkpoint's
        # vocabulary is not CLIP's either, which its tensors tell.
        if len(vocabulary) not in (CLIP_VOCAB_SIZE, CLIP_VOCAB_SIZE - 2):
            continue
        clip = Tokenizer.clip(pad="zero")
        for piece, number in vocabulary.items():
            if clip.id_of(piece) != number:
                raise ValueError(f"{path} is not CLIP's vocabulary ({piece!r}): {_REMEDY}")
        if merges is not None and merges != clip_merges():
            raise ValueError(f"{path} is not CLIP's vocabulary (its merges are others): {_REMEDY}")


def _vocabularies(folder: Path) -> Iterator[tuple[Path, Mapping[str, object], list[tuple[str, ...]] | None]]:
    """Yield each vocabulary with its file and, where they stand there too, its merges."""
    path = folder / "vocab.json"
    if path.is_file():
        yield path, read_json(path), None
    path = folder / _TOKENIZER_NAME
    model = read_json(path).get("model") if path.is_file() else None
    if isinstance(model, Mapping) and isinstance(model.get("vocab"), Mapping):
        # Newer files have pairs, older ones two pieces with a space between them.
        merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.get("merges") or ()]
        yield path, model["vocab"], merges or None
