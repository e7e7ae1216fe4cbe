"""The answer vocabulary of VQA, and the soft targets of questions over it."""

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
    """The answer vocabulary: the most frequent best answers of the training questions."""

    def __init__(self, answers: Sequence[str], rule: AnswerRule) -> None:
        self.answers = tuple(answers)
        self.rule = rule
        self._index = {rule.key(answer): index for index, answer in enumerate(self.answers)}

    @classmethod
    def of_source(cls, source: SampleSource, num_answers: int, references_are: References | None) -> "AnswerList":
        """Return the ``num_answers`` most frequent best answers of a source's questions.

        Raises ValueError where no question has a reference answer.
        """
        questions = [question for index in range(len(source)) for question in source[index].questions]
        answered = [question.answers for question in questions if question.answers]
        if not answered:
            raise ValueError(f"{source.name} has no questions with answers, which this training needs")
        rule = answer_rule(answered, references_are)
        return cls(most_frequent_answers(map(rule.best_answer, answered), rule, num_answers), rule)

    def targets(self, question: Question) -> dict[int, float]:
        """Return the positive soft targets of a question, from 0 to 1, by index in the vocabulary."""
        right = self.rule.soft_targets(question.answers) if question.answers else {}
        return {self._index[key]: target for key, target in right.items() if key in self._index and target > 0}

    def rows(self, targets: Sequence[Mapping[int, float]]) -> Float[Tensor, "questions answers"]:
        """Return the soft targets of several questions as a dense matrix."""
        rows = torch.zeros(len(targets), len(self.answers))
        for row, own in zip(rows, targets, strict=True):
            row[list(own)] = torch.tensor(list(own.values()))
        return rows

    def learnable(self, source: SampleSource, most_per_image: int) -> QuestionSamples:
        """Return samples of at most ``most_per_image`` questions, without questions that have no target."""
        positions = [
            [position for position, question in enumerate(source[index].questions) if self.targets(question)]
            for index in range(len(source))
        ]
        return QuestionSamples(source, positions, most_per_image)
