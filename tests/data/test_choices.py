import re

import pytest

from sycoca.data.choices import check_choice


def test_an_allowed_value_passes():
    check_choice("level", "easy", ("easy", "hard"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("esy", "level must be one of easy, hard, got 'esy' (did you mean easy?)"),
        ("7", "level must be one of easy, hard, got '7'"),
    ],
)
def test_names_what_is_allowed_what_came_and_what_was_meant(value: str, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_choice("level", value, ("easy", "hard"))
