"""Captions of the built-in scenes: whether they are true, and as detailed as the references."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from rich.console import Console

from sycoca.data.scenes.content import Scene
from sycoca.data.scenes.language import is_true, num_facts, parse_caption
from sycoca.data.scenes.source import ScenesSource
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.caption_scores import caption_report
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report import Report
from sycoca.evaluation.report_parts import joined
from sycoca.evaluation.self_retrieval import self_retrieval_part
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked


def evaluate_scene_captions(
    predictor: Predictor,
    source: ScenesSource,
    *,
    generation: GenerationConfig | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
    self_retrieval: ImageEmbeddings | None = None,
) -> Report:
    """Caption every scene; compare each caption with the scene's facts and, as in COCO, with its reference captions.

    Greedily unless ``generation`` says otherwise; see `scene_caption_values` and `caption_report`. With
    ``self_retrieval`` also how often a caption finds its own scene by these embeddings, see `self_retrieval_part`.
    Raises ValueError for a model without text decoder.
    """
    started_at = time.perf_counter()
    generation = GenerationConfig() if generation is None else generation
    num_scenes = num_evaluated(source, limit)
    own = sharding.own(num_scenes)
    generated = predictor.generate(
        [source[index] for index in own], generation, batch_size=batch_size, first_index=own.start
    )
    captions = sharding.join_plain(
        [
            predictor.tokenizer.decode(caption.tokens)
            for caption in tracked(generated, len(own), "captioning", console=console)
        ]
    )
    scenes = [source.scene(index) for index in range(num_scenes)]
    references = {sample.key: sample.captions for sample in (source[index] for index in range(num_scenes))}
    report = caption_report(
        dict(zip(references, captions, strict=True)),
        references,
        with_meteor=False,  # the built-in scenes need nothing installed
        counts={"scenes": num_scenes},
        settings={"data": source.name, "limit": limit, **asdict(generation)},
    )
    if self_retrieval is not None:
        report = joined(
            report, [self_retrieval_part(self_retrieval, source, captions, console=console, sharding=sharding)]
        )
    per_image = report.items["image"]
    values = scene_caption_values(captions, scenes, list(references.values()))
    return replace(
        report,
        task="scene_captions",
        metrics={**scene_caption_metrics(values), **report.metrics},
        seconds=time.perf_counter() - started_at,
        items={"image": replace(per_image, values={**values, **per_image.values})},
        remarks=(*predictor.generation_cautions(generation), *report.remarks),
    )


def is_caption_true(caption: str, scene: Scene) -> bool:
    """Return whether a caption parses in the scenes' grammar and all its statements are true of the scene."""
    facts = parse_caption(caption)
    return facts is not None and is_true(facts, scene)


def scene_caption_values(
    captions: Sequence[str], scenes: Sequence[Scene], references: Sequence[Sequence[str]]
) -> dict[str, list[int]]:
    """Return the values of one caption per scene, scene by scene.

    ``caption_truth``: it parses in the scenes' grammar, and its every stated fact is true. ``caption_parsed``: it
    parses. ``stated_facts``: what does not parse states nothing. ``reference_facts``: those of all ``references``.
    """
    facts = [parse_caption(caption) for caption in captions]
    return {
        "caption_truth": [int(is_caption_true(*pair)) for pair in zip(captions, scenes, strict=True)],
        "caption_parsed": [int(found is not None) for found in facts],
        "stated_facts": [0 if found is None else num_facts(found) for found in facts],
        "reference_facts": [sum(map(_facts_of_reference, own)) for own in references],
        "references": [len(own) for own in references],
    }


def scene_caption_metrics(values: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the fraction of true captions and of those that parse, and ``caption_detail``.

    That is stated facts per caption over stated facts per reference.
    """
    means = {name: sum(column) / len(column) for name, column in values.items()}
    return {
        "caption_truth": means["caption_truth"],
        "caption_detail": means["stated_facts"] / (means["reference_facts"] / means["references"]),
        "caption_parsed": means["caption_parsed"],
    }


def _facts_of_reference(caption: str) -> int:
    facts = parse_caption(caption)
    assert facts is not None, f"the scenes' own caption does not parse: {caption}"
    return num_facts(facts)
