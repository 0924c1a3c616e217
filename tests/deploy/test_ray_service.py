"""ray_service.py: the same service on Ray Serve, on loopback with two replicas. Without
Ray (the extra `scale`) only what needs none is tested.
"""

import importlib.util
import json
import os
import pathlib
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
import tiny_model

from ftlib.deploy import ray_service, serve, versions

ROOT = pathlib.Path(__file__).resolve().parents[2]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed; pip install -e '.[scale]' (400 MB)",
)


def test_rows_go_back_to_their_requests():
    requests = [["a"], ["b", "c", "d"], [], ["e"]]
    assert ray_service.rows_by_request([1, 2, 3, 4, 5], requests) == [
        [1],
        [2, 3, 4],
        [],
        [5],
    ]
    assert ray_service.rows_by_request([], []) == []


def test_the_file_is_small_enough_to_copy():
    text = (ROOT / "ftlib/deploy/ray_service.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150


class Answering:
    """The service's address, and where its versions are."""

    def __init__(self, run, shelf, port):
        self.run, self.shelf, self.port = run, shelf, port

    def version(self, name, build=0):
        parts = {"load": "tiny_model:load"}
        self.run(ray_service.application(self.shelf, name, 2, build, parts))

    def ask(self, path, body=None):
        """(status, headers, parsed body)"""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.loads(error.read())

    def predict(self, *texts):
        return self.ask("/predict", {"texts": texts})


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    ray, monkeypatch = pytest.importorskip("ray"), pytest.MonkeyPatch()
    from ray import serve as ray_serve

    shelf = tmp_path_factory.mktemp("shelf")
    tiny_model.save(shelf / "v1", shift=0.0)
    tiny_model.save(shelf / "v2", shift=5.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(ROOT), str(pathlib.Path(__file__).parent)]
    # Ray's processes talk over the machine's own address, which tests/offline refuses
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
    )
    ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
    service = Answering(ray_serve.run, shelf, port)
    service.version("v1")
    yield service
    ray_serve.shutdown()
    ray.shutdown()
    monkeypatch.undo()


@pytest.fixture
def service(running):
    _, _, state = running.ask("/ready")
    if state["version"] != "v1":
        running.version("v1")
    return running


def right(text, version):
    return tiny_model.probability(text, {"v1": 0.0, "v2": 5.0}[version])


@needs_ray
def test_answers_are_those_of_serve(service):
    status, headers, answer = service.predict("a b", "c")
    assert status == 200 and answer["version"] == headers["x-model-version"] == "v1"
    for text, row in zip(("a b", "c"), answer["answers"]):
        assert abs(row["confidence"] - right(text, "v1")) < 1e-9


@needs_ray
@pytest.mark.parametrize(
    "body, status",
    [
        ({"texts": [7]}, 422),
        ({"texts": []}, 422),
        ({"texts": ["a"], "more": 1}, 422),
        ({"texts": ["word " * 21]}, 422),
        ({"texts": ["a"] * 33}, 422),
        (b'{"texts": ["' + b"x" * 70_000 + b'"]}', 413),
        (b'{"texts": ' + b"[" * 5000, 400),
        (b'{"texts": ["\xff"]}', 400),
    ],
)
def test_the_limits_are_those_of_serve(service, body, status):
    got, _, answer = service.ask("/predict", body)
    assert got == status and set(answer) == set(serve.Error.model_fields)
    assert service.predict("a")[0] == 200


@needs_ray
def test_a_text_that_breaks_the_model_breaks_its_own_answer(service):
    found = {}

    def one(text):
        found[text] = service.predict(text)

    texts = ["slow 0.3", "slow 0.31", *(f"t{i}" for i in range(20)), "poison"]
    threads = [threading.Thread(target=one, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status, _, answer = found.pop("poison")
    assert status == 500 and "secret" not in json.dumps(answer)
    for text, (status, _, answer) in found.items():
        assert status == 200
        assert abs(answer["answers"][0]["confidence"] - right(text, "v1")) < 1e-9


@needs_ray
@pytest.mark.parametrize("build", [0, 1], ids=["in place", "replaced"])
def test_a_new_version_under_load(service, build):
    """Nothing fails, every answer is the one of the version that it names, and in the
    end both replicas have the new one.
    """
    stop, answers = threading.Event(), []

    def client(number):
        i = 0
        while not stop.is_set():
            i += 1
            text = f"{number} {i}"
            try:
                status, _, answer = service.predict(text)
            except OSError as error:
                answers.append((text, error, None))
                continue
            answers.append((text, status, answer))

    threads = [threading.Thread(target=client, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        service.version("v2", build)
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [a for a in answers if a[1] != 200] == [] and len(answers) > 50
    for text, _, answer in answers:
        wanted = right(text, answer["version"])
        assert abs(answer["answers"][0]["confidence"] - wanted) < 1e-6
    assert {answer["version"] for *_, answer in answers} == {"v1", "v2"}
    assert {service.predict("a")[2]["version"] for _ in range(20)} == {"v2"}


@needs_ray
def test_a_damaged_version_changes_nothing(service):
    tiny_model.save(service.shelf / "v3", shift=1.0)
    (service.shelf / "v3" / "model.json").write_text('{"shift": 9}', encoding="utf-8")
    with pytest.raises(RuntimeError):
        service.version("v3")
    assert {service.predict("a")[2]["version"] for _ in range(20)} == {"v1"}
    assert versions.known(service.shelf)[:2] == ["v1", "v2"]
