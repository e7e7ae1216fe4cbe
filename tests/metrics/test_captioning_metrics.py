import gzip
import json
import unicodedata

import pytest

from builders.shared_data import shared_data
from sycoca.metrics.captioning import score_captions, tokenize
from sycoca.metrics.meteor import meteor, why_no_meteor
from sycoca.metrics.ngrams import count_ngrams
from sycoca.metrics.rouge import longest_common_subsequence

CANDIDATES = [
    "A red circle left of a blue square.",
    "two dogs don't play with a ball",
    "a man a man a man",
    "",
    "a photo of a T-shirt, size 1 1/2",
]
REFERENCES = [
    ["A red circle is left of a blue square.", "there is a blue square right of a red circle", "Circle, square."],
    ["Two dogs play with a ball", "the dogs don't run", "2 dogs - one ball"],
    ["a man rides a horse", "the man's horse"],
    ["an empty street at night"],
    ["a T-shirt of size 1 1/2", "a shirt, size 1 1/2 or so"],
]


def test_a_small_set_scores_as_pycocoevalcap_says():
    # Computed by pycocoevalcap 1.2. The space in the number is the only word boundary that ROUGE-L does not see.
    scores = score_captions(tokenize(CANDIDATES, REFERENCES))
    expected = {
        "bleu_1": 0.7795891541410422,
        "bleu_2": 0.6699304667025467,
        "bleu_3": 0.5344715584224419,
        "bleu_4": 0.39279630667140036,
        "rouge_l": 0.6243354181030237,
        "cider": 2.084964756686875,
    }
    assert scores.metrics() == pytest.approx(expected, rel=1e-12)
    assert scores.rouge_l == pytest.approx([1.0, 0.8798076923076923, 0.5545454545454546, 0.0, 0.6873239436619719])
    assert scores.cider == pytest.approx(
        [3.801650191974544, 2.828569672051457, 0.6349718332251761, 0, 3.159632086183199]
    )


def test_bleu_counts_by_hand():
    values = score_captions(tokenize(CANDIDATES, REFERENCES)).per_image()
    assert values["bleu_length"] == [8, 8, 6, 0, 8]
    # The closest reference, of two as close the shorter.
    assert values["bleu_reference_length"] == [9, 6, 5, 5, 7]
    assert values["bleu_total_4"] == [5, 5, 3, 0, 5]
    # "a man" three times, but no reference has it twice.
    assert values["bleu_matches_1"][2] == 3
    assert values["bleu_matches_2"][2] == 1


def test_a_set_without_any_match_is_nearly_zero():
    metrics = score_captions(tokenize(["cat", "bird"], [["a dog"], ["a tree"]])).metrics()
    assert metrics["cider"] == metrics["rouge_l"] == 0.0
    assert 0 < metrics["bleu_1"] < 1e-12


def test_ngrams_are_counted():
    assert count_ngrams(["a", "b", "a"]) == {
        ("a",): 2, ("b",): 1, ("a", "b"): 1, ("b", "a"): 1, ("a", "b", "a"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "right", "length"),
    [("", "", 0), ("abc", "", 0), ("abcbdab", "bdcaba", 4), ("aaaa", "aa", 2), ("abc", "cba", 1), ("xay", "bab", 1)],
)
def test_longest_common_subsequence(left: str, right: str, length: int):
    assert longest_common_subsequence(list(left), list(right)) == length
    assert longest_common_subsequence(list(right), list(left)) == length


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([], [], "no captions to score"),
        (["a"], [[]], "1 of them empty"),
        (["a", "b"], [["a"]], "2 captions, 1 lists of references"),
    ],
)
def test_refuses_captions_without_references(candidates: list[str], references: list[list[str]], message: str):
    with pytest.raises(ValueError, match=message):
        tokenize(candidates, references)


def test_published_example_of_nlg_eval():
    example = json.loads(shared_data("metric_refs/nlg_eval_example.json").read_text())
    references = list(map(list, zip(example["ref1"], example["ref2"], strict=True)))
    metrics = score_captions(tokenize(example["hyp"], references)).metrics()
    for name, value in metrics.items():
        published = name.replace("bleu", "Bleu").replace("rouge_l", "ROUGE_L").replace("cider", "CIDEr")
        assert value == pytest.approx(example["expected"][published], abs=1e-6)


@pytest.mark.parametrize("quality", ["good", "bad"])
def test_published_example_of_clipscore(quality: str):
    example = json.loads(shared_data("metric_refs/clipscore_example.json").read_text())
    names = list(example["refs"])
    captions = tokenize([example[quality][name] for name in names], [example["refs"][name] for name in names])
    expected = example[f"expected_{quality}"]
    metrics = score_captions(captions).metrics()
    for name, value in metrics.items():
        published = name.upper().replace("_L", "").replace("_", "-")
        assert value == pytest.approx(expected[published], abs=5e-5)


@pytest.mark.slow
def test_all_of_coco_val2017_scores_as_pycocoevalcap_says():
    # First caption of each image against the others; computed by pycocoevalcap 1.2 on the same file.
    with gzip.open(shared_data("metric_refs/coco_captions_val2017.json.gz")) as file:
        annotations = json.load(file)["annotations"]
    captions: dict[int, list[str]] = {}
    for annotation in annotations:
        captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    own = list(captions.values())
    scores = score_captions(tokenize([first for first, *_ in own], [rest for _, *rest in own]))
    expected = {
        "bleu_1": 0.6344705701552054,
        "bleu_2": 0.4373799065113723,
        "bleu_3": 0.29412868702985323,
        "bleu_4": 0.19553851792504892,
        "rouge_l": 0.4717583581954505,
        "cider": 0.8865442017616059,
    }
    assert scores.metrics() == pytest.approx(expected, abs=1e-12)


def test_meteor_scores_as_pycocoevalcap_says():
    reason = why_no_meteor()
    if reason is not None:
        pytest.skip(reason)
    captions = tokenize(CANDIDATES, REFERENCES)
    assert meteor(captions.candidates, captions.references) == pytest.approx(0.3928018102511967, abs=1e-12)


def test_meteor_names_the_missing_dependency(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.metrics.meteor.find_spec", lambda _: None)
    assert why_no_meteor() == "not computed: pycocoevalcap is not installed (pip install 'sycoca[captions]')"


def test_of_two_equally_close_references_the_shorter_counts():
    captions = tokenize(["two words"], [["one two three", "one"]])
    assert score_captions(captions).per_image()["bleu_reference_length"] == [1]


def test_captions_in_another_unicode_form_are_the_same_captions():
    composed = [
        "ein gr\u00fcner b\u00e4r l\u00e4uft",
        "zwei m\u00e4dchen im caf\u00e9",
        "eine k\u00fchle flasche \u00f6l",
    ]
    decomposed = [unicodedata.normalize("NFD", text) for text in composed]
    for candidates, references in ((decomposed, composed), (composed, decomposed)):
        metrics = score_captions(tokenize(candidates, [[text] for text in references])).metrics()
        assert metrics == score_captions(tokenize(composed, [[text] for text in composed])).metrics()
        assert metrics["rouge_l"] == 1
