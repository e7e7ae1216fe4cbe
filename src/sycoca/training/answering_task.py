"""Training a model to choose answers from a list."""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.answering import AnswerLoss, answering_loss
from sycoca.records import LossTerms, QuestionBatch
from sycoca.training.tasks import TrainingTask


@final
class AnsweringTask(TrainingTask[QuestionBatch]):
    """Questions about images, each encoded once for all of its questions; all patches are seen."""

    def __init__(self, model: SyCoCa, loss: AnswerLoss) -> None:
        super().__init__()
        self.model = model
        self.loss: AnswerLoss = loss

    def forward(self, batch: QuestionBatch) -> LossTerms:
        """Return this micro-batch's share of the loss."""
        model = self.model
        memory = model.memory(model.encode_images(batch.images))[batch.image_of_question]
        questions = model.encode_texts(batch.tokens, batch.is_padding)
        logits = model.answer_logits(questions, batch.is_padding, memory)
        return LossTerms(answering=answering_loss(logits, batch.targets, batch.totals.num_labels, self.loss))

    def components(self) -> list[nn.Module]:
        """Return encoders, decoder and head."""
        return list(self.model.children())

    def leaves_parameters_unused(self) -> bool:
        """Return True: what serves embeddings and captions rests."""
        return True

    def total_loss(self, terms: LossTerms) -> Float[Tensor, ""]:
        """Return the loss of answers."""
        assert terms.answering is not None, "this task has no other term"
        return terms.answering

    def after_update(self) -> None:
        """Do nothing: the temperature rests."""

    def logged_values(self) -> dict[str, float]:
        """Return nothing beside the loss."""
        return {}
