"""The answers that a model learns to choose from, and the questions that they suit."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.data.questions import QuestionSamples
from sycoca.data.samples import Question, SampleSource
from sycoca.metrics.vqa import AnswerRule, References, answer_rule, most_frequent_answers


@final
class AnswerList:
    """The most frequent best answers of training questions; others cannot be given."""

    def __init__(self, answers: Sequence[str], rule: AnswerRule) -> None:
        self.answers = tuple(answers)
        self.rule = rule
        self._index = {rule.key(answer): index for index, answer in enumerate(self.answers)}

    @classmethod
    def of_source(cls, source: SampleSource, num_answers: int, references_are: References | None) -> "AnswerList":
        """Take the ``num_answers`` answers that are the best ones of most questions.

        Raises ValueError where no question has a reference answer.
        """
        questions = [question for index in range(len(source)) for question in source[index].questions]
        answered = [question.answers for question in questions if question.answers]
        if not answered:
            raise ValueError(f"{source.name} has no questions with answers, which this training needs")
        rule = answer_rule(answered, references_are)
        return cls(most_frequent_answers(map(rule.best_answer, answered), rule, num_answers), rule)

    def targets(self, question: Question) -> dict[int, float]:
        """Return how right listed answers are, 0 to 1, by index; without those that are not right at all."""
        right = self.rule.soft_targets(question.answers) if question.answers else {}
        return {self._index[key]: target for key, target in right.items() if key in self._index and target > 0}

    def rows(self, targets: Sequence[Mapping[int, float]]) -> Float[Tensor, "questions answers"]:
        """Return the targets of several questions as one row each."""
        rows = torch.zeros(len(targets), len(self.answers))
        for row, own in zip(rows, targets, strict=True):
            row[list(own)] = torch.tensor(list(own.values()))
        return rows

    def learnable(self, source: SampleSource, most_per_image: int) -> QuestionSamples:
        """Return samples with the questions that some listed answer is right for, so many to an image at most."""
        places = [
            [place for place, question in enumerate(source[index].questions) if self.targets(question)]
            for index in range(len(source))
        ]
        return QuestionSamples(source, places, most_per_image)
