"""The service of serve.py on Ray Serve: replicas, batches, a new version under load.

    ray start --head --disable-usage-stats  # others: ray start --address=HEAD:6379
    python -m ftlib.deploy.ray_service SHELF --version v1 --replicas 4
    python -m ftlib.deploy.ray_service SHELF --version v2 --replicas 4  # the update

SHELF holds a folder for each version, as export.py writes them; every machine must see
it. A replica loads the new version beside the old one. A version with other labels, or
another --restart, replaces the replicas one by one, each after its last answer.

    >>> rows_by_request("abc", requests=[["one", "two"], ["three"]])
    [['a', 'b'], ['c']]

The HTTP side is create_app of serve.py with its limits, so both give the same answers.
Each replica counts for itself: /metrics shows one of them, Ray's own metrics show all.
What it is not: a canary (versions.py), or safe to leave open: whoever reaches Ray's
ports can run code. Needs: ray[serve] 2.60, and what serve.py and export.py need.
"""

import argparse
import asyncio
import importlib
import itertools
import json
from pathlib import Path

BATCH, WAITING, SECONDS = 32, 256, 10  # texts, requests in the queue, time to answer
PARTS = {  # for files that lie elsewhere
    "load": "ftlib.deploy.export:load",
    "count": "ftlib.deploy.export:token_counter",
    "limits": "ftlib.deploy.serve:Limits",
    "create_app": "ftlib.deploy.serve:create_app",
}


def named(name):
    """The thing that "module:thing" names, as uvicorn does it."""
    module, _, thing = name.partition(":")
    return getattr(importlib.import_module(module), thing)


def rows_by_request(rows, requests):
    """The rows of a batch, as one list for each request."""
    rows = iter(rows)
    return [list(itertools.islice(rows, len(texts))) for texts in requests]


def _replica(serve, shelf, parts):
    """The class that Ray runs in each replica."""

    @serve.ingress()
    class Classifier:
        def __init__(self, labels, max_tokens, build):
            self.labels, self.max_tokens = labels, max_tokens
            self.current = None, None, None  # version, predict, count: always together

        def __serve_build_asgi_app__(self):
            limits = named(parts["limits"])(tokens=self.max_tokens, texts=BATCH)
            count = lambda text: self.current[2](text)
            return named(parts["create_app"])(self, self.labels, limits, count)

        async def reconfigure(self, config):
            """Ray calls it at the start, and again with another version."""
            folder = shelf / config["version"]  # in threads: the old one goes on
            model = await asyncio.to_thread(named(parts["load"]), folder)
            count = await asyncio.to_thread(named(parts["count"]), folder)
            self.current = config["version"], model.predict, count

        async def compute(self, requests):
            version, predict, _ = self.current
            try:
                rows = await asyncio.to_thread(predict, sum(requests, []))
            except Exception as error:
                if len(requests) == 1:
                    return [(version, error)]
                # one text must not spoil the answers of the others
                return [(await self.compute([own]))[0] for own in requests]
            return [(version, own) for own in rows_by_request(rows, requests)]

        @serve.batch(
            max_batch_size=BATCH,
            batch_wait_timeout_s=0,  # nobody waits for a batch to fill
            batch_size_fn=lambda requests: sum(map(len, requests)),
        )
        async def in_batches(self, requests):
            return await self.compute(requests)

        async def answer(self, texts, request_id):
            version, rows = await self.in_batches(texts)
            if isinstance(rows, Exception):
                raise rows
            return version, rows

        candidate, version = None, property(lambda self: self.current[0])
        ready = property(lambda self: self.version is not None)

        def feedback(self, request_id, is_correct):
            raise KeyError(request_id)  # the replicas do not know each other's answers

        async def begin(self):
            pass  # Ray calls reconfigure, and in the end waits for the last answers

        close = begin

    return Classifier


def application(shelf, version, replicas=2, build=0, parts=None):
    """What `ray.serve.run` runs. A new `version` is loaded by the replicas that run,
    another `build` replaces them. parts: some of PARTS, otherwise.
    """
    from ray import serve  # here: whoever only imports this file needs no Ray

    shelf = Path(shelf).resolve()
    facts = json.loads((shelf / version / "config.json").read_text(encoding="utf-8"))
    deployment = serve.deployment(
        name="classifier",
        num_replicas=replicas,
        user_config={"version": version},
        max_ongoing_requests=2 * BATCH,
        max_queued_requests=WAITING,  # what is more gets 503 at once
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 1},
    )
    classifier = deployment(_replica(serve, shelf, PARTS | (parts or {})))
    return classifier.bind(facts["labels"], facts["max_tokens"], build)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shelf", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    for name, default in (("--replicas", 2), ("--port", 8000), ("--restart", 0)):
        parser.add_argument(name, type=int, default=default)
    args = parser.parse_args(arguments)
    import ray
    from ray import serve

    ray.init(address="auto", log_to_driver=False)
    http = {"host": args.host, "port": args.port, "request_timeout_s": SECONDS}
    serve.start(http_options=http)
    # returns when every replica answers with this version
    serve.run(application(args.shelf, args.version, args.replicas, args.restart))
    print(f"{args.version} answers at http://{args.host}:{args.port}/predict")


if __name__ == "__main__":
    main()
