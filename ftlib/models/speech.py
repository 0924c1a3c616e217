"""Spoken words: a small network over log-mel features, templates compared by dynamic
time warping, SpecAugment, and Whisper's encoder on short sounds.

Use it:

    >>> net = SpeechCNN(classes=10)
    >>> net(torch.zeros(2, 80, 100)).shape  # log-mel (B, M, F)
    torch.Size([2, 10])
    >>> SpeechCNN(classes=11, per_frame=True)(torch.zeros(2, 80, 100)).shape  # for CTC
    torch.Size([2, 25, 11])
    >>> a = torch.tensor([[[0.0, 0.0, 1.0, 2.0]]])  # (B, M, F), one feature
    >>> float(dtw(a, torch.tensor([[[0.0, 1.0, 1.0, 2.0]]])))  # the same, slower
    0.0
    >>> masked = spec_augment(torch.rand(2, 80, 100), seed=0)

`encode(model.model.encoder, features)` is the encoder of a Whisper on any length up to
30 s: `WhisperForConditionalGeneration` itself reads 30 s always, fifteen times the work
for a word. `transcribe(model, features, prompt)` writes its text as ids.

What it is not: a recogniser to buy a ticket with. Needs: torch; `encode` and
`transcribe` need a Whisper of transformers.

Shapes: B batch, M mels, F and G frames, C classes, D width.
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn


class SpeechCNN(nn.Module):
    """Three convolutions along time, the mels as channels; the loudest moment of each
    channel decides. 68,000 parameters for 10 classes.

    per_frame: logits for every fourth frame, (B, F // 4, C), for CTC; otherwise (B, C).
    """

    def __init__(self, classes, mels=80, width=64, per_frame=False):
        super().__init__()
        layers = []
        for inputs, pool in ((mels, 2), (width, 2), (width, 1)):
            layers += [
                nn.Conv1d(inputs, width, 5, padding=2),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.MaxPool1d(pool),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, classes)
        self.per_frame = per_frame

    def forward(self, features) -> torch.Tensor:
        """(B, M, F) -> (B, C), or (B, F // 4, C)."""
        hidden = self.body(features)  # (B, width, F // 4)
        if self.per_frame:
            return self.head(hidden.transpose(1, 2))
        return self.head(hidden.amax(dim=2))


def spec_augment(features, seed, mels=15, frames=15, shift=10) -> torch.Tensor:
    """SpecAugment (Park et al. 2019): in each of (B, M, F) a band of up to `mels` mels
    and one of up to `frames` frames get the row's lowest value, at a place drawn for
    each row; all rows are moved by up to `shift` frames.
    """
    B, M, frames_in_all = features.shape
    generator = torch.Generator().manual_seed(seed)

    def band(n, widest):
        """(B, 1, 1) first and last + 1."""
        width = torch.randint(0, widest + 1, (B, 1, 1), generator=generator)
        first = torch.rand(B, 1, 1, generator=generator) * (n + 1 - width)
        return first.long(), first.long() + width

    low, high = band(M, mels)
    start, end = band(frames_in_all, frames)
    m = torch.arange(M)[None, :, None]
    f = torch.arange(frames_in_all)[None, None]
    hidden = ((m >= low) & (m < high)) | ((f >= start) & (f < end))
    lowest = features.amin(dim=(1, 2), keepdim=True)
    masked = torch.where(hidden.to(features.device), lowest, features)
    move = int(torch.randint(-shift, shift + 1, (1,), generator=generator))
    return masked.roll(move, dims=2)


def dtw(a, b) -> torch.Tensor:
    """(B, M, F), (B, M, G) -> (B,): how far apart two sounds are when time may be
    stretched (Sakoe and Chiba 1978).

    The cheapest path through the table of distances between their frames, from the
    first pair to the last; each step goes on in one sound, in the other, or in both.
    All cells of one anti-diagonal are computed at once.
    """
    # not by a product of matrices, which rounds the distance of equal frames
    exact = "donot_use_mm_for_euclid_dist"
    cost = torch.cdist(a.transpose(1, 2), b.transpose(1, 2), compute_mode=exact)
    B, rows, columns = cost.shape
    never = cost.new_full((B, rows + 1), float("inf"))
    before, last = never.clone(), never.clone()  # by row, shifted by one
    for step in range(rows + columns - 1):
        i = torch.arange(max(0, step - columns + 1), min(rows, step + 1))
        best = torch.minimum(before[:, i], torch.minimum(last[:, i], last[:, i + 1]))
        if step == 0:
            best = torch.zeros_like(best)
        now = never.clone()
        now[:, i + 1] = cost[:, i, step - i] + best
        before, last = last, now
    return last[:, rows]


def nearest_template(features, templates) -> torch.Tensor:
    """(B,) number of the template (C, M, G) that is nearest by `dtw` to each sound
    (B, M, F).
    """
    B, C = len(features), len(templates)
    pairs = features.repeat_interleave(C, dim=0), templates.repeat(B, 1, 1)
    return dtw(*pairs).view(B, C).argmin(dim=1)


def encode(encoder, features) -> torch.Tensor:
    """Log-mel (B, M, F), an even F up to 3000 -> (B, F // 2, D): what Whisper's encoder
    makes of each 20 ms.

    Equal to encoder(features) for the 3000 frames that it insists on. With fewer the
    first positions are used, and no time is spent on the silence behind. Put the
    encoder into eval mode first.
    """
    longest = 2 * len(encoder.embed_positions.weight)
    if features.shape[2] % 2 or features.shape[2] > longest:
        raise ValueError(
            f"there are {features.shape[2]} frames; give an even number up to {longest}"
        )
    hidden = F.gelu(encoder.conv1(features))
    hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)  # half as many frames
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return encoder.layer_norm(hidden)


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@in_eval_mode
@torch.inference_mode()
def transcribe(model, features, prompt, max_new_tokens=60) -> list[list[int]]:
    """Ids that a Whisper writes for log-mel features (B, M, F), greedily, without the
    prompt and the end. Its generation_config says which ids it must not write.

    prompt: ids before the text: start, language, task. Features shorter than 30 s are
    read as they are, which is faster and, for a sound that fills them, less exact.
    """
    settings = model.generation_config
    hidden = encode(model.model.encoder, features)
    ids, cache, written = torch.tensor([prompt] * len(features)), None, []
    for step in range(max_new_tokens):
        result = model.model.decoder(
            input_ids=ids.to(hidden.device),
            encoder_hidden_states=hidden,
            past_key_values=cache,
            use_cache=True,
        )
        cache = result.past_key_values
        logits = model.proj_out(result.last_hidden_state[:, -1])
        logits[:, settings.suppress_tokens or []] = -torch.inf
        if step == 0:
            logits[:, settings.begin_suppress_tokens or []] = -torch.inf
        ids = logits.argmax(dim=1, keepdim=True)
        written.append(ids)
        ended = torch.cat(written, dim=1) == settings.eos_token_id
        if ended.any(dim=1).all():
            break
    end = settings.eos_token_id
    rows = torch.cat(written, dim=1).tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]
