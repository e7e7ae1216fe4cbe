"""Conditions of searches: which are computed, and which are refused before LanceDB sees them."""

import numpy as np
import pytest

import sycoca
from builders.image_indexes import facts, rows
from sycoca.search.image_index import ImageIndex
from sycoca.search.index_table import IndexTable
from sycoca.serve.conditions import FUNCTIONS, MAX_TOKENS, check_condition
from sycoca.serve.refusals import RefusedError

EMBEDDINGS = np.eye(4, 8, dtype=np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ImageIndex:
    path = tmp_path_factory.mktemp("index") / "photos.lance"
    IndexTable.create(str(path), facts(8, {"float64": "of no model"})).add(rows(EMBEDDINGS))
    return sycoca.open_index(path)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("width > 101", 2),
        ("`width` > -1 and width BETWEEN -5 AND 1000", 4),
        ("NOT (width <> 100 OR height = -2)", 1),
        ("array_has(captions, 'caption 2')", 1),
        ("array_has_any(captions, ['caption 1', 'caption 2'])", 2),
        ("array_has_all(captions, ['caption 1'])", 1),
        ("array_length(captions) >= 1", 4),
        ("captions[1] = 'caption 3'", 1),
        ("label IS NULL OR label = 'it''s'", None),
        ("file IN ('photos/image-2.jpg', 'b')", 1),
        ("contains(file, '-2')", 1),
        ("starts_with(lower(file), 'photos') AND ends_with(upper(file), '3.JPG')", 1),
        ("length(file) > 1000", 0),
        ("file LIKE '%image-1%'", 1),
    ],
)
def test_comparisons_are_computed(index: ImageIndex, condition: str, count: int | None):
    check_condition(condition)
    found = index.search_embedding(EMBEDDINGS[0], where=condition)
    assert count is None or len(found.hits) == count


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_is_allowed_exists(index: ImageIndex, name: str):
    values = {
        "array_has": "captions, 'a'",
        "array_has_all": "captions, ['a']",
        "array_has_any": "captions, ['a']",
        "array_length": "captions",
        "contains": "file, 'a'",
        "ends_with": "file, 'a'",
        "starts_with": "file, 'a'",
    }
    condition = f"{name}({values.get(name, 'file')}) IS NOT NULL"
    check_condition(condition)
    assert len(index.search_embedding(EMBEDDINGS[0], where=condition).hits) == 4


@pytest.mark.parametrize(
    "condition",
    [
        "length(repeat(file, 10000000)) > 1",  # gigabytes
        "length(lpad(file, 1000000000)) > 1",
        "array_length(range(0, 1000000000)) > 1",
        "`repeat`(file, 9) = 'a'",
        "repeat (file, 9) = 'a'",
        "_repeat(file, 9) = 'a'",
        "repeat/**/(file, 9) = 'a'",
        "E'\\'' = 'a' OR repeat(file, 9) = 'b'",  # for the parser of SQL the first text ends before " = "
        "E'' = repeat(file, 9)",
        "file = 'a\\' OR repeat(file, 9) = ''",
        "$$'$$ = repeat(file, 9) OR file = ''",
        'file = "a"',
        "width > 1 + 1",
        "width > 1-1",
        "width > width-1",
        "captions[1]-1 > 0",
        "(1)-1 > 0",
        "file || file = 'a'",
        "width > 1 -- OR",
        "width > 1; SELECT 1",
        "width::text = 'a'",
    ],
)
def test_whatever_else_sql_has_is_refused(condition: str):
    with pytest.raises(RefusedError, match="a condition cannot have") as refused:
        check_condition(condition)
    assert refused.value.status_code == 422


def test_a_condition_is_no_deeper_than_the_stack_of_its_parser():
    """A sum of 900 numbers takes the process down."""
    check_condition(" OR ".join(["width > 1"] * (MAX_TOKENS // 4)))
    with pytest.raises(RefusedError, match=f"more than {MAX_TOKENS} names") as refused:
        check_condition(" OR ".join(["width > 1"] * (MAX_TOKENS // 4 + 1)))
    assert refused.value.status_code == 413
    for deepest in ("(" * 1900, "NOT " * 400, "- " * 900, "width = 1" + "+1" * 900, "[" * 1900):
        with pytest.raises(RefusedError):
            check_condition(deepest)
