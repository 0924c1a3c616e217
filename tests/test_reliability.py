"""The table of RELIABILITY.md: every named test is there, every line has a
proof and a control, and the table is the tool's.
"""

import pathlib
import re
import subprocess
import sys

import pytest
import reliability

ROOT = pathlib.Path(__file__).resolve().parent.parent
PUSH = {*range(1, 9), *range(10, 21), *range(22, 25), *range(26, 29)}


@pytest.fixture(scope="module")
def collected():
    """Node ids, without parameters, that pytest collects from the files that the table
    names.
    """
    files = sorted(
        {
            node.split("::")[0]
            for line in reliability.LINES
            for node in reliability.nodes(f"{line.tests} {line.controls}")
        }
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *files,
    ]
    said = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    ).stdout
    found = {line.split("[")[0] for line in said.splitlines() if "::" in line}
    assert len(found) > 100, said[-2000:]
    return found


def faults(lines, collected):
    """What is wrong with a table -> [sentence]."""
    numbers = [line.number for line in lines]
    found = [
        f"line {number} is missing" for number in sorted((PUSH | {9}) - set(numbers))
    ]
    found += [
        f"line {number} is there twice"
        for number in sorted({n for n in numbers if numbers.count(n) > 1})
    ]
    for line in lines:
        found += [
            f"line {line.number} has no {what}"
            for what in ("promise", "tests", "fault", "controls")
            if not getattr(line, what).strip()
        ]
        found += [
            f"line {line.number}: {node} is no test"
            for node in reliability.nodes(f"{line.tests} {line.controls}")
            if node not in collected
        ]
        if "|" in line.promise + line.fault or "\n" in line.promise + line.fault:
            found.append(f"line {line.number} breaks the table")
    return found


def test_every_promise_has_a_test_that_exists_and_a_control(collected):
    assert faults(reliability.LINES, collected) == []


def test_the_page_holds_this_table():
    text = (ROOT / "RELIABILITY.md").read_text(encoding="utf-8")
    assert reliability.stored(text) == reliability.section()
    assert text.startswith("# What survives")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert reliability.BEGIN not in readme
    assert [
        path
        for path in re.findall(r"\]\((tests/[^)]+)\)", reliability.section())
        if not (ROOT / path).exists()
    ] == []


def changed(**how):
    first, *rest = reliability.LINES
    return [first._replace(**how), *rest]


@pytest.mark.parametrize(
    "lines, words",
    [
        (lambda: reliability.LINES[1:], "line 1 is missing"),
        (lambda: [*reliability.LINES, reliability.LINES[3]], "line 4 is there twice"),
        (lambda: changed(tests=""), "line 1 has no tests"),
        (lambda: changed(controls=" "), "line 1 has no controls"),
        (lambda: changed(fault=""), "line 1 has no fault"),
        (lambda: changed(promise="a | b"), "line 1 breaks the table"),
        (
            lambda: changed(tests="resume::test_of_no_name"),
            "tests/training/test_resume.py::test_of_no_name is no test",
        ),
        # a function that is no test
        (
            lambda: changed(controls="resume::run"),
            "tests/training/test_resume.py::run is no test",
        ),
    ],
)
def test_a_fault_in_the_table_is_noticed(lines, words, collected, counted):
    assert any(words in sentence for sentence in faults(lines(), collected))
    counted("fault")


def test_another_table_on_the_page_is_noticed(tmp_path, monkeypatch, capsys, counted):
    monkeypatch.setattr(reliability, "ROOT", tmp_path)
    page = tmp_path / "RELIABILITY.md"
    page.write_text(
        f"# Course\n\n{reliability.BEGIN}\n{reliability.END}\n\nEnd\n", encoding="utf-8"
    )
    assert (
        reliability.main(["--check"]) == 1
        and "another table" in capsys.readouterr().out
    )
    assert reliability.main([]) == 0 and reliability.main(["--check"]) == 0
    good = page.read_text(encoding="utf-8")
    assert (
        good.startswith("# Course\n")
        and good.endswith("\nEnd\n")
        and "make kill-test" in good
    )
    for old, new in (
        ("same bits", "same weights"),
        ("test_resume.py", "test_resumed.py"),
        ("| 28 |", "| 29 |"),
    ):
        page.write_text(good.replace(old, new, 1), encoding="utf-8")
        assert reliability.main(["--check"]) == 1, old
        counted("fault")
    page.write_text("# Course\n", encoding="utf-8")
    assert reliability.main([]) == 1 and "no marks" in capsys.readouterr().out
