"""Instruction tuning (Wei et al. 2021, Ouyang et al. 2022): train a language model on
chats, with the loss on the answers alone, and decode answers that must parse.

Use it:

    >>> chat = [
    ...     {"role": "user", "content": "lights on"},
    ...     {"role": "assistant", "content": "ok"},
    ... ]
    >>> text, spans = render(chat)
    >>> text
    '[CLS]user\\nlights on\\nassistant\\nok[SEP]'
    >>> [text[start:end] for start, end in spans]
    ['ok[SEP]']
    >>> rows = [{"input_ids": [2, 5, 6, 3], "labels": [-100, -100, 6, 3]}] * 3
    >>> batch = pack_chats(rows, length=10)
    >>> batch["position_ids"].tolist()
    [[0, 1, 2, 3, 0, 1, 2, 3, 0, 0], [0, 1, 2, 3, 0, 0, 0, 0, 0, 0]]
    >>> parse_call("{intent: TurnOn, area: hall}"), parse_call("{intent: TurnOn, area")
    ({'intent': 'TurnOn', 'area': 'hall'}, None)

`instruct_loss` is a loss of train.steps. `CHAT_TEMPLATE` is `render` in Jinja, for
`tokenizer.chat_template` of transformers; its {% generation %} marks the answers, which
trl's `assistant_only_loss=True` needs.

What it is not: the model (transformer.py), sampling (clm.generate takes
`allowed=grammar.allowed`), or a judge of answers. Needs: torch, tokenizers; for
`CallGrammar` a byte-level tokenizer.

Shapes: B rows, T tokens, A target positions.
"""

import functools
import inspect
import re

import torch
import torch.nn.functional as F
from tokenizers.pre_tokenizers import ByteLevel

BEGIN, END = "[CLS]", "[SEP]"
ROLES = ("system", "user", "assistant")
# render() for transformers; line breaks are written as {{ '\n' }}, because Jinja drops
# those that follow a block
CHAT_TEMPLATE = (
    "{{ '[CLS]' }}"
    "{% for message in messages %}"
    "{% for line in message['content'].split('\n') %}"
    "{% if '[CLS]' in line or '[SEP]' in line or message['content'] != line "
    "and line.strip() in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('a message holds a special token or a role') }}"
    "{% endif %}{% endfor %}{{ message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '[SEP]' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"
)


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


# --- template and labels


def render(messages, add_generation_prompt=False) -> tuple[str, list[tuple[int, int]]]:
    """(text of a chat, character spans of what the assistant says, its end included).

    messages: [{"role", "content"}]. add_generation_prompt: end where the assistant
        begins to speak.
    Raises ValueError for content with a special token or a role on a line of its own: a
    user could otherwise put words into the assistant's mouth.
    """
    text, spans = BEGIN, []
    for message in messages:
        role, content = message["role"], message["content"]
        lines = [line.strip() for line in content.split("\n")]
        role_line = len(lines) > 1 and {*lines}.intersection(ROLES)
        if BEGIN in content or END in content or role_line:
            raise ValueError(
                f"the {role} says {content[:40]!r}, which holds {BEGIN}, {END} or a"
                " role on a line of its own; take these out of what people type"
            )
        text += role + "\n"
        start = len(text)
        text += content + (END if role == "assistant" else "\n")
        if role == "assistant":
            spans.append((start, len(text)))
    return text + ("assistant\n" if add_generation_prompt else ""), spans


def response_labels(ids, offsets, spans) -> list[int]:
    """Labels of a chat: the ids of the answers, and -100 everywhere else.

    offsets: (start, end) in characters of each token. spans: those of `render`.
    """
    return [
        token if any(a <= start and a < end <= b for a, b in spans) else -100
        for token, (start, end) in zip(ids, offsets, strict=True)
    ]


