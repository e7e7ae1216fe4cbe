"""All logged and reported metrics: title, unit, and whether higher is better. Imports no torch.

A key is a row of the table, with an optional prefix ("validation_", "re_ranked_") and an optional suffix for a variant
("_most_frequent", "_of_answer_type_yes/no").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from sycoca.facts.metric_suffixes import MEAN_OF_TYPES, OF_SET, OTHER_CAPTION, REFERENCES, SUFFIXES, TYPE_SUFFIXES
from sycoca.facts.objective_facts import MASKED_CAPTIONING, OBJECTIVES

Unit = Literal["percent", "score", "rank", "count", "seconds", "number"]
"""percent: a fraction, 0 to 1, shown in percent. score: a number on its own scale, such as CIDEr."""

_IS_PERCENT: Mapping[Unit, bool] = {
    "percent": True,
    "score": False,
    "rank": False,
    "count": False,
    "seconds": False,
    "number": False,
}

VALIDATION = "validation_"
"""Prefix of the keys of validation metrics in logs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricFacts:
    """A metric."""

    title: str
    """Name for people."""

    unit: Unit = "percent"
    """How values are shown."""

    is_better_higher: bool | None = True
    """Whether higher is better; None where neither direction is."""

    hub_name: str | None = None
    """The Hugging Face Hub's name of the metric, for model cards; None where it has none."""

    chance: float | None = None
    """Chance level, where it does not depend on the data."""

    of_set: str | None = None
    """What of the whole test set the value of a single item depends on, so that values of different sets are not
    comparable, also on their common items; None where it depends on the item alone."""

    @property
    def is_percent(self) -> bool:
        """Whether it is a fraction that is shown in percent."""
        return _IS_PERCENT[self.unit]


_RANKS = "ranks among the candidates"
_FREQUENCIES = "document frequencies"


def _recalls(direction: str, title: str) -> dict[str, MetricFacts]:
    recalls = {
        f"{direction}_recall_at_{k}": MetricFacts(title=f"{title} R@{k}", hub_name="recall", of_set=_RANKS)
        for k in (1, 5, 10)
    }
    ranks = {
        f"{direction}_{kind}_rank": MetricFacts(
            title=f"{title} {kind} rank", unit="rank", is_better_higher=False, of_set=_RANKS
        )
        for kind in ("mean", "median")
    }
    ranks[f"{direction}_mean_log_rank"] = MetricFacts(
        title=f"{title} mean logarithm of the rank", unit="score", is_better_higher=False, of_set=_RANKS
    )
    return recalls | ranks


def _correlations() -> dict[str, MetricFacts]:
    judged = {
        "bleu_4": "BLEU-4",
        "rouge_l": "ROUGE-L",
        "cider": "CIDEr",
        "clip_score": "CLIPScore",
        "ref_clip_score": "RefCLIPScore",
        "reference_similarity": "cosine with closest reference",
        "caption_length": "number of words",
    }
    return {
        f"{name}_kendall_tau_{variant}": MetricFacts(
            title=f"{title} against human judgments, Kendall's tau-{variant}",
            unit="score",
            chance=0.0,
            of_set=_FREQUENCIES if name == "cider" else None,
        )
        for name, title in judged.items()
        for variant in ("b", "c")
    }


def _reconstructions(infix: str, patches: str) -> dict[str, MetricFacts]:
    gains = {
        f"reconstruction_gain{infix}_over_{name}": MetricFacts(
            title=f"gain over {words} caption, {patches}", unit="score", of_set=of_set
        )
        for name, words, of_set in (("other", "another image's", OF_SET[OTHER_CAPTION]), ("empty", "an empty", None))
    }
    error = MetricFacts(title=f"reconstruction error, {patches}", unit="score", is_better_higher=False)
    return {f"reconstruction_error{infix}": error, **gains}


