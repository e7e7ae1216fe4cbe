"""What `index_images` writes, and how it follows its data."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sycoca
from builders.image_indexes import counts
from builders.predictors import photo, save_small_weights
from sycoca.inference.predictor import Predictor
from sycoca.outputs.errors import OutputError, OutputInterrupted
from sycoca.search import index_table
from sycoca.search.build import IndexResult, index_images
from sycoca.search.index_table import IndexTable
from sycoca.search.reading import THUMBNAIL_PIXELS

Index = Callable[..., IndexResult]


def rows() -> dict[str, dict[str, Any]]:
    table = IndexTable.open("photos.lance")
    assert table is not None
    names = ("key", "file", "captions", "label", "split", "width", "height", "thumbnail", "embedding")
    found = table.columns(names).to_pylist()
    assert len({row["key"] for row in found}) == len(found)
    return {row["key"]: row for row in found}


def check_embeddings(predictor: Predictor, folder: Path) -> None:
    """Check that there is a row for every photo, with its own embedding."""
    known = rows()
    assert sorted(known) == sorted(path.name for path in folder.iterdir())
    for name, row in known.items():
        np.testing.assert_allclose(row["embedding"], predictor.embed_images([folder / name])[0], atol=1e-6)


def interrupt_at_batch(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once, in place of embedding the images of this batch, counted from 1."""
    embed_images = Predictor.embed_images
    batches: list[int] = []

    def stopped(self: Predictor, images: Any, **options: Any) -> Any:
        batches.append(len(images))
        if len(batches) == number:
            raise KeyboardInterrupt
        return embed_images(self, images, **options)

    monkeypatch.setattr(Predictor, "embed_images", stopped)


def test_rows_have_embeddings_thumbnails_and_columns(predictor: Predictor, photos: Path, index: Index):
    assert counts(index()) == (6, 6, 0, 0)
    check_embeddings(predictor, photos)
    row = rows()["it's 1.png"]
    assert (row["file"], row["captions"], row["width"], row["height"]) == ("photos/it's 1.png", [], 320, 36)
    assert Image.open(io.BytesIO(row["thumbnail"])).size == (THUMBNAIL_PIXELS, 29)
    assert Image.open(io.BytesIO(rows()["it's 0.png"]["thumbnail"])).size == (40, 36)
    found = sycoca.open_index("photos.lance", weights=predictor).search(photos / "it's 3.png", count=1)
    assert found.hits[0].file == "photos/it's 3.png"
    assert found.hits[0].cosine == pytest.approx(1, abs=1e-5)


def test_an_index_follows_its_folder(predictor: Predictor, photos: Path, index: Index):
    index()
    assert counts(index()) == (6, 0, 0, 0)
    photo(50, 40, seed=7).save(photos / "it's 0.png")  # changed
    (photos / "it's 1.png").rename(photos / "renamed.png")
    (photos / "it's 2.png").unlink()
    photo(50, 40, seed=8).save(photos / "new.png")
    os.utime(photos / "it's 3.png", (1, 1))  # touched
    one, other, aside = photos / "it's 4.png", photos / "it's 5.png", photos / "aside"
    one.rename(aside)  # exchanged
    other.rename(one)
    aside.rename(other)
    assert counts(index()) == (6, 2, 4, 2)
    check_embeddings(predictor, photos)
    assert rows()["it's 0.png"]["width"] == 50
    assert rows()["renamed.png"]["file"] == "photos/renamed.png"
    assert counts(index()) == (6, 0, 0, 0)


def test_a_folder_may_move(predictor: Predictor, photos: Path, index: Index):
    index()
    photos.rename("pictures")
    assert counts(index("pictures")) == (6, 0, 6, 0)
    assert rows()["it's 0.png"]["file"] == "pictures/it's 0.png"
    assert sycoca.open_index("photos.lance").facts.place == os.path.abspath("pictures")
    check_embeddings(predictor, Path("pictures"))


def test_captions_and_labels_change_without_the_model(photos: Path, index: Index):
    def write(*captions: str) -> None:
        lines = [
            {"image": path.name, "captions": [caption], "label": "a dog", "split": "train"}
            for path, caption in zip(sorted(photos.iterdir()), captions, strict=False)
        ]
        Path("set.jsonl").write_text("\n".join(map(json.dumps, lines)))

    write("one", "two", "three")
    assert counts(index("set.jsonl?images=photos")) == (3, 3, 0, 0)
    write("one", "zwei")
    assert counts(index("set.jsonl?images=photos")) == (2, 0, 1, 1)
    assert rows()["it's 1.png"]["captions"] == ["zwei"]
    assert (rows()["it's 1.png"]["label"], rows()["it's 1.png"]["split"]) == ("a dog", "train")