def encode_chat(tokenizer, messages, max_tokens=None) -> dict[str, list[int]]:
    """{"input_ids", "labels"} of a chat, as lists.

    Raises ValueError for a chat of more than `max_tokens` tokens: cut, it would lose
    its answer.
    """
    text, spans = render(messages)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    if max_tokens is not None and len(encoding.ids) > max_tokens:
        raise ValueError(
            f"a chat has {len(encoding.ids)} tokens and the limit is {max_tokens}; "
            "shorten it, or give a larger max_tokens"
        )
    labels = response_labels(encoding.ids, encoding.offsets, spans)
    return {"input_ids": encoding.ids, "labels": labels}


def encode_prompt(tokenizer, text) -> list[int]:
    """Ids of a user's text, up to where the assistant begins."""
    rendered, _ = render([{"role": "user", "content": text}], True)
    return tokenizer.encode(rendered, add_special_tokens=False).ids


# --- batches


def pack_chats(rows, length, pad_id=0) -> dict[str, torch.Tensor]:
    """Several chats in each row, none of them cut: {"input_ids", "labels",
    "position_ids", "chat_ids"}, LongTensors (B, length).

    rows: [{"input_ids", "labels"}]. Positions count from 0 in each chat. chat_ids
        number the chats of a row from 1; 0 is padding.
    A chat goes into the first row that has room for it. Raises ValueError for one that
    is longer than a row.
    """
    longest = max((len(row["input_ids"]) for row in rows), default=0)
    if not 0 < longest <= length:
        raise ValueError(
            f"the longest chat has {longest} tokens, a row {length}; give at least one "
            "chat, and none longer than a row"
        )
    packed = []
    for row in rows:
        n = len(row["input_ids"])
        group = next((g for g in packed if g[0] + n <= length), None)
        if group is None:
            packed.append(group := [0])
        group[0] += n
        group.append(row)
    shape = len(packed), length
    batch = {
        "input_ids": torch.full(shape, pad_id),
        "labels": torch.full(shape, -100),
        "position_ids": torch.zeros(shape, dtype=torch.long),
        "chat_ids": torch.zeros(shape, dtype=torch.long),
    }
    for number, (_, *chats) in enumerate(packed):
        at = 0
        for k, chat in enumerate(chats, 1):
            here = slice(at, at := at + len(chat["input_ids"]))
            batch["input_ids"][number, here] = torch.tensor(chat["input_ids"])
            # the first token of a chat would be predicted from the chat before it
            labels = [-100, *chat["labels"][1:]]
            batch["labels"][number, here] = torch.tensor(labels)
            batch["position_ids"][number, here] = torch.arange(len(labels))
            batch["chat_ids"][number, here] = k
    return batch


def chat_mask(chat_ids) -> torch.Tensor:
    """Who may look at whom in packed rows: (B, T) -> bool (B, 1, T, T), True for an
    earlier token of the same chat. Padding looks at itself and at earlier padding.
    """
    same = chat_ids[:, None, :, None] == chat_ids[:, None, None, :]
    return same & torch.ones_like(same[:1, :1]).tril()


def instruct_loss(model, batch) -> torch.Tensor:
    """Summed cross-entropy in nats of the answers' tokens, each predicted from what
    stands before it in its own chat. Logits are made for targets alone.
    """
    names = ("input_ids", "attention_mask", "position_ids")
    inputs = {name: batch[name] for name in names if name in batch}
    if "chat_ids" in batch:
        inputs["attention_mask"] = chat_mask(batch["chat_ids"])
    labels = batch["labels"][:, 1:]
    # position t predicts the label at t + 1, and the last one predicts nothing
    before_target = F.pad(labels != -100, (0, 1), value=False)
    if "target_mask" in inspect.signature(model.forward).parameters:
        logits = model(**inputs, target_mask=before_target).logits  # (A, V)
    else:
        logits = model(**inputs).logits[before_target]
    targets = labels[labels != -100]
    return F.cross_entropy(logits.float(), targets, reduction="sum")


@torch.no_grad()
@in_eval_mode
def response_nll(model, rows) -> torch.Tensor:
    """Nats of each chat's answers, (number of rows,): how little the model expected
    them. rows: [{"input_ids", "labels"}].
    """
    batches = ({k: torch.tensor([v]) for k, v in row.items()} for row in rows)
    return torch.stack([instruct_loss(model, batch) for batch in batches])


