"""Results as HTML in the cell of a notebook: inline styles, no scripts, nothing fetched, and every text escaped."""

from collections.abc import Iterable, Sequence
from html import escape

_FONT = "font: 13px/1.5 system-ui, sans-serif"
_SOFT = "opacity: .7"
_CELL = "padding: .15rem .8rem .15rem 0; border: 0"


def cell(title: str, *parts: str) -> str:
    """Return the HTML of a result: its title, then parts made by the other functions."""
    heading = f'<div style="font-weight: 650; font-size: 14px; margin-bottom: .3rem">{escape(title)}</div>'
    return f'<div style="{_FONT}">{heading}{"".join(parts)}</div>'


def note(text: str) -> str:
    """Return a line of less weight."""
    return f'<div style="{_SOFT}; overflow-wrap: anywhere">{escape(text)}</div>'


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is left-aligned, the others hold numbers."""
    return f'<table style="border-collapse: collapse; margin: 0; font: inherit">{"".join(map(_row, rows))}</table>'


def figures(pictures: Iterable[tuple[str, str]], *, side: int) -> str:
    """Return pictures, made by `picture`, beside each other with texts below them, ``side`` pixels wide."""
    shown = "".join(
        f'<figure style="margin: 0; width: {side}px">{one}'
        f'<figcaption style="font-size: 12px; line-height: 1.35; overflow-wrap: anywhere">{escape(text)}</figcaption>'
        "</figure>"
        for one, text in pictures
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: .6rem; margin: .4rem 0">{shown}</div>'


def picture(uri: str, text: str, *, side: int, over: str | None = None) -> str:
    """Return an image, given as a data URI, with a text for who does not see it; ``over`` lies over it, one pixel per
    patch."""
    base = _image(uri, text, f"width: {side}px; height: {side}px; object-fit: contain; border-radius: 6px")
    if over is None:
        return base
    placed = f"position: absolute; inset: 0; width: {side}px; height: {side}px; border-radius: 6px"
    heat = _image(over, "", f"{placed}; image-rendering: pixelated")
    return f'<div style="position: relative; width: {side}px; height: {side}px">{base}{heat}</div>'


def _image(uri: str, text: str, style: str) -> str:
    return f'<img src="{escape(uri)}" alt="{escape(text)}" style="display: block; margin: 0; {style}">'


def _row(row: Sequence[str]) -> str:
    first, *others = row
    cells = [f'<td style="{_CELL}; text-align: left">{escape(first)}</td>']
    numbers = f"{_CELL}; text-align: right; font-variant-numeric: tabular-nums"
    cells += [f'<td style="{numbers}">{escape(one)}</td>' for one in others]
    return f'<tr style="background: none">{"".join(cells)}</tr>'
