"""CLIPScore and RefCLIPScore of captions of any model, by the contrastive towers of another one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.writing.caption_results import known_name, name_forms
from sycoca.evaluation.report import Setting
from sycoca.evaluation.report_parts import ReportPart
from sycoca.evaluation.retrieval import embed_captions
from sycoca.evaluation.self_retrieval import SELF_RETRIEVAL, self_retrieval_hits, self_retrieval_metrics
from sycoca.facts.metric_suffixes import OTHER_IMAGE
from sycoca.inference.predictor import Predictor
from sycoca.metrics.clip_score import clip_scores, ref_clip_scores, reference_similarities
from sycoca.progress_bar import tracked

CLIP_SCORE_PREFIX = "A photo depicts"
"""What the paper sets before every caption and reference (section 3)."""

JUDGE_REMARK = (
    "clip_score and ref_clip_score are opinions of the scoring weights: they favor captions of the model that they come"
    " from or that was trained on their scores, so score with weights that are not those under test"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionJudge:
    """A model that scores captions, with the images that it sees."""

    predictor: Predictor
    """The scoring model, which must not be the one that is judged."""

    source: SampleSource
    """The images, called as the captions call them."""

    weights: str
    """Name of the scoring weights, for the report."""

    weights_sha256: str
    """SHA-256 of the scoring weights, for the report."""

    prefix: str = CLIP_SCORE_PREFIX
    """What is set before every caption and reference; an empty text sets nothing."""

    batch_size: int = 64
    """Images per forward pass."""

    console: Console | None = None
    """Where progress bars are shown; None shows none."""

    def scores(
        self,
        images: Sequence[str],
        captions: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        with_self_retrieval: bool = False,
    ) -> dict[str, list[float]]:
        """Return by metric one value per caption of an image, images called by name.

        ``clip_score``, ``ref_clip_score``, and what explains them away: ``clip_score_other_image``, the score with the
        next image in their place (absent for a single image), and ``reference_similarity``, the cosine of caption and
        closest reference, for which nobody looks at an image. ``with_self_retrieval`` adds 1 for each caption that
        finds its image among all of them, 0 for each other. Raises ValueError for an image that the data lacks.
        """
        names = list(dict.fromkeys(images))
        row_of_name = {name: row for row, name in enumerate(names)}
        rows = [row_of_name[name] for name in images]
        embeds = self._embed_images(names)
        texts = self._embed_texts([*captions, *(text for own in references for text in own)])
        caption_embeds, flat = texts[: len(captions)], texts[len(captions) :]
        scores = clip_scores(embeds[rows], caption_embeds)
        similarities = reference_similarities(caption_embeds, flat.split([len(own) for own in references]))
        found = {
            "clip_score": scores,
            "ref_clip_score": ref_clip_scores(scores, similarities),
            "reference_similarity": similarities,
        }
        if len(names) > 1:
            others = embeds.roll(-1, 0)[rows]
            found[f"clip_score{OTHER_IMAGE}"] = clip_scores(others, caption_embeds)
        values = {name: column.tolist() for name, column in found.items()}
        if with_self_retrieval:
            values[SELF_RETRIEVAL] = self_retrieval_hits(embeds, caption_embeds, torch.tensor(rows))
        return values

    def settings(self) -> Mapping[str, Setting]:
        """Return what identifies the judge in a report."""
        return {
            "scoring_weights": self.weights,
            "scoring_weights_sha256": self.weights_sha256,
            "clip_score_prefix": self.prefix,
            "images": self.source.name,
        }

    def remarks(self) -> tuple[str, ...]:
        """Return what limits the scores of any judge, and of this one."""
        return (JUDGE_REMARK, *self.predictor.cautions("similarities"))

    def _embed_images(self, names: Sequence[str]) -> Float[Tensor, "images embed"]:
        samples = _samples_by_name(self.source, names)
        starts = range(0, len(samples), self.batch_size)
        return torch.cat(
            [
                self.predictor.embed_images(samples[start : start + self.batch_size], batch_size=self.batch_size)
                for start in tracked(
                    starts, len(samples), "embedding images", console=self.console, step=self.batch_size
                )
            ]
        )

    def _embed_texts(self, texts: Iterable[str]) -> Float[Tensor, "texts embed"]:
        prefixed = [f"{self.prefix} {text}".strip() for text in texts]
        self.predictor.warn_of_truncation(list(dict.fromkeys(prefixed)))
        return embed_captions(self.predictor, prefixed, console=None)


def clip_score_part(
    judge: CaptionJudge, captions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> ReportPart:
    """Return the scores of captions by image name as a part of their report; see `CaptionJudge.scores`."""
    own_references = [references[name] for name in captions]
    values = judge.scores(list(captions), list(captions.values()), own_references, with_self_retrieval=True)
    found = self_retrieval_metrics(values[SELF_RETRIEVAL], len(captions))
    return ReportPart(
        metrics={**{name: sum(own) / len(own) for name, own in values.items()}, **found},
        settings=judge.settings(),
        values=values,
        remarks=judge.remarks(),
    )


def _samples_by_name(source: SampleSource, names: Sequence[str]) -> list[ImageTextSample]:
    """Return the samples of images that other files name by key, by path or by the number in COCO's file names."""
    index_of_key = {source[index].key: index for index in range(len(source))}
    known = name_forms(index_of_key)
    found = {name: known_name(name, known) for name in names}
    missing = [name for name, key in found.items() if key is None]
    if missing:
        number = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        raise ValueError(
            f"{source.name} has no image {missing[0]}{number}, of which there are captions; its images are called like"
            f" {next(iter(index_of_key), 'none')}"
        )
    return [source[index_of_key[key]] for key in found.values() if key is not None]
