import json
from pathlib import Path

import pytest

from builders.shared_data import shared_data
from sycoca.data.class_lists import NamedClass, named_classes, read_classes, read_templates


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def names(classes: tuple[NamedClass, ...]) -> list[str]:
    return [one.label for one in classes]


def test_classes_on_the_command_line_and_in_a_text_file(tmp_path):
    assert names(read_classes("cat, great white shark,dog")) == ["cat", "great white shark", "dog"]
    path = write(tmp_path / "classes.txt", "tench, Tinca tinca\n\ngoldfish\n")
    assert names(read_classes(path)) == ["tench, Tinca tinca", "goldfish"]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_a_table_maps_labels_to_names_of_which_there_may_be_several(tmp_path, suffix: str, separator: str):
    rows = [("n01", "tench"), ("n02", "goldfish"), ("n01", "fish")]
    path = write(tmp_path / f"classes.{suffix}", "\n".join(separator.join(row) for row in rows))
    assert read_classes(path) == (
        NamedClass(label="n01", wordings=("tench", "fish")),
        NamedClass(label="n02", wordings=("goldfish",)),
    )


def test_json_files_may_hold_a_list_or_named_parts(tmp_path):
    plain = write(tmp_path / "plain.json", '["cat", ["happy", "smiling"]]')
    assert read_classes(plain)[1] == NamedClass(label="happy", wordings=("happy", "smiling"))
    sets = {"pets": {"classes": ["cat", "dog"], "templates": ["a {}."]}, "short": ["{}"]}
    path = write(tmp_path / "sets.json", json.dumps(sets))
    assert names(read_classes(f"{path}#pets")) == ["cat", "dog"]
    assert read_templates([f"{path}#pets", "the {}", f"{path}#short"]) == ("a {}.", "the {}", "{}")


def test_a_json_object_maps_labels_to_names_and_indices_to_their_order(tmp_path):
    names_of = write(tmp_path / "names.json", '{"n01": "tench", "n02": "goldfish"}')
    assert [(one.label, *one.wordings) for one in read_classes(names_of)] == [("n01", "tench"), ("n02", "goldfish")]
    id2label = {
        str(index): f"class {index}" for index in sorted(range(12), key=str)
    }  # 10 before 2, as some tools write
    config = write(tmp_path / "config.json", json.dumps({"architectures": ["ViT"], "id2label": id2label}))
    for labels_are_indices in (False, True):
        classes = read_classes(f"{config}#id2label", labels_are_indices=labels_are_indices)
        assert [(one.label, *one.wordings) for one in classes] == [(str(i), f"class {i}") for i in range(12)]


def test_indices_tell_classes_of_one_name_apart():
    with pytest.raises(ValueError, match=r"names the class 'crane' twice; .*--labels-are indices"):
        read_classes("crane,crane")
    classes = read_classes("crane,crane", labels_are_indices=True)
    assert classes == (NamedClass(label="0", wordings=("crane",)), NamedClass(label="1", wordings=("crane",)))


def test_templates_of_clip_benchmark_name_the_place_of_the_class(tmp_path):
    path = write(tmp_path / "zeroshot_classification_templates.txt", "a photo of a {c}.\nart of the {c}.\n")
    assert read_templates([path, "the {c}"]) == ("a photo of a {}.", "art of the {}.", "the {}")


def test_templates_in_a_text_file(tmp_path):
    path = write(tmp_path / "templates.txt", "a photo of a {}.\na drawing of a {}.\n")
    assert read_templates([path]) == ("a photo of a {}.", "a drawing of a {}.")


