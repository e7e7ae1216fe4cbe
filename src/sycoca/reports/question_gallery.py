"""Questions with a model's answers, for a report."""

from sycoca.data.samples import ImageTextSample, Question, SampleSource
from sycoca.inference.predictor import Predictor
from sycoca.metrics.vqa import AnswerRule
from sycoca.reports.pictures import data_uri
from sycoca.reports.run_report import Gallery
from sycoca.reports.sample_gallery import AnswerExample, gallery, picture_of

_NUM_EXAMPLES = 10
_MOSTLY_RIGHT = 0.5


def question_gallery(predictor: Predictor, source: SampleSource, rule: AnswerRule, taken_from: str) -> Gallery:
    """Return VQA examples, one question each for samples evenly spread over a source.

    Samples without an answered question are left out; unreadable ones are named in ``skipped``.
    """
    samples, skipped = gallery(predictor, source, _NUM_EXAMPLES, is_shown=lambda sample: bool(_answered(sample)))
    # The first questions of all samples would often be the same.
    asked = [_answered(sample)[number % len(_answered(sample))] for number, sample in enumerate(samples)]
    answers = predictor.answers(samples, [[question.question] for question in asked])
    return Gallery(
        taken_from=taken_from,
        answers=[
            AnswerExample(
                picture=data_uri(picture_of(predictor, sample)),
                question=question.question,
                answer=best.answer,
                probability=best.probability,
                references=question.answers,
                is_right=rule.accuracy(best.answer, question.answers) >= _MOSTLY_RIGHT,
            )
            for sample, question, ((best,),) in zip(samples, asked, answers, strict=True)
        ],
        skipped=skipped,
    )


def _answered(sample: ImageTextSample) -> list[Question]:
    return [question for question in sample.questions if question.answers]
