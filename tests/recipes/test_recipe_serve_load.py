"""recipes/serve_load.py: what a client of it measures, and the stored file."""

import asyncio
import json

import serve_load as recipe


async def answering(reader, writer):
    """A service that answers every request after 10 ms, each fifth with 429."""
    n = 0
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            assert len(body["texts"]) == 1
            await asyncio.sleep(0.01)
            status, n = b"429 No" if n % 5 == 4 else b"200 OK", n + 1
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
    except asyncio.IncompleteReadError:
        writer.close()


def measured(clients, **settings):
    async def scene():
        server = await asyncio.start_server(answering, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await recipe.load(port, clients, texts=["a", "b"] * 20, **settings)
        server.close()
        return found

    return asyncio.run(scene())


def test_times_and_statuses_are_those_of_the_service():
    times, statuses, took = measured(4, seconds=0.3)
    assert len(times) == len(statuses) > 20 and min(times) >= 0.0095
    assert 0.15 < statuses.count(429) / len(statuses) < 0.25
    # closed loop: four clients, one request each at a time
    assert sum(times) <= 4 * took + 0.05


def test_at_most_so_many_requests():
    times, _, _ = measured(4, seconds=100, at_most=40)
    assert len(times) == 40


def test_the_stored_file_has_every_service_and_number_of_clients():
    path = recipe.ROOT / recipe.OUT
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    made = {(c["name"], c["clients"]) for c in cells if c["kind"] == "load"}
    services = {name for name, _ in made}
    assert set(recipe.SERVICES[:4]) <= services <= set(recipe.SERVICES)
    assert made == {(s, n) for s in services for n in recipe.CLIENTS}
    assert all(c["failed"] == 0 for c in cells if c["kind"] == "load")
    kills = [c for c in cells if c["kind"] == "kill"]
    assert len(kills) >= 5
    for cell in kills:
        assert cell["wrong"] == 0 and cell["failed"] > 0 and cell["requests"] > 50
