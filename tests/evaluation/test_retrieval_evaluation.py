import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from rich.console import Console

from builders.predictors import ListSource, photo, photo_source, small_predictor
from reference.slow_retrieval import slow_re_ranked
from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.loading.skipping import usable_source
from sycoca.evaluation.report import Report
from sycoca.evaluation.retrieval import RetrievalOptions, embed_captions, evaluate_retrieval
from sycoca.evaluation.sharding import Sharding

CAPTIONS = [
    ("a red circle", "a round thing", "something red"),
    ("a blue square",),
    ("a green cross above a pink star", "a green cross"),
    ("a star",),
    ("a very long caption that no context of so few tokens can ever hold to its end",),
]


def slow_recall_at_1(captions: list[tuple[str, ...]]) -> tuple[float, float]:
    """Return image-to-text and text-to-image R@1 through the similarities that users see."""
    predictor = fresh_predictor()
    source = photo_source(captions)
    owners = [index for index, own in enumerate(captions) for _ in own]
    texts = [text for own in captions for text in own]
    similarities = predictor.similarity([source[index].open_image for index in range(len(source))], texts)
    best_text = [owners[int(row.argmax())] == index for index, row in enumerate(similarities)]
    best_image = [int(column.argmax()) == owner for column, owner in zip(similarities.T, owners, strict=True)]
    return sum(best_text) / len(best_text), sum(best_image) / len(best_image)


def fresh_predictor():
    torch.manual_seed(5)
    return small_predictor()


@pytest.mark.parametrize("batch_size", [2, 64])
def test_recall_is_that_of_the_similarities_users_see(batch_size: int):
    report = evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS), batch_size=batch_size)
    image_to_text, text_to_image = slow_recall_at_1(CAPTIONS)
    assert report.metrics["image_to_text_recall_at_1"] == pytest.approx(image_to_text)
    assert report.metrics["text_to_image_recall_at_1"] == pytest.approx(text_to_image)
    assert report.metrics["text_to_image_recall_at_5"] == 1.0
    assert report.task == "retrieval"
    assert report.counts == {"images": 5, "captions": 8, "truncated_captions": 1, "left_out_captions": 0}
    assert report.settings["data"] == "a list"
    assert report.seconds > 0


def test_captions_of_equal_tokens_are_embedded_once(monkeypatch: pytest.MonkeyPatch):
    predictor = fresh_predictor()
    expected, embed = predictor.embed_texts(["a star", "a circle", "a star"]), predictor.embed_texts
    embedded: list[str] = []
    monkeypatch.setattr(predictor, "embed_texts", lambda texts, **how: (embedded.extend(texts), embed(texts, **how))[1])
    found = embed_captions(predictor, ["a star", "a circle", "a star"], console=None)
    assert embedded == ["a star", "a circle"]
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[0], found[2])


def test_equal_captions_lower_the_ceilings():
    predictor = fresh_predictor()
    report = evaluate_retrieval(predictor, photo_source([("a star",), ("a star",), ("a star", "a circle")]))
    assert report.metrics["image_to_text_recall_at_1_ceiling"] == pytest.approx(1 / 3)
    assert report.metrics["text_to_image_recall_at_1_ceiling"] == 2 / 4
    assert report.metrics["mean_image_recall_ceiling"] == pytest.approx((2 / 4 + 2) / 3)
    assert "image_to_text_recall_at_5_ceiling" not in report.metrics
    assert report.metrics["image_to_text_recall_at_1"] <= 1 / 3
    assert report.remarks[-1].startswith("image_to_text_recall_at_1 is at most 33.3 % and text_to_image_recall_at_1 is")
    assert not any("ceiling" in name for name in evaluate_retrieval(predictor, photo_source(CAPTIONS)).metrics)


def test_limits_of_images_and_captions():
    report = evaluate_retrieval(
        fresh_predictor(), photo_source(CAPTIONS), limit=3, options=RetrievalOptions(captions_per_image=2)
    )
    cut = [own[:2] for own in CAPTIONS[:3]]
    assert report.counts == {"images": 3, "captions": 5, "truncated_captions": 0, "left_out_captions": 0}
    assert report.metrics["text_to_image_recall_at_1"] == pytest.approx(slow_recall_at_1(cut)[1])
    assert report.settings["limit"] == 3
    assert report.settings["captions_per_image"] == 2


def test_items_say_what_each_image_and_caption_adds():
    report = evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS))
    images, captions = report.items["image"], report.items["caption"]
    assert images.keys == [f"photo-{index}" for index in range(5)]
    assert list(captions.keys)[:4] == ["photo-0#0", "photo-0#1", "photo-0#2", "photo-1#0"]
    for scores in (images, captions):
        for name, values in scores.values.items():
            assert sum(values) / len(values) == pytest.approx(report.metrics[name])


