"""What all fine-tunings share: they begin with a weights folder instead of nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from jaxtyping import Shaped
from torch import Tensor

from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.initial_model import build_model, fill_model
from sycoca.training.recipes.notices import high_rate_notice
from sycoca.training.recipes.recipe import Recipe, TrainedParts
from sycoca.weights.config import WeightsConfig, read_weights_config
from sycoca.weights.folder import LoadedWeights, load_weights
from sycoca.weights.hub import local_weights
from sycoca.weights.parts import OPTIONAL_PARTS

C = TypeVar("C", bound=FinetuneConfig)

_HEADS = ("answer_head.", "class_head.")
"""How the names of heads' tensors begin."""


class Finetuning(Recipe[C]):
    """A recipe whose model comes from a weights folder."""

    @property
    def title(self) -> str:
        """The task."""
        return f"fine-tuning for {self.config.task}"

    @property
    def deed(self) -> str:
        """For what, and from which weights."""
        if self.config.random_weights:
            return f"trained for {self.config.task} from random weights, with the sizes of `{self.config.weights}`"
        return f"fine-tuned for {self.config.task} from `{self.config.weights}`"

    @property
    def base(self) -> str | None:
        """The weights folder, where its weights are used."""
        return None if self.config.random_weights else self.config.weights

    def loaded(self) -> LoadedWeights:
        """Open the weights folder; raises ValueError where it is no sound one."""
        return load_weights(local_weights(self.config.weights))

    def weights_config(self, loaded: LoadedWeights, **changes: Any) -> WeightsConfig:
        """Return what the fine-tuned weights will say of themselves: ``changes`` are fields that become others.

        Raises ValueError for an image size that the patches do not divide.
        """
        transforms = loaded.config.transforms if self.config.transforms is None else self.config.transforms
        history = () if self.config.random_weights else loaded.config.history
        weights = replace(loaded.config, **{"transforms": transforms, "history": history, **changes})
        if self.config.image_size is None:
            return weights
        image_encoder = replace(weights.model.image_encoder, image_size=self.config.image_size)
        return replace(weights, model=replace(weights.model, image_encoder=image_encoder))

    def started_model(self, loaded: LoadedWeights, weights: WeightsConfig) -> SyCoCa:
        """Return the model of ``weights``: what it shares with the loaded one has its tensors, the rest is drawn.

        Heads share the answers, or classes, that both know; positions are interpolated to another image size.
        """
        model = build_model(weights.model, self.config.seed)
        if self.config.random_weights:
            return model
        own, known = model.state_dict(), loaded.model.state_dict()
        heads: dict[str, Tensor] = {}
        for head, old_names, new_names in (
            ("answer_head", loaded.config.answers, weights.answers),
            ("class_head", loaded.config.class_names, weights.class_names),
        ):
            if old_names is not None and new_names is not None:
                for name in (f"{head}.linear.weight", f"{head}.linear.bias"):
                    heads[name] = _rows_by_name(own[name], new_names, known[name], old_names)
        fill_model(model, {name: tensor for name, tensor in known.items() if not name.startswith(_HEADS)} | heads)
        return model

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Tell what is left behind, and what would spoil the weights."""
        config, model = self.config, trained.model
        old = read_weights_config(local_weights(config.weights)).model
        gone = [
            said for name, said in OPTIONAL_PARTS.items() if _is_there(old, name) and not _is_there(model.config, name)
        ]
        if gone:
            yield f"left behind, since this training would spoil it: {', '.join(gone)}"
        if config.random_weights:
            return
        loaded = [name for name, _ in model.named_parameters() if not name.startswith(_HEADS)]
        yield from high_rate_notice(model, loaded, config.optimizer, trained.lr_ratios, "--optimizer.peak-lr")


def without_heads(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of a model's config that also take its heads off: training for something else spoils them."""
    return {"num_answers": None, "num_classes": None, **changes}


def _rows_by_name(
    new: Shaped[Tensor, "new_names *columns"],
    new_names: Sequence[str],
    old: Shaped[Tensor, "old_names *columns"],
    old_names: Sequence[str],
) -> Shaped[Tensor, "new_names *columns"]:
    """Return the new rows, with the old ones in the places of names that occur in both."""
    row_of_name = {name: row for row, name in enumerate(old_names)}
    rows = new.clone()
    for row, name in enumerate(new_names):
        if name in row_of_name:
            rows[row] = old[row_of_name[name]]
    return rows


def _is_there(config: SyCoCaConfig, component: str) -> bool:
    return getattr(config, component) is not None
