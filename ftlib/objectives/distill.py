"""Distillation: a small model learns from a large one's probabilities, hidden states
and attention maps.

Use it, with any teacher and student whose output has `.logits`:

    >>> teacher = torch.tensor([[2.0, 0.0], [0.0, 1.0]])  # logits of two texts
    >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(float(soft_loss(student, teacher, temperature=2.0)), 3)
    0.105
    >>> # the second text is without a label and has the teacher's answer all the same
    >>> batch = {"labels": torch.tensor([0, -100]), "index": torch.tensor([0, 1])}
    >>> sorted(next(with_teacher([batch], teacher)))
    ['index', 'labels', 'teacher_label', 'teacher_logits']

In a run of train.py: `steps(student, with_teacher(batches, logits),
distillation_loss(alpha=0.9), ...)`. The teacher reads each text once, before the run
(`logits = classify.predict(teacher, batches)`).

A loss returns a SUM: `soft_loss` over texts, the others over texts of a mean over
layers, positions and numbers. What it is not: training of the teacher, or the choice
of its layers, which is an experiment. Needs: torch.

Shapes: B batch, T tokens, D width, H heads, C classes, L layers.
"""

import contextlib
import copy
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


def soft_loss(student_logits, teacher_logits, temperature=2.0):
    """Kullback-Leibler divergence from the teacher's probabilities to the student's,
    both at `temperature`, times the temperature squared; a sum over texts, in nats.

    student_logits, teacher_logits: (B, C). At temperature t the gradient of the
        divergence is about t**2 times smaller. The factor t**2 keeps its size, so that
        the balance with the loss on labels does not move when t does (Hinton et al.
        2015). Raises ValueError for shapes that differ and temperatures that are not
        above 0.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student logits are {tuple(student_logits.shape)}, teacher logits "
            f"{tuple(teacher_logits.shape)}; give both models the same texts and "
            "the same classes"
        )
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; take one above 0, such as 2")
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum()


def hidden_loss(student_hidden, teacher_hidden, attention_mask, project=None):
    """Mean squared difference of hidden states at the real tokens, summed over texts.

    student_hidden: list of L tensors (B, T, D_s), teacher_hidden: the L layers that
        they shall follow, (B, T, D_t). attention_mask: (B, T). project: a linear layer
        from D_s to D_t where the widths differ; it is trained too, and thrown away
        afterwards (Jiao et al. 2020, TinyBERT).
    Raises ValueError where the numbers of layers or the widths differ.
    """
    if len(student_hidden) != len(teacher_hidden):
        raise ValueError(
            f"the student has {len(student_hidden)} layers here, the teacher "
            f"{len(teacher_hidden)}; pick one layer of the teacher for each"
        )
    total = 0.0
    for own, other in zip(student_hidden, teacher_hidden):
        own = own if project is None else project(own)
        if own.shape != other.shape:
            raise ValueError(
                f"hidden states are {tuple(own.shape)} and {tuple(other.shape)}; give "
                "project=nn.Linear(student width, teacher width)"
            )
        error = (own - other).square().mean(-1) * attention_mask  # (B, T)
        total = total + (error.sum(-1) / attention_mask.sum(-1)).sum()
    return total / len(student_hidden)


def attention_loss(student_maps, teacher_maps, attention_mask):
    """Kullback-Leibler divergence from the teacher's attention to the student's, a mean
    over heads and real queries, summed over texts (Wang et al. 2020, MiniLM).

    maps: lists of L tensors (B, H, T, T), rows that sum to 1. attention_mask: (B, T).
    Raises ValueError where the shapes differ: heads can be compared only one by one.
    """
    total = 0.0
    for own, other in zip(student_maps, teacher_maps, strict=True):
        if own.shape != other.shape:
            raise ValueError(
                f"attention maps are {tuple(own.shape)} and {tuple(other.shape)}; "
                "student and teacher need the same number of heads"
            )
        # 0 log 0 is 0: a hidden key has weight 0 in both
        other, own = other.clamp(min=1e-9), own.clamp(min=1e-9)
        error = (other * (other.log() - own.log())).sum(-1).mean(1)  # (B, T)
        error = error * attention_mask
        total = total + (error.sum(-1) / attention_mask.sum(-1)).sum()
    return total / len(student_maps)


class Record:
    """What an encoder computed on its last call: `hidden`, L tensors (B, T, D) after
    each block, and `maps`, L tensors (B, H, T, T).
    """

    def __init__(self):
        self.hidden, self.maps = [], []


def _maps(qkv, heads, mask):
    """Attention weights (B, H, T, T) from the stacked projections (B, T, 3 D)."""
    B, T, three = qkv.shape
    q, k, _ = qkv.view(B, T, 3, heads, three // 3 // heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1)


@contextlib.contextmanager
def recorded(encoder, maps=True):
    """`with recorded(encoder) as record:` every call of ftlib's encoder fills `record`
    anew, with gradients where the call has them. maps=False saves the second product.
    """
    record, hooks = Record(), []

    def begin(module, arguments, keywords):
        record.hidden, record.maps = [], []

    def after_block(module, arguments, result):
        record.hidden.append(result)

    def after_attention(module, arguments, result):
        mask = arguments[1] if len(arguments) > 1 else None
        qkv = module.qkv(arguments[0])
        record.maps.append(_maps(qkv, module.heads, mask))

    hooks.append(encoder.register_forward_pre_hook(begin, with_kwargs=True))
    for block in encoder.blocks:
        hooks.append(block.register_forward_hook(after_block))
        if maps:
            hooks.append(block.attention.register_forward_hook(after_attention))
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def with_teacher(batches, teacher_logits):
    """The batches with the columns `teacher_logits` (B, C) and `teacher_label` (B,),
    the class the teacher prefers: a label column, so train.steps counts its rows.

    teacher_logits: (N, C), in the order of the rows that `index` names. Raises KeyError
    for batches without `index`.
    """
    for batch in batches:
        logits = teacher_logits[batch["index"]]
        yield {**batch, "teacher_logits": logits, "teacher_label": logits.argmax(-1)}


def distillation_loss(alpha=0.9, temperature=2.0):
    """loss_fn(model, batch) for train.steps: `alpha` times the soft loss on every row,
    1 - alpha times the cross-entropy on the rows that have a label.

    Returns sums by label column, {"labels": ..., "teacher_label": ...}, so that each is
    divided by its own number of rows: unlabelled rows (-100) teach through the teacher
    alone. Raises ValueError for an alpha outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it is a share, so take 0 to 1")

    def loss(model, batch):
        reads = ("input_ids", "attention_mask", "token_type_ids")
        logits = model(**{k: batch[k] for k in reads if k in batch}).logits.float()
        hard = F.cross_entropy(logits, batch["labels"], reduction="sum")
        soft = soft_loss(logits, batch["teacher_logits"], temperature)
        return {"labels": (1 - alpha) * hard, "teacher_label": alpha * soft}

    return loss


def keep_layers(model, layers):
    """A copy of a Classifier on ftlib's encoder (or of the encoder alone) that has only
    the blocks `layers`, in that order, with their weights (Sanh et al. 2019).

    layers: numbers of blocks, such as (0, 5). Raises ValueError for a number that is no
    block, and where there is none.
    """
    encoder = getattr(model, "encoder", model)
    wrong = [n for n in layers if not 0 <= n < len(encoder.blocks)]
    if wrong or not layers:
        raise ValueError(
            f"layers are {tuple(layers)}, the model has 0 to "
            f"{len(encoder.blocks) - 1}; name at least one of these"
        )
    student = copy.deepcopy(model)
    encoder = getattr(student, "encoder", student)
    encoder.blocks = nn.ModuleList(copy.deepcopy(encoder.blocks[n]) for n in layers)
    encoder.config = dataclasses.replace(encoder.config, layers=len(layers))
    return student
