"""What a transformer costs before you build it: weights, floating-point operations,
bytes, hours and money, by formula.

Use it:

    >>> bert = dict(vocab_size=30522, width=768, layers=12, ffn_dim=3072)
    >>> parts = parameters(
    ...     **bert, positions=512, segments=2, norm_in=True, head="pooler"
    ... )
    >>> # what BertModel("bert-base-uncased") has
    >>> parts["attention"], sum(parts.values())
    (28348416, 109482240)
    >>> reading = sum(flops(**bert, T=128, head="pooler").values())
    >>> f"{reading / 1e9:.1f} billion operations to read 128 tokens"
    '22.3 billion operations to read 128 tokens'
    >>> f"{training_flops(124e6, 300e9):.1e} to train 124 M weights on 300 G tokens"
    '2.2e+20 to train 124 M weights on 300 G tokens'
    >>> # GB: weights, gradients and Adam's two means
    >>> training_bytes(124_000_000) / 1e9
    1.984
    >>> small = dict(vocab_size=8000, width=512, layers=8, ffn_dim=2048)
    >>> for devices, sharded in ((1, False), (2, False), (2, True)):
    ...     peak = process_bytes(
    ...         **small, tokens=2048, targets=300, devices=devices, sharded=sharded
    ...     )
    ...     print(devices, sharded, f"{peak / 1e6:.0f} MB")
    1 False 885 MB
    2 False 1003 MB
    2 True 749 MB
    >>> # 70 billion weights of two bytes, eight GPUs in one box
    >>> f"{exchange_seconds(140e9, devices=8, bandwidth=450e9):.2f} s to add gradients"
    '0.54 s to add gradients'
    >>> machine = Machine("one rented GPU", peak=1e15, memory_gb=80, price=2.5)
    >>> plan = run_cost(weights=1e9, tokens=2e10, machine=machine, mfu=0.4)
    >>> f"{plan.hours:.0f} hours, {plan.memory_gb:.0f} GB, {plan.money:.0f} of money"
    '83 hours, 16 GB, 208 of money'

Formulas hold for BERT, RoBERTa-PreLayerNorm and GPT-2: multi-head attention with
biases, two feed-forward matrices, learned positions, heads as listed at `HEADS`. Llama
and its kin differ (chapter 07, exercise 1). A multiplication and an addition are 2
operations. Counted are matrix products, as torch.utils.flop_counter does: norms,
softmaxes and GELUs are left out, a few operations for each number where a product does
thousands. What it is not: a prediction of seconds (small products do not fill a
processor; `benchmarks/cost_model.py` fits that); `run_cost` knows no failures, no
waiting and no memory for activations. `process_bytes` counts these, in float32.
Needs: the standard library; torch for `matmul_speed` alone.
Letters: V vocabulary, D width, L layers, T tokens.
"""

import time
from typing import NamedTuple

# Which head -> (has D x D and its bias, has a norm, has V biases, has V x D of its own,
# writes logits)
HEADS = {
    "none": (0, 0, 0, 0, 0),  # hidden states
    "pooler": (1, 0, 0, 0, 0),  # BertModel: one dense layer on [CLS]
    "tied": (0, 0, 0, 0, 1),  # GPT-2: the token table once more, as the output matrix
    "untied": (0, 0, 0, 1, 1),
    # BertForMaskedLM: dense, norm, the token table once more, biases
    "masked": (1, 1, 1, 0, 1),
}


def head_parts(head):
    """The row of HEADS for `head`; raises ValueError for another name."""
    if head not in HEADS:
        raise ValueError(f"head is {head!r}, it must be one of {', '.join(HEADS)}")
    return HEADS[head]


