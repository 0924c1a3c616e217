"""Chapter 24: CUSUM."""


def another(scores, mean, std, slack, line):
    level, found = 0.0, []
    for i in range(len(scores)):
        level += (scores[i] - mean) / std - slack
        if level < 0:
            level = 0.0
        if level > line:
            found, level = [*found, i], 0.0
    return found


def from_one(scores, mean, std, slack, line):
    return [i + 1 for i in another(scores, mean, std, slack, line)]


def no_reset(scores, mean, std, slack, line):
    value, found = 0.0, []
    for i, score in enumerate(scores):
        value = max(0.0, value + (score - mean) / std - slack)
        if value > line:
            found.append(i)
    return found


def no_floor(scores, mean, std, slack, line):
    value, found = 0.0, []
    for i, score in enumerate(scores):
        value += (score - mean) / std - slack
        if value > line:
            found.append(i)
            value = 0.0
    return found


def on_the_line(scores, mean, std, slack, line):
    value, found = 0.0, []
    for i, score in enumerate(scores):
        value = max(0.0, value + (score - mean) / std - slack)
        if value >= line:
            found.append(i)
            value = 0.0
    return found


def no_std(scores, mean, std, slack, line):
    return another(scores, mean, 1.0, slack, line)


def slack_inside(scores, mean, std, slack, line):
    return another(scores, mean + slack, std, 0.0, line)


def no_slack(scores, mean, std, slack, line):
    return another(scores, mean, std, 0.0, line)


def both_sides(scores, mean, std, slack, line):
    return another([mean + abs(s - mean) for s in scores], mean, std, slack, line)


WRONG = [
    (from_one, "count the scores from 0"),
    (no_reset, "starts again at 0"),
    (no_floor, "never goes below 0"),
    (on_the_line, "above the line"),
    (no_std, "divide the distance"),
    (slack_inside, "after the division"),
    (no_slack, "the slack is missing"),
    (both_sides, "the alarms are at"),
]

STEP = "value + (score - mean) / std - slack"
EQUIVALENT = {
    f"`max(0.0, {STEP})` -> `max({STEP}, 0.0)`": "the larger of the same two numbers",
}
