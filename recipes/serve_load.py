"""Throughput and waiting time of the service of chapter 24 at 1, 8 and 64 clients, side
by side with services that answer one request at a time.

    python recipes/serve_load.py                 # 5 minutes, on a quiet machine
    python recipes/serve_load.py --seconds 1 --clients 8 --out runs/try.json

Closed loop: each client sends its next request when it has the answer to the last one.
The services are processes of their own on loopback; the clients share one process. In
ours a batch has one thread, in that of the articles PyTorch takes what it wants. Every
service answers the same sentences with the same network (reviews-bert-mini, 4 layers,
width 256; its head is random, which takes the same time).

- one at a time, torch: the service of the articles, an endpoint that calls the model
- one at a time, onnxruntime: ours, with batches of one request
- batched, onnxruntime, one worker: ours, one batch after the other
- batched, onnxruntime: ours, two batches at a time, a thread each
- batched, onnxruntime int8: the same with the weights in 8 bits (chapter 23)
- torch, our server: PyTorch in ours, so that file and server can be told apart

--memory sends 50,000 requests to the batched one and notes its memory. --kills 10 ends
it ten times by kill -9 while four clients ask, and measures when it is back.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from finetune import encoder_of
from grid import about, add, done, same_settings

from ftlib.course import sources
from ftlib.deploy import export, versions
from ftlib.objectives import classify

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("data/results/service.json")
CLIENTS = (1, 8, 64)
BATCHED = "batched, onnxruntime"
SERVICES = (
    "one at a time, torch",
    "one at a time, onnxruntime",
    "batched, onnxruntime, one worker",
    BATCHED,
    "batched, onnxruntime int8",
    "one at a time, torch, our server",
    "batched, torch, our server",
)

KILLED = ("a new process", "supervisor")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def classifier():
    """The network and its tokenizer; the same weights in every process."""
    torch.manual_seed(0)
    encoder, tokenizer = encoder_of("reviews-bert-mini")
    return classify.Classifier(encoder, classes=2).eval(), tokenizer


class TorchModel:
    """predict(texts) with the network as it was trained."""

    def __init__(self):
        self.model, self.tokenizer = classifier()
        self.tokenizer.enable_truncation(128)

    def predict(self, texts):
        rows = [code.ids for code in self.tokenizer.encode_batch(texts)]
        order = export.buckets([len(row) for row in rows])  # as the file computes them
        batches = classify.batches_of(rows, order=order)
        return classify.predict(self.model, batches).numpy()


def torch_model(folder):
    """For `python -m ftlib.deploy.serve FOLDER --load serve_load:torch_model`."""
    return TorchModel()


def article_app():
    """What articles deploy: no limits, no batches, one request after the other."""
    import fastapi
    import pydantic

    class Texts(pydantic.BaseModel):
        texts: list[str]

    app, model = fastapi.FastAPI(), TorchModel()

    @app.post("/predict")
    async def predict(body: Texts):
        odds = torch.tensor(model.predict(body.texts)).softmax(-1)
        return {"answers": odds.tolist()}

    @app.get("/ready")
    def ready():
        return {}

    return app


def start(service, folder, port, supervised=False):
    """The service's process, ready to answer."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if service == "one at a time, torch":
        del environment["OMP_NUM_THREADS"]  # articles leave that to PyTorch
        environment["PYTHONPATH"] += os.pathsep + str(ROOT / "recipes")
        command = ["uvicorn", "--factory", "serve_load:article_app", "--no-access-log"]
        command += ["--log-level", "error", "--port", str(port)]
    else:
        size = "1" if service.startswith("one") else "32"
        shelf = Path(folder, "int8" if service.endswith("int8") else "float32")
        command = ["ftlib.deploy.serve", str(shelf), "--port", str(port)]
        workers = "1" if size == "1" or "one worker" in service else "2"
        command += ["--batch-texts", size, "--workers", workers]
        if service.endswith("our server"):
            environment["PYTHONPATH"] += os.pathsep + str(ROOT / "recipes")
            command += ["--load", "serve_load:torch_model"]
    if supervised:
        command.insert(0, "ftlib.deploy.supervisor")
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL
    )
    if not wait_for(port):
        process.kill()
        raise SystemExit(f"{service} did not start")
    return process


