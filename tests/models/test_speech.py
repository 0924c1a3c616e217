"""Spoken words: the network, warping against every path, masks, and Whisper's encoder
and generation against transformers.
"""

import itertools

import pytest
import torch
import transformers

from ftlib.models import speech


def cheapest(cost):
    """By going along every path."""
    rows, columns = cost.shape

    def best(i, j):
        if i == j == 0:
            return float(cost[0, 0])
        steps = ((i - 1, j), (i, j - 1), (i - 1, j - 1))
        return float(cost[i, j]) + min(best(*s) for s in steps if min(s) >= 0)

    return best(rows - 1, columns - 1)


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 4), (5, 1), (4, 6), (6, 5)])
def test_dtw_is_the_cheapest_of_all_paths(rows, columns):
    torch.manual_seed(rows)
    a, b = torch.randn(3, 2, rows), torch.randn(3, 2, columns)
    got = speech.dtw(a, b)
    for row, x, y in zip(got, a, b):
        cost = torch.cdist(x.T, y.T)
        assert float(row) == pytest.approx(cheapest(cost), rel=1e-5)
    torch.testing.assert_close(got, speech.dtw(b, a))


def test_slow_speech_is_near_and_another_word_is_far():
    torch.manual_seed(0)
    words = torch.randn(3, 4, 8)
    slow = words.repeat_interleave(2, dim=2)
    assert float(speech.dtw(words, slow).abs().max()) < 1e-3
    assert speech.nearest_template(slow, words).tolist() == [0, 1, 2]


def test_spec_augment_masks_bands_and_repeats():
    x = torch.rand(4, 80, 100) + 1
    one = speech.spec_augment(x, seed=3, shift=0)
    assert torch.equal(one, speech.spec_augment(x, seed=3, shift=0))
    assert not torch.equal(one, speech.spec_augment(x, seed=4, shift=0))
    lowest = x.amin(dim=(1, 2), keepdim=True)
    changed = one != x
    assert torch.equal(one[changed], lowest.expand_as(x)[changed])
    for seed, row in itertools.product(range(20), range(4)):
        masked = (speech.spec_augment(x, seed, shift=0) == lowest)[row]
        assert masked.all(dim=1).sum() <= 15 and masked.all(dim=0).sum() <= 15
    moved = speech.spec_augment(x, seed=1, mels=0, frames=0)
    assert torch.equal(moved.sort(dim=2).values, x.sort(dim=2).values)


def test_the_network_is_independent_of_the_rest_of_the_batch():
    torch.manual_seed(0)
    x = torch.randn(3, 80, 100)
    for per_frame, shape in ((False, (3, 7)), (True, (3, 25, 7))):
        net = speech.SpeechCNN(7, per_frame=per_frame).eval()
        assert net(x).shape == shape
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]))


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=20,
        max_target_positions=30,
        pad_token_id=50,
        bos_token_id=50,
        eos_token_id=50,
        decoder_start_token_id=51,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return transformers.WhisperForConditionalGeneration(config).eval()


def test_encode_equals_the_encoder_at_its_own_length(tiny):
    x = torch.randn(2, 80, 40)
    ours = speech.encode(tiny.model.encoder, x)
    theirs = tiny.model.encoder(x).last_hidden_state
    torch.testing.assert_close(ours, theirs)
    assert speech.encode(tiny.model.encoder, x[:, :, :12]).shape == (2, 6, 16)
    with pytest.raises(ValueError, match="an even number up to 40"):
        speech.encode(tiny.model.encoder, x[:, :, :11])
    with pytest.raises(ValueError, match="an even number up to 40"):
        speech.encode(tiny.model.encoder, torch.zeros(1, 80, 42))


def test_transcribe_is_greedy_decoding(tiny):
    x, prompt = torch.randn(2, 80, 40), [51, 52]
    written = speech.transcribe(tiny, x, prompt, max_new_tokens=6)
    for row, own in zip(x, written):
        ids = list(prompt)
        for _ in range(6):
            inputs = torch.tensor([ids])
            logits = tiny(row[None], decoder_input_ids=inputs).logits[0, -1]
            ids.append(int(logits.argmax()))
        wanted = ids[len(prompt) :]
        wanted = wanted[: wanted.index(50)] if 50 in wanted else wanted
        assert own == wanted


def test_transcribe_obeys_the_generation_config_and_restores_the_mode(tiny):
    x, settings = torch.randn(1, 80, 40), tiny.generation_config
    (free,) = speech.transcribe(tiny, x, [51], max_new_tokens=4)
    settings.begin_suppress_tokens, settings.suppress_tokens = [free[0]], [7]
    try:
        tiny.train()
        (bound,) = speech.transcribe(tiny, x, [51], max_new_tokens=4)
        assert tiny.training and bound[0] != free[0] and 7 not in bound
    finally:
        settings.begin_suppress_tokens = settings.suppress_tokens = None
        tiny.eval()


def test_a_sound_has_no_distance_to_itself():
    same = 20 * torch.randn(2, 8, 100, generator=torch.Generator().manual_seed(0))
    assert speech.dtw(same, same).tolist() == [0, 0]
