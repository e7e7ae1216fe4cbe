"""Write a small spiece.model and the ids of transformers' SiglipTokenizer, for tests without it.

    make peers-siglip-ids

Needs sentencepiece. The rules of the normalizer are few, so that the file is small. Texts that begin with a space are
not compared: transformers puts a piece for it in front, which the preprocessing of SigLIP's training has stripped.
"""

import importable_torchvision  # noqa: F401, I001 (first)
import io
import json
import tempfile
from pathlib import Path

import sentencepiece
from transformers import SiglipTokenizer

GOLDENS = Path(__file__).parent / "goldens"
FOLDER = GOLDENS / "siglip_tokenizer"

CORPUS = [
    "a red circle above a blue square",
    "two dogs run in the snow with a child in a red jacket",
    "the cat is sitting on the bench near the dogs",
    "a man and a woman are walking along the beach at sunset",
    "fine flowers and small fish in the water",
]
TEXTS = [
    "",
    "A red circle.",
    "Two   dogs,\trunning!\n",
    "the cat's bench (near the beach)",
    "ﬁne ﬂowers",
    "été 猫 😀",
    "0123 dogs",
    "a-b_c/d\\e",
    "THE CAT IS SITTING " * 9,
]


def main() -> None:
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("FB01\t66 69\nFB02\t66 6C\n")  # the ligatures fi and fl
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 20),
            model_writer=model,
            model_type="unigram",
            vocab_size=120,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            normalization_rule_tsv=rules.name,
        )
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "spiece.model").write_bytes(model.getvalue())
    peer = SiglipTokenizer(str(FOLDER / "spiece.model"))
    (FOLDER / "tokenizer_config.json").write_text(json.dumps({"pad_token": peer.pad_token}) + "\n")
    ids = {text: peer(text, padding="max_length", max_length=64, truncation=True)["input_ids"] for text in TEXTS}
    (FOLDER / "ids.json").write_text(json.dumps(ids, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
