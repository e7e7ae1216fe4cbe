"""``sycoca score captioning``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.cli.shared.report_arguments import ReportArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(ReportArguments):
    """Score the captions of any model as sycoca evaluate captioning does; needs no model and no images."""

    predictions: Path
    """Captions in COCO's result format, [{"image_id", "caption"}], or lines of {"image", "caption"}, as sycoca
    caption writes them."""

    references: str
    """COCO's annotations (*.json, {"annotations": [{"image_id", "caption"}]}), or a data SPEC with captions."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of the references of a SPEC that may be unusable; 0 makes the first one an error."""

    only_predicted: bool = False
    """Skip images without a predicted caption and count them; otherwise they are an error."""

    meteor: bool = True
    """Compute METEOR, if Java and pycocoevalcap are installed."""

    def report(self) -> "Report":
        """Score."""
        import time
        from dataclasses import replace

        from sycoca.cli.shared.logs import stderr_console
        from sycoca.data.writing.caption_results import captions_by_reference, read_caption_results
        from sycoca.evaluation.caption_scores import caption_report

        started_at = time.perf_counter()
        references = _references(self.references, self.max_skipped_ratio)
        captions = captions_by_reference(
            read_caption_results(self.predictions), references, only_predicted=self.only_predicted
        )
        report = caption_report(
            captions,
            references,
            with_meteor=self.meteor,
            counts={"images_without_prediction": len(references) - len(captions)},
            settings={"predictions": str(self.predictions), "references": self.references},
            console=stderr_console(),
        )
        return replace(report, seconds=time.perf_counter() - started_at)


def _references(text: str, max_skipped_ratio: float) -> "dict[str, tuple[str, ...]]":
    from sycoca.data.loading.skipping import SkipLog
    from sycoca.data.spec import open_source
    from sycoca.data.writing.caption_results import read_coco_references, source_references

    if text.endswith((".json", ".json.gz")) and not text.startswith(("coco:", "karpathy:")):
        return read_coco_references(Path(text))
    source = open_source(text)
    SkipLog(source, max_skipped_ratio)
    return source_references(source, len(source))
