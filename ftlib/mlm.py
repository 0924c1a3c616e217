"""Masked language modelling (BERT, Devlin et al. 2019): hide some tokens, ask for them, fill them in.

Use it:

    >>> ids = torch.randint(5, 100, (64, 32))
    >>> masked, labels = mask_tokens(ids, vocab_size=100, mask_id=4, special_ids=[0, 1, 2, 3, 4],
    ...                              seed=0, epoch=0, index=torch.arange(64))
    >>> bool((masked[labels == -100] == ids[labels == -100]).all())      # what is not asked is not touched
    True
    >>> 0.13 < float((labels != -100).float().mean()) < 0.17
    True

`python -m ftlib.mlm` runs the demo, `python -m ftlib.mlm --fill "this film was [MASK]"` fills your own text.

What it is not: the model (model.py) or the loop (train.py); any model that returns `.logits` and takes `where=` fits.
Needs: torch only (`fill_mask` takes a tokenizer of the `tokenizers` library).

Shapes: B rows, T tokens, V vocabulary, A asked places.
"""

import torch
import torch.nn.functional as F


def _noise(seed, epoch, index, tokens):
    """Three uniform numbers for each place, (3, B, T), that depend on (seed, epoch, index of the row) alone."""
    generator, draws = torch.Generator(), []
    for i in index.tolist():
        generator.manual_seed(((seed * 1_000_003 + epoch) * 1_000_000_007 + i) % 2**63)
        draws.append(torch.rand(3, tokens, generator=generator))
    return torch.stack(draws, dim=1)


def mask_tokens(input_ids, vocab_size, mask_id, special_ids, *, seed, epoch, index, share=0.15, starts_word=None):
    """Choose `share` of the tokens as questions and hide them: 80 % become [MASK], 10 % a random token, 10 % stay.

    input_ids (B, T). index (B,): the number of each row in the corpus, so that a row's mask is a function of
    (seed, epoch, index) in whatever batch, worker or process it turns up. special_ids: never asked, never drawn.
    starts_word: bool (V,) from tokenize.starts_word masks whole words (all pieces of a word or none).

    Returns (masked ids, labels), both (B, T); labels are -100 where nothing is asked.
    Why not always [MASK]: the model will later read texts without one, so it must expect any token to be the asked one.
    """
    choose, how, which = _noise(seed, epoch, index, input_ids.shape[1])
    if starts_word is not None:  # every piece of a word follows the draw of its first piece
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        first = torch.where(starts_word[input_ids], places, 0).cummax(dim=1).values
        choose = choose.gather(1, first)
    ordinary = torch.ones(vocab_size, dtype=torch.bool)
    ordinary[torch.as_tensor(special_ids)] = False
    asked = (choose < share) & ordinary[input_ids]
    labels = input_ids.masked_fill(~asked, -100)
    masked = torch.where(asked & (how < 0.8), mask_id, input_ids)
    words = ordinary.nonzero().squeeze(1)
    random_words = words[(which * len(words)).long()]
    masked = torch.where(asked & (how >= 0.9), random_words, masked)
    return masked, labels


def mlm_loss(model, batch):
    """Summed cross-entropy, in nats, over the asked places of batch["labels"] (B, T); logits are made there only."""
    asked = batch["labels"] != -100
    output = model(batch["input_ids"], batch.get("attention_mask"), batch.get("token_type_ids"), where=asked)
    return F.cross_entropy(output.logits.float(), batch["labels"][asked], reduction="sum")
