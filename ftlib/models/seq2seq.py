"""An encoder-decoder transformer, and how it writes: greedy and beam search.

Use it:
    >>> _ = torch.manual_seed(0)
    >>> model = Seq2Seq(Config(vocab_size=50, dim=32, heads=4, ffn_dim=64))
    >>> source = torch.tensor([[7, 8, 9, 3], [7, 3, 0, 0]])
    >>> batch = {
    ...     "input_ids": source,
    ...     "attention_mask": (source != 0).long(),
    ...     "labels": torch.tensor([[11, 12, 3], [13, 3, -100]]),
    ... }
    >>> loss = seq2seq_loss(model, batch)  # the sum over the 5 targets
    >>> lists = greedy(model, source, batch["attention_mask"], max_new=8)
    >>> len(lists)
    2

The encoder reads the source, both ways. The decoder reads what is written so far, each
position only what stands before it, and looks at the encoder's output through
cross-attention (Vaswani et al. 2017). Norms stand before each part, positions are
sinusoids. `from_folder(*pegasus_format.load(folder))` is the model of a folder that
transformers opens as a Pegasus (pegasus_format.py lies beside this file).

What it is not: every variant of the field. Needs: torch.
Shapes: B batch, S source tokens, T target tokens, D width, H heads, V vocabulary, A
target positions, W beam width.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    """The sizes of a model, and the ids of three tokens. `bos_id` starts a target,
    `eos_id` ends both sides.
    """

    vocab_size: int
    max_len: int = 128  # tokens, of a source and of a target
    dim: int = 256
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 3
    ffn_dim: int = 512
    dropout: float = 0.1
    pad_id: int = 0
    bos_id: int = 2
    eos_id: int = 3


def sinusoids(length, dim):
    """Positions (length, dim): sines in the first half, cosines in the second."""
    angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _attention(q, k, v, mask, drop, is_causal):
    """SDPA written out. On a CPU with bfloat16 the fused kernel's backward costs more
    than all matrix products together in short rows; its forward alone is faster.

    A query that may look nowhere gets zeros, as from SDPA.
    """
    scores = q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5  # (B, H, T, S)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    # autocast may have made the softmax float32, as CUDA's does
    y = F.dropout(scores.softmax(-1), drop).to(v.dtype) @ v
    return y if mask is None else y.masked_fill(~mask.any(-1, keepdim=True), 0.0)


class Attention(nn.Module):
    """Multi-head attention (B, T, D) -> (B, T, D), to the same sequence or, if `cross`,
    to the encoder's output (B, S, D).
    """

    def __init__(self, config, cross=False):
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        D = config.dim
        # one product instead of three, or two instead of three
        if cross:
            self.query, self.kv = nn.Linear(D, D), nn.Linear(D, 2 * D)
        else:
            self.qkv = nn.Linear(D, 3 * D)
        self.out = nn.Linear(D, D)

    def _split(self, x, parts):
        """(B, T, parts * D) -> parts x (B, H, T, D / H)."""
        B, T, _ = x.shape
        return x.view(B, T, parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def forward(self, x, mask=None, is_causal=False, cache=None):
        q, k, v = self._split(self.qkv(x), 3)
        if cache is not None:
            if "self" in cache:  # what was written before, and the new tokens behind it
                k = torch.cat([cache["self"][0], k], dim=2)
                v = torch.cat([cache["self"][1], v], dim=2)
            cache["self"] = k, v
        return self._mix(q, k, v, mask, is_causal)

    def look_at(self, x, memory, mask=None, cache=None, weights=None):
        """Cross-attention: x (B, T, D) asks, memory (B, S, D) answers. The list
        `weights` gets the attention weights (B, H, T, S).
        """
        (q,) = self._split(self.query(x), 1)
        if cache is not None and "cross" in cache:
            k, v = cache["cross"]  # the source does not change while we write
        else:
            k, v = self._split(self.kv(memory), 2)
            if cache is not None:
                cache["cross"] = k, v
        if weights is not None:
            scores = q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5
            hidden = torch.finfo(scores.dtype).min
            scores = scores if mask is None else scores.masked_fill(~mask, hidden)
            weights.append(scores.softmax(-1))
        return self._mix(q, k, v, mask, False)

    def _mix(self, q, k, v, mask, is_causal):
        slow = q.device.type == "cpu" and q.dtype == torch.bfloat16
        fused = F.scaled_dot_product_attention
        attend = _attention if slow and torch.is_grad_enabled() else fused
        drop = self.dropout if self.training else 0.0
        y = attend(q, k, v, mask, drop, is_causal=is_causal)
        return self.out(y.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, D)


class Block(nn.Module):
    """Self-attention, in a decoder cross-attention, and feed-forward, each behind a
    norm and with a residual.
    """

    def __init__(self, config, decoder=False):
        super().__init__()
        D = config.dim
        self.attention, self.norm1 = Attention(config), nn.LayerNorm(D)
        if decoder:
            self.cross, self.norm_cross = Attention(config, True), nn.LayerNorm(D)
        self.up, self.down = nn.Linear(D, config.ffn_dim), nn.Linear(config.ffn_dim, D)
        self.norm2, self.drop = nn.LayerNorm(D), nn.Dropout(config.dropout)

    def forward(self, x, mask=None):
        """In the encoder: every position reads every other, (B, S, D) -> (B, S, D)."""
        x = x + self.drop(self.attention(self.norm1(x), mask))
        return self._feed(x)

    def write(self, x, memory, mask, cache=None, weights=None):
        """In the decoder: no position reads what stands behind it."""
        several = x.shape[1] > 1  # a single token may look at all that is there
        y = self.attention(self.norm1(x), is_causal=several, cache=cache)
        x = x + self.drop(y)
        y = self.cross.look_at(self.norm_cross(x), memory, mask, cache, weights)
        return self._feed(x + self.drop(y))

    def _feed(self, x):
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class Seq2Seq(nn.Module):
    """Encoder and decoder with one embedding for both languages and for the output."""

    def __init__(self, config):
        super().__init__()
        c = self.config = config
        if c.dim % c.heads or c.dim % 2:
            raise ValueError(
                f"dim {c.dim} is no even multiple of heads {c.heads}; change one of "
                "them"
            )
        if min(c.encoder_layers, c.decoder_layers, c.max_len) < 1:
            raise ValueError(
                f"encoder_layers={c.encoder_layers}, decoder_layers="
                f"{c.decoder_layers} and max_len={c.max_len}; a model needs at least 1 "
                "of each, raise the one that is smaller"
            )
        self.tokens = nn.Embedding(c.vocab_size, c.dim)
        # no weight: it follows from the sizes
        waves = sinusoids(c.max_len, c.dim)
        self.register_buffer("positions", waves, persistent=False)
        self.encoder = nn.ModuleList(Block(c) for _ in range(c.encoder_layers))
        self.decoder = nn.ModuleList(Block(c, True) for _ in range(c.decoder_layers))
        self.norm_encoder, self.norm_decoder = nn.LayerNorm(c.dim), nn.LayerNorm(c.dim)
        self.drop = nn.Dropout(c.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        # times sqrt(dim) it has length 1 a number, beside positions of about as much
        nn.init.normal_(self.tokens.weight, std=c.dim**-0.5)

    def embed(self, ids, first=0):
        most, last = self.config.max_len, first + ids.shape[1]
        if last > most:
            raise ValueError(
                f"text has {last} tokens, the model reads at most {most}; truncate it "
                "or use a longer model"
            )
        x = self.tokens(ids) * self.config.dim**0.5
        return self.drop(x + self.positions[first:last])

    def encode(self, input_ids, attention_mask=None):
        """(memory (B, S, D), mask (B, 1, 1, S) for the decoder, or None)."""
        mask = None
        if attention_mask is not None and not bool(attention_mask.all()):
            mask = attention_mask[:, None, None, :].bool()
        x = self.embed(input_ids)
        for block in self.encoder:
            x = block(x, mask)
        return self.norm_encoder(x), mask

    def decode(self, ids, memory, mask=None, cache=None, weights=None):
        """Hidden states (B, T, D) of the tokens `ids`, which stand behind those that
        `cache` remembers: a list that starts as [].
        """
        if cache is not None and not cache:
            cache += [{} for _ in self.decoder]
        first = cache[0]["self"][0].shape[2] if cache and "self" in cache[0] else 0
        x = self.embed(ids, first)
        for i, block in enumerate(self.decoder):
            x = block.write(x, memory, mask, cache[i] if cache else None, weights)
        return self.norm_decoder(x)

    def head(self, x):
        """(..., D) -> (..., V); the output matrix is the token embedding (Press & Wolf
        2017).
        """
        return F.linear(x, self.tokens.weight)

    # arguments: DDP sees only forward()
    def forward(self, input_ids, attention_mask, decoder_input_ids, target_mask=None):
        """Logits (B, T, V) of the token behind each of `decoder_input_ids`, or (A, V)
        at `target_mask`.
        """
        x = self.decode(decoder_input_ids, *self.encode(input_ids, attention_mask))
        return self.head(x if target_mask is None else x[target_mask])


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


def shift_right(labels, bos_id=2, pad_id=0):
    """What the decoder reads while it learns to write `labels` (B, T): the start token,
    then every label but the last. Teacher forcing: it reads the true text, not its own.
    """
    start = torch.full_like(labels[:, :1], bos_id)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == -100, pad_id)


def _labels_logits(model, batch):
    """(logits (A, V) in float32, labels (A,)) at the positions that count."""
    labels = batch["labels"]
    c = getattr(model, "module", model).config  # DDP's own config is none
    reads = shift_right(labels, c.bos_id, c.pad_id)
    is_target = labels != -100
    logits = model(batch["input_ids"], batch["attention_mask"], reads, is_target)
    return logits.float(), labels[is_target]


def seq2seq_loss(model, batch, smoothing=0.0):
    """Cross-entropy in nats, the SUM over the labels that are not -100.

    smoothing: share of the target that is spread over all tokens (Szegedy et al. 2016).
    """
    logits, labels = _labels_logits(model, batch)
    smooth = {"reduction": "sum", "label_smoothing": smoothing}
    return F.cross_entropy(logits, labels, **smooth)


@torch.no_grad()
@in_eval_mode
def log_probability(model, batch):
    """How probable the model finds each target text, in nats: (B,)."""
    logits, labels = _labels_logits(model, batch)
    each = torch.zeros(batch["labels"].shape, device=logits.device)
    each[batch["labels"] != -100] = -F.cross_entropy(logits, labels, reduction="none")
    return each.sum(dim=1)


def _check_search(model, input_ids, max_new, width=1):
    c = model.config
    if not 1 <= max_new <= c.max_len:
        raise ValueError(
            f"max_new is {max_new}, the model writes 1 to {c.max_len} tokens; choose a "
            "number in between"
        )
    if not 1 <= width <= c.vocab_size // 2:
        raise ValueError(
            f"width is {width}, with {c.vocab_size} tokens 1 to {c.vocab_size // 2} "
            "beams can be told apart; choose a number in between"
        )
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        raise ValueError(
            f"input_ids have the shape {tuple(input_ids.shape)}, a batch has (texts, "
            "tokens) and at least one of each"
        )


@torch.no_grad()
@in_eval_mode
def greedy(model, input_ids, attention_mask=None, max_new=64):
    """The likeliest token, again and again: a list of tokens for each row of
    `input_ids` (B, S), without the start and the end.
    """
    _check_search(model, input_ids, max_new)
    c = model.config
    memory, mask = model.encode(input_ids, attention_mask)
    ids, cache = torch.full_like(input_ids[:, :1], c.bos_id), []
    written = []
    ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    while len(written) < max_new and not bool(ended.all()):
        logits = model.head(model.decode(ids, memory, mask, cache)[:, -1])
        ids = logits.argmax(-1, keepdim=True)
        written.append(ids)
        ended |= ids[:, 0] == c.eos_id
    return [_until(row, c.eos_id) for row in torch.cat(written, dim=1).tolist()]


def _until(row, eos_id):
    return row[: row.index(eos_id)] if eos_id in row else row


@torch.no_grad()
@in_eval_mode
def beam_search(
    model, input_ids, attention_mask=None, width=4, length_penalty=1.0, max_new=64
):
    """Keep the `width` likeliest beginnings instead of one: (a list of tokens for each
    row of `input_ids`, their scores).

    The score of a text is its log-probability divided by length ** length_penalty; the
    end counts as a token. A row is done when `width` texts have ended, and the best of
    them is returned: what `generate(num_beams=width, early_stopping=True)` of
    transformers does.
    """
    _check_search(model, input_ids, max_new, width)
    c = model.config
    B, V, device = len(input_ids), c.vocab_size, input_ids.device
    memory, mask = model.encode(input_ids, attention_mask)
    memory = memory.repeat_interleave(width, dim=0)
    mask = None if mask is None else mask.repeat_interleave(width, dim=0)
    ids = torch.full((B * width, 1), c.bos_id, device=device)
    texts, cache = ids[:, :0].view(B, width, 0), []
    # all beams begin alike: only the first counts
    scores = torch.zeros(B, width, device=device)
    scores[:, 1:] = -torch.inf
    done, rows = [[] for _ in range(B)], list(range(B))
    for length in range(1, max_new + 1):
        logits = model.head(model.decode(ids, memory, mask, cache)[:, -1])
        total = logits.float().log_softmax(-1).view(-1, width, V) + scores[..., None]
        # at most `width` of them end here, so `width` are left to go on with
        best, at = total.flatten(1).topk(2 * width)
        beam, token = at // V, at % V
        longer = texts.gather(1, beam[..., None].expand(-1, -1, length - 1))
        longer = torch.cat([longer, token[..., None]], dim=2)
        ends = (token == c.eos_id) | (length == max_new)
        _collect([done[b] for b in rows], best / length**length_penalty, longer, ends)
        # rows that are done are not computed any further
        left = [i for i, b in enumerate(rows) if len(done[b]) < width]
        if not left:
            break
        scores, kept = best.masked_fill(ends, -torch.inf).topk(width)
        texts = longer.gather(1, kept[..., None].expand(-1, -1, length))[left]
        first = torch.arange(0, len(rows) * width, width, device=device)[:, None]
        came_from = (first + beam.gather(1, kept))[left].flatten()
        scores, rows = scores[left], [rows[i] for i in left]
        ids = texts[:, :, -1].reshape(-1, 1)
        _reorder(cache, came_from)
        mask = None if mask is None else mask[came_from]
    lists = [_until(row[0][1], c.eos_id) for row in done]
    return lists, [row[0][0] for row in done]


def _collect(done, scores, texts, ends):
    """Put texts that end among a row's W best of 2 W into `done`, sorted by score."""
    width = ends.shape[1] // 2
    scores, texts, ends = scores.tolist(), texts.tolist(), ends.tolist()
    for b, row in enumerate(done):
        row += [(scores[b][j], texts[b][j]) for j in range(width) if ends[b][j]]
        row.sort(key=lambda pair: -pair[0])
        del row[width:]


def _reorder(cache, rows):
    """Row i of every remembered tensor becomes what row rows[i] was."""
    for layer in cache:
        for name, tensors in layer.items():
            # the beams of one source share its keys and values: often nothing changes
            if name == "self" or len(rows) < len(tensors[0]):
                layer[name] = tuple(tensor[rows] for tensor in tensors)


@torch.no_grad()
@in_eval_mode
def cross_attention(model, input_ids, decoder_input_ids):
    """Where each target token looks in the source: attention weights (layers, H, T,
    S) of one pair, input_ids (1, S) and decoder_input_ids (1, T). Rows sum to 1.
    """
    if len(input_ids) != 1 or len(decoder_input_ids) != 1:
        raise ValueError(
            f"there are {len(input_ids)} sources and {len(decoder_input_ids)} targets; "
            "give one of each, as ids[:1]"
        )
    weights = []
    model.decode(decoder_input_ids, *model.encode(input_ids), weights=weights)
    return torch.cat(weights)


def from_folder(config, state):
    """The model of a configuration (dict) and its tensors, as
    `pegasus_format.load(folder)` gives them.
    """
    model = Seq2Seq(Config(**config))
    model.load_state_dict(state)
    return model.eval()
