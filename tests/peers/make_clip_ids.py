"""Write what open_clip's tokenizer makes of awkward texts, and hashes of what it makes of whole data sets.

    make peers-clip-ids

Needs captions of Flickr8k and of COCO in ../shared/data beside the repository.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

import importable_torchvision  # noqa: F401 (first)
from clip_texts import (
    COCO,
    FLICKR8K,
    GOLDEN,
    HARD_TEXTS,
    NUM_RANDOM,
    coco_captions,
    digest,
    fingerprint,
    flickr8k_captions,
    random_texts,
)
from open_clip.tokenizer import SimpleTokenizer

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NUM_WRITTEN_OUT = 150


def main() -> None:
    tokenizer = SimpleTokenizer()

    def encode(text: str, context_length: int) -> list[int]:
        return tokenizer(text, context_length=context_length)[0].tolist()

    drawn = random_texts(NUM_RANDOM, seed=0)
    sets = {
        FLICKR8K: flickr8k_captions(SHARED_DATA / FLICKR8K),
        COCO: coco_captions(SHARED_DATA / COCO),
        "random": drawn,
    }
    golden = {
        "made_with": {name: version(name) for name in ("open_clip_torch", "ftfy", "regex")},
        "vocabulary": [fingerprint(list(tokenizer.encoder)[:-2]), fingerprint(list(tokenizer.bpe_ranks))],
        "texts": [[text, tokenizer.encode(text)] for text in (*HARD_TEXTS, *drawn[:NUM_WRITTEN_OUT])],
        "decoded": [[ids, tokenizer.decode(ids)] for ids in _random_ids(80, seed=0)],
        "sets": {name: {"count": len(texts), "sha256": digest(encode, texts)} for name, texts in sets.items()},
    }
    GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf-8")


def _random_ids(number: int, seed: int) -> list[list[int]]:
    generator = random.Random(seed)
    # Up to 512 are single bytes, which seldom make up a character.
    return [
        [generator.randrange(generator.choice((512, 49406))) for _ in range(generator.randrange(1, 12))]
        for _ in range(number)
    ]


if __name__ == "__main__":
    main()
