"""Folders of transformers: equal numbers for equal weights, both ways, and errors that
name value and remedy.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_transformer import SIZES, far, loud, padded  # beside this file
from torch import nn

from ftlib.course import hub
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer

THEIRS = dict(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=20,
)


def random_folder(kind, folder, **changes):
    """A transformers model with random weights -> (it, our model of the same
    folder).
    """
    import transformers

    config, head = {
        "bert": ("BertConfig", "BertModel"),
        "mlm": ("BertConfig", "BertForMaskedLM"),
        "pretraining": ("BertConfig", "BertForPreTraining"),
        "roberta": ("RobertaPreLayerNormConfig", "RobertaPreLayerNormForMaskedLM"),
    }[kind]
    theirs = loud(
        getattr(transformers, head)(getattr(transformers, config)(**THEIRS, **changes))
    )
    theirs.save_pretrained(folder)
    return theirs, transformer.from_state(*hf_format.load(folder)).eval()


# ---- reading what transformers wrote ----


def test_bert_hidden_states(tmp_path):
    theirs, ours = random_folder("bert", tmp_path)
    ids, mask = padded()
    kinds = torch.randint(0, 2, ids.shape)
    assert type(ours) is transformer.Transformer
    assert (
        far(
            ours(ids, mask, kinds).last_hidden_state,
            theirs(ids, mask, kinds).last_hidden_state,
            mask,
        )
        < 1e-5
    )
    # segments count
    assert (
        far(
            ours(ids, mask).last_hidden_state,
            theirs(ids, mask, kinds).last_hidden_state,
            mask,
        )
        > 0.1
    )


def test_bert_masked_lm_logits(tmp_path, counted):
    theirs, ours = random_folder("mlm", tmp_path)
    ids, mask = padded()
    wanted = theirs(ids, mask).logits
    assert far(ours(ids, mask).logits, wanted, mask) < 1e-5 * wanted.abs().max()
    # controls: each part matters, so an equal result means that each part is right
    for part in (
        "bias",
        "norm.bias",
        "encoder.positions.weight",
        "encoder.blocks.1.attention.qkv.bias",
        "encoder.norm_in.weight",
    ):
        kept = ours.get_parameter(part).data.clone()
        ours.get_parameter(part).data += (
            torch.randn(kept.shape, generator=torch.Generator().manual_seed(3)) * 0.1
        )
        assert far(ours(ids, mask).logits, wanted, mask) > 1e-2, part
        ours.get_parameter(part).data = kept
    assert far(ours(ids).logits, wanted, mask) > 1e-2  # the padding must be hidden
    counted("fault", 6)


def test_bert_for_pretraining(tmp_path):
    theirs, ours = random_folder("pretraining", tmp_path)
    ids, mask = padded()
    kinds = torch.randint(0, 2, ids.shape)
    got, wanted = ours(ids, mask, kinds), theirs(ids, mask, kinds)
    assert far(got.logits, wanted.prediction_logits, mask) < 1e-4
    assert far(got.next_sentence_logits, wanted.seq_relationship_logits) < 1e-5
    assert got.next_sentence_logits.shape == (3, 2)


def test_roberta_prelayernorm_with_its_sentence_embedding(tmp_path):
    """A published file has one sentence embedding that is not zero; it must not be
    lost.
    """
    theirs, ours = random_folder("roberta", tmp_path, pad_token_id=1, type_vocab_size=1)
    ids, mask = padded(pad_id=1)
    assert (
        theirs.roberta_prelayernorm.embeddings.token_type_embeddings.weight.abs().min()
        > 0
    )
    wanted = theirs(ids, mask).logits
    assert far(ours(ids, mask).logits, wanted, mask) < 1e-5 * wanted.abs().max()
    assert ours.config.max_tokens == 18  # two positions are the padding's


def test_minilm_with_padding():
    from transformers import AutoModel, AutoTokenizer

    folder = hub.resolve("all-MiniLM-L6-v2")
    theirs, ours = (
        AutoModel.from_pretrained(folder).eval(),
        transformer.from_state(*hf_format.load(folder)).eval(),
    )
    texts = [
        "A film.",
        "A long, slow and in the end rewarding film about patience.",
        "Why?",
    ]
    rows = tokenization.encode(tokenization.load(folder), texts, 64)
    batch = tokenization.pad(rows)
    told = AutoTokenizer.from_pretrained(folder)(
        texts, padding="longest", return_tensors="pt"
    )
    assert torch.equal(batch["input_ids"], told["input_ids"])
    with torch.no_grad():
        got, wanted = ours(**batch).last_hidden_state, theirs(**told).last_hidden_state
        alone = ours(torch.tensor(rows[:1])).last_hidden_state
    assert far(got, wanted, batch["attention_mask"]) < 2e-5
    # the neighbours' length changes nothing
    assert far(got[:1, : alone.shape[1]], alone) < 2e-5


# ---- writing what transformers reads ----


@pytest.mark.parametrize(
    "kind",
    [
        dict(pre_norm=True),
        dict(pre_norm=False),
        dict(pre_norm=False, segments=2),
        dict(pre_norm=True, pad_id=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_saved_folder_opens_in_transformers(kind, half, tmp_path):
    from transformers import AutoModelForMaskedLM

    net = loud(transformer.LanguageModel(transformer.Config(**SIZES, **kind)))
    tmp_path = tmp_path / "runs" / "mine"  # made, with what is above it
    for _ in range(2):  # and over itself
        hf_format.save(net, tmp_path, half=half)
    theirs, again = (
        AutoModelForMaskedLM.from_pretrained(tmp_path).eval(),
        transformer.from_state(*hf_format.load(tmp_path)).eval(),
    )
    assert theirs.dtype == torch.float32
    ids, mask = padded(net.config.pad_id)
    with torch.no_grad():
        before, wanted, after = (
            net(ids, mask).logits,
            theirs(ids, mask).logits,
            again(ids, mask).logits,
        )
    assert far(after, wanted, mask) < 1e-5 * wanted.abs().max()
    # float32 comes back bit for bit; float16 rounds
    assert torch.equal(before, after) is not half
    assert vars(again.config) == vars(net.config) | {
        "segments": net.config.segments or (0 if net.config.pre_norm else 1)
    }
    if half:
        assert load_file(tmp_path / "model.safetensors").popitem()[1].dtype in (
            torch.float16,
            torch.float32,
        )
        assert far(after, before, mask) < 0.01 * wanted.abs().max()


def test_next_sentence_head_survives_saving(tmp_path):
    net = loud(
        transformer.LanguageModel(
            transformer.Config(**SIZES, pre_norm=False, segments=2, nsp_head=True)
        )
    )
    hf_format.save(net, tmp_path, half=False)
    again = transformer.from_state(*hf_format.load(tmp_path)).eval()
    ids, mask = padded()
    assert torch.equal(
        net(ids, mask).next_sentence_logits, again(ids, mask).next_sentence_logits
    )


GPT2 = dict(
    vocab_size=60,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_positions=16,
    bos_token_id=None,
    eos_token_id=None,
)


@pytest.mark.parametrize("act, inner", [("gelu_new", None), ("gelu", 64)])
def test_gpt2_logits(act, inner, tmp_path, counted):
    """A GPT-2 folder of transformers (GPT-2 itself has gelu_new and leaves n_inner
    out), read here: equal logits.
    """
    import transformers

    theirs = loud(
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**GPT2, activation_function=act, n_inner=inner)
        )
    )
    theirs.save_pretrained(tmp_path)
    ours, (ids, mask) = (
        transformer.from_state(*hf_format.load(tmp_path)).eval(),
        padded(),
    )
    wanted = theirs(ids, attention_mask=mask).logits
    assert type(ours) is transformer.LanguageModel and ours.config.ffn_dim == (
        inner or 128
    )
    assert far(ours(ids, mask).logits, wanted, mask) < 1e-5 * wanted.abs().max()
    # each one counts
    for part in (
        "encoder.positions.weight",
        "encoder.blocks.1.attention.qkv.bias",
        "encoder.norm_out.bias",
    ):
        kept = ours.get_parameter(part).data.clone()
        ours.get_parameter(part).data += (
            torch.randn(kept.shape, generator=torch.Generator().manual_seed(3)) * 0.1
        )
        assert far(ours(ids, mask).logits, wanted, mask) > 1e-2, part
        ours.get_parameter(part).data = kept
    # the two approximations of GELU are not the same function
    for module in ours.modules():
        if isinstance(module, nn.GELU):
            module.approximate = "none" if act == "gelu_new" else "tanh"
    assert far(ours(ids, mask).logits, wanted, mask) > 1e-4
    counted("fault", 4)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("tanh", [False, True])
def test_a_causal_model_opens_as_gpt2(tanh, half, tmp_path):
    from transformers import AutoModelForCausalLM

    ours = loud(
        transformer.LanguageModel(
            transformer.Config(**SIZES, causal=True, gelu_tanh=tanh)
        )
    )
    if half:  # what a file in half precision can hold
        ours.half().float()
    hf_format.save(ours, tmp_path, half=half)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True).eval()
    ids, mask = padded()
    wanted = ours(ids, mask).logits
    assert type(theirs).__name__ == "GPT2LMHeadModel"
    assert (
        far(theirs(ids, attention_mask=mask).logits, wanted, mask)
        < 1e-5 * wanted.abs().max()
    )
    again = transformer.from_state(*hf_format.load(tmp_path)).eval()
    assert again.config == ours.config and torch.equal(again(ids, mask).logits, wanted)


def test_errors_name_value_and_remedy(tmp_path):
    with pytest.raises(ValueError, match="width 30 is not a multiple of heads 4"):
        transformer.Transformer(transformer.Config(60, width=30))
    with pytest.raises(
        ValueError, match="text has 17 tokens, the model reads at most 16; truncate"
    ):
        transformer.LanguageModel(transformer.Config(**SIZES))(
            torch.ones(1, 17, dtype=torch.long)
        )
    for bad in (
        dict(causal=True, pre_norm=False),
        dict(segments=2, pre_norm=True),
        dict(causal=True, segments=2),
    ):
        with pytest.raises(ValueError, match="has no class in transformers; save"):
            hf_format.save(
                transformer.LanguageModel(transformer.Config(**SIZES, **bad)),
                tmp_path / "no",
            )
    assert not (tmp_path / "no").exists()
    net = transformer.LanguageModel(transformer.Config(**SIZES, pre_norm=False))
    hf_format.save(net, tmp_path)
    good = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for change, words in [
        (dict(model_type="t5"), "'t5'"),
        (dict(hidden_act="relu"), "hidden_act='relu'"),
        (dict(tie_word_embeddings=False), "tie_word_embeddings=False"),
    ]:
        (tmp_path / "config.json").write_text(
            json.dumps(good | change), encoding="utf-8"
        )
        with pytest.raises(ValueError, match=words):
            transformer.from_state(*hf_format.load(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(good), encoding="utf-8")
    tensors = load_file(tmp_path / "model.safetensors")
    lost = "bert.encoder.layer.1.attention.self.key.bias"
    save_file(
        {k: v for k, v in tensors.items() if k != lost}, tmp_path / "model.safetensors"
    )
    with pytest.raises(KeyError, match=lost):
        transformer.from_state(*hf_format.load(tmp_path))
