"""Dynamic batching: requests that wait while the model computes become its next batch.

Use it, with any predict(texts) -> (B, C):

    >>> def is_loud(texts):
    ...     return numpy.array(
    ...         [[0.0, 1.0] if t.isupper() else [1.0, 0.0] for t in texts]
    ...     )
    >>> async def three_clients():
    ...     batcher = Batcher(is_loud)
    ...     asked = [batcher.submit(texts) for texts in (["A"], ["b", "C"], ["d"])]
    ...     rows = await asyncio.gather(*asked)
    ...     await batcher.close()
    ...     return [r.argmax(1).tolist() for r in rows], list(batcher.sizes)
    >>> asyncio.run(three_clients())  # three requests, one call of the model
    ([[1], [0, 1], [0]], [4])

A model needs little more time for eight short texts than for one. Nobody waits for a
batch to fill: whatever has arrived when the model is free is the next batch, so one
client alone gets its answer as fast as without batching.

What it is not: a queue that survives a crash, or fair between clients. Needs: numpy.

Shapes: B texts of a batch, C classes.
"""

import asyncio
import collections
import concurrent.futures
import math
import time

import numpy


class Refused(Exception):
    """No answer of the model. status: the HTTP status that says why; retry_after:
    seconds, or None.
    """

    def __init__(self, status, error, retry_after=None):
        super().__init__(error)
        self.status, self.retry_after = status, retry_after


class Batcher:
    """First come, first served; each request gets the rows of its own texts.

    predict(texts) -> (B, C) runs in threads beside the event loop. batch_texts: how
    many texts it gets at once. queue_texts: how many may wait. seconds: the deadline.
    workers: how many batches are computed at a time, a thread each, where predict
    allows it (onnxruntime does, and a PyTorch model in eval mode).
    """

    def __init__(
        self,
        predict,
        batch_texts=32,
        queue_texts=256,
        seconds=5.0,
        executor=None,
        workers=1,
    ):
        if min(batch_texts, queue_texts, workers) < 1:
            raise ValueError(
                f"batch_texts is {batch_texts}, queue_texts {queue_texts}, workers "
                f"{workers}; each must be 1 or more"
            )
        self.predict, self.batch_texts = predict, batch_texts
        self.queue_texts, self.seconds = queue_texts, seconds
        self.workers = workers
        self.executor = executor or concurrent.futures.ThreadPoolExecutor(workers)
        self.owns_executor = executor is None
        self.waiting, self.queued = collections.deque(), 0  # (texts, future)
        self.sizes = collections.deque(maxlen=1000)  # of the last batches
        self.seconds_a_text = 0.01  # a running mean, for Retry-After
        self.task, self.closing = None, False
        self.arrived = asyncio.Event()  # something new waits

    async def submit(self, texts):
        """(len(texts), C). Raises Refused: 429 where too many wait, 504 after the
        deadline, 503 while the service ends.
        """
        if not texts:
            raise ValueError("there is no text to answer; give one or more")
        if self.closing:
            raise Refused(503, "the service ends", 1)
        if self.queued + len(texts) > self.queue_texts:
            raise Refused(
                429,
                f"{self.queued} texts wait, the limit is {self.queue_texts}; try again "
                "after the seconds in Retry-After",
                max(1, math.ceil(self.queued * self.seconds_a_text / self.workers)),
            )
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.waiting.append((texts, future))
        self.queued += len(texts)
        self.arrived.set()
        if self.task is None or self.task.done():
            self.task = loop.create_task(self._run())
        try:
            # a client that goes away cancels this, and with it the future
            return await asyncio.wait_for(future, self.seconds)
        except TimeoutError as error:
            raise Refused(504, f"no answer within {self.seconds} s", 1) from error

    async def _run(self):
        """Until nobody waits. A batch begins before the answers of the last one are
        given out, so that the model does not wait while they are written.
        """
        running = {}  # its future -> (jobs, when)
        self.arrived = asyncio.Event()  # an event belongs to one loop, this may be new
        while running or self.waiting:
            # requests that arrive in the same moment go together
            await asyncio.sleep(0)
            self._begin(running)
            if not running:
                continue
            # with a worker free, whatever arrives need not wait for a batch to end
            is_free = len(running) < self.workers
            new = [asyncio.ensure_future(self.arrived.wait())] if is_free else []
            await asyncio.wait([*running, *new], return_when=asyncio.FIRST_COMPLETED)
            for task in new:
                task.cancel()
            done = {work: running.pop(work) for work in [*running] if work.done()}
            if done:
                self._begin(running)
            for work, (jobs, started) in done.items():
                await self._give_out(jobs, work, time.perf_counter() - started)

    def _begin(self, running):
        """Give the model its next batches, as many as there are workers free."""
        self.arrived.clear()
        while self.waiting and len(running) < self.workers:
            if jobs := self._take():
                running[self._call(jobs)] = jobs, time.perf_counter()

    def _call(self, jobs):
        texts = [text for own, _ in jobs for text in own]
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self.executor, self._compute, texts)

    def _take(self):
        """The next batch: whole requests in their order, at most batch_texts."""
        jobs, size = [], 0
        while self.waiting:
            texts, future = self.waiting[0]
            if jobs and size + len(texts) > self.batch_texts:
                break
            self.waiting.popleft()
            self.queued -= len(texts)
            # the client has gone, or its deadline has passed: nobody wants the answer
            if not future.done():
                jobs.append((texts, future))
                size += len(texts)
        return jobs

    async def _give_out(self, jobs, work, seconds):
        if error := work.exception():
            if len(jobs) > 1:
                # one text must not spoil the answers of the others in its batch
                for job in jobs:
                    alone, started = self._call([job]), time.perf_counter()
                    await asyncio.wait([alone])
                    await self._give_out([job], alone, time.perf_counter() - started)
            elif not jobs[0][1].done():
                jobs[0][1].set_exception(error)
            return
        rows = work.result()
        self.seconds_a_text += 0.1 * (seconds / len(rows) - self.seconds_a_text)
        self.sizes.append(len(rows))
        start = 0
        for own, future in jobs:
            if not future.done():
                future.set_result(rows[start : start + len(own)])
            start += len(own)

    def _compute(self, texts):
        rows = numpy.asarray(self.predict(texts))
        if rows.ndim != 2 or len(rows) != len(texts) or not numpy.isfinite(rows).all():
            raise ValueError(
                f"predict gave shape {rows.shape} for {len(texts)} texts, or a number "
                "that is not finite; it must give a row of scores a text"
            )
        return rows

    async def close(self):
        """Take nothing more, finish what was taken."""
        self.closing = True
        if self.task:
            await self.task
        if self.owns_executor:
            self.executor.shutdown()
