"""The transformer against transformers and torch: equal numbers for equal weights, both
ways, and sound errors.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ftlib.course import hub
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer

SIZES = dict(vocab_size=60, width=32, layers=2, heads=4, ffn_dim=64, max_tokens=16)
THEIRS = dict(
    vocab_size=60,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=20,
)


def loud(net):
    """Weights so large that every part of the model shows in the logits: at 0.02 a
    forgotten bias hides in the noise.
    """
    generator = torch.Generator().manual_seed(1)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator) * 0.3
    return net.eval()


def padded(pad_id=0):
    """(ids, attention mask) of three rows, the second one padded."""
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = pad_id, 0
    return ids, mask


def far(a, b, mask=None):
    """The largest distance between a and b at real tokens."""
    a, b = (a, b) if mask is None else (a[mask.bool()], b[mask.bool()])
    return (a - b).abs().max().item()


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
    good = json.loads((tmp_path / "config.json").read_text())
    for change, words in [
        (dict(model_type="t5"), "'t5'"),
        (dict(hidden_act="relu"), "hidden_act='relu'"),
        (dict(tie_word_embeddings=False), "tie_word_embeddings=False"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(good | change))
        with pytest.raises(ValueError, match=words):
            transformer.from_state(*hf_format.load(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(good))
    tensors = load_file(tmp_path / "model.safetensors")
    lost = "bert.encoder.layer.1.attention.self.key.bias"
    save_file(
        {k: v for k, v in tensors.items() if k != lost}, tmp_path / "model.safetensors"
    )
    with pytest.raises(KeyError, match=lost):
        transformer.from_state(*hf_format.load(tmp_path))


# ---- the parts ----


@pytest.mark.parametrize(
    "kind",
    [{}, {"pre_norm": False}, {"causal": True}, {"nsp_head": True, "segments": 2}],
    ids=str,
)
def test_where_is_the_selected_full_logits(kind):
    """The last block works at the asked places only; logits and gradients are those of
    the whole model.
    """
    net = loud(transformer.LanguageModel(transformer.Config(**SIZES | kind)))
    ids, mask = padded()
    where = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    full = net(ids, mask).logits
    assert (
        far(net(ids, mask, target_mask=where).logits, full[where])
        < 1e-5 * full.abs().max()
    )
    assert net(ids, mask, target_mask=torch.zeros_like(where)).logits.shape == (0, 60)
    whole, asked = (
        torch.autograd.grad(
            x.logsumexp(-1).sum(), list(net.parameters()), allow_unused=True
        )
        for x in (full[where], net(ids, mask, target_mask=where).logits)
    )
    assert all(
        a is b is None or far(a, b) < 1e-5 * b.abs().max().clamp(min=1)
        for a, b in zip(asked, whole)
    )


def test_where_through_two_processes(two_processes):
    """DDP sees only forward(): had `where` been another method, the gradients would not
    travel.
    """

    def work(rank):
        torch.set_num_threads(1)
        net = transformer.LanguageModel(transformer.Config(**SIZES))
        ids = torch.randint(
            5, 60, (2, 2, 12), generator=torch.Generator().manual_seed(5)
        )
        where = torch.rand(ids.shape, generator=torch.Generator().manual_seed(6)) < 0.4

        def loss(net, rows):
            return nn.functional.cross_entropy(
                net(ids[rows], target_mask=where[rows]).logits,
                ids[rows][where[rows]],
                reduction="sum",
            )

        whole = torch.autograd.grad(loss(net, 0) + loss(net, 1), list(net.parameters()))
        # must outlive the backward: its hooks send the gradients
        wrapped = nn.parallel.DistributedDataParallel(net)
        loss(wrapped, rank).backward()
        return all(far(2 * p.grad, g) < 1e-4 for p, g in zip(net.parameters(), whole))

    assert two_processes(work) == [0, 0]
    assert two_processes(lambda rank: False) == [2, 2]


@pytest.mark.parametrize("pad", [False, True])
def test_causal_model_does_not_see_the_future(pad, counted):
    ids, mask = padded()
    mask = mask if pad else None
    for causal in (True, False):
        net = loud(
            transformer.LanguageModel(transformer.Config(**SIZES, causal=causal))
        )
        before = net(ids, mask).logits
        for t in (1, 4, 11):
            changed = ids.clone()
            changed[:, t] = 5 + (changed[:, t] - 4) % 55
            after = net(changed, mask).logits
            same = torch.equal(before[:, :t], after[:, :t])
            # control: a bidirectional model sees it
            assert same if causal else not same
            assert not torch.equal(before[:, t:], after[:, t:])
    counted("fault")


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs(masked):
    net = transformer.Attention(transformer.Config(**SIZES)).eval()
    reference = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    reference.load_state_dict(
        {
            "in_proj_weight": net.qkv.weight,
            "in_proj_bias": net.qkv.bias + 0.1,
            "out_proj.weight": net.out.weight,
            "out_proj.bias": net.out.bias + 0.2,
        }
    )
    net.qkv.bias.data += 0.1
    net.out.bias.data += 0.2
    x, (_, mask) = torch.randn(3, 12, 32), padded()
    hidden = mask == 0 if masked else None
    wanted, _ = reference(x, x, x, key_padding_mask=hidden)
    assert (
        far(net(x, mask[:, None, None, :].bool() if masked else None), wanted, mask)
        < 1e-5
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention_written_out_for_bfloat16_equals_the_fused_one(causal, counted):
    q, k, v = (
        torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(3))
        .requires_grad_()
        .unbind()
    )
    # (B, 1, 1, T): the second row is padded
    shown = torch.arange(9) < torch.tensor([9, 5])[:, None, None, None]
    for mask in (
        None,
        shown & torch.ones(9, 9, dtype=torch.bool).tril() if causal else shown,
    ):
        ours = transformer._attention(
            q, k, v, mask, 0.0, is_causal=causal and mask is None
        )
        theirs = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=causal and mask is None
        )
        weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(4))
        slopes = [
            torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (ours, theirs)
        ]
        assert (
            far(ours, theirs) < 1e-6 and max(far(a, b) for a, b in zip(*slopes)) < 1e-5
        )
    # the control
    assert (
        far(
            transformer._attention(q, k, v, None, 0.0, False),
            transformer._attention(q, k, v, shown, 0.0, False),
        )
        > 0.01
    )
    net = transformer.LanguageModel(
        transformer.Config(60, 32, 2, 4, 64, 16, causal=causal)
    ).eval()
    ids, mask = padded()
    exact = net(ids, mask).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert far(net(ids, mask).logits.float(), exact) < 0.02 * exact.abs().max()


@pytest.mark.parametrize("pre_norm", [False, True])
def test_block_equals_torchs_encoder_layer(pre_norm):
    net = loud(transformer.Block(transformer.Config(**SIZES, pre_norm=pre_norm)))
    reference = nn.TransformerEncoderLayer(
        32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=pre_norm
    ).eval()
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.out.",
        "linear1.": "up.",
        "linear2.": "down.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    ours = net.state_dict()
    reference.load_state_dict(
        {
            their + kind: ours[our + kind]
            for their, our in names.items()
            for kind in ("weight", "bias")
        }
    )
    x = torch.randn(3, 12, 32)
    wanted = reference(x)
    assert far(net(x), wanted) < 1e-5 * wanted.abs().max()


def test_dropout_only_while_training():
    net = transformer.LanguageModel(transformer.Config(**SIZES, dropout=0.5))
    ids, _ = padded()
    assert not torch.equal(net.train()(ids).logits, net(ids).logits)
    assert torch.equal(net.eval()(ids).logits, net(ids).logits)


def test_count_and_start():
    """Shared weights count once; an untrained model's loss is that of a guess among all
    tokens.
    """
    net = transformer.LanguageModel(transformer.Config(8000))
    block = 4 * 256 * 256 + 4 * 256 + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert (
        transformer.count_parameters(net)
        == 8000 * 256
        + 128 * 256
        + 4 * block
        + 4 * 256
        + 256 * 256
        + 256
        + 2 * 256
        + 8000
    )
    ids = torch.randint(5, 8000, (4, 32), generator=torch.Generator().manual_seed(0))
    loss = nn.functional.cross_entropy(
        net(ids).logits.flatten(0, 1), ids.roll(1, 1).flatten()
    )
    assert abs(loss.item() - torch.tensor(8000.0).log().item()) < 0.3
