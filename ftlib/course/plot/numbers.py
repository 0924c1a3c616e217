"""Numbers as figures need them, and one sentence where they do not fit."""

import numpy


def array(values, name, dimensions=None):
    """Numbers, nested lists or tensors as an array of floats with something finite."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    elif not isinstance(values, (int, float, numpy.generic, numpy.ndarray)):
        values = [v.detach().cpu() if hasattr(v, "detach") else v for v in values]
    try:
        table = numpy.asarray(values, dtype=float)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths; every seed needs the same points"
        ) from error
    if not numpy.isfinite(table).any():
        raise ValueError(
            f"{name} has {table.size} values and none is finite; look at the data"
        )
    if dimensions not in (None, table.ndim):
        raise ValueError(
            f"{name} has shape {table.shape}; {dimensions} dimensions are needed"
        )
    return table


def picture_array(picture):
    """One picture as (H, W) or (H, W, 3)."""
    table = array(picture, "a picture")
    if table.ndim == 3 and table.shape[0] in (1, 3) and table.shape[2] not in (1, 3):
        table = table.transpose(1, 2, 0)
    if table.ndim == 3 and table.shape[2] == 1:
        table = table[..., 0]
    if table.ndim != 2 and (table.ndim != 3 or table.shape[2] != 3):
        raise ValueError(
            f"a picture has shape {table.shape}; (H, W), (H, W, 3) or (3, H, W) is "
            "needed"
        )
    return table / 255 if table.ndim == 3 and table.max() > 1 else table
