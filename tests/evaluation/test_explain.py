"""ftlib/evaluation/explain.py: attributions that must sum, heads that must fall silent,
and explanations of a model whose reasons are known.
"""

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from ftlib.evaluation import explain
from ftlib.models import attention, transformer
from ftlib.objectives import classify


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformer.Config(
        vocab_size=50, width=32, layers=2, heads=4, ffn_dim=64, max_tokens=16,
        dropout=0.1,
    )  # fmt: skip
    net = classify.Classifier(transformer.Transformer(config), 2)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:  # larger than at the start, so that something is not linear
                p.mul_(4)
    return net


IDS = torch.tensor([[2, 7, 9, 11, 30, 3]])
BLANK = torch.tensor([[2, 4, 4, 4, 4, 3]])


def log_odds_of(model, ids):
    model.eval()
    with torch.no_grad():
        return float(explain.log_odds(model(ids).logits))


def test_gradients_sum_to_the_difference(model):
    whole = log_odds_of(model, IDS) - log_odds_of(model, BLANK)
    errors = []
    for steps in (4, 64, 512):
        parts = explain.integrated_gradients(
            model, model.encoder.tokens, IDS, BLANK, steps=steps
        )
        errors.append(abs(float(parts.sum()) - whole))
    assert errors[-1] < 1e-3 * max(1, abs(whole)) and errors[-1] <= errors[0]
    # tokens that are equal in both say nothing
    assert parts[[0, -1]].abs().max() == 0
    # a hook that stays would freeze the input
    assert log_odds_of(model, IDS) != log_odds_of(model, BLANK)


def test_a_linear_model_is_explained_exactly():
    torch.manual_seed(1)

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(50, 2)

        def forward(self, input_ids, attention_mask=None):
            return self.tokens(input_ids).sum(1)

    net = Sum()
    table = (net.tokens.weight[:, 1] - net.tokens.weight[:, 0]).detach()
    parts = explain.integrated_gradients(net, net.tokens, IDS, BLANK, steps=3)
    torch.testing.assert_close(parts, (table[IDS] - table[BLANK])[0])
    torch.testing.assert_close(
        explain.input_times_gradient(net, net.tokens, IDS), table[IDS][0]
    )


def test_mode_is_kept(model):
    model.train()
    explain.integrated_gradients(model, model.encoder.tokens, IDS, BLANK, steps=2)
    assert model.training and model.dropout.training


def test_silent_head_is_a_head_whose_output_is_zero(model):
    before = log_odds_of(model, IDS)
    for layer in range(2):
        for head in range(4):
            with explain.ablated_head(model, layer, head):
                silent = log_odds_of(model, IDS)
            # the same with the columns of the output matrix set to zero
            out = model.encoder.blocks[layer].attention.out
            kept = out.weight.detach().clone()
            with torch.no_grad():
                out.weight[:, head * 8 : head * 8 + 8] = 0
            assert silent == pytest.approx(log_odds_of(model, IDS), abs=1e-5)
            with torch.no_grad():
                out.weight.copy_(kept)
            assert abs(silent - before) > 1e-6
    assert log_odds_of(model, IDS) == before
    with pytest.raises(ValueError, match="layer 2, head 0: the model has 2 layers"):
        with explain.ablated_head(model, 2, 0):
            pass


def test_attention_is_a_share(model):
    weights = attention.attention_maps(model, IDS)
    for share in (explain.attention_received, explain.attention_rollout):
        got = share(weights)
        assert got.shape == (1, 6) and bool((got >= 0).all())
        assert float(got.sum()) == pytest.approx(1, abs=1e-5)
    # without attention to others, the rollout stays where it is
    alone = torch.eye(3).expand(2, 1, 4, 3, 3)
    torch.testing.assert_close(explain.attention_rollout(alone), torch.ones(1, 3) / 3)


def test_deletions():
    row, relevance = [1, 5, 6, 7, 2], [9, 0.1, 0.3, 0.2, 9]
    got = explain.deletions(row, relevance, [0, 1, 2, 3], fixed={0, 4})
    assert got == [row, [1, 5, 7, 2], [1, 5, 2], [1, 2]]
    assert explain.without_each(row, {0, 4}) == [[1, 6, 7, 2], [1, 5, 7, 2],
                                                 [1, 5, 6, 2]]  # fmt: skip


def test_the_faithful_order_makes_the_score_fall_fastest():
    draw = torch.Generator().manual_seed(2)
    worth = torch.rand(50, generator=draw)
    fallen = {"true": 0.0, "random": 0.0, "reverse": 0.0}
    for _ in range(20):
        row = torch.randint(0, 50, (12,), generator=draw).tolist()
        orders = {
            "true": worth[row],
            "random": torch.rand(12, generator=draw),
            "reverse": -worth[row],
        }
        for name, relevance in orders.items():
            left = explain.deletions(row, relevance, [3, 6])
            fallen[name] += float(
                2 * worth[row].sum() - sum(worth[r].sum() for r in left)
            )
    assert fallen["true"] > 1.3 * fallen["random"] > 1.3 * fallen["reverse"]


def test_randomised_keeps_the_numbers_and_forgets(model):
    shuffled = explain.randomised(model, seed=1)
    for (name, a), b in zip(model.named_parameters(), shuffled.parameters()):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
        assert (a.ndim == 1) == torch.equal(a, b), name
    head_only = explain.randomised(model, ["head"])
    torch.testing.assert_close(
        head_only.encoder.tokens.weight, model.encoder.tokens.weight
    )
    assert not torch.equal(head_only.head.weight, model.head.weight)


def test_rank_correlation_is_that_of_scipy():
    draw = torch.Generator().manual_seed(3)
    for _ in range(10):
        a, b = torch.randint(0, 6, (2, 15), generator=draw)
        assert explain.spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert explain.spearman([1, 1], [1, 2]) != 0  # NaN
