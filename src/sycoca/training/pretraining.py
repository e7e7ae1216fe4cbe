"""Pretraining from nothing: a tokenizer of the texts at hand, a fresh model, the paper's three objectives."""

from pathlib import Path

from sycoca.data.examples import CaptionExamples
from sycoca.data.samples import SampleSource
from sycoca.data.statistics import all_texts
from sycoca.evaluation.grounding import evaluate_grounding
from sycoca.evaluation.retrieval import evaluate_retrieval
from sycoca.evaluation.shares import Shares
from sycoca.inference.predictor import Predictor
from sycoca.objectives.contrastive import Ranks
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.reports.run_report import Examples, gather_examples
from sycoca.training.assembly import TrainedParts, build_model
from sycoca.training.config import PretrainConfig, resolved_model_config
from sycoca.training.recipe import Recipe, check_captions
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime
from sycoca.training.tasks import PretrainingTask
from sycoca.weights.config import WeightsConfig

_GROUNDING = ("mask_coverage", "grounding_average_precision")
"""What of grounding depends on the model, and not on the data alone."""


class Pretraining(Recipe[PretrainConfig]):
    """The three objectives on pairs of images and captions."""

    @property
    def title(self) -> str:
        """The preset."""
        return self.config.preset

    @property
    def deed(self) -> str:
        """That nothing was there before."""
        return f"trained from nothing (preset `{self.config.preset}`)"

    @property
    def commands_to_try(self) -> tuple[str, ...]:
        """Caption, explain, search."""
        return (
            "sycoca caption {weights} photo.jpg",
            "sycoca explain {weights} photo.jpg 'what it shows' --out explained.png",
            "sycoca evaluate retrieval {weights} --data captions.jsonl",
        )

    def check_source(self, source: SampleSource) -> None:
        """Every image needs a caption."""
        check_captions(source)

    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:
        """Return a fresh model that knows the words of the source."""
        config = self.config
        tokenizer = shared_tokenizer(config, source, runtime, folder.tokenizer)
        model = build_model(resolved_model_config(config, tokenizer.vocab_size), config.seed).to(runtime.device)
        ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
        return TrainedParts(
            tokenizer=tokenizer,
            model=model,
            weights=WeightsConfig(
                model=model.config,
                masking=config.masking,
                transforms=config.transforms,
                normalizes_patches=config.objectives.normalizes_patches,
            ),
            task=PretrainingTask(
                model,
                masking=config.masking,
                objectives=config.objectives,
                ranks=ranks,
                drop_path=config.drop_path,
            ),
            validation_task=PretrainingTask(model, masking=config.masking, objectives=config.objectives),
            examples=CaptionExamples(source, tokenizer, model.config.text_encoder.context_length, config.seed),
        )

    def measure(self, predictor: Predictor, source: SampleSource, shares: Shares) -> dict[str, float]:
        """Return the metrics of retrieval, and of the patch scores where the described pixels are known."""
        metrics = dict(evaluate_retrieval(predictor, source, shares=shares).metrics)
        if source[0].described_pixels is not None:
            grounding = evaluate_grounding(predictor, source, shares=shares).metrics
            metrics |= {name: grounding[name] for name in _GROUNDING}
        return metrics

    def examples(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Examples:
        """Return images found, captions and masks, as far as the model has learned them."""
        can_search = self.config.objectives.contrastive_weight != 0
        return gather_examples(predictor, source, taken_from, can_search=can_search)


def shared_tokenizer(config: PretrainConfig, source: SampleSource, runtime: Runtime, path: Path) -> Tokenizer:
    """Return the run's tokenizer: the one at ``path``, trained first by the main process where there is none."""
    if runtime.is_main_rank and not path.exists():
        unfinished = path.with_name(f".{path.name}.partial")
        Tokenizer.train(all_texts(source), config.tokenizer).save(unfinished)
        unfinished.replace(path)
    runtime.barrier()
    return Tokenizer.load(path)
