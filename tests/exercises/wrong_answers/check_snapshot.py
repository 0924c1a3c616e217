"""Wrong snapshots of a run, and another right one."""

import copy
import io

import safetensors.torch
import torch


def another(model, optimizer):
    weights = safetensors.torch.save(model.state_dict())
    state, generator = optimizer.state_dict(), torch.get_rng_state()
    slots = {
        i: {key: value.clone() for key, value in slot.items()}
        for i, slot in state["state"].items()
    }
    groups = [dict(group) for group in state["param_groups"]]

    def back():
        model.load_state_dict(safetensors.torch.load(weights))
        again = {
            i: {key: value.clone() for key, value in slot.items()}
            for i, slot in slots.items()
        }
        optimizer.load_state_dict(
            {"state": again, "param_groups": [dict(group) for group in groups]}
        )
        torch.set_rng_state(generator)

    return back


def _snapshot(
    model,
    optimizer,
    *,
    weights=True,
    copies=True,
    moments=True,
    rates=True,
    generator=True,
    fresh=True,
):
    kept = copy.deepcopy if copies else lambda value: value
    kept_weights, state, random_state = (
        kept(model.state_dict()),
        kept(optimizer.state_dict()),
        torch.get_rng_state(),
    )

    def back():
        if weights:
            model.load_state_dict(kept_weights)
        if moments:
            given = copy.deepcopy(state) if fresh else state
            if not rates:
                given["param_groups"] = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict(given)
        if generator:
            torch.set_rng_state(random_state)

    return back


def no_copy(model, optimizer):
    return _snapshot(model, optimizer, copies=False)


def weights_alone(model, optimizer):
    return _snapshot(model, optimizer, moments=False)


def no_generator(model, optimizer):
    return _snapshot(model, optimizer, generator=False)


def no_rates(model, optimizer):
    return _snapshot(model, optimizer, rates=False)


def once(model, optimizer):
    return _snapshot(model, optimizer, fresh=False)


def new_optimizer(model, optimizer):
    weights = copy.deepcopy(model.state_dict())

    def back():
        model.load_state_dict(weights)
        optimizer.state.clear()

    return back


def a_dict(model, optimizer):
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def draws(model, optimizer):
    torch.rand(1)
    return _snapshot(model, optimizer)


def a_file(model, optimizer):
    return io.BytesIO(safetensors.torch.save(model.state_dict()))


def parameters_alone(model, optimizer):
    weights = [p.detach().clone() for p in model.parameters()]
    rest = _snapshot(model, optimizer, weights=False)

    def back():
        with torch.no_grad():
            for p, kept in zip(model.parameters(), weights):
                p.copy_(kept)
        rest()

    return back


_KEPT = {}


def one_global_place(model, optimizer):
    _KEPT["back"] = _snapshot(model, optimizer)

    def back():
        _KEPT["back"]()

    return back


def first_group_alone(model, optimizer):
    inner, rate = _snapshot(model, optimizer), optimizer.param_groups[0]["lr"]

    def back():
        inner()
        for group in optimizer.param_groups:
            group["lr"] = rate

    return back


def moments_from_later(model, optimizer):
    if not optimizer.state:  # nothing to keep before the first step
        return _snapshot(model, optimizer, moments=False)
    return _snapshot(model, optimizer)


def called_at_once(model, optimizer):
    return _snapshot(model, optimizer)()


def twice_at_most(model, optimizer):
    states = [copy.deepcopy(optimizer.state_dict()) for _ in range(2)]
    inner = _snapshot(model, optimizer, moments=False)

    def back():
        inner()
        if states:
            optimizer.load_state_dict(states.pop())

    return back


def weight_decay_lost(model, optimizer):
    inner = _snapshot(model, optimizer)

    def back():
        inner()
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0

    return back


def through_a_file(model, optimizer):
    kept = io.BytesIO()
    parts = model.state_dict(), optimizer.state_dict(), torch.get_rng_state()
    torch.save(parts, kept)

    def back():
        kept.seek(0)
        weights, state, generator = torch.load(kept, weights_only=True)
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        torch.set_rng_state(generator)

    return back


class Snapshot:
    def __init__(self, model, optimizer):
        self.both = model, optimizer
        self.kept = copy.deepcopy([part.state_dict() for part in self.both])
        self.generator = torch.get_rng_state()

    def __call__(self):
        for part, state in zip(self.both, copy.deepcopy(self.kept)):
            part.load_state_dict(state)
        torch.set_rng_state(self.generator)


def an_object(model, optimizer):
    return Snapshot(model, optimizer)


WRONG = [
    (no_copy, "hands out the tensors themselves"),
    (weights_alone, "more than the weights"),
    (no_generator, "dropout draws other masks"),
    (no_rates, "param_groups"),
    (once, "not a second time"),
    (new_optimizer, "are gone after back()"),
    (a_dict, "is a dict"),
    (draws, "drew random numbers"),
    (a_file, "is a BytesIO"),
    (parameters_alone, "buffers"),
    (one_global_place, "does the second overwrite it"),
    (first_group_alone, "of the other group"),
    (moments_from_later, "from before the first step"),
    (twice_at_most, "as often as"),
    (weight_decay_lost, "4 steps later it differs"),
]

RIGHT = [through_a_file, an_object]
