"""When memory runs out: the same run again with half the micro-batch and the same step.

Use it:

    >>> # builds everything anew; a real one resumes from its checkpoint
    >>> def run(size, accumulate):
    ...     if size > 4:
    ...         raise MemoryError("too many rows")
    ...     return f"{accumulate} micro-batches of {size} rows"
    >>> with warnings.catch_warnings(record=True) as said:
    ...     retry_on_oom(run, 16)
    '4 micro-batches of 4 rows'

Inside `run`, read the rows of a whole step and cut them (`split_micro_batches` in
train.py): `for batch in whole_steps: yield from split_micro_batches(batch,
accumulate)`. The position in the data is then the number of the step, so that a
checkpoint written with large micro-batches is continued exactly with small ones.

What it is not: a way to fit a model whose weights alone are too large; nor for several
processes, where one cannot go back while the others wait for it. There the error ends
the run, and you start it with smaller micro-batches. Needs: torch only.

Words: a *micro-batch* is one forward and backward; a *step* is one optimizer step over
`accumulate` micro-batches.
"""

import gc
import warnings

import torch
import torch.distributed as dist

# how CUDA, cuBLAS, MPS, and the processor's allocators on Linux and Windows say it;
# some only as a plain RuntimeError
WORDS = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
)


def out_of_memory(error):
    """Whether `error` says that an allocation failed; a wrong shape or a missing file
    does not.
    """
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and any(word in str(error).lower() for word in WORDS)
    )


def retry_on_oom(run, size, accumulate=1):
    """Return run(size, accumulate); when memory runs out, try again with half the
    micro-batch and twice as many of them.

    run: builds model, optimizer and batches anew each time and takes up the newest
        checkpoint, because a failed attempt may
        have stopped in the middle of a step. The rows of a step, size x accumulate,
        stay what they were, and with them its loss, its gradient and the schedule.
    size: rows of a micro-batch at first. An odd number cannot be halved.
    Warns at each attempt. Raises the error of the last attempt if even its micro-batch
    is too large, if the error speaks of
        something else than memory, or if this is one of several processes.
    """
    while True:
        try:
            return run(size, accumulate)
        except (RuntimeError, MemoryError) as error:
            alone = not dist.is_initialized() or dist.get_world_size() == 1
            if not alone or size % 2 or not out_of_memory(error):
                raise
        # Out here the error is gone, and with it its traceback, which held every tensor
        # of the failed attempt
        size, accumulate = size // 2, 2 * accumulate
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what is left over is in pieces of the old sizes
        message = (
            f"out of memory with micro-batches of {2 * size} rows; again with "
            f"{accumulate} of {size} rows a step"
        )
        warnings.warn(message, stacklevel=2)
