"""Options of zero-shot classification: classes and prompts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sycoca.inference.prompts import Scorer
from sycoca.texts import refuse_text

if TYPE_CHECKING:
    from sycoca.data.class_lists import NamedClass

LabelKind = Literal["names", "indices"]

Unlabeled = Literal["error", "skip"]
"""How to treat an image without label, or with a label that is no class."""

_ARE_INDICES: Mapping[LabelKind, bool] = {"names": False, "indices": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassOptions:
    """Classes, prompt templates and scorer."""

    class_names: str | None = None
    """The classes: cat,dog,horse, or a file: .txt with one class per line; .csv or .tsv with label and name, one line
    per name; .json with a list or an object of label and name, or FILE.json#KEY for an entry of it, such as
    config.json#id2label."""

    templates: tuple[str, ...] | None = None
    """Prompts with {} for the class, or files of them (.txt with one per line, FILE.json#KEY); several are an ensemble.
    None: "a photo of a {}.", and for the built-in scenes the first words of their captions."""

    scorer: Scorer = "cosine"
    """cosine: of image and prompts. likelihood: log-likelihood of the prompts as the beginning of a caption; better
    where captions begin with the class, worse where some class names are much more frequent than others."""

    labels_are: LabelKind = "names"
    """What the data's labels are: names of classes, or indices into the list of classes, from 0."""

    def __post_init__(self) -> None:
        refuse_text(self.templates, "templates")

    def classes(self) -> "tuple[NamedClass, ...] | None":
        """Read the classes; None where none are named."""
        from sycoca.data.class_lists import read_classes

        if self.class_names is None:
            if _ARE_INDICES[self.labels_are]:
                raise ValueError("--labels-are indices needs the list of classes: give --class-names")
            return None
        return read_classes(self.class_names, labels_are_indices=_ARE_INDICES[self.labels_are])

    def prompts(self) -> tuple[str, ...] | None:
        """Read the templates; None where none are given."""
        from sycoca.data.class_lists import read_templates

        return None if self.templates is None else read_templates(self.templates)
