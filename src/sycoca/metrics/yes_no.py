"""Precision, recall and F1 of answers yes and no, as POPE reports them (arXiv 2305.10355, section 4.1)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

LABELED_YES = "pope_labeled_yes"
_ANSWERED_YES = "pope_yes_ratio"
TRUE_YES = "pope_true_yes"
"""What begins the name of the counts of questions that are rightly answered by yes."""


def yes_no_values(answers: Mapping[str, Sequence[bool]], labels: Sequence[bool]) -> dict[str, list[int]]:
    """Return by name one value per question, of which `yes_no_metrics` follow; ``answers`` by suffix of the answerer.

    ``pope_accuracy`` and ``pope_yes_ratio`` are means of these values.
    """
    values = {LABELED_YES: [int(label) for label in labels]}
    for suffix, own in answers.items():
        pairs = list(zip(own, labels, strict=True))
        values[f"pope_accuracy{suffix}"] = [int(answer == label) for answer, label in pairs]
        values[f"{_ANSWERED_YES}{suffix}"] = [int(answer) for answer in own]
        values[f"{TRUE_YES}{suffix}"] = [int(answer and label) for answer, label in pairs]
    return values


def yes_no_metrics(sums: Mapping[str, Float[np.ndarray, " sets"]]) -> dict[str, Float[np.ndarray, " sets"]]:
    """Return ``pope_precision``, ``pope_recall`` and ``pope_f1`` of sets of questions, from the summed values of each.

    Yes is the positive class. Precision is 0 where nothing is answered by yes, as usual; recall and F1 are 0 where no
    question of the set is to be answered by it.
    """
    found = {}
    for name, true_yes in sums.items():
        if name.startswith(TRUE_YES):
            suffix = name.removeprefix(TRUE_YES)
            answered, labeled = sums[f"{_ANSWERED_YES}{suffix}"], sums[LABELED_YES]
            # F1 in one fraction: 2 TP / (answered yes + labeled yes).
            found[f"pope_precision{suffix}"] = true_yes / np.maximum(answered, 1)
            found[f"pope_recall{suffix}"] = true_yes / np.maximum(labeled, 1)
            found[f"pope_f1{suffix}"] = 2 * true_yes / np.maximum(answered + labeled, 1)
    return found
