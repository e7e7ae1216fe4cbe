"""Closed sets cannot fall through: whoever adds a member to a Literal is led to every place that must know it.

A choice among members is a ``match`` (pyright's reportMatchNotExhaustive refuses one that leaves a member out) or a
table with a row per member (checked here). What neither of them sees is a comparison with one member, behind which
every new member silently takes the other way: such comparisons are refused here.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "sycoca"

ALLOWED = {}
"""Comparisons that stay, with the reason."""

WITHOUT_A_CHOICE = {
    "SkipReason": "is counted and shown under its own name",
    "ComponentName": "is a column of the table of objectives",
    "AdaptablePart": "are the names of a model's modules that get adapters",
    "EncoderKind": "begins the name of the image processor that is assumed",
    "FreezablePart": "begins the names of the tensors that it stands for",
    "Suffix": "is appended to the name of what is set aside",
    "Split": "is what a hash of a scene's content becomes",
    "RowFormat": "are the members of MapFormat that have rows",
    "Size": "is a row of each level's radii, and levels have different ones",
}
"""Literals among which no code chooses, with the reason."""


@cache
def _trees() -> dict[str, ast.Module]:
    return {
        path.relative_to(SOURCES).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCES.rglob("*.py"))
    }


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


def _texts(node: ast.AST) -> frozenset[str]:
    return frozenset(
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def _literals(trees: dict[str, ast.Module]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield name and members of every Literal; one may take up the members of another of its module, above it."""
    for tree in trees.values():
        above: dict[str, frozenset[str]] = {}
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value) and _texts(value):
                    others = (above.get(one.id, frozenset()) for one in ast.walk(value) if isinstance(one, ast.Name))
                    above[name] = _texts(value).union(*others)
                    yield name, above[name]
                case _:
                    continue


def _members(annotation: ast.AST | None, named: dict[str, frozenset[str]]) -> frozenset[str]:
    """Return the members of the Literal that an annotation is, maybe beside None; empty for all others."""
    match annotation:
        case ast.Name(id=name):
            return named.get(name, frozenset())
        case ast.Subscript() if _is_literal(annotation):
            return _texts(annotation)
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return _members(left, named)
        case _:
            return frozenset()


def _annotated(trees: dict[str, ast.Module]) -> dict[str, frozenset[str]]:
    """Return by name of a field, an argument or a variable the members of all Literals that annotate it anywhere."""
    named = dict(_literals(trees))
    found: dict[str, frozenset[str]] = {}
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        match node:
            case (
                ast.arg(arg=name, annotation=annotation)
                | ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), annotation=annotation)
                | ast.FunctionDef(name=name, returns=annotation)
            ):
                found[name] = found.get(name, frozenset()) | _members(annotation, named)
            case _:
                continue
    return found


