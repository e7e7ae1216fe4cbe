import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from builders.predictors import ListSource, open_photo, small_predictor
from builders.twelve_pictures import question_lines, write_lines, write_pictures
from sycoca.data.loading.crops import CropBatch
from sycoca.data.samples import ImageTextSample, Question
from sycoca.evaluation.vqa import evaluate_vqa
from sycoca.inference.load import load
from sycoca.model.attention import CrossAttention
from sycoca.records import BatchTotals
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.finetune import finetune, resume_finetuning
from sycoca.training.recipes.vqa.answer_list import AnswerList
from sycoca.training.recipes.vqa.batches import QuestionBatches
from sycoca.training.recipes.vqa.config import FinetuneVqaConfig
from sycoca.training.recipes.vqa.recipe import VqaFinetuning
from sycoca.training.recipes.vqa.task import VqaTask
from sycoca.training.run_folder import RunFolder
from sycoca.weights.folder import save_weights


def photo_with(index: int, *questions: Question) -> ImageTextSample:
    return ImageTextSample(
        key=f"photo-{index}", captions=(), open_image=partial(open_photo, index), questions=questions
    )


def asked(text: str, *answers: str) -> Question:
    return Question(question=text, answers=answers)


SOURCE = ListSource(
    samples=(
        photo_with(0, asked("what is it?", "Table"), asked("is it?", "yes")),
        photo_with(1),
        photo_with(2, asked("what is it?", "a table"), asked("what is left?", "cup", "book")),
        photo_with(3, asked("is it red?", "yes"), asked("is it blue?"), asked("what is it?", "lamp")),
    )
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        predictor = small_predictor()
    folder = tmp_path_factory.mktemp("model") / "weights"
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    return str(folder)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    write_pictures(tmp_path)
    return str(write_lines(tmp_path / "questions.jsonl", [line for line in question_lines() if "what" in str(line)]))


def vqa_config(weights: str, spec: str, out: Path, **changes: object) -> FinetuneVqaConfig:
    fields: dict[str, object] = {
        "data": DataConfig(train=spec),
        "training": TrainingConfig(
            steps=4, global_batch_size=4, save_every=2, tensorboard=False, report=False, log_every=1
        ),
        "optimizer": OptimizerConfig(peak_lr=3e-3, weight_decay=0.0),
        "schedule": ScheduleConfig(warmup_steps=1),
        "runtime": RuntimeConfig(device="cpu"),
    }
    return FinetuneVqaConfig(task="vqa", weights=weights, out=str(out), **{**fields, **changes})  # pyright: ignore


def test_the_list_has_the_most_frequent_answers_and_what_it_suits():
    answer_list = AnswerList.of_source(SOURCE, 3, None)
    assert answer_list.answers == ("Table", "yes", "book, cup")
    learnable = answer_list.learnable(SOURCE, 1)
    assert [learnable[index].questions[0].question for index in range(len(learnable))] == [
        "what is it?",
        "is it?",
        "what is it?",
        "what is left?",
        "is it red?",
    ]
    assert learnable.num_questions == 5
    together = answer_list.learnable(SOURCE, 2)
    assert [[question.question for question in together[index].questions] for index in range(len(together))] == [
        ["what is it?", "is it?"],
        ["what is it?", "what is left?"],
        ["is it red?"],
    ]
    assert together.num_questions == 5
    assert answer_list.targets(asked("?", "book", "Cup")) == {2: 1.0}
    assert answer_list.targets(asked("?", "lamp")) == {}
    assert answer_list.targets(asked("?")) == {}


def test_soft_targets_of_annotators():
    annotators = asked("?", *["yes"] * 3, *["a table"] * 2, "lamp", *"wxyz")
    answer_list = AnswerList.of_source(ListSource(samples=(photo_with(0, annotators),)), 9, None)
    assert answer_list.answers == ("yes",)
    both = AnswerList(["no", "table", "yes"], answer_list.rule)
    assert both.targets(annotators) == pytest.approx({1: 0.6, 2: 0.9})
    rows = both.rows([both.targets(annotators), {}])
    torch.testing.assert_close(rows, torch.tensor([[0.0, 0.6, 0.9], [0.0, 0.0, 0.0]]))


def test_questions_stand_beside_their_own_images():
    predictor, answer_list = small_predictor(), AnswerList.of_source(SOURCE, 9, None)
    learnable = answer_list.learnable(SOURCE, 1)
    examples = QuestionBatches(learnable, predictor.tokenizer, 28, answer_list)
    images, keys, totals = torch.zeros(2, 3, 8, 8), torch.tensor([5, 6]), BatchTotals(num_samples=9, num_labels=0)
    crops = CropBatch(positions=((0, 3), (7, 0)), images=images, skipped=())
    batch = examples.batch(crops, images, keys, totals)
    texts = [predictor.tokenizer.decode(row.tolist()[1:]) for row in batch.tokens]
    assert texts == ["what is left?", "what is it?"]
    assert [answer_list.answers[row.argmax()] for row in batch.targets] == ["book, cup", "Table"]
    assert batch.totals is totals
    assert batch.image_of_question.tolist() == [0, 1]
    in_order = examples.in_order([learnable[3], learnable[0]], images, keys)
    torch.testing.assert_close(in_order.targets, batch.targets)
    torch.testing.assert_close(in_order.tokens, batch.tokens)
    assert in_order.totals.num_samples == 2


def test_questions_about_one_image_give_the_gradients_of_each_by_itself():
    predictor = small_predictor(model_num_answers=3, answers=tuple("abc"))
    answer_list = AnswerList.of_source(SOURCE, 3, None)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    task = VqaTask(predictor.model, "cross_entropy")
    gradients = []
    for most_per_image, rows in ((1, [0, 0, 1, 1, 2]), (2, [0, 1, 2])):
        learnable = answer_list.learnable(SOURCE, most_per_image)
        examples = QuestionBatches(learnable, predictor.tokenizer, 28, answer_list)
        assert [examples.num_labels((0, index)) for index in range(len(learnable))] == (
            [1] * 5 if most_per_image == 1 else [2, 2, 1]
        )
        samples = [learnable[index] for index in range(len(learnable))]
        batch = examples.in_order(samples, images[rows], torch.arange(len(rows)))
        assert (batch.totals.num_labels, batch.totals.num_samples) == (5, len(rows))
        predictor.model.zero_grad()
        task.total_loss(task(batch)).backward()
        gradients.append({n: p.grad.clone() for n, p in predictor.model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_an_images_questions_share_its_keys_and_values(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor(model_num_answers=3, answers=tuple("abc"))
    answer_list = AnswerList.of_source(SOURCE, 3, None)
    learnable = answer_list.learnable(SOURCE, 2)
    examples = QuestionBatches(learnable, predictor.tokenizer, 28, answer_list)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    batch = examples.in_order([learnable[index] for index in range(3)], images, torch.arange(3))
    assert batch.image_of_question.tolist() == [0, 0, 1, 1, 2]
    looked_at, attention = [], CrossAttention.forward

    def forward(self, x, norm, memory, *others):
        looked_at.append(len(memory.standardized))
        return attention(self, x, norm, memory, *others)

    monkeypatch.setattr(CrossAttention, "forward", forward)
    VqaTask(predictor.model, "cross_entropy")(batch)
    assert set(looked_at) == {3}


def test_every_part_that_answers_need_is_trained():
    torch.manual_seed(2)
    predictor, answer_list = (
        small_predictor(model_num_answers=4, answers=tuple("abcd")),
        AnswerList.of_source(SOURCE, 9, None),
    )
    learnable = answer_list.learnable(SOURCE, 1)
    examples = QuestionBatches(learnable, predictor.tokenizer, 28, answer_list)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    batch = examples.in_order([learnable[0], learnable[1]], images, torch.tensor([1, 2]))
    task = VqaTask(predictor.model, "binary_cross_entropy")
    task.total_loss(task(batch)).backward()
    resting = {
        name.split(".")[0] + ("." + name.split(".")[1] if name.startswith(("text_", "image_encoder")) else "")
        for name, parameter in predictor.model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    assert resting == {
        "log_logit_scale",
        "image_decoder",
        "image_encoder.norm_post",
        "image_encoder.projection",
        "text_encoder.norm_final",
        "text_encoder.projection",
        "text_encoder.cls_token",
        "text_decoder.vocabulary",
    }


def open_plain(color: str, _smallest_side: int | None = None) -> Image.Image:
    return Image.new("RGB", (32, 32), color)


COLORS = ListSource(
    samples=tuple(
        ImageTextSample(
            key=color,
            captions=(),
            open_image=partial(open_plain, color),
            questions=(asked("what is it?", color), asked("is it red?", "yes" if color == "red" else "no")),
        )
        for color in ("red", "blue", "lime")
    )
)


def test_a_run_learns_its_answers_and_keeps_them(weights: str, tmp_path: Path):
    training = TrainingConfig(steps=40, global_batch_size=6, tensorboard=False, report=True)
    run = finetune(vqa_config(weights, "colors", tmp_path / "run", training=training), COLORS, validation=COLORS)
    predictor = load(run / "weights")
    assert predictor.config.answers == ("no", "blue", "lime", "red", "yes")
    assert predictor.model.image_decoder is None
    assert evaluate_vqa(predictor, COLORS).metrics["answer_accuracy"] == 1.0
    log = (run / "log.txt").read_text()
    assert "answer vocabulary: 5; 0 of 6 training questions have no answer in it and are skipped" in log
    assert "dropped, since this training does not train it: image decoder" in log
    assert "answer accuracy 1" in log
    page = (run / "report.html").read_text()
    assert "<h2>Questions</h2>" in page
    assert "is it red?" in page
    assert "red <small>" in page


def test_a_resumed_run_asks_as_many_questions_at_once(weights: str, spec: str, tmp_path: Path):
    config = vqa_config(weights, spec, tmp_path / "run")
    finetune(config)
    with pytest.raises(ValueError, match="questions_per_image cannot change when a run is resumed"):
        resume_finetuning(replace(config, questions_per_image=1))


def test_answers_that_are_known_already_keep_their_rows(weights: str, tmp_path: Path):
    one_step = TrainingConfig(steps=1, global_batch_size=2, tensorboard=False, report=False)
    config = vqa_config(weights, "colors", tmp_path / "first", training=one_step)
    first = load(finetune(config, COLORS) / "weights")
    again = vqa_config(str(tmp_path / "first" / "weights"), "colors", tmp_path / "again", training=one_step)
    recipe = VqaFinetuning(again)
    other = ListSource(samples=(photo_with(0, asked("what color?", "red"), asked("and this?", "pink")),))
    source = recipe.open_sources(other).train
    with Runtime(again.runtime) as runtime:
        trained = recipe.build(source, RunFolder(tmp_path), runtime)
    assert trained.weights.answers == ("pink", "red")
    old, new = first.model.answer_head, trained.model.answer_head
    assert old is not None
    assert new is not None
    red = first.config.answers.index("red")
    torch.testing.assert_close(new.linear.weight[1], old.linear.weight[red], rtol=0, atol=0)
    torch.testing.assert_close(new.linear.bias[1], old.linear.bias[red], rtol=0, atol=0)
    assert not any(torch.equal(new.linear.weight[0], row) for row in old.linear.weight)


def test_a_run_that_was_killed_ends_with_the_same_weights(weights: str, spec: str, tmp_path: Path):
    config = vqa_config(weights, spec, tmp_path / "run")
    run = finetune(config)
    expected = load(run / "weights").model.state_dict()
    shutil.rmtree(run / "weights")
    shutil.rmtree(run / "checkpoints" / "step-00000004")
    assert resume_finetuning(config) == run
    again = load(run / "weights").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in expected.items())
    with pytest.raises(ValueError, match="num_answers cannot change when a run is resumed"):
        resume_finetuning(replace(config, num_answers=1))


def test_answers_unseen_in_training_are_counted_and_left_out(weights: str, spec: str, tmp_path: Path):
    config = vqa_config(weights, spec, tmp_path / "run", num_answers=1, loss="cross_entropy")
    run = finetune(config)
    assert "answer vocabulary: 1; 6 of 12 training questions have no answer in it" in (run / "log.txt").read_text()
    assert load(run / "weights").config.answers_exclude_each_other
    losses = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "answering" in line]
    assert len(losses) == 4
    assert math.isfinite(float(losses[0].split('"answering": ')[1].split(",")[0]))


def test_tells_of_questions_that_are_cut(weights: str, tmp_path: Path):
    long = ListSource(samples=(photo_with(0, asked("is it? " * 30, "yes"), asked("is it?", "yes")),))
    run = finetune(vqa_config(weights, "photos", tmp_path / "run"), long)
    log = (run / "log.txt").read_text()
    assert "1 training questions are longer than the context of 28 tokens and are truncated" in log


def test_refuses_what_cannot_be_learned(weights: str, tmp_path: Path):
    with pytest.raises(ValueError, match="num_answers must be at least 1, got 0"):
        vqa_config(weights, "a", tmp_path, num_answers=0)
    nothing = ListSource(samples=(photo_with(0, asked("is it?")),))
    with pytest.raises(ValueError, match="a list has no questions with answers"):
        finetune(vqa_config(weights, "a", tmp_path / "run"), nothing)
    half = ListSource(samples=(photo_with(0, asked("is it?", "yes"), asked("what is it?")),))
    with pytest.raises(ValueError, match=r"a list: 1 of 2 questions have no reference answer, the first is photo-0#1"):
        finetune(vqa_config(weights, "a", tmp_path / "run"), SOURCE, validation=half)
    assert not (tmp_path / "run").exists()
    predictor = small_predictor(model_text_decoder=None)
    folder = tmp_path / "clip"
    save_weights(folder, predictor.model.float(), predictor.tokenizer, predictor.config)
    with pytest.raises(ValueError, match=r"this model has no text decoder: .*; VQA needs it, choose other weights"):
        finetune(vqa_config(str(folder), "a", tmp_path / "other"), SOURCE)


def test_a_ratio_of_generated_captions_is_refused(weights: str, spec: str, tmp_path: Path):
    data = DataConfig(train=spec, generated_caption_ratio=0.5)
    with pytest.raises(ValueError, match=r"data\.generated_caption_ratio needs training on captions; .* draws none"):
        VqaFinetuning(vqa_config(weights, spec, tmp_path, data=data)).open_sources()