def parameters(
    vocab_size,
    width,
    layers,
    ffn_dim,
    positions=0,
    segments=0,
    norm_in=False,
    norm_out=False,
    head="none",
):
    """How many weights each part has -> {"embeddings", "attention", "feed-forward",
    "norms", "head"}.

    positions, segments: rows of these tables. norm_in: a norm behind the embeddings
    (BERT). norm_out: one behind the last block (pre-norm models). head: a key of HEADS.
    A tied output matrix counts once, with the embeddings.
    """
    D = width
    dense, norm, biases, table, _ = head_parts(head)
    return {
        "embeddings": (vocab_size + positions + segments) * D,
        # query, key, value, output, whatever the number of heads
        "attention": layers * 4 * (D * D + D),
        "feed-forward": layers * (2 * D * ffn_dim + ffn_dim + D),
        "norms": (2 * layers + norm_in + norm_out) * 2 * D,  # a scale and a shift each
        "head": dense * (D * D + D)
        + norm * 2 * D
        + biases * vocab_size
        + table * vocab_size * D,
    }


def flops(vocab_size, width, layers, ffn_dim, T, head="none", targets=None):
    """Operations to read one text of T tokens -> {"projections", "scores",
    "feed-forward", "head"}.

    targets: tokens for which the head computes logits, all T by default. A causal mask
        saves nothing here: the products are
    computed and then hidden (a fused kernel may skip half of "scores"). Looking up an
    embedding costs no product.
    """
    D = width
    dense, _, _, _, writes = head_parts(head)
    # a pooler reads [CLS] alone
    targets = 1 if head == "pooler" else T if targets is None else targets
    return {
        "projections": layers * 8 * T * D * D,  # four D x D products for each token
        # queries times keys, and map times values: the only part with T squared
        "scores": layers * 4 * T * T * D,
        "feed-forward": layers * 4 * T * D * ffn_dim,
        "head": 2 * targets * D * (dense * D + writes * vocab_size),
    }


def training_flops(weights, tokens):
    """The rule of 6: a forward pass costs 2 operations for each weight and token, a
    backward pass twice that.

    Count only weights that multiply (leave out embeddings that are looked up).
    Attention scores come on top; they equal the rest at T = 6 D (Kaplan et al. 2020).
    """
    return 6 * weights * tokens


def training_bytes(weights, weight_bytes=4, optimizer_bytes=8):
    """Memory of weights, their gradients, and the optimizer's state (Adam: two float32
    for each weight); activations not.
    """
    return weights * (2 * weight_bytes + optimizer_bytes)


def check_devices(devices):
    """Raise ValueError for fewer than one."""
    if devices < 1:
        raise ValueError(f"devices is {devices}, a run needs at least 1")


def activation_bytes(width, layers, ffn_dim, tokens, targets=None):
    """What pre-norm blocks keep in float32 for their backward pass.

    Of each token a block keeps what its two norms read and give, queries, keys and
    values, what attention gives, and the feed-forward part's two wide layers; a fused
    attention keeps no map. targets: the tokens that the last block is read at, all by
    default; of the others it keeps the part up to attention.
    """
    front, back = 6 * width, 2 * width + 2 * ffn_dim
    last = tokens * front + (tokens if targets is None else targets) * back
    return 4 * ((layers - 1) * tokens * (front + back) + last)