def wait_for(port, was=None, process=None):
    """Whether somebody listens within a minute. was: the child that does not count."""
    for _ in range(3000):
        children = psutil.Process(process.pid).children() if process else []
        if was is None or was not in [child.pid for child in children]:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                pass
        time.sleep(0.02)
    return False


def requests_of(texts):
    """Bytes of requests, one sentence each."""
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return [f"{head}Content-Length: {len(b)}\r\n\r\n".encode() + b for b in bodies]


async def client(port, requests, times, statuses, until):
    """One client: asks until the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - began)
        statuses.append(int(head[9:12]))
        if time.perf_counter() > until:
            break
    writer.close()


async def load(port, clients, seconds, texts, at_most=100_000):
    """(seconds of each answer, statuses, duration)."""
    requests, times, statuses = requests_of(texts), [], []
    began = time.perf_counter()
    tasks = []
    for number in range(clients):
        # each client has an order of its own, the same in every run
        shift = number * len(requests) // clients
        own = (requests[shift:] + requests[:shift]) * (1 + at_most // len(requests))
        own = own[: at_most // clients]
        tasks.append(client(port, own, times, statuses, began + seconds))
    await asyncio.gather(*tasks)
    return times, statuses, time.perf_counter() - began


async def ask(reader, writer, text):
    """(status, answer) of one sentence over an open connection."""
    body = json.dumps({"texts": [text]}).encode()
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head[9:12]), json.loads(await reader.readexactly(length))


async def patient_client(port, texts, number, found, stop):
    """(when, seconds, text, version, confidence) of each answer; without a version: a
    request that failed.
    """
    line = None
    while not stop.is_set():
        text = texts[number % len(texts)]
        number, began = number + 1, time.perf_counter()
        version = confidence = None
        try:
            line = line or await asyncio.open_connection("127.0.0.1", port)
            status, answer = await ask(*line, text)
            if status == 200:
                version = answer["version"]
                confidence = answer["answers"][0]["confidence"]
        except (OSError, EOFError):
            line = None
            await asyncio.sleep(0.05)
        now = time.perf_counter()
        found.append((now, now - began, text, version, confidence))
    if line:
        line[1].close()


async def around(port, texts, update, clients=4, beside=2.0):
    """(answers of all clients, when update() began, when it ended). Before and after
    it they go on for `beside` seconds.
    """
    found, stop = [], asyncio.Event()
    numbers = [n * len(texts) // clients for n in range(clients)]
    tasks = [
        asyncio.create_task(patient_client(port, texts, n, found, stop))
        for n in numbers
    ]
    await asyncio.sleep(beside)
    began = time.perf_counter()
    await asyncio.to_thread(update)
    ended = time.perf_counter()
    await asyncio.sleep(beside)
    stop.set()
    await asyncio.gather(*tasks)
    return found, began, ended


async def all_of(port, texts):
    line = await asyncio.open_connection("127.0.0.1", port)
    found = {}
    for text in texts:
        _, answer = await ask(*line, text)
        found[answer["version"], text] = answer["answers"][0]["confidence"]
    line[1].close()
    return found


def load_cell(service, clients, folder, seconds, texts):
    port = free_port()
    process = start(service, folder, port)
    try:
        asyncio.run(load(port, clients, min(1.0, seconds), texts))  # warm
        times, statuses, took = asyncio.run(load(port, clients, seconds, texts))
    finally:
        process.terminate()
        process.wait()
    return summary(times, statuses, took)


def summary(times, statuses, took):
    """What the file holds of the answers of one run."""
    cut = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    return {
        "requests": len(times),
        "per second": round(len(times) / took, 1),
        "p50": round(1000 * cut[49], 2),
        "p99": round(1000 * cut[98], 2),
        "failed": sum(status != 200 for status in statuses),
    }


def memory_cell(folder, texts, n=50_000, every=10_000):
    """Resident megabytes of the service's process after so many requests."""
    port = free_port()
    process, seen = start(BATCHED, folder, port), {}
    resident = psutil.Process(process.pid)
    try:
        for so_far in range(0, n + 1, every):
            seen[so_far] = round(resident.memory_info().rss / 2**20, 1)
            if so_far < n:
                asyncio.run(load(port, 32, 3600, texts, at_most=every))
    finally:
        process.terminate()
        process.wait()
    return {"megabytes": {str(k): v for k, v in seen.items()}}


