"""Kendall's rank correlation of caption metrics with human judgments of the same captions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sycoca.data.benchmarks.judgments import Judgment
from sycoca.data.writing.caption_results import known_name, name_forms
from sycoca.evaluation.clip_scores import CaptionJudge
from sycoca.evaluation.report import ItemScores
from sycoca.evaluation.report_parts import ReportPart
from sycoca.facts.metric_suffixes import OTHER_IMAGE
from sycoca.metrics.bleu import bleu_columns, corpus_bleu
from sycoca.metrics.captioning import CaptionScores, TokenizedCaptions, score_captions, tokenize
from sycoca.metrics.rank_correlation import HUMAN_SCORE, JUDGED, judged_correlations


def correlate_judgments(
    path: Path,
    judgments: Sequence[Judgment],
    references: Mapping[str, Sequence[str]],
    judge: CaptionJudge | None = None,
) -> ReportPart:
    """Return how well metrics rank captions as people do: METRIC_kendall_tau_b and _c, and the values of all judgments.

    BLEU-4 of the single caption, ROUGE-L and CIDEr-D against the references of its image, and with a ``judge`` its
    CLIPScores. Beside them stand what needs neither image nor references: ``caption_length``, the number of words.
    Judgments are taken as they are, several of one caption as several items. Captions that are references of their
    image, as the metrics compare them (see `TokenizedCaptions`), are left out and counted, as is usual (Anderson et
    al., ECCV 2016, arXiv 1607.08822). Raises ValueError for a judgment of an image without references, and where none
    is left.
    """
    known = name_forms(references)
    names_of_all = [_image_of(judgment, known) for judgment in judgments]
    tokenized, kept = _without_references(
        tokenize([judgment.caption for judgment in judgments], [references[name] for name in names_of_all])
    )
    if not kept:
        raise ValueError(f"{path}: all judged captions are references of their images, with which they are compared")
    given, names = len(judgments), [names_of_all[place] for place in kept]
    judgments = [judgments[place] for place in kept]
    captions, own = [judgment.caption for judgment in judgments], [references[name] for name in names]
    scores = _values(tokenized, score_captions(tokenized))
    if judge is not None:
        by_judge = judge.scores(names, captions, own)
        scores |= {name: values for name, values in by_judge.items() if not name.endswith(OTHER_IMAGE)}
    values = {HUMAN_SCORE: [judgment.score for judgment in judgments]}
    values |= {f"{JUDGED}{name}": column for name, column in scores.items()}
    arrays = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
    found = {name: float(tau[0]) for name, tau in judged_correlations(arrays, np.ones((1, len(names)))).items()}
    return ReportPart(
        metrics={name: tau for name, tau in found.items() if np.isfinite(tau)},
        counts={
            "judgments": len(judgments),
            "judged_images": len(set(names)),
            "judged_references_left_out": given - len(judgments),
        },
        settings={"judgments": str(path), **(judge.settings() if judge is not None else {})}
        | {
            name: "not computed: all captions, or all people, gave one value"
            for name, tau in found.items()
            if not np.isfinite(tau)
        },
        items={
            "judgment": ItemScores(
                keys=[f"{name}#{number}" for number, name in enumerate(names, start=1)], values=values, groups=names
            )
        },
        remarks=() if judge is None else judge.remarks(),
    )


def _image_of(judgment: Judgment, known: Mapping[str, str]) -> str:
    name = known_name(judgment.image, known)
    if name is None:
        raise ValueError(
            f"a judgment is about image {judgment.image}, which has no references; those with references are called"
            f" like {next(iter(known), 'none')}"
        )
    return name


def _values(tokenized: TokenizedCaptions, scores: CaptionScores) -> dict[str, list[float]]:
    counts = {name: np.array(column, dtype=np.float64) for name, column in bleu_columns(scores.bleu).items()}
    return {
        "bleu_4": corpus_bleu(counts)["bleu_4"].tolist(),
        "rouge_l": scores.rouge_l,
        "cider": scores.cider,
        "caption_length": [float(len(caption.split())) for caption in tokenized.candidates],
    }


def _without_references(captions: TokenizedCaptions) -> tuple[TokenizedCaptions, list[int]]:
    """Return the captions that are none of their own references, and the places at which they stood."""
    pairs = zip(captions.candidates, captions.references, strict=True)
    kept = [place for place, (caption, own) in enumerate(pairs) if caption not in own]
    without = TokenizedCaptions(
        candidates=[captions.candidates[place] for place in kept],
        references=[captions.references[place] for place in kept],
    )
    return without, kept
