"""Vocabularies in folders of Hugging Face: CLIP's own one needs no file, another one must be given."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sycoca.preprocess.clip_vocabulary import clip_merges
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.conversion.checkpoint_files import read_json

CLIP_VOCAB_SIZE = 49_408
"""Ids of CLIP's vocabulary, whose merges come with this package."""

_REMEDY = "give a tokenizer.json with --tokenizer"


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
    path = folder / "tokenizer.json"
    model = read_json(path).get("model") if path.is_file() else None
    if isinstance(model, Mapping) and isinstance(model.get("vocab"), Mapping):
        # Newer files have pairs, older ones two pieces with a space between them.
        merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.get("merges") or ()]
        yield path, model["vocab"], merges or None
