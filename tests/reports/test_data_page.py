import json
import re
from dataclasses import replace
from importlib import resources

from PIL import Image

from builders.predictors import ListSource, open_photo
from sycoca.data.inspection.check import DataCheck, check_set, duplicates_among
from sycoca.data.inspection.finding_cache import FindingCache
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.inspection.photo_checks import PhotoIssue, PhotoThresholds
from sycoca.data.samples import ImageTextSample
from sycoca.evaluation.fit_records import DataFit, DataMap, MapPoint, MapQuality, PairFit, SetFit
from sycoca.reports.data_check.page import render_data_page, save_data_page
from sycoca.unusable import unusable


def open_first(smallest_side: int | None = None) -> Image.Image:
    return open_photo(0, smallest_side)


def open_broken(_smallest_side: int | None = None) -> Image.Image:
    raise unusable("<b>.png", "broken image", "<b>.png cannot be read as an image: cut short")


def page() -> tuple[DataCheck, list[ListSource]]:
    sources = [
        ListSource(
            name=name,
            samples=(
                ImageTextSample(key=f"{name}-0", captions=("a <script>", "a <script>"), open_image=open_first),
                ImageTextSample(key=f"{name}-1", captions=(), open_image=open_broken, label="cat"),
            ),
        )
        for name in ("train", "test")
    ]
    findings = [list(inspect_images(source, FindingCache(None), range(2))) for source in sources]
    check = DataCheck(
        sets=tuple(check_set(s, "spec", f, len, 5) for s, f in zip(sources, findings, strict=True)),
        duplicates=duplicates_among(sources, [range(2)] * 2, findings),
        context_length=5,
    )
    return check, sources


def test_shows_headlines_problems_and_duplicates_and_is_self_contained():
    html = render_data_page(*page())
    for piece in (
        "train and test share 1 photo",
        "train has 1 unusable item: 1 broken image",
        "identical, in several parts",
        "cannot be read as an image: cut short",
        "Captions repeated for the same image",
        "Captions cut at 5 tokens",
        "prefers-color-scheme: dark",
        "cannot be read</div>",
    ):
        assert piece in html, piece
    # One picture per set on its sheet and in the group.
    assert html.count("data:image/jpeg;base64,") == 4
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "http" not in html


def test_the_worst_photos_of_each_kind_are_shown_with_what_was_measured():
    check, sources = page()
    sources[0] = replace(sources[0], samples=(sources[0].samples[0],) * 30)
    issues = tuple(
        PhotoIssue(kind="blurred", index=index, key=f"photo {index}", shown="", value=0.01 * index)
        for index in range(15)
    )
    first = replace(check.sets[0], photos=issues, photo_medians={"blurred": 1.25})
    html = render_data_page(
        replace(check, sets=(first, check.sets[1]), thresholds=PhotoThresholds(blurred=0.7)), sources
    )
    assert "Sharpness: below\n0.7, median of the set 1.25; 15 photos, the 12 worst here." in html
    assert re.findall(r"<b>(0\.\d+|0)</b>", html) == [f"{0.01 * index:.3g}" for index in range(12)]
    assert 'odd">blurred<' in html
    assert html.count('mark odd">') == 1


def test_what_a_model_says_is_shown_with_baselines_and_one_pair_per_image():
    check, sources = page()
    pair = PairFit(
        index=0,
        caption="a <script>",
        cosine=0.1,
        rank=3,
        num_others=8,
        mean_other_cosine=0.125,
        other_index=1,
        other_cosine=0.5,
        num_fitting_other=7,
    )
    fit = SetFit(
        num_images=2,
        num_captions=4,
        mean_cosine=0.4,
        mean_other_cosine=0.25,
        chance=0.5,
        num_fitting_another=3,
        least=(pair, pair),
        fitting_another=(pair, replace(pair, caption="another")),
    )
    point = MapPoint(
        x=0.25,
        y=0.5,
        set_number=0,
        index=0,
        name="</script>",
        part="train",
        caption="<i>",
        picture="data:image/jpeg;base64,AA",
    )
    points = (replace(point, index=2), point, replace(point, index=1), replace(point, set_number=1))
    quality = MapQuality(num_neighbors=5, kept_neighbors=0.5, chance=0.125)
    shown_map = DataMap(points=points, quality=quality, num_images=9)
    html = render_data_page(check, sources, DataFit(weights="runs/x", sets=(fit, None), map=shown_map))
    for piece in (
        "train: 3 of 4 captions (75.0%, chance 50.0%) fit another image as well or better",
        "0.250 for other images",
        "rank 3 of 9",
        "with other images 0.125",
        "best for 7 captions of other images",
        "4 of 9",
        "1 among the pairs that fit least</button>",
        "1 with a caption that fits another image as well or better</button>",
        "50 % are among its nearest here",
        "12.5 % by chance",
    ):
        assert piece in html, piece
    alone = DataFit(weights="runs/x", sets=(replace(fit, mean_other_cosine=None), None), map=None)
    html_alone = render_data_page(check, sources, alone)
    assert "0.400 on average for an image and its caption. 3" in html_alone
    assert "mean cosine of pairs 0.400<" in html_alone
    assert html.count("<b>0.500</b>") == 1
    shown = json.loads(re.findall(r'id="map-points">(.*?)</script>', html)[0])
    assert [[mark["misfit"] for mark in one["marks"]] for one in shown] == [[], ["least", "another"], [], []]
    assert [mark["other"] for mark in shown[1]["marks"]] == [None, 2]
    assert html.count("</script>") == html.count("<script")
    assert "http:" + "//" not in html


def test_texts_are_escaped():
    html = render_data_page(*page())
    assert "a <script>" not in html
    assert "a &lt;script&gt;" in html
    assert "<b>.png" not in html


def test_is_written_into_a_folder_that_may_be_new(tmp_path):
    save_data_page(*page(), tmp_path / "new" / "check.html")
    assert (tmp_path / "new" / "check.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_has_the_style_of_all_pages():
    html = render_data_page(*page())
    assert html.count("<style>") == 1
    assert resources.files("sycoca.reports").joinpath("templates", "style.css").read_text(encoding="utf-8") in html
