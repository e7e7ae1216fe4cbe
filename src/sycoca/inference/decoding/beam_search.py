"""Beam search over any function that predicts the next token."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from sycoca.inference.decoding.generation import GeneratedCaption, NextTokens, finished_caption, next_log_probs
from sycoca.preprocess.tokenizer import SpecialTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class BeamLimits:
    """Number of beams, length penalty and limits of the length."""

    num_beams: int
    """Unfinished captions per image."""

    length_penalty: float
    """A caption's score is its log-likelihood / length ** length_penalty; the length counts eos."""

    min_tokens: int
    """Fewest tokens before eos."""

    max_tokens: int
    """Most tokens, eos not counted; a caption that reaches it is cut there and competes without eos."""

    def score(self, log_likelihood: float, length: int) -> float:
        """Return the score by which captions are compared."""
        return log_likelihood / length**self.length_penalty

    def best_possible(self, log_likelihood: float, next_length: int) -> float:
        """Return an upper bound of an unfinished caption's score: all further tokens have probability 1."""
        return max(self.score(log_likelihood, next_length), self.score(log_likelihood, self.max_tokens))


def beam_search(
    next_tokens: NextTokens, num_images: int, special: SpecialTokens, limits: BeamLimits
) -> list[GeneratedCaption]:
    """Return the best caption found for each image; rows of ``next_tokens`` are images x beams, image-major.

    The end token takes no beam: at every step each beam, ended there, competes with the best finished caption. An
    image is dropped, at no further cost, once none of its unfinished captions can win. With at least
    vocabulary ** (max_tokens - 1) beams nothing is pruned, and the result is the best of all captions. Padding and bos
    are never generated. Raises ValueError for NaN.
    """
    beams = _Beams(num_images, limits)
    tokens = torch.full((num_images * limits.num_beams,), special.first_id)
    for step in range(limits.max_tokens):
        log_probs = next_log_probs(next_tokens, tokens, special, may_end=step >= limits.min_tokens)
        beams.finish(log_probs[:, special.eos_id], length=step + 1, end=special.eos_id)
        log_probs[:, special.eos_id] = float("-inf")
        beams.extend(log_probs)
        if step + 1 == limits.max_tokens:
            beams.finish(None, length=limits.max_tokens)
            break
        rows = beams.drop_done_images(next_length=step + 2)
        if not beams.images:
            break
        next_tokens.reorder(rows)
        tokens = beams.tokens[:, :, -1].flatten()
    return [finished_caption(best.tokens, best.token_log_probs, special, best.log_likelihood) for best in beams.best]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Best:
    """The best finished caption of an image so far."""

    tokens: list[int]
    token_log_probs: list[float]
    log_likelihood: float
    score: float


