"""Whisper in the format of CTranslate2 (faster-whisper), read as transformers' Whisper.

Use it:

    tensors = read(data)                  # bytes of model.bin -> {name: tensor}
    model = load(data, sha256=WHISPER_BASE, **WHISPER_IDS)   # of transformers, eval
    ids = model.generate(features)        # features: (B, 80, 3000)

    >>> data = _header("WhisperSpec", 1) + _entry("encoder/conv1/bias", [1.0, 2.0])
    >>> read(data + struct.pack("<I", 0))["encoder/conv1/bias"]
    tensor([1., 2.])
    >>> transformers_name("decoder/layer_3/ffn/linear_0/weight")
    'model.decoder.layers.3.fc1.weight'

The file is a list: the number of tensors; for each its name, shape, type and bytes.
Nothing in it can run code. The sizes of the network are read off the shapes.

What it is not: a reader of quantised files, or of other models of CTranslate2. Needs:
torch; `load` needs transformers.
"""

import hashlib
import re
import struct

import torch

# model.bin of Systran's faster-whisper-base, as it was published
WHISPER_BASE = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
# of every Whisper in many languages up to large-v2
WHISPER_IDS = dict(bos_token_id=50257, eos_token_id=50257, pad_token_id=50257)
WHISPER_IDS |= dict(decoder_start_token_id=50258)
_TYPES = {
    0: torch.float32,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.float16,
    5: torch.bfloat16,
}
_NAMES = (  # theirs -> transformers', one after another
    (r"^(encoder|decoder)/layer_(\d+)/", r"model.\1.layers.\2."),
    (r"^(encoder|decoder)/", r"model.\1."),
    (r"self_attention/layer_norm/", "self_attn_layer_norm."),
    (r"attention/layer_norm/", "encoder_attn_layer_norm."),
    (r"ffn/layer_norm/", "final_layer_norm."),
    (r"ffn/linear_0/", "fc1."),
    (r"ffn/linear_1/", "fc2."),
    (r"self_attention/linear_0/", "self_attn.q_proj|k_proj|v_proj."),
    (r"self_attention/linear_1/", "self_attn.out_proj."),
    (r"attention/linear_0/", "encoder_attn.q_proj."),
    (r"attention/linear_1/", "encoder_attn.k_proj|v_proj."),
    (r"attention/linear_2/", "encoder_attn.out_proj."),
    (r"position_encodings/encodings$", "embed_positions.weight"),
    (r"embeddings/", "embed_tokens."),
    (r"(conv\d)/", r"\1."),
    (r"layer_norm/", "layer_norm."),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
)


def _header(spec, count):
    """The beginning of a file, for the example and the tests."""
    name = spec.encode() + b"\0"
    return struct.pack("<IH", 6, len(name)) + name + struct.pack("<II", 3, count)


def _entry(name, values):
    """A float32 vector as the file has it."""
    letters = name.encode() + b"\0"
    head = (
        struct.pack("<H", len(letters)) + letters + struct.pack("<BI", 1, len(values))
    )
    numbers = struct.pack(f"<{len(values)}f", *values)
    return head + struct.pack("<BI", 0, len(numbers)) + numbers


def read(data) -> dict[str, torch.Tensor]:
    """{name: tensor} of the bytes of a model.bin; aliases are left out.

    Raises ValueError for a file of another kind, one that is cut off, and types that
    are not known.
    """
    position = 0

    def take(form):
        nonlocal position
        size = struct.calcsize("<" + form)
        if position + size > len(data):
            raise ValueError(
                f"the file ends after {len(data)} bytes, in the middle of a tensor; "
                "join all of its parts, or fetch it again"
            )
        (value,) = struct.unpack_from("<" + form, data, position)
        position += size
        return value

    version = take("I")
    spec = take(f"{take('H')}s").rstrip(b"\0").decode("latin1")
    if version != 6 or spec != "WhisperSpec":
        raise ValueError(
            f"the file is {spec[:40]!r} of version {version}; read is WhisperSpec of "
            "version 6, as CTranslate2 writes it"
        )
    take("I")  # the revision
    tensors = {}
    for _ in range(take("I")):
        name = take(f"{take('H')}s").rstrip(b"\0").decode()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = take("B"), take("I")
        if kind not in _TYPES:
            raise ValueError(f"{name} has the type {kind}; known are {list(_TYPES)}")
        tensors[name] = _tensor(bytearray(take(f"{size}s")), _TYPES[kind], shape)
    return tensors


def _tensor(data, dtype, shape):
    return torch.frombuffer(data, dtype=dtype).reshape(shape)


def transformers_name(name) -> str:
    """The name that transformers has for a tensor; `|` stands between the parts that
    one tensor here holds, one below the other.
    """
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def state_dict(tensors) -> dict[str, torch.Tensor]:
    """The tensors of `read` under transformers' names, float32."""
    state = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 0 or "alignment" in name:
            continue  # settings of CTranslate2
        front, _, parts = transformers_name(name).rpartition("attn.")
        head, _, kind = parts.rpartition(".")
        names = head.split("|")
        for own, part in zip(names, tensor.float().chunk(len(names))):
            joint = "attn." if front else ""
            state[f"{front}{joint}{own}.{kind}"] = part.contiguous()
    # attention's keys have no bias in Whisper, and CTranslate2 writes zeros
    return {k: v for k, v in state.items() if not k.endswith("k_proj.bias")}


def config_of(tensors) -> dict:
    """Arguments of WhisperConfig, read off the shapes."""
    vocab_size, dim = tensors["decoder/embeddings/weight"].shape
    layers = {int(n) for n in re.findall(r"decoder/layer_(\d+)/", " ".join(tensors))}
    return {
        "vocab_size": vocab_size,
        "d_model": dim,
        "num_mel_bins": tensors["encoder/conv1/weight"].shape[1],
        "encoder_layers": len(layers),
        "decoder_layers": len(layers),
        "encoder_attention_heads": int(tensors["encoder/num_heads"]),
        "decoder_attention_heads": int(tensors["decoder/num_heads"]),
        "encoder_ffn_dim": tensors["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        "decoder_ffn_dim": tensors["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        "max_source_positions": len(tensors["encoder/position_encodings/encodings"]),
        "max_target_positions": len(tensors["decoder/position_encodings/encodings"]),
    }


def load(data, sha256=None, **settings):
    """WhisperForConditionalGeneration with the weights of a model.bin, in eval mode.

    sha256: what the bytes must have. settings: of WhisperConfig, such as the ids of
        the special tokens, which the file does not have.
    Raises ValueError for another hash, for what `read` refuses, and for a tensor that
    is missing or left over.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    got = hashlib.sha256(data).hexdigest()
    if sha256 is not None and got != sha256:
        raise ValueError(
            f"the weights have the SHA-256 {got[:12]}..., not {sha256[:12]}...; they "
            "were changed or not joined in order, so fetch them again"
        )
    tensors = read(data)
    with torch.device("meta"):  # random weights would take longer than all the rest
        model = WhisperForConditionalGeneration(
            WhisperConfig(**config_of(tensors) | settings)
        )
    state = state_dict(tensors)
    missing, left_over = model.load_state_dict(state, strict=False, assign=True)
    # the output layer is the embedding, transposed
    if left_over or set(missing) - {"proj_out.weight"}:
        raise ValueError(
            f"missing are {missing[:3]}, left over {left_over[:3]}; this is another "
            "Whisper than transformers has"
        )
    model.tie_weights()
    return model.eval()
