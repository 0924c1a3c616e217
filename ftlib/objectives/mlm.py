"""Masked language modelling (BERT, Devlin et al. 2019): hide some tokens, ask for them,
fill them in.

Use it:

    >>> ids = torch.randint(5, 100, (64, 32))
    >>> masked, labels = mask_tokens(
    ...     ids,
    ...     vocab_size=100,
    ...     mask_id=4,
    ...     special_ids=[0, 1, 2, 3, 4],
    ...     seed=0,
    ...     epoch=0,
    ...     index=torch.arange(64),
    ... )
    >>> # what is no target is not touched
    >>> bool((masked[labels == -100] == ids[labels == -100]).all())
    True
    >>> 0.13 < float((labels != -100).float().mean()) < 0.17
    True

`python -m ftlib.objectives.mlm` runs the demo, `python -m ftlib.objectives.mlm --fill
"this film was [MASK]"` fills your own text.

What it is not: the model (transformer.py) or the loop (train.py); any model that
returns `.logits` and takes `target_mask=` fits.
Needs: torch only (`fill_mask` takes a tokenizer of the `tokenizers` library).

Shapes: B rows, T tokens, V vocabulary, A target positions.
"""

import functools
import inspect
import operator

import torch
import torch.nn.functional as F


def _noise(seed, epoch, index, tokens):
    """Three uniform numbers for each position, (3, B, T), that depend on (seed, epoch,
    index of the row) alone.
    """
    generator, draws = torch.Generator(), []
    # a seed for each row: its neighbours in the batch cannot change its mask
    for i in index.tolist():
        # two primes keep apart what could add up to the same number: (seed 0, epoch 1)
        # and (seed 1, epoch 0)
        generator.manual_seed(((seed * 1_000_003 + epoch) * 1_000_000_007 + i) % 2**63)
        draws.append(torch.rand(3, tokens, generator=generator))
    return torch.stack(draws, dim=1)