@final
class _Beams:
    """The unfinished captions of the remaining images, and every image's best finished caption."""

    def __init__(self, num_images: int, limits: BeamLimits) -> None:
        self.limits = limits
        self.images = list(range(num_images))
        nothing = _Best(tokens=[], token_log_probs=[], log_likelihood=float("-inf"), score=float("-inf"))
        self.best = [nothing for _ in self.images]
        # Only the first beam has a finite score at the start, or all beams would hold the same caption.
        self.totals: Float[Tensor, "images beams"] = torch.full((num_images, limits.num_beams), float("-inf"))
        self.totals[:, 0] = 0
        self.tokens: Int[Tensor, "images beams length"] = torch.empty(num_images, limits.num_beams, 0, dtype=torch.long)
        self.token_log_probs: Float[Tensor, "images beams length"] = torch.empty(num_images, limits.num_beams, 0)
        self._parents: Int[Tensor, "images beams"] = torch.zeros(num_images, limits.num_beams, dtype=torch.long)

    def extended(self, log_probs: Float[Tensor, "rows tokens"]) -> Float[Tensor, "images beams tokens"]:
        """Return the log-likelihood of every beam extended by each of some next tokens."""
        return self.totals.to(log_probs)[:, :, None] + log_probs.unflatten(0, (-1, self.limits.num_beams))

    def finish(self, end_log_probs: Float[Tensor, " rows"] | None, *, length: int, end: int | None = None) -> None:
        """Compare each image's best beam with its best finished caption.

        A beam ends with the token ``end``, whose log-probabilities are ``end_log_probs``, or as it is.
        """
        totals = self.totals if end_log_probs is None else self.extended(end_log_probs[:, None]).squeeze(2)
        values, places = totals.max(1)
        for row, (image, total, beam) in enumerate(zip(self.images, values.tolist(), places.tolist(), strict=True)):
            score = self.limits.score(total, length)
            if score > self.best[image].score:
                tokens, token_log_probs = self.tokens[row, beam].tolist(), self.token_log_probs[row, beam].tolist()
                if end is not None and end_log_probs is not None:
                    tokens.append(end)
                    token_log_probs.append(float(end_log_probs[row * self.limits.num_beams + beam]))
                self.best[image] = _Best(
                    tokens=tokens, token_log_probs=token_log_probs, log_likelihood=total, score=score
                )

    def extend(self, log_probs: Float[Tensor, "rows vocab"]) -> None:
        """Keep each image's best continuations as its new beams."""
        # A beam has at most num_beams successors, so the top of its vocabulary is enough for the joint top-k.
        top_log_probs, next_tokens = log_probs.topk(min(self.limits.num_beams, log_probs.shape[1]))
        totals, places = self.extended(top_log_probs).flatten(1).topk(self.limits.num_beams)
        order = _in_places_of_parents(places // top_log_probs.shape[1])
        self.totals, places = totals.gather(1, order), places.gather(1, order)
        self._parents = places // top_log_probs.shape[1]
        self.tokens = self._appended(self.tokens, next_tokens, places)
        self.token_log_probs = self._appended(self.token_log_probs.to(top_log_probs.dtype), top_log_probs, places)

    def _appended(
        self, before: Shaped[Tensor, "images beams length"], top: Shaped[Tensor, "rows top"], places: Tensor
    ) -> Shaped[Tensor, "images beams longer"]:
        """Return what the new beams' parents hold, with the value at each one's own place among the top ones."""
        before = before.to(places.device)
        inherited = before.gather(1, self._parents[:, :, None].expand(-1, -1, before.shape[2]))
        return torch.cat([inherited, top.view(len(places), -1).gather(1, places)[:, :, None]], 2)

    def drop_done_images(self, *, next_length: int) -> Int[Tensor, " kept"]:
        """Drop images whose best caption cannot be beaten; return the old row that each remaining row continues."""
        best_totals = self.totals.amax(1).tolist()
        open_rows = [
            row
            for row, image in enumerate(self.images)
            if self.limits.best_possible(best_totals[row], next_length) > self.best[image].score
        ]
        self.images = [self.images[row] for row in open_rows]
        kept = torch.tensor(open_rows, dtype=torch.long, device=self.totals.device)
        rows = (torch.arange(len(self._parents), device=kept.device)[:, None] * self.limits.num_beams) + self._parents
        self.totals, self.tokens = self.totals[kept], self.tokens[kept]
        self.token_log_probs = self.token_log_probs[kept]
        return rows[kept].flatten()


def _in_places_of_parents(parents: Int[Tensor, "images beams"]) -> Int[Tensor, "images beams"]:
    """Return an order in which every parent's first beam takes its place, and further ones the free places.

    So most rows stay where they are, and caches are copied for the others alone.
    """
    is_parent = torch.zeros_like(parents).scatter_(1, parents, 1)
    has_same_parent = parents[:, :, None] == parents[:, None]
    is_further = has_same_parent.tril(-1).any(2)
    free_places_first = is_parent.argsort(dim=1, stable=True)
    further_first = parents.masked_fill(is_further, -1).argsort(dim=1, stable=True)
    return torch.empty_like(parents).scatter_(1, free_places_first, further_first)
