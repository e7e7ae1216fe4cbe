import pytest
import torch

from builders.predictors import photos, small_predictor
from sycoca.cli.shared.usage import UsageError
from sycoca.cli.use.ask import Arguments
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.inference.vqa import question_blocks

ANSWERS = ("yes", "no", "red", "two objects", "cup, mug")
QUESTIONS = [
    ["what color is the circle?", "is it?"],
    [],
    ["is there a red square left of the blue circle?"],
    ["is it?", "what shape is the red object?"],
    ["how many?", "is it?", "what is left of the red circle?"],
]


def vqa_predictor(**changes: object) -> Predictor:
    torch.manual_seed(3)
    predictor = small_predictor(model_num_answers=len(ANSWERS), answers=ANSWERS, **changes)
    with torch.no_grad():
        assert predictor.model.answer_head is not None
        predictor.model.answer_head.linear.weight.mul_(20)
    return predictor


def slow_logits(predictor: Predictor, image: object, question: str) -> torch.Tensor:
    """Ask one question about one image."""
    model = predictor.model
    tokens = torch.tensor([predictor.tokenizer.encode(question, predictor.context_length)])
    is_padding = torch.zeros_like(tokens, dtype=torch.bool)
    with torch.no_grad():
        memory = model.memory(model.encode_images(predictor._pixels([image])))
        return model.answer_logits(model.encode_texts(tokens, is_padding), is_padding, memory)[0]


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_every_question_gets_the_answer_it_gets_alone(batch_size: int):
    predictor, images = vqa_predictor(), photos(5)
    found = list(predictor.answers(images, QUESTIONS, top=2, batch_size=batch_size))
    assert [len(own) for own in found] == [2, 0, 1, 2, 3]
    for image, questions, answers in zip(images, QUESTIONS, found, strict=True):
        for question, ranked in zip(questions, answers, strict=True):
            logits = slow_logits(predictor, image, question)
            best = logits.topk(2).indices.tolist()
            assert [answer.answer for answer in ranked] == [ANSWERS[index] for index in best]
            expected = logits.sigmoid()[best].tolist()
            assert [answer.probability for answer in ranked] == pytest.approx(expected, rel=1e-5)
    assert len({answers[0].answer for own in found for answers in own}) > 1


def test_probabilities_add_up_where_the_head_was_trained_so():
    predictor = vqa_predictor(answers_exclude_each_other=True)
    ranked = next(predictor.answers(photos(1), [["is it?"]], top=99))[0]
    assert len(ranked) == len(ANSWERS)
    assert sum(answer.probability for answer in ranked) == pytest.approx(1.0)
    assert ranked[0].answer == predictor.ask(photos(1)[0], "is it?")


def test_blocks_take_every_question_once():
    blocks = list(question_blocks([3, 0, 7, 3, 1, 3], max_rows=6))
    taken = [
        (image, place)
        for block in blocks
        for image, run in zip(block.images, block.questions, strict=True)
        for place in run
    ]
    assert sorted(taken) == [(image, place) for image, count in enumerate([3, 0, 7, 3, 1, 3]) for place in range(count)]
    assert all(len({len(run) for run in block.questions}) == 1 for block in blocks)
    assert max(sum(map(len, block.questions)) for block in blocks) == 6


def slow_answer(predictor: Predictor, image: object, question: str, num_tokens: int) -> str:
    """Go on with the likeliest token, without any cache."""
    model = predictor.model
    special = predictor.tokenizer.special
    tokens = predictor.tokenizer.encode(question, predictor.context_length - 1)[:-1]
    num_tokens = min(num_tokens, predictor.context_length - 1 - len(tokens))
    answer: list[int] = []
    with torch.no_grad():
        memory = model.memory(model.encode_images(predictor._pixels([image])))
        while len(answer) < num_tokens:
            row = torch.tensor([tokens + answer])
            states = model.encode_texts(row, torch.zeros_like(row, dtype=torch.bool)).token_states
            logits = model.vocabulary_logits(model.caption_states(states, memory)[0, -1])
            forbidden = [special.pad_id, special.bos_id] + ([] if answer else [special.eos_id])
            logits[forbidden] = float("-inf")
            answer.append(int(logits.argmax()))
            if answer[-1] == special.eos_id:
                break
    return predictor.tokenizer.decode(answer)


@pytest.mark.parametrize("batch_size", [2, 64])
def test_written_answers_go_on_after_the_question(batch_size: int):
    predictor, images = vqa_predictor(), photos(5)
    generation = GenerationConfig(max_tokens=4)
    found = list(predictor.write_answers(images, QUESTIONS, generation, batch_size=batch_size))
    expected = [
        [slow_answer(predictor, image, question, 4) for question in own]
        for image, own in zip(images, QUESTIONS, strict=True)
    ]
    assert found == expected
    assert len({answer for own in found for answer in own}) > 1
    alone = predictor.ask(images[0], QUESTIONS[0][0], open_ended=True)
    assert alone == slow_answer(predictor, images[0], QUESTIONS[0][0], 99)


def test_written_answers_can_be_searched_for_and_drawn_wherever_batches_are_cut():
    predictor, images = vqa_predictor(), photos(5)
    for generation in (GenerationConfig(num_beams=3, max_tokens=4), GenerationConfig(temperature=2.0, max_tokens=4)):
        whole = list(predictor.write_answers(images, QUESTIONS, generation))
        assert list(predictor.write_answers(images, QUESTIONS, generation, batch_size=2)) == whole
        rest = list(predictor.write_answers(images[3:], QUESTIONS[3:], generation, first_index=3))
        assert rest == whole[3:]


def test_a_question_that_fills_the_context_still_gets_an_answer():
    predictor = vqa_predictor()
    assert predictor.ask(photos(1)[0], "is it red? " * 40) in ANSWERS
    assert predictor.ask(photos(1)[0], "is it red? " * 40, open_ended=True) != ""
    with pytest.raises(ValueError, match="leaves room for 1 more"):
        next(predictor.write_answers(photos(1), [["is it red? " * 40]], GenerationConfig(min_tokens=2)))


def test_refuses_what_cannot_be_answered():
    predictor = vqa_predictor()
    with pytest.raises(ValueError, match=r"questions\[0\] is a list of texts, got the text 'is it\?'; write \['is it"):
        next(predictor.answers(photos(1), ["is it?"]))
    with pytest.raises(ValueError, match="come in pairs"):
        next(predictor.answers(photos(1), [["is it?"], ["is it?"]]))
    with pytest.raises(ValueError, match="no head for answers: fine-tune it with sycoca finetune vqa; or let it"):
        small_predictor().ask(photos(1)[0], "is it?")
    with pytest.raises(ValueError, match="no text decoder"):
        small_predictor(model_text_decoder=None).ask(photos(1)[0], "is it?", open_ended=True)


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_an_empty_question_is_refused(question: str):
    predictor, images = vqa_predictor(), photos(2)
    for open_ended in (False, True):
        with pytest.raises(ValueError, match="a question is empty; ask something"):
            predictor.ask(images[0], question, open_ended=open_ended)
    with pytest.raises(ValueError, match="a question is empty; ask something"):
        list(predictor.answers(images, [["is it?"], ["is it?", question]]))
    with pytest.raises(UsageError, match="the question is empty; ask something"):
        Arguments(weights="w", image="im.jpg", question=question).run()