def test_images_without_files_are_known_by_their_content(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert counts(index("scenes:?count=5&size=32")) == (5, 5, 0, 0)
    assert counts(index("scenes:?count=5&size=32")) == (5, 0, 0, 0)
    with pytest.raises(ValueError, match=r"is the index of scenes:\?count=5&size=32, whose images would be removed"):
        index("scenes:?count=5&size=48")
    assert counts(index("scenes:?count=3&size=48", overwrite=True)) == (3, 3, 0, 0)
    row = next(iter(rows().values()))
    assert (row["width"], row["height"]) == (48, 48)
    assert len(row["captions"]) > 1


def test_shards_are_indexed(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sycoca.data.writing.shard_layout import ShardLayout
    from sycoca.data.writing.write_shards import write_shards

    monkeypatch.chdir(tmp_path)
    write_shards("scenes:?count=6&size=32", Path("shards"), ShardLayout(samples_per_shard=4), num_workers=1)
    assert counts(index("shards:shards")) == (6, 6, 0, 0)
    assert counts(index("shards:shards")) == (6, 0, 0, 0)


def test_unreadable_images_are_an_error_or_counted_and_what_is_done_is_kept(photos: Path, index: Index):
    (photos / "it's 5.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"it's 5.png cannot be read as an image.*max_skipped_ratio 0 allows"):
        index()
    assert len(rows()) == 4
    result = index(max_skipped_ratio=0.2)
    assert counts(result) == (5, 1, 0, 0)
    assert result.skipped == {"not an image": 1}
    (photos / "it's 4.png").write_bytes(b"no longer")
    assert counts(index(max_skipped_ratio=0.4)) == (4, 0, 0, 1)


def test_turned_photos_have_upright_sizes(predictor: Predictor, photos: Path, index: Index):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(900, 600).save(photos / "turned.jpg", exif=exif)
    photo(90, 60).save(photos / "broken.png", exif=b"no metadata")
    index()
    row, broken = rows()["turned.jpg"], rows()["broken.png"]
    assert (row["width"], row["height"]) == (600, 900)
    assert (broken["width"], broken["height"]) == (90, 60)
    width, height = Image.open(io.BytesIO(row["thumbnail"])).size
    assert width < height
    check_embeddings(predictor, photos)


def test_small_jpegs_are_their_own_thumbnails_unless_they_hold_more_than_pixels(photos: Path, index: Index):
    exif = Image.Exif()
    exif[0x010F] = "maker of the camera"
    photo(200, 256).save(photos / "plain.jpg")
    photo(200, 256).save(photos / "tagged.jpg", exif=exif)
    photo(200, 256).save(photos / "remark.jpg", comment="taken at home")
    photo(200, 257).save(photos / "large.jpg")
    index()
    thumbnails = {name: row["thumbnail"] for name, row in rows().items()}
    assert thumbnails["plain.jpg"] == (photos / "plain.jpg").read_bytes()
    assert b"camera" not in thumbnails["tagged.jpg"]
    assert b"at home" not in thumbnails["remark.jpg"]
    assert max(Image.open(io.BytesIO(thumbnails["large.jpg"])).size) <= THUMBNAIL_PIXELS


def test_what_is_embedded_is_kept_when_the_work_is_stopped(
    predictor: Predictor, photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
):
    interrupt_at_batch(3, monkeypatch)
    with pytest.raises(
        OutputInterrupted, match=r"photos.lance has 4 images, the data 6; the same command, .*, continues"
    ):
        index()
    assert len(rows()) == 4
    assert counts(index()) == (6, 2, 0, 0)
    check_embeddings(predictor, photos)


@pytest.mark.usefixtures("photos")
def test_an_index_that_was_killed_while_it_was_created_is_created(index: Index):
    Path("photos.lance/images.lance/_versions").mkdir(parents=True)
    assert counts(index()) == (6, 6, 0, 0)


@pytest.mark.usefixtures("photos")
def test_indexes_of_others_are_refused(index: Index, tmp_path: Path):
    index()
    other = sycoca.load(save_small_weights(tmp_path / "other"), device="cpu")
    other.model.image_encoder.patch_embedding.weight.data += 1e-3
    with pytest.raises(ValueError, match=r"photos.lance was made by other weights \(a loaded model\)"):
        index_images(other, "photos", "photos.lance")
    Path("others").mkdir()
    photo().save("others/a.png")
    with pytest.raises(ValueError, match=r"is the index of .*/photos, whose images would be removed"):
        index("others")
    assert len(rows()) == 6
    result = index_images(other, "others", "photos.lance", overwrite=True)
    assert counts(result) == (1, 1, 0, 0)


@pytest.mark.usefixtures("photos")
def test_outputs_that_cannot_be_an_index_are_refused(predictor: Predictor):
    with pytest.raises(OutputError, match=r"photos is there already and is not a sycoca index \(it's 0.png is in it"):
        index_images(predictor, "photos", "photos")
    Path("full").mkdir()
    Path("full/note.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"full is there already and is not a sycoca index \(note.txt"):
        index_images(predictor, "photos", "full")
    with pytest.raises(OutputError, match="s3://bucket/a is an address; index into a folder on the disk and copy it"):
        index_images(predictor, "photos", "s3://bucket/a")


def test_large_indexes_are_clustered_and_their_recall_is_measured(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: Predictor
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sycoca.search.clusters.NUM_QUERIES", 10)
    result = index("scenes:?count=300&size=32", exact_below=300)
    assert result.recall is not None
    assert result.recall.num_clusters == 17
    assert result.recall.text_kind == "captions"
    assert 0.9 <= result.recall.image_recall <= 1
    assert 1 <= result.recall.num_probes <= 17
    opened = sycoca.open_index("photos.lance", weights=predictor)
    approximate, exact = opened.search("a red circle"), opened.search("a red circle", is_exact=True)
    assert (approximate.is_exact, exact.is_exact) == (False, True)
    assert len({hit.file for hit in approximate} & {hit.file for hit in exact}) >= 9
    assert opened.search("a red circle", where="label = 'red circle'").is_exact  # few match
    again = index("scenes:?count=300&size=32", exact_below=300)
    assert (again.recall, counts(again)) == (result.recall, (300, 0, 0, 0))
    assert index("scenes:?count=300&size=32", exact_below=301).recall is None
    assert sycoca.open_index("photos.lance", weights=predictor).search("a red circle").is_exact


def test_searches_find_the_old_index_until_the_new_one_is_complete(
    predictor: Predictor, photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
):
    index()
    opened = sycoca.open_index("photos.lance", weights=predictor)
    Path("others").mkdir()
    photo(50, 40, seed=9).save("others/a.png")
    photo(50, 40, seed=10).save("others/b.png")
    found: list[set[str]] = []

    def searched(owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found.append({hit.file for hit in opened.search_embedding(np.ones(opened.facts.embed_dim))})
            result = method(*arguments, **options)
            found.append({hit.file for hit in opened.search_embedding(np.ones(opened.facts.embed_dim))})
            return result

        monkeypatch.setattr(owner, name, call)

    searched(IndexTable, "add")
    searched(IndexTable, "write_facts")
    searched(index_table, "_write")
    searched(IndexTable, "optimize")
    assert counts(index("others", overwrite=True)) == (2, 2, 0, 0)
    old, new = {f"photos/{path.name}" for path in photos.iterdir()}, {"others/a.png", "others/b.png"}
    assert [found.index(new), len(found) - found.index(new)] == [found.count(old), found.count(new)]
    assert found.count(old) > 2
    assert not list(Path("photos.lance").glob(".*"))
    check_embeddings(predictor, Path("others"))


def test_an_interrupted_replacement_leaves_the_index_and_is_continued(
    predictor: Predictor, photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
):
    index()
    (photos / "it's 0.png").unlink()
    interrupt_at_batch(2, monkeypatch)
    message = "photos.lance is as it was; its replacement has 2 of 5 images, and the same command continues"
    with pytest.raises(OutputInterrupted, match=message):
        index(overwrite=True)
    assert len(rows()) == 6
    assert counts(index(overwrite=True)) == (5, 3, 0, 0)
    check_embeddings(predictor, photos)
    assert counts(index(overwrite=True)) == (5, 5, 0, 0)


@pytest.mark.usefixtures("photos")
def test_a_damaged_index_is_replaced(index: Index):
    index()
    for path in Path("photos.lance/facts.lance/_versions").iterdir():
        path.write_bytes(b"damaged")
    assert counts(index(overwrite=True)) == (6, 6, 0, 0)
    assert len(rows()) == 6
