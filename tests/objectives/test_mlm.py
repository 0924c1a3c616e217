"""Masking against its definition and transformers' loss: shares, purity, whole words,
sentence pairs, filling in.
"""

import inspect
import math
import types

import pytest
import tokenizers
import torch
import torch.nn.functional as F

from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.objectives import mlm

V, MASK, SPECIAL = 200, 4, [0, 1, 2, 3, 4]
BIG = torch.randint(5, V, (4000, 64), generator=torch.Generator().manual_seed(0))


def masks(ids=BIG, *, function=mlm.mask_tokens, seed=0, epoch=0, index=None, **more):
    index = torch.arange(len(ids)) if index is None else index
    return function(ids, V, MASK, SPECIAL, seed=seed, epoch=epoch, index=index, **more)


def surprises(ids, masked, labels, mask_prob=0.15):
    """Where the masks leave the definition of BERT by more than 4.5 standard deviations
    -> [name of the mask_prob].
    """
    asked = labels != -100
    n, hidden, stay = (
        int(asked.sum()),
        masked[asked] == MASK,
        masked[asked] == ids[asked],
    )
    # a random token is the old one by chance once in V - 5 times
    drawn, same = 0.1 * (1 - 1 / (V - len(SPECIAL))), 0.1 + 0.1 / (V - len(SPECIAL))
    found = {
        "asked": (n, ids.numel(), mask_prob),
        "mask": (int(hidden.sum()), n, 0.8),
        "random": (n - int(hidden.sum()) - int(stay.sum()), n, drawn),
        "stay": (int(stay.sum()), n, same),
    }
    return [
        name
        for name, (k, of, p) in found.items()
        if abs(k - of * p) > 4.5 * math.sqrt(of * p * (1 - p))
    ]


def planted(old, new):
    """mask_tokens with one piece of its text changed."""
    text = inspect.getsource(mlm.mask_tokens)
    code = text.split('"""')[2]
    assert old in code
    space = dict(vars(mlm))
    exec(text.replace(code, code.replace(old, new, 1)), space)
    return space["mask_tokens"]


@pytest.mark.parametrize("mask_prob", [0.15, 0.4])
def test_shares_are_within_binomial_bounds(mask_prob):
    assert surprises(BIG, *masks(mask_prob=mask_prob), mask_prob) == []


@pytest.mark.parametrize(
    "old, new, seen",
    [
        ("0.8", "0.9", "mask"),
        (">= 0.9", ">= 0.8", "random"),
        ("< mask_prob", "< mask_prob * 1.1", "asked"),
        ("random_words, masked", "mask_id, masked", "random"),
    ],
)
def test_planted_faults_are_caught(old, new, seen, counted):
    assert seen in surprises(BIG, *masks(function=planted(old, new)))
    counted("fault")


def test_every_place_and_every_word_is_asked_alike():
    """Rows that follow each other use seeds that follow each other; the generator must
    not notice.
    """
    asked = (masks()[1] != -100).double()
    places, n = asked.mean(0), len(BIG)
    assert (places - 0.15).abs().max() < 4.5 * math.sqrt(0.15 * 0.85 / n)
    neighbours = (asked[1:] * asked[:-1]).mean()  # row i and row i + 1, same place
    assert abs(neighbours - 0.15**2) < 0.001
    masked, labels = masks()
    drawn = masked[(labels != -100) & (masked != MASK) & (masked != BIG)]
    counts = torch.bincount(drawn, minlength=V)[5:].double()
    chi2 = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(chi2 - (V - 6)) < 4.5 * math.sqrt(2 * (V - 6))


