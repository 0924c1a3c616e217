"""What every exercise checker shares: a verdict in one line, and a decorator that turns
a reader's mistakes into hints.

A checker is a function `check_NAME(answer)` that tries the reader's function on inputs
it makes itself and returns a `Verdict`:

>>> from ftlib.course.checks import exercise, expect, correct
>>> @exercise
... def check_double(answer):
...     expect(
...         answer(2) == 4,
...         "2 should become 4; did you square it and check with another number?",
...     )
...     expect(answer(-3) == -6, "-3 should become -6; keep the sign")
...     return correct("every number is doubled")
>>> check_double(lambda x: x + x)
correct: every number is doubled
>>> check_double(lambda x: abs(x) * 2)
hint: -3 should become -6; keep the sign
>>> check_double(lambda x: None)
not yet: your function returns None; fill it in and run the cell again

What the decorator does: an answer that returns `None` or `...` on its first call is
"not yet"; an exception in the answer becomes a hint with the exception and the line; a
result the checker cannot read becomes a hint with its type; every check
starts with the same random numbers, so an answer gets the same verdict twice; the
random state of the notebook is the same after the check as before it, so a solved
exercise never changes the cells that follow.

What it is not: a sandbox. It runs the reader's own code in the reader's own kernel, and
an endless loop stays endless.

Needs: the standard library only. The topic files beside it (`masked_lm.py`, ...) may
import ftlib.
"""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import linecache
import random
import sys

STATUSES = ("correct", "hint", "not yet")
SEED = 0  # of the random numbers that an answer draws without a seed of its own


@dataclasses.dataclass(frozen=True, repr=False)
class Verdict:
    """The result of a check: `status` is "correct", "hint" or "not yet"; true only if
    correct; one line of text.
    """

    status: str
    message: str

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(
                f"status is {self.status!r}, it must be one of {', '.join(STATUSES)}"
            )

    def __repr__(self):
        # one line whatever the message holds (a tensor prints over many), so that it
        # can be compared and read aloud
        return " ".join(f"{self.status}: {self.message}".split())

    def __bool__(self):
        return self.status == "correct"


def correct(message):
    """Verdict for a correct answer."""
    return Verdict("correct", message)


def hint(message):
    """Verdict for an answer that needs a change; the message names the
    misunderstanding.
    """
    return Verdict("hint", message)


def not_yet(message="your function returns None; fill it in and run the cell again"):
    """Verdict for an exercise that is not filled in yet."""
    return Verdict("not yet", message)


class _Stop(BaseException):
    """Ends a check early with a verdict; only `exercise` catches it. No Exception, so
    that an answer's own `except Exception` does not.
    """

    def __init__(self, verdict):
        super().__init__(str(verdict))
        self.verdict = verdict


def expect(condition, message):
    """End the check with the hint `message` unless `condition` is true."""
    if not condition:
        raise _Stop(hint(message))


@contextlib.contextmanager
def forbid(*paths, instead):
    """In the block, a call of one of these functions ends the check with a hint.

    paths: full names, `"torch.nn.functional.cross_entropy"`.
    instead: what the task asks for, the end of the sentence.
    """
    replaced = []
    for path in paths:
        home, name = path.rsplit(".", 1)
        home = _resolve(home)
        replaced.append((home, name, getattr(home, name)))

        def refuse(*args, name=name, **kwargs):
            raise _Stop(hint(f"your function calls {name}; {instead}"))

        setattr(home, name, refuse)
    try:
        yield
    finally:
        for home, name, function in replaced:
            setattr(home, name, function)


