"""Scores and diversity of adversarial trainings, side by side, as PNG bytes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lcjax.evaluation import plots
from lcjax.training import watch

_COLUMNS = 3
_PANEL_INCHES = 2.0
# metric -> its text in the legend, whether its axis is that of ratios
_LINES = (
  ('generator_score', 'generator score', False),
  ('discriminator_score', 'discriminator score', False),
  ('label_diversity', 'diversity within labels (right)', True),
  ('gap', 'gap of means (right)', True),
)
_RATIOS = (0.03, 5.0)  # range of their axis; beyond, a line leaves the panel


def adversarial(
  trainings: Mapping[str, Sequence[Mapping[str, Any]]],
  path: plots.Path | None = None,
) -> bytes:
  """A panel for each training, with its state above it.

  Scores on the left axis, from 0 to 1; on the right one, which is logarithmic,
  diversity and gap, where 1 is that of real rows.

  Args:
    trainings: title -> records of its log, for which `watch.judge` has a state.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  count = math.ceil(len(trainings) / _COLUMNS)
  with matplotlib.rc_context(plots.STYLE):
    figure = Figure(
      figsize=(plots.PAGE_INCHES, _PANEL_INCHES * count + 0.4),
      layout='constrained',
    )
    axes = figure.subplots(count, _COLUMNS, squeeze=False).ravel()
    handles = {}
    for axis, (title, records) in zip(axes, trainings.items(), strict=False):
      right = axis.twinx()
      right.set_yscale('log')
      right.set_ylim(*_RATIOS)
      right.yaxis.set_major_formatter('{x:g}')
      right.spines['right'].set_visible(True)
      axis.set_ylim(0.0, 1.0)
      axis.grid(True)
      for (name, text, ratio), colour in zip(
        _LINES, plots.COLOURS, strict=False
      ):
        points = watch.curve(records, name)
        if points:
          steps, values = np.array(points).T
          (handles[text],) = (right if ratio else axis).plot(
            steps, np.maximum(values, 1e-6) if ratio else values, color=colour
          )
      verdict = watch.judge(records)
      state = '' if verdict is None else f'\n{verdict.state}'
      axis.set_title(f'{title}{state}', loc='left', fontsize=7)
    for axis in axes[len(trainings) :]:
      axis.set_axis_off()
    figure.legend(
      list(handles.values()), list(handles), loc='outside lower center', ncols=4
    )
    return plots.finish(figure, path)