@pytest.mark.parametrize(
    ("name", "content", "given", "message"),
    [
        ("none.txt", "", "none.txt", "names no class"),
        ("a.csv", "a,b,c", "a.csv", r"a\.csv, line 1: expected two columns, label and name, got 3"),
        ("a.txt", "cat", "a.txt#pets", r"has no parts: leave out #pets"),
        ("a.json", "[", "a.json", "is no JSON file"),
        ("a.json", "[1]", "a.json", "a class is a name or a list of synonyms, got 1"),
        ("a.json", '{"pets": {"classes": []}}', "a.json#pest", "has no part 'pest'; did you mean 'pets'"),
        ("a.json", '{"pets": {"classes": []}}', "a.json", r"name the part that does, .*NAME one of pets"),
        ("a.json", '[""]', "a.json", "has a class without name"),
        ("a.json", '{"a": "cat", "a ": "dog"}', "a.json", "names the class 'a' twice"),
        ("a.json", '{"0": ""}', "a.json", "has a class without name"),
        ("a.json", '{"0": 1}', "a.json", "holds no list of classes there; it is a list of texts"),
        ("a.csv", ",cat", "a.csv", "has a class without name"),
        ("a.txt", "cat", "lost.txt", r"there is no file '.*lost\.txt'"),
    ],
)
def test_bad_class_lists_are_refused(tmp_path, name: str, content: str, given: str, message: str):
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        read_classes(str(tmp_path / given))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no prompt template is given"),
        (["a photo"], "'a photo' is neither a prompt template, which has {} for the class, nor a file"),
        (["{} and {}"], "has {} exactly once"),
        (["{} and {c}"], "has {} exactly once"),
    ],
)
def test_bad_templates_are_refused(texts: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        read_templates(texts)


def test_templates_without_a_place_for_the_class_are_refused_in_files_too(tmp_path):
    with pytest.raises(ValueError, match="got 'a photo'"):
        read_templates([write(tmp_path / "templates.txt", "a photo\n")])
    with pytest.raises(ValueError, match="holds 3, which is no prompt template"):
        read_templates([write(tmp_path / "templates.json", "[3]")])


def test_names_in_code_are_checked_alike():
    assert named_classes(["cat"]) == (NamedClass(label="cat", wordings=("cat",)),)
    with pytest.raises(ValueError, match="the list of classes names the class 'cat' twice"):
        named_classes(["cat", "cat"])


def test_published_prompt_files_are_read_as_they_lie():
    imagenet = shared_data("prompts/imagenet_zero_shot.json")
    assert len(read_templates([f"{imagenet}#openai_imagenet_templates"])) == 80
    assert len(read_templates([f"{imagenet}#simple_imagenet_templates"])) == 7
    assert len(read_classes(str(imagenet), labels_are_indices=True)) == 1000
    sets = json.loads(shared_data("prompts/clip_prompts.json").read_text())
    for name, found in sets.items():
        if name != "source":
            spec = f"{shared_data('prompts/clip_prompts.json')}#{name}"
            assert len(read_classes(spec)) == len(found["classes"])
            assert len(read_templates([spec])) == len(found["templates"])


LATIN_1 = "caf\u00e9\ncat\n".encode("latin-1")


@pytest.mark.parametrize("name", ["c.txt", "c.csv", "c.tsv", "c.json"])
def test_class_names_that_are_not_utf_8_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(LATIN_1)
    with pytest.raises(
        ValueError, match=rf"{name}, line 1 is not UTF-8 \(byte 4 of the line\); save the file as UTF-8"
    ):
        read_classes(str(tmp_path / name))


@pytest.mark.parametrize("name", ["t.txt", "t.json"])
def test_templates_that_are_not_utf_8_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes("a caf\u00e9 {}".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{name}, line 1 is not UTF-8 \(byte 6 of the line\)"):
        read_templates([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "cafe\u0301\ntea\n"),
        ("c.csv", "cafe\u0301,cafe\u0301\ntea,tea\n"),
        ("c.json", '["cafe\u0301", "tea"]'),
        ("c.txt", "caf\u00e9\rtea\r"),
    ],
)
def test_names_come_in_one_form(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert [(one.label, one.wordings) for one in read_classes(str(tmp_path / name))] == [
        ("caf\u00e9", ("caf\u00e9",)),
        ("tea", ("tea",)),
    ]
    assert [one.label for one in read_classes("cafe\u0301, tea")] == ["caf\u00e9", "tea"]


def test_one_class_in_two_forms_is_named_twice(tmp_path):
    (tmp_path / "c.txt").write_text("caf\u00e9\ncafe\u0301\n")
    with pytest.raises(ValueError, match="names the class 'caf\u00e9' twice"):
        read_classes(str(tmp_path / "c.txt"))


def test_a_quote_swallows_no_class(tmp_path):
    (tmp_path / "c.csv").write_text('a,"12" record\nb,door\nc,"car"\n')
    with pytest.raises(ValueError, match=r"c.csv, line 1: broken quotes .*; put a name with quotes in it into quotes"):
        read_classes(str(tmp_path / "c.csv"))
    (tmp_path / "c.csv").write_text('a,"record\nb,door"\nc,car\n')
    with pytest.raises(ValueError, match=r"c.csv, line 1: a quote opens here and ends in line 2"):
        read_classes(str(tmp_path / "c.csv"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("C.TXT", "cat\ndog"), ("C.Csv", "1,cat\n2,dog"), ("C.TSV", "1\tcat\n2\tdog"), ("C.JSON", '["cat", "dog"]')],
)
def test_suffixes_may_be_in_capitals(tmp_path, name: str, content: str):
    (tmp_path / name).write_text(content)
    assert [one.wordings for one in read_classes(str(tmp_path / name))] == [("cat",), ("dog",)]


@pytest.mark.parametrize("name", ["c.names", "classes", "c.txt.gz", "cat,dog", "c.names#part"])
def test_another_file_is_no_class(tmp_path, monkeypatch, name: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name.partition("#")[0]).write_text("cat\ndog")
    with pytest.raises(ValueError, match=r"is a file, and such files end in \.txt, \.csv, \.tsv, \.json; rename it"):
        read_classes(name)
    with pytest.raises(ValueError, match=r"is a file, and such files end in"):
        read_templates([name])


def test_a_text_too_long_for_a_file_is_a_list_of_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat").mkdir()
    assert len(read_classes(",".join(["cat", *map(str, range(5000))]))) == 5001


@pytest.mark.parametrize("header", ["label,name", "Label, Class", "folder,class", "id,name"])
def test_a_header_is_no_class(tmp_path, header: str):
    path = tmp_path / "c.csv"
    path.write_text(f"{header}\n1,cat\n2,dog\nlabel,name")
    assert [(one.label, one.wordings[0]) for one in read_classes(str(path))] == [
        ("1", "cat"),
        ("2", "dog"),
        ("label", "name"),
    ]


@pytest.mark.parametrize("text", ["", "  ", ",, "])
def test_an_empty_list_of_classes_names_its_option(text: str):
    with pytest.raises(
        ValueError, match=rf"--class-names '{text}' names no class; write cat,dog,horse, or name a file"
    ):
        read_classes(text)


def test_names_in_code_are_not_sent_to_an_option():
    with pytest.raises(ValueError, match=r"names the class 'cat' twice; names of classes must differ$"):
        named_classes(["cat", "cat"])


def test_a_part_of_a_file_is_named_in_any_form_of_unicode(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"e\N{COMBINING ACUTE ACCENT}": ["cat"]}))
    (one,) = read_classes(f"{tmp_path}/c.json#\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert one.label == "cat"
