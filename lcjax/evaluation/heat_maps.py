"""Square tables of shares as heat maps, for print."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lcjax.evaluation import paper_figures

_CELL_INCHES = 0.34
_MOST_WRITTEN = 16  # rows, beyond which numbers would be too small to read


def texts(table: np.ndarray) -> dict[tuple[int, ...], str]:
  """What is written in the cells of a table, by row and column."""
  return {
    place: f'{value:.2f}'.removeprefix('0')
    for place, value in np.ndenumerate(table)
    if np.isfinite(value)
  }


def shares(
  tables: Mapping[str, np.ndarray], names: Sequence[str], label: str
) -> paper_figures.Pictures:
  """Tables of shares side by side, with one scale from 0 to 1.

  Args:
    tables: title -> [Y, Y]; NaN is left empty.
    names: Y names of rows and columns.
    label: of the colour bar.
  """
  count = len(names)
  side = max(1.8, _CELL_INCHES * count)
  with matplotlib.rc_context(paper_figures.STYLE):
    figure = Figure(
      figsize=(len(tables) * (side + 0.3) + 1.9, side + 1.3),
      layout='constrained',
    )
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
      image = axis.imshow(table, vmin=0.0, vmax=1.0, cmap='cividis')
      axis.set_title(title, loc='left')
      axis.set_xticks(range(count), names, rotation=90)
      axis.set_yticks(range(count), names)
      axis.tick_params(length=0)
      axis.spines[:].set_visible(False)
      written = texts(table) if count <= _MOST_WRITTEN else {}
      for (row, column), text in written.items():
        axis.text(
          column,
          row,
          text,
          ha='center',
          va='center',
          fontsize=6.5,
          color='white' if table[row, column] < 0.55 else 'black',
        )
    bar = figure.colorbar(image, ax=list(axes), pad=0.01, aspect=30)
    bar.set_label(label)
    return paper_figures.rendered(figure)
