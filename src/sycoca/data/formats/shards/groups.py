"""Members of a shard put together to samples: files of one name that differ in what follows its first dot."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, final

from sycoca.data.formats.shards.tar_members import Damage, Member, MemberKind, TarBytes, tar_members
from sycoca.facts.input_limits import InputLimitError, LimitName, input_limit, stated_limit
from sycoca.file_names import IMAGE_SUFFIXES
from sycoca.unusable import SkipReason

TEXT_SUFFIX, JSON_SUFFIX, LABEL_SUFFIX = "txt", "json", "cls"
"""Suffixes of members with a caption, with fields, and with a class."""

_NUMBERED = re.compile(r"\d{1,4}\.txt")
"""Suffix of one of several captions ("0.txt")."""

_IMAGE = "image"
"""What stands for the suffix of any image."""

_SEVERAL_DOTS = (
    "{name} is passed over: the name of a sample ends at its first dot ({key}), what follows says what a member is;"
    " put _ for all dots but the last"
)
"""Why an image whose name has several dots is no sample."""

Fault = tuple[SkipReason, str]
"""Why a sample is unusable, and the end of the sentence that says it."""


@dataclass(slots=True)
class Group:
    """The members of a sample."""

    key: str
    """Their common name, without what follows its first dot."""

    image: Member | None = None
    """The image."""

    texts: dict[str, bytes] = field(default_factory=dict)
    """Content of the other members by suffix."""

    fault: Fault | None = None
    """Why the sample is unusable."""

    beside: Damage | None = None
    """A damaged part of the shard that may have been a member of this sample."""

    def suffixes(self) -> frozenset[str]:
        """Return the suffixes of the members, with one for all images."""
        return frozenset([*self.texts, *([] if self.image is None else [_IMAGE])])


class GroupedShard(NamedTuple):
    """The samples of a shard, and what is wrong with it beside them."""

    groups: list[Group]
    """All samples, also unusable ones, in the order of their first members."""

    damages: list[Damage]
    """Damaged parts that belong to no sample that is known."""


@final
class _Grouping:
    """Puts the members of one shard together."""

    def __init__(self, file: TarBytes) -> None:
        self._file = file
        self._groups: dict[str, Group] = {}
        self._passed_over: dict[str, dict[str, str]] = {}
        """Names of images with further dots, by key and by all but the suffix."""
        self._last: Group | None = None
        self._damage: Damage | None = None
        self._damages: list[Damage] = []
        self._num_bytes = 0
        # Looked up once, since that takes as long as all else about a member.
        limits: tuple[LimitName, ...] = ("image_file_bytes", "line_bytes", "json_bytes", "zip_members")
        self._limits: Mapping[LimitName, int] = {limit: input_limit(limit) for limit in limits}

    def grouped(self) -> GroupedShard:
        """Read the whole shard."""
        for member in tar_members(self._file):
            if isinstance(member, Damage):
                self._take_damage(member)
            else:
                self._take(member)
        self._add_passed_over()
        groups = list(self._groups.values())
        known = _blamed(groups)
        return GroupedShard(groups, [damage for damage in self._damages if id(damage) not in known])

    def _take_damage(self, damage: Damage) -> None:
        named = None if damage.member is None else split_name(damage.member)
        if named is not None:
            self._group(named[0]).fault = ("damaged shard", f"its shard {damage.detail}")
            return
        self._damage = damage
        self._damages.append(damage)
        if self._last is not None:
            self._last.beside = damage

    def _take(self, member: Member) -> None:
        named = split_name(member.name)
        if named is None:
            return
        if not (_is_image(named[1]) or _is_text(named[1])):
            self._pass_over(member.name, *named)
            return
        key, suffix = named
        group = self._group(key)
        if self._damage is not None:
            self._join_damage(group, self._damage)
        self._last = group
        fault = _fault(member, suffix, self._limits)
        if fault is not None:
            group.fault = group.fault or fault
        elif _is_image(suffix):
            self._take_image(group, member)
        elif suffix in group.texts:
            group.fault = ("duplicate key", f"two members are called {key}.{suffix}; keys of a shard must differ")
        else:
            group.texts[suffix] = self._text(member)

    def _join_damage(self, group: Group, damage: Damage) -> None:
        if group is self._last:
            group.fault = ("damaged shard", f"its shard {damage.detail}")
        group.beside, self._damage = damage, None

    def _pass_over(self, name: str, key: str, suffix: str) -> None:
        """Keep the name of an image whose name goes on behind its first dot (1.5_dog.jpg, and 1.seg.png)."""
        middle, _, last = suffix.rpartition(".")
        if _is_image(last) and key not in self._groups:
            own = self._passed_over.setdefault(key, {})
            self._check_number(len(self._groups) + len(own))
            own.setdefault(f"{key}.{middle}", name)

    def _add_passed_over(self) -> None:
        """Add what is no part of a sample that is known, such as a segmentation of its image, as unusable samples."""
        for key, images in self._passed_over.items():
            for stem, name in {} if key in self._groups else images.items():
                self._group(stem).fault = ("missing image", _SEVERAL_DOTS.format(name=name, key=key))

    def _take_image(self, group: Group, member: Member) -> None:
        if group.image is None:
            group.image = member
            return
        two = f"{group.image.name} and {member.name}"
        what = f"two members are called {member.name}" if group.image.name == member.name else f"its images are {two}"
        group.fault = ("duplicate key", f"{what}; keys of a shard must differ")

    def _text(self, member: Member) -> bytes:
        self._num_bytes += member.size
        if self._num_bytes > self._limits["json_bytes"]:
            raise InputLimitError(f"its texts take more than {self._num_bytes:,} bytes; {stated_limit('json_bytes')}")
        return self._file.at(member.offset, member.size)

    def _group(self, key: str) -> Group:
        group = self._groups.get(key)
        if group is None:
            self._check_number(len(self._groups))
            group = self._groups[key] = Group(key)
        return group

    def _check_number(self, number: int) -> None:
        if number >= self._limits["zip_members"]:
            raise InputLimitError(f"it has more than {number:,} samples; {stated_limit('zip_members')}")


def grouped(file: TarBytes) -> GroupedShard:
    """Read the headers and texts of a shard. Raises InputLimitError where it has more than can be kept in memory."""
    return _Grouping(file).grouped()


def split_name(name: str) -> tuple[str, str] | None:
    """Return the key of a member's sample, and its suffix in lower case; None for hidden names and those without one.

    The key goes up to the first dot of the last part of the name, as in webdataset.
    """
    name = name.removeprefix("./")
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return (f"{folder}{slash}{stem}", suffix.lower()) if stem and dot else None


def _is_image(suffix: str) -> bool:
    return f".{suffix}" in IMAGE_SUFFIXES


def _is_text(suffix: str) -> bool:
    return suffix in (TEXT_SUFFIX, JSON_SUFFIX, LABEL_SUFFIX) or _NUMBERED.fullmatch(suffix) is not None


_NO_FILES: Mapping[MemberKind, str | None] = {
    "file": None,
    "link": "a link",
    "other": "a device, a pipe or a file with holes",
}
"""What members are that cannot be read; None for those that can."""


def _fault(member: Member, suffix: str, limits: Mapping[LimitName, int]) -> Fault | None:
    """Return what is wrong with a member whose content is not read yet."""
    name = member.name
    if name.startswith("/") or ".." in name.split("/"):
        return "image outside", "its name leads out of the shard; pack names without .. and without / in front"
    what = _NO_FILES[member.kind]
    if what is not None:
        return "unreadable file", f"{name} is {what}; pack the file itself"
    is_image = _is_image(suffix)
    limit: LimitName = "image_file_bytes" if is_image else "line_bytes"
    if member.size > limits[limit]:
        return "file too large", f"{name} has {member.size:,} bytes; {stated_limit(limit)}"
    if member.size == 0 and is_image:
        return "empty file", f"{name} is empty (0 bytes); fetch it again or leave it out"
    return None


def _blamed(groups: list[Group]) -> set[int]:
    """Mark the samples beside damaged parts that lack a member as damaged, and return the ids of these parts."""
    usual = frozenset[str]()
    if any(group.beside is not None for group in groups):
        usual = Counter(group.suffixes() for group in groups).most_common(1)[0][0]
    known = set[int]()
    for group in groups:
        if group.beside is not None and (group.fault or group.image is None or not usual <= group.suffixes()):
            group.fault = group.fault or ("damaged shard", f"its shard {group.beside.detail}")
            known.add(id(group.beside))
    return known


def captions_in_order(texts: dict[str, bytes]) -> Iterator[bytes]:
    """Yield the captions that are members of their own: ``txt``, then ``0.txt``, ``1.txt`` and so on."""
    if TEXT_SUFFIX in texts:
        yield texts[TEXT_SUFFIX]
    numbered = [suffix for suffix in texts if suffix not in (TEXT_SUFFIX, JSON_SUFFIX, LABEL_SUFFIX)]
    for suffix in sorted(numbered, key=lambda suffix: int(suffix.partition(".")[0])):
        yield texts[suffix]
