"""Fine-grained alignment on scenes: captions against hard negatives with colors, shapes or relation exchanged.

A model that treats captions as bags of words stays at chance (ARO, arXiv 2210.01936; Winoground, arXiv 2204.03162).
"""

import time
from dataclasses import dataclass

import torch
from rich.console import Console

from sycoca.data.scenes.language import facts_of, write_caption
from sycoca.data.scenes.source import ScenesSource
from sycoca.data.scenes.swaps import SWAP_KINDS, SwapKind, false_swaps
from sycoca.evaluation.batches import num_evaluated
from sycoca.evaluation.report import ItemScores, Report
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class _Swap:
    """A caption of a scene with a hard negative."""

    scene: int
    place: int
    kind: SwapKind
    caption: str
    swap: str


def evaluate_scene_swaps(
    predictor: Predictor,
    source: ScenesSource,
    *,
    batch_size: int = 64,
    limit: int | None = None,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> Report:
    """Return how often a true caption matches its image better than its hard negative; chance is 50 %.

    ``swap_accuracy`` by the cosine of image and caption, overall and by what is exchanged; ``..._likelihood`` by how
    likely the captioner finds both, per token, where there is one. A tie counts against the model. Swaps that say the
    same or are true as well are left out and counted. Raises ValueError where no swap is left.
    """
    started_at = time.perf_counter()
    num_scenes = num_evaluated(source, limit)
    swaps, num_possible = _swaps(source, num_scenes)
    if not swaps:
        raise ValueError(f"{source.name} has no caption whose swap is false")
    own = sharding.own(num_scenes)
    own_swaps = [swap for swap in swaps if swap.scene in own]
    scorers = {"swap_accuracy": _by_similarity}
    if predictor.model.text_decoder is not None:
        scorers["swap_accuracy_likelihood"] = _by_likelihood
    correct = {
        name: sharding.join_plain(prefers(predictor, source, own_swaps, batch_size, console))
        for name, prefers in scorers.items()
    }
    return Report(
        task="scene_swaps",
        metrics={name: value for prefix, hits in correct.items() for name, value in _metrics(prefix, swaps, hits)},
        counts={"scenes": num_scenes, "swaps": len(swaps), "swaps_left_out": num_possible - len(swaps)},
        settings={"data": source.name, "limit": limit},
        seconds=time.perf_counter() - started_at,
        remarks=predictor.cautions("similarities", "captions"),
        items={
            "swap": ItemScores(
                keys=[f"{source[swap.scene].key}#{swap.place} {swap.kind}" for swap in swaps],
                values={name: [int(hit) for hit in hits] for name, hits in correct.items()},
                groups=[source[swap.scene].key for swap in swaps],
                kinds={"": [swap.kind for swap in swaps]},
            )
        },
    )


def _swaps(source: ScenesSource, num_scenes: int) -> tuple[list[_Swap], int]:
    """Return the false swaps of all captions, and the number of swaps with the true ones."""
    swaps, num_possible = [], 0
    for index in range(num_scenes):
        scene = source.scene(index)
        for place, facts in enumerate(facts_of(scene)):
            num_possible += len(SWAP_KINDS)
            for kind, swap in false_swaps(facts, scene).items():
                caption, other = write_caption(facts, place), write_caption(swap, place)
                swaps.append(_Swap(scene=index, place=place, kind=kind, caption=caption, swap=other))
    return swaps, num_possible


def _by_similarity(
    predictor: Predictor, source: ScenesSource, swaps: list[_Swap], batch_size: int, console: Console | None
) -> list[bool]:
    if not swaps:
        return []
    row_of_scene = {scene: row for row, scene in enumerate(sorted({swap.scene for swap in swaps}))}
    texts = sorted({text for swap in swaps for text in (swap.caption, swap.swap)})
    row_of_text = {text: row for row, text in enumerate(texts)}
    starts = range(0, len(row_of_scene), batch_size)
    scenes = list(row_of_scene)
    image_embeds = torch.cat(
        [
            predictor.embed_images([source[index] for index in scenes[start : start + batch_size]])
            for start in tracked(starts, len(scenes), "embedding scenes", console=console, step=batch_size)
        ]
    )
    text_embeds = predictor.embed_texts(texts)
    images = image_embeds[[row_of_scene[swap.scene] for swap in swaps]]
    captions = text_embeds[[row_of_text[swap.caption] for swap in swaps]]
    others = text_embeds[[row_of_text[swap.swap] for swap in swaps]]
    return ((images * captions).sum(1) > (images * others).sum(1)).tolist()


def _by_likelihood(
    predictor: Predictor, source: ScenesSource, swaps: list[_Swap], batch_size: int, console: Console | None
) -> list[bool]:
    of_scene: dict[int, list[_Swap]] = {}
    for swap in swaps:
        of_scene.setdefault(swap.scene, []).append(swap)
    scenes = list(of_scene)
    hits: list[bool] = []
    starts = range(0, len(scenes), batch_size)
    for start in tracked(starts, len(scenes), "likelihoods of swaps", console=console, step=batch_size):
        batch = scenes[start : start + batch_size]
        candidates = [[text for swap in of_scene[scene] for text in (swap.caption, swap.swap)] for scene in batch]
        for scores in predictor.candidate_log_likelihoods([source[scene] for scene in batch], candidates):
            captions, others = scores.reshape(-1, 2).unbind(1)
            hits += (captions > others).tolist()
    return hits


def _metrics(prefix: str, swaps: list[_Swap], hits: list[bool]) -> list[tuple[str, float]]:
    metrics = [(prefix, sum(hits) / len(hits))]
    for kind in SWAP_KINDS:
        of_kind = [hit for swap, hit in zip(swaps, hits, strict=True) if swap.kind == kind]
        if of_kind:
            metrics.append((f"{prefix}_{kind}", sum(of_kind) / len(of_kind)))
    return metrics
