"""Class names and prompt templates from the command line, text files and JSON files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from sycoca.data.table_rows import table_rows
from sycoca.data.text_files import read_any_json, read_text_lines
from sycoca.file_names import has_suffix
from sycoca.plain_data import did_you_mean
from sycoca.texts import listed_texts, normal_form, refuse_text

_FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".json")
_LIST_KEYS = {"classes": ("classes", "classnames", "class_names"), "templates": ("templates",)}
"""Keys of JSON files under which classes and templates are looked up."""

_PLACE, _NAMED_PLACE = _PLACES = ("{}", "{c}")
"""Where the class goes in a template: as in Python, and as in the files of CLIP_benchmark."""

_HEADERS = (frozenset({"label", "index", "id", "folder", "class"}), frozenset({"name", "class", "class_name", "label"}))
"""Names of the two columns of a table, in lower case: a first line of them is a header and no class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedClass:
    """A class with its label in the data and its names in prompts."""

    label: str
    """Label in the data."""

    wordings: tuple[str, ...]
    """Names that replace {} in a prompt; several are synonyms."""

    def __post_init__(self) -> None:
        refuse_text(self.wordings, "wordings")


def named_classes(names: Iterable[str]) -> tuple[NamedClass, ...]:
    """Return classes whose labels are their names."""
    composed = map(normal_form, listed_classes(names))
    return _checked([NamedClass(label=name, wordings=(name,)) for name in composed], "the list of classes")


def listed_classes(names: object) -> list[str]:
    """Return names of classes as a list. Raises ValueError for a text, which may be one name or several."""
    if isinstance(names, str):
        split = [name.strip() for name in names.split(",")]
        raise ValueError(f"class_names is a list of texts, got the text {names[:60]!r}; write {split!r:.80}")
    return listed_texts(names, "class_names")


def read_classes(text: str, *, labels_are_indices: bool = False) -> tuple[NamedClass, ...]:
    """Return the classes of ``cat,dog,horse`` or of a file, in their order.

    With ``labels_are_indices`` data calls the first class 0, the second 1, and two may have one name.

    A ``.txt`` file has one class a line; ``.csv`` and ``.tsv`` files have two columns, label and name, and a label
    that comes again gets a further name; a ``.json`` file is a list of names (a list in it: synonyms), or an object of
    label and name such as ``config.json#id2label``, or holds one of these as "classes" or "classnames", maybe below the
    name that ``FILE#NAME`` says. Suffixes may be in capitals. Raises ValueError for a class that is named twice, where
    there is none, and for the name of any other file.
    """
    if not text.strip(", "):
        raise ValueError(f"--class-names {text!r} names no class; write cat,dog,horse, or name a file of them")
    classes = _found_classes(text)
    if labels_are_indices:
        classes = [replace(one, label=str(index)) for index, one in enumerate(classes)]
    remedy = " (where labels of the data are indices into the list and not names: --labels-are indices)"
    return _checked(classes, text, remedy)


def read_templates(texts: Iterable[str]) -> tuple[str, ...]:
    """Return prompt templates; each text is one, with {} or {c} for the class, or names a file of them.

    A ``.txt`` file has one template a line; a ``.json`` file is a list of them, holds such a list under the name that
    ``FILE#NAME`` says, or there as "templates". Raises ValueError for a template without exactly one {}.
    """
    given = listed_texts(texts, "templates")
    return checked_templates(
        template
        for text in given
        for template in ([text] if any(place in text for place in _PLACES) else _templates_of(text))
    )


def checked_templates(texts: Iterable[str]) -> tuple[str, ...]:
    """Return prompt templates with {} for the class. Raises ValueError for none, and for one without exactly one {}."""
    templates = listed_texts(texts, "templates")
    if not templates:
        raise ValueError('no prompt template is given; one is a text with {} for the class, as in "a photo of a {}."')
    for template in templates:
        if sum(map(template.count, _PLACES)) != 1:
            raise ValueError(f"a prompt template has {{}} exactly once, where the class goes; got {template!r}")
    return tuple(template.replace(_NAMED_PLACE, _PLACE) for template in templates)


