"""Training a model to choose answers from a list."""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.answering import AnswerLoss, answering_loss
from sycoca.records import LossTerms, QuestionBatch
from sycoca.training.engine.task import TrainingTask


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
        memory = model.memory(model.encode_images(batch.images))
        # As many rows for every image, so that its questions share its keys and values; rows of filler alone are free.
        places, num_rows = _places_by_image(batch.image_of_question, len(memory))
        tokens = batch.tokens.new_zeros(num_rows, batch.tokens.shape[1])
        is_padding = batch.is_padding.new_ones(tokens.shape)
        tokens[places], is_padding[places] = batch.tokens, batch.is_padding
        logits = model.answer_logits(model.encode_texts(tokens, is_padding), is_padding, memory)[places]
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


def _places_by_image(
    image_of_question: Int[Tensor, " questions"], num_images: int
) -> tuple[Int[Tensor, " questions"], int]:
    """Return each question's row among as many rows for every image, and the number of all rows."""
    of_image = torch.nn.functional.one_hot(image_of_question, num_images)
    before = (of_image.cumsum(0) - of_image).gather(1, image_of_question[:, None]).squeeze(1)
    rows_per_image = int(of_image.sum(0).max())
    return image_of_question * rows_per_image + before, num_images * rows_per_image
