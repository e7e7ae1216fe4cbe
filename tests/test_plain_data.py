from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from sycoca.plain_data import (
    changed_fields,
    from_plain,
    overlay,
    read_yaml,
    to_plain,
    without_defaults,
    write_text,
    write_yaml,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    power: float = 1.5
    kind: Literal["steam", "electric"] = "steam"
    betas: tuple[float, float] = (0.9, 0.98)


@dataclass(frozen=True, kw_only=True, slots=True)
class Train:
    wagons: int
    name: str = "Adler"
    is_fast: bool = False
    engine: Engine = field(default_factory=Engine)
    spare: Engine | None = None
    stops: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.wagons < 0:
            raise ValueError("wagons must not be negative")


FULL = Train(wagons=3, is_fast=True, engine=Engine(kind="electric"), spare=Engine(power=2.0), stops=("a", "b"), limit=0)


def test_plain_form_is_nested_and_in_order():
    assert to_plain(FULL) == {
        "wagons": 3,
        "name": "Adler",
        "is_fast": True,
        "engine": {"power": 1.5, "kind": "electric", "betas": [0.9, 0.98]},
        "spare": {"power": 2.0, "kind": "steam", "betas": [0.9, 0.98]},
        "stops": ["a", "b"],
        "limit": 0,
    }
    assert list(to_plain(FULL)) == ["wagons", "name", "is_fast", "engine", "spare", "stops", "limit"]


def test_what_differs_from_the_defaults_is_enough():
    assert without_defaults(Train(wagons=0)) == {"wagons": 0, "engine": {}}
    assert without_defaults(FULL) == {
        "wagons": 3,
        "is_fast": True,
        "engine": {"kind": "electric"},
        "spare": {"power": 2.0},
        "stops": ["a", "b"],
        "limit": 0,
    }
    assert from_plain(Train, without_defaults(FULL)) == FULL


def test_yaml_file_gives_the_same_config_back(tmp_path: Path):
    path = tmp_path / "config.yaml"
    write_yaml(path, to_plain(FULL))
    assert from_plain(Train, read_yaml(path)) == FULL
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_missing_keys_take_the_defaults():
    assert from_plain(Train, {"wagons": 1}) == Train(wagons=1)


def test_whole_number_stands_for_a_float():
    assert from_plain(Engine, {"power": 2}).power == 2.0
    assert isinstance(from_plain(Engine, {"power": 2}).power, float)


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.0005", "5.0e-4"])
def test_numbers_with_exponent_are_numbers(tmp_path: Path, text: str):
    path = tmp_path / "engine.yaml"
    path.write_text(f"power: {text}\n", encoding="utf-8")
    assert from_plain(Engine, read_yaml(path)).power == 5e-4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"wagons": 1, "wagonz": 2}, r"^config\.wagonz is not a known key; did you mean 'wagons'\?"),
        ({"wagons": 1, "engine": {"powr": 2.0}}, r"^config\.engine\.powr is not a known key; did you mean 'power'"),
        ({"wagons": 1, "xyz": 2}, r"^config\.xyz is not a known key; allowed: wagons, name"),
        ({}, r"^config\.wagons is missing and has no default"),
        ({"wagons": "3"}, r"^config\.wagons must be a whole number, got str '3'"),
        ({"wagons": True}, r"^config\.wagons must be a whole number, got bool True"),
        ({"wagons": 2.0}, r"^config\.wagons must be a whole number, got float 2\.0"),
        ({"wagons": None}, r"^config\.wagons must be a whole number, got nothing"),
        ({"wagons": 1, "is_fast": 1}, r"^config\.is_fast must be true or false, got int 1"),
        ({"wagons": 1, "name": 7}, r"^config\.name must be a string, got int 7"),
        ({"wagons": 1, "engine": {"power": "x"}}, r"^config\.engine\.power must be a number, got str 'x'"),
        ({"wagons": 1, "engine": {"kind": "stem"}}, r"^config\.engine\.kind is 'stem'; did you mean 'steam'\?"),
        ({"wagons": 1, "engine": {"betas": [0.9]}}, r"^config\.engine\.betas must have 2 values, got 1"),
        ({"wagons": 1, "engine": {"betas": [0.9, "x"]}}, r"^config\.engine\.betas\[1\] must be a number"),
        ({"wagons": 1, "stops": "ab"}, r"^config\.stops must be a list, got str 'ab'"),
        ({"wagons": 1, "engine": None}, r"^config\.engine must be a mapping of keys to values, got nothing"),
        ([1], r"^config must be a mapping of keys to values, got list \[1\]"),
        ({"wagons": -1}, r"^wagons must not be negative"),
    ],
)
def test_errors_name_the_key(data: object, message: str):
    with pytest.raises(ValueError, match=message):
        from_plain(Train, data)


