"""The task of VQA: classification over the answer vocabulary."""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sycoca.facts.objective_facts import ObjectiveName
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import AnswerLoss
from sycoca.objectives.vqa import vqa_loss
from sycoca.records import LossTerms, QuestionBatch
from sycoca.training.engine.task import TrainingTask


@final
class VqaTask(TrainingTask[QuestionBatch]):
    """The answering loss; each image is encoded once for all of its questions, and no patch is hidden."""

    def __init__(self, model: SyCoCa, loss: AnswerLoss) -> None:
        super().__init__()
        self.model = model
        self.loss: AnswerLoss = loss

    def forward(self, batch: QuestionBatch) -> LossTerms:
        """Return this micro-batch's part of the answering loss."""
        model = self.model
        memory = model.memory(model.encode_images(batch.images))
        # As many rows for every image, so that its questions share keys and values; rows of padding alone cost nothing.
        rows = _rows_by_image(batch.image_of_question, len(memory), batch.most_questions)
        tokens = batch.tokens.new_zeros(len(memory) * batch.most_questions, batch.tokens.shape[1])
        is_padding = batch.is_padding.new_ones(tokens.shape)
        tokens[rows], is_padding[rows] = batch.tokens, batch.is_padding
        texts = model.encode_texts(tokens, is_padding, batch.num_tokens)
        logits = model.answer_logits(texts, is_padding, memory, batch.num_tokens)[rows]
        return LossTerms(answering=vqa_loss(logits, batch.targets, batch.totals.num_labels, self.loss))

    def components(self) -> list[nn.Module]:
        """Return the encoders, the decoder and the head."""
        return list(self.model.children())

    def leaves_parameters_unused(self) -> bool:
        """Return True: the parameters of embeddings and captions get no gradient."""
        return True

    def loss_weights(self) -> dict[ObjectiveName, float]:
        """Return weight 1 for the answering loss, the only term."""
        return {"answering": 1.0}

    def after_update(self) -> None:
        """Do nothing: the temperature is not trained."""

    def logged_values(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def _rows_by_image(
    image_of_question: Int[Tensor, " questions"], num_images: int, rows_per_image: int
) -> Int[Tensor, " questions"]:
    """Return each question's row among ``rows_per_image`` consecutive rows for every image."""
    of_image = (image_of_question[:, None] == torch.arange(num_images, device=image_of_question.device)).long()
    before = (of_image.cumsum(0) - of_image).gather(1, image_of_question[:, None]).squeeze(1)
    return image_of_question * rows_per_image + before
