"""``sycoca score vqa``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.cli.shared.report_arguments import ReportArguments
from sycoca.file_names import has_suffix
from sycoca.metrics.vqa import References

if TYPE_CHECKING:
    from sycoca.data.samples import Question
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(ReportArguments):
    """Score the answers of any model as sycoca evaluate vqa does; needs no model and no images."""

    predictions: Path
    """Answers in VQA's result format: a JSON file [{"question_id", "answer"}, ..]."""

    references: str
    """VQA's annotations (*.json, {"annotations": [..]}), or a data SPEC with questions. Ids of questions without one
    are IMAGE#0, IMAGE#1 and so on."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of the references of a SPEC that may be unusable; 0 makes the first one an error."""

    references_are: References | None = None
    """What several reference answers of a question are: one per annotator (vqa_accuracy, at least 4 each) or the
    members of a set (answer_accuracy). None: annotators if every question has at least 4 answers."""

    def report(self) -> "Report":
        """Score."""
        import time
        from dataclasses import replace

        from sycoca.data.writing.vqa_results import read_results
        from sycoca.evaluation.vqa_scores import score_vqa

        started_at = time.perf_counter()
        questions = _references(self.references, self.max_skipped_ratio)
        report = score_vqa(questions, read_results(self.predictions), references_are=self.references_are)
        settings = {"predictions": str(self.predictions), "references": self.references}
        return replace(report, settings=report.settings | settings, seconds=time.perf_counter() - started_at)


def _references(text: str, max_skipped_ratio: float) -> "list[Question]":
    from sycoca.data.loading.skipping import SkipLog
    from sycoca.data.questions import check_answered, keyed_questions
    from sycoca.data.spec import open_source
    from sycoca.data.writing.vqa_results import read_references

    if has_suffix(text, ".json", ".json.gz"):
        return read_references(Path(text))
    source = open_source(text)
    SkipLog(source, max_skipped_ratio)
    questions = [question for own in keyed_questions(source, len(source)) for question in own]
    check_answered(questions, source.name)
    return questions
