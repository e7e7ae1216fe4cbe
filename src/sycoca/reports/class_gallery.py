"""Images and the classes that a model finds, for a report."""

from sycoca.data.samples import SampleSource
from sycoca.inference.predictor import Predictor
from sycoca.reports.pictures import data_uri
from sycoca.reports.run_report import Gallery
from sycoca.reports.sample_gallery import AnswerExample, gallery, picture_of

_NUM_EXAMPLES = 10


def class_gallery(predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
    """Let the head of a fine-tuned model classify some samples, evenly spread over a source.

    Samples without a label are left out; those that cannot be read are named in ``skipped``.
    """
    samples, skipped = gallery(predictor, source, _NUM_EXAMPLES, is_shown=lambda sample: sample.label is not None)
    names = predictor.config.class_names
    assert names is not None, "a model that was fine-tuned to classify knows its classes"
    shares, found = predictor.class_probabilities(samples).max(dim=1)
    return Gallery(
        taken_from=taken_from,
        classes=[
            AnswerExample(
                picture=data_uri(picture_of(predictor, sample)),
                question=None,
                answer=names[place],
                probability=share,
                references=(str(sample.label),),
                is_right=names[place] == sample.label,
            )
            for sample, place, share in zip(samples, found.tolist(), shares.tolist(), strict=True)
        ],
        skipped=skipped,
    )