def _resolve(path):
    """The module or class that a full name stands for."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        home, name = path.rsplit(".", 1)
        return getattr(_resolve(home), name)


def exercise(check=None, *, changes=()):
    """Decorate `check(answer) -> Verdict`, so that blanks, exceptions, unreadable
    results and changed arguments become verdicts too.

    changes: the parameters of the answer that it is meant to change in place.
    """
    if check is None:
        return functools.partial(exercise, changes=changes)

    @functools.wraps(check)
    def checked(answer):
        if answer is None or answer is ...:
            return not_yet(
                "there is no answer here yet; fill it in and run the cell again"
            )
        before = _random_state()
        _seed(SEED)
        try:
            verdict = check(_guard(answer, changes) if callable(answer) else answer)
        except _Stop as stop:
            verdict = stop.verdict
        except Exception as error:
            # the checker failed on what the answer gave it, for example on a list where
            # a tensor was expected
            verdict = hint(
                "the check could not use the result of your answer "
                f"({type(error).__name__}: {error}); compare its type and shape with "
                "the task"
            )
        finally:
            _restore(before)
        if not isinstance(verdict, Verdict):
            raise TypeError(
                f"{check.__name__} returned {type(verdict).__name__}; a "
                "check returns a Verdict"
            )
        return verdict

    return checked


def _guard(answer, changes=()):
    """The reader's function, with its exceptions, blanks and changed arguments turned
    into verdicts.
    """
    calls = []

    @functools.wraps(answer, updated=())
    def guarded(*args, **kwargs):
        given = _named(answer, args, kwargs)
        before = {k: _copied(v) for k, v in given.items() if k not in changes}
        try:
            result = answer(*args, **kwargs)
        except _Stop:  # of `forbid`, or of an `expect` in a function that was passed in
            raise
        except (Exception, SystemExit) as error:
            raise _Stop(hint(_describe(error, answer))) from error
        finally:
            # put back what was changed: the next try is checked with the same inputs
            changed = [name for name in before if not _same(given[name], before[name])]
            for name in changed:
                _put_back(given[name], before[name])
        if result is None or result is ...:
            # None on the first call is a blank; None later means that some input falls
            # through without a `return`
            raise _Stop(
                hint(
                    "your function returns None for some inputs; every path needs a "
                    "return"
                )
                if calls
                else not_yet()
            )
        for name in changed:
            raise _Stop(
                hint(
                    f"your function changes {name}, which it was given; work on a copy"
                )
            )
        calls.append(1)
        return result

    return guarded


def _named(answer, args, kwargs):
    """Name of the parameter -> what it was given."""
    try:
        return dict(inspect.signature(answer).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # the call itself will say what is wrong
        return {f"argument {i}": value for i, value in enumerate(args, 1)} | kwargs


def _copied(value):
    """A copy of tensors, arrays and containers of them; anything else is itself."""
    if hasattr(value, "detach") and hasattr(value, "clone"):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        copies = [_copied(v) for v in value]
        return tuple(copies) if type(value) is tuple else copies
    if isinstance(value, set) or hasattr(value, "tobytes"):
        return value.copy()
    return value


def _put_back(value, kept):
    """Make `value` again what it was when it was copied -> the same object, or `kept`
    where there is none to be changed.
    """
    if hasattr(value, "detach") and hasattr(kept, "detach"):
        value.data = kept
    elif hasattr(value, "tobytes") and value.shape == getattr(kept, "shape", 0):
        value[...] = kept
    elif isinstance(value, (list, tuple)) and isinstance(kept, (list, tuple)):
        parts = kept
        if len(value) == len(kept):  # the checker may hold the parts themselves
            parts = [v if _same(v, k) else _put_back(v, k) for v, k in zip(value, kept)]
        if isinstance(value, list):
            value[:] = parts
    elif isinstance(value, dict) and isinstance(kept, dict):
        parts = {
            k: _put_back(value[k], v) if k in value else v for k, v in kept.items()
        }
        value.clear()
        value.update(parts)
    elif isinstance(value, set) and isinstance(kept, set):
        value.clear()
        value.update(kept)
    else:
        return kept
    return value


def _same(value, kept):
    """Whether `value` is what it was when it was copied; NaN is equal to NaN."""
    if value is kept:
        return True
    if isinstance(value, dict):
        return list(value) == list(kept) and all(_same(value[k], kept[k]) for k in kept)
    if isinstance(value, (list, tuple)):
        return len(value) == len(kept) and all(map(_same, value, kept))
    if hasattr(value, "shape"):
        if value.shape != kept.shape:
            return False
        equal = (value == kept) | ((value != value) & (kept != kept))
        return bool(equal.all())
    return bool(value == kept)


def _describe(error, answer):
    """One sentence: the exception, its message, and the line of the answer's own code
    on which it arose.
    """
    home = getattr(getattr(answer, "__code__", None), "co_filename", None)
    text = f"your function raised {type(error).__name__}" + (
        f" ({error})" if str(error) else ""
    )
    line, frame = None, error.__traceback__
    while frame is not None:
        if home is not None and frame.tb_frame.f_code.co_filename == home:
            line = frame.tb_lineno
        frame = frame.tb_next
    if line is None:
        return text + "; check how many arguments it takes and their names"
    return (
        text + f" on line {line}: "
        f"`{linecache.getline(home, line).strip() or '(source not found)'}`"
    )


def _random_state():
    """The state of the random generators that are loaded; nothing is imported
    for it.
    """
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    return (
        random.getstate(),
        numpy.random.get_state() if numpy else None,
        torch.get_rng_state() if torch else None,
    )


def _seed(seed):
    """Start the random generators that are loaded at `seed`."""
    random.seed(seed)
    for name in ("numpy.random", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            getattr(module, "manual_seed", module.seed)(seed)


def _restore(state):
    """Put the random generators back to `state`."""
    random.setstate(state[0])
    if state[1] is not None:
        sys.modules["numpy"].random.set_state(state[1])
    if state[2] is not None:
        sys.modules["torch"].set_rng_state(state[2])
