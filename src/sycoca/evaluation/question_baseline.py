"""How far the text of a question goes without its image; needs no model."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sycoca.data.content_keys import normalized_caption
from sycoca.data.samples import Question
from sycoca.metrics.vqa import AnswerKey, AnswerRule

Spellings = dict[AnswerKey, Counter[str]]
"""Best answers with their counts; equivalent ones are together."""


def question_only_scores(
    questions: Sequence[Question], best: Sequence[str], constant: str, rule: AnswerRule
) -> list[float]:
    """Score for every question the answer that is most often best for the same text about other images.

    Of equally frequent answers the mean accuracy counts: an order among them would favor some, and one by frequency
    with the question's own would hand it its answer. So would a copy of the question, the same text about the same
    image. ``best``: the best answer to each question; equivalent ones count together, in their most frequent spelling.
    ``constant`` is the answer where no other image is asked the same.
    """
    # A question whose image is not known has one of its own.
    images = [question.image or f"question {number}" for number, question in enumerate(questions)]
    texts = [normalized_caption(question.question) for question in questions]
    of_text: dict[str, Spellings] = {}
    of_image: dict[tuple[str, str], Spellings] = {}
    for image, text, answer in zip(images, texts, best, strict=True):
        key = rule.key(answer)
        for spellings in (of_text.setdefault(text, {}), of_image.setdefault((image, text), {})):
            spellings.setdefault(key, Counter())[answer] += 1
    answers = {text: _Answers(spellings) for text, spellings in of_text.items()}
    return [
        answers[text].score_without(of_image[image, text], question.answers, constant, rule)
        for image, text, question in zip(images, texts, questions, strict=True)
    ]


class _Answers:
    """The best answers to one text in the order of frequency.

    A question takes time with the answers of its own image, not with all: a text may be asked about every image.
    """

    def __init__(self, spellings: Spellings) -> None:
        self._spellings = spellings
        self._counts = Counter({key: own.total() for key, own in spellings.items()})
        self._ranked = self._counts.most_common()
        self._num_with = Counter(self._counts.values())

    def score_without(self, own: Spellings, references: Sequence[str], constant: str, rule: AnswerRule) -> float:
        """Return the mean accuracy of the most frequent answers without an image's own, or that of ``constant``."""
        most, num_leading = self._leading_without(own)
        if most == 0:
            return rule.accuracy(constant, references)
        left = [self._spellings.get(key, Counter()) - own.get(key, Counter()) for key in rule.soft_targets(references)]
        right = [counts.most_common(1)[0][0] for counts in left if counts.total() == most]
        return sum(rule.accuracy(answer, references) for answer in right) / num_leading

    def _leading_without(self, own: Mapping[AnswerKey, Counter[str]]) -> tuple[int, int]:
        """Return the largest count without an image's own answers, and how many answers have it."""
        left = {key: self._counts[key] - counts.total() for key, counts in own.items()}
        # Among the first len(own) + 1 is one that the image does not have.
        most = max([*left.values(), *(count for key, count in self._ranked[: len(own) + 1] if key not in own)])
        changed = sum((left[key] == most) - (self._counts[key] == most) for key in own)
        return most, self._num_with[most] + changed
