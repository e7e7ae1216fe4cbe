"""Figures and time of evaluation beside LAION's CLIP_benchmark, on the same embeddings, in turns.

Run by ``make versus-clip-benchmark`` in a separate environment. Both sides get embeddings that are not normalized:
zero-shot classification with the sizes of ImageNet (50,000 images, 1,000 classes, 80 templates), and retrieval with
those of COCO's test set (5,000 images, 25,000 captions). The model of CLIP_benchmark only looks its embeddings up; its
autocast is off. The script ends with an error where a figure is not the same. Ratios are of time: below 1 means that
SyCoCa takes less.
"""

import argparse
from collections.abc import Mapping

import torch

import evaluated_embeddings as ours
from alternating import alternating_seconds, compare_times, comparison_parser, write_report

ZERO_SHOT = {
    "acc1": "accuracy_top_1",
    "acc5": "accuracy_top_5",
    "mean_per_class_recall": "mean_class_accuracy",
}
"""Names of the same metrics there and here."""

RECALL_AT = (1, 5, 10)
DIRECTIONS = {"image_retrieval": "text_to_image", "text_retrieval": "image_to_text"}
RETRIEVAL = {f"{theirs}_recall@{k}": f"{own}_recall_at_{k}" for theirs, own in DIRECTIONS.items() for k in RECALL_AT}

LARGEST_DIFFERENCE = 1e-7
"""Their recalls are float32; a single query among 50,000 would make 2e-5."""


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    import clip_benchmark_side as theirs

    options = _options()
    torch.set_num_threads(options.threads)
    labeled = ours.labeled_embeddings(options.labeled_images, options.classes, options.templates, options.embed_dim)
    paired = ours.paired_embeddings(options.paired_images, options.texts_per_image, options.embed_dim)
    names = {"zero_shot": ZERO_SHOT, "retrieval": RETRIEVAL}
    calls = {
        "zero_shot": {"sycoca": lambda: ours.zero_shot(labeled), "clip_benchmark": lambda: theirs.zero_shot(labeled)},
        "retrieval": {
            "sycoca": lambda: ours.retrieval(paired),
            "clip_benchmark": lambda: theirs.retrieval(paired, RECALL_AT),
        },
    }
    report: dict[str, object] = {}
    for row, sides in calls.items():
        figures = same_figures({name: call() for name, call in sides.items()}, names[row])
        report[row] = {"figures": figures, **compare_times(row, alternating_seconds(sides, options.turns))}
        for name, (own, other) in figures.items():
            print(f"  {name:26} {own:.12f} {other:.12f}", flush=True)
    write_report(report, options)


def same_figures(
    metrics: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
) -> dict[str, tuple[float, float]]:
    """Return our and their value of every metric; exit where they differ by more than the rounding of float32."""
    figures = {name: (metrics["sycoca"][own], metrics["clip_benchmark"][name]) for name, own in names.items()}
    different = {name: pair for name, pair in figures.items() if not abs(pair[0] - pair[1]) <= LARGEST_DIFFERENCE}
    if different:
        raise SystemExit(f"the figures of both sides differ: {different}")
    return figures


def _options() -> argparse.Namespace:
    parser = comparison_parser(__doc__, turns=5)
    parser.add_argument("--labeled-images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--templates", type=int, default=80, help="prompts of each class")
    parser.add_argument("--paired-images", type=int, default=5_000)
    parser.add_argument("--texts-per-image", type=int, default=5)
    parser.add_argument("--embed-dim", type=int, default=512)
    return parser.parse_args()


if __name__ == "__main__":
    main()
