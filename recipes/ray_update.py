"""A new version on Ray Serve while requests come in: how many fail, how long the
longest wait is, and whether the answers are those of serve.py. For chapter 24.

    pip install -e ".[scale]"                    # Ray, 400 MB
    python recipes/ray_update.py                 # 4 minutes, of them 2 for --part load
    python recipes/ray_update.py --part update   # the updates alone: any machine
    python recipes/ray_update.py --part load     # throughput, on a machine at rest

Ray has two cores of one machine, and HTTP on loopback. Eight clients send one sentence
at a time, each the next one when it has its answer. After two seconds the version
changes. Once the replicas load the new one beside the old ("in place"), once they are
replaced one after another ("replaced"). Every answer names its version, and is compared
with what serve.py answers for the same sentence and version.

The network is that of serve_load.py (reviews-bert-mini; its head is random, and another
one in version 2).
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from grid import about, add, done, same_settings
from serve_load import all_of, around, classifier, free_port, load, summary

from ftlib.course import sources
from ftlib.deploy import export, ray_service, versions

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("data/results/ray.json")
WAYS = ("in place", "replaced")
SERVICES = ("serve.py", "Ray, 1 replica", "Ray, 2 replicas")
CLIENTS, SENTENCES = 8, 100


def write_versions(shelf):
    """v1 and v2: the same encoder, two heads."""
    model, tokenizer = classifier()
    for number, name in enumerate(("v1", "v2")):
        torch.manual_seed(number)
        torch.nn.init.normal_(model.head.weight, std=0.5)
        export.export(model, tokenizer, shelf / name, ["bad", "good"], 128)


def update_facts(found, began, ended, wanted):
    """What the file holds of an update. wanted: {(version, text): confidence}."""
    answers = [row for row in found if row[3] is not None]
    apart = [abs(wanted[version, text] - c) for _, _, text, version, c in answers]
    during = [seconds for when, seconds, *_ in answers if began < when <= ended]
    before = [seconds for when, seconds, *_ in answers if when <= began]
    names = [row[3] for row in answers]
    return {
        "requests": len(found),
        "failed": len(found) - len(answers),
        "by version": {name: names.count(name) for name in sorted(set(names))},
        "difference": float(f"{max(apart):.1e}"),
        "seconds": round(ended - began, 1),
        "longest before": round(1000 * max(before)),
        "longest during": round(1000 * max(during)),
    }


def answers_of_serve(shelf, texts):
    """{(version, text): confidence} from serve.py, as a process of its own."""
    found = {}
    for name in versions.known(shelf):
        versions.activate(shelf, name)
        port = free_port()
        with of_serve(shelf, port):
            found |= asyncio.run(all_of(port, texts))
    return found


class of_serve:
    """serve.py on a port, until the block ends."""

    def __init__(self, shelf, port):
        command = [sys.executable, "-m", "ftlib.deploy.serve", str(shelf)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command += ["--port", str(port)]
        self.port = port
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL
        )

    def __enter__(self):
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise SystemExit("serve.py did not start")

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()


def start_ray(port, cores=2):
    """Ray on this machine, and its HTTP server on loopback."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    import ray
    from ray import serve

    ray.init(
        address="local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 30},
        logging_config={"log_level": "ERROR"},
    )
    return serve, ray.__version__


def run_version(serve, shelf, version, replicas=2, build=0):
    serve.run(ray_service.application(shelf, version, replicas, build))


def update_cells(serve, port, shelf, texts, settings, facts):
    wanted = answers_of_serve(shelf, texts)
    have = done(settings.out, "kind", "name", "seed")
    for seed in settings.seeds:
        for build, name in enumerate(WAYS):
            if ("update", name, seed) in have:
                continue
            run_version(serve, shelf, "v1", build=2 * seed)
            update = lambda n=2 * seed + build: run_version(serve, shelf, "v2", build=n)
            found, began, ended = asyncio.run(around(port, texts, update, CLIENTS))
            cell = {"kind": "update", "name": name, "clients": CLIENTS, "seed": seed}
            cell |= update_facts(found, began, ended, wanted)
            add(settings.out, cell, facts, order=["kind", "name", "clients", "seed"])
            print(cell, flush=True)


def load_cells(serve, port, shelf, texts, settings, facts):
    have = done(settings.out, "kind", "name", "clients", "seed")
    for seed in settings.seeds:
        for name in SERVICES:
            todo = [n for n in (1, 8, 64) if ("load", name, n, seed) not in have]
            if not todo:
                continue
            if name == "serve.py":
                serve.delete("default")
                own = free_port()
                with of_serve(shelf, own):
                    made = [(n, measured(own, n, settings, texts)) for n in todo]
            else:
                run_version(serve, shelf, "v1", int(name[5]))
                made = [(n, measured(port, n, settings, texts)) for n in todo]
            for clients, cell in made:
                key = {"kind": "load", "name": name, "clients": clients, "seed": seed}
                order = ["kind", "name", "clients", "seed"]
                add(settings.out, key | cell, facts, order=order)
                print(key | cell, flush=True)


def measured(port, clients, settings, texts):
    asyncio.run(load(port, clients, min(1.0, settings.seconds), texts))  # warm
    return summary(*asyncio.run(load(port, clients, settings.seconds, texts)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("update", "load", "both"), default="both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args()
    facts = about() | {"seconds": settings.seconds, "model": "reviews-bert-mini"}
    texts = sources.load("rotten_tomatoes")["validation"]["text"][:SENTENCES]
    port = free_port()
    with tempfile.TemporaryDirectory() as shelf:
        shelf = Path(shelf)
        write_versions(shelf)
        versions.activate(shelf, "v1")
        serve, facts["ray"] = start_ray(port)
        same_settings(settings.out, facts, ["seconds"])
        if settings.part != "load":
            update_cells(serve, port, shelf, texts, settings, facts)
        if settings.part != "update":
            versions.activate(shelf, "v1")
            load_cells(serve, port, shelf, texts, settings, facts)
        serve.shutdown()


if __name__ == "__main__":
    main()
