import json
from dataclasses import replace

from PIL import Image

from builders.predictors import ListSource, open_photo, photo
from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.inspection.caption_checks import check_captions
from sycoca.data.inspection.check import DataCheck, check_images, check_set, duplicates_among
from sycoca.data.inspection.check_headlines import counted, headlines
from sycoca.data.inspection.image_facts import image_facts
from sycoca.data.inspection.image_inspection import look
from sycoca.data.inspection.photo_checks import PhotoThresholds, photo_issues
from sycoca.data.samples import ImageTextSample
from sycoca.unusable import SkippedSample

BROKEN = SkippedSample(name="x.jpg", reason="broken image", detail="x.jpg cannot be read as an image: cut short")


def words(caption: str) -> int:
    return len(caption.split())


def source(*captions: tuple[str, ...], name: str = "photos") -> ListSource:
    samples = [
        ImageTextSample(key=f"{name}-{place}", captions=texts, open_image=open_photo_number(place))
        for place, texts in enumerate(captions)
    ]
    return ListSource(samples=tuple(samples), name=name)


def open_photo_number(place: int):
    return lambda smallest_side=None: open_photo(place, smallest_side)


def checked(*sets: tuple[ListSource, list[Image.Image | SkippedSample]]) -> DataCheck:
    findings = [[one if isinstance(one, SkippedSample) else image_facts(one) for one in images] for _, images in sets]
    sources = [one for one, _ in sets]
    return DataCheck(
        sets=tuple(check_set(one, "spec", found, words, 5) for one, found in zip(sources, findings, strict=True)),
        duplicates=duplicates_among(sources, [range(len(found)) for found in findings], findings),
        context_length=5,
    )


def said(check: DataCheck) -> list[tuple[str, str]]:
    return [(headline.kind, headline.text) for headline in headlines(check)]


def test_captions_worked_by_hand():
    found = check_captions(
        source(("a dog", "a dog", "cat"), ("a dog", "one two three four five six"), ("cat", "w " * 101)), words, 5
    )
    assert (found.num_captions, found.num_different) == (7, 4)
    assert [(e.caption, e.key, e.number) for e in found.repeated_in_sample] == [("a dog", "photos-0", 2)]
    assert [(e.caption, e.key, e.number) for e in found.most_repeated] == [
        ("a dog", "photos-0", 2),
        ("cat", "photos-0", 2),
    ]
    assert (found.num_one_word, [e.number for e in found.one_word]) == (2, [2])
    assert (found.num_very_long, found.num_cut) == (1, 2)
    assert [(e.key, e.number) for e in found.longest] == [("photos-2", 101), ("photos-1", 6)]


def test_images_worked_by_hand():
    gray = Image.new("RGB", (30, 10), (5, 5, 5))
    found = check_images([image_facts(gray), image_facts(photo(20, 40))])
    assert (found.num_readable, found.num_gray) == (2, 1)
    assert found.widths is not None
    assert (found.widths.least, found.widths.most) == (20, 30)
    assert found.shorter_sides is not None
    assert (found.shorter_sides.least, found.shorter_sides.most) == (10, 20)
    assert check_images([]).heights is None


def test_a_photo_in_two_sets_is_a_leak_and_stands_first():
    train = (source(("a b",), ("c d",), ("e f",), name="train"), [photo(seed=1), photo(seed=2), photo(seed=1)])
    test = (source(("g h",), ("i j",), name="test"), [photo(seed=3), photo(seed=2)])
    result = checked(train, test)
    assert [(group.is_leak, [place.key for place in group.places]) for group in result.duplicates] == [
        (True, ["train-1", "test-1"]),
        (False, ["train-0", "train-2"]),
    ]
    assert result.leaks == result.duplicates[:1]
    assert not result.is_clean
    assert said(result) == [
        ("bad", "train and test share 1 photo"),
        ("odd", "1 group of identical photos within one set or split"),
        ("good", "train: 3 images read, nothing broken"),
        ("good", "test: 2 images read, nothing broken"),
    ]


def test_near_duplicates_leak_as_well():
    train, test = source(("a b",), name="train"), source(("c d",), name="test")
    small = photo(400, 300).resize((200, 150))
    result = checked((train, [photo(400, 300)]), (test, [small]))
    assert said(result)[0] == ("bad", "train and test share 1 near duplicate")
    assert not result.is_clean


def test_problems_are_counted_by_reason():
    class Incomplete(ListSource):
        skipped = (SkippedSample(name="f, line 2", reason="empty caption", detail="f, line 2: empty"),)

    offered = Incomplete(samples=source(("a b",), ("c d",)).samples, name="photos")
    result = checked((offered, [BROKEN, photo()]))
    assert [problem.name for problem in result.sets[0].problems] == ["f, line 2", "x.jpg"]
    assert said(result) == [("bad", "photos has 2 unusable items: 1 empty caption, 1 broken image")]
    assert not result.is_clean


def test_odd_captions_do_not_fail_a_check():
    result = checked((source(("dog", "dog"), ("one two three four five six", "w " * 101)), [photo(), photo(seed=1)]))
    assert result.is_clean
    assert said(result)[:-1] == [
        ("odd", "photos: 1 caption repeated for the same image"),
        ("odd", "photos: 2 captions of one word"),
        ("odd", "photos: 1 caption of more than 100 words"),
        ("odd", "photos: 2 captions (50.00%) cut at 5 tokens"),
    ]


