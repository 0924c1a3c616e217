"""A curve as text, for programs that run in a terminal."""

import math


def terminal_curve(values, lines=None, width=60, height=12) -> str:
    """Draw `values` (N,) as text, with a dashed line for each `name: y` of `lines`.

    Each column shows the mean of the values that fall into it. Raises ValueError where
    there is nothing finite to draw.
    """
    lines = dict(lines or {})
    values = [float(value) for value in values]
    if not any(map(math.isfinite, values)):
        raise ValueError(
            f"there are {len(values)} values and none is finite; a curve needs one"
        )
    heights = [value for value in (*values, *lines.values()) if math.isfinite(value)]
    low, high = min(heights), max(heights)
    step = (high - low) / max(1, height - 1) or 1.0
    names = {round((high - y) / step): name for name, y in lines.items()}
    grid = [["-" if row in names else " "] * width for row in range(height)]
    for column in range(width):
        start = column * len(values) // width
        stop = max(start + 1, (column + 1) * len(values) // width)
        part = [v for v in values[start:stop] if math.isfinite(v)]
        if part:
            grid[round((high - sum(part) / len(part)) / step)][column] = "*"
    labels = {0: f"{high:.2f}", height - 1: f"{low:.2f}"} | names
    margin = max(map(len, labels.values()))
    return "\n".join(
        f"{labels.get(row, ''):>{margin}} |{''.join(grid[row])}".rstrip()
        for row in range(height)
    )
