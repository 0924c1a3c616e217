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
    copies=True,
    moments=True,
    rates=True,
    generator=True,
    fresh=True,
):
    kept = copy.deepcopy if copies else lambda value: value
    weights, state, random_state = (
        kept(model.state_dict()),
        kept(optimizer.state_dict()),
        torch.get_rng_state(),
    )

    def back():
        model.load_state_dict(weights)
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
]