def _compared(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all parts of an expression but the keys by which it looks something up."""
    yield node
    for part in (node.value,) if isinstance(node, ast.Subscript) else ast.iter_child_nodes(node):
        yield from _compared(part)


def comparisons_with_members(trees: dict[str, ast.Module]) -> list[str]:
    """Return all comparisons of a name that some Literal annotates with one or several of its members."""
    annotated = _annotated(trees)
    found = []
    for path, tree in trees.items():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
            parts = list(_compared(node))
            names = {part.id for part in parts if isinstance(part, ast.Name)}
            names |= {part.attr for part in parts if isinstance(part, ast.Attribute)}
            if any(annotated.get(name, frozenset()) & _texts(node) for name in names):
                found.append(f"{path}: {ast.unparse(node)}")
    return found


def tables(trees: dict[str, ast.Module]) -> Iterator[tuple[str, str, ast.Dict]]:
    """Yield place, Literal and rows of all tables of a module whose keys are the members of a named Literal."""
    named = dict(_literals(trees))
    for path, tree in trees.items():
        for node in tree.body:
            match node:
                case ast.AnnAssign(
                    target=ast.Name(id=table),
                    annotation=ast.Subscript(slice=ast.Tuple(elts=[ast.Name(id=name), _])),
                    value=ast.Dict() as rows,
                ) if name in named:
                    yield f"{path}: {table}", name, rows
                case _:
                    continue


def explanations(trees: dict[str, ast.Module]) -> Iterator[tuple[str, frozenset[str], str]]:
    """Yield place, members and docstring of all fields that a Literal annotates."""
    named = dict(_literals(trees))
    for path, tree in trees.items():
        for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for node, following in pairwise(kind.body):
                match node, following:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name), annotation=annotation),
                        ast.Expr(value=ast.Constant(value=str(docstring))),
                    ) if members := _members(annotation, named):
                        yield f"{path}: {kind.name}.{name}", members, docstring
                    case _:
                        continue


def _unexplained(members: frozenset[str], docstring: str) -> list[str]:
    """Return the members that a docstring leaves out; none where it explains no member as in "attentive: ..."."""
    words = set(re.findall(r"[\w-]+", docstring))
    explained = set(re.findall(r"([\w-]+):", docstring))
    return sorted(members - words) if members & explained else []


def _own_keys(rows: ast.Dict) -> frozenset[str]:
    return frozenset(key.value for key in rows.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def _cases(match: ast.Match) -> frozenset[str]:
    """Return the texts that the cases of a ``match`` name."""
    return frozenset[str]().union(*(_texts(case.pattern) for case in match.cases))


def repeated_literals(trees: dict[str, ast.Module]) -> list[str]:
    """Return all annotations that list the members of a Literal that has a name, in place of the name."""
    names = {members: name for name, members in _literals(trees)}
    annotations = (
        (path, node.annotation)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None
    )
    return [
        f"{path}: {ast.unparse(part)} is {names[_texts(part)]}"
        for path, annotation in annotations
        for part in ast.walk(annotation)
        if _is_literal(part) and _texts(part) in names
    ]


def test_no_annotation_repeats_the_members_of_a_literal_with_a_name():
    assert repeated_literals(_trees()) == []


def test_a_repeated_literal_is_found():
    tree = ast.parse('Side = Literal["left", "right"]\ndef turned(side: Literal["left", "right"] | None): ...')
    assert repeated_literals({"turns.py": tree}) == ["turns.py: Literal['left', 'right'] is Side"]


def test_every_name_of_a_literal_is_given_once():
    names = [name for name, _ in _literals(_trees())]
    assert len(names) == len(set(names)) > 30


def test_no_comparison_with_one_member_lets_the_others_fall_through():
    found = comparisons_with_members(_trees())
    assert sorted(set(found) - ALLOWED.keys()) == [], "use match, or a table with a row per member"
    assert sorted(ALLOWED.keys() - set(found)) == [], "these are gone"


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("def f(score: Score): return score == 'caption'", True),
        ("def f(config): return config.score != 'token_max'", True),
        ("def f(config): return config.score in ('caption', 'token_max')", True),
        ("def f(score: Score): return 'caption' in SHOWN[score]", False),
        ("def f(other): return other == 'caption'", False),
        ("def f(score: Score): return score == 'of another kind'", False),
    ],
)
def test_comparisons_are_found(line: str, is_found: bool):
    source = f"Score = Literal['token_max', 'caption']\nclass Config:\n    score: Score | None = None\n{line}"
    assert bool(comparisons_with_members({"file.py": ast.parse(source)})) == is_found


def test_every_table_has_a_row_per_member():
    named = dict(_literals(_trees()))
    found = list(tables(_trees()))
    assert len(found) > 20
    incomplete = {place: sorted(named[name] - _own_keys(rows)) for place, name, rows in found}
    assert {place: missing for place, missing in incomplete.items() if missing} == {}


def test_an_incomplete_table_is_found():
    source = "Kind = Literal['a', 'b']\nSIZES: Mapping[Kind, int] = {'a': 1}"
    ((place, name, rows),) = tables({"file.py": ast.parse(source)})
    assert (place, name, _own_keys(rows)) == ("file.py: SIZES", "Kind", {"a"})


def test_help_that_explains_one_member_explains_all():
    found = list(explanations(_trees()))
    assert sum(any(f"{member}:" in docstring for member in members) for _, members, docstring in found) > 10
    unexplained = {place: _unexplained(members, docstring) for place, members, docstring in found}
    assert {place: missing for place, missing in unexplained.items() if missing} == {}


def test_an_unexplained_member_is_found():
    source = 'Kind = Literal["a", "b"]\nclass Config:\n    kind: Kind = "a"\n    """a: the first."""'
    ((place, members, docstring),) = explanations({"file.py": ast.parse(source)})
    assert (place, _unexplained(members, docstring)) == ("file.py: Config.kind", ["b"])


def test_every_literal_is_chosen_from_by_a_match_or_a_table():
    trees = _trees()
    chosen = {name for _, name, _ in tables(trees)}
    matches = [_cases(node) for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Match)]
    chosen |= {name for name, members in _literals(trees) if members in matches}
    names = {name for name, _ in _literals(trees)}
    assert sorted(names - chosen - WITHOUT_A_CHOICE.keys()) == []
    assert sorted(WITHOUT_A_CHOICE.keys() & chosen) == []


def test_every_match_that_never_falls_through_says_so_to_pyright():
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Match) and _cases(node) in dict(_literals(_trees())).values():
                assert "assert_never" in ast.unparse(node.cases[-1]), f"{path}, line {node.lineno}"


def test_pyright_refuses_a_match_that_leaves_a_member_out():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["pyright"]["reportMatchNotExhaustive"] == "error"