def slow_re_ranked_ranks(num_first: int) -> tuple[list[int], list[int]]:
    """Return the ranks that sorting the whole tables of cosines and likelihoods gives."""
    predictor, source = fresh_predictor(), photo_source(CAPTIONS)
    owners = [index for index, own in enumerate(CAPTIONS) for _ in own]
    texts = [text for own in CAPTIONS for text in own]
    images = [source[index].open_image() for index in range(len(source))]
    cosines = predictor.similarity(images, texts)
    likelihoods = torch.stack(
        [predictor.caption_log_likelihood([image] * len(texts), texts, per_token=True) for image in images]
    )
    of_images = [
        slow_re_ranked(cosines[i].tolist(), [own == i for own in owners], num_first, likelihoods[i].tolist())
        for i in range(len(images))
    ]
    of_texts = [
        slow_re_ranked(
            cosines[:, t].tolist(), [i == own for i in range(len(images))], num_first, likelihoods[:, t].tolist()
        )
        for t, own in enumerate(owners)
    ]
    return of_images, of_texts


@pytest.mark.parametrize("num_first", [1, 3, 100])
def test_re_ranking_is_that_of_the_likelihoods_users_see(num_first: int):
    report = evaluate_retrieval(
        fresh_predictor(), photo_source(CAPTIONS), options=RetrievalOptions(re_rank=num_first), batch_size=2
    )
    of_images, of_texts = slow_re_ranked_ranks(num_first)
    assert report.items["image"].values["re_ranked_image_to_text_mean_rank"] == of_images
    assert report.items["caption"].values["re_ranked_text_to_image_mean_rank"] == of_texts
    assert report.metrics["re_ranked_text_to_image_mean_rank"] == pytest.approx(sum(of_texts) / len(of_texts))
    plain = evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS))
    assert plain.metrics.items() <= report.metrics.items()
    if num_first == 1:
        assert report.metrics["re_ranked_mean_image_recall"] == plain.metrics["mean_image_recall"]
    else:
        assert of_texts != plain.items["caption"].values["text_to_image_mean_rank"]


def test_processes_share_the_work_and_find_the_same():
    """Two threads stand for two processes; what one gathers waits for the other."""
    predictor, both = fresh_predictor(), threading.Barrier(2, timeout=60)
    handed_over: list[torch.Tensor | None] = [None, None]
    num_rows: list[list[int]] = [[], []]

    def evaluate(rank: int) -> Report:
        def gather(rows: torch.Tensor) -> torch.Tensor:
            handed_over[rank] = rows
            num_rows[rank].append(len(rows))
            both.wait()
            together = torch.cat([part for part in handed_over if part is not None])
            both.wait()
            return together

        sharding = Sharding(rank=rank, world_size=2, gather_rows=gather)
        options = RetrievalOptions(re_rank=2)
        return evaluate_retrieval(predictor, photo_source(CAPTIONS), options=options, sharding=sharding)

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(evaluate, range(2)))
    alone = evaluate_retrieval(predictor, photo_source(CAPTIONS), options=RetrievalOptions(re_rank=2))
    for report in reports:
        assert report.metrics == pytest.approx(alone.metrics)
        assert report.items == alone.items
    # Images and captions; the pairs to re-rank are those of a process's own images.
    assert [rows[:2] for rows in num_rows] == [[2, 4], [3, 4]]
    assert min(num_rows[0][2], num_rows[1][2]) > 0


def test_shows_progress_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    evaluate_retrieval(fresh_predictor(), photo_source(CAPTIONS), batch_size=2, console=console)
    assert "embedding" in console.file.getvalue()
    assert "5/5" in console.file.getvalue()


def test_refuses_what_leaves_nothing_to_measure():
    predictor = fresh_predictor()
    with pytest.raises(ValueError, match="a list has no samples"):
        evaluate_retrieval(predictor, ListSource(samples=()))
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        evaluate_retrieval(predictor, photo_source(CAPTIONS), limit=0)
    with pytest.raises(ValueError, match="captions_per_image must be at least 1, got 0"):
        RetrievalOptions(captions_per_image=0)
    with pytest.raises(ValueError, match="re_rank must be at least 1, got 0"):
        RetrievalOptions(re_rank=0)
    with pytest.raises(ValueError, match="a list: photo-1 has no caption"):
        evaluate_retrieval(predictor, photo_source([("a star",), ()]))
    with pytest.raises(ValueError, match="no text decoder"):
        evaluate_retrieval(
            small_predictor(model_text_decoder=None, model_image_decoder=None),
            photo_source(CAPTIONS),
            options=RetrievalOptions(re_rank=3),
        )


def test_an_empty_caption_of_five_leaves_the_image_there(tmp_path):
    captions = [["a red circle", "red", " ", "a circle", "it is red"], ["a blue square"]]
    for number in range(2):
        photo(seed=number).save(tmp_path / f"{number}.png")
    lines = [{"image": f"{number}.png", "captions": own} for number, own in enumerate(captions)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = usable_source(open_jsonl(tmp_path / "p.jsonl"), 0.0)
    report = evaluate_retrieval(small_predictor(), source)
    assert (report.counts["images"], report.counts["captions"], report.counts["left_out_captions"]) == (2, 5, 1)
    assert report.metrics["skipped_samples"] == 0
