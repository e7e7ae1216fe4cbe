"""What float32, bfloat16 and int8 cost and give at inference on a CPU.

    benchmarks/dtypes.py speed --preset vit_b32
    benchmarks/dtypes.py quality WEIGHTS "captions.jsonl?images=images&split=test"

``speed``: random weights of the sizes of a preset; captions of 30 tokens for one and for four photos, greedy, with 4
and with 6 beams, and embeddings of 16 photos, the types in turns: median seconds, and the median ratio of neighboring
turns to float32 with its 95 % bootstrap interval. ``memory`` is what a model takes that has embedded and captioned, in
MiB, in a process of its own. ``quality``: CIDEr, recall at 1 and how many greedy captions are those of float32. Prints
JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

import sycoca
from alternating import alternating_seconds, median_ratio
from measure import kept_bytes
from sycoca.data.spec import open_source
from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.load import Dtype
from sycoca.inference.predictor import Predictor
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import pretrain_preset
from sycoca.weights.config import WeightsConfig
from sycoca.weights.folder import save_weights

DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "int8")
NUM_TOKENS = 30
CAPTIONED = ((1, 1), (1, 4), (4, 1), (4, 6))
"""Photos of a batch, and beams of each."""

NUM_EMBEDDED = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    speed = what.add_parser("speed")
    speed.add_argument("--preset", default="vit_b32", help="whose sizes the model has")
    speed.add_argument("--turns", type=int, default=7)
    quality = what.add_parser("quality")
    quality.add_argument("weights")
    quality.add_argument("data")
    quality.add_argument("--limit", type=int, default=None, help="photos")
    memory = what.add_parser("memory", help="of one type; speed starts it")
    memory.add_argument("weights")
    memory.add_argument("dtype", choices=DTYPES)
    options = parser.parse_args()
    match options.what:
        case "speed":
            found = _speed(options.preset, options.turns)
        case "memory":
            found = kept_bytes(lambda: _used(options.weights, options.dtype))
        case _:
            found = _quality(options.weights, options.data, options.limit)
    print(json.dumps(found, indent=2))


def _speed(preset: str, turns: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        _save_random(preset, Path(folder) / "weights")
        weights = f"{folder}/weights"
        predictors = {dtype: sycoca.load(weights, device="cpu", dtype=dtype) for dtype in DTYPES}
        memory = {dtype: round(_memory(weights, dtype) / 2**20) for dtype in DTYPES}
    rows = {
        f"{photos} photos, {beams} beams": _row(predictors, _captioning(photos, beams), turns)
        for photos, beams in CAPTIONED
    }
    rows[f"{NUM_EMBEDDED} photos embedded"] = _row(predictors, _embed, turns)
    return {"preset": preset, "threads": torch.get_num_threads(), "memory": memory, **rows}


def _save_random(preset: str, folder: Path) -> None:
    config = pretrain_preset(preset)
    tokenizer = Tokenizer.clip(pad="zero")
    text = replace(config.model.text_encoder, vocab_size=tokenizer.vocab_size)
    model = replace(config.model, text_encoder=text, image_decoder=None)
    torch.manual_seed(0)
    weights = WeightsConfig(model=model, masking=config.masking, transforms=config.transforms, normalizes_patches=True)
    save_weights(folder, SyCoCa(model), tokenizer, weights)


def _memory(weights: str, dtype: Dtype) -> int:
    command = [sys.executable, __file__, "memory", weights, dtype]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _used(weights: str, dtype: Dtype) -> Predictor:
    """Return a model that has embedded and captioned: until then weights in float32 are read from the file."""
    predictor = sycoca.load(weights, device="cpu", dtype=dtype)
    _captioning(1, 1)(predictor)
    predictor.embed_texts(["a text"])
    return predictor


def _row(predictors: dict[Dtype, Predictor], call: Callable[[Predictor], object], turns: int) -> dict[str, object]:
    seconds = alternating_seconds({dtype: partial(call, own) for dtype, own in predictors.items()}, turns)
    return {
        dtype: {
            "seconds": round(statistics.median(times), 4),
            "over_float32": asdict(median_ratio(times, seconds["float32"])),
        }
        for dtype, times in seconds.items()
    }


def _captioning(photos: int, beams: int) -> Callable[[Predictor], object]:
    config = GenerationConfig(num_beams=beams, min_tokens=NUM_TOKENS, max_tokens=NUM_TOKENS)

    @torch.no_grad()
    def caption(predictor: Predictor) -> object:
        model = predictor.model
        memory = model.memory(model.encode_images(_pixels(predictor, photos)))
        return generate_captions(model, memory, predictor.tokenizer.special, config)

    return caption


@torch.no_grad()
def _embed(predictor: Predictor) -> object:
    return predictor.model.encode_images(_pixels(predictor, NUM_EMBEDDED)).image_embeds


def _pixels(predictor: Predictor, photos: int) -> torch.Tensor:
    side, dtype = predictor.image_size, predictor.model.log_logit_scale.dtype
    return torch.randn(photos, 3, side, side, generator=torch.Generator().manual_seed(0)).to(dtype)


def _quality(weights: str, data: str, limit: int | None) -> dict[str, object]:
    source, found, float32 = open_source(data), {}, []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            predictor, file = sycoca.load(weights, device="cpu", dtype=dtype), Path(folder) / f"{dtype}.json"
            options = CaptioningOptions(with_meteor=False, predictions=file)
            captioning = evaluate_captioning(predictor, source, options=options, limit=limit).metrics
            retrieval = evaluate_retrieval(predictor, source, limit=limit).metrics
            captions = [line["caption"] for line in json.loads(file.read_text("utf-8"))]
            float32 = float32 or captions
            found[dtype] = {
                "cider": captioning["cider"],
                **{name: value for name, value in retrieval.items() if name.endswith("recall_at_1")},
                "equal_captions": sum(map(str.__eq__, captions, float32)),
                "captions": len(captions),
            }
    return found


if __name__ == "__main__":
    main()
