"""``sycoca classify``: which of some classes images belong to."""

import json
from dataclasses import dataclass, field

from tyro.conf import Positional

from sycoca.evaluation.class_options import ClassOptions
from sycoca.inference.model_options import ModelOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifyArguments:
    """Say which class images belong to: any that are named, or those that the model was fine-tuned to know."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    images: Positional[tuple[str, ...]]
    """Image files, folders of them, or one data SPEC."""

    top: int = 5
    """Most probable classes to name."""

    json: bool = False
    """Print lines of {"image", "classes": [{"class", "probability"}]} instead of plain text."""

    prompts: ClassOptions = field(default_factory=ClassOptions)
    """Classes and prompts; without class names those of the model's head."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """On what it runs."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"top must be at least 1, got {self.top}")


def run(arguments: list[str]) -> int:
    """Classify images; a line per image on stdout, progress on stderr."""
    import tyro
    from rich.console import Console

    from sycoca.data.spec import open_images
    from sycoca.inference.classification import PHOTO_TEMPLATES, head_names
    from sycoca.progress_bar import tracked

    options = tyro.cli(ClassifyArguments, prog="sycoca classify", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    classes, templates = options.prompts.classes(), options.prompts.prompts()
    source = open_images(options.images)
    samples = [source[index] for index in range(len(source))]
    predictor = options.model.load(options.weights)
    names = head_names(predictor.config) if classes is None else [one.wordings[0] for one in classes]
    scores = predictor.class_scores(
        samples,
        classes,
        templates=PHOTO_TEMPLATES if templates is None else templates,
        scorer=options.prompts.scorer,
        batch_size=options.model.batch_size,
    )
    rows = (row for batch in scores for row in batch.softmax(1))
    shown = tracked(rows, len(samples), "classifying", console=Console(stderr=True))
    for sample, probabilities in zip(samples, shown, strict=True):
        best = probabilities.topk(min(options.top, len(names)))
        found = [(names[int(i)], round(float(p), 4)) for p, i in zip(best.values, best.indices, strict=True)]
        if options.json:
            line = {"image": sample.key, "classes": [{"class": name, "probability": share} for name, share in found]}
            print(json.dumps(line, ensure_ascii=False))
        else:
            print(f"{sample.key}: {', '.join(f'{name} {share:.1%}' for name, share in found)}")
    return 0
