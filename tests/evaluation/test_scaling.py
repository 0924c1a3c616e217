"""The fitted law against scipy, its intervals against runs drawn from a known law, the
cost model against its own formula, and the stored grid: predicted first, run
afterwards.
"""

import importlib.util
import json
import math
import random

import pytest
import torch
from stages import ROOT

from ftlib.evaluation import cost, scaling

SIZES = [n for n in (1e4, 2e4, 5e4, 1e5, 2e5) for _ in range(3)]


def drawn(seed, floor=0.0, noise=0.01):
    draw = random.Random(seed)
    return [(8 * n**-0.12 + floor) * math.exp(draw.gauss(0, noise)) for n in SIZES]


def recipe():
    spec = importlib.util.spec_from_file_location(
        "scaling_recipe", ROOT / "recipes" / "scaling.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_exact_laws_are_found_again():
    law = scaling.fit_power(SIZES, drawn(0, noise=0))
    assert (
        abs(law.a - 8) < 1e-9
        and abs(law.alpha - 0.12) < 1e-12
        and law.irreducible_loss == 0
    )
    law = scaling.fit_irreducible(SIZES, drawn(0, floor=1.5, noise=0), tries=2000)
    assert abs(law.irreducible_loss - 1.5) < 0.01 and abs(law.alpha - 0.12) < 2e-3
    assert (
        scaling.Law(2.0, 1.0, 3.0)([1, 2]) == [5.0, 4.0]
        and scaling.Law(2.0, 1.0)(4) == 0.5
    )
    assert (
        max(map(abs, scaling.residuals(law, SIZES, drawn(0, floor=1.5, noise=0))))
        < 1e-3
    )


def test_fits_agree_with_scipy():
    scipy = pytest.importorskip("scipy")
    losses = drawn(3, floor=1.0)
    law, reference = (
        scaling.fit_power(SIZES, losses),
        scipy.stats.linregress(torch.tensor(SIZES).log(), torch.tensor(losses).log()),
    )
    assert (
        abs(law.alpha + reference.slope) < 1e-5
        and abs(math.log(law.a) - reference.intercept) < 1e-4
    )
    from scipy.optimize import curve_fit

    (a, alpha, floor), _ = curve_fit(
        lambda n, a, alpha, c: (a * n**-alpha + c).__abs__(),
        torch.tensor(SIZES).numpy(),
        losses,
        p0=(8, 0.1, 1),
    )
    ours, theirs = (
        scaling.fit_irreducible(SIZES, losses, tries=1000),
        scaling.Law(a, alpha, floor),
    )
    # errors of log loss against errors of loss
    assert all(abs(ours(n) / theirs(n) - 1) < 0.01 for n in set(SIZES))


def test_the_band_holds_new_runs_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        _, low, high = scaling.predict(SIZES, drawn(seed), 5e5, samples=200)
        new = 8 * 5e5**-0.12 * math.exp(random.Random(1000 + seed).gauss(0, 0.01))
        held += low <= new <= high
    assert 49 <= held <= 60  # 57 expected


@pytest.mark.parametrize("floor, parameters", [(0.0, 2), (1.5, 3)])
def test_residuals_are_widened_for_each_parameter_that_was_fitted(floor, parameters):
    """As a variance divides by n - p: a power law has two, one with a floor three."""
    law = scaling.Law(5.0, 0.3, floor)
    sizes = [10.0, 20.0, 40.0, 80.0, 160.0]
    noise = [-0.02, 0.01, 0.0, 0.03, -0.02]
    losses = [law(n) * math.exp(r) for n, r in zip(sizes, noise)]
    middle, low, high = scaling.predict(
        sizes, losses, 500.0, fit=lambda *runs: law, level=1.0
    )
    wider = math.sqrt(5 / (5 - parameters))
    assert middle == law(500.0)
    assert math.log(low / middle) == pytest.approx(-0.02 * wider)
    assert math.log(high / middle) == pytest.approx(0.03 * wider)


def test_the_form_is_chosen_on_the_family(counted):
    straight, bent = drawn(1, noise=0.001), [200 * n**-0.5 + 2.5 for n in SIZES]
    assert scaling.backtest_error(SIZES, straight, scaling.fit_power) < 0.005
    assert (
        scaling.backtest_error(SIZES, bent, scaling.fit_irreducible)
        < 0.005
        < 0.05
        < scaling.backtest_error(SIZES, bent, scaling.fit_power)
    )
    counted("fault")


@pytest.mark.parametrize(
    "sizes, losses, message",
    [
        ([1, 2], [1], "2 sizes and 1 losses"),
        ([1, 1], [1, 2], "1 different size"),
        ([1, 0], [1, 2], "not positive"),
        ([1, 2], [1, float("nan")], "not positive and finite"),
    ],
)
def test_bad_runs_are_refused(sizes, losses, message):
    with pytest.raises(ValueError, match=message):
        scaling.fit_power(sizes, losses)


def test_floor_needs_three_sizes():
    with pytest.raises(ValueError, match="2 sizes"):
        scaling.fit_irreducible([1, 2, 2], [3, 2, 2])


def test_cost_of_a_run():
    machine = cost.Machine("box", peak=1e12, memory_gb=10, price=3.0)
    plan = cost.run_cost(1e6, 1e9, machine, devices=2, mfu=0.5)
    assert plan.flops == cost.training_flops(1e6, 1e9) and plan.hours == pytest.approx(
        6e15 / 1e12 / 3600
    )
    assert plan.money == pytest.approx(
        plan.hours * 6
    ) and plan.memory_gb == pytest.approx(cost.training_bytes(1e6) / 1e9)
    assert (
        cost.run_cost(1e6, 1e9, machine, devices=2, sharded=True).memory_gb
        == plan.memory_gb / 2
    )
    assert (
        cost.run_cost(1e6, 1e9, machine, flops_per_token=12e6).flops == 2 * plan.flops
    )
    for wrong in (dict(mfu=0), dict(mfu=30), dict(devices=0)):
        with pytest.raises(ValueError):
            cost.run_cost(1e6, 1e9, machine, **wrong)


def test_speed_of_a_product_is_a_speed():
    assert 1e8 < cost.matmul_speed(256, tries=2) < 1e15


def test_the_recipe_predicts_before_it_runs(tmp_path):
    """The stored grid is complete, its prediction follows from its own runs, and was
    written before the held-out run began.
    """
    stored = json.loads(
        (ROOT / "data" / "results" / "scaling.json").read_text(encoding="utf-8")
    )
    assert (
        len(stored["commit"]) == 40
        and stored["machine"]
        and len(stored["runs"]) == len(stored["seeds"]) * 5
    )
    again = recipe().foretell(
        stored["runs"], stored["prediction"]["width"], stored["settings"]
    )
    for key in ("form", "loss", "low", "high", "weights"):
        assert (
            again[key] == pytest.approx(stored["prediction"][key], abs=2e-3)
            if key != "form"
            else again[key] == stored["prediction"][key]
        )
    assert stored["prediction"]["written"] <= stored["held_out"]["began"]
    assert (
        stored["held_out"]["weights"]
        == stored["prediction"]["weights"]
        > 2 * max(r["weights"] for r in stored["runs"])
    )
    assert len({r["tokens"] for r in [*stored["runs"], stored["held_out"]]}) == 1


def test_the_recipe_counts_what_it_builds():
    module = recipe()
    net = module.build(24, module.SETTINGS)
    parts = cost.parameters(
        **module.shape(24, module.SETTINGS), positions=32, norm_out=True, head="tied"
    )
    assert sum(parts.values()) == sum(p.numel() for p in net.parameters())
