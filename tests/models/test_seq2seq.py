"""The encoder-decoder and its two searches against transformers' Pegasus; what depends
on what; a target is never seen before it is written.
"""

import functools

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from ftlib.models import pegasus_format, seq2seq
from ftlib.training import optim, train

SIZES = dict(
    vocab_size=60, max_len=40, dim=32, heads=4, encoder_layers=2, decoder_layers=2
)
PAD, BOS, EOS = 0, 2, 3


def tiny(seed=0, **changes):
    torch.manual_seed(seed)
    return seq2seq.Seq2Seq(seq2seq.Config(**SIZES | {"ffn_dim": 48} | changes)).eval()


def sources(rows=6, length=8, seed=1, top=60):
    """input_ids and attention_mask, every third row shorter than the others."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, top, (rows, length), generator=draw)
    mask = torch.ones_like(ids)
    mask[::3, length - 3 :] = 0
    return ids.masked_fill(mask == 0, PAD), mask


def reversals(seed, rows=32, length=6):
    """A task that is learnt in seconds: write the source backwards."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 20, (rows, length), generator=draw)
    labels = torch.cat([ids.flip(1), torch.full((rows, 1), EOS)], dim=1)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
    }


def losses(model, steps=150, smoothing=0.1):
    loss_fn = functools.partial(seq2seq.seq2seq_loss, smoothing=smoothing)
    optimizer = optim.adamw(optim.parameter_groups(model, 3e-3))
    run = train.steps(model, map(reversals, range(steps)), loss_fn, optimizer)
    return [step.loss for step in run]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(our model, the same one as transformers opens it); not trained to the end, so
    that beams differ from the greedy text.
    """
    model = tiny(dropout=0.0)
    curve = losses(model)
    assert curve[-1] < 0.8 * curve[0]
    folder = tmp_path_factory.mktemp("pegasus")
    pegasus_format.save(model.eval(), folder, half=False)
    return model, AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def cut(rows):
    """Tokens between the start and the end."""
    return [seq2seq._until(row[1:], EOS) for row in rows.tolist()]


@torch.no_grad()
def test_logits_are_those_of_transformers(trained):
    ours, theirs = trained
    ids, mask = sources()
    reads = torch.cat([torch.full((6, 1), BOS), sources(seed=2)[0]], dim=1)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=reads)
    torch.testing.assert_close(ours(ids, mask, reads), expected.logits)


def test_greedy_is_that_of_transformers(trained):
    ours, theirs = trained
    ids, mask = sources(24, top=30)
    expected = theirs.generate(
        ids, attention_mask=mask, max_new_tokens=20, num_beams=1, do_sample=False
    )
    assert seq2seq.greedy(ours, ids, mask, 20) == cut(expected)


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
def test_beam_search_is_that_of_transformers(trained, width, penalty):
    ours, theirs = trained
    ids, mask = sources(24, top=30)
    expected = theirs.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=12,
        num_beams=width,
        length_penalty=penalty,
        early_stopping=True,
        output_scores=True,
        return_dict_in_generate=True,
    )
    lists, scores = seq2seq.beam_search(ours, ids, mask, width, penalty, 12)
    assert lists == cut(expected.sequences)
    torch.testing.assert_close(torch.tensor(scores), expected.sequences_scores)


def test_beams_find_likelier_texts_than_greedy(trained):
    """No law of beam search, so it is counted: with penalty 0 the score of a beam is
    its log-probability, and it is not below greedy's in nearly every row.
    """
    ours, _ = trained
    ids, mask = sources(200, top=30, seed=5)
    one, alone = seq2seq.beam_search(ours, ids, mask, 1, 0.0, 20)
    assert one == seq2seq.greedy(ours, ids, mask, 20)
    many, best = seq2seq.beam_search(ours, ids, mask, 8, 0.0, 20)
    assert many != one
    gain = torch.tensor(best) - torch.tensor(alone)
    assert (gain > -1e-4).float().mean() > 0.97 and gain.mean() > 0.02


def test_scores_are_log_probabilities(trained):
    ours, _ = trained
    ids, mask = sources(12, top=30)
    lists, scores = seq2seq.beam_search(ours, ids, mask, 4, 0.0, 20)
    for i, tokens in enumerate(lists):
        if len(tokens) < 20:  # else it was cut, and has no end
            batch = {
                "input_ids": ids[i : i + 1],
                "attention_mask": mask[i : i + 1],
                "labels": torch.tensor([[*tokens, EOS]]),
            }
            found = float(seq2seq.log_probability(ours, batch))
            assert found == pytest.approx(scores[i], abs=1e-4)


@torch.no_grad()
def test_the_cache_changes_nothing():
    model = tiny()
    ids, mask = sources()
    reads = sources(seed=2)[0].clamp(min=4)
    memory = model.encode(ids, mask)
    whole, cache = model.decode(reads, *memory), []
    for t in range(reads.shape[1]):
        step = model.decode(reads[:, t : t + 1], *memory, cache=cache)
        torch.testing.assert_close(step[:, 0], whole[:, t])
    # the source's keys and values were made once, and have its length
    assert cache[0]["cross"][0].shape[2] == ids.shape[1]
    assert cache[0]["self"][0].shape[2] == reads.shape[1]


@torch.no_grad()
def test_no_target_leaks():
    model = tiny()
    ids, mask = sources()
    labels = sources(seed=3)[0].clamp(min=5)
    before = model(ids, mask, seq2seq.shift_right(labels))
    for t in range(labels.shape[1]):
        changed = labels.clone()
        changed[:, t] = (labels[:, t] + 1) % 55 + 5
        after = model(ids, mask, seq2seq.shift_right(changed))
        assert torch.equal(after[:, : t + 1], before[:, : t + 1])
        # the planted fault: unshifted labels give the answer away
        leaked = model(ids, mask, changed)[:, t] - model(ids, mask, labels)[:, t]
        assert leaked.abs().max() > 1e-3


@torch.no_grad()
def test_padding_changes_nothing():
    model = tiny()
    ids, mask = sources()
    reads = sources(seed=2)[0].clamp(min=5)
    batched = model(ids, mask, reads)
    alone = model(ids[:1, :5], mask[:1, :5], reads[:1])
    torch.testing.assert_close(alone[0], batched[0])
    # columns of nothing but padding
    wide = torch.nn.functional.pad(ids, (0, 4)), torch.nn.functional.pad(mask, (0, 4))
    torch.testing.assert_close(model(*wide, reads), batched)
    assert seq2seq.greedy(model, *wide, 9) == seq2seq.greedy(model, ids, mask, 9)
    labels = torch.cat([reads, torch.full((6, 3), -100)], dim=1)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": reads}
    torch.testing.assert_close(
        seq2seq.seq2seq_loss(model, batch | {"labels": labels}),
        seq2seq.seq2seq_loss(model, batch),
    )


@torch.no_grad()
def test_the_loss_is_a_sum_over_the_targets():
    model = tiny()
    batch = reversals(0, rows=4)
    batch["labels"][1, 4:] = -100
    reads = seq2seq.shift_right(batch["labels"])
    logits = model(batch["input_ids"], batch["attention_mask"], reads)
    for smoothing in (0.0, 0.2):
        expected = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),
            batch["labels"].flatten(),
            reduction="sum",
            label_smoothing=smoothing,
        )
        found = seq2seq.seq2seq_loss(model, batch, smoothing)
        torch.testing.assert_close(found, expected)
    found = seq2seq.log_probability(model, batch).sum()
    torch.testing.assert_close(-found, seq2seq.seq2seq_loss(model, batch))


def test_shift_right():
    labels = torch.tensor([[7, 8, 3], [9, 3, -100]])
    assert seq2seq.shift_right(labels).tolist() == [[2, 7, 8], [2, 9, 3]]
    assert seq2seq.shift_right(labels, bos_id=1).tolist() == [[1, 7, 8], [1, 9, 3]]
    longer = torch.tensor([[9, 3, -100, -100]])
    assert seq2seq.shift_right(longer, pad_id=5).tolist() == [[2, 9, 3, 5]]


def test_bfloat16_trains_as_float32_does():
    """The attention that is written out for bfloat16 is the fused one."""
    q, k, v = (torch.randn(2, 4, n, 8) for n in (5, 7, 7))
    mask = sources(2, 7)[1][:, None, None, :].bool()
    for m, causal, keys in ((mask, False, k), (None, False, k), (None, True, q)):
        values = v if keys is k else torch.randn_like(q)
        found = seq2seq._attention(q, keys, values, m, 0.0, causal)
        expected = torch.nn.functional.scaled_dot_product_attention(
            q, keys, values, m, is_causal=causal
        )
        torch.testing.assert_close(found, expected)
    model, batch = tiny(dropout=0.0).train(), reversals(0)
    with torch.autocast("cpu", torch.bfloat16):
        half = seq2seq.seq2seq_loss(model, batch)
    half.backward()
    half = half.detach()
    assert float(half) == pytest.approx(
        float(seq2seq.seq2seq_loss(model, batch).detach()), rel=0.01
    )


def test_every_weight_learns_and_modes_come_back():
    model = tiny().train()
    seq2seq.seq2seq_loss(model, reversals(0)).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    for search in (seq2seq.greedy, seq2seq.beam_search):
        search(model, *sources(2), max_new=3)
        assert all(module.training for module in model.modules())


def test_cross_attention_of_one_pair():
    model = tiny()
    ids, _ = sources(1, 9)
    reads = torch.tensor([[BOS, 9, 11]])
    maps = seq2seq.cross_attention(model, ids, reads)
    assert maps.shape == (2, 4, 3, 9)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 3))


@torch.no_grad()
def test_cross_attention_is_what_the_model_uses(trained):
    ours, theirs = trained
    ids, reads = sources(2)[0][1:2], torch.tensor([[BOS, 9, 11]])
    theirs.set_attn_implementation("eager")
    expected = theirs(
        input_ids=ids, decoder_input_ids=reads, output_attentions=True
    ).cross_attentions
    theirs.set_attn_implementation("sdpa")
    found = seq2seq.cross_attention(ours, ids, reads)
    torch.testing.assert_close(found, torch.cat(expected))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, i: m(i.repeat(1, 9), None, i), "54 tokens, .* at most 40"),
        (lambda m, i: seq2seq.greedy(m, i, max_new=0), "max_new is 0"),
        (lambda m, i: seq2seq.greedy(m, i, max_new=41), "1 to 40"),
        (lambda m, i: seq2seq.beam_search(m, i, width=0, max_new=9), "width is 0"),
        (lambda m, i: seq2seq.beam_search(m, i, width=31, max_new=9), "1 to 30"),
        (lambda m, i: seq2seq.greedy(m, i[0], max_new=9), r"shape \(6,\)"),
        (lambda m, i: seq2seq.beam_search(m, i[:0], max_new=9), r"shape \(0, 6\)"),
        (lambda m, i: seq2seq.cross_attention(m, i, i), "2 sources and 2 targets"),
    ],
)
def test_bad_input_gets_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call(tiny(), sources(2, 6)[0])
    assert "\n" not in str(caught.value)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="dim 30 .* heads 4"):
        tiny(dim=30)
    with pytest.raises(ValueError, match="decoder_layers=0"):
        tiny(decoder_layers=0)
