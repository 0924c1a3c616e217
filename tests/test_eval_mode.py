"""What only reads a model leaves it as it was: interrupted or not, every module has
the mode that it had.
"""

import ast
import contextlib
from types import SimpleNamespace

import pytest
import torch
from stages import ROOT
from torch import nn

from ftlib.data import tokenization
from ftlib.deploy import compress, export
from ftlib.evaluation import explain, metrics
from ftlib.models import attention, seq2seq, speech, transformer
from ftlib.objectives import classify, clm, instruct, mlm, preference
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


def translator():
    torch.manual_seed(0)
    net = seq2seq.Seq2Seq(seq2seq.Config(V, dim=16, heads=2, ffn_dim=32, dropout=0.5))
    net.norm_decoder = Interrupted(net.norm_decoder)
    net.train()
    net.encoder[0].eval()
    return net, net.norm_decoder


def whisper():
    import transformers

    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=V,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=10,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    net = transformers.WhisperForConditionalGeneration(config)
    net.model.decoder.layer_norm = Interrupted(net.model.decoder.layer_norm)
    net.train()
    net.model.encoder.layers[0].eval()
    return net, net.model.decoder.layer_norm


AFTER_FIRST = (torch.arange(8) > 0).expand(2, 8)
BATCH = {"input_ids": IDS, "attention_mask": IDS * 0 + 1, "labels": IDS}


def explained(function, *arguments):
    """A call of `explain` on the first row of a classifier."""
    return lambda net: getattr(explain, function)(
        net, net.encoder.tokens, IDS[:1], *arguments
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
    "instruct.response_nll": (
        lambda: model(causal=True),
        lambda net: instruct.response_nll(
            net, [{"input_ids": row, "labels": row} for row in ROWS]
        ),
    ),
    "speech.transcribe": (
        whisper,
        lambda net: speech.transcribe(net, torch.zeros(1, 80, 20), [2], 3),
    ),
    "preference.reference_columns": (
        lambda: model(causal=True),
        lambda net: preference.reference_columns(
            net, preference.policy_batch(IDS, AFTER_FIRST, torch.ones(2))
        ),
    ),
    "preference.exact_kl": (
        lambda: model(causal=True),
        lambda net: preference.exact_kl(net, net, IDS, AFTER_FIRST),
    ),
    "compress.head_importance": (
        classifier,
        lambda net: compress.head_importance(
            net,
            classify.batches_of(ROWS, LABELS),
            classify.classification_loss,
        ),
    ),
    "export._largest_difference": (
        classifier,
        lambda net: export._largest_difference(
            net,
            SimpleNamespace(rows=lambda _: ROWS),
            ["a", "b"],
            torch.zeros(2, 2).numpy(),
        ),
    ),
    "seq2seq.greedy": (translator, lambda net: seq2seq.greedy(net, IDS, max_new=3)),
    "seq2seq.beam_search": (
        translator,
        lambda net: seq2seq.beam_search(net, IDS, width=2, max_new=3),
    ),
    "seq2seq.log_probability": (
        translator,
        lambda net: seq2seq.log_probability(net, BATCH),
    ),
    "seq2seq.cross_attention": (
        translator,
        lambda net: seq2seq.cross_attention(net, IDS[:1], IDS[:1]),
    ),
    "explain.integrated_gradients": (
        classifier,
        explained("integrated_gradients", IDS[:1] * 0),
    ),
    "explain.input_times_gradient": (
        classifier,
        explained("input_times_gradient"),
    ),
}


DECORATED = {
    "metrics.mean_loss": (metrics, "mean_loss"),
    "classify.predict": (classify, "_collect"),
    "classify.features": (classify, "_collect"),
    "clm.generate": (clm, "generate"),
    "clm.document_nll": (clm, "document_nll"),
    "mlm.fill_mask": (mlm, "fill_mask"),
    "continual.fisher": (continual, "fisher"),
    "attention.attention_maps": (attention, "attention_maps"),
    "instruct.response_nll": (instruct, "response_nll"),
    "speech.transcribe": (speech, "transcribe"),
    "preference.reference_columns": (preference, "reference_columns"),
    "preference.exact_kl": (preference, "exact_kl"),
    "compress.head_importance": (compress, "head_importance"),
    "export._largest_difference": (export, "_largest_difference"),
    "seq2seq.greedy": (seq2seq, "greedy"),
    "seq2seq.beam_search": (seq2seq, "beam_search"),
    "seq2seq.log_probability": (seq2seq, "log_probability"),
    "seq2seq.cross_attention": (seq2seq, "cross_attention"),
    "explain.integrated_gradients": (explain, "integrated_gradients"),
    "explain.input_times_gradient": (explain, "input_times_gradient"),
}


