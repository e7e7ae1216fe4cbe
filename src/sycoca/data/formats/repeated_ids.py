"""Ids that stand more than once in a file, as in files that were merged."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

_MOST_DIGITS = 4300
"""Digits of a number that Python converts."""


def entry_id(entry: object, name: str) -> int | str | None:
    """Return the id that an entry of a JSON list has under that name; None where it has none.

    A whole number that is written as 3.0, as tables with empty cells write ids, is 3.
    """
    key = entry.get(name) if isinstance(entry, Mapping) else None
    if isinstance(key, float) and key.is_integer():
        return int(key)
    return key if isinstance(key, int | str) and not isinstance(key, bool) else None


def places_by_id(entries: Sequence[object], name: str) -> dict[int | str, list[int]]:
    """Return by id the places of the entries that have it, the first being 0."""
    places: defaultdict[int | str, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        key = entry_id(entry, name)
        if key is not None:
            places[key].append(i)
    return dict(places)


def ids_of_several_images(images: Sequence[object]) -> dict[int | str, list[int]]:
    """Return by id the places of COCO's images that share it and are not the same file."""
    names = [str(image.get("file_name")) if isinstance(image, Mapping) else "" for image in images]
    return {key: own for key, own in places_by_id(images, "id").items() if len({names[i] for i in own}) > 1}


def same_id_of_other_type(key: int | str, others: Container[int | str]) -> int | str | None:
    """Return the id among others that is the same number as a text, or the same text as a number."""
    is_number = isinstance(key, str) and key.isdecimal() and len(key) <= _MOST_DIGITS
    other = int(key) if is_number else str(key)
    return other if other != key and other in others else None


def typed(key: int | str) -> str:
    """Return an id with its type: "the number 7", "the text '7'"."""
    return f"the {'text' if isinstance(key, str) else 'number'} {key!r}"


def repeated(name: str, key: int | str, what: str, places: Sequence[int]) -> str:
    """Return how often and where an id stands: 'the "id" 1 stands twice (images 1 and 2)'."""
    *others, last = (str(place + 1) for place in places)
    times = "twice" if len(places) == 2 else f"{len(places)} times"
    return f'the "{name}" {key} stands {times} ({what} {", ".join(others)} and {last})'