METRICS: Mapping[str, MetricFacts] = {
    **_recalls("text_to_image", "text-to-image"),
    **_recalls("image_to_text", "image-to-text"),
    "mean_text_recall": MetricFacts(title="image-to-text mean recall, mTR", of_set=_RANKS),
    "mean_image_recall": MetricFacts(title="text-to-image mean recall, mIR", of_set=_RANKS),
    "described_patch_auc": MetricFacts(title="described object patches, ROC AUC", unit="score", chance=0.5),
    "mask_coverage": MetricFacts(title="mask coverage", chance=0.5),
    "grounding_average_precision": MetricFacts(title="grounding average precision"),
    "noun_phrase_average_precision": MetricFacts(title="noun-phrase average precision"),
    "described_ratio": MetricFacts(title="described pixels", is_better_higher=None),
    **_reconstructions("", "masked patches"),
    **_reconstructions("_described", "described patches"),
    **_reconstructions("_undescribed", "undescribed patches"),
    **{f"bleu_{n}": MetricFacts(title=f"BLEU-{n}", hub_name="bleu") for n in (1, 2, 3, 4)},
    "rouge_l": MetricFacts(title="ROUGE-L", hub_name="rouge"),
    "cider": MetricFacts(title="CIDEr", unit="score", of_set=_FREQUENCIES),
    "meteor": MetricFacts(title="METEOR", hub_name="meteor"),
    "clip_score": MetricFacts(title="CLIPScore", unit="score"),
    "ref_clip_score": MetricFacts(title="RefCLIPScore", unit="score"),
    "reference_similarity": MetricFacts(title="cosine of caption and closest reference", unit="score"),
    "self_retrieval_recall_at_1": MetricFacts(
        title="captions that find their own image, R@1", hub_name="recall", of_set=_RANKS
    ),
    "chair_i": MetricFacts(title="hallucinated mentions of objects, CHAIR_i", is_better_higher=False),
    "chair_s": MetricFacts(title="captions with a hallucinated object, CHAIR_s", is_better_higher=False),
    "object_recall": MetricFacts(title="shown objects that captions mention"),
    **_correlations(),
    "caption_truth": MetricFacts(title="true captions"),
    "caption_detail": MetricFacts(title="stated facts per fact of a reference", unit="score", is_better_higher=None),
    "caption_parsed": MetricFacts(title="parsed captions"),
    "swap_accuracy": MetricFacts(title="hard negatives (as in ARO)", hub_name="accuracy", chance=0.5),
    "swap_accuracy_likelihood": MetricFacts(title="hard negatives by likelihood", hub_name="accuracy", chance=0.5),
    "hard_negative_accuracy": MetricFacts(title="hard negatives of a benchmark", hub_name="accuracy", chance=0.5),
    "winoground_text_score": MetricFacts(title="Winoground text score", chance=1 / 4),
    "winoground_image_score": MetricFacts(title="Winoground image score", chance=1 / 4),
    "winoground_group_score": MetricFacts(title="Winoground group score", chance=1 / 6),
    "pope_accuracy": MetricFacts(title="POPE accuracy", hub_name="accuracy", chance=0.5),
    "pope_precision": MetricFacts(title="POPE precision", hub_name="precision"),
    "pope_recall": MetricFacts(title="POPE recall", hub_name="recall"),
    "pope_f1": MetricFacts(title="POPE F1", hub_name="f1"),
    "pope_yes_ratio": MetricFacts(title="questions answered by yes", is_better_higher=None),
    "pope_labeled_yes": MetricFacts(title="questions to be answered by yes", is_better_higher=None),
    "vqa_accuracy": MetricFacts(title="VQA accuracy", hub_name="accuracy"),
    "answer_accuracy": MetricFacts(title="answer accuracy", hub_name="accuracy"),
    "answer_coverage": MetricFacts(title="answer coverage"),
    "accuracy_top_1": MetricFacts(title="top-1 accuracy", hub_name="accuracy"),
    "accuracy_top_5": MetricFacts(title="top-5 accuracy", hub_name="accuracy"),
    "probe_accuracy": MetricFacts(title="linear probe", hub_name="accuracy"),
    "mean_class_accuracy": MetricFacts(title="mean class accuracy", hub_name="accuracy"),
    "skipped_samples": MetricFacts(title="skipped samples", unit="count", is_better_higher=False),
}
"""Metrics of evaluations, by key."""

TRAINING_VALUES: Mapping[str, MetricFacts] = {
    **{
        name: MetricFacts(title=facts.title, unit="number", is_better_higher=False)
        for name, facts in OBJECTIVES.items()
    },
    MASKED_CAPTIONING: MetricFacts(
        title=f"{OBJECTIVES['captioning'].title}, masked as in training", unit="number", is_better_higher=False
    ),
    "lr": MetricFacts(title="learning rate", unit="number", is_better_higher=None),
    "logit_scale": MetricFacts(title="logit scale (inverse temperature)", unit="number", is_better_higher=None),
    "gradient_norm": MetricFacts(title="gradient norm", unit="number", is_better_higher=None),
    "images_per_second": MetricFacts(title="images per second", unit="count"),
    "samples_seen": MetricFacts(title="samples seen", unit="count", is_better_higher=None),
    "skipped_steps": MetricFacts(title="skipped steps (not finite)", unit="count", is_better_higher=False),
    "training_seconds": MetricFacts(
        title="time of pretraining, validation included", unit="seconds", is_better_higher=False
    ),
    "fine_tuning_seconds": MetricFacts(
        title="time of fine-tuning, evaluation excluded", unit="seconds", is_better_higher=False
    ),
}
"""Other values that training logs, by key."""