def two_columns(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of a table of two columns, composed and without spaces around them; ``what`` they are.

    A first row such as label,name is its header, and passed over. Raises ValueError that names the first line with
    more, fewer or empty ones.
    """
    separator = "," if has_suffix(path, ".csv", ".csv.gz") else "\t"
    # No name goes over several lines, so a quote that does is a mistake.
    remedy = "put a name with quotes in it into quotes, and each of those twice"
    for number, row in enumerate(table_rows(path, separator, is_row=lambda _cells: True, remedy=remedy)):
        if row.problem is not None:
            raise ValueError(f"{path}, line {row.line}: {row.problem}")
        cells = [normal_form(cell.strip()) for cell in row.values]
        while len(cells) > 2 and not cells[-1]:
            cells.pop()
        if len(cells) != 2:
            got = f"{len(cells)}: {separator.join(row.values)[:80]!r}"
            raise ValueError(f"{path}, line {row.line}: expected two columns, {what}, got {got}")
        if not all(cells):
            raise ValueError(f"{path}, line {row.line} has a class without name")
        if number > 0 or not all(cell.lower() in names for cell, names in zip(cells, _HEADERS, strict=True)):
            yield cells[0], cells[1]


def _found_classes(text: str) -> list[NamedClass]:
    path, part = _file_and_part(text)
    if path is not None and has_suffix(path, ".json"):
        return _from_json(path, part)
    if path is not None and has_suffix(path, ".csv", ".tsv"):
        _refuse_part(path, part)
        return _from_table(path)
    if path is None:
        names = [normal_form(name.strip()) for name in text.split(",") if name.strip()]
    else:
        _refuse_part(path, part)
        names = _lines(path)
    return [NamedClass(label=name, wordings=(name,)) for name in names]


def _checked(classes: Sequence[NamedClass], where: str, remedy: str = "") -> tuple[NamedClass, ...]:
    if not classes:
        raise ValueError(f"{where} names no class")
    seen: set[str] = set()
    for one in classes:
        if not one.label or not all(one.wordings):
            raise ValueError(f"{where} has a class without name")
        if one.label in seen:
            raise ValueError(f"{where} names the class {one.label!r} twice; names of classes must differ{remedy}")
        seen.add(one.label)
    return tuple(classes)


def _templates_of(text: str) -> list[str]:
    path, part = _file_and_part(text)
    if path is None:
        raise ValueError(f"{text!r} is neither a prompt template, which has {{}} for the class, nor a file of them")
    if not has_suffix(path, ".json"):
        _refuse_part(path, part)
        return _lines(path)
    found = _listed(_json_part(path, part, "templates"), path, "templates")
    for template in found:
        if not isinstance(template, str):
            raise ValueError(f"{text} holds {template!r}, which is no prompt template")
    return found


def _file_and_part(text: str) -> tuple[Path | None, str | None]:
    """Split ``FILE#NAME``; no path where the text is not the name of a file.

    Raises ValueError for a file of another kind, whose name would be taken for a class.
    """
    name, _, part = text.partition("#")
    path = Path(name)
    if not has_suffix(path, *_FILE_SUFFIXES):
        if any(map(_is_file, (text, name))):
            raise ValueError(f"{name} is a file, and such files end in {', '.join(_FILE_SUFFIXES)}; rename it")
        return None, None
    if not path.is_file():
        raise ValueError(f"there is no file {name!r}")
    return path, part or None


def _is_file(name: str) -> bool:
    """Return whether there is a file of that name; a text that can be none, for which pathlib raises, is none."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _refuse_part(path: Path, part: str | None) -> None:
    if part is not None:
        raise ValueError(f"{path} has no parts: leave out #{part}, which is for JSON files")


def _lines(path: Path) -> list[str]:
    lines = [normal_form(line.strip()) for line in read_text_lines(path)]
    return [line for line in lines if line]


def _from_table(path: Path) -> list[NamedClass]:
    wordings: dict[str, tuple[str, ...]] = {}
    for label, name in two_columns(path, "label and name"):
        wordings[label] = (*wordings.get(label, ()), name)
    return [NamedClass(label=label, wordings=names) for label, names in wordings.items()]


def _from_json(path: Path, part: str | None) -> list[NamedClass]:
    found = _json_part(path, part, "classes")
    if _names_labels(found):
        return _from_object(found)
    return [_from_entry(entry, path) for entry in _listed(found, path, "classes")]


def _from_entry(entry: object, path: Path) -> NamedClass:
    names = (entry,) if isinstance(entry, str) else tuple(entry) if isinstance(entry, list) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: a class is a name or a list of synonyms, got {entry!r}")
    names = tuple(normal_form(name.strip()) for name in names)
    return NamedClass(label=names[0], wordings=names)


def _names_labels(data: object) -> TypeGuard[dict[str, str]]:
    """Return whether JSON data is an object of label and name, such as {"0": "cat", "1": "dog"}."""
    return isinstance(data, dict) and len(data) > 0 and all(isinstance(name, str) for name in data.values())


def _from_object(names: dict[str, str]) -> list[NamedClass]:
    """Return the classes in their order; that of indices is their own, wherever they stand ("10" before "2")."""
    classes = [(normal_form(label.strip()), normal_form(name.strip())) for label, name in names.items()]
    if {label for label, _ in classes} == {str(index) for index in range(len(classes))}:
        classes.sort(key=lambda one: int(one[0]))
    return [NamedClass(label=label, wordings=(name,)) for label, name in classes]


def _json_part(path: Path, part: str | None, what: str) -> object:
    """Return what a JSON file says of classes or templates, at the top level or in its named part."""
    data = read_any_json(path)
    if part is not None:
        parts = {normal_form(name): own for name, own in data.items()} if isinstance(data, dict) else {}
        if normal_form(part) not in parts:
            raise ValueError(f"{path} has no part {part!r}{did_you_mean(part, _part_names(data))}")
        data = parts[normal_form(part)]
    return next((data[key] for key in _LIST_KEYS[what] if key in data), data) if isinstance(data, dict) else data


def _listed(data: object, path: Path, what: str) -> list[Any]:
    """Return a list of JSON data; ValueError says how the file can hold one."""
    if isinstance(data, list):
        return data
    parts = ", ".join(_part_names(data))
    named = f"name the part that does, as in {path.name}#NAME, with NAME one of {parts}"
    raise ValueError(f"{path} holds no list of {what} there; {named if parts else 'it is a list of texts'}")


def _part_names(data: object) -> list[str]:
    return [name for name, value in data.items() if isinstance(value, list | dict)] if isinstance(data, dict) else []