def kill_cell(folder, texts, supervised):
    """kill -9 while four clients ask. A new process takes the port, or, with the
    supervisor, its next child. Seconds from the kill to the first answer after it, and
    how many of them the new process computed: on a machine at rest the two are about
    the same.
    """
    port, killed, cpu = free_port(), [], []
    processes = [start(BATCHED, folder, port, supervised)]

    def restart():
        if supervised:
            (child,) = psutil.Process(processes[-1].pid).children()
            child.kill()
            killed.append(time.perf_counter())
            wait_for(port, was=child.pid, process=processes[-1])
            (child,) = psutil.Process(processes[-1].pid).children()
        else:
            processes[-1].kill()
            processes[-1].wait()
            killed.append(time.perf_counter())
            processes.append(start(BATCHED, folder, port))
            child = psutil.Process(processes[-1].pid)
        spent = child.cpu_times()
        cpu.append(spent.user + spent.system)

    try:
        wanted = asyncio.run(all_of(port, texts))
        found, _, _ = asyncio.run(around(port, texts, restart))
    finally:
        processes[-1].terminate()
        processes[-1].wait()
    answers = [row for row in found if row[3] is not None]
    wrong = [
        c for *_, text, version, c in answers if abs(wanted[version, text] - c) > 1e-5
    ]
    # asked after the kill: an answer before it may still have been on its way
    back = min(when for when, took, *_ in answers if when - took > killed[0])
    return {
        "restart": round(back - killed[0], 2),
        "cpu": round(cpu[0], 2),
        "requests": len(found),
        "failed": len(found) - len(answers),
        "wrong": len(wrong),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="*", default=list(CLIENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args()
    facts = about() | {"seconds": settings.seconds, "model": "reviews-bert-mini"}
    same_settings(settings.out, facts, ["seconds"])
    have = done(settings.out, "kind", "name", "clients", "seed")
    texts = sources.load("rotten_tomatoes")["validation"]["text"]
    with tempfile.TemporaryDirectory() as shelf:
        model, tokenizer = classifier()
        plain, small = (Path(shelf, name, "v1") for name in ("float32", "int8"))
        export.export(model, tokenizer, plain, ["bad", "good"], 128)
        export.quantize(plain, small)
        for folder in (plain, small):
            versions.activate(folder.parent, "v1")
        # repeats outermost: what disturbs the machine for a while disturbs all alike
        plan = [
            ("load", service, clients, seed)
            for seed in settings.seeds
            for clients in settings.clients
            for service in SERVICES
        ]
        if settings.memory:
            plan.append(("memory", BATCHED, 32, 0))
        for name in KILLED:
            plan += [("kill", name, 4, seed) for seed in range(settings.kills)]
        for key in plan:
            if key in have:
                continue
            cell = dict(zip(("kind", "name", "clients", "seed"), key))
            if key[0] == "memory":
                cell |= memory_cell(shelf, texts)
            elif key[0] == "kill":
                cell |= kill_cell(shelf, texts[:100], key[1] == KILLED[1])
            else:
                cell |= load_cell(*key[1:3], shelf, settings.seconds, texts)
            add(settings.out, cell, facts, order=["kind", "clients", "name", "seed"])
            print(cell)


if __name__ == "__main__":
    main()
