"""Policy and value networks on the paper's observation vector; torch alone, no Ray.

The environment hands out raw numbers (eq. 2 and 4); how to encode them is decided here:

* ``raw``: the vector goes into the network as it is. The paper's baseline.
* ``embedding``: class and advised action one-hot, a learnt vector per signature, counts as
  logarithms, rewards scaled to -1..1. With a second opinion, its class one-hot, how many digits
  sure it is, and a learnt vector for what both detectors say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from envs import Catalogue
from envs.detector.opinion import BUCKETS, CUTS

EncoderKind = Literal["embedding", "raw"]

_LOG_COUNT_SCALE = 10.0
"""Divides log(1 + count), so that a count of 20,000 flows enters the network as about 1."""

_DIGITS, _SUREST = 4.0, 0.9999


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built from.

    Attributes:
        signatures, classes, actions: sizes of the problem.
        augmented: whether observations have A_LLM and R_LLM (eq. 4).
        reward_scale: the largest reward or loss; R_LLM enters the network divided by it.
        encoder: how observations enter.
        embedding_dim: length of a signature's learnt vector.
        hidden: widths of the hidden layers.
        opinion: whether observations have a second opinion's class and confidence.
    """

    signatures: int
    classes: int
    actions: int
    augmented: bool
    reward_scale: int
    encoder: EncoderKind = "embedding"
    embedding_dim: int = 16
    hidden: tuple[int, ...] = (64, 64)
    opinion: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields; policies without a second opinion say nothing of it."""
        fields = asdict(self) | {"hidden": list(self.hidden)}
        if not self.opinion:
            del fields["opinion"]
        return fields

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkSpec:
        """The inverse of :meth:`to_json`."""
        if "reward_scale" not in data:
            # Policies that do not say so were all trained with the paper's catalogue.
            data = {**data, "reward_scale": Catalogue.named("paper").reward_scale}
        return cls(**{**data, "hidden": tuple(data["hidden"])})


class Prepared(NamedTuple):
    """Observations as far as they can be encoded without learnt parameters.

    Whoever takes several gradient steps on the same observations prepares them once.

    Attributes:
        signature: int64 [n].
        before, after: float32 [n, ...], the features left and right of the learnt vector.
        kind: int64 [n], what both detectors say; ``None`` without a second opinion.
    """

    signature: Tensor
    before: Tensor
    after: Tensor
    kind: Tensor | None = None


class RawEncoder(nn.Module):
    """The observation vector as it is, float32 [n, columns]."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.width = (7 if spec.augmented else 5) + 2 * spec.opinion

    def prepare(self, observations: Tensor) -> Prepared:
        """There is nothing to look up."""
        return Prepared(observations[:, 1].long(), observations, observations[:, :0])

    def join(self, prepared: Prepared) -> Tensor:
        """The observations again."""
        return prepared.before

    def forward(self, observations: Tensor) -> Tensor:
        """Returns its input."""
        return observations


class EmbeddingEncoder(nn.Module):
    """Observation vectors [n, columns] to features [n, width].

    With a second opinion, contexts in which both detectors say the same share a learnt vector,
    and signatures have none of their own: with one, networks learn the few flows of rare contexts
    by heart. What is known of a single signature comes in by its counters and by advice, which
    weighs it against what is known of its kind.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.opinion:
            self.kind = nn.Embedding(spec.classes**2 * BUCKETS, spec.embedding_dim)
            nn.init.normal_(self.kind.weight, std=0.1)
        else:
            self.signature = nn.Embedding(spec.signatures, spec.embedding_dim)
            nn.init.normal_(self.signature.weight, std=0.1)
        self._spec = spec
        self.width = spec.classes + spec.embedding_dim + 3
        if spec.augmented:
            self.width += spec.actions + 1
        if spec.opinion:
            self.width += spec.classes + 1

    def prepare(self, observations: Tensor) -> Prepared:
        """All features but the learnt ones."""
        predicted = observations[:, 0].long()
        after = [torch.log1p(observations[:, 2:4]) / _LOG_COUNT_SCALE, observations[:, 4:5]]
        if self._spec.augmented:
            advised = observations[:, 5].long()
            after.append(nn.functional.one_hot(advised, self._spec.actions).float())
            after.append(observations[:, 6:7] / self._spec.reward_scale)
        kind = None
        if self._spec.opinion:
            opinion, confidence = observations[:, -2].long(), observations[:, -1].contiguous()
            after.append(nn.functional.one_hot(opinion, self._spec.classes).float())
            # Digits of certainty: 0.9, 0.99 and 0.999 are evenly spaced.
            after.append(-torch.log10(1 - confidence.clamp(0, _SUREST))[:, None] / _DIGITS)
            cuts = torch.tensor(CUTS, dtype=confidence.dtype, device=confidence.device)
            bucket = torch.bucketize(confidence, cuts, right=True)
            kind = (predicted * self._spec.classes + opinion) * BUCKETS + bucket
        return Prepared(
            observations[:, 1].long(),
            nn.functional.one_hot(predicted, self._spec.classes).float(),
            torch.cat(after, dim=1),
            kind,
        )

    def join(self, prepared: Prepared) -> Tensor:
        """Features with the learnt vectors, float32 [n, width]."""
        if prepared.kind is not None:
            learnt = self.kind(prepared.kind)
        else:
            learnt = self.signature(prepared.signature)
        return torch.cat([prepared.before, learnt, prepared.after], dim=1)

    def forward(self, observations: Tensor) -> Tensor:
        """Encodes a batch of observations."""
        return self.join(self.prepare(observations))


def build(spec: NetworkSpec, outputs: int) -> nn.Sequential:
    """An encoder, tanh layers and a linear head with ``outputs`` values per observation."""
    encoder = RawEncoder(spec) if spec.encoder == "raw" else EmbeddingEncoder(spec)
    layers: list[nn.Module] = [encoder]
    width = encoder.width
    for hidden in spec.hidden:
        layers += [nn.Linear(width, hidden), nn.Tanh()]
        width = hidden
    head = nn.Linear(width, outputs)
    # A nearly uniform policy and a value near 0 to begin with.
    nn.init.orthogonal_(head.weight, 0.01)
    nn.init.zeros_(head.bias)
    return nn.Sequential(*layers, head)
