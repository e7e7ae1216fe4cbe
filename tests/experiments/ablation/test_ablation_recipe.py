import re
import shlex
from pathlib import Path

import pytest

from builders.documents import present_documents
from builders.small_ablations import RECIPE, write_recipe
from sycoca.cli.train.training_runs import with_flags
from sycoca.experiments.ablation.plan import PlannedRun, plan_of
from sycoca.experiments.ablation.recipe import paper_recipe, parsed_recipe, read_recipe, recipe_of
from sycoca.experiments.ablation.settings import AblationSettings, parsed_seeds
from sycoca.facts.ablation_facts import PAPER_TABLES, Recalls
from sycoca.facts.paper_facts import deviations
from sycoca.model.sycoca import SyCoCa
from sycoca.plain_data import overlay, write_yaml
from sycoca.presets.pretrain import pretrain_preset
from sycoca.training.recipes.pretraining.config import resolved_model_config


def test_a_recipe_file_has_base_baseline_and_rows(tmp_path: Path):
    recipe = read_recipe(write_recipe(tmp_path))
    assert (recipe.name, recipe.baseline, recipe.base) == ("small", "coca", RECIPE["base"])
    assert [(row.name, row.changes) for row in recipe.rows] == list(RECIPE["rows"].items())


def test_a_table_of_the_paper_can_be_written_and_read_as_a_recipe(tmp_path: Path):
    paper = paper_recipe("objectives")
    write_yaml(tmp_path / "mine.yaml", paper.to_plain())
    again = read_recipe(tmp_path / "mine.yaml")
    assert [(row.name, row.changes) for row in again.rows] == [(row.name, row.changes) for row in paper.rows]
    assert again.baseline == paper.baseline


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "mine.yaml must be a mapping"),
        ({"base": {}}, "mine.yaml: rows must be a mapping of keys to values, got nothing"),
        ({"rows": {}}, "mine.yaml: rows is empty"),
        ({"row": {"a": {}}}, "mine.yaml: row is not a known key; did you mean 'rows'?"),
        ({"rows": {"a/b": {}}}, "mine.yaml: rows.a/b is no name of a row"),
        ({"rows": {"a": 3}}, "mine.yaml: rows.a must be a mapping of keys to values, got 3"),
        ({"rows": {"a": {"seed": 3}}}, "mine.yaml: rows.a.seed is set by sycoca ablate"),
        ({"base": {"out": "runs"}, "rows": {"a": {}}}, "mine.yaml: base.out is set by sycoca ablate"),
        ({"baseline": "coco", "rows": {"coca": {}}}, "mine.yaml: baseline 'coco' is not among the rows; did you mean"),
    ],
)
def test_mistakes_are_named_with_their_full_key(plain: object, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parsed_recipe(plain, "mine", "mine.yaml")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"rows": {"a": {"masking": {"strategi": "random"}}}}, "rows.a.masking.strategi is not a known key"),
        ({"base": {"training": {"steps": "many"}}, "rows": {"a": {}}}, "base.training.steps must be a whole number"),
        ({"rows": {"a": {"objectives": {"captioning_weight": -1}}}}, "rows.a.objectives: objectives' weights"),
    ],
)
def test_fields_that_a_configuration_lacks_are_named_with_their_full_key(tmp_path: Path, recipe: dict, message: str):
    settings = AblationSettings(recipe="mine.yaml", out=tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_of(settings, parsed_recipe(recipe, "mine", "mine.yaml"))


def test_without_a_row_coca_the_first_is_the_baseline():
    assert parsed_recipe({"rows": {"b": {}, "a": None}}, "mine", "mine.yaml").baseline == "b"


def test_a_mistyped_table_is_named():
    with pytest.raises(ValueError, match=r"is neither a RECIPE.* nor a table; did you mean 'objectives'"):
        recipe_of("objective")


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_every_row_of_the_paper_builds_a_model_with_its_components(name):
    settings = AblationSettings(recipe=name, out=Path("out"))
    plan = plan_of(settings, recipe_of(name))
    for row in plan.recipe.rows:
        config = plan.config(_run(row.name), Path("out"))
        model = SyCoCa(resolved_model_config(config, 100))
        assert (model.text_decoder is None) == (row.name == "clip")
        assert (model.image_decoder is None) == (row.name in ("clip", "coca", "coca_attentive"))


def test_the_last_row_of_objectives_is_the_papers_method():
    plan = plan_of(AblationSettings(recipe="objectives", out=Path("out")), recipe_of("objectives"))
    own = deviations(plan.config(_run("sycoca"), Path("out")))
    # What measured better at this scale is in the base, for all rows alike.
    assert [one.partition(" (")[0] for one in own] == ["image pooling max", "text pooling mean", "patch score caption"]


def test_rows_of_ratios_and_weights_vary_what_they_say():
    ratios = PAPER_TABLES["mask-ratios"].rows
    assert len(ratios) == 10
    assert ratios["hidden_25_masked_75"].changes == {
        "masking": {"captioning_hidden_ratio": 0.25, "reconstruction_masked_ratio": 0.75}
    }
    assert ratios["hidden_50_masked_50"].results["COCO"] == Recalls(18.3, 18.4)
    weights = [row.changes["objectives"]["masked_image_weight"] for row in PAPER_TABLES["mim-weight"].rows.values()]
    assert weights == [0.0, 0.1, 0.5, 1.0, 2.0]


def test_all_runs_are_computed_alike_on_every_machine():
    for setting in ("scenes", "flickr8k"):
        config = AblationSettings(recipe="objectives", out=Path("out"), setting=setting).base()
        assert (config.runtime.device, config.runtime.precision) == ("cpu", "fp32")


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("100,102", (100, 102)), ("7,", (7,))])
def test_seeds_are_a_number_or_a_list(text: str, seeds: tuple[int, ...]):
    assert parsed_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1,1", "a", "5000", "1,,2"])
def test_other_seeds_are_refused(text: str):
    with pytest.raises(ValueError, match="seeds"):
        parsed_seeds(text)


def test_the_documented_flags_of_rows_are_the_rows_of_the_table():
    text = next(page.text for page in present_documents() if page.name == "docs/evaluation.md")
    section = text.partition("## The rows of the paper's ablation")[2].partition("\n## ")[0]
    flags = [
        shlex.split(line.split("`")[1]) for line in section.splitlines() if line.startswith("| ") and "`--" in line
    ]
    documented = [words for words in flags if not {"sigmoid", "decoupled"} & set(words)]
    paper = pretrain_preset("coca_base")
    rows = [row for row in paper_recipe("objectives").rows if row.name != "sycoca"]
    assert [with_flags(paper, words, "sycoca pretrain") for words in documented] == [
        overlay(paper, row.changes) for row in rows
    ]


def _run(row: str) -> PlannedRun:
    return PlannedRun(row=row, seed=0, steps=0)
