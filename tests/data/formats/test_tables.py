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
    assert len(source) == 1
    assert [(entry.name, entry.reason) for entry in source.skipped] == [(f"{path}, line 3", "malformed row")]
    assert "unexpected end of data" in source.skipped[0].detail


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
        ("image;caption\na;b", r"has no column 'image' .*: \?image=COLUMN; is \?separator= right\?"),
        (
            "image,title\na,b",
            r"has none of the columns caption, captions, question, label \(it has image, title\); say which one",
        ),
        ('image,"cap\na,b', "x.csv: the header is broken: unexpected end of data"),
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
