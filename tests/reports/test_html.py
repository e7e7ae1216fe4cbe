import pytest

from sycoca.reports.html import balanced_columns


@pytest.mark.parametrize(
    ("number", "most", "columns"),
    [(7, 5, 4), (7, 4, 4), (5, 4, 3), (5, 5, 5), (6, 5, 3), (9, 4, 3), (1, 5, 1), (0, 5, 0)],
)
def test_no_card_stands_alone_in_its_row(number: int, most: int, columns: int):
    assert balanced_columns(number, most) == columns
    assert number <= most or number % columns != 1
