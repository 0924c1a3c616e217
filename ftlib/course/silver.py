"""Questions about film reviews whose answers come from a table of films: distant
supervision (Mintz et al. 2009).

    films = sources.films()
    rows = named_films(sources.load("imdb")["train"]["text"], films)
    asked = questions(rows, films)      # [{"context", "question", "kind", ...}]

A review is taken to be about the one film of which it names the most people, two at
least. The table then says who directed it, who acts in it and in which year it came
out, and the answer is where the review says the same. Nobody has read the reviews: such
labels are called silver, and some are wrong.

    >>> films = [
    ...     {
    ...         "title": "Alien",
    ...         "year": 1979,
    ...         "directors": ["Ridley Scott"],
    ...         "cast": ["Sigourney Weaver"],
    ...     }
    ... ]
    >>> rows = named_films(["Ridley Scott made Sigourney Weaver run."], films)
    >>> [(q["kind"], q["answers"]) for q in questions(rows, films)]
    [('director', ['Ridley Scott']), ('cast', ['Sigourney Weaver']), ('year', [])]

What it is not: a way to find which film a review is about if it names nobody. What it
needs: the standard library.
"""

import random
import re
from collections import Counter, defaultdict

# words of a name: capitalised, or a small word between such
WORD = r"[A-ZÀ-Þ][\w'\-]*\.?"
SMALL = r"(?:de|del|della|di|da|du|van|von|der|den|la|le|el|al|bin)"
NAMES = re.compile(rf"{WORD}(?: (?:{SMALL} )*{WORD})+")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
# the first of each kind are for training, the others for the test alone
WORDINGS = {
    "director": [
        ["Who directed the film?", "Who is the director?", "Who made this film?"],
        ["Whose work as a director is it?", "Name the person behind the camera."],
    ],
    "cast": [
        ["Who stars in the film?", "Who is in the cast?", "Which actor is in it?"],
        ["Name somebody who appears on screen.", "Who has a part in this movie?"],
    ],
    "year": [
        ["In which year did it come out?", "When was the film made?", "What year?"],
        ["How old is this movie, from which year?", "Give the date of its release."],
    ],
}


def mentions(text, people) -> list[tuple[int, int, str]]:
    """(start, end, name) of each name of `people` in the text, from left to right; the
    longest where several begin alike. people: a set or dict of full names.
    """
    result = []
    for run in NAMES.finditer(text):
        words = list(re.finditer(r"\S+", run.group()))
        first = 0
        while first < len(words) - 1:
            name, last = _longest_name(run.group(), words, first, people)
            if name:
                start = run.start() + words[first].start()
                result.append((start, start + len(name), name))
            first = last + 1
    return result


def _longest_name(run, words, first, people):
    """(the longest name that begins with word `first`, the number of its last word);
    ("", first) if there is none. words: the matches of 2 to 5 words and more in `run`.
    """
    for last in range(min(len(words) - 1, first + 4), first, -1):
        name = run[words[first].start() : words[last].end()]
        for form in (name, name.rstrip("."), re.sub("'s?$", "", name)):
            if form in people:
                return form, last
    return "", first


def people_of(films) -> dict[str, set[int]]:
    """Full name -> numbers of the films whose director or cast has it."""
    people = defaultdict(set)
    for number, film in enumerate(films):
        for name in [*film["directors"], *film["cast"]]:
            if " " in name:
                people[name].add(number)
    return dict(people)


def named_films(texts, films) -> list[dict]:
    """The texts that name their film: {"text", "film", "mentions", "titled"}; film is a
    number, titled whether the text has its title as well.

    A film is taken if it has two of the people that the text names, and more of them
    than any other film.
    """
    people, rows = people_of(films), []
    for text in texts:
        result = mentions(text, people)
        votes = Counter(n for name in {m[2] for m in result} for n in people[name])
        best = votes.most_common(2)
        if best and best[0][1] >= 2 and (len(best) == 1 or best[1][1] < best[0][1]):
            film = best[0][0]
            title = re.escape(films[film]["title"])
            # a title such as "It" stands in every text
            titled = len(title) > 3 and re.search(rf"\b{title}\b", text) is not None
            row = {"text": text, "film": film, "mentions": result, "titled": titled}
            rows.append(row)
    return rows


def questions(rows, films, seed=0, unseen=False) -> list[dict]:
    """Up to three questions a review: {"context", "question", "kind", "answers",
    "start", "end", "film"}; answers [] and start = end = 0 where the review has none.

    "start" and "end" are the characters of the first mention, "answers" all names that
    the table allows and the review has. A director is taken to be unnamed if the film's
    title stands there and not even the family name, a year if no year does. unseen: the
    wordings that are kept for the test.
    """
    rng, made = random.Random(seed), []
    for row in rows:
        film, text = films[row["film"]], row["text"]
        for kind in WORDINGS:
            spans = _answers(kind, film, row)
            if spans is not None:
                first = spans[0] if spans else (0, 0)
                made.append(
                    {
                        "context": text,
                        "question": rng.choice(WORDINGS[kind][int(unseen)]),
                        "kind": kind,
                        "answers": list(dict.fromkeys(text[a:b] for a, b in spans)),
                        "start": first[0],
                        "end": first[1],
                        "film": row["film"],
                    }
                )
    return made


def _answers(kind, film, row):
    """Spans of the answer in the text, [] if it has none, None if that is not known."""
    text = row["text"]
    if kind == "year":
        years = list(YEAR.finditer(text))
        spans = [y.span() for y in years if y.group() == str(film["year"])]
        return spans or (None if years else [])
    names = set(film["directors"])
    if kind == "cast":
        names = set(film["cast"]) - names
        return [(a, b) for a, b, name in row["mentions"] if name in names] or None
    spans = [(a, b) for a, b, name in row["mentions"] if name in names]
    nowhere = not any(name.split()[-1] in text for name in names)
    return spans or ([] if row["titled"] and names and nowhere else None)
