"""What only reads a model leaves it as it was: interrupted or not, every module has
the mode that it had.
"""

import pytest
import torch
from torch import nn

from ftlib.data import tokenization
from ftlib.evaluation import metrics
from ftlib.models import attention, transformer
from ftlib.objectives import classify, clm, mlm
from ftlib.training import continual

V = 60
TOKENIZER = tokenization.train_wordpiece(["one film and another film"] * 9, V)


class Interrupted(nn.Module):
    """Stands before a last norm; raises KeyboardInterrupt when it is told to."""

    def __init__(self, norm):
        super().__init__()
        self.norm, self.stop, self.seen = norm, False, []

    def forward(self, x):
        self.seen.append(self.training)
        if self.stop:
            raise KeyboardInterrupt
        return self.norm(x)


def model(causal=False, head=True):
    torch.manual_seed(0)
    config = transformer.Config(V, 16, 1, 2, 32, 16, causal=causal, dropout=0.5)
    made = (transformer.LanguageModel if head else transformer.Transformer)(config)
    encoder = made.encoder if head else made
    encoder.norm_out = Interrupted(encoder.norm_out)
    made.train()
    encoder.blocks[0].eval()  # a frozen part that its owner keeps in eval mode
    return made, encoder.norm_out


IDS = torch.randint(5, V, (2, 8), generator=torch.Generator().manual_seed(0))
ROWS, LABELS = IDS.tolist(), [0, 1]


def classifier():
    encoder, switch = model(head=False)
    net = classify.Classifier(encoder, 2)
    net.train()
    encoder.blocks[0].eval()
    return net, switch


def batch_of_targets(net):
    return metrics.mean_loss(net, [{"input_ids": IDS, "labels": IDS}], mlm.mlm_loss)


def fisher_of(net):
    batches = classify.batches_of(ROWS, LABELS, size=1)
    return continual.fisher(
        net, batches, lambda m, b: m(**classify.inputs_of(b)).logits
    )


CALLS = {
    "metrics.mean_loss": (model, batch_of_targets),
    "classify.predict": (
        classifier,
        lambda net: classify.predict(net, classify.batches_of(ROWS)),
    ),
    "classify.features": (
        lambda: model(head=False),
        lambda net: classify.features(net, classify.batches_of(ROWS)),
    ),
    "clm.generate": (
        lambda: model(causal=True),
        lambda net: clm.generate(net, IDS, 2, seed=0, cached=False),
    ),
    "clm.document_nll": (
        lambda: model(causal=True),
        lambda net: clm.document_nll(net, ROWS, window=6),
    ),
    "mlm.fill_mask": (
        model,
        lambda net: mlm.fill_mask(net, TOKENIZER, "a [MASK] film"),
    ),
    "continual.fisher": (classifier, fisher_of),
    "attention.attention_maps": (
        model,
        lambda net: attention.attention_maps(net, IDS),
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("stop", [False, True], ids=["to the end", "interrupted"])
def test_every_module_has_its_mode_again(name, stop, counted):
    make, call = CALLS[name]
    net, switch = make()
    before = {key: module.training for key, module in net.named_modules()}
    assert set(before.values()) == {False, True}
    switch.stop = stop
    if stop:
        with pytest.raises(KeyboardInterrupt):
            call(net)
    else:
        call(net)
    assert switch.seen and not any(switch.seen)  # it did run in eval mode
    assert before == {key: module.training for key, module in net.named_modules()}
    counted("fault")
