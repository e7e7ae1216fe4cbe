"""The same twelve pictures in every format give the same samples, as far as each format can carry them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builders.twelve_pictures import (
    PICTURES,
    Picture,
    caption_lines,
    caption_rows,
    coco_captions,
    karpathy_captions,
    question_lines,
    vqa_annotations,
    vqa_questions,
    write_json,
    write_lines,
    write_pictures,
    write_table,
    zip_folder,
)
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.spec import open_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("twelve")
    write_pictures(folder / "pictures")
    zip_folder(folder / "pictures", folder / "pictures.zip")
    zip_folder(folder / "pictures", folder / "wrapped.zip", "all of them/")
    return folder


def samples_of(source: SampleSource) -> dict[str, tuple]:
    assert skipped_samples(source) == []
    samples = [source[index] for index in range(len(source))]
    for sample in samples:
        number = int(sample.key[-16:-4])
        assert np.array_equal(np.asarray(sample.open_image()), PICTURES[number].pixels)
    assert len({sample.key for sample in samples}) == len(samples)
    return {sample.key: (sample.captions, sample.questions, sample.label) for sample in samples}


def expected(*parts: str, pictures: list[Picture] = PICTURES) -> dict[str, tuple]:
    return {
        p.name: (
            p.captions if "captions" in parts else (p.label,) if "class" in parts else (),
            p.questions if "questions" in parts else (),
            p.label if "label" in parts or "class" in parts else None,
        )
        for p in pictures
    }


@pytest.mark.parametrize("images", ["pictures", "pictures.zip", "wrapped.zip"])
@pytest.mark.parametrize("name", ["captions.jsonl", "captions.jsonl.gz"])
def test_lines_of_json(folder, name, images):
    path = write_lines(folder / name, caption_lines())
    assert samples_of(open_source(f"{path}?images={folder}/{images}")) == expected("captions", "label")


def test_one_caption_a_line_under_other_names(folder):
    rows = [
        {"filepath": p.name, "title": caption, "fold": p.split, "class_index": p.number % 2}
        for i in range(2)
        for p in PICTURES
        for caption in p.captions[i : i + 1]
    ]
    path = write_lines(folder / "renamed.jsonl", rows)
    options = f"images={folder}/pictures&image=filepath&caption=title&label=class_index&split_column=fold&split=test"
    found = samples_of(open_source(f"{path}?{options}"))
    assert found == {p.name: (p.captions, (), str(p.number % 2)) for p in PICTURES if p.split == "test"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "separator", "option"),
    [("t.csv", ",", ""), ("t.tsv.gz", "\t", ""), ("t.csv.gz", ";", "&separator=;"), ("t2.csv", "\t", "&separator=tab")],
)
def test_tables(folder, name, separator, option, line_end):
    path = write_table(folder / name, caption_rows(), separator, line_end)
    source = open_source(f"{path}?images={folder}/pictures{option}")
    assert samples_of(source) == expected("captions", "label")
    test = open_source(f"{path}?images={folder}/pictures{option}&split=test")
    assert samples_of(test) == expected("captions", "label", pictures=[p for p in PICTURES if p.split == "test"])


def test_tables_of_labels_alone(folder):
    path = write_table(folder / "labels.csv", [("image", "name"), *((p.name, p.label) for p in PICTURES)], ",")
    assert samples_of(open_source(f"{path}?images={folder}/pictures.zip&label=name")) == expected("label")


@pytest.mark.parametrize("name", ["coco.json", "coco.json.gz"])
def test_coco(folder, name):
    path = write_json(folder / name, coco_captions())
    assert samples_of(open_source(f"coco:{path}?images={folder}/pictures")) == expected("captions")


def test_karpathy(folder):
    path = write_json(folder / "karpathy.json", karpathy_captions(lambda p: p.split))
    everything = open_source(f"karpathy:{path}?images={folder}/pictures.zip")
    assert samples_of(everything) == expected("captions")
    test = open_source(f"karpathy:{path}?images={folder}/pictures&split=test")
    assert samples_of(test) == expected("captions", pictures=[p for p in PICTURES if p.split == "test"])


def test_questions_a_line(folder):
    path = write_lines(folder / "questions.jsonl", question_lines())
    assert samples_of(open_source(f"{path}?images={folder}/pictures")) == expected("questions")


def test_questions_in_a_table(folder):
    rows = [(p.name, q.question, q.answers[0], q.key) for p in PICTURES for q in p.questions]
    path = write_table(folder / "q.csv", [("image", "question", "answer", "question_id"), *rows], ",")
    found = samples_of(open_source(f"{path}?images={folder}/pictures"))
    assert found == {
        p.name: ((), tuple(replace(q, answers=q.answers[:1]) for q in p.questions), None) for p in PICTURES
    }


def test_vqa_with_the_names_of_coco(folder):
    owls = [p for p in PICTURES if p.label == "owl"]
    questions = write_json(folder / "questions.json", vqa_questions(owls))
    answers = write_json(folder / "answers.json.gz", vqa_annotations(owls))
    found = samples_of(open_source(f"vqa:{questions}?annotations={answers}&images={folder}/pictures/owl"))
    whole = {
        p.name.removeprefix("owl/"): (
            (),
            tuple(replace(q, question_type="what", answer_type="other") for q in p.questions),
            None,
        )
        for p in owls
    }
    assert found == whole
    secret = samples_of(open_source(f"vqa:{questions}?images={folder}/pictures/owl"))
    assert secret == {
        name: ((), tuple(replace(q, answers=(), question_type=None, answer_type=None) for q in questions), None)
        for name, (_, questions, _) in whole.items()
    }
    named = open_source(f"vqa:{questions}?images={folder}/pictures&name=owl/COCO_val2014_{{:012}}.jpg")
    assert set(samples_of(named)) == {p.name for p in owls}


@pytest.mark.parametrize("place", ["pictures", "pictures.zip", "wrapped.zip", "folder:pictures.zip"])
def test_class_folders(folder, place, monkeypatch):
    monkeypatch.chdir(folder)
    assert samples_of(open_source(place)) == expected("class")


def test_class_folders_wrapped_in_another(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "outer").mkdir(exist_ok=True)
    if not (folder / "outer" / "pictures").exists():
        write_pictures(folder / "outer" / "pictures")
    assert samples_of(open_source("outer")) == expected("class")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("synsets.txt", "red_fox fox, Vulpes vulpes\nowl bird of Minerva, owl\nother thing\n"),
        ("names.csv", "folder,name\nred_fox,fox\nowl,bird of Minerva\n"),
        ("names.tsv", "red_fox\tfox\nowl\tbird of Minerva\n"),
    ],
)
@pytest.mark.parametrize("place", ["pictures", "wrapped.zip"])
def test_class_folders_with_a_file_of_labels(folder, monkeypatch, place, name, text):
    monkeypatch.chdir(folder)
    (folder / name).write_text(text)
    found = samples_of(open_source(f"{place}?labels={name}"))
    names = {"red fox": "fox", "owl": "bird of Minerva"}
    assert found == {p.name: ((names[p.label],), (), names[p.label]) for p in PICTURES}
