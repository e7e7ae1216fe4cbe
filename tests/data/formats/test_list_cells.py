import pytest

from sycoca.data.formats.list_cells import is_list_of_texts, listed_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a red thing", "something red"]', ["a red thing", "something red"]),
        ("['a red thing', \"it's red\"]", ["a red thing", "it's red"]),
        ("['a red thing' 'something red']", ["a red thing", "something red"]),
        ("['a red thing'\n \"it's red\"]", ["a red thing", "it's red"]),
        (" ['one'] ", ["one"]),
        ("[]", []),
        ("['a', None]", ["a", None]),
        ('[{"answer": "red"}]', [{"answer": "red"}]),
        (r"['a \d b']", [r"a \d b"]),
        ("[draft] a photo [x]", None),
        ("[a red thing, something red]", None),
        ("a red thing", None),
        ("{'a': 1}", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("[__import__('os').getcwd()]", None),
    ],
)
def test_lists_written_as_text(text, expected):
    assert listed_text(text) == expected


def test_only_a_list_of_texts_is_no_caption():
    assert is_list_of_texts("['a', 'b']")
    assert not is_list_of_texts("[1, 2]")
    assert not is_list_of_texts("[]")
    assert not is_list_of_texts("[sic]")
