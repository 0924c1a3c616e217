"""Chapter 18: a chat as text."""

from ftlib.objectives import instruct


def another(messages):
    text = "[CLS]"
    for message in messages:
        end = "[SEP]" if message["role"] == "assistant" else "\n"
        text += f"{message['role']}\n{message['content']}{end}"
    return text


def no_roles(messages):
    return "[CLS]" + "\n".join(m["content"] for m in messages)


def no_begin(messages):
    return another(messages).removeprefix("[CLS]")


def never_ends(messages):
    return another(messages).replace("[SEP]", "\n")


def ends_everywhere(messages):
    return "[CLS]" + "".join(f"{m['role']}\n{m['content']}[SEP]" for m in messages)


def parts(messages):
    return [another(messages)]


def prompt_too(messages):
    return instruct.render(messages, add_generation_prompt=True)[0]


WRONG = [
    (no_roles, "roles are missing"),
    (no_begin, "begins with [CLS]"),
    (never_ends, "never learn to stop"),
    (ends_everywhere, "behind what the assistant says"),
    (parts, "one text"),
    (prompt_too, "becomes"),
]
