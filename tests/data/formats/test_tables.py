import pytest

from sycoca.data.formats.rows import Columns
from sycoca.data.formats.tables import open_table

HEADER = "image,caption,label\n"


def open_csv(path, data: str | bytes, **options):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return open_table(path, separator=",", **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.csv"


def test_quotes_line_ends_and_blank_lines(path):
    source = open_csv(path, '\ufeffimage,caption\r\na.png,"one, ""two""\r\nthree"\r\n\r\na.png,four\r\nb.png,five')
    assert source.skipped == []
    assert [source[index].captions for index in range(len(source))] == [('one, "two"\r\nthree', "four"), ("five",)]


@pytest.mark.parametrize(
    ("row", "name", "reason", "detail"),
    [
        ("b.png,x", "b.png", "malformed row", "too few fields: 2, the header has 3; quote fields with separators"),
        ("b.png,x,y,z", "b.png", "malformed row", "too many fields: 4, the header has 3"),
        ('b.png,"x"y,z', "FILE", "malformed row", "broken quotes or too long a field: ',' expected after '\"'"),
        ("b.png," + "x" * 200_000 + ",", "FILE", "malformed row", "broken quotes or too long a field: field larger"),
        (",x,", "FILE", "no image name", 'no "image" (it has "caption"); name the field'),
        ("b.png,,y", "b.png", "no caption", 'no "caption" or "captions"'),
        ("b.png,,", "b.png", "no caption", 'no "caption" or "captions"'),
        ("b.png, ,", "b.png", "empty caption", '"caption" has nothing to read in it'),
    ],
)
def test_a_bad_row_is_left_out_and_named(path, row, name, reason, detail):
    source = open_csv(path, f'{HEADER}a.png,"two\nlines",\n{row}\nc.png,also,\n')
    assert [source[index].captions for index in range(len(source))] == [("two\nlines",), ("also",)]
    (skipped,) = source.skipped
    assert skipped.name == f"{path if name == 'FILE' else name}, line 4"
    assert skipped.reason == reason
    assert skipped.detail.startswith(f"{path}, line 4: ")
    assert detail in skipped.detail


def test_a_quote_that_never_ends_is_named_with_its_line(path):
    source = open_csv(path, f'{HEADER}a.png,one,\nb.png,"two,\nc.png,three,\n')
    assert [sample.key for sample in source] == ["a.png", "c.png"]
    assert [(entry.name, entry.reason) for entry in source.skipped] == [(f"{path}, line 3", "malformed row")]
    assert "unexpected end of data; where quotes are plain text in this file: ?quotes=none" in source.skipped[0].detail


def test_lines_are_counted_where_fields_hold_line_ends(path):
    source = open_csv(path, f'{HEADER}a.png,"one\n\n1",\nb.png,,\n')
    assert source.skipped[0].name == "b.png, line 5"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "x.csv is empty; its first row must name the columns"),
        (HEADER, "x.csv has no rows below its header"),
        ("image,image,caption\na,b,c", r"x.csv has two columns 'image' \(it has image, image, caption\); rename one"),
        (
            "filepath,title\na,b",
            r"has no column 'image' \(it has filepath, title\); say which one names the image files: \?image=filepath",
        ),
        ("image;caption\na;b", r"has a single column, 'image;caption'; if it is several, write \?separator=;"),
        ("filepath\ttitle\na\tb", r"a single column, 'filepath\\ttitle'; if it is several, write \?separator=tab"),
        (
            "image,title\na,b",
            r"has none of the columns caption, captions, question, label \(it has image, title\); say which one",
        ),
        ('image,"cap\na,b', "x.csv: the header is broken: .*: unexpected end of data"),
        ("image,caption\na,größer\n".encode("latin-1"), r"x.csv, line 2 is not UTF-8 \(byte 5 of the line\); save the"),
        ("image,caption\na,b\n".encode("utf-16"), "x.csv is UTF-16; save it as UTF-8"),
    ],
)
def test_refuses_what_is_no_table(path, data, message):
    with pytest.raises(ValueError, match=message):
        open_csv(path, data)


@pytest.mark.parametrize("field", ["image", "caption", "captions", "question", "answer", "answers", "label", "split"])
def test_a_column_that_is_not_there_is_refused(path, field):
    message = (
        rf"x.csv: the column for {field} must be one of image, caption, label, got 'lable' \(did you mean label\?\)"
    )
    with pytest.raises(ValueError, match=message):
        open_csv(path, f"{HEADER}a,b,c\n", columns=Columns(**{field: "lable"}))


@pytest.mark.parametrize("rows", ['a.png,"one\nb.png,two\nc.png,three"\n', 'a.png,"one\nb,two\nc.png,three"\n'])
def test_a_caption_that_holds_lines_like_rows_is_named_and_they_are_read(path, rows):
    source = open_csv(path, f"image,caption\n{rows}d.png,four\n")
    assert [(one.name, one.reason) for one in source.skipped] == [(f"{path}, line 2", "malformed row")]
    assert "ends in line 4" in source.skipped[0].detail
    assert {sample.key: sample.captions for sample in source}["c.png"] == ('three"',)


