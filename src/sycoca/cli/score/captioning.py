"""``sycoca score captioning``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sycoca.cli.shared.report_arguments import ReportArguments
from sycoca.cli.shared.usage import UsageError
from sycoca.file_names import has_suffix
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sycoca.evaluation.clip_scores import CaptionJudge
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.report_parts import ReportPart

References = dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(ReportArguments):
    """Score the captions of any model as sycoca evaluate captioning does; needs no model and no images.

    With --weights a contrastive model sees the images and adds CLIPScore and RefCLIPScore: not the model under test,
    nor one related to it. With --judgments: how well every metric ranks captions as people do.
    """

    predictions: Path | None = None
    """Captions in COCO's result format, [{"image_id", "caption"}], lines of {"image", "caption"}, as sycoca caption
    writes them, or one object {image: caption}. May be left out with --judgments."""

    references: str
    """COCO's annotations (*.json, {"annotations": [{"image_id", "caption"}]}), one object {image: captions} (*.json),
    or a data SPEC with captions."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of the references of a SPEC that may be unusable; 0 makes the first one an error."""

    only_predicted: bool = False
    """Skip images without a predicted caption and count them; otherwise they are an error."""

    meteor: bool = True
    """Compute METEOR, if Java and pycocoevalcap are installed."""

    weights: str | None = None
    """Also compute CLIPScore and RefCLIPScore by the contrastive towers of these weights: a weights folder, or
    hf:owner/name[@revision]. They must not be those that wrote the captions."""

    data: str | None = None
    """The images for --weights, as a data SPEC. None: --references, where they are a SPEC."""

    clip_score_prefix: Annotated[str, arg(metavar="WORDS")] = "A photo depicts"
    """What CLIPScore sets before every caption and reference; the paper's own by default."""

    judgments: Annotated[Path | None, arg(metavar="FILE")] = None
    """Human judgments as lines of {"image", "caption", "score"} (.jsonl), or a table (.csv, .tsv): also compute
    Kendall's tau-b and tau-c of every metric with them."""

    instances: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """COCO's instance annotations of the images: also compute CHAIR, how many of the objects that captions mention are
    neither in the image nor in its references."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision for --weights."""

    def report(self) -> "Report":
        """Score. Raises UsageError where options contradict each other."""
        import time
        from dataclasses import replace

        from sycoca.evaluation.report_parts import joined

        started_at = time.perf_counter()
        self._check()
        references = _references(self.references, self.max_skipped_ratio)
        judge = None if self.weights is None else self._judge(self.weights)
        captions = None if self.predictions is None else self._captions(self.predictions, references)
        report = joined(self._base(captions, references), list(self._parts(captions, references, judge)))
        return replace(report, seconds=time.perf_counter() - started_at)

    def _check(self) -> None:
        if self.predictions is None and self.judgments is None:
            raise UsageError("give --predictions, or --judgments, or both")
        if self.predictions is None and self.instances is not None:
            raise UsageError("--instances checks --predictions: give them, too")
        if self.weights is None and self.data is not None:
            raise UsageError("--data names the images for --weights: give both")

    def _captions(self, predictions: Path, references: References) -> dict[str, str]:
        from sycoca.data.writing.caption_results import captions_by_reference, read_caption_results

        return captions_by_reference(read_caption_results(predictions), references, only_predicted=self.only_predicted)

    def _base(self, captions: "Mapping[str, str] | None", references: References) -> "Report":
        """Return the report of the metrics that need no model, or an empty one where only judgments are given."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.caption_scores import caption_report
        from sycoca.evaluation.report import Report

        settings = {"references": self.references}
        if captions is None:
            return Report(task="captioning", metrics={}, counts={}, settings=dict(settings))
        return caption_report(
            captions,
            references,
            with_meteor=self.meteor,
            counts={"images_without_prediction": len(references) - len(captions)},
            settings={"predictions": str(self.predictions), **settings},
            console=stderr_console(),
        )

    def _parts(
        self, captions: "Mapping[str, str] | None", references: References, judge: "CaptionJudge | None"
    ) -> "Iterator[ReportPart]":
        """Yield what the options add."""
        from sycoca.data.benchmarks.coco_instances import read_instances
        from sycoca.data.benchmarks.judgments import read_judgments
        from sycoca.evaluation.clip_scores import clip_score_part
        from sycoca.evaluation.hallucinations import chair_part
        from sycoca.evaluation.judged_captions import correlate_judgments
        from sycoca.metrics.coco_objects import WORDS_OF_CATEGORY

        if judge is not None and captions is not None:
            yield clip_score_part(judge, captions, references)
        if self.instances is not None and captions is not None:
            yield chair_part(captions, references, read_instances(self.instances, WORDS_OF_CATEGORY))
        if self.judgments is not None:
            yield correlate_judgments(self.judgments, read_judgments(self.judgments), references, judge)

    def _judge(self, weights: str) -> "CaptionJudge":
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.data.spec import open_source
        from sycoca.evaluation.clip_scores import CaptionJudge
        from sycoca.inference.provenance import weights_digest

        images = self.references if self.data is None else self.data
        if _is_annotations(images):
            raise UsageError("--weights needs the images: name them with --data SPEC")
        digest = weights_digest(weights)
        if self.predictions is not None:
            _refuse_own_captions(self.predictions, weights, digest)
        return CaptionJudge(
            predictor=self.model.load(weights),
            source=open_source(images),
            weights=weights,
            weights_sha256=digest,
            prefix=self.clip_score_prefix,
            batch_size=self.model.batch_size,
            console=stderr_console(),
        )


def _refuse_own_captions(predictions: Path, weights: str, digest: str) -> None:
    """Raise ValueError where the scoring weights wrote these captions, as far as these say who did."""
    from sycoca.inference.provenance import read_provenance
    from sycoca.mapping.plan import read_plan

    beside, plan = read_provenance(predictions), read_plan(predictions.parent)
    writers = {
        "its provenance": None if beside is None else beside.weights_sha256,
        "the plan of its folder": None if plan is None else plan.get("weights_sha256"),
    }
    for witness, writer in writers.items():
        if writer == digest:
            raise ValueError(
                f"{predictions} was written by {weights}, says {witness}: a model cannot judge its own captions; name"
                " other --weights"
            )


def _is_annotations(text: str) -> bool:
    """Return whether references are COCO's annotations, which name no image files, and not a SPEC."""
    return has_suffix(text, ".json", ".json.gz") and not text.startswith(("coco:", "karpathy:"))


def _references(text: str, max_skipped_ratio: float) -> References:
    from sycoca.data.loading.skipping import SkipLog
    from sycoca.data.spec import open_source
    from sycoca.data.writing.caption_results import read_coco_references, source_references

    if _is_annotations(text):
        return read_coco_references(Path(text))
    source = open_source(text)
    SkipLog(source, max_skipped_ratio)
    return source_references(source, len(source))