def test_targets_are_split_into_hidden_and_visible():
    masked, labels = masks()
    batch = {"input_ids": masked, "labels": labels, "index": torch.arange(len(masked))}
    hidden, visible = mlm.split_targets(batch, MASK)
    for part, shows_mask in ((hidden, True), (visible, False)):
        asked = part["labels"] != -100
        assert ((part["input_ids"] == MASK)[asked] == shows_mask).all()
        assert torch.equal(part["labels"][asked], BIG[asked])
        assert part["index"] is batch["index"]
    both = (hidden["labels"] != -100).long() + (visible["labels"] != -100)
    assert torch.equal(both, (labels != -100).long())  # each target once
    assert torch.equal(batch["labels"], labels)


def test_copy_loss_is_that_of_the_best_guess_from_the_token_alone(counted):
    """Counted over a million draws: what stands in the place of a token that is shown,
    and how often.
    """
    g = torch.Generator().manual_seed(0)
    frequency = torch.cat([torch.zeros(5), torch.arange(1.0, 16)])  # 5 are special
    ids = torch.multinomial(frequency, 2_000_000, True, generator=g).view(-1, 50)
    masked, labels = mlm.mask_tokens(
        ids, 20, MASK, SPECIAL, seed=0, epoch=0, index=torch.arange(len(ids))
    )
    batch = {"input_ids": masked, "labels": labels}
    got = mlm.copy_loss(ids, batch, 20, MASK, SPECIAL)
    shown = (labels != -100) & (masked != MASK)
    pairs = torch.bincount(masked[shown] * 20 + labels[shown], minlength=400)
    seen = pairs.view(20, 20).double()[5:, 5:]
    entropy = -(seen * (seen / seen.sum(1, keepdim=True)).log()).sum() / seen.sum()
    assert abs(got - entropy) < 0.005
    # controls: a guess that always copies or never does is worse
    p = seen.sum(0) / seen.sum()
    assert got < -(p * p.log()).sum() - 0.5
    counted("fault")


def test_special_tokens_are_neither_asked_nor_drawn(counted):
    ids = BIG.clone()
    ids[:, ::4] = torch.arange(5).repeat(4)[:16]
    masked, labels = masks(ids, mask_prob=0.5)
    special = ids < 5
    assert (labels[special] == -100).all() and torch.equal(
        masked[special], ids[special]
    )
    changed = (masked != ids) & (masked != MASK)
    assert changed.sum() > 3000 and (masked[changed] >= 5).all()
    masked, labels = masks(
        ids, mask_prob=0.5, function=planted("& ordinary[input_ids]", "")
    )
    assert (labels[special] != -100).any()
    masked, labels = masks(
        ids,
        mask_prob=0.5,
        function=planted(
            "ordinary[torch.as_tensor(special_ids, dtype=torch.long)] = False", "pass"
        ),
    )
    assert (masked[(masked != ids) & (masked != MASK)] < 5).any()
    counted("fault", 2)


def test_a_mask_is_a_function_of_seed_epoch_and_index(counted):
    rows = torch.tensor([7, 3, 99, 1200])
    masked, labels = masks()
    again, told = masks(BIG[rows], index=rows)  # another batch, another order
    assert torch.equal(again, masked[rows]) and torch.equal(told, labels[rows])
    torch.manual_seed(5), torch.rand(10)  # the global generator plays no part
    assert torch.equal(masks()[0], masked)
    for other in (dict(seed=1), dict(epoch=1), dict(index=rows + 1)):
        assert not torch.equal(masks(BIG[rows], **{"index": rows, **other})[1], told)

    def from_the_global_generator(seed, epoch, index, tokens):
        return torch.rand(3, len(index), tokens)

    control = planted("choose, how", "choose, how")
    inspect.unwrap(control).__globals__["_noise"] = from_the_global_generator
    assert not torch.equal(masks(function=control)[0], masks(function=control)[0])
    counted("fault")


def test_no_two_rows_of_a_long_run_share_their_seed():
    """The CPU generator keeps the lowest 32 bits of a seed: 20 epochs of 60,000 rows
    must stay apart within them.
    """
    assert torch.equal(
        torch.rand(3, generator=torch.Generator().manual_seed(7)),
        torch.rand(3, generator=torch.Generator().manual_seed(7 + 2**32)),
    )
    seeds = (torch.arange(20)[:, None] * 1_000_000_007 + torch.arange(60_000)) % 2**32
    assert len(seeds.unique()) == seeds.numel()