WITH_GRADIENTS = ("continual.fisher", "compress.head_importance")
# torch.export wraps what interrupts it; tests/deploy/test_export.py looks at the modes
TESTED_THERE = {"export._write_graph"}


def modes(net):
    return {key: module.training for key, module in net.named_modules()}


def examine(name, stop):
    """(did it run in eval mode, has every module its mode again) of one call."""
    make, call = CALLS[name]
    net, switch = make()
    before = modes(net)
    assert set(before.values()) == {False, True}
    switch.stop = stop
    with pytest.raises(KeyboardInterrupt) if stop else contextlib.nullcontext():
        call(net)
    assert switch.seen
    return not any(switch.seen), before == modes(net)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("stop", [False, True], ids=["to the end", "interrupted"])
def test_every_module_has_its_mode_again(name, stop):
    assert examine(name, stop) == (True, True)


@pytest.mark.parametrize("name", DECORATED)
def test_a_function_keeps_its_name_and_its_help(name):
    module, function = DECORATED[name]
    found = getattr(module, function)
    assert found.__name__ == function and found.__doc__


def forgetful(function):
    """As it was once: no `finally`, and one mode for all modules."""

    def switched(model, *arguments, **keywords):
        was_training = model.training
        model.eval()
        result = function(model, *arguments, **keywords)
        model.train(was_training)
        return result

    return switched


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("stop", [False, True], ids=["to the end", "interrupted"])
def test_forgotten_modes_are_caught(name, stop, monkeypatch, counted):
    module, function = DECORATED[name]
    plain = getattr(module, function).__wrapped__
    while hasattr(plain, "__wrapped__"):  # torch.no_grad wraps too
        plain = plain.__wrapped__
    grad = torch.enable_grad() if name in WITH_GRADIENTS else torch.no_grad()
    monkeypatch.setattr(module, function, grad(forgetful(plain)))
    assert examine(name, stop) == (True, False)
    counted("fault")


@pytest.mark.parametrize("name", CALLS)
def test_a_model_left_in_training_mode_is_caught(name, monkeypatch, counted):
    module, function = DECORATED[name]
    plain = getattr(module, function).__wrapped__
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    grad = torch.enable_grad() if name in WITH_GRADIENTS else torch.no_grad()
    monkeypatch.setattr(module, function, grad(plain))
    assert examine(name, stop=False) == (False, True)
    counted("fault")


DECORATOR = ("in_eval_mode", "switched")


def reads_only():
    """room.function of every function of ftlib that is decorated."""
    return {
        f"{path.stem}.{node.name}"
        for path in (ROOT / "ftlib").glob("*/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and "in_eval_mode" in [ast.unparse(d) for d in node.decorator_list]
    }


def test_every_function_that_switches_the_mode_is_tested():
    tested = {f"{m.__name__.rpartition('.')[2]}.{f}" for m, f in DECORATED.values()}
    assert reads_only() - TESTED_THERE == tested


def test_nothing_else_switches_the_mode_and_leaves_it():
    """`model.eval()` of a model that somebody handed in stands in the decorator alone:
    elsewhere it would stay switched. What a function made itself it may switch.
    """
    found = []
    for path in (ROOT / "ftlib").glob("*/*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            # `switched` is the inside of the decorator
            if isinstance(node, ast.FunctionDef) and node.name not in DECORATOR:
                given = {a.arg for a in node.args.args} & {"model", "net"}
                found += [
                    f"{path.name}: {node.name}"
                    for call in ast.walk(node)
                    if isinstance(call, ast.Call)
                    and ast.unparse(call.func) in {f"{name}.eval" for name in given}
                ]
    assert found == []
