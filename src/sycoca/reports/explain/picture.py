"""An explanation as a figure: maps of the caption and its words on one scale, masks and reconstructions; or as JSON."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sycoca.file_names import has_suffix
from sycoca.inference.explaining.explanation import Explanation
from sycoca.outputs.atomic import atomic_file
from sycoca.plain_data import write_text
from sycoca.reports.explain.fonts import TextFonts, beginning, fonts_for, lines_of
from sycoca.reports.explain.sections import Panel, Scale, Section, quoted, sections_of, two_decimals

PICTURE_SUFFIXES = (".png", ".pdf", ".svg", ".json")

_ROW, _GAP, _MARGIN = 11.1, 0.15, 0.3
_TITLE, _NOTE = 0.26, 0.36
_HEADING, _HEADING_GAP = 0.5, 0.22
_BARS = 1.0
"""Inches: a row of panels, the gap between two, the margins, a panel's title and note, a heading and the gap above
it, the color bars."""

_WIDTH = 2 * _MARGIN + _ROW + _GAP + _BARS
_TITLE_LETTERS, _HEADING_LETTERS, _FACTS_LETTERS, _FOOTER_LETTERS = 90, 135, 165, 180
_TITLE_LINES = 3
_LISTED_CAPTIONS = 24
_TITLE_LETTERS_PER_INCH, _NOTE_LETTERS_PER_INCH = 13, 18
_OPACITY = 0.68

_PART_TITLES = {
    "log_likelihood": "log-likelihood",
    "generated": "caption of its own",
    "reconstruction": "reconstruction",
    "noun_phrases": "noun phrases",
}
"""What the parts of an explanation that may be absent are called."""


def save_explanation(explanation: Explanation, path: str | Path) -> None:
    """Save an explanation as a figure, or as JSON; the suffix is the format. Raises ValueError for an unknown one."""
    path = Path(path)
    check_picture_name(path)
    if has_suffix(path, ".json"):
        write_text(path, explanation.to_json(with_pictures=True) + "\n")
        return
    figure = explanation_figure(explanation)
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, dpi=150, facecolor="white")


def check_picture_name(path: Path) -> None:
    """Raise ValueError for a file name without a supported suffix."""
    if not has_suffix(path, *PICTURE_SUFFIXES):
        raise ValueError(f"{path} must end in one of {', '.join(PICTURE_SUFFIXES)}")


def explanation_figure(explanation: Explanation) -> Figure:
    """Return a figure of an explanation.

    All maps of cosines share one scale, from the smallest to the largest value of the image's maps, with or without
    caption; a color bar shows it. Differences of cosines are colored on a scale of the same width.
    """
    sections, title, facts, notes = sections_of(explanation), *_header(explanation), _footer(explanation)
    fonts = fonts_for([title, facts, *notes, *(text for section in sections for text in _texts(section))])
    notes += [] if fonts.notice is None else [fonts.notice]
    header = lines_of(fonts.drawable(title), _TITLE_LETTERS, most_lines=_TITLE_LINES, end=" …”")
    about = lines_of(fonts.drawable(facts), _FACTS_LETTERS)
    footer = [line for note in notes for line in lines_of(fonts.drawable(note), _FOOTER_LETTERS)]
    title_inches = 0.37 + 0.25 * len(header)
    header_inches, footer_inches = title_inches + 0.17 * len(about) + 0.05, 0.4 + 0.16 * len(footer)
    height = header_inches + sum(map(_inches, sections)) + footer_inches
    with rc_context({"font.family": list(fonts.families)}):
        figure = Figure(figsize=(_WIDTH, height))
        FigureCanvasAgg(figure)
        page = _Page(figure, height, fonts)
        page.text(_MARGIN, 0.25, "\n".join(header), size=15)
        page.text(_MARGIN, title_inches, "\n".join(about), size=10, color="0.3")
        top = header_inches
        for section in sections:
            page.draw(section, top)
            top += _inches(section)
        page.text(_MARGIN, top + 0.2, "\n".join(footer), size=9, color="0.3")
    return figure


class _Page:
    """A figure on which everything is placed in inches from its top left corner."""

    def __init__(self, figure: Figure, height: float, fonts: TextFonts) -> None:
        self._figure, self._height, self._fonts = figure, height, fonts

    def text(self, left: float, top: float, text: str, *, size: int, color: str = "black") -> None:
        self._figure.text(
            left / _WIDTH, 1 - top / self._height, text, fontsize=size, color=color, va="top", parse_math=False
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        place = (left / _WIDTH, 1 - (top + height) / self._height, width / _WIDTH, height / self._height)
        return self._figure.add_axes(place)

    def draw(self, section: Section, top: float) -> None:
        heading = beginning(self._fonts.drawable(section.title), _HEADING_LETTERS, end="…”")
        self.text(_MARGIN, top + _HEADING_GAP, heading, size=11, color="0.1")
        first, side = top + _HEADING + _TITLE, _side(section)
        for index, panel in enumerate(section.panels):
            row, column = divmod(index, section.columns)
            left = _MARGIN + column * (side + _GAP)
            axes = self.axes(left, first + row * (_TITLE + side + _NOTE), side, side)
            _draw_panel(axes, panel, self._fonts, side)
        for index, scale in enumerate(section.scales):
            self._draw_bar(scale, first, side, index, len(section.scales))

    def _draw_bar(self, scale: Scale, top: float, side: float, index: int, number: int) -> None:
        height = (side - 0.25 * (number - 1)) / number
        axes = self.axes(_WIDTH - _MARGIN - _BARS + 0.1, top + index * (height + 0.25), 0.14, height)
        colors = ScalarMappable(Normalize(scale.low, scale.high), scale.colors)
        bar = self._figure.colorbar(colors, cax=axes, alpha=_OPACITY)
        bar.set_label(scale.label, fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))


def _draw_panel(axes: Axes, panel: Panel, fonts: TextFonts, side: float) -> None:
    height, width, _ = panel.picture.shape
    extent = (0, width, height, 0)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")
    title = beginning(fonts.drawable(panel.title), int(side * _TITLE_LETTERS_PER_INCH))
    axes.set_title(title, fontsize=10, pad=4, parse_math=False)
    note = "\n".join(
        beginning(line, int(side * _NOTE_LETTERS_PER_INCH), end="…”" if line.startswith("“") else "…")
        for line in fonts.drawable_lines(panel.note)
    )
    axes.text(0.5, -0.03, note, transform=axes.transAxes, ha="center", va="top", fontsize=8, color="0.35")
    if panel.scores is None or panel.scale is None:
        axes.imshow(panel.picture, interpolation="nearest", extent=extent)
        return
    # A pale gray version: the color of a map is its value, whatever the color of the image below.
    pale = 255 - 0.6 * (255 - panel.picture.mean(axis=2, keepdims=True).repeat(3, axis=2))
    axes.imshow(pale.astype(np.uint8), interpolation="nearest", extent=extent)
    axes.imshow(
        panel.scores,
        cmap=panel.scale.colors,
        vmin=panel.scale.low,
        vmax=panel.scale.high,
        alpha=_OPACITY,
        interpolation="nearest",
        extent=extent,
    )


def _inches(section: Section) -> float:
    num_rows = -(-len(section.panels) // section.columns)
    return _HEADING + num_rows * (_TITLE + _side(section) + _NOTE)


def _side(section: Section) -> float:
    """Return the side of the section's panels in inches."""
    return (_ROW + _GAP) / section.columns - _GAP


