import warnings

import pytest
from matplotlib import ft2font

from builders.predictors import photo, small_predictor
from sycoca.reports.explain import fonts
from sycoca.reports.explain.fonts import DEFAULT_FAMILY, beginning, fonts_for, lines_of
from sycoca.reports.explain.picture import save_explanation

UNASSIGNED = "\N{CUNEIFORM SIGN A}"
"""A letter that is not in the fonts of people's machines."""


def only_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed_fonts", tuple)


def test_the_default_font_has_common_scripts(monkeypatch: pytest.MonkeyPatch):
    only_the_default(monkeypatch)
    found = fonts_for(["a dog", "ein Wolf heißt “žluť”", "собака", "σκύλος"])
    assert (found.families, found.missing, found.notice) == ((DEFAULT_FAMILY,), frozenset(), None)
    assert found.drawable("a \t dog\n") == "a dog"


def test_fonts_that_draw_boxes_do_not_count():
    assert not [family for family, _ in fonts._installed_fonts() if family.startswith("Last Resort")]


def test_other_installed_fonts_are_tried(monkeypatch: pytest.MonkeyPatch):
    only_the_default(monkeypatch)
    assert fonts_for(["犬"]).missing == {"犬"}
    monkeypatch.setattr(fonts, "_installed_fonts", lambda: (("Useless", "u.ttf"), ("Noto Sans CJK", "n.ttf")))
    known = {"u.ttf": frozenset("xy"), "n.ttf": frozenset("犬猫")}
    own = fonts._characters
    monkeypatch.setattr(fonts, "_characters", lambda path: known[path] if path in known else own(path))
    found = fonts_for(["a 犬"])
    assert (found.families, found.missing) == ((DEFAULT_FAMILY, "Noto Sans CJK"), frozenset())


def test_what_no_font_has_is_said(monkeypatch: pytest.MonkeyPatch):
    only_the_default(monkeypatch)
    found = fonts_for([f"a 犬と猫, {UNASSIGNED}"])
    assert found.drawable(f"a 犬と猫, {UNASSIGNED}") == "a […], […]"
    assert found.notice is not None
    assert found.notice.startswith("[…] stands for 4 characters (CJK, Cuneiform, Hiragana) that no installed font has;")


def test_cut_characters_are_an_ellipsis():
    text = "犬\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} b"
    assert fonts_for(["b"]).drawable(text) == "犬… b"


def test_beginnings_and_lines_fit_with_wide_letters_counted_twice():
    assert beginning("a red circle", 12) == "a red circle"
    assert beginning("a red circle", 7) == "a red…"
    assert beginning("supercalifragilistic", 10) == "supercali…"
    assert beginning("“two words”", 8, end="…”") == "“two w…”"
    assert beginning("犬犬犬犬", 8) == "犬犬犬犬"
    assert beginning("犬犬犬犬", 7) == "犬犬犬…"
    assert lines_of("one two-three four", 11) == ["one", "two-three", "four"]
    assert lines_of("one two three", 7, most_lines=1) == ["one …"]
    assert lines_of("犬" * 8, 8) == ["犬" * 4] * 2
    assert lines_of("", 8) == []


def test_scripts_that_need_layout_are_not_drawn_wrongly(monkeypatch: pytest.MonkeyPatch):
    only_the_default(monkeypatch)
    monkeypatch.delattr(ft2font, "__libraqm_version__", raising=False)
    assert fonts_for(["شلوم", "abc"]).missing == set("شلوم")
    assert fonts_for(["कुत्ता"]).missing


@pytest.mark.parametrize(
    "caption", ["a 犬 dog", f"{UNASSIGNED * 3}", "\N{DOG FACE} \x07 \N{ZERO WIDTH JOINER} x", "كلب"]
)
def test_a_picture_in_any_script_has_no_boxes_and_no_warnings(caption: str, tmp_path):
    explanation = small_predictor().explain(photo(), caption, generates=False, reconstructs=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of glyphs that it draws as boxes
        save_explanation(explanation, tmp_path / "explained.png")
