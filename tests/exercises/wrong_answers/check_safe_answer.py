"""Chapter 24: an answer that leaks nothing."""

import traceback


def is_fine(body):
    if not isinstance(body, dict):
        return False
    texts = body.get("texts")
    return bool(
        isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)
    )


REFUSED = {"status": 422, "error": "give a list of texts"}
FAILED = {"status": 500, "error": "internal error"}


def another(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        found = predict(body["texts"])
    except Exception as error:
        log(error)
        return dict(FAILED)
    return {"status": 200, "answer": found}


def leaks(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except Exception as error:
        log(error)
        return {"status": 500, "error": traceback.format_exc()}


def says_200(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except Exception as error:
        log(error)
        return {"status": 200, "error": "internal error"}


def logs_nothing(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except Exception:
        return dict(FAILED)


def logs_the_text(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except Exception as error:
        log(str(error))
        return dict(FAILED)


def catches_everything(predict, body, log):
    if not is_fine(body):
        return dict(REFUSED)
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except BaseException as error:
        log(error)
        return dict(FAILED)


def looks_at_nothing(predict, body, log):
    try:
        return {"status": 200, "answer": predict(body["texts"])}
    except Exception as error:
        log(error)
        return dict(FAILED)


def a_wrong_body_is_500(predict, body, log):
    if not is_fine(body):
        return dict(FAILED)
    return another(predict, body, log)


def logs_refusals(predict, body, log):
    if not is_fine(body):
        log(body)
    return another(predict, body, log)


WRONG = [
    (leaks, "reads what went wrong inside"),
    (says_200, "no monitor sees it"),
    (logs_nothing, "0 things were logged"),
    (logs_the_text, "with the exception itself"),
    (catches_everything, "control-C is swallowed"),
    (looks_at_nothing, "look at the body first"),
    (a_wrong_body_is_500, "it is 422"),
    (logs_refusals, "do not log it"),
]
