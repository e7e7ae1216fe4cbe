"""Metrics of captions, of any model, against their references."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from rich.console import Console

from sycoca.evaluation.remarks import caption_remarks
from sycoca.evaluation.report import ItemScores, Report, Setting
from sycoca.metrics.captioning import score_captions, tokenize
from sycoca.metrics.meteor import SPICE_NOT_COMPUTED, meteor, why_no_meteor
from sycoca.texts import normal_form


def caption_report(
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    with_meteor: bool = True,
    counts: Mapping[str, int],
    settings: Mapping[str, Setting],
    console: Console | None = None,
) -> Report:
    """Score captions by image name against the references of the same images: BLEU-1 to 4, ROUGE-L, CIDEr-D, METEOR.

    An empty caption scores 0 and is counted. A metric that cannot be computed on this machine is left out, and the
    settings say why; the caller sets ``seconds``. Raises ValueError where there are no captions, and for an image
    without references.
    """
    names = list(captions)
    without = [name for name in names if not references.get(name)]
    if without:
        raise ValueError(f"{without[0]} has no references to compare its caption with ({len(without):,} such images)")
    with nullcontext() if console is None else console.status("scoring captions"):
        tokenized = tokenize(list(captions.values()), [references[name] for name in names])
        scores = score_captions(tokenized)
        metrics, reasons = scores.metrics(), {"spice": SPICE_NOT_COMPUTED}
        reason = why_no_meteor() if with_meteor else "not computed: not requested"
        if reason is None:
            metrics["meteor"] = meteor(tokenized.candidates, tokenized.references)
        else:
            reasons["meteor"] = reason
    return Report(
        task="captioning",
        metrics=metrics,
        counts={
            "images": len(names),
            "captions": sum(len(references[name]) for name in names),
            "empty_captions": sum(not caption for caption in tokenized.candidates),
            "different_captions": len(set(map(normal_form, captions.values()))),
            **counts,
        },
        settings={**settings, **reasons},
        items={"image": ItemScores(keys=names, values=scores.per_image())},
        remarks=tuple(caption_remarks(tokenized)),
    )
