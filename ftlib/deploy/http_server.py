"""uvicorn with limits on slow and on many clients, an end that finishes what it took,
and one JSON object a log line.

Use it, with any ASGI app:

    >>> async def app(scope, receive, send):
    ...     if scope["type"] == "http":
    ...         await send(
    ...             {"type": "http.response.start", "status": 204, "headers": []}
    ...         )
    ...         await send({"type": "http.response.body", "body": b""})
    >>> import urllib.request
    >>> with Background(app) as url:
    ...     urllib.request.urlopen(url).status
    204

`serve(app, service, host, port)` runs it in the foreground until SIGTERM.

What it is not: a server of its own. uvicorn and h11 read and write HTTP; this file adds
what they leave open: a client that sends its head one byte a minute, and a connection
more than there is room for. Needs: uvicorn.
"""

import functools
import json
import logging
import sys
import threading
import time
import traceback

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


class JsonLines(logging.Formatter):
    """One JSON object a line. No text of a client is in it."""

    def format(self, record):
        facts = {"level": record.levelname, "event": record.getMessage()}
        facts |= {"time": round(record.created, 3), **getattr(record, "facts", {})}
        if record.exc_info:
            kind, _, frames = record.exc_info
            # where and what kind: a message may quote the text of a client
            facts["trace"] = "".join(traceback.format_tb(frames)) + kind.__name__
        return json.dumps(facts)


class Guard(H11Protocol):
    """A connection that sends no whole request in time is closed, and so is one too
    many.
    """

    connection_limit, head_seconds, slow = 1000, 5.0, None

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > self.connection_limit:
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            transport.close()
        else:
            self._watch()

    def _watch(self):
        if self.slow is None:
            self.slow = self.loop.call_later(self.head_seconds, self.transport.close)

    def data_received(self, data):
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._watch()  # half a head; its time runs
        else:
            self._unwatch()

    def _unwatch(self):
        if self.slow is not None:
            self.slow.cancel()
            self.slow = None

    def connection_lost(self, exc):
        self._unwatch()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """uvicorn that says "not ready" for `drain` seconds before it takes nothing more:
    so long a load balancer may need to notice.
    """

    def __init__(
        self,
        app,
        service,
        host="127.0.0.1",
        port=0,
        drain=0,
        connections=1000,
        head_seconds=5.0,
    ):
        limits = {"connection_limit": connections, "head_seconds": head_seconds}
        guard = type("LimitedGuard", (Guard,), limits)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=guard,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=16 * 1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=30,
        )
        super().__init__(config)
        self.service, self.drain = service, drain

    def handle_exit(self, sig, frame):
        if self.service is None or self.service.draining:  # asked twice
            super().handle_exit(sig, frame)
            return
        self.service.draining = True
        end = functools.partial(super().handle_exit, sig, frame)
        threading.Timer(self.drain, end).start()

    @property
    def url(self):
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"


class Background:
    """A service in a thread of this process, for notebooks and tests.

    with Background(app, service) as url: ...   # or .stop()
    """

    def __init__(self, app, service=None, **settings):
        self.server = Server(app, service, **settings)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            if not self.thread.is_alive():
                raise RuntimeError("the service did not start; its log says why")
            time.sleep(0.01)
        self.url = self.server.url

    def stop(self):
        """Finish what was taken, then end."""
        self.server.should_exit = True
        self.thread.join()

    def __enter__(self):
        return self.url

    def __exit__(self, *error):
        self.stop()


def serve(app, service, host="127.0.0.1", port=8000, **settings):
    """Serve until SIGTERM or control-C, with JSON lines on standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    Server(app, service, host, port, **settings).run()
