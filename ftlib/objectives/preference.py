"""Preferences and rewards: reward models (Ouyang et al. 2022), DPO (Rafailov et al.
2023), REINFORCE with a baseline (Williams 1992) and GRPO (Shao et al. 2024).

Use it:

    >>> batch = preference_batch([[2, 7]], chosen=[[5, 6]], rejected=[[8]])
    >>> batch["input_ids"].tolist(), batch["completion_mask"].int().tolist()
    ([[[2, 7, 5, 6], [2, 7, 8, 0]]], [[[0, 0, 1, 1], [0, 0, 1, 0]]])
    >>> # nothing preferred yet: ln 2 for each pair
    >>> round(
    ...     float(bradley_terry_loss(torch.zeros(3, 2), torch.zeros(3).long())) / 3, 4
    ... )
    0.6931
    >>> group_advantages(torch.tensor([1.0, 2.0, 3.0, 5.0, 5.0, 5.0]), group=3).tolist()
    [-0.9998999834060669, 0.0, 0.9998999834060669, 0.0, 0.0, 0.0]

`reward_loss`, `dpo_loss`, `reinforce_loss` and `grpo_loss` are losses of train.steps,
functools.partial(dpo_loss, beta=0.1) say. They return sums: the first two over pairs
(`labels` (B,)), the others over tokens (`labels` (N, T)).

The leash of all of them is the KL divergence to a reference, the model before it was
steered (Ziegler et al. 2019). Its log-probabilities are columns of the batch, made once
by `reference_columns`, so that the reference need not stay in memory.

What it is not: sampling (clm.generate), a judge, or the loop. Rows are padded on the
right. Needs: torch.

Shapes: B pairs, N sampled texts, T tokens, A completion tokens, V vocabulary.
"""

import functools
import inspect
import math

import torch
import torch.nn.functional as F


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


# --- log-probabilities


def token_logps(model, input_ids, completion_mask) -> torch.Tensor:
    """Log-probability, in nats, of each completion token given what stands before it,
    (N, T); 0 at prompt and padding.

    input_ids, completion_mask: (N, T), True (or 1) at the tokens that the model wrote.
    Raises ValueError for a mask of another shape, or one that holds the first token,
    which nothing predicts.
    """
    mask = completion_mask.bool()
    if mask.shape != input_ids.shape or mask[:, 0].any():
        raise ValueError(
            f"completion_mask has the shape {tuple(mask.shape)} and "
            f"{int(mask[:, :1].sum())} first tokens, input_ids have "
            f"{tuple(input_ids.shape)}; give one value a token, and a prompt of at "
            "least one token"
        )
    # position t predicts the token at t + 1, and the last one predicts nothing
    before_target = F.pad(mask[:, 1:], (0, 1), value=False)
    if "target_mask" in inspect.signature(model.forward).parameters:
        logits = model(input_ids, target_mask=before_target).logits  # (A, V)
    else:
        logits = model(input_ids).logits[before_target]
    logps = -F.cross_entropy(logits.float(), input_ids[mask], reduction="none")
    return logps.new_zeros(mask.shape).masked_scatter(mask, logps)


def sequence_logps(model, input_ids, completion_mask) -> torch.Tensor:
    """Log-probability of each completion given its prompt, in nats, (N,): the sum over
    the completion's tokens, never over those of the prompt.
    """
    return token_logps(model, input_ids, completion_mask).sum(-1)


