"""Folders of transformers' Pegasus: written, opened there, read again."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, PegasusConfig
from transformers import PegasusForConditionalGeneration as Pegasus

from ftlib.models import pegasus_format, seq2seq

SIZES = dict(
    vocab_size=50, max_len=20, dim=16, heads=2, encoder_layers=1, decoder_layers=2
)
SIZES |= {"ffn_dim": 24, "dropout": 0.0}
IDS = torch.tensor([[7, 8, 9, 3], [7, 3, 0, 0]])
READS = torch.tensor([[2, 11, 12], [2, 13, 3]])


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = seq2seq.Seq2Seq(seq2seq.Config(**SIZES))
    pegasus_format.save(model, tmp_path, half=False)
    return tmp_path


@torch.no_grad()
def logits(model):
    mask = (IDS != 0).long()
    if isinstance(model, seq2seq.Seq2Seq):
        return model.eval()(IDS, mask, READS)
    return model.eval()(
        input_ids=IDS, attention_mask=mask, decoder_input_ids=READS
    ).logits


def test_written_and_read_again(folder):
    torch.manual_seed(0)
    model = seq2seq.Seq2Seq(seq2seq.Config(**SIZES))
    again = seq2seq.from_folder(*pegasus_format.load(folder))
    assert again.config == model.config and not again.training
    assert torch.equal(logits(again), logits(model))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(folder)
    torch.testing.assert_close(logits(theirs), logits(model))
    # nothing is missing and nothing is left over
    _, report = Pegasus.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())


def test_half_precision(folder, tmp_path):
    model = seq2seq.from_folder(*pegasus_format.load(folder))
    pegasus_format.save(model, tmp_path / "half")
    small, large = (f / "model.safetensors" for f in (tmp_path / "half", folder))
    assert small.stat().st_size < 0.7 * large.stat().st_size
    again = seq2seq.from_folder(*pegasus_format.load(tmp_path / "half"))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "half")
    assert theirs.dtype == torch.float32
    torch.testing.assert_close(logits(theirs), logits(again))
    torch.testing.assert_close(logits(again), logits(model), atol=0.01, rtol=0.01)


def test_a_folder_that_transformers_wrote(tmp_path):
    torch.manual_seed(0)
    theirs = Pegasus(
        PegasusConfig(
            vocab_size=40,
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            max_position_embeddings=20,
            scale_embedding=True,
            dropout=0.1,
            attention_dropout=0.1,
            forced_eos_token_id=None,
        )
    )
    theirs.save_pretrained(tmp_path)
    config, state = pegasus_format.load(tmp_path, dropout=0.0)
    assert config["dropout"] == 0.0 and config["eos_id"] == 1
    ours = seq2seq.from_folder(config, state)
    torch.testing.assert_close(logits(ours), logits(theirs))


def test_names_are_the_models(folder):
    model = seq2seq.Seq2Seq(seq2seq.Config(**SIZES))
    assert set(pegasus_format.tensor_names(vars(model.config))) == set(
        model.state_dict()
    )
    torch.testing.assert_close(
        pegasus_format.sinusoids(20, 16), seq2seq.sinusoids(20, 16)
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("activation_function", "relu", "activation_function='relu'"),
        ("scale_embedding", False, "scale_embedding=False"),
        ("model_type", "mbart", "model_type='mbart'"),
        ("encoder_ffn_dim", 32, "one ffn_dim"),
        ("d_model", None, "no d_model"),
    ],
)
def test_other_settings_are_refused(folder, field, value, words):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {field: value}
    if value is None:
        del config[field]
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        pegasus_format.load(folder)


def test_missing_and_unknown_tensors_are_named(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    gone = tensors.pop("model.decoder.layers.1.fc1.bias")
    save_file(tensors, path)
    with pytest.raises(KeyError, match="model.decoder.layers.1.fc1.bias"):
        pegasus_format.load(folder)
    save_file(
        tensors
        | {"model.decoder.layers.1.fc1.bias": gone, "model.extra": gone.clone()},
        path,
    )
    with pytest.raises(ValueError, match="model.extra"):
        pegasus_format.load(folder)
    tensors |= {"model.decoder.layers.1.fc1.bias": gone}
    save_file(tensors | {"final_logits_bias": torch.ones(1, 50)}, path)
    with pytest.raises(ValueError, match="final_logits_bias"):
        pegasus_format.load(folder)
