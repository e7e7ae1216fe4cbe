"""Searches in an index, against the definition of the cosine."""

import io
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sycoca
from builders.image_indexes import directions, facts, rows, thumbnail, write_index
from builders.predictors import save_small_weights, small_predictor
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.search.clusters import chosen_probes, cluster
from sycoca.search.conditions import composed
from sycoca.search.fingerprint import fingerprints, is_same_model
from sycoca.search.image_index import ImageIndex
from sycoca.search.index_table import IndexTable


@pytest.fixture
def embeddings() -> np.ndarray:
    return directions(40, 10)


def test_hits_are_the_largest_cosines_in_order(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings)
    index = sycoca.open_index(tmp_path / "photos.lance")
    query = directions(1, 10, seed=1)[0]
    found = index.search_embedding(3 * query, count=5)
    cosines = embeddings @ query
    best = np.argsort(-cosines)[:5]
    assert [hit.file for hit in found.hits] == [f"photos/image-{number}.jpg" for number in best]
    np.testing.assert_allclose([hit.cosine for hit in found], cosines[best], atol=1e-6)
    assert found.is_exact
    assert (found.num_images, found.num_matching) == (40, 40)
    assert found.hits[0].columns == {
        "key": f"image-{best[0]}",
        "captions": [f"caption {best[0]}"],
        "label": None,
        "split": None,
        "width": 100 + best[0],
        "height": 50,
    }
    assert Image.open(io.BytesIO(found.hits[0].thumbnail)).size == (8, 6)
    assert found.hits[0].thumbnail_uri().startswith("data:image/jpeg;base64,/9j/")
    same = index.search_embedding(torch.from_numpy(query), count=5)
    assert [hit.file for hit in same] == [hit.file for hit in found]


def test_a_condition_is_applied_before_the_search(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings, label=["dog", "it's"] * 20)
    index = sycoca.open_index(tmp_path / "photos.lance")
    found = index.search_embedding(embeddings[0], count=30, where="label = 'it''s' AND width >= 120")
    assert {hit.columns["label"] for hit in found} == {"it's"}
    assert len(found) == found.num_matching == 10
    assert found.num_images == 40
    assert len(index.search_embedding(embeddings[0], where="label = 'cat'")) == 0


def test_conditions_on_labels_and_splits_have_any_form_of_unicode():
    label, caption = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}"
    where = f"LABEL IN ('{caption}', 'it''s {caption}') AND array_has(captions, '{caption}') AND 2 < width AND file <> "
    expected = f"LABEL IN ('{label}', 'it''s {label}') AND array_has(captions, '{caption}') AND 2 < width AND file <> "
    assert composed(f"{where}'{caption}' OR split='{caption}'") == f"{expected}'{caption}' OR split='{label}'"
    assert composed(f"'{caption}' = label") == f"'{label}' = label"
    assert composed(f"'{caption}' = key") == f"'{caption}' = key"


def test_a_decomposed_condition_finds_a_label(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings, label=["caf\N{LATIN SMALL LETTER E WITH ACUTE}"] + [None] * 39)
    index = sycoca.open_index(tmp_path / "photos.lance")
    found = index.search_embedding(embeddings[0], where="label = 'cafe\N{COMBINING ACUTE ACCENT}'")
    assert len(found) == found.num_matching == 1


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nope = 3", "the condition 'nope = 3' cannot be read: .*No field named nope.* key, captions, label"),
        ("width =", "cannot be read: .*parser error"),
        ("width > 99999999999999999999", r"cannot be read: [^/]*Int32'\. It is SQL"),
        ("(" * 5000, "cannot be read"),
        ("key = ?", "cannot be read: it has '\\?' outside of quotes"),
        ("key = :name", "cannot be read: it has ':' outside of quotes"),
        ("width > 3; label = 'dog'", "cannot be read: it has ';' outside of quotes"),
    ],
)
def test_a_wrong_condition_is_one_line(tmp_path: Path, embeddings: np.ndarray, where: str, message: str):
    write_index(tmp_path / "photos.lance", embeddings)
    with pytest.raises(ValueError, match=message) as raised:
        sycoca.open_index(tmp_path / "photos.lance").search_embedding(embeddings[0], where=where)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1200


