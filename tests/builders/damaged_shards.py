"""Sets of shards with damaged samples, a kind of damage each; what each damage is called is known."""

import random
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from builders.image_bytes import png
from builders.shards import image_bytes, member, tar_bytes

Members = Mapping[str, bytes]
"""The members of a sound sample by name."""


def _changed(members: Members, suffix: str, content: bytes) -> bytes:
    return _packed({name: content if name.endswith(suffix) else own for name, own in members.items()})


def _packed(members: Members) -> bytes:
    return b"".join(member(name, content) for name, content in members.items())


def _without(members: Members, suffix: str) -> bytes:
    return _packed({name: content for name, content in members.items() if not name.endswith(suffix)})


def _linked(members: Members, kind: bytes) -> bytes:
    name = next(name for name in members if name.endswith(".png"))
    return member(name, kind=kind) + _without(members, ".png")


def _twice(members: Members) -> bytes:
    return _packed(members) + _without(members, ".txt")


def _outside(members: Members) -> bytes:
    return _packed({f"../{name}": content for name, content in members.items()})


def _random_header(members: Members) -> bytes:
    return random.Random(5).randbytes(tarfile.BLOCKSIZE) + _packed(members)[tarfile.BLOCKSIZE :]


BOMB = png(2, 8, [bytes(99)], size=(60_000, 60_000)).getvalue()
"""An image of 3.6 gigapixels in 80 bytes."""

DAMAGES: Mapping[str, tuple[str, Callable[[Members], bytes]]] = {
    "random bytes": ("not an image", lambda members: _changed(members, ".png", random.Random(3).randbytes(300))),
    "cut image": ("broken image", lambda members: _changed(members, ".png", image_bytes(3)[:50])),
    "random header": ("damaged shard", _random_header),
    "duplicate keys": ("duplicate key", _twice),
    "missing text": ("no caption", lambda members: _without(members, ".txt")),
    "missing image": ("missing image", lambda members: _without(members, ".png")),
    "no UTF-8": ("caption is no text", lambda members: _changed(members, ".txt", b"caf\xe9 at night")),
    "symbolic link": ("unreadable file", lambda members: _linked(members, tarfile.SYMTYPE)),
    "hard link": ("unreadable file", lambda members: _linked(members, tarfile.LNKTYPE)),
    "outside": ("image outside", _outside),
    "bomb": ("image too large", lambda members: _changed(members, ".png", BOMB)),
    "empty image": ("empty file", lambda members: _changed(members, ".png", b"")),
}
"""By the name of a kind the reason that is given for it, and what makes the bytes of a damaged sample."""


def write_damaged_set(folder: Path, *, num_shards: int, num_samples: int, number_each: int) -> dict[str, str]:
    """Write shards with ``number_each`` samples of every kind of damage, and two of them cut off within a member.

    Return the reasons by the names of the damaged samples.
    """
    folder.mkdir(parents=True)
    inner = [(shard, number) for shard in range(num_shards) for number in range(1, num_samples - 1)]
    # Not beside each other, so that what a damaged header loses is that of one sample.
    chosen = random.Random(0).sample(inner[::2], number_each * len(DAMAGES))
    kinds = dict(zip(chosen, [*DAMAGES] * number_each, strict=True))
    reasons: dict[str, str] = {}
    for shard in range(num_shards):
        content = b""
        for number in range(num_samples):
            key = f"{shard * 10_000 + number:09d}"
            sound = {f"{key}.png": image_bytes(shard + 7 * number), f"{key}.txt": f"a picture of {number}".encode()}
            kind = kinds.get((shard, number))
            if kind is None:
                content += _packed(sound)
                continue
            reason, damaged = DAMAGES[kind]
            content += damaged(sound)
            reasons[f"{shard:05d}.tar/{'../' if kind == 'outside' else ''}{key}"] = reason
        if shard < 2:  # the last sample loses its text, or half of its image
            content = content[: -tarfile.BLOCKSIZE - 10 if shard == 0 else -3 * tarfile.BLOCKSIZE]
            reasons[f"{shard:05d}.tar/{key}"] = "damaged shard"
        else:
            content += tar_bytes([])
        (folder / f"{shard:05d}.tar").write_bytes(content)
    return reasons
