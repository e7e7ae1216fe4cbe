import re
from pathlib import Path
from typing import get_args

from sycoca.data.parsed_spec import OPTIONS, SourceKind
from sycoca.data.spec import open_source
from sycoca.unusable import SkipReason

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_kind_option_and_reason_is_described():
    for kind in get_args(SourceKind):
        assert f"{kind}:" in TEXT or f".{kind}" in TEXT
    for option in {name for names in OPTIONS.values() for name in names}:
        assert f"`{option}`" in TEXT or f"?{option}=" in TEXT, option
    for reason in get_args(SkipReason)[:7]:
        assert reason in TEXT


def test_the_example_of_lines_works(tmp_path):
    (tmp_path / "x.jsonl").write_text(example("json"))
    source = open_source(str(tmp_path / "x.jsonl"))
    assert [source[index].captions for index in range(len(source))] == [
        ("a dog on a beach", "wet paws"),
        ("a cat asleep",),
    ]
    assert source[1].questions[0].answers == ("no", "no", "yes")


def test_the_example_of_a_table_works(tmp_path):
    (tmp_path / "x.csv").write_text(example("text"))
    train = open_source(f"{tmp_path / 'x.csv'}?split=train")
    assert (train[0].key, train[0].captions) == ("dog.jpg", ("a dog, wet",))
