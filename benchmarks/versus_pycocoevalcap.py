"""Figures and time of caption metrics beside pycocoevalcap, on the same captions of people, in turns.

Run by ``make versus-pycocoevalcap`` in a separate environment; needs Java for their tokenizer and for METEOR, which
both sides leave to the same Java program. The first caption of every image is scored against its others. SPICE is not
compared: its models have to be downloaded. The script ends with an error where a figure is not the same. Ratios are of
time: below 1 means that SyCoCa takes less; ``without_meteor`` and ``all`` are sums of the rows above.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial

from alternating import alternating_seconds, compare_times, comparison_parser, write_report
from inputs import FLICKR8K
from sycoca.data.spec import open_source
from sycoca.metrics import captioning, meteor

SIDES = ("sycoca", "pycocoevalcap")
PARTS = ("tokenization", "bleu_rouge_cider", "meteor")
ROWS = {**{part: (part,) for part in PARTS}, "without_meteor": PARTS[:2], "all": PARTS}
"""The parts whose times add up to each row."""

LARGEST_DIFFERENCE = 1e-12
"""Sums of floating-point numbers in another order."""


def main() -> None:
    """Measure and print."""
    import pycocoevalcap_side as theirs

    options = _options()
    reason = meteor.why_no_meteor()
    if reason is not None:
        raise SystemExit(f"METEOR is {reason}")
    source = open_source(options.data)
    captions_of = [source[index].captions for index in range(len(source))]
    captions = [own[0] for own in captions_of], [own[1:] for own in captions_of]
    our_tokens, their_tokens = captioning.tokenize(*captions), theirs.tokenize(*captions)
    calls = {
        ("sycoca", "tokenization"): partial(captioning.tokenize, *captions),
        ("sycoca", "bleu_rouge_cider"): lambda: captioning.score_captions(our_tokens).metrics(),
        ("sycoca", "meteor"): partial(meteor.meteor, our_tokens.candidates, our_tokens.references),
        ("pycocoevalcap", "tokenization"): partial(theirs.tokenize, *captions),
        ("pycocoevalcap", "bleu_rouge_cider"): partial(theirs.scores, their_tokens),
        ("pycocoevalcap", "meteor"): partial(theirs.meteor, their_tokens),
    }
    figures = same_figures(
        *({**calls[side, "bleu_rouge_cider"](), "meteor": calls[side, "meteor"]()} for side in SIDES)
    )
    seconds = alternating_seconds(calls, options.turns)
    rows = {
        row: compare_times(row, {side: _summed([seconds[side, part] for part in parts]) for side in SIDES})
        for row, parts in ROWS.items()
    }
    num_captions = sum(map(len, captions_of))
    write_report({"figures": figures, "rows": rows, "images": len(source), "captions": num_captions}, options)


def same_figures(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Print and return our and their value of every metric; exit where they differ."""
    figures = {name: (ours[name], value) for name, value in theirs.items()}
    for name, (own, other) in figures.items():
        print(f"{name:10} {own:.15f} {other:.15f}  difference {own - other:.1g}")
    different = [name for name, (own, other) in figures.items() if not abs(own - other) <= LARGEST_DIFFERENCE]
    if different:
        raise SystemExit(f"the figures of both sides differ: {', '.join(different)}")
    return figures


def _summed(parts: Sequence[Sequence[float]]) -> list[float]:
    """Return the time of all parts in each turn."""
    return [sum(turn) for turn in zip(*parts, strict=True)]


def _options() -> argparse.Namespace:
    parser = comparison_parser(__doc__, turns=5)
    parser.add_argument("--data", default=FLICKR8K, help="images with captions, a SPEC")
    return parser.parse_args()


if __name__ == "__main__":
    main()
