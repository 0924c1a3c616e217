"""recipes/ray_update.py: what counts as failed, slow or wrong, and the stored file."""

import json

import pytest
import ray_update as recipe

WANTED = {("v1", "a"): 0.6, ("v2", "a"): 0.9}
# (when, seconds, text, version, confidence)
FINE = [
    (1.0, 0.02, "a", "v1", 0.6),
    (2.5, 0.50, "a", "v1", 0.6),
    (2.9, 0.03, "a", "v2", 0.9),
    (4.0, 0.90, "a", "v2", 0.9),
]


def test_an_update_without_fault():
    facts = recipe.update_facts(FINE, 2.0, 3.0, WANTED)
    assert facts["requests"] == 4 and facts["failed"] == 0
    assert facts["difference"] == 0 and facts["by version"] == {"v1": 2, "v2": 2}
    assert facts["longest before"] == 20 and facts["longest during"] == 500


def test_a_failure_and_an_answer_of_another_version_are_noticed(counted):
    failed = [*FINE, (2.6, 0.1, "a", None, None)]
    assert recipe.update_facts(failed, 2.0, 3.0, WANTED)["failed"] == 1
    mixed = [*FINE, (2.7, 0.1, "a", "v2", 0.6)]  # the name of one, the row of the other
    found = recipe.update_facts(mixed, 2.0, 3.0, WANTED)["difference"]
    assert found == pytest.approx(0.3)
    counted("fault", 2)


def test_the_stored_file():
    path = recipe.ROOT / recipe.OUT
    result = json.loads(path.read_text(encoding="utf-8"))
    cells = [c for c in result["cells"] if c["kind"] == "update"]
    assert {c["name"] for c in cells} == set(recipe.WAYS) and len(cells) >= 6
    for cell in cells:
        assert cell["failed"] == 0 and cell["difference"] < 1e-6
        assert cell["requests"] > 200 and set(cell["by version"]) == {"v1", "v2"}
    assert result["ray"] and result["machine"] and not result["dirty"]
