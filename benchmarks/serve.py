"""Throughput of ``sycoca serve``: requests in batches against one by one, alternating in one run.

    python benchmarks/serve.py [--preset vit_b32] [--clients 16] [--requests 48] [--rounds 5] [--threads 2]

Two servers in this process share one model with random weights, whose speed is that of trained ones. One computes up to
16 requests in a forward pass, the other one at a time; in all else they are equal. Clients send JPEG files of 500 x 375
pixels and each waits for its answer before it sends the next request. Captions have 12 tokens, as those of photos.
A round asks both servers for the same, in an order that alternates; ratios are medians of the rounds.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from builders.serving import post, serving
from sycoca.experiments.benchmark.inputs import scene_jpegs, scene_tokenizer
from sycoca.inference.predictor import Predictor
from sycoca.model.sycoca import SyCoCa
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.serve.application import create_app
from sycoca.serve.settings import ServeSettings
from sycoca.training.recipes.pretraining.config import resolved_model_config
from sycoca.weights.config import WeightsConfig

BATCHED, ALONE = ServeSettings(max_batch_size=16), ServeSettings(max_batch_size=1)
CAPTION_TOKENS = 12
NEEDED = {"/caption": 2.0, "/embed": 1.3}
"""The ratios that batching must reach."""


def random_predictor(preset: str) -> Predictor:
    """Return a predictor of a preset's size whose captions have `CAPTION_TOKENS` tokens."""
    config = pretrain_preset(preset)
    tokenizer = scene_tokenizer(config)
    model = resolved_model_config(config, tokenizer.vocab_size)
    weights = WeightsConfig(model=model, masking=config.masking, transforms=config.transforms)
    predictor = Predictor(SyCoCa(model).eval(), tokenizer, weights)
    generate = predictor.generate

    def of_one_length(images: Any, config: Any, **options: Any) -> Any:
        limited = replace(config, min_tokens=CAPTION_TOKENS, max_tokens=CAPTION_TOKENS)
        return generate(images, limited, **options)

    predictor.generate = of_one_length
    return predictor


def seconds_of(port: int, path: str, images: list[bytes], num_clients: int, num_requests: int) -> float:
    """Return how long a number of clients takes for that many requests in all."""
    numbers = itertools.count()
    lock = threading.Lock()

    def work(_: int) -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= num_requests:
                return
            answer = post(port, path, ("image", images[number % len(images)]))
            assert answer.status == 200, answer.body

    with ThreadPoolExecutor(num_clients) as pool:
        started_at = time.perf_counter()
        list(pool.map(work, range(num_clients)))
        return time.perf_counter() - started_at


def main() -> int:
    """Measure, print, and return 1 where batching does not give what it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="vit_b32", choices=tuple(PRESETS))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    predictor, images = random_predictor(chosen.preset), scene_jpegs(16)
    print(f"{chosen.preset}, {chosen.threads} threads, {chosen.clients} clients, {chosen.requests} requests a round")
    missed = False
    with ExitStack() as stack:
        ports = [stack.enter_context(serving(create_app(predictor, settings=each))) for each in (BATCHED, ALONE)]
        for path, needed in NEEDED.items():
            for port in ports:  # warm up
                seconds_of(port, path, images, chosen.clients, chosen.clients)
            rates: list[list[float]] = [[], []]
            for turn in range(chosen.rounds):
                for side in (0, 1) if turn % 2 == 0 else (1, 0):
                    seconds = seconds_of(ports[side], path, images, chosen.clients, chosen.requests)
                    rates[side].append(chosen.requests / seconds)
            ratios = [batched / alone for batched, alone in zip(*rates, strict=True)]
            ratio = statistics.median(ratios)
            missed |= ratio < needed
            batched, alone = map(statistics.median, rates)
            print(f"{path}: {batched:.2f} requests/s in batches, {alone:.2f} one by one;", end=" ")
            print(f"ratio {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), needed {needed}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
