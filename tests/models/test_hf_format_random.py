"""Random configurations, both ways: what a folder of transformers gives here, and what
a folder of ours gives there, are the same logits, or a sentence that names the field.
"""

import random

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_transformer import far, loud  # beside this file

from ftlib.models import hf_format, transformer

CLASSES = {
    "bert": ("BertConfig", "BertForMaskedLM", "BertForPreTraining", "BertModel"),
    "roberta": (
        "RobertaPreLayerNormConfig",
        "RobertaPreLayerNormForMaskedLM",
        "RobertaPreLayerNormModel",
    ),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", "GPT2Model"),
}
GELUS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python")
V, T = 30, 9


def drawn_fields(family, draw):
    """(fields for transformers, those among them that load() must refuse)."""
    heads, gpt = draw.randint(1, 3), family == "gpt2"
    width, layers = heads * draw.randint(1, 5), draw.randint(1, 3)
    inner, positions = draw.choice((3, 8)), draw.randint(T + 4, 20)
    act = draw.choice((*GELUS, *GELUS, "relu", "silu"))
    rates = [draw.choice((0.0, 0.2))] * 3
    odd = {}
    if draw.random() < 0.4:
        more = dict(tie_word_embeddings=False)
        if gpt:
            more |= dict(
                scale_attn_weights=False,
                scale_attn_by_inverse_layer_idx=True,
                add_cross_attention=True,
                attn_pdrop=0.3,
            )
        else:
            more |= dict(is_decoder=True, position_embedding_type="relative_key")
            more |= dict(attention_probs_dropout_prob=0.3)
        key = draw.choice(sorted(more))
        odd[key] = more[key]
    refused = set(odd) | {
        key
        for key in ("activation_function" if gpt else "hidden_act",)
        if act not in GELUS
    }
    if gpt:
        return dict(
            vocab_size=V,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            n_inner=draw.choice((None, inner)),
            n_positions=positions,
            layer_norm_epsilon=draw.choice((1e-5, 1e-2)),
            activation_function=act,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=draw.choice((None, 0, 3)),
            **dict(zip(("resid_pdrop", "embd_pdrop", "attn_pdrop"), rates)),
        ) | odd, refused
    rates = dict(hidden_dropout_prob=rates[0], attention_probs_dropout_prob=rates[0])
    return dict(
        vocab_size=V,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        layer_norm_eps=draw.choice((1e-12, 1e-2)),
        hidden_act=act,
        type_vocab_size=draw.randint(1, 3),
        pad_token_id=draw.choice((0, 1, 3)),
        **rates,
    ) | odd, refused


