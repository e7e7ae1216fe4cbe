"""The questions of a source: with unique ids for evaluation, or a selection of them for training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from sycoca.data.samples import ImageTextSample, Question, SampleSource, skipped_samples
from sycoca.unusable import SkippedSample


def keyed_questions(source: SampleSource, num_samples: int) -> list[tuple[Question, ...]]:
    """Return the questions about each of the first samples; one without id gets the image's name and its number as id.

    Every question has its sample's name.

    Raises ValueError where there is no question, where one has no answer to compare with, and where two have one id.
    """
    found = [_keyed(source[index]) for index in range(num_samples)]
    questions = [question for own in found for question in own]
    if not questions:
        raise ValueError(f"{source.name} has no questions; a line of JSON with one has the fields question and answers")
    check_unique([str(question.key) for question in questions], f"{source.name}: questions")
    return found


def check_answered(questions: Sequence[Question], where: str) -> None:
    """Raise ValueError for questions without reference answers."""
    unanswered = [question for question in questions if not question.answers]
    if unanswered:
        raise ValueError(
            f"{where}: {len(unanswered):,} of {len(questions):,} questions have no reference answer, the first is"
            f" {unanswered[0].key} ({unanswered[0].question!r}); sycoca ask SPEC --out answers without scoring"
        )


def check_unique(keys: Sequence[str], what: str) -> None:
    """Raise ValueError for an id that occurs more than once."""
    key, count = Counter(keys).most_common(1)[0] if keys else ("", 0)
    if count > 1:
        raise ValueError(f"{what} must have ids of their own, but {key} occurs {count} times")


@final
class QuestionSamples:
    """The samples of a source with the selected training questions.

    An image with many questions becomes several samples, each with a few of them: every question occurs once.
    """

    def __init__(self, source: SampleSource, places: Sequence[Sequence[int]], most_per_sample: int) -> None:
        """Take for every sample of the source the indices of its questions; samples without any are left out."""
        self.name = source.name
        self.skipped: Sequence[SkippedSample] = skipped_samples(source)
        self.num_questions = sum(map(len, places))
        self._source = source
        self._groups = [
            (index, own[start : start + most_per_sample])
            for index, own in enumerate(places)
            for start in range(0, len(own), most_per_sample)
        ]

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> ImageTextSample:
        sample_index, places = self._groups[index]
        sample = self._source[sample_index]
        questions = _keyed(sample)
        chosen = tuple(questions[place] for place in places)
        return replace(sample, key=f"{sample.key}, question {chosen[0].key}", questions=chosen)


def _keyed(sample: ImageTextSample) -> tuple[Question, ...]:
    return tuple(
        replace(question, image=sample.key, key=f"{sample.key}#{place}" if question.key is None else question.key)
        for place, question in enumerate(sample.questions)
    )