def completion_rows(batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(input_ids, completion_mask), both (rows, T), of a batch of pairs or of texts."""
    if "completion_mask" in batch:
        return batch["input_ids"].flatten(0, 1), batch["completion_mask"].flatten(0, 1)
    return batch["input_ids"], batch["labels"] != -100


@torch.no_grad()
@in_eval_mode
def reference_columns(model, batch) -> dict[str, torch.Tensor]:
    """The batch with "reference_logps", what `model` gives its completions: (B, 2) for
    pairs, (N, T) for sampled texts. model: the reference, before it is steered.
    """
    logps = token_logps(model, *completion_rows(batch))
    if "completion_mask" in batch:
        logps = logps.sum(-1).view(batch["input_ids"].shape[:2])
    return batch | {"reference_logps": logps}


# --- pairs: reward model and DPO


def preference_batch(prompts, chosen, rejected, pad_id=0) -> dict[str, torch.Tensor]:
    """A batch of pairs: {"input_ids", "completion_mask", "attention_mask"} (B, 2, T)
    and "labels" (B,). Of the two, number 0 is the chosen one, so each label is 0.

    prompts, chosen, rejected: B lists of ids each. A reader who does not know which is
    better has a label of -100, and the pair does not count.
    Raises ValueError for lists of unequal number, and for an empty prompt or
    completion.
    """
    sizes = len(prompts), len(chosen), len(rejected)
    every = [*map(len, prompts), *map(len, chosen), *map(len, rejected)]
    if len(set(sizes)) > 1 or not all(every) or not every:
        raise ValueError(
            f"{sizes[0]} prompts, {sizes[1]} chosen and {sizes[2]} rejected "
            f"completions, the shortest of {min(every, default=0)} tokens; give one of "
            "each for each pair, none empty"
        )
    rows = [
        (len(prompt), [*prompt, *answer])
        for prompt, *both in zip(prompts, chosen, rejected)
        for answer in both
    ]
    longest = max(len(ids) for _, ids in rows)
    padded = [ids + [pad_id] * (longest - len(ids)) for _, ids in rows]
    starts = torch.tensor([start for start, _ in rows])[:, None]
    ends = torch.tensor([len(ids) for _, ids in rows])[:, None]
    at = torch.arange(longest)
    shape = len(prompts), 2, longest
    return {
        "input_ids": torch.tensor(padded).view(shape),
        "completion_mask": ((at >= starts) & (at < ends)).view(shape),
        "attention_mask": (at < ends).long().view(shape),
        "labels": torch.zeros(len(prompts), dtype=torch.long),
    }


def best_and_worst(scores) -> torch.Tensor:
    """Which text of each group a judge likes most and least: (P, G) -> (P, 2) indices.

    A group whose scores are all equal gives the same text twice; leave it out.
    """
    return torch.stack([scores.argmax(1), scores.argmin(1)], dim=1)


def bradley_terry_loss(scores, labels) -> torch.Tensor:
    """Summed -log sigmoid(score of the preferred - score of the other), in nats
    (Bradley and Terry 1952).

    scores: (B, 2). labels: (B,), which of the two is preferred, -100 where nobody says.
    A softmax over two scores is the sigmoid of their difference, so this is
    cross-entropy.
    """
    return F.cross_entropy(scores.float(), labels, reduction="sum", ignore_index=-100)


def reward_loss(model, batch) -> torch.Tensor:
    """The loss of a reward model: it gives each text a score, and the preferred text
    of a pair should have the higher one.

    model: (2B, T) ids and attention mask -> `.logits` (2B, 1). batch: of
    `preference_batch`.
    """
    ids, mask = (batch[k].flatten(0, 1) for k in ("input_ids", "attention_mask"))
    scores = model(input_ids=ids, attention_mask=mask).logits  # (2B, 1)
    return bradley_terry_loss(scores.view(-1, 2), batch["labels"])


def implicit_rewards(model, batch, beta=0.1) -> torch.Tensor:
    """beta times the log of how much likelier each completion became, (B, 2): the
    reward for which the model is the best one under a KL penalty of beta.
    """
    if "reference_logps" not in batch:
        raise ValueError(
            f"a batch has the columns {sorted(batch)}, without reference_logps; make "
            "them with reference_columns(reference, batch)"
        )
    logps = sequence_logps(model, *completion_rows(batch))
    return beta * (logps.view(-1, 2) - batch["reference_logps"])


def dpo_loss(model, batch, beta=0.1) -> torch.Tensor:
    """Direct preference optimisation: the reward model's loss, of the implicit rewards.

    batch: of `preference_batch` with `reference_columns`. beta: a large one holds the
    model near the reference.
    """
    return bradley_terry_loss(implicit_rewards(model, batch, beta), batch["labels"])


# --- sampled texts: REINFORCE and GRPO


def policy_batch(input_ids, completion_mask, advantages) -> dict[str, torch.Tensor]:
    """A batch of sampled texts: {"input_ids", "labels"} (N, T), "advantages" (N,).
    labels are the ids that the model wrote, -100 at prompts and padding.
    """
    if advantages.shape != input_ids.shape[:1]:
        raise ValueError(
            f"advantages have the shape {tuple(advantages.shape)} for "
            f"{len(input_ids)} texts; give one number a text"
        )
    labels = input_ids.masked_fill(~completion_mask.bool(), -100)
    return {"input_ids": input_ids, "labels": labels, "advantages": advantages}


def _groups(rewards, group):
    """(N,) -> (N / group, group)."""
    if group < 2 or len(rewards) % group:
        raise ValueError(
            f"{len(rewards)} rewards in groups of {group}; sample the same number of "
            "texts, 2 or more, for each prompt"
        )
    return rewards.float().view(-1, group)


def group_advantages(rewards, group) -> torch.Tensor:
    """How much better than the others of its group a text is, in standard deviations:
    (N,) -> (N,), GRPO's advantages. They add up to 0 in each group.

    group: texts of one prompt, which stand together.
    """
    groups = _groups(rewards, group)
    centred = groups - groups.mean(1, keepdim=True)
    # trl's 1e-4: a group in which all are equal has no say
    return (centred / (groups.std(1, keepdim=True) + 1e-4)).flatten()


def leave_one_out_advantages(rewards, group) -> torch.Tensor:
    """Reward minus the mean reward of the others of its group, (N,) -> (N,): REINFORCE
    with a baseline (Ahmadian et al. 2024, RLOO). A text's own reward is no part of its
    baseline, so the gradient stays unbiased.
    """
    groups = _groups(rewards, group)
    others = (groups.sum(1, keepdim=True) - groups) / (group - 1)
    return (groups - others).flatten()


def penalised_rewards(rewards, logps, reference_logps, beta) -> torch.Tensor:
    """Reward minus beta times the log-ratio of the text, (N,): the leash inside the
    reward (Ziegler et al. 2019, Ouyang et al. 2022). logps: (N, T), of `token_logps`.
    """
    return rewards - beta * (logps - reference_logps).detach().sum(-1)


def kl_per_token(logps, reference_logps) -> torch.Tensor:
    """Schulman's estimate ("k3") of the KL divergence to the reference at each token,
    (N, T), from texts that the model has sampled: r - 1 - log r >= 0, where r is the
    reference's probability over the model's. 0 where both are 0.
    """
    log_r = reference_logps - logps
    return log_r.exp() - 1 - log_r


@torch.no_grad()
@in_eval_mode
def exact_kl(model, reference, input_ids, completion_mask) -> torch.Tensor:
    """The KL divergence of the model from the reference over the whole vocabulary, in
    nats, summed over each text's completion tokens, (N,). What `kl_per_token` estimates
    from one token each.
    """
    mask = completion_mask.bool()
    before_target = F.pad(mask[:, 1:], (0, 1), value=False)

    def log_probabilities(net):
        return net(input_ids).logits[before_target].float().log_softmax(-1)

    # the decorator has switched the model alone
    p, q = log_probabilities(model), in_eval_mode(log_probabilities)(reference)
    kl = (p.exp() * (p - q)).sum(-1)  # (A,)
    return kl.new_zeros(mask.shape).masked_scatter(mask, kl).sum(-1)


def reinforce_loss(model, batch) -> torch.Tensor:
    """Minus advantage times log-probability, summed over the completion tokens: its
    gradient raises the probability of what came out better than expected.

    batch: of `policy_batch`. For a leash put `penalised_rewards` into the advantages.
    """
    logps = token_logps(model, *completion_rows(batch))
    return -(batch["advantages"][:, None] * logps).sum()


def grpo_loss(model, batch, beta=0.04, clip=0.2, unbiased_kl=True) -> torch.Tensor:
    """Group-relative policy optimisation: REINFORCE on the ratio of new to old
    probability, clipped as in PPO (Schulman et al. 2017), plus beta times the KL
    divergence to the reference. Summed over completion tokens.

    batch: of `policy_batch`; with "old_logps" (N, T), of `token_logps` when the texts
    were sampled, if they serve for several steps; with `reference_columns` if beta > 0.
    clip: the ratio counts from 1 - clip to 1 + clip.
    unbiased_kl: the divergence is multiplied by the ratio too, so that its gradient is
        that of the divergence (DeepSeek-V3.2, and trl); False: as Shao et al.
    """
    if not 0 <= clip < 1 or not beta >= 0:
        raise ValueError(f"beta={beta}, clip={clip}; take beta >= 0 and 0 <= clip < 1")
    ids, mask = completion_rows(batch)
    logps = token_logps(model, ids, mask)
    ratio = (logps - batch.get("old_logps", logps.detach())).exp()
    advantages = batch["advantages"][:, None]
    clipped = ratio.clamp(1 - clip, 1 + clip)
    loss = -torch.minimum(ratio * advantages, clipped * advantages)
    if beta:
        kl = kl_per_token(logps, batch["reference_logps"])
        loss = loss + beta * (kl * ratio if unbiased_kl else kl)
    return (loss * mask).sum()


# --- what to watch


def best_of_n_kl(n) -> float:
    """At most how far, in nats, taking the best of n samples goes from the model that
    drew them: log n - (n - 1) / n (Stiennon et al. 2020).
    """
    if n < 1:
        raise ValueError(f"n is {n}; draw at least 1 sample")
    return math.log(n) - (n - 1) / n


def distinct_ngrams(sequences, n=2) -> float:
    """Share of the n-grams within each text that stand there for the first time, over
    all texts; 1 if nothing is repeated (Li et al. 2016 count over the whole set).

    sequences: lists of ids or words. Raises ValueError if none has n of them.
    """
    seen = total = 0
    for text in sequences:
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        seen, total = seen + len(set(grams)), total + len(grams)
    if not total:
        raise ValueError(f"no text has {n} tokens; give longer ones or a smaller n")
    return seen / total
