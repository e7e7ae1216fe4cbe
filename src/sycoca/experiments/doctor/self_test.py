"""The self-test: train a tiny model for a few steps, save it, load it, and compare what both say."""

import logging
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.data.spec import open_source
from sycoca.experiments.doctor.finding import Finding, Section, failure
from sycoca.experiments.doctor.small_model import SmallModel, runtime_of, small_model
from sycoca.inference.load import load
from sycoca.inference.predictor import Predictor
from sycoca.weights.folder import save_weights

NUM_STEPS = 8

_SCENES = "scenes:?level=easy&count=4&split=test&size=64"
_MOST_TOKENS = 12
_MOST_DIFFERENCE = 1e-3

logger = logging.getLogger(__name__)


def self_test(device: torch.device) -> Section:
    """Train, save, load and caption on a device; whatever is raised becomes a finding."""
    started_at = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sycoca-doctor-") as folder, runtime_of(device, "fp32") as runtime:
        trained = small_model(runtime)
        findings = [_tried("train", lambda: _train(trained))]
        if not findings[0].is_failure:
            findings.append(_tried("save and load", lambda: _save_and_load(trained, Path(folder), device)))
    seconds = time.perf_counter() - started_at
    return Section(title=f"self-test on {device} ({seconds:.0f} s)", findings=tuple(findings))


def _tried(name: str, test: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, value=test())
    except Exception as error:  # whatever a broken installation raises is what the doctor is asked about
        logger.debug(f"self-test: {name}", exc_info=True)
        return failure(name, error)


def _train(trained: SmallModel) -> str:
    losses = [trained.update() for _ in range(NUM_STEPS)]
    check_losses(losses)
    return f"{NUM_STEPS} steps of preset tiny: loss {losses[0]:.2f} to {losses[-1]:.2f}"


def check_losses(losses: Sequence[float]) -> None:
    """Raise ValueError where losses are not finite or do not fall."""
    if not all(map(math.isfinite, losses)):
        raise ValueError(f"losses are not finite: {', '.join(f'{loss:g}' for loss in losses)}")
    if losses[-1] >= losses[0]:
        raise ValueError(f"the loss does not fall: {losses[0]:.3f} before, {losses[-1]:.3f} after")


def _save_and_load(trained: SmallModel, folder: Path, device: torch.device) -> str:
    trained.model.eval()
    before = Predictor(trained.model, trained.tokenizer, trained.weights_config)
    save_weights(folder / "weights", trained.model, trained.tokenizer, trained.weights_config)
    after = load(folder / "weights", device=device)
    _check_same_weights(before, after)
    source = open_source(_SCENES)
    images = [source[index].open_image() for index in range(len(source))]
    captions, again = (one.caption(images, max_tokens=_MOST_TOKENS) for one in (before, after))
    likelihoods = [one.caption_log_likelihood(images, captions) for one in (before, after)]
    check_same(captions, again, *likelihoods)
    return f"all weights and {len(images)} captions are equal before and after"


def _check_same_weights(before: Predictor, after: Predictor) -> None:
    """Raise ValueError where a weight differs in any bit."""
    loaded = after.model.state_dict()
    for name, weight in before.model.state_dict().items():
        if not torch.equal(weight, loaded[name]):
            raise ValueError(f"{name} is loaded with other values than were saved")


def check_same(
    captions: Sequence[str],
    again: Sequence[str],
    likelihoods: Float[Tensor, " images"],
    likelihoods_again: Float[Tensor, " images"],
) -> None:
    """Raise ValueError where a loaded model says something else than the one that was saved.

    Likelihoods may differ by rounding: the loaded weights lie elsewhere in memory.
    """
    for number, (first, second) in enumerate(zip(captions, again, strict=True)):
        if first != second:
            raise ValueError(f"image {number}: {first!r} before saving, {second!r} after loading")
    difference = float((likelihoods - likelihoods_again).abs().max())
    if not difference <= _MOST_DIFFERENCE:
        raise ValueError(f"log-likelihoods of the same captions differ by {difference:g} before and after")