def test_where_is_the_prefix_of_the_name():
    with pytest.raises(ValueError, match=r"^run/config\.yaml\.wagonz is not"):
        from_plain(Train, {"wagonz": 1}, where="run/config.yaml")


def test_overlay_replaces_at_any_depth_and_leaves_the_rest():
    changed = overlay(FULL, {"engine": {"power": 9.0}, "spare": None, "wagons": 4})
    assert changed.engine == Engine(power=9.0, kind="electric")
    assert (changed.spare, changed.wagons, changed.stops) == (None, 4, ("a", "b"))
    assert overlay(Train(wagons=1), {"spare": {"power": 3.0}}).spare == Engine(power=3.0)


def test_overlay_errors_name_the_key():
    with pytest.raises(ValueError, match=r"^config\.engine\.powr is not a known key"):
        overlay(FULL, {"engine": {"powr": 1.0}})
    with pytest.raises(ValueError, match="must be a mapping"):
        overlay(FULL, "engine")


def test_changed_fields_are_dotted_names():
    assert changed_fields(FULL, FULL) == []
    assert changed_fields(FULL, overlay(FULL, {"engine": {"power": 9.0}, "wagons": 4})) == ["wagons", "engine.power"]
    assert changed_fields(FULL, overlay(FULL, {"spare": None})) == ["spare"]


def test_broken_yaml_is_an_error_with_its_line(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1, 2\nb: 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.yaml is not a YAML file: .*line 2"):
        read_yaml(path)


def test_yaml_cannot_create_python_objects(tmp_path: Path):
    path = tmp_path / "evil.yaml"
    path.write_text("!!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a YAML file"):
        read_yaml(path)


def test_writing_replaces_a_file_as_a_whole(tmp_path: Path):
    path = tmp_path / "note.txt"
    write_text(path, "old and long")
    write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_unsupported_configs_are_type_errors():
    @dataclass
    class Odd:
        value: object = None

    with pytest.raises(TypeError, match="expected a dataclass instance"):
        to_plain({"a": 1})
    with pytest.raises(TypeError, match="a config may not hold set"):
        to_plain(Odd(value={1}))
    with pytest.raises(TypeError, match=r"config\.value: fields of type"):
        from_plain(Odd, {"value": 1})


def test_a_key_that_occurs_twice_is_an_error(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\nmodel:\n  depth: 2\n  depth: 3\n")
    with pytest.raises(ValueError, match=r"config\.yaml is not a YAML file: the key 'depth' occurs 2 times.*line 3"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["{}:", "? [a]\n: 1", "model: {{a: 1}: 2}"])
def test_a_key_that_is_not_a_string_is_an_error(tmp_path: Path, text: str):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml is not a YAML file: .* found unhashable key"):
        read_yaml(tmp_path / "config.yaml")


def test_paths_are_strings_in_files():
    @dataclass(frozen=True, kw_only=True, slots=True)
    class WithPath:
        out: Path | None = None

    assert from_plain(WithPath, {"out": "a/b"}) == WithPath(out=Path("a/b"))
    with pytest.raises(ValueError, match=r"config\.out must be a string, got int 3"):
        from_plain(WithPath, {"out": 3})


def test_a_yaml_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ValueError, match=r"c.yaml, line 2 is not UTF-8 \(byte 7 of the line\)"):
        read_yaml(tmp_path / "c.yaml")
