"""Distillation against torch's kl_div and mse_loss, the factor t squared, unlabelled
rows, and what is refused.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ftlib.models import attention, transformer
from ftlib.objectives import classify, distill
from ftlib.training import optim, train

B, T, C = 6, 9, 3


def net(layers=3, seed=0, width=16, dropout=0.0):
    torch.manual_seed(seed)
    config = transformer.Config(
        40, width, layers, 4, 32, 16, pre_norm=False, init_std=0.3, dropout=dropout
    )
    return classify.Classifier(transformer.Transformer(config), C, dropout=0.0)


def batch(seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 40, (B, T), generator=g)
    mask = (torch.arange(T) < torch.randint(3, T + 1, (B, 1), generator=g)).long()
    labels = torch.tensor([0, 1, 2, -100, -100, 1])
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": labels,
        "index": torch.arange(B),
    }


LOGITS = torch.randn(B, C, generator=torch.Generator().manual_seed(3)) * 2
OTHERS = torch.randn(B, C, generator=torch.Generator().manual_seed(4)) * 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 20.0])
def test_soft_loss_is_torchs_kl_div_times_t_squared(temperature):
    t = temperature
    reference = F.kl_div(
        F.log_softmax(LOGITS / t, -1),
        F.log_softmax(OTHERS / t, -1),
        reduction="sum",
        log_target=True,
    )
    torch.testing.assert_close(
        distill.soft_loss(LOGITS, OTHERS, t), t**2 * reference, atol=1e-5, rtol=1e-4
    )


def test_the_gradient_keeps_its_size_when_the_temperature_grows(counted):
    def size(t, factor=1.0):
        x = LOGITS.clone().requires_grad_()
        (distill.soft_loss(x, OTHERS, t) * factor).backward()
        return float(x.grad.norm())

    # in the limit of a high temperature: half the squared difference, centred, over C
    x = (LOGITS - OTHERS).sub((LOGITS - OTHERS).mean(-1, keepdim=True)) / C
    assert abs(size(500.0) / float(x.norm()) - 1) < 0.01
    # the planted fault: without the factor
    assert size(500.0, factor=500.0**-2) < 1e-4 * size(1.0)
    counted("fault")


def test_soft_loss_is_zero_for_equal_models_alone():
    assert float(distill.soft_loss(LOGITS, LOGITS + 5.0)) < 1e-6
    assert float(distill.soft_loss(LOGITS, OTHERS)) > 0.1


def test_hidden_loss_is_torchs_mse_where_nothing_is_padded_and_skips_padding():
    a, b = torch.randn(2, 2, B, T, 5)
    full = torch.ones(B, T)
    reference = B * F.mse_loss(a, b)
    torch.testing.assert_close(distill.hidden_loss(list(a), list(b), full), reference)
    mask = batch()["attention_mask"]
    found = distill.hidden_loss(list(a), list(b), mask)
    a[:, mask == 0] = 99.0
    torch.testing.assert_close(distill.hidden_loss(list(a), list(b), mask), found)


def test_attention_loss_is_torchs_kl_div():
    own, other = torch.randn(2, 2, B, 4, T, T).softmax(-1)
    full = torch.ones(B, T)
    reference = F.kl_div(own.log(), other, reduction="sum") / (2 * 4 * T)
    torch.testing.assert_close(
        distill.attention_loss(list(own), list(other), full), reference
    )
    assert float(distill.attention_loss(list(own), list(own), full)) == 0


def test_recorded_is_what_the_encoder_computed():
    model, given = net(), batch()
    reads = classify.inputs_of(given)
    model.eval()
    with distill.recorded(model.encoder) as record:
        out = model(**reads)
        model(**reads)
    assert len(record.hidden) == len(record.maps) == 3  # of the last call
    torch.testing.assert_close(record.hidden[-1], out.last_hidden_state)
    mask = given["attention_mask"].bool()
    theirs = attention.attention_maps(model.encoder, **reads)
    for own, other in zip(record.maps, theirs):
        keep = mask[:, None, :, None].expand_as(own)
        torch.testing.assert_close(own[keep], other[keep])
    assert record.hidden[0].requires_grad
    before = len(record.hidden)
    model(**reads)
    assert len(record.hidden) == before  # the hooks are gone


def test_keep_layers_copies_and_shares_nothing():
    model = net()
    small = distill.keep_layers(model, (0, 2))
    assert small.encoder.config.layers == len(small.encoder.blocks) == 2
    torch.testing.assert_close(
        small.encoder.blocks[1].up.weight, model.encoder.blocks[2].up.weight
    )
    nn.init.zeros_(small.encoder.blocks[1].up.weight)
    assert float(model.encoder.blocks[2].up.weight.abs().sum()) > 0
    same = distill.keep_layers(model, (0, 1, 2))
    reads = classify.inputs_of(batch())
    torch.testing.assert_close(same(**reads).logits, model(**reads).logits)
    assert len(distill.keep_layers(model.encoder, [1]).blocks) == 1


def taught(rows, **more):
    torch.manual_seed(0)
    student, teacher = net(1, seed=5), net(seed=1)
    with torch.no_grad():
        logits = teacher(**classify.inputs_of(batch())).logits
    loss_fn = distill.distillation_loss(alpha=0.7)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    made = distill.with_teacher(rows, logits)
    losses = [s.loss for s in train.steps(student, made, loss_fn, optimizer, **more)]
    return losses, student


def test_unlabelled_rows_teach_and_each_loss_has_its_own_count():
    losses, _ = taught([batch()])
    student, given = net(1, seed=5), batch()
    with torch.no_grad():
        teacher = net(seed=1)(**classify.inputs_of(given)).logits
        own = student(**classify.inputs_of(given)).logits
    kept = given["labels"] != -100
    by_hand = 0.3 * F.cross_entropy(own[kept], given["labels"][kept])
    by_hand += 0.7 * distill.soft_loss(own, teacher) / B
    assert abs(losses[0] - float(by_hand)) < 1e-4


def test_one_batch_and_its_three_parts_make_the_same_update():
    whole = batch()
    parts = [{k: v[i : i + 2] for k, v in whole.items()} for i in (0, 2, 4)]
    (one, a), (three, b) = taught([whole]), taught(parts, accumulate=3)
    assert abs(one[0] - three[0]) < 1e-4
    for x, y in zip(a.parameters(), b.parameters()):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)


def test_a_student_comes_to_agree_with_its_teacher():
    losses, _ = taught([batch()] * 60)
    assert losses[-1] < 0.7 * losses[0]


def test_hidden_states_and_attention_train_too():
    teacher, student, given = net(seed=1), net(1, seed=5), batch()
    reads = classify.inputs_of(given)
    optimizer = optim.adamw(optim.parameter_groups(student, 5e-3))

    def loss_fn(model, batch):
        with distill.recorded(teacher.encoder) as theirs, torch.no_grad():
            teacher(**reads)
        with distill.recorded(model.encoder) as ours:
            model(**reads)
        mask = batch["attention_mask"]
        near = distill.hidden_loss(ours.hidden, theirs.hidden[-1:], mask)
        near = near + distill.attention_loss(ours.maps, theirs.maps[-1:], mask)
        return {"labels": near}

    run = train.steps(student, [given] * 40, loss_fn, optimizer)
    losses = [step.loss for step in run]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: distill.soft_loss(LOGITS, OTHERS[:, :2]), "same classes"),
        (lambda: distill.soft_loss(LOGITS, OTHERS, 0), "above 0"),
        (lambda: distill.distillation_loss(1.5), "0 to 1"),
        (lambda: distill.keep_layers(net(), (0, 3)), "0 to 2"),
        (lambda: distill.keep_layers(net(), ()), "at least one"),
        (
            lambda: distill.hidden_loss(
                [torch.ones(B, T, 4)], [torch.ones(B, T, 8)], torch.ones(B, T)
            ),
            "project",
        ),
        (
            lambda: distill.hidden_loss([], [torch.ones(B, T, 8)], torch.ones(B, T)),
            "pick one layer",
        ),
        (
            lambda: distill.attention_loss(
                [torch.ones(B, 2, T, T)], [torch.ones(B, 4, T, T)], torch.ones(B, T)
            ),
            "number of heads",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_projection_joins_two_widths():
    project = nn.Linear(4, 8)
    found = distill.hidden_loss(
        [torch.ones(B, T, 4)], [torch.ones(B, T, 8)], torch.ones(B, T), project
    )
    assert found.requires_grad
