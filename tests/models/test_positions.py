"""Positions against transformers: waves, rotations in both pairings, places of padded
rows, longer tables.
"""

import pytest
import torch

from ftlib.models import attention, positions


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def far(a, b):
    return (a - b).abs().max().item()


def test_waves_are_those_of_transformers():
    from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions

    theirs = create_sinusoidal_positions(300, 64)  # all sines, then all cosines
    ours = positions.sinusoidal(300, 64)
    assert (
        far(ours[:, 0::2], theirs[:, :32]) < 1e-4
        and far(ours[:, 1::2], theirs[:, 32:]) < 1e-4
    )


def test_products_of_waves_depend_on_the_distance():
    waves = positions.sinusoidal(200, 32)
    table = waves @ waves.T
    assert all(table.diagonal(d).std() < 1e-3 for d in (0, 1, 9, 90))


def llama(theta=10000.0):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(hidden_size=128, num_attention_heads=4)
    config.rope_parameters = {"rope_type": "default", "rope_theta": theta}
    return LlamaRotaryEmbedding(config)


@pytest.mark.parametrize("theta", [10000.0, 500000.0])
@pytest.mark.parametrize("places", [None, "shifted", "per row"])
def test_rotation_equals_llama(places, theta):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k = drawn(2, 4, 50, 32), drawn(2, 4, 50, 32, seed=1)
    ids = torch.arange(50).expand(2, 50)
    ids = (
        ids + 100
        if places == "shifted"
        else (ids - torch.tensor([[0], [7]])).clamp(min=0)
        if places
        else ids
    )
    expected = apply_rotary_pos_emb(q, k, *llama(theta)(q, ids))
    tables = positions.rotary_tables(200, 32, base=theta)
    given = None if places is None else ids[:, None]  # (B, 1, T)
    for x, theirs in zip((q, k), expected):
        assert far(positions.apply_rotary(x, *tables, positions=given), theirs) < 1e-4


def test_scores_depend_on_the_distance_and_lengths_stay():
    q, k = drawn(32), drawn(32, seed=1)
    cos, sin = positions.rotary_tables(300, 32)
    a, b = (positions.apply_rotary(x.expand(300, 32), cos, sin) for x in (q, k))
    assert all((a @ b.T).diagonal(d).std() < 1e-4 for d in (-100, -1, 0, 3, 250))
    assert far(a.norm(dim=-1), q.norm().expand(300)) < 1e-4


def test_scale_squeezes_positions():
    cos, _ = positions.rotary_tables(100, 16)
    slow, _ = positions.rotary_tables(400, 16, scale=4)
    assert far(slow[::4], cos) < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_neighbours_to_halves_gives_the_scores_of_gptj(bias):
    from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as theirs
    from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions

    B, T, D, H = 2, 20, 24, 3
    x, K = drawn(B, T, D), D // H
    W, b = (
        [drawn(D, D, seed=s) / 5 for s in (1, 2)],
        [drawn(D, seed=s) if bias else torch.zeros(D) for s in (3, 4)],
    )
    table = create_sinusoidal_positions(T, K)
    sin, cos = table[None, :, : K // 2], table[None, :, K // 2 :]
    apart = [
        theirs((x @ w.T + c).view(B, T, H, K), sin, cos).transpose(1, 2)
        for w, c in zip(W, b)
    ]
    turned = [
        (
            x @ positions.interleaved_to_half(w, H).T
            + positions.interleaved_to_half(c, H)
        )
        .view(B, T, H, K)
        .transpose(1, 2)
        for w, c in zip(W, b)
    ]
    q, k = (positions.apply_rotary(y, *positions.rotary_tables(T, K)) for y in turned)
    assert far(q @ k.transpose(-1, -2), apart[0] @ apart[1].transpose(-1, -2)) < 1e-4
    as_it_is = [(x @ w.T + c).view(B, T, H, K).transpose(1, 2) for w, c in zip(W, b)]
    q, k = (positions.apply_rotary(y, *positions.rotary_tables(T, K)) for y in as_it_is)
    # the planted fault: not reordered
    assert far(q @ k.transpose(-1, -2), apart[0] @ apart[1].transpose(-1, -2)) > 0.1


def test_padding_on_either_side_gives_the_same_rotated_scores():
    ids = positions.position_ids(
        torch.tensor([[0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    )
    assert ids.tolist() == [[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0] * 5]


def test_stretch_keeps_the_rows_it_passes_and_refuses_to_shrink():
    table = drawn(9, 4)
    assert (
        far(positions.interpolate_positions(table, 17)[::2], table) < 1e-6
        and far(positions.interpolate_positions(table, 9), table) < 1e-6
    )
    assert positions.interpolate_positions(table.half(), 20).dtype == torch.float16
    with pytest.raises(ValueError, match="9 rows, more than the 5"):
        positions.interpolate_positions(table, 5)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: positions.sinusoidal(5, 7), "width 7 is odd"),
        (lambda: positions.rotary_tables(5, 7), "head width 7 is odd"),
        (
            lambda: positions.apply_rotary(
                drawn(2, 6, 8), *positions.rotary_tables(5, 8)
            ),
            "reaches position 6, the tables have 5 rows",
        ),
        (
            lambda: positions.apply_rotary(
                drawn(1, 1, 8),
                *positions.rotary_tables(5, 8),
                positions=torch.tensor([9]),
            ),
            "position 10",
        ),
    ],
)
def test_errors_name_value_and_remedy(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_on_any_side_changes_no_real_token(kind, side, counted):
    """One causal attention layer: a padded row against the same row alone."""
    T, D, n = 9, 8, 5
    begin = {"left": 4, "right": 0, "both": 2}[side]
    mask = torch.zeros(1, T, dtype=torch.long)
    mask[:, begin : begin + n] = 1
    x, real = drawn(1, T, D), slice(begin, begin + n)
    table, tables = drawn(20, D, seed=3), positions.rotary_tables(20, D)
    waves = positions.sinusoidal(20, D)

    def layer(x, ids, may):
        vectors = {"learned": table, "sinusoidal": waves}.get(kind)
        q = k = v = x if vectors is None else x + vectors[ids]
        if kind == "rotary":
            q = positions.apply_rotary(x, *tables, positions=ids)
            k = positions.apply_rotary(x + 0.1, *tables, positions=ids)
        return attention.attend(q, k, v, may)

    may = attention.causal_mask(T) & attention.padding_mask(mask)[:, 0]
    alone = layer(x[:, real], torch.arange(n)[None], attention.causal_mask(n))
    got = layer(x, positions.position_ids(mask), may)
    assert got.isfinite().all() and far(got[:, real], alone) < 1e-5
    # controls: padding that is not hidden, and for a table columns that are counted
    seen = layer(x, positions.position_ids(mask), attention.causal_mask(T))
    by_column = layer(x, torch.arange(T)[None], may)
    assert side == "right" or far(seen[:, real], alone) > 1e-2
    # rotations know distances alone
    moved = side != "right" and kind != "rotary"
    assert (far(by_column[:, real], alone) > 1e-2) is moved
    counted("fault", 2)
