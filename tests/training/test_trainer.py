"""transformers' Trainer: the same update whether a batch comes in one piece or in four,
for every head a chapter trains with it.

RELIABILITY 16. Without `compute_loss_func`, transformers 5.23 multiplies loss and
gradient by gradient_accumulation_steps for most heads (huggingface/transformers#47688);
with the sum divided by `num_items_in_batch` the ratio is 1.
"""

import json
import re

import pytest
import torch
from notebooks import CHAPTERS

from ftlib.course import hub

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

ROWS, CLASSES = 16, 2
TINY = dict(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    num_labels=CLASSES,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    pad_token_id=0,
)


def tiny_pegasus(**_):
    """Chapter 16's encoder-decoder, as small as the others."""
    layers = {"encoder_layers": 1, "decoder_layers": 1}
    return transformers.PegasusConfig(
        vocab_size=50,
        d_model=16,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        dropout=0.0,
        **layers,
    )


HEADS = {
    "BertForSequenceClassification": transformers.BertConfig,
    "RobertaPreLayerNormForSequenceClassification": (
        transformers.RobertaPreLayerNormConfig
    ),
    "RobertaPreLayerNormForTokenClassification": (
        transformers.RobertaPreLayerNormConfig
    ),
    "PegasusForConditionalGeneration": tiny_pegasus,
}


def mean_over_the_update(outputs, labels, num_items_in_batch=None):
    """What chapters 14, 15 and 16 pass: the sum of the cross-entropies over the number
    of labels in the whole update. Labels: one a row, or one a token.
    """
    logits = outputs.logits.reshape(-1, outputs.logits.shape[-1])
    return (
        torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum")
        / num_items_in_batch
    )


def mean_of_one_piece(outputs, labels, num_items_in_batch=None):
    """The planted fault: a mean over each micro-batch."""
    logits = outputs.logits.reshape(-1, outputs.logits.shape[-1])
    return torch.nn.functional.cross_entropy(logits, labels.flatten())


def rows(head):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 50, (ROWS, 12), generator=generator)
    # chapter 16's collator adds what the decoder reads: a loss function of one's own
    # takes the labels away before the model could shift them
    reads = {"decoder_input_ids": ids[0]} if "ForConditional" in head else {}
    return [
        {
            "input_ids": row,
            "attention_mask": torch.ones(12, dtype=torch.long),
            "labels": i % CLASSES if "ForSequence" in head else row % CLASSES,
            **reads,
        }
        for i, row in enumerate(ids)
    ]


def one_update(head, size, accumulate, folder, loss=None):
    """(loss, gradient norm) that Trainer logs for one update over the 16 rows."""
    torch.manual_seed(0)
    model = getattr(transformers, head)(HEADS[head](**TINY))
    settings = transformers.TrainingArguments(
        folder,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulate,
        max_steps=1,
        logging_steps=1,
        use_cpu=True,
        max_grad_norm=1e9,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
    )
    trainer = transformers.Trainer(
        model, settings, train_dataset=rows(head), compute_loss_func=loss
    )
    trainer.train()
    return trainer.state.log_history[0]["loss"], float(
        trainer.state.log_history[0]["grad_norm"]
    )


def ratios(head, folder, loss=None):
    """4 micro-batches of 4 against 1 of 16 -> (loss ratio, gradient ratio)."""
    whole, parts = (
        one_update(head, 16, 1, folder, loss),
        one_update(head, 4, 4, folder, loss),
    )
    return parts[0] / whole[0], parts[1] / whole[1]


@pytest.mark.parametrize("head", HEADS)
def test_accumulation_changes_nothing(head, tmp_path):
    assert ratios(head, tmp_path, mean_over_the_update) == pytest.approx(
        (1, 1), abs=1e-3
    )


@pytest.mark.parametrize("head", HEADS)
def test_a_mean_of_each_piece_is_caught(head, tmp_path, counted):
    assert ratios(head, tmp_path, mean_of_one_piece) == pytest.approx((4, 4), abs=1e-2)
    counted("fault")


@pytest.mark.parametrize("head", HEADS)
def test_what_chapter_14_says_about_the_default_is_still_so(head, tmp_path):
    """When this fails, transformers has mended its default: shorten the paragraph in
    chapter 14 and this test.
    """
    assert ratios(head, tmp_path) == pytest.approx((4, 4), abs=1e-2)


# ---- every head that a chapter trains with Trainer is among HEADS ----


def heads_of(cells):
    """Code cells of one chapter -> (heads that are trained with Trainer, findings)."""
    text = "\n".join(cells)
    calls = re.findall(
        r"(?<![\w])(?:transformers\.)?(?:Seq2Seq)?Trainer\(((?:[^()]|\([^()]*\))*)\)",
        text,
    )
    if not calls:
        return set(), []
    found = [
        f"Trainer({call.split(',')[0]}, ...) without compute_loss_func"
        for call in calls
        if "compute_loss_func" not in call
    ]
    heads = set(
        re.findall(r"\b(?!AutoModel|DataCollator)([A-Z]\w+For[A-Z]\w+)\(", text)
    )
    for auto, rest in re.findall(
        r"\b(AutoModelFor\w+)\.from_pretrained\((.*?)\)", text, re.S
    ):
        # the folder stands in the call, or in a variable that an earlier line sets
        first = re.match(r"\s*(\w+)\s*,", rest)
        where = rf"(?m)^{first[1]} = (.*)$" if first else "(?!)"
        lines = re.findall(where, text)
        name = re.search(
            r'hub\.resolve\("([\w.-]+)"', lines[-1] if len(set(lines)) == 1 else rest
        )
        if not name:
            found.append(
                f"{auto}.from_pretrained({rest}): which head is that? write "
                'hub.resolve("name") in the call'
            )
            continue
        config = transformers.AutoConfig.from_pretrained(hub.resolve(name[1]))
        heads.add(getattr(transformers, auto)._model_mapping[type(config)].__name__)
    return heads, found


def code_cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def test_every_head_that_a_chapter_trains_with_trainer_is_tested():
    heads = set()
    for path in sorted(CHAPTERS.glob("[0-9]*.ipynb")):
        mine, found = heads_of(code_cells(path))
        assert found == [] and mine <= set(HEADS), (path.name, mine, found)
        heads |= mine
    assert heads, (
        "no chapter uses Trainer: either that is so, or this test no longer sees it"
    )


@pytest.mark.parametrize(
    "text",
    [
        "net = transformers.GPT2ForSequenceClassification(tiny)\nTrainer(net, "
        "settings, "
        "compute_loss_func=loss)",
        "trainer = transformers.Trainer(net, TrainingArguments(folder), "
        "train_dataset=rows)",
        "net = AutoModelForTokenClassification.from_pretrained(folder)\nTrainer(net, "
        "compute_loss_func=loss)",
        "net = AutoModelForQuestionAnswering.from_pretrained("
        'hub.resolve("reviews-bert-mini"))\n'
        "Trainer(net, compute_loss_func=loss)",
    ],
)
def test_an_untested_head_is_noticed(text, counted):
    heads, found = heads_of([text])
    assert found or not heads <= set(HEADS)
    counted("fault")
