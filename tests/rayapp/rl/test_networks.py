"""Encoders and networks on observation vectors."""

import torch

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
    assert NetworkSpec.from_json(SPEC.to_json()) == SPEC
