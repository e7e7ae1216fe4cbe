"""Captions per second beside BLIP-base and GIT-base of transformers, with random weights, in turns.

Run by ``make versus-transformers`` in an environment of its own. Every captioner gets the same number of random
images, encodes them anew in every call, and generates exactly ``--tokens`` tokens for each with its own key-value
cache; nothing is compiled. The rows ``encode`` are the part of a call that does not depend on the tokens. A ratio is
images per second of a captioner of SyCoCa over those of another one: above 1 means that SyCoCa is faster.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import torch

from alternating import Ratio, alternating_seconds, comparison_parser, median_ratio, spread, write_report

if TYPE_CHECKING:
    from captioners import Captioner

OURS = ("sycoca_b32_224", "sycoca_b16_224")
THEIRS = ("blip_base_224", "blip_base_384", "git_base_224")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Calls = dict[str, Callable[[], object]]


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    from captioners import build_captioners

    options = _options()
    torch.set_num_threads(options.threads)
    captioners = build_captioners((*OURS, *THEIRS), DTYPES[options.precision])
    rows: dict[str, object] = {}
    for num_images in options.images:
        for name, calls in _calls(captioners, num_images, options).items():
            seconds = alternating_seconds(calls, options.turns)
            ratios = {ours: {other: median_ratio(seconds[other], seconds[ours]) for other in THEIRS} for ours in OURS}
            rates = {name: spread([num_images / one for one in times]) for name, times in seconds.items()}
            rows[f"{name}_{num_images}"] = {
                "images_per_second": rates,
                "ratios": {
                    ours: {other: asdict(ratio) for other, ratio in own.items()} for ours, own in ratios.items()
                },
            }
            _show(f"{name}, images per call: {num_images}", rates, ratios)
    num_parameters = {name: sum(p.numel() for p in one.model.parameters()) for name, one in captioners.items()}
    write_report({"rows": rows, "num_parameters": num_parameters}, options)


def check_lengths(name: str, captions: Sequence[Sequence[int]], end_id: int, shape: tuple[int, int]) -> None:
    """Exit where captions are not ``shape`` (images, tokens), or one of them has ended early."""
    lengths = [len(caption) for caption in captions]
    num_ended = sum(end_id in caption for caption in captions)
    if lengths != [shape[1]] * shape[0] or num_ended:
        raise SystemExit(f"{name} has generated {lengths} tokens, {num_ended} captions have ended; asked for {shape}")


def _calls(captioners: Mapping[str, "Captioner"], num_images: int, options: argparse.Namespace) -> dict[str, Calls]:
    """Return one call per captioner for each row, after a check of what they generate."""
    generator = torch.Generator().manual_seed(0)
    rows: dict[str, Calls] = {"encode": {}} | {_row_name(beams): {} for beams in options.beams}
    for name, captioner in captioners.items():
        side = captioner.image_size
        images = torch.randn(num_images, 3, side, side, generator=generator).to(DTYPES[options.precision])
        rows["encode"][name] = partial(captioner.encode, images)
        for beams in options.beams:
            call = partial(captioner.captions, images, beams, options.tokens)
            check_lengths(name, call(), captioner.end_id, (num_images, options.tokens))
            rows[_row_name(beams)][name] = call
    return rows


def _row_name(num_beams: int) -> str:
    return "greedy" if num_beams == 1 else f"beams_{num_beams}"


def _show(title: str, rates: Mapping[str, Mapping[str, float]], ratios: Mapping[str, Mapping[str, Ratio]]) -> None:
    print(title)
    for name, rate in rates.items():
        print(f"  {name:15} {rate['median']:8.3g} images/s ({rate['min']:.3g} to {rate['max']:.3g})")
    for ours, own in ratios.items():
        print(f"  {ours} over", "; ".join(f"{other} {ratio}" for other, ratio in own.items()), flush=True)


def _options() -> argparse.Namespace:
    parser = comparison_parser(__doc__, turns=7)
    parser.add_argument("--precision", choices=tuple(DTYPES), default="fp32", help="of weights and images, both sides")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4], help="beams per image; 1 is greedy")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 4], help="images per call")
    parser.add_argument("--tokens", type=int, default=30, help="tokens of every caption")
    return parser.parse_args()


if __name__ == "__main__":
    main()
