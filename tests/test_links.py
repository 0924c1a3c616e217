"""tools/check_links.py finds what is broken, and this repository has none of it."""

import http.server
import json
import threading

import check_links
import pytest


def test_every_link_of_the_course_leads_somewhere():
    counts, faults = check_links.check()
    assert faults == []
    # a checker that reads nothing finds nothing
    assert counts["pages"] >= 25 and counts["relative"] >= 150, counts
    assert counts["external"] >= 30, counts


@pytest.fixture
def site(tmp_path):
    """A small repository without a fault: two documents, a notebook, an address."""
    (tmp_path / "docs").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "README.md").write_text(
        "[somebody else's](gone.md)", encoding="utf-8"
    )
    (tmp_path / "picture.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.urls]\n'
        'Repository = "https://github.com/ada/course"\n',
        encoding="utf-8",
    )
    (tmp_path / "README.md").write_text(
        "# Course\n\n[text](docs/more.md#two-words--code), "
        "[![badge](picture.svg)](docs/more.md)\n"
        "[same](#course) [own](https://github.com/ada/course/blob/main/docs/more.md) "
        "[mail](mailto:ada@example.org)\n[named][more]\n\n[more]: docs/more.md\n\n"
        "`[code](gone.md)` and $p[t](x)$ <!-- [comment](gone.md) -->\n\n"
        "```text\n[code](gone.md)\n# no heading\n```\n"
        '<img src="picture.svg" alt="">\n',
        encoding="utf-8",
    )
    (tmp_path / "docs" / "more.md").write_text(
        '# Two words: & `code`\n\n## Again\n\n## Again\n\n<a id="here"></a>\n'
        "[up](../README.md) [second](#again-1) [placed](#here)\n",
        encoding="utf-8",
    )
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "[up](README.md)"]},
        {"cell_type": "code", "source": "'[code](gone.md)'"},
    ]
    (tmp_path / "book.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return tmp_path


def test_a_repository_without_faults(site):
    counts, faults = check_links.check(site)
    assert faults == []
    assert counts == {"pages": 3, "relative": 11, "external": 0}


PLANTED = {
    "README.md": [
        ("docs/more.md#two", "docs/gone.md#two", "docs/gone.md"),
        ("#two-words--code", "#two-words", "no heading with that anchor"),
        ("(#course)", "(#cours)", "no heading with that anchor"),
        (
            "](picture.svg)](docs",
            "](pictures.svg)](docs",
            "pictures.svg does not exist",
        ),
        ("](picture.svg)](docs/more.md)", "](picture.svg)](docs/m.md)", "docs/m.md"),
        ("main/docs/more.md", "main/docs/none.md", "docs/none.md does not exist"),
        ("[more]: docs/more.md", "[more]: docs/less.md", "docs/less.md"),
        ("[more]: docs/more.md", "", "[more] has no line"),
        ('src="picture.svg"', 'src="Picture.svg"', "Picture.svg does not exist"),
        ("(docs/more.md#two", "(/docs/more.md#two", "begins at the root"),
        ("(docs/more.md#two", "(../docs/more.md#two", "leads out of the repository"),
        ("`[code](gone.md)`", "[code](gone.md)", "README.md:9: gone.md does not exist"),
    ],
    "docs/more.md": [
        ("../README.md", "README.md", "README.md does not exist"),
        ("#again-1", "#again-2", "no heading with that anchor"),
        ("(#here)", "(#there)", "no heading with that anchor"),
    ],
    "book.ipynb": [
        ("(README.md)", "(READ.md)", "book.ipynb:2: READ.md does not exist")
    ],
}


@pytest.mark.parametrize(
    "page, old, new, words",
    [(page, *fault) for page, faults in PLANTED.items() for fault in faults],
)
def test_a_planted_fault_is_found(page, old, new, words, site, counted, capsys):
    path = site / page
    good = path.read_text(encoding="utf-8")
    assert old in good
    path.write_text(good.replace(old, new, 1), encoding="utf-8")
    assert check_links.main(["--root", str(site)]) == 1
    said = capsys.readouterr().out
    assert words in said and "1 faults" in said, said
    counted("fault")


@pytest.fixture
def server():
    """A server on this machine that knows /good and, to GET only, /get."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(["/good"])

        def do_GET(self):
            self.answer(["/good", "/get"])

        def answer(self, known):
            self.send_response(200 if self.path in known else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_external_links_are_asked_only_online(site, server, counted):
    (site / "more.md").write_text(
        f"[a]({server}/good#part) [b]({server}/get) <{server}/gone>\n"
        "[own](https://github.com/ada/course/issues)\n",
        encoding="utf-8",
    )
    counts, faults = check_links.check(site)
    assert counts["external"] == 4 and faults == []
    counts, faults = check_links.check(site, online=True)
    assert faults == [f"more.md:1: {server}/gone: status 404"]
    counted("fault")