PREFIXES: Mapping[str, str] = {
    VALIDATION: "held-out",
    "re_ranked_": "re-ranked",
    "zero_shot_": "zero-shot",
    "classification_": "fine-tuned",
}
"""Prefixes of keys, and their meaning."""


def metric_facts(key: str) -> MetricFacts | None:
    """Return the facts about a logged or reported key; None for an unknown one."""
    known = METRICS.get(key) or TRAINING_VALUES.get(key)
    return known or _with_prefix(key) or _with_suffix(key) or _with_type(key)


def set_dependence(key: str) -> str | None:
    """Return what of the whole test set the items' values of a key depend on; None where there is nothing known."""
    facts = metric_facts(key)
    return None if facts is None else facts.of_set


def metric_title(key: str) -> str:
    """Return the title of a key; for an unknown one, its words."""
    facts = metric_facts(key)
    return key.replace("_", " ") if facts is None else facts.title


def readable(key: str, value: float) -> str:
    """Return a formatted value: fractions in percent; for an unknown key, the plain number."""
    facts = metric_facts(key)
    unit: Unit = "number" if facts is None else facts.unit
    match unit:
        case "percent":
            return f"{100 * value:.1f} %"
        case "score":
            return f"{value:.3f}"
        case "rank" | "seconds":
            return f"{value:,.1f}"
        case "count":
            return f"{value:,.1f}".removesuffix(".0")  # a mean over seeds may be no whole number
        case "number":
            return plain_number(value)
        case unknown:
            assert_never(unknown)


def plain_number(value: float) -> str:
    """Return three significant digits; a power of ten with an exponent in superscript, not 2.47e-07."""
    mantissa, separator, exponent = f"{value:.3g}".partition("e")
    if not separator:
        return mantissa
    return f"{mantissa} {_TIMES} {power_of_ten(int(exponent))}"


def power_of_ten(exponent: int) -> str:
    """Return 10 with the exponent in superscript."""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


_TIMES = "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def readable_difference(key: str, value: float) -> str:
    """Return a difference with its sign, without the percent sign: differences of rates are in percentage points."""
    text = readable(key, value).removesuffix(" %")
    return text if text.startswith("-") else f"+{text}"


def readable_interval(key: str, interval: tuple[float, float]) -> str:
    """Return "LOW to HIGH" with the unit once."""
    low, high = (readable(key, end) for end in interval)
    return f"{low.removesuffix(' %')} to {high}"


def is_improvement(key: str, difference: float) -> bool | None:
    """Return whether a difference is an improvement; None where neither direction is better, as for baselines."""
    facts = metric_facts(key)
    if facts is None or facts.is_better_higher is None or _is_reference(key) or difference == 0:
        return None
    return (difference > 0) == facts.is_better_higher


def _is_reference(key: str) -> bool:
    """Return whether a key is that of a bound or baseline, also for one type or as a mean over types."""
    for suffix in TYPE_SUFFIXES:
        key = key.partition(suffix)[0]
    return key.removesuffix(MEAN_OF_TYPES).endswith(tuple(REFERENCES))


def _with_prefix(key: str) -> MetricFacts | None:
    for prefix, meaning in PREFIXES.items():
        if key.startswith(prefix) and (facts := metric_facts(key.removeprefix(prefix))) is not None:
            return replace(facts, title=f"{meaning} {facts.title}")
    return None


def _with_suffix(key: str) -> MetricFacts | None:
    for suffix, meaning in SUFFIXES.items():
        if key.endswith(suffix) and (facts := metric_facts(key.removesuffix(suffix))) is not None:
            return replace(facts, title=f"{facts.title}, {meaning}", of_set=OF_SET.get(suffix, facts.of_set))
    return None


def _with_type(key: str) -> MetricFacts | None:
    for suffix, meaning in TYPE_SUFFIXES.items():
        base, separator, name = key.partition(suffix)
        if separator and (facts := metric_facts(base)) is not None:
            return replace(facts, title=f"{facts.title}, {meaning} of type {name}")
    return None
