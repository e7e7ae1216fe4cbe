import json
from dataclasses import replace
from pathlib import Path

import pytest

from builders.predictors import SCENES, ListSource, save_small_weights
from sycoca.evaluation.report import ItemScores, Report
from sycoca.experiments.compare_runs import compare_page, compare_rows, read_compared


def report(hits: list[int], task: str = "probe") -> Report:
    keys = [SCENES[number].key for number in range(len(hits))]
    items = {"image": ItemScores(keys=keys, values={"accuracy_top_1": hits})}
    return Report(task=task, metrics={"accuracy_top_1": sum(hits) / len(hits)}, counts={}, items=items)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        lines = [{"step": step, "contrastive": 3.0 / step, "validation_cider": 0.5 + number} for step in (1, 2)]
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        report([number, 1, 0, 1]).save(folder / "reports" / "cifar.json")
    report([1, 1], "captioning").save(folders[0] / "captioning.json")
    return folders


def test_sections_are_compared_among_the_rows_that_have_them(runs: list[Path]):
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    comparisons = compare_rows(rows)
    assert {name: list(one.reports) for name, one in comparisons.items()} == {
        "captioning": ["one"],
        "cifar": ["one", "two"],
        "last_validation": ["one", "two"],
    }
    assert list(comparisons) == ["captioning", "cifar", "last_validation"]  # cifar is a probe
    assert comparisons["cifar"].differences["accuracy_top_1"][1].difference == 0.25
    assert [value.value for value in comparisons["last_validation"].values["cider"]] == [0.5, 1.5]
    assert comparisons["last_validation"].notes == []


def test_validations_on_other_data_or_after_other_steps_are_told(runs: list[Path]):
    for folder, data in zip(runs, ("a.jsonl", "b.jsonl"), strict=True):
        (folder / "config.yaml").write_text(f"data:\n  validation: {data}\n")
    with (runs[1] / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": 3, "validation_cider": 2.5, "samples_seen": 96}) + "\n")
        lines.write(json.dumps({"step": 4, "contrastive": 1.0, "samples_seen": 128}) + "\n")
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    assert compare_rows(rows)["last_validation"].notes == [
        "two: other settings: data b.jsonl instead of a.jsonl; step 3 instead of 2; samples_seen 96 instead of None"
    ]


def test_losses_of_other_forms_are_told(runs: list[Path]):
    """They have one name and other scales: ln 64 and ln 128 without any learning, and less with a sigmoid."""
    for folder, (form, size) in zip(runs, (("softmax", 64), ("sigmoid", 128)), strict=True):
        training = f"training: {{steps: 9, global_batch_size: {size}}}"
        (folder / "config.yaml").write_text(f"objectives: {{contrastive_loss: {form}}}\nmasking: {{}}\n{training}\n")
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    assert compare_rows(rows)["last_validation"].notes == [
        "two: other settings: objectives.contrastive_loss sigmoid instead of softmax;"
        " training.global_batch_size 128 instead of 64"
    ]


def test_validations_of_other_numbers_of_samples_and_other_vocabularies_are_told(runs: list[Path]):
    """Recall among 100 images is higher than among 1,000, and a loss per token depends on the tokens."""
    for folder, (number, vocabulary) in zip(runs, ((1000, 8192), (100, 512)), strict=True):
        training = f"training: {{evaluation_samples: {number}}}"
        (folder / "config.yaml").write_text(f"{training}\ntokenizer: {{vocab_size: {vocabulary}}}\n")
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    assert compare_rows(rows)["last_validation"].notes == [
        "two: other settings: tokenizer.vocab_size 512 instead of 8192; training.evaluation_samples 100 instead of 1000"
    ]


def test_a_last_value_that_is_not_finite_is_not_the_one_before_it(runs: list[Path]):
    with (runs[1] / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": 3, "validation_cider": 2.5, "validation_contrastive": 1.0}) + "\n")
        lines.write(json.dumps({"step": 4, "validation_cider": 3.5, "validation_contrastive": None}) + "\n")
    report = read_compared(runs[1]).reports["last_validation"]
    assert report.metrics == {"cider": 3.5}
    assert report.remarks == ("contrastive loss, ITC is not finite",)


def test_a_setting_that_older_versions_lack_has_its_default(runs: list[Path]):
    for folder, section in zip(runs, ("{}", "{captions_per_image: 1, pixel_error: squared}"), strict=True):
        (folder / "config.yaml").write_text(f"objectives: {section}\n")
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    assert compare_rows(rows)["last_validation"].notes == []


def test_the_page_says_what_is_missing_and_how_to_get_it(runs: list[Path]):
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    page = compare_page(rows, compare_rows(rows))
    assert [row.paths for row in page.rows] == [(str(folder),) for folder in runs]
    assert page.missing[0] == (
        "two has no report captioning: sycoca evaluate TASK --out RUN/reports/TASK.json writes one."
    )
    assert page.missing[1].startswith("Without pictures: ")
    assert page.gallery is None
    (pair,) = page.items["cifar"]
    assert [item.key for item in pair.found.gains] == [SCENES[0].key]


def test_with_data_the_page_has_pictures_and_the_answers_of_runs_with_weights(runs: list[Path]):
    save_small_weights(runs[0] / "weights")
    rows = {folder.name: [read_compared(folder)] for folder in runs}
    page = compare_page(rows, compare_rows(rows), source=SCENES)
    assert list(page.pictures) == [SCENES[0].key, SCENES[2].key]
    assert page.pictures[SCENES[0].key].startswith("data:image/jpeg;base64,")
    assert page.gallery is not None
    assert [one.row for one in page.gallery.captions[0].said] == ["one"]
    assert page.missing[-1] == "No answers of two: reports hold no models; name the run folder, which has the weights."


def test_pictures_are_found_by_names_in_any_unicode_form(tmp_path: Path):
    names = ("cafe\u0301 0.png", "tea.png")
    samples = tuple(replace(SCENES[number], key=name) for number, name in enumerate(names))
    rows = {}
    for row, hits in {"one": [0, 1], "two": [1, 0]}.items():
        items = {"image": ItemScores(keys=names, values={"accuracy_top_1": hits})}
        Report(task="probe", metrics={"accuracy_top_1": 0.5}, counts={}, items=items).save(tmp_path / f"{row}.json")
        rows[row] = [read_compared(tmp_path / f"{row}.json")]
    page = compare_page(rows, compare_rows(rows), source=ListSource(samples=samples))
    assert set(page.pictures) == {"caf\u00e9 0.png", "tea.png"}


def test_the_weights_that_a_quickstart_fine_tuned_answer_and_classify(runs: list[Path]):
    own, answering = runs[0] / "weights", runs[0] / "vqa" / "weights"
    own.mkdir()
    assert [read_compared(runs[0]).answering, read_compared(runs[0]).classifying] == [own, own]
    answering.mkdir(parents=True)
    found = read_compared(runs[0])
    assert [found.weights, found.answering, found.classifying] == [own, answering, own]
    assert read_compared(runs[1]).weights is None


def test_what_is_neither_a_run_nor_a_report_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds neither a run nor reports; name a run folder"):
        read_compared(tmp_path)


def test_reports_of_files_must_be_of_one_task(tmp_path: Path):
    report([1, 0]).save(tmp_path / "a.json")
    report([1, 0], "captioning").save(tmp_path / "b.json")
    rows = {name: [read_compared(tmp_path / f"{name}.json")] for name in ("a", "b")}
    with pytest.raises(ValueError, match="only reports of one task can be compared"):
        compare_rows(rows)