def checked(check):
    """A decorator: `check` gets a function's arguments, {name: value}, before the
    function does. It raises for what cannot be used, and may put right what can.
    """

    def decorate(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def guarded(*arguments, **keywords):
            given = signature.bind(*arguments, **keywords)
            given.apply_defaults()
            check(given.arguments)
            return function(*given.args, **given.kwargs)

        return guarded

    return decorate


def check_ids(input_ids):
    """Raise unless the ids are a LongTensor (B, T), not empty and none negative."""
    if not isinstance(input_ids, torch.Tensor) or input_ids.dtype != torch.long:
        kind = getattr(input_ids, "dtype", type(input_ids).__name__)
        raise TypeError(
            f"input_ids are {kind}, token ids are a LongTensor (B, T); write "
            "torch.tensor(rows), or call .long() if they are whole numbers"
        )
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        raise ValueError(
            f"input_ids have the shape {tuple(input_ids.shape)}, (B, T) is needed with "
            "at least 1 row of 1 token; write ids[None] for a single row"
        )
    if (least := int(input_ids.min())) < 0:
        raise ValueError(
            f"input_ids have {least} among them, token ids begin at 0; give the ids "
            "and not the labels, whose -100 is no token"
        )


def _is_integer(number):
    """Whether it is a whole number, of Python, NumPy or torch."""
    try:
        return not isinstance(number, bool) and operator.index(number) is not None
    except (TypeError, RuntimeError):
        return False


def _check_draws(given, rows):
    """What cannot start a draw; rows: how many there are, None for any number."""
    for name in ("seed", "epoch"):
        if not _is_integer(given[name]):
            raise TypeError(
                f"{name} is {repr(given[name])[:40]}, a whole number is needed; give 0"
            )
        given[name] = int(given[name])  # Python's do not overflow, NumPy's do
    index, kind = given["index"], getattr(given["index"], "dtype", None)
    if not isinstance(index, torch.Tensor) or kind not in (torch.long, torch.int):
        raise TypeError(
            f"index is {kind or type(index).__name__}, the numbers of the rows are a "
            "LongTensor (B,); write torch.arange(B), or torch.tensor(numbers)"
        )
    if index.ndim != 1 or not len(index) or len(index) != (rows or len(index)):
        raise ValueError(
            f"index has the shape {tuple(index.shape)}, ({rows or 'B'},) is needed, or "
            "rows would share a mask; give the number of each row in the corpus"
        )


def _check_masking(given):
    """What `mask_tokens` cannot use: it would mask other tokens without a word."""
    ids, vocab_size = given["input_ids"], given["vocab_size"]
    check_ids(ids)
    _check_draws(given, len(ids))
    if not 0 <= (p := given["mask_prob"]) <= 1:
        raise ValueError(
            f"mask_prob is {p}, probabilities end at 0 and 1; write 0.15 for 15 %"
        )
    special = getattr(given["special_ids"], "tolist", lambda: given["special_ids"])()
    named = {"input_ids": ids.max(), "mask_id": given["mask_id"]}
    for name, i in [*named.items(), *(("special_ids", i) for i in special)]:
        if not _is_integer(i) or not 0 <= i < vocab_size:
            raise ValueError(
                f"{name} has {i}, the vocabulary has 0 to {vocab_size - 1}; take ids, "
                "special tokens and vocab_size from one tokenizer"
            )
    starts = given["starts_word"]
    if starts is not None and (starts.dtype != torch.bool or len(starts) < vocab_size):
        raise ValueError(
            f"starts_word is {starts.dtype} {tuple(starts.shape)}, bool (V,) with V = "
            f"{vocab_size} is needed; take it from tokenization.starts_word"
        )


@checked(_check_masking)
def mask_tokens(
    input_ids,
    vocab_size,
    mask_id,
    special_ids,
    *,
    seed,
    epoch,
    index,
    mask_prob=0.15,
    starts_word=None,
):
    """Choose `mask_prob` of the tokens as questions and hide them: 80 % become [MASK],
    10 % a random token, 10 % stay.

    input_ids (B, T). index (B,): the number of each row in the corpus, so that a row's
    mask is a function of (seed, epoch, index) in whatever batch, worker or process it
    turns up. special_ids: never a target, never drawn.
    starts_word: bool (V,) from tokenization.starts_word masks whole words (all tokens
        of a word or none): what follows a token that starts a word shares its draw.

    Returns (masked ids, labels), both (B, T); labels are -100 at the other positions.
    Raises TypeError for ids or an index that are no LongTensor, ValueError for another
    shape, ids beyond the vocabulary and a mask_prob beyond 0 and 1.
    Why not always [MASK]: the model will later read texts without one, so it must
    expect any token to be a target.
    """
    # is this position a target, what stands there instead, and which token if it is a
    # random one: (B, T) each
    choose, how, which = _noise(seed, epoch, index, input_ids.shape[1])
    # every piece of a word follows the draw of its first piece
    if starts_word is not None:
        positions = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        # the running maximum carries the position of the latest word start along a row
        first = torch.where(starts_word[input_ids], positions, 0).cummax(dim=1).values
        choose = choose.gather(1, first)
    ordinary = torch.ones(vocab_size, dtype=torch.bool)
    ordinary[torch.as_tensor(special_ids, dtype=torch.long)] = False
    is_target = (choose < mask_prob) & ordinary[input_ids]  # (B, T)
    labels = input_ids.masked_fill(~is_target, -100)
    masked = torch.where(is_target & (how < 0.8), mask_id, input_ids)
    # drawn from the ordinary tokens only: a special one in the middle of a text would
    # be a giveaway
    words = ordinary.nonzero().squeeze(1)
    random_words = words[(which * len(words)).long()]
    # from 0.8 to 0.9 the token stays as it is
    masked = torch.where(is_target & (how >= 0.9), random_words, masked)
    return masked, labels


def masked_batch(input_ids, index, tokenizer, *, seed, epoch=0, mask_prob=0.15):
    """A batch for `mlm_loss`: {"input_ids" (B, T), "labels" (B, T), "index" (B,)}.

    input_ids (B, T): rows of tokens. index (B,): their numbers in the corpus, as in
        `mask_tokens`. tokenizer: of the `tokenizers` library, with BERT's five special
        tokens; none of them is ever a target. Raises ValueError where it lacks one.
    """
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    special = [tokenizer.token_to_id(name) for name in names]
    if None in special:
        raise ValueError(
            f"the tokenizer has no {names[special.index(None)]}; train one with BERT's "
            "special tokens, or call mask_tokens with your own"
        )
    masked, labels = mask_tokens(
        input_ids,
        tokenizer.get_vocab_size(),
        special[-1],
        special,
        seed=seed,
        epoch=epoch,
        index=index,
        mask_prob=mask_prob,
    )
    return {"input_ids": masked, "labels": labels, "index": index}


def split_targets(batch, mask_id):
    """The batch twice: with the targets that show [MASK] alone, and with those that
    show a token alone; the other labels are -100.

    batch: {"input_ids" (B, T), "labels" (B, T), ...} from `mask_tokens`. One target in
    five shows a token, half of them the right one, so a model that copies what it sees
    has a good mean loss over all targets and cannot fill a gap. Measure the two apart.
    """
    hidden = batch["input_ids"] == mask_id
    return tuple(
        batch | {"labels": batch["labels"].masked_fill(hidden != wanted, -100)}
        for wanted in (True, False)
    )


def copy_loss(train, batch, vocab_size, mask_id, special_ids):
    """Nats per visible target of the best guess from the token that is shown there and
    nothing else: either it was kept, or it was drawn in place of another one.

    train: LongTensor of ids of any shape, for the frequency p of each token (add-one).
    batch: as `split_targets`. By Bayes, shown x was kept with probability
    p(x) / (p(x) + 1 / W), W the number of ordinary tokens, as both happen to one target
    in ten. At [MASK] such a guess is worth the unigram loss.
    """
    labels = split_targets(batch, mask_id)[1]["labels"]
    shown, answers = (x[labels != -100] for x in (batch["input_ids"], labels))
    p = torch.bincount(train.flatten(), minlength=vocab_size).double() + 1
    p = p / p.sum()
    drawn = 1 / (vocab_size - len(set(special_ids)))
    kept = p[shown] / (p[shown] + drawn)
    guess = (1 - kept) * p[answers] + kept * (shown == answers)
    return float(-guess.log().mean())


def mlm_loss(model, batch):
    """Summed cross-entropy, in nats, over the target positions of batch["labels"] (B,
    T); logits are made there only.
    """
    target_mask = batch["labels"] != -100  # (B, T) -> logits (A, V)
    output = model(
        batch["input_ids"],
        batch.get("attention_mask"),
        batch.get("token_type_ids"),
        target_mask=target_mask,
    )
    # float32, whatever autocast made of the logits: bfloat16 keeps two to three digits
    return F.cross_entropy(
        output.logits.float(), batch["labels"][target_mask], reduction="sum"
    )


def _check_pairs(given):
    """What `sentence_pairs` cannot use, such as a document that holds no pair."""
    documents = given["documents"] = list(given["documents"])
    length, ends = given["length"], {given["cls_id"], given["sep_id"]}
    if not _is_integer(length) or length < 5:
        raise ValueError(
            f"length is {length}; a row of [CLS] A [SEP] B [SEP] has 5 tokens or more"
        )
    _check_draws(given, None)
    for i in given["index"].tolist() if len(documents) > 1 else ():
        if not 0 <= i < len(documents):
            raise ValueError(
                f"index has {i}, the documents are 0 to {len(documents) - 1}; give "
                "positions in the list"
            )
        ids = documents[i]
        if not hasattr(ids, "__len__") or not all(map(_is_integer, ids)):
            raise TypeError(
                f"document {i} is {repr(ids)[:40]}, not a list of token ids; encode "
                "the texts first"
            )
        if len(ids) and {int(ids[0]), int(ids[-1])} & ends:
            raise ValueError(
                f"document {i} is framed by special tokens, ids {int(ids[0])} and "
                f"{int(ids[-1])}, which come twice then; give row[1:-1]"
            )
    pair = (length - 3) // 2 * 2  # any of them may be drawn as the foreign one
    if (least := min(map(len, documents), default=pair)) < pair:
        raise ValueError(
            f"document {[*map(len, documents)].index(least)} has {least} ids, a pair "
            f"in rows of {length} takes {pair}; leave out shorter ones, or take a "
            "smaller length"
        )


@checked(_check_pairs)
def sentence_pairs(documents, index, length, cls_id, sep_id, *, seed, epoch):
    """BERT's second task: rows [CLS] A [SEP] B [SEP] in which B follows A in its
    document, or comes from another one.

    documents: lists of ids without special tokens, each of at least `length` - 3 ids.
        index (B,): which documents to take.
    A fair coin per row, a function of (seed, epoch, index) like the masks, decides
    between the two.

    Returns {"input_ids", "token_type_ids" (B, T), "next_sentence_label" (B,)}; 0
    follows, 1 does not, as in transformers. T is `length`, or one less if that is even.
    Raises ValueError for a document that is too short, or framed by special tokens.
    """
    if len(documents) < 2:
        raise ValueError(
            f"{len(documents)} document cannot give a foreign sentence; "
            "at least 2 are needed"
        )
    half, generator, rows, labels = (length - 3) // 2, torch.Generator(), [], []
    for i in index.tolist():
        # + 2**31: with the masks' own numbers, whether position 2 is a target would
        # give the answer away
        generator.manual_seed(
            ((seed * 1_000_003 + epoch) * 1_000_000_007 + i + 2**31) % 2**63
        )
        here, there, coin, other = torch.rand(4, generator=generator).tolist()
        # anywhere, as long as both halves fit
        start = int(here * (len(documents[i]) - 2 * half + 1))
        first = documents[i][start : start + half]
        second = documents[i][start + half : start + 2 * half]
        if coin < 0.5:
            # never document i
            foreign = documents[
                (i + 1 + int(other * (len(documents) - 1))) % len(documents)
            ]
            start = int(there * (len(foreign) - half + 1))
            second = foreign[start : start + half]
        # both halves have one length in either case, or the length would say which case
        # it is
        rows.append([cls_id, *first, sep_id, *second, sep_id])
        labels.append(int(coin < 0.5))
    ids = torch.tensor(rows)
    segment = torch.zeros_like(ids)
    segment[:, half + 2 :] = 1  # [CLS] and the first [SEP] belong to A
    return {
        "input_ids": ids,
        "token_type_ids": segment,
        "next_sentence_label": torch.tensor(labels),
    }


def pretraining_loss(model, batch):
    """The joint loss of BERT as two sums: masked tokens and next sentence. train.steps
    divides each by its own count.

    Adding the sums and dividing once would weigh one pair like one token, and there are
    about 20 tokens a pair.
    """
    target_mask = batch["labels"] != -100
    output = model(
        batch["input_ids"],
        batch.get("attention_mask"),
        batch.get("token_type_ids"),
        target_mask=target_mask,
    )
    words = F.cross_entropy(
        output.logits.float(), batch["labels"][target_mask], reduction="sum"
    )
    pairs = F.cross_entropy(
        output.next_sentence_logits.float(),
        batch["next_sentence_label"],
        reduction="sum",
    )
    return {"labels": words, "next_sentence_label": pairs}


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


@torch.no_grad()
@in_eval_mode  # with dropout on, the same text would be filled differently
def fill_mask(model, tokenizer, text, k=5):
    """The k likeliest pieces for each [MASK] in `text`: one list of (piece,
    probability) per mask, best first.

    Raises ValueError if the text has no [MASK], or for a k beyond the vocabulary.
    """
    size = tokenizer.get_vocab_size()
    if not 1 <= k <= size:
        raise ValueError(f"k is {k}; ask for 1 to {size} tokens, the vocabulary's size")
    ids = torch.tensor([tokenizer.encode(text).ids])
    target_mask = ids == tokenizer.token_to_id("[MASK]")
    if not target_mask.any():
        raise ValueError(
            f"{text!r} has no [MASK]; write [MASK] where the model shall guess"
        )
    device = next(model.parameters()).device
    # (A, V)
    probabilities = (
        model(ids.to(device), target_mask=target_mask.to(device))
        .logits.float()
        .softmax(dim=-1)
    )
    best = probabilities.topk(k)
    return [
        [(tokenizer.id_to_token(i), p) for i, p in zip(row.tolist(), ps.tolist())]
        for row, ps in zip(best.indices, best.values)
    ]


if __name__ == "__main__":
    # The demo uses data, model and loop, and this file imports none of them, so that it
    # can be copied alone
    import runpy
    from pathlib import Path

    demo = Path(__file__).resolve().parents[2] / "recipes" / "demo_mlm.py"
    if not demo.is_file():
        raise SystemExit(
            f"{demo} is not there; the demo needs a clone of the "
            "repository, not this file alone"
        )
    runpy.run_path(str(demo), run_name="__main__")