def test_a_caption_of_several_lines_with_commas_is_one_caption(path):
    source = open_csv(path, 'image,caption\na.png,"a dog,\nwet, happy\nand late, too"\n')
    assert source.skipped == []
    assert source[0].captions == ("a dog,\nwet, happy\nand late, too",)


def test_swallowed_lines_are_known_by_images_that_are_there(path):
    (path.parent / "b").write_bytes(b"x")
    source = open_csv(path, 'image,caption\na,"one\nb,two"\n')
    assert [sample.key for sample in source] == ["b"]
    assert len(source.skipped) == 1


@pytest.mark.parametrize(
    "cell", ['"[""a dog"", ""it\'s wet""]"', '"[\'a dog\', ""it\'s wet""]"', '"[\'a dog\' ""it\'s wet""]"']
)
def test_a_cell_of_the_column_of_several_captions_may_be_a_list(path, cell):
    assert open_csv(path, f"image,captions\na.png,{cell}\n")[0].captions == ("a dog", "it's wet")
    renamed = open_csv(path, f"image,raw\na.png,{cell}\n", columns=Columns(captions="raw"))
    assert renamed[0].captions == ("a dog", "it's wet")


def test_a_list_in_the_column_of_one_caption_is_named(path):
    with pytest.raises(ValueError, match=r'"raw" is a list written as one text, .*\?captions=raw reads') as caught:
        open_csv(path, "image,raw\na.png,\"['one', 'two']\"\n", columns=Columns(caption="raw"))
    assert 'for "caption is no text"' in str(caught.value)


@pytest.mark.parametrize("cell", ['"[""red"", ""red"", ""crimson""]"', "\"[{'answer': 'red'}, {'answer': 'red'}]\""])
def test_a_cell_of_several_answers_may_be_a_list(path, cell):
    (question,) = open_csv(path, f"image,question,answers\na.png,what color?,{cell}\n")[0].questions
    assert question.answers in (("red", "red", "crimson"), ("red", "red"))


def test_a_list_in_the_column_of_one_answer_is_named(path):
    with pytest.raises(ValueError, match=r'"answer" is a list written as one text, .*\?answers=answer reads'):
        open_csv(path, "image,question,answer\na.png,what?,\"['red', 'red']\"\n")


def test_columns_without_a_name_are_ignored(path):
    source = open_csv(path, ",image,caption,,\n7,a.png,one,,\n8,b.png,two,x\n9,c.png,three,,,,\n")
    assert [sample.captions for sample in source] == [("one",), ("three",)]
    assert [one.name for one in source.skipped] == ["b.png, line 3"]


def test_quotes_are_text_where_that_is_said(path):
    path.write_text('image\tcaption\na.png\t"exit" sign\nb.png\t"\n')
    source = open_table(path, separator="\t", quotes="none")
    assert [sample.captions for sample in source] == [('"exit" sign',), ('"',)]


def test_old_line_ends_of_the_mac(path):
    assert [sample.key for sample in open_csv(path, "image,caption\ra.png,one\rb.png,two\r")] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("header", "hint"), [("Image,Caption", r"\?image=Image"), ("image,Caption", r"images: \?caption=Caption")]
)
def test_a_column_in_capitals_is_suggested(path, header, hint):
    with pytest.raises(ValueError, match=hint):
        open_csv(path, f"{header}\na.png,one\n")


def test_spaces_and_forms_of_labels_and_splits_make_no_difference(path):
    text = "image,label,split\na.png,caf\u00e9,train\nb.png, cafe\u0301 ,train \nc.png,tea,test\n"
    source = open_csv(path, text)
    assert [(sample.label, sample.split) for sample in source] == [
        ("caf\u00e9", "train"),
        ("caf\u00e9", "train"),
        ("tea", "test"),
    ]


def test_two_spellings_of_one_file_are_one_image(path):
    (path.parent / "cafe\u0301.png").write_bytes(b"x")
    source = open_csv(path, "image,caption\ncaf\u00e9.png,one\ncafe\u0301.png,two\n cafe\u0301.png,three\n")
    assert [(sample.key, sample.captions) for sample in source] == [("caf\u00e9.png", ("one", "two", "three"))]
    (path.parent / "caf\u00e9.png").write_bytes(b"another file")
    assert len(open_csv(path, "image,caption\ncaf\u00e9.png,one\ncafe\u0301.png,two\n")) == 2


def test_an_image_keeps_its_good_captions_and_the_bad_one_is_no_lost_sample(path):
    source = open_csv(path, "image,caption\na.png,one\na.png, \na.png,\nb.png, \n")
    assert source[0].captions == ("one",)
    assert [(one.name, one.image_stays) for one in source.skipped] == [
        ("a.png, line 3", True),
        ("a.png, line 4", True),
        ("b.png, line 5", False),
    ]


def test_an_image_in_two_splits_is_remarked(path):
    text = "image,caption,split\na.png,one,train\na.png,two,test\nb.png,three,test\n"
    (remark,) = open_csv(path, text).remarks
    assert remark.startswith(f"{path}: 1 image in more than one split, such as a.png in train and test")
    assert open_csv(path, "image,caption,split\na.png,one,train\n").remarks == ()