def test_quoted_texts_and_casts_are_no_parameters(tmp_path: Path, embeddings: np.ndarray):
    label = "a dog; :why? it's 5:30"
    write_index(tmp_path / "photos.lance", embeddings, label=[label] + [None] * 39)
    index = sycoca.open_index(tmp_path / "photos.lance")
    where = "label = 'a dog; :why? it''s 5:30' AND width::double = 100.0"
    assert [hit.columns["label"] for hit in index.search_embedding(embeddings[0], where=where)] == [label]


def test_the_median_cosine_of_the_index_is_the_baseline_of_hits(tmp_path: Path):
    many = directions(600, 10)
    table = write_index(tmp_path / "photos.lance", many)
    index, query = sycoca.open_index(tmp_path / "photos.lance"), directions(1, 10, seed=1)[0]
    found = index.search_embedding(3 * query, where="width < 110")
    assert found.median_cosine == pytest.approx(float(np.median(many @ query)), abs=0.03)
    assert json.loads(found.to_json())["median_cosine"] == pytest.approx(found.median_cosine, abs=1e-6)
    assert found.baseline == f"; median cosine of the index {found.median_cosine:.3f}"
    table.replace(rows(np.repeat(many[:1], 600, axis=0)))
    assert index.search_embedding(many[0]).median_cosine == pytest.approx(1, abs=1e-6)
    table.delete([f"image-{number}" for number in range(600)])
    empty = index.search_embedding(query)
    assert (empty.median_cosine, empty.baseline) == (None, "")


def test_queries_that_mean_nothing_are_refused(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings)
    index = sycoca.open_index(tmp_path / "photos.lance")
    with pytest.raises(ValueError, match="has embeddings of 10 numbers, got shape"):
        index.search_embedding(np.ones(9, np.float32))
    for bad in (np.zeros(10), np.full(10, np.nan)):
        with pytest.raises(ValueError, match="has no direction"):
            index.search_embedding(bad)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        index.search_embedding(embeddings[0], count=0)
    with pytest.raises(ValueError, match="the query is empty"):
        index.search(" ")


def test_equal_cosines_are_in_the_order_of_names(tmp_path: Path):
    write_index(tmp_path / "photos.lance", np.repeat(directions(1, 10), 4, axis=0), file=["d", "b", "c", "a"])
    found = sycoca.open_index(tmp_path / "photos.lance").search_embedding(directions(1, 10)[0])
    assert [hit.file for hit in found] == ["a", "b", "c", "d"]


def test_an_open_index_follows_the_program_that_changes_it(tmp_path: Path, embeddings: np.ndarray):
    table = write_index(tmp_path / "photos.lance", embeddings)
    index = sycoca.open_index(tmp_path / "photos.lance")
    assert len(index) == 40
    new = directions(1, 10, seed=5)
    table.add(rows(new, first=40))
    table.delete(["image-0"])
    table.optimize()
    assert len(index) == 40
    assert index.search_embedding(new[0], count=1).hits[0].columns["key"] == "image-40"


def test_an_open_index_follows_the_measurement_of_its_approximate_search(tmp_path: Path):
    table = write_index(tmp_path / "photos.lance", directions(300, 10))
    index, query = sycoca.open_index(tmp_path / "photos.lance"), directions(1, 10, seed=1)[0]
    assert index.search_embedding(query).is_exact
    recall = replace(chosen_probes(table, directions(4, 10), directions(4, 10), "texts", cluster(table)), num_probes=1)
    table.write_facts(replace(table.facts, exact_below=300, recall=recall))
    assert not index.search_embedding(query).is_exact
    assert index.search_embedding(query, where="width < 399").is_exact  # 299 match
    table.write_facts(replace(table.facts, recall=replace(recall, num_probes=recall.num_clusters)))
    assert index.search_embedding(query).is_exact  # looking into all clusters saves nothing


def test_an_open_index_follows_one_that_replaces_it(tmp_path: Path):
    """Its tables are other ones, whose versions have the same numbers."""
    path, query = tmp_path / "photos.lance", directions(1, 10, seed=1)[0]
    old = write_index(path, directions(300, 10))
    recall = replace(chosen_probes(old, directions(4, 10), directions(4, 10), "texts", cluster(old)), num_probes=1)
    old.write_facts(replace(old.facts, exact_below=10, recall=recall))
    index = sycoca.open_index(path)
    before = index.search_embedding(query)
    assert not before.is_exact
    shutil.rmtree(path)  # as --overwrite does
    new = write_index(path, directions(300, 10, seed=2))
    cluster(new)
    new.write_facts(new.facts)
    after = index.search_embedding(query)
    assert after.is_exact
    assert after.median_cosine != before.median_cosine