def test_whole_words_are_masked_as_wholes(counted):
    starts = torch.ones(V, dtype=torch.bool)
    starts[V // 2 :] = False  # the upper half are the inner pieces of words
    masked, labels = masks(starts_word=starts)
    asked, continued = labels != -100, ~starts[BIG]
    follows = asked[:, 1:] == asked[:, :-1]
    assert follows[continued[:, 1:]].all()
    piecewise = masks()[1] != -100
    # control: without starts_word words are torn
    assert not (piecewise[:, 1:] == piecewise[:, :-1])[continued[:, 1:]].all()
    assert abs(asked.double().mean() - 0.15) < 0.005
    assert torch.equal(masked[~asked], BIG[~asked])
    counted("fault")


@pytest.mark.parametrize(
    "text, words",
    [
        ("unfilmable films and goodness again ", 5),
        ("好看的电影很好", 7),  # each character is a word, not the sentence one
    ],
)
def test_whole_words_of_bytes_are_masked_as_wholes(text, words, counted):
    bpe = tokenization.train_bpe(["a good film", "好"], 262)
    line = " " + text * 4 if text.isascii() else text * 4
    ids = torch.tensor(bpe.encode(line.rstrip()).ids)[None].repeat(400, 1)
    starts = tokenization.starts_word(bpe)
    number = starts[ids[0]].cumsum(0)  # of the word at each position
    assert number[-2] == 4 * words + 1 and len(number) > 4 * words + 20

    def torn(starts):
        _, labels = mlm.mask_tokens(
            ids,
            bpe.get_vocab_size(),
            4,
            range(5),
            seed=0,
            epoch=0,
            index=torch.arange(400),
            starts_word=starts,
        )
        asked = labels != -100
        assert not asked[:, [0, -1]].any() and 0.12 < asked[:, 1:-1].double().mean()
        inside = number[1:] == number[:-1]
        return (asked[:, 1:] != asked[:, :-1])[:, inside].any(), asked

    apart, asked = torn(starts)
    assert not apart
    # two words are drawn apart
    assert len({tuple(row) for row in asked.tolist()}) > 300
    # control: every token a word, as it was
    assert torn(torch.ones_like(starts))[0]
    counted("fault")


# ---- the losses ----


def tiny(**more):
    torch.manual_seed(0)
    net = transformer.LanguageModel(
        transformer.Config(
            V, width=32, layers=2, heads=4, ffn_dim=64, max_tokens=64, **more
        )
    )
    for p in net.parameters():
        p.data += torch.randn_like(p) * 0.1
    return net.eval()


def test_loss_equals_transformers(tmp_path):
    from transformers import AutoModelForMaskedLM

    net = tiny()
    hf_format.save(net, tmp_path, half=False)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    ids, labels = masks(BIG[:6])
    mask = torch.ones_like(ids)
    ids[2, 50:], labels[2, 50:], mask[2, 50:] = 0, -100, 0
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    ours, asked = mlm.mlm_loss(net, batch), int((labels != -100).sum())
    wanted = theirs(**batch).loss  # a mean over what is asked
    assert abs(ours.item() / asked - wanted.item()) < 1e-5
    ours.backward(), (wanted * asked).backward()
    a, b = net.encoder.tokens.weight.grad, theirs.get_input_embeddings().weight.grad
    b[0] = a[0] = 0  # transformers gives the padding embedding no gradient
    assert (a - b).abs().max() < 1e-4 * b.abs().max()


class Bare(torch.nn.Module):
    """A model that gives these logits at the target positions, and these of pairs."""

    def __init__(self, logits, pairs):
        super().__init__()
        self.scores, self.pairs = torch.nn.Parameter(logits), pairs

    def forward(self, input_ids, attention_mask, token_type_ids, target_mask):
        return types.SimpleNamespace(
            logits=self.scores[target_mask], next_sentence_logits=self.pairs
        )


def losses_of_bfloat16(mlm=mlm):
    """The three losses of logits as autocast leaves them -> each over what float32,
    without smoothing, makes of the same logits.
    """
    generator = torch.Generator().manual_seed(0)
    scores, pairs = (
        (torch.randn(*shape, generator=generator) * 4).bfloat16()
        for shape in ((6, 64, V), (6, 2))
    )
    ids, labels = masks(BIG[:6])
    answers = torch.tensor([0, 1, 1, 0, 1, 0])
    batch = {"input_ids": ids, "labels": labels, "next_sentence_label": answers}
    net = Bare(scores, pairs)
    wanted = [
        -logits.double().log_softmax(-1).gather(-1, at[:, None]).sum()
        for logits, at in (
            (scores[labels != -100], labels[labels != -100]),
            (pairs, answers),
        )
    ]
    both = mlm.pretraining_loss(net, batch)
    made = (mlm.mlm_loss(net, batch), both["labels"], both["next_sentence_label"])
    assert all(loss.ndim == 0 for loss in made)
    return [
        (loss.item() / right.item(), loss.dtype)
        for loss, right in zip(made, (wanted[0], *wanted))
    ]


def test_the_losses_of_bfloat16_logits_are_made_in_float32():
    for ratio, dtype in losses_of_bfloat16():
        assert abs(ratio - 1) < 1e-5 and dtype == torch.float32


PAIRS_LOSS = """        output.next_sentence_logits.float(),
        batch["next_sentence_label"],
        reduction="sum","""
WORDS_LOSS = """F.cross_entropy(
        output.logits.float(), batch["labels"][target_mask], reduction="sum"
    )"""


@pytest.mark.parametrize(
    "old",
    [f"return {WORDS_LOSS}", f"words = {WORDS_LOSS}", PAIRS_LOSS],
    ids=["mlm_loss", "words", "pairs"],
)
@pytest.mark.parametrize(
    "part, other",
    [(".float()", ""), ('reduction="sum"', 'reduction="sum", label_smoothing=0.1')],
    ids=["bfloat16", "smoothed"],
)
def test_a_loss_that_is_rounded_or_smoothed_is_caught(
    old, part, other, mutated, counted
):
    wrong = losses_of_bfloat16(mutated(mlm, old, old.replace(part, other)))
    assert sum(abs(ratio - 1) > 1e-4 for ratio, _ in wrong) == 1
    counted("fault")


def test_nothing_asked_is_a_loss_of_zero_with_a_gradient():
    net = tiny()
    loss = mlm.mlm_loss(
        net, {"input_ids": BIG[:2], "labels": torch.full_like(BIG[:2], -100)}
    )
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or (p.grad == 0).all() for p in net.parameters())