# --- calls

CALL = re.compile(r"\{intent: (\w+)((?:, \w+: [^,{}\n]+)*)\}")


def call_text(intent, slots) -> str:
    """A call as one line, {intent: TurnOn, area: hall}: JSON without its quotation
    marks, so that " hall" is the same token in the call as in the sentence.

    Raises ValueError for a value that is empty or holds one of the signs , { }.
    """
    pairs = {"intent": intent} | slots
    text = "{" + ", ".join(f"{k}: {v}" for k, v in pairs.items()) + "}"
    if parse_call(text) != {"intent": intent, **slots}:
        raise ValueError(
            f"{text!r} cannot be read back; take commas, braces and line breaks out of "
            "intent and values"
        )
    return text


def parse_call(text) -> dict | None:
    """The call in a line, {"intent": ..., slot: value}; None if it is not valid."""
    if not (match := CALL.fullmatch(text)):
        return None
    pairs = [part.split(": ", 1) for part in match[2].split(", ")[1:]]
    return {"intent": match[1], **dict(pairs)}


def call_tokens(calls, space=False) -> list[str]:
    """What the calls have in common, to be added to a vocabulary: "{intent: TurnOn",
    ", area:" and "}". Each is then one token in place of five or ten.

    space: with the space before the value, for languages that write none between words.
    """
    parsed = [parse_call(call) for call in calls]
    slots = {slot for call in parsed for slot in call if slot != "intent"}
    tail = " " if space else ""
    intents = sorted({"{intent: " + call["intent"] for call in parsed})
    return [*intents, *(f", {slot}:{tail}" for slot in sorted(slots)), "}"]


def add_tokens(tokenizer, model, tokens):
    """Give the tokenizer new tokens and the model a vector for each: the mean of the
    vectors of what it was cut into before (the output matrix is the same one).
    """
    ids = [tokenizer.encode(token, add_special_tokens=False).ids for token in tokens]
    tokenizer.add_tokens([*tokens])
    old = model.encoder.tokens.weight.data
    new = torch.stack([old[own].mean(0) for own in ids])
    size = len(old) + len(new)
    model.encoder.tokens = torch.nn.Embedding(size, old.shape[1])
    model.encoder.tokens.weight.data = torch.cat([old, new])
    model.config.vocab_size = size


def copies(text, longest=8) -> list[str]:
    """What a slot may copy from a text: every run of up to `longest` words, or of
    characters where the text has Chinese ones.
    """
    units = re.findall(r"[a-z0-9'-]+|[^\sa-z0-9'-]", text.lower())
    joint = "" if re.search(r"[\u4e00-\u9fff]", text) else " "
    runs = (
        joint.join(units[i:j])
        for i in range(len(units))
        for j in range(i + 1, min(i + longest, len(units)) + 1)
    )
    return [run for run in dict.fromkeys(runs) if not {*",{}"} & {*run}]


def numbers(text) -> list[str]:
    """The numbers of a text, as they are written."""
    return re.findall(r"\d+", text)


def call_schema(pairs) -> dict:
    """What the calls of (text, call) pairs have in common: {"forms": {(intent, slots)},
    "values": {slot: {"copy", "number", "-", or ("value", ...)}}}.

    A value that stands in the text is copied; another is one of the values seen.
    """
    forms, values = set(), {}
    for text, call in pairs:
        call = parse_call(call)
        intent = call.pop("intent")
        forms.add((intent, tuple(call)))
        for slot, value in call.items():
            kinds = values.setdefault(slot, set())
            if value.lstrip("-") in numbers(text):
                kinds |= {"number", "-"} if value[0] == "-" else {"number"}
            elif value in copies(text):
                kinds.add("copy")
            else:
                kinds.add(("value", value))
    return {"forms": forms, "values": values}


def as_bytes(text) -> str:
    """A text in the letters of a byte-level vocabulary (Radford et al. 2019): a
    character for each byte.
    """
    level = ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(letters for letters, _ in level.pre_tokenize_str(text))


