"""open_clip 3.3.0's side of the comparison: its own model, loss, generation and transforms."""

import logging
import math
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor, nn

from inputs import Inputs, retrieval_inputs

# PyPI's torchvision cannot register its kernels beside the CPU build of torch; open_clip never calls these two.
if torch.version.cuda is None:
    _OPERATORS = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip

logging.getLogger().setLevel(logging.ERROR)
MODEL = "coca_ViT-B-32"


class OpenClipSide:
    """The measured functions of open_clip: every method returns the call to time."""

    name = "open_clip"

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def num_parameters(self) -> int:
        """Return the number of parameters of the model."""
        return sum(parameter.numel() for parameter in _model().parameters())

    def train_itc_ic(self, *, compiled: bool = False, precision: str = "fp32") -> Callable[[], object]:
        """Return a training step with contrastive and captioning loss, as in open_clip's trainer."""
        return self._step(compiled=compiled, precision=precision)

    def train_all(self, *, compiled: bool = False, precision: str = "fp32") -> Callable[[], object]:
        """Return the same, since open_clip has no third objective."""
        return self._step(compiled=compiled, precision=precision)

    def train_all_activation_memory(self) -> Callable[[], object]:
        """Return forward and backward pass."""
        return self._forward_backward(_model().train(), precision="fp32")

    def caption_greedy(self) -> Callable[[], object]:
        """Return greedy decoding of 16 captions of 30 tokens, as top-k sampling with k = 1; its lengths include bos."""
        model, (images, _) = _with_random_vocabulary_head(_model()), self.inputs.batch()
        return lambda: model.generate(images[:16], generation_type="top_k", top_k=1, seq_len=31, min_seq_len=30)

    def caption_beam(self) -> Callable[[], object]:
        """Return decoding of 4 captions of 30 tokens with its default, 6 beams in 3 groups."""
        model, (images, _) = _with_random_vocabulary_head(_model()), self.inputs.batch()
        return lambda: model.generate(images[:4], seq_len=31, min_seq_len=30)

    def preprocess_224(self) -> Callable[[], object]:
        """Return its inference transform on small JPEGs."""
        return self._preprocess([str(path) for path in self.inputs.small_photos])

    def preprocess_2000(self) -> Callable[[], object]:
        """Return its inference transform on large JPEGs."""
        return self._preprocess([str(path) for path in self.inputs.large_photos])

    def tokenize(self) -> Callable[[], object]:
        """Return tokenization of all captions, to 76 ids each; from the second run on, their words are cached."""
        tokenizer, captions = open_clip.get_tokenizer(MODEL), self.inputs.captions()
        return lambda: tokenizer(captions)

    def retrieval_scoring(self) -> Callable[[], object]:
        """Return recall at 1, 5 and 10 in both directions as in CLIP_benchmark, in blocks of 64 rows."""
        images, texts, owners = retrieval_inputs()

        def score() -> list[float]:
            scores = texts @ images.T
            is_pair = torch.zeros(scores.shape, dtype=torch.bool)
            is_pair[torch.arange(len(texts)), owners] = True
            return [_recall(scores, is_pair, k) for k in (1, 5, 10)] + [
                _recall(scores.T, is_pair.T, k) for k in (1, 5, 10)
            ]

        return score

    def _preprocess(self, paths: list[str]) -> Callable[[], object]:
        transform = open_clip.image_transform(224, is_train=False)
        return lambda: torch.stack([transform(Image.open(path)) for path in paths])

    def _forward_backward(self, model: nn.Module, *, precision: str) -> Callable[[], object]:
        loss = open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)
        images, tokens = self.inputs.batch()

        def forward_backward() -> None:
            # As its trainer does with --precision amp_bf16: the model and the loss, not the backward pass.
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                total = sum(loss(**model(images, tokens), output_dict=True).values())
            total.backward()

        return forward_backward

    def _step(self, *, compiled: bool, precision: str) -> Callable[[], object]:
        model = _model().train()
        optimizer = torch.optim.AdamW(decaying_groups(model), lr=1e-6, betas=(0.9, 0.98), eps=1e-6)
        forward_backward = self._forward_backward(torch.compile(model) if compiled else model, precision=precision)

        def step() -> None:
            optimizer.zero_grad()
            forward_backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, norm_type=2.0)
            optimizer.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))

        return step


def decaying_groups(model: nn.Module) -> list[dict[str, object]]:
    """Return its trainer's parameter groups: no weight decay for vectors, scalars, norms and biases."""
    named = list(model.named_parameters())
    plain = [p for n, p in named if p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n]
    decaying = [p for n, p in named if not any(p is one for one in plain)]
    return [{"params": plain, "weight_decay": 0.0}, {"params": decaying, "weight_decay": 0.2}]


def _model() -> nn.Module:
    torch.manual_seed(0)
    return open_clip.create_model(MODEL)


def _with_random_vocabulary_head(model: nn.Module) -> nn.Module:
    # Its vocabulary head is uninitialized memory, often zeros: all tokens would be equally likely.
    nn.init.normal_(model.text_decoder.text_projection, std=512**-0.5)
    return model.eval()


def _recall(scores: Tensor, is_pair: Tensor, k: int) -> float:
    hits = []
    for rows, pairs in zip(scores.split(64), is_pair.split(64), strict=True):
        chosen = nn.functional.one_hot(rows.topk(k, dim=1).indices, rows.shape[1])
        hits.append((chosen * pairs[:, None, :]).sum((1, 2)) > 0)
    return torch.cat(hits).float().mean().item()
