"""``sycoca classify``: classify images."""

import json
from dataclasses import dataclass, field

from tyro.conf import Positional

from sycoca.evaluation.class_options import ClassOptions
from sycoca.inference.model_options import ModelOptions
from sycoca.terminal import for_stdout


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Classify images: zero-shot among --class-names, or with the head of a fine-tuned model."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    images: Positional[tuple[str, ...]]
    """Image files, folders of them, or one data SPEC."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable images to skip; each is reported on stderr. 0 makes the first one an error."""

    top: int = 5
    """Number of most probable classes to print."""

    json: bool = False
    """Print lines of {"image", "classes": [{"class", "probability"}]} instead of plain text."""

    prompts: ClassOptions = field(default_factory=ClassOptions)
    """Classes and prompts; without --class-names the classes of the model's head."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"top must be at least 1, got {self.top}")

    def run(self) -> int:
        """Classify images; a line per image on stdout, progress on stderr."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.data.formats.named_images import shown_name
        from sycoca.data.image_arguments import open_images
        from sycoca.data.loading.skipping import usable_source
        from sycoca.inference.classification import PHOTO_TEMPLATES, head_names
        from sycoca.progress_bar import tracked

        classes, templates = self.prompts.classes(), self.prompts.prompts()
        source = usable_source(open_images(self.images), self.max_skipped_ratio, console=stderr_console())
        samples = [source[index] for index in range(len(source))]
        predictor = self.model.load(self.weights)
        names = head_names(predictor.config) if classes is None else [one.wordings[0] for one in classes]
        scores = predictor.class_scores(
            samples,
            classes,
            templates=PHOTO_TEMPLATES if templates is None else templates,
            scorer=self.prompts.scorer,
            batch_size=self.model.batch_size,
        )
        rows = (row for batch in scores for row in batch.softmax(1))
        shown = tracked(rows, len(samples), "classifying", console=stderr_console())
        for sample, probabilities in zip(samples, shown, strict=True):
            best = probabilities.topk(min(self.top, len(names)))
            found = [(names[int(i)], round(float(p), 4)) for p, i in zip(best.values, best.indices, strict=True)]
            print(self._line(sample.key if self.json else shown_name(sample), found))
        return 0

    def _line(self, image: str, found: list[tuple[str, float]]) -> str:
        if not self.json:
            return for_stdout(f"{image}: {', '.join(f'{name} {probability:.1%}' for name, probability in found)}")
        classes = [{"class": name, "probability": probability} for name, probability in found]
        return json.dumps({"image": image, "classes": classes}, ensure_ascii=False)