def _texts(section: Section) -> Sequence[str]:
    return [section.title, *(text for panel in section.panels for text in (panel.title, panel.note))]


def _header(explanation: Explanation) -> tuple[str, str]:
    """Return the caption, and a line about the pair."""
    facts = [f"cosine {two_decimals(explanation.cosine)}"]
    others = explanation.others
    if others is not None:
        best = int(others.cosines.argmax())
        facts.append(f"rank {explanation.rank} of {len(others.captions) + 1} captions")
        facts.append(f"best other: “{others.captions[best]}” {two_decimals(float(others.cosines[best]))}")
    if explanation.log_likelihood_per_token is not None:
        facts.append(f"log-likelihood {explanation.log_likelihood_per_token:.2f} nats per token, end included")
    return quoted(explanation.caption), " · ".join([*_cut_note(explanation), *facts])


def _cut_note(explanation: Explanation) -> list[str]:
    """Return where a caption was cut, if it was; not beside the caption, whose script may run from right to left."""
    if not explanation.is_truncated:
        return []
    words = [said for word in explanation.words if (said := word.strip("\N{REPLACEMENT CHARACTER}"))]
    return [f"cut after “{beginning(words[-1], _TITLE_LETTERS // 3)}”" if words else "cut"]


def _footer(explanation: Explanation) -> list[str]:
    """Return the other captions with their cosines, the best first, and why parts are not shown, each reason once."""
    notes, parts = [], dict[str, list[str]]()
    others = explanation.others
    if others is not None:
        ranked = sorted(zip(others.cosines.tolist(), others.captions, strict=True), key=lambda pair: -pair[0])
        listed = ", ".join(f"“{caption}” {two_decimals(cosine)}" for cosine, caption in ranked[:_LISTED_CAPTIONS])
        left_out = len(ranked) - _LISTED_CAPTIONS
        notes.append(f"Other captions by cosine: {listed}{f', and {left_out:,} more' if left_out > 0 else ''}.")
    for part, reason in explanation.absent.items():
        parts.setdefault(reason, []).append(_PART_TITLES[part])
    return [*notes, *(f"No {' and no '.join(names)}: {reason}." for reason, names in parts.items())]
