"""Images with predicted classes, for a report."""

from sycoca.data.samples import SampleSource
from sycoca.inference.predictor import Predictor
from sycoca.reports.pictures import data_uri
from sycoca.reports.run_report import Gallery
from sycoca.reports.sample_gallery import AnswerExample, gallery, picture_of

_NUM_EXAMPLES = 10


def class_gallery(predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
    """Return classification examples of a fine-tuned model, for samples evenly spread over a source.

    Samples without a label are left out; unreadable ones are named in ``skipped``.
    """
    samples, skipped = gallery(predictor, source, _NUM_EXAMPLES, is_shown=lambda sample: sample.label is not None)
    names = predictor.config.class_names
    assert names is not None, "a model with a classification head has class names"
    probabilities, predicted = predictor.class_probabilities(samples).max(dim=1)
    return Gallery(
        taken_from=taken_from,
        classes=[
            AnswerExample(
                picture=data_uri(picture_of(predictor, sample)),
                question=None,
                answer=names[index],
                probability=probability,
                references=(str(sample.label),),
                is_right=names[index] == sample.label,
            )
            for sample, index, probability in zip(samples, predicted.tolist(), probabilities.tolist(), strict=True)
        ],
        skipped=skipped,
    )