@pytest.mark.parametrize("method", ["count", "nearest", "spread"])
def test_a_search_goes_on_while_the_files_are_tidied(
    tmp_path: Path, embeddings: np.ndarray, monkeypatch: pytest.MonkeyPatch, method: str
):
    table = write_index(tmp_path / "photos.lance", embeddings)
    index, of_table = sycoca.open_index(tmp_path / "photos.lance"), getattr(IndexTable, method)
    left = [1, 1]

    def tidied(self: IndexTable, *arguments: Any, **options: Any) -> Any:
        if left:
            left.pop()
            table.replace(rows(embeddings))
            table.optimize()
        return of_table(self, *arguments, **options)

    monkeypatch.setattr(IndexTable, method, tidied)
    assert index.search_embedding(embeddings[3], where="width > 0").hits[0].columns["key"] == "image-3"


def test_an_image_of_the_index_is_no_hit_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    embeddings = directions(40, 10)
    table = write_index(tmp_path / "photos.lance", embeddings)
    nearest = IndexTable.nearest

    def finding_itself(self: IndexTable, query: np.ndarray, count: int, names: Any, **options: Any) -> Any:
        return nearest(self, query, 1 if options["num_probes"] is not None else count, names)

    monkeypatch.setattr(IndexTable, "nearest", finding_itself)
    keys = [f"image-{number}" for number in range(4)]
    recall = chosen_probes(table, embeddings[:4], embeddings[:4], "texts", 3, keys=keys)
    assert (recall.image_recall, recall.text_recall) == (0, pytest.approx(0.1))
    assert (recall.num_probes, recall.chance) == (3, 1)


def test_an_index_that_is_replaced_by_one_of_other_weights_is_not_searched(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings)
    index = sycoca.open_index(tmp_path / "photos.lance")
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10, {"float32": "other"})).add(rows(embeddings))
    with pytest.raises(ValueError, match="was replaced by an index of other weights; open it again"):
        index.search_embedding(embeddings[0])


def test_an_index_without_images_finds_none(tmp_path: Path):
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10))
    assert sycoca.open_index(tmp_path / "photos.lance").search_embedding(directions(1, 10)[0]).hits == ()


def test_texts_and_images_are_embedded_by_the_weights_that_made_it(tmp_path: Path):
    weights = save_small_weights(tmp_path / "weights")
    predictor = sycoca.load(weights, device="cpu")
    pictures = [Image.effect_noise((40, 40), sigma).convert("RGB") for sigma in (5, 50, 150)]
    embeddings = predictor.embed_images(pictures).numpy()
    table = IndexTable.create(
        str(tmp_path / "photos.lance"), facts(embeddings.shape[1], fingerprints(predictor), str(weights))
    )
    table.add(rows(embeddings))
    index = sycoca.open_index(tmp_path / "photos.lance", device="cpu")
    assert index.search(pictures[1], count=1).hits[0].cosine == pytest.approx(1, abs=1e-5)
    assert index.search(pictures[1], count=1).hits[0].columns["key"] == "image-1"
    pictures[2].save(tmp_path / "query.png")
    by_path = index.search(tmp_path / "query.png", count=1)
    assert by_path.hits[0].columns["key"] == "image-2"
    assert by_path.query.endswith("query.png")
    text = predictor.embed_texts(["a red square"])[0].numpy()
    np.testing.assert_allclose(
        [hit.cosine for hit in index.search("a red square")], sorted(embeddings @ text, reverse=True), atol=1e-5
    )


def test_other_weights_are_refused_and_other_precisions_are_not(tmp_path: Path):
    weights = save_small_weights(tmp_path / "weights")
    predictor = sycoca.load(weights, device="cpu")
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10, fingerprints(predictor), str(weights)))
    index = sycoca.open_index(tmp_path / "photos.lance", weights=small_predictor())
    for dtype in ("float32", "bfloat16", "float16"):
        index.check_weights(sycoca.load(weights, device="cpu", dtype=dtype))
    with pytest.raises(ValueError, match="weights in int8 count as other ones"):
        index.check_weights(sycoca.load(weights, device="cpu", dtype="int8"))
    with pytest.raises(ValueError, match=r"was made by other weights \(.*weights\).*; give those"):
        index.search("a red square")
    with torch.no_grad():
        predictor.model.text_decoder.vocabulary.weight.mul_(2)  # pyright: ignore[reportOptionalMemberAccess]
    index.check_weights(predictor)  # no embedding depends on it
    with torch.no_grad():
        predictor.model.text_encoder.positions[0].add_(1e-3)
    with pytest.raises(ValueError, match="was made by other weights"):
        index.check_weights(predictor)