def process_bytes(
    vocab_size,
    width,
    layers,
    ffn_dim,
    tokens,
    targets=None,
    positions=0,
    head="masked",
    devices=1,
    sharded=False,
):
    """The most memory that training in float32 with Adam takes in one process, beside
    Python and its libraries, for a pre-norm language model with a tied output matrix.

    tokens, targets: of the micro-batch of this process. devices: processes that train
        together, by DDP, or by FSDP2 if sharded (distributed.wrap).

    It is the larger of two moments. The backward pass begins: everything that the
    forward pass kept is there, and logits three times (themselves, their logarithms,
    their gradient), but no gradients of weights, save in DDP's buckets. It ends: all
    gradients are there, that of the tied table three times (from the output matrix,
    from the embedding, their sum), in DDP's buckets once more. An FSDP2 process holds
    its shard of the state, and whole what its forward pass kept, the table and in the
    end its three gradients, and two blocks (one computes, the next one is on its way).

    Measured within 10 % by benchmarks/process_memory.py, where the allocator gives
    freed memory back (MALLOC_MMAP_THRESHOLD_=65536 for glibc; without it, two processes
    with FSDP2 took as much on a processor as with DDP).
    """
    check_devices(devices)
    sizes = dict(vocab_size=vocab_size, width=width, layers=layers, ffn_dim=ffn_dim)
    parts = parameters(**sizes, positions=positions, norm_out=True, head=head)
    weights, table = sum(parts.values()), 4 * vocab_size * width
    block = 4 * (parts["attention"] + parts["feed-forward"]) / layers
    kept = activation_bytes(width, layers, ffn_dim, tokens, targets)
    kept += 3 * 4 * vocab_size * (tokens if targets is None else targets)
    if sharded:
        shard = weights / devices
        begins = 12 * shard + kept + table + 2 * block
        return max(begins, 16 * shard + (4 - 1 / devices) * table + 2 * block)
    buckets = devices > 1  # gradients that stay
    begins = (16 if buckets else 12) * weights + kept
    return max(begins, 16 * weights + (3 if buckets else 2) * table)


def exchange_seconds(size, devices, bandwidth, latency=0.0, parts=2):
    """Seconds in which `devices` add `size` bytes of each by a ring (Patarasuk and Yuan
    2009), on paper.

    bandwidth: bytes a second that a device sends while it receives; latency: seconds of
        one message. parts: 2 for the all-reduce of DDP; 3 for FSDP2, which gathers the
        weights before each of two passes and scatters the sums of the gradients.
    """
    check_devices(devices)
    if bandwidth <= 0:
        raise ValueError(f"bandwidth is {bandwidth:g}; give bytes a second, above 0")
    steps = devices - 1
    return parts * (steps / devices * size / bandwidth + steps * latency)


class Machine(NamedTuple):
    """peak: operations a second of one device in the type used; price: of one device
    for an hour, your own assumption.
    """

    name: str
    peak: float
    memory_gb: float
    price: float


class Plan(NamedTuple):
    """What a run costs, as far as a formula knows."""

    flops: float
    hours: float
    # weights, gradients and Adam's state on each device, activations not
    memory_gb: float
    money: float


def run_cost(
    weights,
    tokens,
    machine,
    devices=1,
    mfu=0.4,
    flops_per_token=None,
    sharded=False,
    bytes_per_weight=16,
):
    """Time, memory and money of a training run -> Plan.

    mfu: of the peak that the run reaches, 0 to 1, measured on a run of yours or an
        assumption to be named.
    flops_per_token: counted for your model; the rule of 6 operations for each weight
        otherwise.
    sharded: state divided over the devices instead of copied to each. bytes_per_weight:
        16 for float32 with Adam.
    """
    if not 0 < mfu <= 1:
        raise ValueError(
            f"mfu is {mfu}, a part of the peak lies between 0 and 1; "
            "measure one on a short run"
        )
    check_devices(devices)
    flops = (6 * weights if flops_per_token is None else flops_per_token) * tokens
    hours = flops / (machine.peak * mfu * devices) / 3600
    memory = weights * bytes_per_weight / 1e9 / (devices if sharded else 1)
    return Plan(flops, hours, memory, hours * devices * machine.price)


def matmul_speed(size=512, dtype=None, device="cpu", tries=30):
    """Operations a second of a (size, size) product, the best of `tries`: a peak that
    is measured, not printed on a box.

    Many short tries, because the best of them is one that no other program interrupted.
    A GPU needs a size of 8192 or so.
    """
    import torch  # only here: the formulas need none

    a, seconds = torch.ones(size, size, dtype=dtype or torch.float32, device=device), []
    for _ in range(tries):  # the first one prepares the kernel; the best leaves it out
        start = time.perf_counter()
        product = a @ a
        # a GPU works on after the call returns; reading a number waits for it
        float(product[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
