"""What all fine-tuning recipes share: a model from pretrained weights."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

import torch
from jaxtyping import Shaped
from torch import Tensor

from sycoca.facts.head_facts import HEADS
from sycoca.facts.limit_facts import ModelLimits
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.model.adapters import add_adapters, highest_rank, is_of_adapter
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.randomness import derive_key
from sycoca.texts import normal_form
from sycoca.training.recipes.finetune_config import AdaptablePart, FinetuneConfig
from sycoca.training.recipes.frozen_parts import freeze, trains_encoders
from sycoca.training.recipes.initial_model import build_model
from sycoca.training.recipes.notices import high_rate_notice
from sycoca.training.recipes.recipe import Recipe, TrainedParts
from sycoca.weights.adapter import adapter_config
from sycoca.weights.config import AdapterConfig, WeightsConfig
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.folder import LoadedWeights, load_weights
from sycoca.weights.hub import local_weights
from sycoca.weights.limits import limits_after_training
from sycoca.weights.parts import OPTIONAL_PARTS
from sycoca.weights.tensors.filling import fill_model

C = TypeVar("C", bound=FinetuneConfig)

_HEAD_PREFIXES = tuple(f"{head}." for head in HEADS)
"""Prefixes of the names of the heads' tensors."""


class Finetuning(Recipe[C]):
    """A recipe whose model starts from a weights folder."""

    @property
    def training(self) -> TrainingKind:
        """The task."""
        return self.config.task

    @property
    def title(self) -> str:
        """The task in words."""
        return TRAININGS[self.config.task].title

    @property
    def description(self) -> str:
        """The task, and the pretrained weights."""
        if self.config.random_weights:
            return f"trained for {self.config.task} from random weights, with the sizes of `{self.config.weights}`"
        return f"fine-tuned for {self.config.task} from `{self.config.weights}`"

    @property
    def base(self) -> str | None:
        """The pretrained weights; None with random weights."""
        return None if self.config.random_weights else self.config.weights

    def loaded(self) -> LoadedWeights:
        """Load the weights; raises ValueError where they are missing or damaged."""
        return load_weights(local_weights(self.config.weights))

    def weights_config(self, loaded: LoadedWeights, **changes: Any) -> WeightsConfig:
        """Return the config of the fine-tuned weights: the loaded one without heads, with ``changes`` to its fields.

        Raises ValueError for an image size that is no multiple of the patch size.
        """
        transforms = loaded.config.transforms if self.config.transforms is None else self.config.transforms
        history = () if self.config.random_weights else loaded.config.history
        no_heads = {facts.names_field: None for facts in HEADS.values()}
        common = {"transforms": transforms, "history": history, "adapter": self._adapter(), **no_heads}
        weights = replace(loaded.config, **{**common, **changes})
        if self.config.image_size is None:
            return weights
        image_encoder = replace(weights.model.image_encoder, image_size=self.config.image_size)
        return replace(weights, model=replace(weights.model, image_encoder=image_encoder))

    def _adapter(self) -> AdapterConfig | None:
        rank, alpha = self.config.lora.rank, self.config.lora.alpha
        return None if rank is None else adapter_config(self.config.weights, rank=rank, alpha=alpha)

    def initial_model(self, loaded: LoadedWeights, weights: WeightsConfig) -> SyCoCa:
        """Return the model that ``weights`` describes, with the loaded tensors where it has them; the rest is random.

        A head keeps the rows of answers or classes that both models know. Position embeddings are interpolated to
        another image size. What the config freezes is frozen, and adapters are added.
        """
        model = build_model(weights.model, self.config.seed)
        if self.config.random_weights:
            return model
        own, known = model.state_dict(), loaded.model.state_dict()
        heads: dict[str, Tensor] = {}
        for head, new_names in weights.head_names.items():
            old_names = loaded.config.head_names[head]
            if old_names is not None and new_names is not None:
                for name in (f"{head}.linear.weight", f"{head}.linear.bias"):
                    heads[name] = _rows_by_name(own[name], new_names, known[name], old_names)
        loaded_names = fill_model(
            model, {name: tensor for name, tensor in known.items() if not name.startswith(_HEAD_PREFIXES)} | heads
        )
        self._refuse_absent(model, "frozen", self.config.frozen)
        freeze(model, self.config.frozen, loaded_names, self.config.weights, setting="frozen", before=loaded.config)
        self._add_adapters(model, loaded_names)
        return model

    def _add_adapters(self, model: SyCoCa, loaded: Collection[str]) -> None:
        """Add the adapters that the config asks for, and freeze all that was loaded; heads are trained as they are."""
        lora, frozen = self.config.lora, self.config.frozen
        if lora.rank is None:
            return
        self._refuse_absent(model, "lora.parts", lora.parts)
        parts = lora.parts or tuple(part for part in get_args(AdaptablePart) if part not in frozen)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in loaded or name.startswith(_HEAD_PREFIXES))
        modules = [module for part in parts if (module := getattr(model, part)) is not None]
        if lora.rank > (most := highest_rank(modules)):
            raise ValueError(
                f"lora.rank is {lora.rank:,}, and no matrix with adapters has a rank above {most:,}: adapters would be"
                " larger than what they adapt; set --lora.rank 8, for example"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_key(self.config.seed, "adapters"))
            for module in modules:
                add_adapters(module, lora.rank, lora.alpha)

    def _refuse_absent(self, model: SyCoCa, setting: str, parts: Sequence[str]) -> None:
        for part in parts:
            if getattr(model, part) is None:
                raise ValueError(f"{setting} names {part}, which this training does not have")

    def limits(self, loaded: LoadedWeights, model: SyCoCa) -> ModelLimits:
        """Return what the model will not be able to do after this training."""
        return limits_after_training(
            None if self.config.random_weights else loaded.config,
            model.config,
            self.objectives,
            training=self.training,
            weights=self.base,
            changes_encoders=trains_encoders(model),
        )

    def summary(self, trained: TrainedParts) -> Iterator[str]:
        """Name the components that are dropped."""
        model = trained.model
        old = read_weights_config(local_weights(self.config.weights)).model
        dropped = [title for name, title in OPTIONAL_PARTS.items() if _has(old, name) and not _has(model.config, name)]
        if self.config.lora.rank is not None:
            num_trained = sum(own.numel() for own in model.parameters() if own.requires_grad)
            yield (
                f"LoRA of rank {self.config.lora.rank}: {num_trained:,} of {model.num_parameters:,} parameters are"
                " trained, and saved as an adapter"
            )
        if dropped:
            yield f"dropped, since this training does not train it: {', '.join(dropped)}"

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of a learning rate that is too high for pretrained weights."""
        config, model = self.config, trained.model
        if config.random_weights:
            return
        names = [name for name, _ in model.named_parameters() if not is_of_adapter(name)]
        loaded = [name for name in names if not name.startswith(_HEAD_PREFIXES)]
        yield from high_rate_notice(model, loaded, config.optimizer, trained.lr_ratios, "--optimizer.peak-lr")


def without_heads(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes to a model's config that also remove its heads and its logit bias.

    Another task does not train them.
    """
    return {**{facts.size_field: None for facts in HEADS.values()}, "has_logit_bias": False, **changes}


def _rows_by_name(
    new: Shaped[Tensor, "new_names *columns"],
    new_names: Sequence[str],
    old: Shaped[Tensor, "old_names *columns"],
    old_names: Sequence[str],
) -> Shaped[Tensor, "new_names *columns"]:
    """Return the new rows, with the old row wherever a name occurs in both, in whatever Unicode form."""
    row_of_name = {normal_form(name): row for row, name in enumerate(old_names)}
    rows = new.clone()
    for row, name in enumerate(map(normal_form, new_names)):
        if name in row_of_name:
            rows[row] = old[row_of_name[name]]
    return rows


def _has(config: SyCoCaConfig, component: str) -> bool:
    return getattr(config, component) is not None
