"""Results of a search as a page."""

import re
from dataclasses import replace
from pathlib import Path

from builders.image_indexes import thumbnail
from sycoca.reports.contact_sheet import render_contact_sheet, save_contact_sheet
from sycoca.search.hits import SearchHit, SearchResults

COLUMNS = {"key": "a<b>.jpg", "captions": ["a <dog>"], "label": None, "split": None, "width": 8, "height": 6}
HIT = SearchHit(file="photos/a<b>.jpg", cosine=0.25, columns=COLUMNS, thumbnail=thumbnail())
FOUND = SearchResults(query="a <b>dog", hits=(HIT,), is_exact=True, num_images=1234, num_matching=1234, seconds=0.1)


def text_of(page: str) -> str:
    body = page[page.index("<main>") : page.index("<footer>")]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_a_page_shows_every_hit_and_escapes_texts(tmp_path: Path):
    save_contact_sheet(FOUND, tmp_path / "new" / "sheet.html")
    page = (tmp_path / "new" / "sheet.html").read_text()
    assert "The 1 most similar of 1,234 images, by the cosine of embeddings." in text_of(page)
    assert "1. cosine 0.250 a &lt;dog&gt; a&lt;b&gt;.jpg" in text_of(page)
    assert "a &lt;b&gt;dog" in page
    assert "<b>" not in page
    assert page.count('src="data:image/jpeg;base64,') == 1
    assert not re.search(r"(src|href)=\"http", page)


def test_a_page_says_what_it_is_of():
    among = replace(FOUND, where="width > 3", num_matching=5, is_exact=False)
    assert "The 1 most similar of 5 images that fulfill width &gt; 3 , of 1,234 in all" in text_of(
        render_contact_sheet(among)
    )
    assert "the search is approximate" in text_of(render_contact_sheet(among))
    none = replace(among, hits=(), num_matching=0)
    assert "None of 1,234 images fulfills width &gt; 3 ." in text_of(render_contact_sheet(none))
    empty = replace(FOUND, hits=(), num_images=0, num_matching=0)
    assert "The index has no images." in text_of(render_contact_sheet(empty))
