"""Fine-tuning for VQA as classification over an answer vocabulary (CoCa, arXiv 2205.01917, section 4.2.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sycoca.data.questions import check_answered, keyed_questions
from sycoca.data.samples import SampleSource
from sycoca.evaluation.sharding import Sharding
from sycoca.evaluation.vqa import VqaOptions, evaluate_vqa
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.predictor import Predictor
from sycoca.objectives.vqa import answers_exclude_each_other
from sycoca.reports.question_gallery import question_gallery
from sycoca.reports.run_report import Gallery
from sycoca.training.engine.runtime import Runtime
from sycoca.training.in_memory_source import Pair
from sycoca.training.recipes.finetuning import Finetuning, without_heads
from sycoca.training.recipes.notices import AVERAGE, forgetting_notice
from sycoca.training.recipes.recipe import Sources, TrainedParts
from sycoca.training.recipes.vqa.answer_list import AnswerList
from sycoca.training.recipes.vqa.batches import QuestionBatches
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.recipes.vqa.task import VqaTask
from sycoca.training.run_folder import RunFolder
from sycoca.weights.limits import why_missing


class VqaFinetuning(Finetuning[FinetuneVqaConfig]):
    """Trains an answer head on the text decoder's state at the end of the question."""

    def __init__(self, config: FinetuneVqaConfig) -> None:
        super().__init__(config)
        self._answer_list: AnswerList | None = None
        self._vocabulary: str | None = None
        self._num_truncated = 0

    @property
    def commands_to_try(self) -> tuple[str, ...]:
        """An answer about a photo, and evaluation."""
        return (
            "sycoca ask {weights} photo.jpg 'what color is it?'",
            "sycoca evaluate vqa {weights} --data questions.jsonl",
        )

    @property
    def objectives(self) -> dict[ObjectiveName, float]:
        """The answering loss alone."""
        return {"answering": 1.0}

    def check_source(self, source: SampleSource) -> None:
        """Require at least one question with an answer."""
        if not any(question.answers for index in range(len(source)) for question in source[index].questions):
            raise ValueError(
                f"{source.name} has no questions with answers, and this training needs them; name their columns, as in"
                " ?question=text&answer=reply"
            )

    def open_sources(
        self,
        train: SampleSource | Iterable[Pair] | None = None,
        validation: SampleSource | Iterable[Pair] | None = None,
    ) -> Sources:
        """Open the data; raises ValueError where a validation question has no reference answer."""
        sources = super().open_sources(train, validation)
        if sources.validation is not None:
            # Fail before training, not at the first validation.
            asked = keyed_questions(sources.validation, len(sources.validation))
            check_answered([question for own in asked for question in own], sources.validation.name)
        return sources

    def prepared(self, source: SampleSource) -> SampleSource:
        """Return the questions with targets; the first source, the training data, defines the answer vocabulary."""
        is_first = self._answer_list is None
        if self._answer_list is None:
            config = self.config
            self._answer_list = AnswerList.of_source(source, config.num_answers, config.references_are)
        learnable = self._answer_list.learnable(source, self.config.questions_per_image)
        if is_first:
            num_questions = sum(len(source[index].questions) for index in range(len(source)))
            num_skipped = num_questions - learnable.num_questions
            self._vocabulary = (
                f"answer vocabulary: {len(self._answer_list.answers):,}; {num_skipped:,} of {num_questions:,} training"
                " questions have no answer in it and are skipped"
            )
        return learnable

    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:  # noqa: ARG002
        """Build the pretrained model with a new answer head; raises ValueError where it has no text decoder."""
        config, loaded, answer_list = self.config, self.loaded(), self._answers()
        if loaded.config.model.text_decoder is None:
            missing = why_missing(loaded.config, "text_decoder")
            raise ValueError(f"{config.weights}: {missing}; VQA needs it, choose other weights")
        changes = without_heads({"num_answers": len(answer_list.answers), "image_decoder": None})
        weights = self.weights_config(
            loaded,
            model=replace(loaded.config.model, **changes),
            answers=answer_list.answers,
            answers_exclude_each_other=answers_exclude_each_other(config.loss),
        )
        model = self.initial_model(loaded, weights).to(runtime.device)
        context_length = model.config.text_encoder.context_length
        self._num_truncated = sum(
            loaded.tokenizer.num_tokens(question.question) > context_length
            for index in range(len(source))
            for question in source[index].questions
        )
        return TrainedParts(
            tokenizer=loaded.tokenizer,
            model=model,
            weights=weights,
            limits=self.limits(loaded, model),
            task=VqaTask(model, config.loss),
            validation_task=VqaTask(model, config.loss),
            batch_maker=QuestionBatches(source, loaded.tokenizer, context_length, answer_list),
        )

    def summary(self, trained: TrainedParts) -> Iterator[str]:
        """Yield the size of the answer vocabulary, the questions outside it, and dropped components."""
        if self._vocabulary is not None:
            yield self._vocabulary
        yield from super().summary(trained)

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of truncated questions and of forgetting."""
        if self._num_truncated:
            context_length = trained.model.config.text_encoder.context_length
            yield (
                f"{self._num_truncated:,} training questions are longer than the context of {context_length} tokens and"
                " are truncated; weights with a longer context, or a tokenizer trained on questions, avoid this"
            )
        yield from super().notices(trained)
        yield from forgetting_notice(trained.model, AVERAGE)

    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return the VQA metrics, and the ceiling that the answer vocabulary sets."""
        options = VqaOptions(references_are=self.config.references_are)
        return evaluate_vqa(predictor, source, options=options, sharding=sharding).metrics

    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
        """Return images, each with a question and the model's answer."""
        return question_gallery(predictor, source, self._answers().rule, taken_from)

    def _answers(self) -> AnswerList:
        assert self._answer_list is not None, "sources are prepared before the model is built"
        return self._answer_list
