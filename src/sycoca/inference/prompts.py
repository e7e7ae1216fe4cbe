"""Prompts of classes, how they score images, and whether they tell the classes apart. Imports no torch."""

from collections.abc import Callable, Sequence
from typing import Literal

from sycoca.data.class_lists import NamedClass

Scorer = Literal["cosine", "likelihood"]
"""How classes are scored: by the cosine of image and prompts, or by the log-likelihood of the prompts."""


def class_prompts(one: NamedClass, templates: Sequence[str]) -> list[str]:
    """Return all names of a class in all templates."""
    return [template.replace("{}", wording) for template in templates for wording in one.wordings]


def all_prompts(classes: Sequence[NamedClass], templates: Sequence[str]) -> list[str]:
    """Return the prompts of all classes, one class after another."""
    return [prompt for one in classes for prompt in class_prompts(one, templates)]


def check_prompts(
    classes: Sequence[NamedClass], templates: Sequence[str], encode: Callable[[str], Sequence[int]]
) -> None:
    """Raise ValueError for two classes with other names but the same prompts, as the model reads them.

    Names that differ behind the end of the context alone, or in case alone, become the same tokens.
    """
    known: dict[tuple[tuple[int, ...], ...], NamedClass] = {}
    for one in classes:
        tokens = tuple(tuple(encode(prompt)) for prompt in class_prompts(one, templates))
        other = known.setdefault(tokens, one)
        if other.wordings != one.wordings:
            raise ValueError(
                f"the classes {_shown(other)} and {_shown(one)} have the same prompts: the model reads no difference"
                " between them (it may be behind the end of its context, or only in case); name them otherwise"
            )


def _shown(one: NamedClass) -> str:
    name = one.wordings[0]
    return repr(name if len(name) <= 60 else f"{name[:28]} ... {name[-28:]}")
