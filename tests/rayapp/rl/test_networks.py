"""Encoders and networks on observation vectors."""

import dataclasses
import math

import pytest
import torch

from envs.detector.opinion import BUCKETS, CONFIDENCES
from rayapp.rl.networks import EmbeddingEncoder, NetworkSpec, RawEncoder, build

SPEC = NetworkSpec(
    signatures=3, classes=8, actions=15, augmented=True, reward_scale=5, embedding_dim=4
)

# y, ID, N, C, B, A_LLM, R_LLM
OBSERVATION = torch.tensor([[2.0, 1.0, 99.0, 98.0, 0.98, 14.0, 5.0]])


def test_raw_encoder_hands_the_papers_vector_on_unchanged() -> None:
    assert torch.equal(RawEncoder(SPEC)(OBSERVATION), OBSERVATION)


def test_embedding_encoder_spells_the_vector_out() -> None:
    encoder = EmbeddingEncoder(SPEC)

    features = encoder(OBSERVATION)[0]

    predicted, learnt, counts, confidence, advised, reward = features.split([8, 4, 2, 1, 15, 1])
    assert predicted.argmax() == 2
    assert torch.equal(learnt, encoder.signature.weight[1])
    assert torch.allclose(counts, torch.log1p(torch.tensor([99.0, 98.0])) / 10)
    assert confidence.item() == torch.tensor(0.98).item()
    assert advised.argmax() == 14
    assert reward.item() == 1.0
    assert len(features) == encoder.width


def test_a_new_policy_is_nearly_uniform() -> None:
    torch.manual_seed(0)
    logits = build(SPEC, outputs=15)(OBSERVATION)

    assert logits.abs().max() < 0.1


def test_raw_and_plain_networks_take_five_columns() -> None:
    spec = NetworkSpec(3, 8, 15, augmented=False, reward_scale=5, encoder="raw", hidden=(16,))

    assert build(spec, outputs=1)(OBSERVATION[:, :5]).shape == (1, 1)


def test_spec_round_trips_through_json() -> None:
    for spec in (SPEC, WITH_OPINION):
        assert NetworkSpec.from_json(spec.to_json()) == spec
    # Policies without a second opinion are written as they always were.
    assert "opinion" not in SPEC.to_json()


# The same with a second opinion: class 7, sure by three digits.
WITH_OPINION = dataclasses.replace(SPEC, opinion=True)
SEEN_TWICE = torch.cat([OBSERVATION, torch.tensor([[7.0, 0.9945]])], dim=1)


def test_the_second_opinion_stands_behind_what_was_there_before() -> None:
    encoder = EmbeddingEncoder(WITH_OPINION)

    features = encoder(SEEN_TWICE)[0]

    widths = [8, 4, 2, 1, 15, 1, 8, 1]
    _, kind, _, _, _, _, opinion, digits = features.split(widths)
    assert torch.equal(kind, encoder.kind.weight[(2 * 8 + 7) * BUCKETS + 3])
    assert opinion.argmax() == 7
    assert digits.item() == pytest.approx(-math.log10(1 - 0.9945) / 4, rel=1e-4)
    assert len(features) == encoder.width


def test_contexts_of_one_kind_share_a_vector_and_others_do_not() -> None:
    encoder = EmbeddingEncoder(WITH_OPINION)
    rows = SEEN_TWICE.repeat(4, 1)
    rows[1, 1] = 2.0  # another signature
    rows[2, 7] = 3.0  # another opinion
    rows[3, 8] = 0.9995  # a surer one

    kinds = encoder.prepare(rows).kind

    assert kinds is not None
    assert kinds[0] == kinds[1]
    assert len(set(kinds.tolist())) == 3
    assert all(
        int(encoder.prepare(rows[:1].index_fill(1, torch.tensor([8]), sure)).kind[0]) % BUCKETS == n
        for n, sure in enumerate(CONFIDENCES)
    )


def test_raw_networks_take_the_second_opinion_as_it_is() -> None:
    spec = dataclasses.replace(WITH_OPINION, encoder="raw")

    assert torch.equal(RawEncoder(spec)(SEEN_TWICE), SEEN_TWICE)
    assert build(spec, outputs=15)(SEEN_TWICE).shape == (1, 15)


def test_first_weights_without_a_second_opinion_are_what_they_were() -> None:
    """Their sum was computed before there were second opinions."""
    torch.manual_seed(0)
    network = build(SPEC, outputs=15)

    assert sum(p.numel() for p in network.parameters()) == 7195
    assert sum(p.double().abs().sum().item() for p in network.parameters()) == pytest.approx(
        442.76151776674146, rel=1e-6
    )