def test_pretraining_loss_equals_transformers(tmp_path):
    from transformers import BertForPreTraining

    net = tiny(pre_norm=False, segments=2, nsp_head=True)
    hf_format.save(net, tmp_path, half=False)
    theirs = BertForPreTraining.from_pretrained(tmp_path).eval()
    ids, labels = masks(BIG[:6])
    batch = {
        "input_ids": ids,
        "labels": labels,
        "token_type_ids": torch.randint(0, 2, ids.shape),
        "next_sentence_label": torch.tensor([0, 1, 1, 0, 1, 0]),
    }
    sums = mlm.pretraining_loss(net, batch)
    mean = sums["labels"] / (labels != -100).sum() + sums["next_sentence_label"] / 6
    assert abs(mean.item() - theirs(**batch).loss.item()) < 1e-5


# ---- sentence pairs ----

# each id tells its document and place
DOCUMENTS = [[1000 * d + i for i in range(90 + 10 * (d % 3))] for d in range(20)]
CLS, SEP = 30_001, 30_002


def pairs(index, function=mlm.sentence_pairs, epoch=0):
    return function(DOCUMENTS, index, 64, CLS, SEP, seed=0, epoch=epoch)


def test_sentence_pairs():
    index = torch.arange(20).repeat(60)
    rows = torch.cat(
        [
            pairs(index[i : i + 20], epoch=i // 20)["input_ids"]
            for i in range(0, 1200, 20)
        ]
    )
    told = torch.cat(
        [
            pairs(index[i : i + 20], epoch=i // 20)["next_sentence_label"]
            for i in range(0, 1200, 20)
        ]
    )
    kinds = pairs(index[:1])["token_type_ids"][0]
    assert rows.shape == (1200, 63) and kinds.tolist() == [0] * 32 + [1] * 31
    assert (
        (rows[:, 0] == CLS).all()
        and (rows[:, 31] == SEP).all()
        and (rows[:, 62] == SEP).all()
    )
    first, second = rows[:, 1:31], rows[:, 32:62]
    for half in (first, second):
        assert (half.diff(dim=1) == 1).all()  # each half is one stretch of one document
    assert (first // 1000 == index[:, None]).all()
    follows = second[:, 0] == first[:, -1] + 1
    assert torch.equal(follows, told == 0)
    # a foreign half is never from the same document
    assert ((second[:, 0] // 1000 != index) == (told == 1)).all()
    assert abs(told.double().mean() - 0.5) < 4.5 * 0.5 / math.sqrt(1200)
    assert len((second[told == 1][:, 0] // 1000).unique()) == 20


def test_sentence_pairs_are_a_function_of_seed_epoch_and_index():
    some = torch.tensor([4, 17, 2])
    assert torch.equal(
        pairs(some)["input_ids"], pairs(torch.arange(20))["input_ids"][some]
    )
    assert not torch.equal(pairs(some, epoch=1)["input_ids"], pairs(some)["input_ids"])
    with pytest.raises(ValueError, match="1 document cannot give a foreign sentence"):
        mlm.sentence_pairs(
            DOCUMENTS[:1], torch.tensor([0]), 64, CLS, SEP, seed=0, epoch=0
        )


def test_masks_do_not_tell_whether_the_pair_belongs_together(counted):
    """Masks and pairs are functions of the same (seed, epoch, index): from one stream
    of numbers, one would betray the other.
    """
    documents, index = [[10 + d % 7] * 70 for d in range(2000)], torch.arange(2000)

    def betrayal(function):
        batch = function(documents, index, 64, 2, 3, seed=0, epoch=0)
        asked = (
            masks(batch["input_ids"], index=index, mask_prob=0.3)[1] != -100
        ).double()
        label = batch["next_sentence_label"].double()
        return max(
            abs(torch.corrcoef(torch.stack([asked[:, place], label]))[0, 1].item())
            for place in range(1, 12)
        )

    assert betrayal(mlm.sentence_pairs) < 4.5 / math.sqrt(2000)
    space = dict(vars(mlm))
    exec(inspect.getsource(mlm.sentence_pairs).replace(" + 2**31", ""), space)
    assert betrayal(space["sentence_pairs"]) > 0.3
    counted("fault")


# ---- filling in ----


def test_fill_mask():
    tokenizer = tokenization.train_wordpiece(
        ["the film was good", "the film was bad"] * 3, 60
    )
    good = tokenizer.token_to_id("good")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, target_mask):
            assert not self.training
            logits = (
                F.one_hot(torch.full_like(input_ids, good), tokenizer.get_vocab_size())[
                    target_mask
                ].float()
                * 3
            )
            return types.SimpleNamespace(logits=logits + self.weight)

    net = Net().train()
    one, two = mlm.fill_mask(net, tokenizer, "the [MASK] was [MASK]", k=2)
    p = math.exp(3) / (math.exp(3) + tokenizer.get_vocab_size() - 1)
    assert (
        one[0][0] == two[0][0] == "good" and abs(one[0][1] - p) < 1e-5 and len(one) == 2
    )
    assert net.training  # left as it was
    with pytest.raises(ValueError, match=r"has no \[MASK\]; write \[MASK\]"):
        mlm.fill_mask(net, tokenizer, "the film was good")


def test_a_small_model_learns_to_fill_in():
    """Eight sentences of three words each, over and over: what is missing is soon
    known.
    """
    torch.manual_seed(0)
    net = transformer.LanguageModel(
        transformer.Config(40, width=32, layers=1, heads=2, ffn_dim=64, max_tokens=12)
    )
    rows = (
        torch.arange(12).remainder(3).add(10).repeat(8, 1)
        + 3 * torch.arange(8)[:, None]
    )
    optimizer, losses = torch.optim.AdamW(net.parameters(), lr=1e-2), []
    for step in range(80):
        ids, labels = mlm.mask_tokens(
            rows,
            40,
            MASK,
            SPECIAL,
            seed=0,
            epoch=step,
            index=torch.arange(8),
            mask_prob=0.3,
        )
        loss = (
            mlm.mlm_loss(net, {"input_ids": ids, "labels": labels})
            / (labels != -100).sum()
        )
        loss.backward()
        optimizer.step(), optimizer.zero_grad()
        losses.append(loss.item())
    # log 24 = 3.2 nats is what guessing costs
    assert losses[0] > 3 and sum(losses[-20:]) / 20 < 1


def test_a_vocabulary_without_special_tokens_can_be_masked_too():
    ids = torch.arange(5, 37).view(2, 16)
    _, labels = mlm.mask_tokens(
        ids, 40, 4, [], seed=0, epoch=0, index=torch.arange(2), mask_prob=1.0
    )
    # with nothing forbidden and a share of 1 every place is asked
    assert torch.equal(labels, ids)


def test_a_masked_batch_is_what_mask_tokens_gives():
    tokenizer = tokenization.train_wordpiece(["one film and another film"] * 9, 60)
    ids = torch.randint(5, tokenizer.get_vocab_size(), (6, 12))
    index = torch.arange(6) + 40
    how = dict(seed=3, epoch=2, mask_prob=0.4)
    batch = mlm.masked_batch(ids, index, tokenizer, **how)
    masked, labels = mlm.mask_tokens(
        ids, tokenizer.get_vocab_size(), 4, range(5), index=index, **how
    )
    assert torch.equal(batch["input_ids"], masked)
    assert torch.equal(batch["labels"], labels)
    assert torch.equal(batch["index"], index)


def test_a_tokenizer_without_a_mask_is_refused(counted):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    with pytest.raises(ValueError, match=r"the tokenizer has no \[MASK\]; train one"):
        mlm.masked_batch(torch.ones(1, 4).long(), torch.tensor([0]), tokenizer, seed=0)
    counted("fault")


# ---- what is no input ----

IDS = BIG[:4]


def mask_of(**changed):
    """mask_tokens on four rows, one of its arguments changed."""
    given = dict(
        input_ids=IDS,
        vocab_size=V,
        mask_id=MASK,
        special_ids=SPECIAL,
        seed=0,
        epoch=0,
        index=torch.arange(4),
    )
    return mlm.mask_tokens(**{**given, **changed})


@pytest.mark.parametrize(
    "changed, error, words",
    [
        # more than a probability: every token, or none, was a target without a word
        (dict(mask_prob=15), ValueError, "mask_prob is 15, .* write 0.15 for 15 %"),
        (
            dict(mask_prob=-1),
            ValueError,
            "mask_prob is -1, probabilities end at 0 and 1",
        ),
        (dict(mask_prob=float("nan")), ValueError, "mask_prob is nan"),
        # one index for all rows: they shared one mask
        (dict(index=torch.tensor([7])), ValueError, r"shape \(1,\), \(4,\) is needed"),
        (dict(index=torch.arange(3)), ValueError, r"shape \(3,\), \(4,\) is needed"),
        (dict(index=torch.arange(5)), ValueError, r"shape \(5,\), \(4,\) is needed"),
        (dict(index=torch.tensor(7)), ValueError, r"shape \(\), \(4,\) is needed"),
        (dict(index=torch.rand(4)), TypeError, "index is torch.float32, the numbers"),
        (dict(index=range(4)), TypeError, "index is range, .* write torch.arange"),
        (dict(input_ids=IDS.float()), TypeError, "input_ids are torch.float32, token"),
        # torch would take bytes for a mask of places and not for ids
        (dict(input_ids=IDS.byte()), TypeError, "input_ids are torch.uint8, token ids"),
        (
            dict(input_ids=IDS.tolist()),
            TypeError,
            "input_ids are list, .* torch.tensor",
        ),
        (dict(input_ids=IDS[0]), ValueError, r"the shape \(64,\), \(B, T\) is needed"),
        (dict(input_ids=IDS[:0]), ValueError, r"the shape \(0, 64\), .* 1 row of 1"),
        (dict(input_ids=IDS[:, :0]), ValueError, r"the shape \(4, 0\), .* 1 row of 1"),
        # a negative id was looked up from the end of the vocabulary
        (
            dict(input_ids=IDS - 190),
            ValueError,
            "input_ids have -1.. among them, token",
        ),
        (dict(vocab_size=100), ValueError, "input_ids has 199, .* has 0 to 99; take"),
        (dict(mask_id=-1), ValueError, "mask_id has -1, the vocabulary has 0 to 199"),
        (dict(mask_id=V), ValueError, "mask_id has 200, the vocabulary has 0 to 199"),
        (dict(mask_id=None), ValueError, "mask_id has None, the vocabulary has 0"),
        (dict(special_ids=[0, -100]), ValueError, "special_ids has -100, the vocab"),
        (dict(special_ids=[0, V]), ValueError, "special_ids has 200, the vocabulary"),
        (dict(special_ids=[0, 1.7]), ValueError, "special_ids has 1.7, the vocab"),
        (dict(special_ids=[0, True]), ValueError, "special_ids has True, the vocab"),
        (dict(special_ids=torch.rand(2)), ValueError, r"special_ids has 0\.\d+, the"),
        (dict(mask_id=True), ValueError, "mask_id has True, the vocabulary has 0"),
        (dict(seed=True), TypeError, "seed is True, a whole number is needed"),
        (dict(seed=0.5), TypeError, "seed is 0.5, a whole number is needed; give 0"),
        (dict(epoch=None), TypeError, "epoch is None, a whole number is needed; give"),
        (dict(starts_word=torch.ones(V)), ValueError, "starts_word is torch.float32"),
        (
            dict(starts_word=torch.ones(9, dtype=torch.bool)),
            ValueError,
            r"starts_word is torch.bool \(9,\), bool \(V,\) with V = 200 is needed",
        ),
    ],
)
def test_what_cannot_be_masked_is_refused(changed, error, words, counted):
    mask_of()  # control
    with pytest.raises(error, match=words):
        mask_of(**changed)
    counted("fault")


def test_all_tokens_or_none_may_be_masked():
    assert (mask_of(mask_prob=1)[1] == IDS).all()
    assert (mask_of(mask_prob=0)[1] == -100).all()


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8"])
def test_numbers_of_numpy_give_the_masks_of_pythons(kind):
    """They overflow, and Python's do not: the same seed gave other masks."""
    import numpy

    number = getattr(numpy, kind)
    ours = mask_of(seed=number(97), epoch=number(3))
    assert torch.equal(ours[1], mask_of(seed=97, epoch=3)[1])
    pairs = pairs_of(seed=number(97), epoch=number(3))
    assert torch.equal(pairs["input_ids"], pairs_of(seed=97, epoch=3)["input_ids"])


SHORT = [[*range(10, 30)], [*range(40, 50)], [*range(60, 80)]]
IDS_OF_PAIRS = [[*range(10 * d, 10 * d + 20)] for d in range(1, 5)]


def pairs_of(documents=IDS_OF_PAIRS, index=(0, 1, 2), length=23, **changed):
    index = torch.tensor(index) if isinstance(index, tuple) else index
    settings = {"seed": 0, "epoch": 0, **changed}
    return mlm.sentence_pairs(documents, index, length, 2, 3, **settings)


@pytest.mark.parametrize(
    "changed, error, words",
    [
        (
            dict(documents=SHORT),
            ValueError,
            "document 1 has 10 ids, a pair in rows of 23 takes 20; leave out",
        ),
        # document 1 is not asked for, but may be the foreign one
        (dict(documents=SHORT, index=(0, 2)), ValueError, "document 1 has 10 ids"),
        (dict(documents=[[], [], []]), ValueError, "document 0 has 0 ids, a pair"),
        (dict(documents=[]), ValueError, "0 document cannot give a foreign sentence"),
        (dict(documents=["a film"] * 4), TypeError, "document 0 is 'a film', not a"),
        (dict(documents="a film"), TypeError, "document 0 is 'a', not a list of token"),
        (
            dict(documents={"a": [7] * 20, "b": [8] * 20}),
            TypeError,
            "document 0 is 'a'",
        ),
        (dict(documents=[*range(9)]), TypeError, "document 0 is 0, not a list of"),
        (
            dict(documents=[[0.5] * 20] * 4),
            TypeError,
            r"document 0 is \[0.5, .*, not a list of token ids; encode",
        ),
        # the others were not looked at
        (
            dict(documents=[[10, 11, 12.5, 13, 14, 15]] * 2),
            TypeError,
            r"document 0 is \[10, 11, 12.5, .*, not a list of token ids; encode",
        ),
        (
            dict(documents=[[10, 11, True, 13, 14, 15]] * 2),
            TypeError,
            r"document 0 is \[10, 11, True, .*, not a list of token ids; encode",
        ),
        (
            dict(documents=[torch.rand(20)] * 4),
            TypeError,
            r"document 0 is tensor\(.*, not a list of token ids; encode",
        ),
        (
            dict(documents=[[2, *range(10, 28), 3]] * 4),
            ValueError,
            r"document 0 is framed by special tokens, ids 2 and 3, .*row\[1:-1\]",
        ),
        (dict(index=(0, 4)), ValueError, "index has 4, the documents are 0 to 3; give"),
        # counted from the end without a word
        (dict(index=(0, -1)), ValueError, "index has -1, the documents are 0 to 3"),
        (dict(index=torch.zeros(0).long()), ValueError, r"index has the shape \(0,\)"),
        (dict(index=[0, 1]), TypeError, "index is list, the numbers of the rows are"),
        (dict(length=4), ValueError, "length is 4; a row of .* has 5 tokens or more"),
        (dict(length=23.0), ValueError, "length is 23.0; a row of"),
        (dict(seed="0"), TypeError, "seed is '0', a whole number is needed"),
    ],
)
def test_documents_without_a_pair_are_refused(changed, error, words, counted):
    assert pairs_of()["input_ids"].shape == (3, 23)  # control: just long enough
    with pytest.raises(error, match=words):
        pairs_of(**changed)
    counted("fault")


def test_documents_may_be_tensors():
    tensors = [torch.tensor(ids) for ids in IDS_OF_PAIRS]
    assert torch.equal(pairs_of(tensors)["input_ids"], pairs_of()["input_ids"])


@pytest.mark.parametrize("k", [0, -1, 1000])
def test_more_guesses_than_the_vocabulary_has_are_refused(k, counted):
    tokenizer = tokenization.train_wordpiece(["the film was good"] * 3, 60)
    with pytest.raises(ValueError, match=f"k is {k}; ask for 1 to"):
        mlm.fill_mask(torch.nn.Linear(1, 1), tokenizer, "the [MASK]", k=k)
    counted("fault")
