"""Accuracy of answers: the official VQA accuracy, or exact match with one reference answer or a set of them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, assert_never, final

from sycoca.metrics.vqa_normalization import clean_answer, normalize_answer
from sycoca.texts import refuse_text

FEWEST_ANNOTATORS = 4
"""Minimum number of reference answers for the official accuracy: with fewer no answer could reach 1."""

References = Literal["annotators", "members"]
"""Meaning of several reference answers: those of several annotators to one question, or the members of a set."""

AnswerKey = tuple[str, ...]
"""A canonical form that is the same for equivalent answers."""


def leave_one_out_accuracy(num_matches: int, num_annotators: int) -> float:
    """Return the mean of min(1, matches / 3) over all subsets that leave one annotator out.

    With ten annotators, 0, 1, 2, 3 and 4 matches give 0, 0.3, 0.6, 0.9 and 1.
    """
    with_one_less = num_matches * min(1.0, (num_matches - 1) / 3)
    with_all = (num_annotators - num_matches) * min(1.0, num_matches / 3)
    return (with_one_less + with_all) / num_annotators


class AnswerRule(ABC):
    """How answers to a data set's questions are scored."""

    metric: str
    """Name of the accuracy."""

    @abstractmethod
    def accuracy(self, answer: str, references: Sequence[str]) -> float:
        """Return the accuracy of an answer, 0 to 1."""

    @abstractmethod
    def best_answer(self, references: Sequence[str]) -> str:
        """Return the answer with the highest accuracy, spelled as in the references."""

    @abstractmethod
    def key(self, answer: str) -> AnswerKey:
        """Return a canonical form that is the same for equivalent answers."""

    @abstractmethod
    def soft_targets(self, references: Sequence[str]) -> dict[AnswerKey, float]:
        """Return the accuracy of each answer above 0, as soft training targets."""


@final
class AnnotatorRule(AnswerRule):
    """The official VQA accuracy: references are the answers of several annotators, at least 4.

    Source: VQA (arXiv 1505.00468) and GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py.
    """

    metric = "vqa_accuracy"

    def accuracy(self, answer: str, references: Sequence[str]) -> float:
        """Return the mean of min(1, matches / 3) over all subsets that leave one annotator out.

        Answers are normalized only where annotators disagree; where all agree, the match must be exact. Raises
        ValueError for fewer than 4 annotators.
        """
        _check_annotators(references)
        cleaned = [clean_answer(text) for text in references]
        if len(set(cleaned)) == 1:
            return leave_one_out_accuracy(cleaned.count(clean_answer(answer)), len(cleaned))
        wanted = normalize_answer(answer)
        return leave_one_out_accuracy(sum(normalize_answer(text) == wanted for text in cleaned), len(cleaned))

    def best_answer(self, references: Sequence[str]) -> str:
        """Return the most frequent answer (the first of several such) in its most frequent spelling."""
        _check_annotators(references)
        most_frequent = _most_frequent(map(normalize_answer, references))
        return _most_frequent(clean_answer(text) for text in references if normalize_answer(text) == most_frequent)

    def key(self, answer: str) -> AnswerKey:
        """Return the normalized answer."""
        return (normalize_answer(answer),)

    def soft_targets(self, references: Sequence[str]) -> dict[AnswerKey, float]:
        """Return the accuracy of every annotator's answer, counted after normalization."""
        _check_annotators(references)
        counts = Counter(map(self.key, references))
        return {key: leave_one_out_accuracy(count, len(references)) for key, count in counts.items()}


@final
class MemberRule(AnswerRule):
    """Equality after normalization with the only reference, or with several as the members of one set."""

    metric = "answer_accuracy"

    def accuracy(self, answer: str, references: Sequence[str]) -> float:
        """Return 1 where the answer is the reference, or has the same members cut at its commas, else 0.

        Raises ValueError without references.
        """
        _check_references(references)
        members = answer.split(",") if len(references) > 1 else [answer]
        return float(set(map(_member, members)) == set(map(_member, references)))

    def best_answer(self, references: Sequence[str]) -> str:
        """Return the only reference, or all members in alphabetical order with commas between them."""
        _check_references(references)
        spellings = {_member(text): clean_answer(text) for text in reversed(references)}
        return ", ".join(spellings[key] for key in sorted(spellings))

    def key(self, answer: str) -> AnswerKey:
        """Return the normalized members in alphabetical order."""
        return tuple(sorted(set(map(_member, answer.split(",")))))

    def soft_targets(self, references: Sequence[str]) -> dict[AnswerKey, float]:
        """Return 1 for the correct answer."""
        return {self.key(self.best_answer(references)): 1.0}


def _member(text: str) -> str:
    """Return the normalized answer; an article alone, such as the choice "A", stays."""
    return normalize_answer(text) or clean_answer(text).lower()


def answer_rule(references: Sequence[Sequence[str]], kind: References | None = None) -> AnswerRule:
    """Return the rule for questions with these references.

    Without a ``kind`` they are annotators' where every question has at least 4, and members of a set otherwise. Raises
    ValueError where some question has too few for the kind, or none.
    """
    for number, own in enumerate(references):
        refuse_text(own, f"references[{number}]")
    fewest = min(map(len, references), default=0)
    if fewest == 0:
        raise ValueError("answers can be scored only where every question has a reference answer")
    match kind:
        case None:
            return AnnotatorRule() if fewest >= FEWEST_ANNOTATORS else MemberRule()
        case "annotators":
            if fewest < FEWEST_ANNOTATORS:
                raise ValueError(_too_few(fewest))
            return AnnotatorRule()
        case "members":
            return MemberRule()
        case unknown:
            assert_never(unknown)


def most_frequent_answers(answers: Iterable[str], rule: AnswerRule, num_answers: int | None = None) -> list[str]:
    """Return the most frequent answers, in their most frequent spelling; equivalent answers are counted together.

    Equally frequent ones are in alphabetical order. With ``num_answers`` None all are returned.
    """
    refuse_text(answers, "answers")
    spellings: dict[AnswerKey, Counter[str]] = {}
    for answer in answers:
        spellings.setdefault(rule.key(answer), Counter())[answer] += 1
    ranked = sorted(spellings.items(), key=lambda entry: (-entry[1].total(), entry[0]))
    return [min(counts, key=lambda text: (-counts[text], text)) for _, counts in ranked[:num_answers]]


def _most_frequent(texts: Iterable[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _check_annotators(references: Sequence[str]) -> None:
    refuse_text(references, "references")
    if len(references) < FEWEST_ANNOTATORS:
        raise ValueError(_too_few(len(references)))


def _check_references(references: Sequence[str]) -> None:
    refuse_text(references, "references")
    if not references:
        raise ValueError("an answer cannot be scored without a reference answer")


def _too_few(count: int) -> str:
    return f"the VQA accuracy needs at least {FEWEST_ANNOTATORS} annotators for every question, got {count}"