def token_names(tokenizer) -> dict[int, str]:
    """id -> token, in the letters of a byte-level vocabulary; without special tokens,
    which are no text.
    """
    names = {i: name for name, i in tokenizer.get_vocab().items()}
    for i, token in tokenizer.get_added_tokens_decoder().items():
        names[i] = as_bytes(token.content)
        if token.special:
            del names[i]
    return names


def trie(words) -> dict:
    """Nested dicts, one level a character. words: {number: word}; behind a word's last
    character None leads to its number.
    """
    root = {}
    for number, word in words.items():
        node = root
        for character in word:
            node = node.setdefault(character, {})
        node[None] = number
    return root


class CallGrammar:
    """Which tokens keep an answer the beginning of a valid call (Willard and Louf
    2023).

        names = token_names(tokenizer)
        vocabulary = trie(names)
        grammar = CallGrammar(schema, names, vocabulary, end_id, "turn on the light")
        clm.generate(model, ids, 60, allowed=lambda row, ids: grammar.allowed(ids))

    schema: of `call_schema`. names, vocabulary: of a byte-level tokenizer. text: the
    user's, from which names and numbers are copied.
    A valid call has the intent and the slots of one of the schema's forms, in that
    order, and a value that each slot may have.
    """

    def __init__(self, schema, names, vocabulary, end_id, text):
        self.names, self.vocabulary, self.end_id = names, vocabulary, end_id
        self.values = {slot: _values(schema, slot, text) for slot in schema["values"]}
        self.start = self._forms(schema["forms"])
        self.known = {}

    def _forms(self, forms):
        """The trie of intents and slots; a slot's value is an edge (slot,)."""
        root = {}
        for intent, slots in forms:
            if not all(self.values[slot] for slot in slots):
                continue  # nothing to copy: this form cannot be filled
            steps = [*as_bytes("{intent: " + intent)]
            for slot in slots:
                steps += [*as_bytes(f", {slot}: "), (slot,)]
            node = root
            for step in [*steps, "}"]:
                node = node.setdefault(step, {})
            node[None] = True
        return root

    def step(self, states, character):
        """The states behind one more character. A state is (node of the forms, node of
        a value or None); several, while more than one reading is open.
        """
        after = []
        for form, value in states:
            if value is None:
                if character in form:
                    after.append((form[character], None))
                edges = [edge for edge in form if isinstance(edge, tuple)]
                inside = [(form[edge], self.values[edge[0]]) for edge in edges]
            else:
                inside = [(form, value)]
            for end, node in inside:
                if character in node:
                    node = node[character]
                    after.append((end, node))
                    if None in node:  # the value may end here
                        after.append((end, None))
        return after

    def states(self, text):
        """The states behind a text in the vocabulary's letters, [] if no valid call
        begins like that.
        """
        states = [(self.start, None)]
        for character in text:
            states = self.step(states, character)
        return states

    def allowed(self, ids) -> list[int]:
        """The ids that may follow `ids`, those of the answer so far."""
        key = tuple(ids)
        if key not in self.known:
            states = self.states("".join(self.names[i] for i in key))
            complete = any(value is None and None in form for form, value in states)
            self.known[key] = [self.end_id] if complete else self._walk(states)
        return self.known[key]

    def _walk(self, states):
        """Ids of all tokens that lead from these states to some state."""
        result, stack = [], [(self.vocabulary, states)]
        while stack:
            node, here = stack.pop()
            for character, below in node.items():
                if character is None:
                    result.append(below)
                elif after := self.step(here, character):
                    stack.append((below, after))
        return result


def _values(schema, slot, text):
    """The trie of what a slot may hold when this is the user's text."""
    kinds = schema["values"][slot]
    result = [kind[1] for kind in kinds if isinstance(kind, tuple)]
    result += copies(text) if "copy" in kinds else []
    result += numbers(text) if "number" in kinds else []
    result += ["-" + n for n in numbers(text)] if "-" in kinds else []
    return trie(dict(enumerate(map(as_bytes, result))))