def test_captions_that_are_missing_values_of_a_table_are_named():
    result = checked((source(("nan", "a dog"), ("NULL", "nan", "cat")), [photo(), photo(seed=1)]))
    assert ("odd", 'photos: 3 captions such as "nan": cells without a value?') in said(result)
    assert ("odd", "photos: 1 caption of one word") in said(result)


def test_sets_without_a_common_photo_are_clean():
    result = checked(
        (source(("a b",), name="train"), [photo(seed=1)]), (source(("c d",), name="test"), [photo(seed=2)])
    )
    assert result.is_clean
    assert ("good", "no photo is in two sets") in said(result)


def test_tokens_are_counted_where_a_caption_may_be_too_long():
    counts = []
    texts = [("a" * length,) for length in (2, 3)]
    check_captions(source(*texts), lambda caption: counts.append(caption) or 6, 5)
    assert counts == ["aaa"]


def test_counts_in_words():
    assert [counted(number, "photo") for number in (0, 1, 1200)] == ["0 photos", "1 photo", "1,200 photos"]


def test_splits_of_one_file_are_parts_of_their_own():
    samples = source(("a b",), ("c d",), ("e f",), ("g h",), name="all").samples
    splits = ("train", "test", "train", None)
    split = ListSource(samples=tuple(replace(s, split=one) for s, one in zip(samples, splits, strict=True)), name="all")
    result = checked((split, [photo(seed=1), photo(seed=1), photo(seed=2), photo(seed=2)]))
    assert result.sets[0].num_samples_by_split == {"train": 2, "test": 1, "no split": 1}
    assert [[place.part for place in group.places] for group in result.leaks] == [
        ["all (train)", "all (test)"],
        ["all (train)", "all (no split)"],
    ]
    assert said(result)[:2] == [
        ("bad", "all (train) and all (test) share 1 photo"),
        ("bad", "all (train) and all (no split) share 1 photo"),
    ]
    assert ("good", "all: 4 images read (2 train, 1 test, 1 no split), nothing broken") in said(result)
    apart = checked((split, [photo(seed=seed) for seed in range(4)]))
    assert ("good", "no photo is in two splits") in said(apart)


def test_images_that_are_all_missing_are_said_once(tmp_path):
    lines = [{"image": f"{number}.jpg", "caption": "a dog"} for number in range(60)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_jsonl(tmp_path / "p.jsonl")
    findings = [look(sample) for sample in source]
    found = check_set(source, "p.jsonl", findings, len, 76)
    assert (found.num_missing_images, found.listed_problems, len(found.problems)) == (60, (), 60)
    texts = [one.text for one in headlines(DataCheck(sets=(found,), duplicates=(), context_length=76))]
    (text,) = [text for text in texts if "none of the" in text]
    assert text.startswith(
        "p.jsonl: none of the 60 images was found; name their folder or zip file: ?images=FOLDER (the"
    )
    (tmp_path / "one.jsonl").write_text(json.dumps(lines[0]))
    alone = open_jsonl(tmp_path / "one.jsonl")
    found = check_set(alone, "one.jsonl", [look(alone[0])], len, 76)
    assert (found.num_missing_images, len(found.listed_problems)) == (0, 1)  # one image says nothing of the folder
    photo().save(tmp_path / "3.jpg")
    findings[3] = look(source[3])
    found = check_set(source, "p.jsonl", findings, len, 76)
    assert (found.num_missing_images, len(found.listed_problems)) == (0, 59)


def test_what_a_source_remarks_and_captions_like_lists_are_odd(tmp_path):
    lines = [
        {"image": "a.jpg", "caption": "[one, two]", "split": "train"},
        {"image": "a.jpg", "caption": "a dog", "split": "test"},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = check_set(open_jsonl(tmp_path / "p.jsonl"), "p.jsonl", [], len, 76)
    odd = [
        one.text for one in headlines(DataCheck(sets=(found,), duplicates=(), context_length=76)) if one.kind == "odd"
    ]
    assert any("1 image in more than one split, such as a.jpg in train and test" in text for text in odd)
    assert "p.jsonl: 1 caption in brackets: lists? ?captions=NAME reads them" in odd


def test_texts_without_spaces_are_not_one_word(tmp_path):
    captions = ["\u4e00\u53ea\u84dd\u8272\u7684\u732b", "\u732b", "cat", "a cat"]
    line = {"image": "a.jpg", "captions": captions}
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    found = check_set(open_jsonl(tmp_path / "p.jsonl"), "p.jsonl", [], len, 76)
    assert [one.caption for one in found.captions.one_word] == ["\u732b", "cat"]


def test_conspicuous_photos_are_odd_and_counted_once(tmp_path):
    photo(64, 64).save(tmp_path / "a.png")
    Image.new("RGB", (400, 20), (9, 9, 9)).save(tmp_path / "b.png")
    lines = [{"image": f"{name}.png", "caption": "a dog"} for name in "ab"]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_jsonl(tmp_path / "p.jsonl")
    findings = [look(sample) for sample in source]
    photos = photo_issues(source, range(2), findings, PhotoThresholds(blurred=0.0))
    result = DataCheck(
        sets=(check_set(source, "p.jsonl", findings, len, 76, photos),), duplicates=(), context_length=76
    )
    assert ("odd", "p.jsonl: 1 photo worth a look (50.00%): 1 dark, 1 nearly empty, 1 very long") in said(result)
    assert result.is_clean
