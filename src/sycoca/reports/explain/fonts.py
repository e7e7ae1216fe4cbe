"""Fonts for text in any script: those that are installed, and a notice about characters that none of them has."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from matplotlib import ft2font
from matplotlib.font_manager import fontManager

from sycoca.inference.explaining.text_spans import CUT_CHARACTER

DEFAULT_FAMILY = "DejaVu Sans"
"""The family that Matplotlib brings along."""

MISSING = "[…]"
"""What stands for characters that no font has; every font has these."""

_LAID_OUT = frozenset(["R", "AL"])
"""Bidirectional classes of Hebrew and Arabic letters."""

_JOINED = re.compile("[\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
"""Letters of Indian and Southeast Asian scripts, whose forms and order depend on their neighbors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFonts:
    """Fonts for the texts of one figure."""

    families: tuple[str, ...]
    """Families that have their characters, to be tried in this order."""

    missing: frozenset[str]
    """Characters that cannot be drawn."""

    def drawable(self, text: str) -> str:
        """Return a text with one mark in place of each run of characters that cannot be drawn."""
        spaced = re.sub(f"{CUT_CHARACTER}+", "…", " ".join(text.split()))
        plain = "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cs"))
        if not self.missing:
            return plain
        return re.sub(f"[{re.escape(''.join(sorted(self.missing)))}]+", MISSING, plain)

    def drawable_lines(self, text: str) -> list[str]:
        """Return the lines of a text, each as `drawable` has it."""
        return [self.drawable(line) for line in text.split("\n")]

    @property
    def notice(self) -> str | None:
        """A sentence about characters that are not drawn; None where there are none."""
        if not self.missing:
            return None
        scripts = sorted({_script(character) for character in self.missing})
        return (
            f"{MISSING} stands for {len(self.missing)} characters ({', '.join(scripts)}) that no installed font has;"
            " install one, such as Noto Sans, and Matplotlib finds it."
        )


def fonts_for(texts: Iterable[str]) -> TextFonts:
    """Return fonts for all characters of the texts, as far as the installed ones have them."""
    characters = {
        character for text in texts for character in text if not character.isspace() and character.isprintable()
    }
    # Matplotlib before 3.11 draws characters one by one from left to right, which is wrong in these scripts.
    unordered = set() if _lays_out_text() else {character for character in characters if _needs_layout(character)}
    missing, families = characters - unordered, [DEFAULT_FAMILY]
    missing -= _characters(_path_of(DEFAULT_FAMILY))
    for family, path in _installed_fonts():
        if not missing:
            break
        if found := missing & _characters(path):
            families.append(family)
            missing -= found
    return TextFonts(families=tuple(families), missing=frozenset(missing | unordered))


def beginning(text: str, most: int, *, end: str = "…") -> str:
    """Return a text, or its beginning with ``end`` behind it, within so many characters; wide ones count twice."""
    widths = [_width(character) for character in text]
    if sum(widths) <= most:
        return text
    room = most - len(end)
    return text[: sum(1 for total in accumulate(widths) if total <= room)].rstrip() + end


def lines_of(text: str, most: int, *, most_lines: int | None = None, end: str = " …") -> list[str]:
    """Return a text in lines of at most so many characters, with ``end`` behind the last one where there are more."""
    most_characters = most * len(text) // sum(map(_width, text)) if text else most
    return textwrap.wrap(text, most_characters, max_lines=most_lines, placeholder=end, break_on_hyphens=False)


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _lays_out_text() -> bool:
    return hasattr(ft2font, "__libraqm_version__")


def _needs_layout(character: str) -> bool:
    return unicodedata.bidirectional(character) in _LAID_OUT or _JOINED.match(character) is not None


@cache
def _installed_fonts() -> tuple[tuple[str, str], ...]:
    """Return families and files of upright regular fonts, those for user interfaces and of Noto first."""
    fonts = {
        font.name: str(font.fname)
        for font in fontManager.ttflist
        if font.style == "normal"
        and font.weight in (400, "normal", "regular", "book")
        and font.name != DEFAULT_FAMILY
        # Matplotlib 3.11 ships a font that has every character, as a box.
        and not font.name.startswith("Last Resort")
    }
    return tuple(sorted(fonts.items(), key=lambda font: (not font[0].startswith("Noto Sans"), font[0])))


def _path_of(family: str) -> str:
    return fontManager.findfont(family)


@cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font file has; none where it cannot be drawn at any size (bitmaps of emoji)."""
    try:
        font = ft2font.FT2Font(path)
    except (OSError, RuntimeError):  # a font that FreeType cannot read is one that does not help
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def _script(character: str) -> str:
    """Return the first word of a character's name, which for letters is their script ("CJK", "DEVANAGARI")."""
    name = unicodedata.name(character, "unnamed").split(" ")[0]
    return name if name.isupper() and len(name) <= 3 else name.capitalize()
