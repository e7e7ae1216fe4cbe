from collections.abc import Sequence

import pytest

from sycoca.data.table_rows import TableRow, table_rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.tsv"


def read(path, text: str, **options) -> list[TableRow]:
    path.write_text(text, newline="")
    return list(table_rows(path, "\t", **options))


def values(rows: list[TableRow]) -> list[tuple[int, Sequence[str]]]:
    return [(row.line, list(row.values)) for row in rows if row.problem is None]


def test_a_quote_without_an_end_takes_one_line_with_it(path):
    rows = read(path, 'a\tone\nb\t"two\nc\tthree\nd\tfour\n')
    assert values(rows) == [(1, ["a", "one"]), (3, ["c", "three"]), (4, ["d", "four"])]
    assert [row.line for row in rows if row.problem] == [2]


def test_reading_goes_on_behind_every_line_with_a_quote_that_does_not_fit(path):
    rows = read(path, 'a\t"no entry\nb\ttwo\nc\t"go" on a sign\nd\tfour\n')
    assert values(rows) == [(2, ["b", "two"]), (4, ["d", "four"])]
    assert [row.line for row in rows if row.problem] == [1, 3]


PAIR = 'a.jpg\t"exit sign\nb.jpg\ttwo\nc.jpg\tthe door"\nd.jpg\tfour\n'


def test_a_pair_of_quotes_that_swallows_rows_is_a_problem(path):
    rows = read(path, PAIR, is_row=lambda cells: cells[0].endswith(".jpg"))
    assert values(rows) == [(2, ["b.jpg", "two"]), (3, ["c.jpg", 'the door"']), (4, ["d.jpg", "four"])]
    assert rows[0].problem == (
        "a quote opens here and ends in line 3; line 2 in between looks like a row of its own; where quotes are plain"
        " text in this file: ?quotes=none"
    )
    assert values(read(path, PAIR))[0] == (1, ["a.jpg", "exit sign\nb.jpg\ttwo\nc.jpg\tthe door"])


def test_quotes_may_be_text(path):
    assert values(read(path, PAIR, quotes="none")) == [
        (1, ["a.jpg", '"exit sign']),
        (2, ["b.jpg", "two"]),
        (3, ["c.jpg", 'the door"']),
        (4, ["d.jpg", "four"]),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end(path, end):
    assert values(read(path, end.join(["a\tone", "", "b\ttwo"]))) == [(1, ["a", "one"]), (3, ["b", "two"])]


def test_spaces_behind_separators_are_left_out_where_the_first_line_has_them(path):
    path.write_text('image, caption\n0.jpg, "a, b"\n1.jpg,c\n')
    assert values(list(table_rows(path, ",")))[1:] == [(2, ["0.jpg", "a, b"]), (3, ["1.jpg", "c"])]
    path.write_text("image,caption\n0.jpg, c\n")
    assert values(list(table_rows(path, ",")))[1:] == [(2, ["0.jpg", " c"])]


def test_an_empty_table_has_no_rows(path):
    assert read(path, "") == []
    assert read(path, "\n\n") == []


def test_a_spreadsheets_line_about_its_separator_is_no_row(path):
    path.write_text("sep=;\nimage;caption\na.png;a dog, wet\n")
    assert values(list(table_rows(path, ","))) == [(2, ["image", "caption"]), (3, ["a.png", "a dog, wet"])]