def texts(seed, pad_id, side=None):
    """(ids with the padding id here and there, mask): padded right, left or nowhere."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, V, (3, T), generator=generator)
    ids[0, 3] = pad_id  # a text may hold it anywhere
    mask = torch.ones_like(ids)
    hidden = {"right": slice(T - 4, T), "left": slice(0, 4), "none": slice(0)}[side]
    ids[1, hidden], mask[1, hidden] = pad_id, 0
    return ids, mask


def agree(ours, theirs, seed, pad_id, kinds=1):
    """The distance of logits, or hidden states, at the real tokens, by the largest."""
    worst = 0.0
    for side in ("right", "left", "none"):
        ids, mask = texts(seed, pad_id, side)
        more = {"token_type_ids": ids % kinds} if kinds > 1 else {}
        for given in (mask, None):
            with torch.no_grad():
                a = ours(ids, given, *more.values())
                b = theirs(ids, attention_mask=given, **more)
            a = a.last_hidden_state if a.logits is None else a.logits
            b = b[0]
            seen = mask if given is not None else None
            worst = max(worst, far(a, b, seen) / float(b.abs().max()))
    return worst


@pytest.mark.parametrize("family", CLASSES)
@pytest.mark.parametrize("seed", range(24))
def test_a_folder_of_transformers_gives_its_numbers_or_names_the_field(
    family, seed, tmp_path, counted
):
    import transformers

    draw = random.Random(f"{family} {seed}")
    fields, refused = drawn_fields(family, draw)
    config = getattr(transformers, CLASSES[family][0])(**fields)
    made = draw.choice(CLASSES[family][1:])
    if fields.get("is_decoder") and made.endswith("PreTraining"):
        made = "BertForMaskedLM"
    theirs = loud(getattr(transformers, made)(config))
    theirs.save_pretrained(tmp_path)
    if refused:
        with pytest.raises(ValueError, match="|".join(sorted(refused))):
            hf_format.load(tmp_path)
        counted("fault")
        return
    ours = transformer.from_state(*hf_format.load(tmp_path)).eval()
    pad = fields["pad_token_id"] or 0
    kinds = fields["type_vocab_size"] if family == "bert" else 1
    if made == "GPT2Model":  # the file does not say whether there is a head
        ours = ours.encoder
    assert agree(ours, theirs, seed, pad, kinds) < 1e-5
    rates = [value for key, value in fields.items() if "drop" in key]
    assert ours.config.dropout == rates[0]
    # and back: what we write gives the same numbers there
    if made != "GPT2Model":
        hf_format.save(ours, tmp_path / "again", half=False)
        again = getattr(transformers, made).from_pretrained(tmp_path / "again").eval()
        assert agree(ours, again, seed, pad, kinds) < 1e-5
        assert (again.config.initializer_range, again.config.pad_token_id) == (
            config.initializer_range,
            pad,
        )


@pytest.mark.parametrize("seed", range(36))
def test_a_saved_model_gives_its_numbers_there_or_is_refused(seed, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    draw = random.Random(seed)
    heads = draw.randint(1, 3)
    config = transformer.Config(
        V,
        width=heads * draw.randint(1, 5),
        layers=draw.randint(1, 3),
        heads=heads,
        ffn_dim=draw.choice((3, 8)),
        max_tokens=draw.randint(T, 14),
        causal=draw.random() < 0.4,
        pre_norm=draw.random() < 0.6,
        dropout=draw.choice((0.0, 0.2)),
        segments=draw.choice((0, 0, 2)),
        nsp_head=draw.random() < 0.2,
        norm_eps=draw.choice((1e-12, 1e-2)),
        pad_id=draw.choice((0, 1, 3)),
        gelu_tanh=draw.random() < 0.5,
        init_std=draw.choice((0.02, 0.1)),
    )
    net = loud(transformer.LanguageModel(config))
    c = config
    if (c.pre_norm and (c.segments or c.nsp_head)) or (c.causal and not c.pre_norm):
        with pytest.raises(ValueError, match="has no class in transformers; save"):
            hf_format.save(net, tmp_path / "no", half=False)
        assert not (tmp_path / "no").exists()
        return
    hf_format.save(net, tmp_path, half=False)
    auto = AutoModelForCausalLM if config.causal else AutoModelForMaskedLM
    theirs = auto.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert agree(net, theirs, seed, config.pad_id, config.segments) < 1e-5
    again = transformer.from_state(*hf_format.load(tmp_path)).eval()
    # BERT always has sentence embeddings: one that adds nothing
    segments = config.segments or int(not config.pre_norm)
    assert vars(again.config) == vars(config) | {"segments": segments}
    assert agree(net, theirs, seed, config.pad_id, config.segments) < 1e-5


# ---- one at a time ----


def plain_fields(family):
    """The first drawn fields that load() takes."""
    draw = random.Random(3)
    base, refused = drawn_fields(family, draw)
    while refused:
        base, refused = drawn_fields(family, draw)
    return base


def folder_of(family, tmp_path, **fields):
    """A tiny model of transformers and its folder."""
    import transformers

    fields = plain_fields(family) | fields
    config = getattr(transformers, CLASSES[family][0])(**fields)
    theirs = loud(getattr(transformers, CLASSES[family][1])(config))
    theirs.save_pretrained(tmp_path)
    return theirs


def rewrite(folder, change):
    """Change the dict of tensors of a folder in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "family, key, value",
    [
        ("bert", "is_decoder", True),
        ("bert", "add_cross_attention", True),
        ("bert", "position_embedding_type", "relative_key_query"),
        ("bert", "position_embedding_type", None),
        ("bert", "pruned_heads", {"0": [1]}),
        ("bert", "quantization_config", {"load_in_8bit": True}),
        ("bert", "embedding_size", 7),
        ("bert", "rope_theta", 10000.0),
        ("bert", "tie_word_embeddings", False),
        ("bert", "hidden_act", "relu"),
        ("bert", "attention_probs_dropout_prob", 0.5),
        ("roberta", "is_decoder", True),
        ("roberta", "pad_token_id", None),
        ("roberta", "pad_token_id", 400),
        ("roberta", "hidden_act", "gelu_10"),
        ("gpt2", "scale_attn_weights", False),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "hidden_size", 12),
        ("gpt2", "activation_function", "swish"),
        ("gpt2", "embd_pdrop", 0.7),
    ],
)
def test_a_field_that_changes_the_numbers_is_refused_by_name(
    family, key, value, tmp_path, counted
):
    import json

    folder_of(family, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    hf_format.load(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps(config | {key: value}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=f"{key}={value!r}".replace("[", r"\[")):
        hf_format.load(tmp_path)
    counted("fault")


def test_every_field_of_the_classes_is_known():
    """Nothing that transformers writes today is left to chance, and what the published
    folders hold besides is read as before.
    """
    import transformers

    for family, name in zip(hf_format._FAMILIES, CLASSES):
        config = getattr(transformers, CLASSES[name][0])()
        known = hf_format._READ[family].keys() | hf_format._PLAIN.keys()
        for key, value in config.to_dict().items():
            harmless = key in hf_format._HARMLESS or key.startswith(
                hf_format._HARMLESS_START
            )
            assert harmless or key in known, key
            # what is not there means what it means in transformers
            if key in hf_format._READ[family]:
                assert hf_format._READ[family][key] == value, key
            assert value == hf_format._PLAIN.get(key, value), key


PUBLISHED = {  # beside the sizes
    "bert": dict(
        attention_probs_dropout_prob=0.1,
        hidden_dropout_prob=0.1,
        directionality="bidi",
        gradient_checkpointing=False,
        initializer_range=0.02,
        pooler_fc_size=768,
        pooler_num_fc_layers=3,
        pooler_type="first_token_transform",
        position_embedding_type="absolute",
        torch_dtype="float32",
        transformers_version="4.6.0.dev0",
        use_cache=True,
        classifier_dropout=None,
    ),
    "gpt2": dict(
        n_ctx=20,
        reorder_and_upcast_attn=False,
        scale_attn_weights=True,
        summary_activation=None,
        summary_first_dropout=0.1,
        summary_type="cls_index",
        task_specific_params={"text-generation": {"do_sample": True}},
        _num_labels=1,
        output_past=True,
        bos_token_id=5,
        eos_token_id=5,
    ),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_fields_are_harmless_and_absent_ones_have_their_default(
    family, tmp_path
):
    import json

    import transformers

    theirs = folder_of(family, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    # the activation of a GPT-2 is gelu_new where nothing is said
    for key in ("activation_function", "hidden_act", "layer_norm_eps"):
        config.pop(key, None)
    (tmp_path / "config.json").write_text(
        json.dumps(config | PUBLISHED[family]), encoding="utf-8"
    )
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    assert isinstance(theirs, transformers.PreTrainedModel)
    ours = transformer.from_state(*hf_format.load(tmp_path)).eval()
    assert ours.config.gelu_tanh is (family == "gpt2")
    assert agree(ours, theirs, 0, theirs.config.pad_token_id or 0) < 1e-5


@pytest.mark.parametrize("made", ["BertForPreTraining", "BertModel"])
def test_the_first_names_of_a_layer_norm_load(made, tmp_path):
    """bert-base-uncased was published with `gamma` and `beta`."""
    import transformers

    config = transformers.BertConfig(**plain_fields("bert"))
    theirs = loud(getattr(transformers, made)(config))
    theirs.save_pretrained(tmp_path)
    expected = hf_format.load(tmp_path)[1]

    def published(tensors):
        for name in [n for n in tensors if "LayerNorm" in n]:
            old = name.replace(".weight", ".gamma").replace(".bias", ".beta")
            tensors[old] = tensors.pop(name)

    rewrite(tmp_path, published)
    assert any(n.endswith("gamma") for n in load_file(tmp_path / "model.safetensors"))
    state = hf_format.load(tmp_path)[1]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "family, name, words",
    [
        ("bert", "classifier.weight", "classifier.weight"),
        ("bert", "bert.encoder.layer.9.output.dense.bias", "encoder.layer.9.output"),
        ("bert", "cls.seq_relationship.other", "cls.seq_relationship.other"),
        ("bert", "cls.predictions.decoder.weight", "cls.predictions.decoder.weight"),
        ("roberta", "lm_head.decoder.bias", "lm_head.decoder.bias"),
        ("gpt2", "lm_head.weight", "lm_head.weight"),
        ("gpt2", "score.weight", "score.weight"),
        ("gpt2", "transformer.h.0.crossattention.c_attn.bias", "h.0.crossattention"),
    ],
)
def test_a_tensor_that_has_no_place_is_named(family, name, words, tmp_path, counted):
    folder_of(family, tmp_path)
    hf_format.load(tmp_path)
    rewrite(tmp_path, lambda tensors: tensors.update({name: torch.ones(2, 3)}))
    with pytest.raises(ValueError, match=f"holds the tensor {words}.*no place for it"):
        hf_format.load(tmp_path)
    counted("fault")


def test_copies_and_old_buffers_are_no_surplus(tmp_path):
    for family, start in (("bert", "bert."), ("gpt2", "transformer.")):
        folder_of(family, tmp_path / family)
        expected = hf_format.load(tmp_path / family)[1]

        def add(tensors, start=start, family=family):
            if family == "bert":
                tokens = tensors["bert.embeddings.word_embeddings.weight"]
                tensors["cls.predictions.decoder.weight"] = tokens.clone()
                bias = tensors["cls.predictions.bias"]
                tensors["cls.predictions.decoder.bias"] = bias.clone()
                tensors["bert.embeddings.position_ids"] = torch.arange(9)
                tensors["bert.pooler.dense.bias"] = torch.ones(3)
            else:
                tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
                tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 9, 9)
                tensors["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)

        rewrite(tmp_path / family, add)
        state = hf_format.load(tmp_path / family)[1]
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_dropout_comes_back_and_may_be_chosen(tmp_path):
    for kind in (dict(causal=True), dict(pre_norm=False), {}):
        config = transformer.Config(V, 6, 1, 2, 8, T, dropout=0.2, **kind)
        hf_format.save(transformer.LanguageModel(config), tmp_path)
        loaded, state = hf_format.load(tmp_path)
        net = transformer.from_state(loaded, state)
        assert net.config.dropout == 0.2 == net.encoder.blocks[0].drop.p
        assert hf_format.load(tmp_path, dropout=0.0)[0]["dropout"] == 0.0
    folder_of("bert", tmp_path / "two", attention_probs_dropout_prob=0.5)
    with pytest.raises(ValueError, match=r"attention_probs_dropout_prob=0.5.*dropout="):
        hf_format.load(tmp_path / "two")
    assert hf_format.load(tmp_path / "two", dropout=0.1)[0]["dropout"] == 0.1


@pytest.mark.parametrize("width, heads", [(1, 1), (3, 1), (5, 1), (9, 3), (4, 2)])
def test_odd_widths_are_built(width, heads, tmp_path):
    config = transformer.Config(V, width, 2, heads, 7, T)
    net = transformer.LanguageModel(config)
    table = net.encoder.positions.weight
    assert table.shape == (T, width) and table[1].abs().min() > 0
    hf_format.save(net, tmp_path, half=False)
    again = transformer.from_state(*hf_format.load(tmp_path))
    assert torch.equal(again.encoder.positions.weight, table)


def test_sizes_without_a_model_are_refused():
    for bad in (dict(layers=0), dict(max_tokens=0)):
        with pytest.raises(ValueError, match="needs at least 1 of each; raise"):
            transformer.Transformer(transformer.Config(**{"vocab_size": V} | bad))


def test_padding_takes_no_position_in_a_roberta(tmp_path, counted):
    """Its table has a row for padding, which a random model does not leave at zero."""
    theirs = folder_of("roberta", tmp_path, pad_token_id=1)
    ours = transformer.from_state(*hf_format.load(tmp_path)).eval()
    ids = torch.tensor([[5, 1, 6, 1, 7, 8], [1, 1, 9, 5, 6, 7]])
    with torch.no_grad():
        wanted = theirs(ids).logits
        assert far(ours(ids).logits, wanted) < 1e-5 * wanted.abs().max()
        # controls: the row counts, and so does where the others stand
        ours.encoder.pad_vector[0] += 1
        assert far(ours(ids).logits, wanted) > 1e-3
        ours.encoder.pad_vector[0] -= 1
        columns = torch.arange(6).expand(2, 6)
        assert far(ours(ids, position_ids=columns).logits, wanted) > 1e-3
    # without the row there is no buffer, and padding adds nothing
    rewrite(
        tmp_path,
        lambda tensors: (
            [
                tensors[name].zero_()
                for name in tensors
                if name.endswith(("token_type_embeddings.weight",))
            ]
            + [
                tensors[name][1].zero_()
                for name in tensors
                if name.endswith("position_embeddings.weight")
            ]
        ),
    )
    config, state = hf_format.load(tmp_path)
    assert "pad_vector" not in config and not any("pad_vector" in n for n in state)
    counted("fault", 2)


def test_a_text_with_segments_is_no_text_for_a_model_without(tmp_path):
    ids = torch.randint(2, V, (2, 5))
    for kind in ({}, dict(causal=True)):
        net = transformer.LanguageModel(transformer.Config(V, 6, 1, 2, 8, T, **kind))
        with pytest.raises(ValueError, match="token_type_ids reach 1, the model knows"):
            net(ids, token_type_ids=torch.ones_like(ids))
    # GPT-2 of transformers would add the embedding of token 0
    with pytest.raises(ValueError, match="token_type_ids reach 0, the model knows"):
        net(ids, token_type_ids=torch.zeros_like(ids))


def test_save_refuses_what_it_would_lose(tmp_path):
    from ftlib.models import lora

    config = transformer.Config(V, 6, 1, 2, 8, T)
    net = transformer.LanguageModel(config)
    lora.add(net, ["qkv"], 2)
    with pytest.raises(
        ValueError, match=r"holds encoder.blocks.0.attention.qkv.*merge"
    ):
        hf_format.save(net, tmp_path / "no")
    lora.merge(net)
    hf_format.save(net, tmp_path / "yes")
    for pad_id in (-2, V):
        bad = transformer.Config(V, 6, 1, 2, 8, T, pad_id=pad_id)
        with pytest.raises(ValueError, match=f"pad_id is {pad_id}, the vocabulary has"):
            hf_format.save(transformer.LanguageModel(bad), tmp_path / "no")
    for bad in (dict(nsp_head=True), dict(nsp_head=True, causal=True)):
        net = transformer.LanguageModel(transformer.Config(V, 6, 1, 2, 8, T, **bad))
        with pytest.raises(ValueError, match="nsp_head=True has no class"):
            hf_format.save(net, tmp_path / "no")
    assert not (tmp_path / "no").exists()
