"""The pages around the course can be read, and INSTALL knows every failure."""

import ast
import json
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
GITHUB = ROOT / ".github"
INSTALL = (ROOT / "INSTALL.md").read_text(encoding="utf-8")
TROUBLE = INSTALL[INSTALL.index("# Troubleshooting") :]
CONFIG = "issues/config"
# kinds of input that a form of GitHub may hold
INPUTS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def written(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def yaml_files():
    found = [*GITHUB.rglob("*.yml"), *ROOT.glob("*.yml"), *ROOT.glob("*.yaml")]
    return sorted({p.relative_to(ROOT).as_posix() for p in found} | {"CITATION.cff"})


def test_every_yaml_file_can_be_read():
    files = yaml_files()
    assert len(files) >= 9, files
    for path in files:
        assert isinstance(written(path), dict), path


def form_faults(form):
    """What GitHub would refuse in an issue form -> [sentence]."""
    faults = [
        f"no {key}" for key in ("name", "description", "body") if not form.get(key)
    ]
    fields = form.get("body") or []
    ids = [field["id"] for field in fields if "id" in field]
    faults += [f"id {name} twice" for name in {n for n in ids if ids.count(n) > 1}]
    for field in fields:
        if field.get("type") not in INPUTS:
            faults.append(f"no such input {field.get('type')}")
        needed = "value" if field.get("type") == "markdown" else "label"
        if not field.get("attributes", {}).get(needed):
            faults.append(f"{field.get('id')} has no {needed}")
        if field.get("type") in ("dropdown", "checkboxes"):
            if not field["attributes"].get("options"):
                faults.append(f"{field.get('id')} has no options")
    return faults


FORMS = sorted(p.stem for p in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_issue_forms():
    assert FORMS == ["chapter", "config", "ftlib", "idea"]
    for name in set(FORMS) - {"config"}:
        form = written(f".github/ISSUE_TEMPLATE/{name}.yml")
        assert form_faults(form) == [], name


def test_a_fault_in_a_form_is_noticed(counted):
    def changed(change):
        form = written(".github/ISSUE_TEMPLATE/chapter.yml")
        change(form)
        return form_faults(form)

    changes = {
        "no name": lambda form: form.pop("name"),
        "id seen twice": lambda form: form["body"][1].update(id="seen"),
        "no such input text": lambda form: form["body"][1].update(type="text"),
        "chapter has no label": lambda form: form["body"][1]["attributes"].pop("label"),
        "where has no options": lambda form: form["body"][4]["attributes"].pop(
            "options"
        ),
    }
    for sentence, change in changes.items():
        assert changed(change) == [sentence]
        counted("fault")


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_workflows():
    names = sorted(path.name for path in (GITHUB / "workflows").glob("*.yml"))
    assert {"ci.yml", "links.yml", "newest.yml"} <= set(names)
    for name in names:
        workflow = written(f".github/workflows/{name}")
        assert workflow["permissions"] == {"contents": "read"}, name
        assert True in workflow, name  # YAML 1.1 reads the key `on` as true
        assert all("timeout-minutes" in job for job in workflow["jobs"].values()), name
        for step in steps_of(workflow):
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False, name
            # every program of this repository that a step runs is there
            for path in re.findall(r"(?:tools|\.ci)/[\w.]+", step.get("run", "")):
                assert (ROOT / path).exists(), (name, path)


def test_the_weekly_run_takes_the_newest_and_forgets_no_extra():
    workflow = written(".github/workflows/newest.yml")
    commands = "\n".join(step.get("run", "") for step in steps_of(workflow))
    assert "--upgrade" in commands and "constraints" not in commands
    assert "--all-extras" in commands
    assert "tools/test.py unit" in commands


def test_dependabot_looks_after_packages_and_actions():
    updates = written(".github/dependabot.yml")["updates"]
    found = {update["package-ecosystem"] for update in updates}
    assert found == {"pip", "github-actions"}
    assert all(update["schedule"]["interval"] == "weekly" for update in updates)


def test_the_dev_container():
    path = ROOT / ".devcontainer" / "devcontainer.json"
    container = json.loads(path.read_text(encoding="utf-8"))
    assert "3.11" in container["image"]
    assert container["postCreateCommand"] == "make env"
    for opened in container["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / opened).exists(), opened


def hooks():
    repositories = written(".pre-commit-config.yaml")["repos"]
    return repositories, [hook for found in repositories for hook in found["hooks"]]


def test_pre_commit_fetches_nothing():
    repositories, found = hooks()
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in found} == {"system"}
    assert {"ruff-format", "ruff-check", "links"} <= {hook["id"] for hook in found}
    for hook in found:
        if "ruff" in hook["entry"]:
            assert "jupyter" in hook["types_or"], hook["id"]
        for path in re.findall(r"tools/[\w.]+", hook["entry"]):
            assert (ROOT / path).exists(), path


# --- INSTALL.md


def literal(node):
    """The pieces of text of a message: a string, a sum, a %-format or an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.split(r"%[rsd](?:\.%[rsd])?|%\.\d+f|\{\w*\}", node.value)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + (
            literal(node.right) if isinstance(node.op, ast.Add) else []
        )
    if isinstance(node, ast.JoinedStr):
        return [piece for value in node.values for piece in literal(value)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return literal(node.func.value)  # "...".format(...)
    return []


def messages(tree):
    """The pieces of each message: what `stop` is given, what `explain` may say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "stop":
            yield literal(node.args[0])
        elif isinstance(node, ast.FunctionDef) and node.name == "explain":
            for inner in ast.walk(ast.Module(node.body[1:], [])):  # not the docstring
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    if re.match(r"[A-Z][^|]*$", inner.value):  # a sentence, no pattern
                        yield literal(inner)


def failures(source):
    """How each sentence of the bootstrap's failures begins: five words that stay."""
    found = []
    for pieces in messages(ast.parse(source)):
        first = next((piece for piece in pieces if len(piece.split()) > 2), None)
        if first:
            words = re.split("[:;]", first)[0].split()[:5]
            found.append(" ".join(words).rstrip(",."))
    return found


def unknown(sentences, page):
    """The sentences that no heading of the page quotes."""
    headings = re.findall(r"^### (.+)$", page, re.M)
    plain = [" ".join(re.sub(r"[`\"*]", "", line).split()) for line in headings]
    return [s for s in sentences if not any(s.replace("`", "") in h for h in plain)]


def test_install_has_a_heading_for_each_sentence_of_the_bootstrap():
    source = (ROOT / "tools" / "bootstrap.py").read_text(encoding="utf-8")
    sentences = failures(source)
    assert len(sentences) >= 4, sentences
    assert unknown(sentences, TROUBLE) == []
    assert unknown(["No Python found"], TROUBLE) == []
    assert "No Python found" in (ROOT / "Makefile").read_text(encoding="utf-8")


def repairs():
    """The names of the findings of the doctor that can ask for a repair."""
    path = ROOT / "ftlib" / "course" / "doctor.py"
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        refuses = called == "Finding" and getattr(node.args[1], "value", 0) is False
        if (refuses or called == "enough") and isinstance(node.args[0], ast.Constant):
            names.add(node.args[0].value)
    return sorted(names)


def test_install_has_a_heading_for_each_repair():
    assert len(repairs()) >= 9
    assert unknown([f"REPAIR {name}" for name in repairs()], TROUBLE) == []


def test_a_sentence_without_a_heading_is_noticed(counted):
    planted = 'stop("The moon is in the %s house: wait." % house)\nstop(f"PORT is {x}")'
    assert failures(planted) == ["The moon is in the"]
    said = "def explain(text):\n    'What.'\n    return 'The moon is full: wait'"
    assert failures(said) == ["The moon is full"]
    assert unknown(failures(planted), TROUBLE) == ["The moon is in the"]
    assert unknown(["REPAIR moon"], TROUBLE) == ["REPAIR moon"]
    counted("fault", 2)


def test_install_speaks_of_every_machine():
    headings = re.findall(r"^## (.+)$", INSTALL, re.M)
    assert {
        "Linux", "macOS", "Windows", "Colab", "uv", "conda", "GPUs", "Disk",
        "A mirror or a proxy", "Without a network", "Class rooms", "Removing",
    } <= set(headings)  # fmt: skip
    for name in ("PIP_INDEX_URL", "HF_ENDPOINT", "HTTPS_PROXY", "FTLIB_DEVICE"):
        assert name in INSTALL


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    pattern = r'^version = "([^"]+)"'
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(pattern, project, re.M)[1]
    assert re.findall(r"^## (\S+)", text, re.M)[0] == version
    assert str(written("CITATION.cff")["version"]) == version


@pytest.mark.parametrize("name", ["README", "INSTALL", "SECURITY", "CHANGELOG"])
def test_pages_name_no_machine(name):
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    assert not re.search(r"/(?:home|root|Users|work|opt|tmp)/|file://", text)
