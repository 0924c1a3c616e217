"""The service of serve.py on Ray Serve: copies on many machines, batches, and a new
version while requests come in.

    export RAY_USAGE_STATS_ENABLED=0   # or Ray reports to its makers
    ray start --head --include-dashboard=false  # others: ray start --address=HEAD:6379
    python -m ftlib.deploy.ray_service SHELF --version v1 --replicas 4
    python -m ftlib.deploy.ray_service SHELF --version v2    # the update
    python -m ftlib.deploy.ray_service SHELF --version v1    # and the way back

SHELF holds a folder for each version, as export.py writes them, and every machine
must see it. Each replica loads the new version beside the old one and changes over
between two batches. A version with other labels, or --restart, replaces the replicas,
one after another, each after its last answer.

    >>> split_rows(
    ...     ["a1", "a2", "b1"], [["a", "aa"], ["b"]]
    ... )  # rows back to their requests
    [['a1', 'a2'], ['b1']]

The HTTP side is create_app of serve.py with its limits, so both give the same answers.
Each replica counts for itself: /metrics shows one of them, Ray's own metrics show all.
What it is not: a canary (versions.py), or safe to leave open: whoever reaches Ray's
ports can run code. Needs: ray[serve] 2.60, and what serve.py and export.py need.
"""

import argparse
import asyncio
import importlib
import json
from pathlib import Path

BATCH, WAITING, SECONDS = 32, 256, 10  # texts, requests in the queue, time to answer


def named(name):
    """The thing that "module:thing" names, as uvicorn does it."""
    module, _, thing = name.partition(":")
    return getattr(importlib.import_module(module), thing)


def split_rows(rows, requests):
    """The rows of a batch, as one list for each request."""
    ends = [0]
    for texts in requests:
        ends.append(ends[-1] + len(texts))
    return [rows[start:end] for start, end in zip(ends, ends[1:])]


def application(shelf, version, replicas=2, build=0, parts=None):
    """What `ray.serve.run` runs. A new `version` is loaded by the replicas that run,
    another `build` replaces them. parts: {"load" | "count" | "create_app" | "limits":
    "module:thing"} for files that lie elsewhere.
    """
    from ray import serve  # here: whoever only imports this file needs no Ray

    folder = "ftlib.deploy"
    names = {"load": f"{folder}.export:load", "count": f"{folder}.export:token_counter"}
    names |= {"limits": f"{folder}.serve:Limits"}
    names |= {"create_app": f"{folder}.serve:create_app", **(parts or {})}
    shelf = Path(shelf).resolve()
    facts = json.loads((shelf / version / "config.json").read_text(encoding="utf-8"))

    @serve.deployment(
        name="classifier",
        num_replicas=replicas,
        user_config={"version": version},
        max_ongoing_requests=2 * BATCH,
        max_queued_requests=WAITING,  # what is more gets 503 at once
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 1},
    )
    @serve.ingress()
    class Classifier:
        candidate = None

        def __init__(self, labels, max_tokens, build):
            self.labels, self.max_tokens = labels, max_tokens
            self.current = None, None, None  # version, predict, count: always together

        def __serve_build_asgi_app__(self):
            limits = named(names["limits"])(tokens=self.max_tokens, texts=BATCH)
            count = lambda text: self.current[2](text)
            return named(names["create_app"])(self, self.labels, limits, count)

        async def reconfigure(self, config):
            """Ray calls it at the start, and again with another version."""
            folder = shelf / config["version"]
            # in a thread: the old version goes on answering
            model = await asyncio.to_thread(named(names["load"]), folder)
            count = await asyncio.to_thread(named(names["count"]), folder)
            self.current = config["version"], model.predict, count

        async def compute(self, requests):
            version, predict, _ = self.current
            texts = [text for own in requests for text in own]
            try:
                rows = await asyncio.to_thread(predict, texts)
            except Exception as error:
                if len(requests) == 1:
                    return [(version, error)]
                # one text must not spoil the answers of the others
                return [(await self.compute([own]))[0] for own in requests]
            return [(version, own) for own in split_rows(rows, requests)]

        @serve.batch(
            max_batch_size=BATCH,
            batch_wait_timeout_s=0,  # nobody waits for a batch to fill
            batch_size_fn=lambda requests: sum(len(texts) for texts in requests),
        )
        async def in_batches(self, requests):
            return await self.compute(requests)

        async def answer(self, texts, request_id):
            version, rows = await self.in_batches(texts)
            if isinstance(rows, Exception):
                raise rows
            return version, rows

        version = property(lambda self: self.current[0])
        ready = property(lambda self: self.current[0] is not None)

        def feedback(self, request_id, is_correct):
            raise KeyError(request_id)  # the replicas do not know each other's answers

        async def begin(self):
            pass  # Ray calls reconfigure

        async def close(self):
            pass  # Ray waits for the last answers

    return Classifier.bind(facts["labels"], facts["max_tokens"], build)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shelf", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--restart", type=int, default=0, help="another number: anew")
    args = parser.parse_args(arguments)
    import ray
    from ray import serve

    ray.init(address="auto", log_to_driver=False)
    http = {"host": args.host, "port": args.port, "request_timeout_s": SECONDS}
    serve.start(http_options=http)  # has no effect where it runs already
    app = application(args.shelf, args.version, args.replicas, args.restart)
    serve.run(app)  # returns when every replica answers with this version
    print(f"{args.version} answers at http://{args.host}:{args.port}/predict")


if __name__ == "__main__":
    main()