def test_an_index_of_a_lower_precision_knows_its_weights(tmp_path: Path):
    weights = save_small_weights(tmp_path / "weights")
    low, high = (sycoca.load(weights, device="cpu", dtype=dtype) for dtype in ("bfloat16", "float32"))
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10, fingerprints(low), str(weights)))
    sycoca.open_index(tmp_path / "photos.lance").check_weights(high)
    with pytest.raises(ValueError, match="was made by other weights"):
        sycoca.open_index(tmp_path / "photos.lance").check_weights(small_predictor())


@pytest.mark.parametrize("encoder", ["image_encoder", "text_encoder"])
def test_the_same_tensors_with_another_activation_are_other_weights(encoder: str):
    predictor = small_predictor()
    settings = replace(getattr(predictor.model.config, encoder), activation="quick_gelu")
    other = small_predictor(**{f"model_{encoder}": settings})
    other.model.load_state_dict(predictor.model.state_dict())
    assert is_same_model(fingerprints(predictor), predictor)
    assert not is_same_model(fingerprints(predictor), other)


def test_the_same_tensors_with_another_transform_or_tokenizer_are_other_weights():
    predictor = small_predictor()
    known = fingerprints(predictor)
    squashing = small_predictor(transforms=replace(predictor.config.transforms, resize="squash"))
    squashing.model.load_state_dict(predictor.model.state_dict())
    assert not is_same_model(known, squashing)
    tokenizer = Tokenizer.train(["a child in a red jacket runs"], TokenizerConfig(vocab_size=300))
    assert not is_same_model(known, Predictor(predictor.model, tokenizer, predictor.config))
    assert is_same_model(known, Predictor(predictor.model, predictor.tokenizer, predictor.config))


def test_the_time_of_a_search_is_without_the_loading_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    write_index(tmp_path / "photos.lance", directions(3, predictor.model.config.embed_dim))
    index = sycoca.open_index(tmp_path / "photos.lance", weights=predictor)
    monkeypatch.setattr(ImageIndex, "check_weights", lambda *_: time.sleep(0.5))
    assert index.search("a dog").seconds < 0.5


def test_weights_that_are_gone_are_named(tmp_path: Path):
    IndexTable.create(str(tmp_path / "photos.lance"), facts(10, {}, "/nowhere/weights"))
    with pytest.raises(ValueError, match="was made by /nowhere/weights, which is not there; name the weights"):
        sycoca.open_index(tmp_path / "photos.lance").search("a dog")


def test_what_is_no_index_is_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"there is no image index '{path}'; sycoca index makes one"):
            sycoca.open_index(path)
    assert not (tmp_path / "missing").exists()
    with pytest.raises(ValueError, match=r"foo://bucket/a cannot be read: are the name, .* right\? .*provider"):
        sycoca.open_index("foo://bucket/a")
    table = IndexTable.create(str(tmp_path / "new.lance"), facts(10))
    table.write_facts(facts(10))
    text = json.dumps({"format_version": 2})
    table._database.create_table("facts", data=[{"json": text}], mode="overwrite")
    with pytest.raises(ValueError, match="has format version 2, this version of sycoca reads 1; update it"):
        sycoca.open_index(tmp_path / "new.lance")


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ValueError, match=r"an image index needs lancedb: pip install 'sycoca\[search\]'"):
        sycoca.open_index(tmp_path)


def test_results_as_json_have_no_thumbnails(tmp_path: Path, embeddings: np.ndarray):
    write_index(tmp_path / "photos.lance", embeddings, thumbnail=[thumbnail(200)] * 40)
    found = sycoca.open_index(tmp_path / "photos.lance").search_embedding(embeddings[3], count=2, query="a dog")
    plain = json.loads(found.to_json())
    assert plain["query"] == "a dog"
    assert plain["exact"] is True
    assert plain["images"] == 40
    assert [hit["file"] for hit in plain["hits"]] == [hit.file for hit in found]
    assert plain["hits"][0].keys() == {"file", "cosine", "key", "captions", "label", "split", "width", "height"}
    assert repr(found) == "<SearchResults of 'a dog': 2 of 40 images>"
