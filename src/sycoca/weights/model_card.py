"""The model card, README.md of a weights folder: use, provenance, training, metrics, limits and sizes."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from sycoca._version import __version__
from sycoca.facts.ability_facts import FOLDER, Ability
from sycoca.facts.metric_facts import metric_facts
from sycoca.facts.objective_facts import OBJECTIVES
from sycoca.model.adapters import is_of_adapter
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.abilities import abilities
from sycoca.weights.adapter import trained_tensors
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import limit_lines
from sycoca.weights.plain_config import versioned_plain
from sycoca.weights.provenance import DataFacts, Measurement, Provenance

_SMALL_VOCABULARY = 10_000
"""Vocabulary size below which many everyday words are not single tokens; CLIP's is 49,408."""

_FEW_SAMPLES = 1_000_000
"""Training images below which a model knows little of what photos can show; CLIP has seen 400 million."""

_LINE_LENGTH = 116

_NAMED = 12
"""Number of answers and classes that are listed."""


def model_card(model: SyCoCa, config: WeightsConfig, provenance: Provenance | None) -> str:
    """Return a model card as Markdown, with the front matter that the Hugging Face Hub reads."""
    known = Provenance(summary="") if provenance is None else provenance
    able = abilities(config, known.objectives)
    parts = (
        f"---\n{_yaml(_front_matter(able, known))}---",
        f"# SyCoCa for {_enumerated([ability.name for ability in able])}",
        _introduction(model, able),
        _section("Use", _use(able)),
        _section("Provenance", _provenance(config, known)),
        _section("Training", _table("what", "how", _training(config, known))),
        _section("Measured", _measured(known)),
        _section("Limits", _listed_lines(_limits(config, known), "- ")),
        _section("Sizes", _table("part", "size", _sizes(model, config))),
        _section("Configuration", _configuration(known)),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(able: Sequence[Ability], provenance: Provenance) -> dict[str, Any]:
    data = [_hub_id(facts.name) for facts in (provenance.trained_on, provenance.measured_on) if facts is not None]
    fields = {
        "library_name": "sycoca",
        "license": provenance.license,
        "pipeline_tag": able[0].pipeline_tag,
        "tags": ["sycoca", *(tag for ability in able for tag in ability.tags)],
        "base_model": None if provenance.base is None else _hub_id(provenance.base),
        "datasets": sorted({name for name in data if name is not None}),
        "metrics": list(dict.fromkeys(_hub_metrics(provenance.measurements))),
    }
    return {name: value for name, value in fields.items() if value}


def _hub_metrics(measurements: Iterable[Measurement]) -> Iterator[str]:
    for one in measurements:
        facts = metric_facts(one.name)
        if facts is not None and facts.hub_name is not None:
            yield facts.hub_name


def _introduction(model: SyCoCa, able: Sequence[Ability]) -> str:
    return _wrapped(
        f"A model of {_num_parameters(model):,} parameters that {_enumerated([one.does for one in able])}. These are"
        " weights of `sycoca`, an implementation of [SyCoCa: Symmetrizing Contrastive Captioners with Attentive Masking"
        " for Multimodal Alignment](https://arxiv.org/abs/2401.02137) (Ma et al., ICML 2024)."
    )


def _use(able: Sequence[Ability]) -> str:
    lines = [line for ability in able for line in ability.python]
    python = "\n".join(("import sycoca", "", f'predictor = sycoca.load("{FOLDER}")', *lines))
    shell = "\n".join(command for ability in able for command in ability.commands)
    return (
        f"```python\n{python}\n```\n\n```sh\n{shell}\n```\n\n"
        "From the Hugging Face Hub it can be loaded by name, in Python and in commands: `hf:owner/name`."
    )


def _provenance(config: WeightsConfig, provenance: Provenance) -> str:
    steps = config.history or ("Not recorded.",)
    history = _wrapped(steps[0]) if len(steps) == 1 else _listed_lines(steps, "1. ")
    if provenance.license is not None:
        return history
    unlicensed = "No license is stated; to publish these weights, name one at the top of this file (`license:`)."
    return f"{history}\n\n{_wrapped(unlicensed)}"


def _training(config: WeightsConfig, provenance: Provenance) -> dict[str, str]:
    rows: dict[str, str] = {}
    if provenance.trained_on is not None:
        rows["data"] = _data(provenance.trained_on)
    weighted = [(OBJECTIVES[name], weight) for name, weight in provenance.objectives.items() if weight != 0]
    if weighted:
        rows["objectives"] = ", ".join(f"{facts.short_title} (weight {weight:g})" for facts, weight in weighted)
    if any(facts.masks_patches for facts, _ in weighted):
        rows["masking"] = _masking(config)
    return rows | dict(provenance.recipe)


def _masking(config: WeightsConfig) -> str:
    masking = config.masking
    parts = [f"{masking.strategy}, scored by `{masking.score}`"]
    if masking.attentive_from > 0:
        parts.append(f"random in the first {masking.attentive_from:.0%} of training")
    if config.model.text_decoder is not None:
        seen = 1 - masking.captioning_hidden_ratio if masking.hides_from_captioning else 1
        parts.append(f"captioning sees {seen:.0%} of the patches" + (_where_hidden(masking) if seen < 1 else ""))
    if config.model.image_decoder is not None:
        parts.append(f"{masking.reconstruction_masked_ratio:.0%} are reconstructed")
    return "; ".join(parts)


def _where_hidden(masking: MaskingConfig) -> str:
    """Return in which images and when captioning sees less than all patches; empty where it is always so."""
    share, until = masking.captioning_hidden_share, masking.captioning_hidden_until
    return (f" in {share:.0%} of the images" if share < 1 else "") + (
        f" until {until:.0%} of training" if until < 1 else ""
    )


def _data(facts: DataFacts) -> str:
    skipped = f"; {facts.num_skipped:,} unusable ones skipped" if facts.num_skipped else ""
    return f"{facts.num_samples:,} samples of `{facts.name}`{skipped}"


def _measured(provenance: Provenance) -> str:
    if provenance.measured_on is None or not provenance.measurements:
        return ""
    rows = {one.name: one.text for one in provenance.measurements}
    where = _wrapped(
        f"By `sycoca` after the last step, on {_data(provenance.measured_on)}. The package's docs/evaluation.md says"
        " how each number is computed."
    )
    return f"{where}\n\n{_table('metric', 'value', rows)}"


def _limits(config: WeightsConfig, provenance: Provenance) -> Iterator[str]:
    image, text = config.model.image_encoder, config.model.text_encoder
    yield (
        "It knows only what its training data shows, with the gaps and biases of that data: rare objects are"
        " described badly or confused with others. Do not use it for decisions about people."
    )
    if provenance.trained_on is not None:
        yield from _limits_of_data(provenance.trained_on, provenance.base)
    if text.vocab_size < _SMALL_VOCABULARY:
        yield (
            f"Its vocabulary is small ({text.vocab_size:,} token ids): words that are not in its training texts are"
            " split into tokens that it knows little about."
        )
    yield (
        f"Its input has {image.image_size} x {image.image_size} pixels in patches of {image.patch_size}: objects"
        f" smaller than a patch are hardly recognized. Texts are truncated to {text.context_length} tokens."
    )
    yield from limit_lines(config, provenance.objectives)
    if provenance.measurements:
        yield (
            "It was evaluated only on the data above: not on other kinds of images, not in other languages, not for"
            " bias against groups of people."
        )
    else:
        yield "It was not evaluated on held-out data."


def _limits_of_data(trained_on: DataFacts, base: str | None) -> Iterator[str]:
    if base is not None:
        yield f"The limits of `{base}`, from which its training started, also apply."
    elif trained_on.name.startswith("scenes:"):
        yield "It was trained only on generated scenes of colored shapes and cannot be used on photos."
    elif trained_on.num_samples < _FEW_SAMPLES:
        yield (
            f"It was trained on {trained_on.num_samples:,} images; models that recognize most of what photos show were"
            " trained on hundreds of millions."
        )


def _sizes(model: SyCoCa, config: WeightsConfig) -> dict[str, str]:
    image, text = model.config.image_encoder, model.config.text_encoder
    decoder, image_decoder = model.config.text_decoder, model.config.image_decoder
    rows = {
        "parameters": f"{_num_parameters(model):,}",
        "adapter": _adapter(model, config),
        "image encoder": f"{image.image_size} px, patches of {image.patch_size} px, width {image.width},"
        f" depth {image.depth}, pooling `{image.pooling}`",
        "text encoder": f"{text.vocab_size:,} token ids, {text.context_length} tokens, width {text.width},"
        f" depth {text.depth}, pooling `{text.pooling}`",
        "text decoder": None if decoder is None else f"depth {decoder.depth}",
        "image decoder": None if image_decoder is None else f"width {image_decoder.width}, depth {image_decoder.depth}",
        "joint space": f"{model.config.embed_dim} dimensions",
        "answers": None if config.answers is None else _named(config.answers),
        "classes": None if config.class_names is None else _named(config.class_names),
        "format": f"{versioned_plain(config)['format_version']}, written by sycoca {__version__}",
    }
    return {name: size for name, size in rows.items() if size is not None}


def _num_parameters(model: SyCoCa) -> int:
    """Return the number of the model's parameters, into which those of adapters are merged."""
    return sum(tensor.numel() for name, tensor in model.named_parameters() if not is_of_adapter(name))


def _adapter(model: SyCoCa, config: WeightsConfig) -> str | None:
    adapter = config.adapter
    if adapter is None:
        return None
    num_trained = sum(tensor.numel() for tensor in trained_tensors(model).values())
    return (
        f"LoRA of rank {adapter.rank}, alpha {adapter.alpha:g}: {num_trained:,} trained parameters; the others are in"
        f" `{adapter.base}` (SHA-256 of its tensors {adapter.base_sha256[:12]}...)"
    )


def _configuration(provenance: Provenance) -> str:
    if not provenance.config:
        return ""
    summary = "<summary>All settings of the training</summary>"
    return f"<details>{summary}\n\n```yaml\n{provenance.config.strip()}\n```\n\n</details>"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _table(first: str, second: str, rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    cells = (f"| {name} | {_cell(text)} |" for name, text in rows.items())
    return "\n".join((f"| {first} | {second} |", "| --- | --- |", *cells))


def _cell(text: str) -> str:
    # A SPEC or an answer may contain line ends or "|".
    return " ".join(text.split()).replace("|", "\\|")


def _listed_lines(lines: Iterable[str], mark: str) -> str:
    """Return a Markdown list."""
    indented = (textwrap.indent(_wrapped(line), " " * len(mark)) for line in lines)
    return "\n".join(mark + line[len(mark) :] for line in indented)


def _wrapped(text: str) -> str:
    """Return a paragraph wrapped into lines that are readable without rendering."""
    return textwrap.fill(text, _LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,}: {', '.join(json.dumps(name, ensure_ascii=False) for name in names[:_NAMED])}{more}"


def _enumerated(texts: Sequence[str]) -> str:
    """Return texts as a list in a sentence: a, b, and c."""
    return ", and ".join((", ".join(texts[:-1]), texts[-1]) if len(texts) > 1 else texts)


def _yaml(fields: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=110)


def _hub_id(place: str) -> str | None:
    """Return owner/name of a dataset or model on the Hub; None for a local path."""
    found = re.match(r"hf:([\w.-]+/[\w.-]+)", place)
    return None if found is None else found[1]
