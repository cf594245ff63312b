"""Figures of curves, as PNG bytes.

Only this file, `frontiers`, `heat_maps`, `paper_figures` and `watch_plots`
import matplotlib, and only its object-oriented API: no global figure, no
display, the same image on every machine.
"""

import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from lcjax.evaluation import glossary

Path = str | os.PathLike[str]

# Okabe and Ito's palette for colour-blind readers, without yellow.
COLOURS = (
  '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#000000'
)  # fmt: skip
STYLE: Any = {  # matplotlib types the keys as literals
  'axes.edgecolor': '#666666',
  'axes.labelsize': 9,
  'axes.linewidth': 0.7,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.titlesize': 9,
  'font.family': 'DejaVu Sans',
  'font.size': 8.5,
  'grid.color': '#e4e4e4',
  'grid.linewidth': 0.6,
  'legend.fontsize': 8.5,
  'legend.frameon': False,
  'lines.linewidth': 1.4,
  'xtick.color': '#444444',
  'xtick.labelsize': 8,
  'ytick.color': '#444444',
  'ytick.labelsize': 8,
}
PAGE_INCHES, _DOTS_PER_INCH = 8.2, 180
_PANELS_PER_LINE = 4
_DASHES: Any = '-', (0, (4, 2)), (0, (1, 1.5))  # after all colours are used
_PANEL_INCHES, _TITLE_INCHES = 1.55, 0.35

# metric -> series, such as 'train' -> [(step, value)]
_Panels = dict[str, dict[str, list[tuple[float, float]]]]


def curves(
  stages: Mapping[str, Sequence[Mapping[str, Any]]], path: Path | None = None
) -> bytes:
  """Training curves as small multiples: a band per stage, a panel per metric.

  'train/loss' and 'validation/loss' share the panel 'loss' of their stage. The
  range of the vertical axis ignores the first tenth of long curves, whose
  values would flatten the rest.

  Args:
    stages: stage -> records, each with 'step' and some metrics by name.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  bands = {stage: _panels(records) for stage, records in stages.items()}
  bands = {stage: panels for stage, panels in bands.items() if panels}
  heights = [
    _TITLE_INCHES + _PANEL_INCHES * math.ceil(len(panels) / _PANELS_PER_LINE)
    for panels in bands.values()
  ]
  series = dict.fromkeys(
    name for band in bands.values() for panel in band.values() for name in panel
  )
  # A series has the same colour in all stages.
  colours = dict(zip(series, itertools.cycle(COLOURS), strict=False))
  with matplotlib.rc_context(STYLE):
    figure = Figure(
      figsize=(PAGE_INCHES, sum(heights) + 0.1), layout='constrained'
    )
    parts = figure.subfigures(
      max(len(bands), 1), 1, height_ratios=heights or None, squeeze=False
    )
    for index, (stage, panels) in enumerate(bands.items()):
      _draw_band(parts[index, 0], stage, panels, colours)
    return finish(figure, path)


def compared_curves(
  panels: Mapping[str, Mapping[str, Sequence[np.ndarray]]],
  path: Path | None = None,
) -> bytes:
  """Curves of several trainings: a panel per metric, a line per training.

  Args:
    panels: metric -> name of the line -> steps [T], means [T] and spreads [T],
      which are drawn as a band around the means.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  names = dict.fromkeys(name for panel in panels.values() for name in panel)
  styles = {
    name: (COLOURS[index % len(COLOURS)], _DASHES[index // len(COLOURS) % 3])
    for index, name in enumerate(names)
  }
  rows = max(math.ceil(len(panels) / _PANELS_PER_LINE), 1)
  legend_inches = 0.2 * math.ceil(len(names) / 3) + 0.2
  with matplotlib.rc_context(STYLE):
    figure = Figure(
      figsize=(PAGE_INCHES, _PANEL_INCHES * rows + legend_inches),
      layout='constrained',
    )
    axes = figure.subplots(rows, _PANELS_PER_LINE, squeeze=False).ravel()
    handles: dict[str, Artist] = {}
    for axis, (metric, panel) in zip(axes, panels.items(), strict=False):
      means = {name: (line[0], line[1]) for name, line in panel.items()}
      _draw_panel(
        axis,
        metric.replace('validation/', 'val/'),
        {n: list(zip(*xy, strict=True)) for n, xy in means.items()},
        {name: styles[name][0] for name in panel},
      )
      for drawn, (name, (steps, mean, std)) in zip(
        axis.get_lines(), panel.items(), strict=True
      ):
        colour, dashes = styles[name]
        drawn.set_linestyle(dashes)
        axis.fill_between(
          steps, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0
        )
        handles.setdefault(name, drawn)
        low, high = axis.get_ylim()  # the band must be visible, too
        late = slice(len(steps) // 10, None)
        axis.set_ylim(
          min(low, *(mean - std)[late]), max(high, *(mean + std)[late])
        )
    for axis in axes[len(panels) :]:
      axis.set_axis_off()
    figure.legend(
      handles.values(), handles, loc='outside lower center', ncols=3
    )
    return finish(figure, path)


def quality_against_compute(
  steps: Sequence[int],
  optimizer: Mapping[str, Sequence[float | None]],
  others: Mapping[str, Mapping[str, float | None]],
  path: Path | None = None,
) -> bytes:
  """Quality against optimiser steps, compared with other movers.

  Values that are not finite (None, as in JSON) are not drawn; the legend names
  their metrics.

  Args:
    steps: S numbers of optimiser steps; 0: the latents at the start.
    optimizer: metric -> S values, for one or two metrics; one panel each.
    others: mover -> the same metrics. Drawn as a horizontal line, or as a point
      if there are 'steps'; the legend shows 'latents_per_second' if given.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(PAGE_INCHES, 3.1), layout='constrained')
    shown = list(optimizer)
    values = {metric: floats(optimizer[metric]) for metric in shown}
    name = 'optimizer, one start'
    name += _not_drawn([m for m, v in values.items() if np.isnan(v).any()])
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, metric in zip(axes, shown, strict=True):
      axis.plot(steps, values[metric], 'o-', color=COLOURS[0], ms=4, label=name)
      _draw_levels(axis, metric, shown, others)
      axis.set_xlabel('Optimiser steps')
      axis.grid(True)
      # Linear up to one step: a logarithmic axis has no 0.
      axis.set_xscale('symlog', linthresh=1, linscale=0.5)
      axis.set_xticks(list(steps), [str(step) for step in steps])
      axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
      axis.set_title(glossary.metric(metric).label, loc='left')
      known = values[metric][np.isfinite(values[metric])]
      if metric == 'frechet' and min(known, default=0) > 0:
        make_logarithmic(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=3)
    return finish(figure, path)


def make_logarithmic(axis: Axes) -> None:
  """Of values: with a label at 1, 2 and 5 of every decade."""
  axis.set_yscale('log')
  axis.yaxis.set_major_locator(
    matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0))
  )
  axis.yaxis.set_major_formatter('{x:g}')
  axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def ratios(
  workloads: Mapping[str, Sequence[Mapping[str, Any]]], path: Path | None = None
) -> bytes:
  """Measurements relative to their bars: dots are medians, lines are ranges.

  On a logarithmic axis; ratios are inverted where lower is better, so that
  values above 1 always meet the bar.

  Args:
    workloads: name -> measurements with 'what', 'values' (one per round), 'bar'
      (the target) and 'at_least' (whether higher is better); those without a
      bar are left out.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  rows = [
    (f'{name}: {one["what"]}', one)
    for name, measurements in workloads.items()
    for one in measurements
    if one['bar'] is not None
  ]
  with matplotlib.rc_context(STYLE):
    figure = Figure(
      figsize=(PAGE_INCHES, 0.7 + 0.24 * len(rows)), layout='constrained'
    )
    axis = figure.subplots()
    axis.axvline(1.0, color='#666666', linewidth=1.0)
    for row, (_, one) in enumerate(rows):
      values = np.asarray(one['values'], float) / one['bar']
      # A share may be measured as zero or, due to noise, as negative.
      better = values if one['at_least'] else 1 / np.maximum(values, 1e-2)
      middle = float(np.median(better))
      colour = COLOURS[2 if middle >= 1 else 1]
      axis.plot([better.min(), better.max()], [row, row], color=colour)
      axis.plot(middle, row, 'o', ms=4, color=colour)
    axis.set_yticks(range(len(rows)), [label for label, _ in rows])
    axis.invert_yaxis()
    axis.set_xscale('log')
    axis.xaxis.set_major_formatter('{x:g}')
    axis.set_xlabel('Measured / bar; bar / measured where lower is better')
    axis.grid(True, axis='x')
    return finish(figure, path)


def _panels(records: Sequence[Mapping[str, Any]]) -> _Panels:
  """Groups records as metric -> series -> [(step, value)]."""
  panels: _Panels = {}
  for record in records:
    for key, value in record.items():
      if key == 'step' or not isinstance(value, int | float | np.number):
        continue
      series, _, metric = key.rpartition('/')
      points = panels.setdefault(metric, {}).setdefault(series, [])
      points.append((float(record['step']), float(value)))
  return panels


def _draw_band(
  part: SubFigure, stage: str, panels: _Panels, colours: Mapping[str, str]
) -> None:
  part.suptitle(
    stage.replace('_', ' '), x=0.01, ha='left', weight='bold', size=10
  )
  lines = math.ceil(len(panels) / _PANELS_PER_LINE)
  axes = part.subplots(lines, _PANELS_PER_LINE, squeeze=False).ravel()
  handles: dict[str, Artist] = {}
  for axis, (metric, panel) in zip(axes, panels.items(), strict=False):
    _draw_panel(axis, metric, panel, colours)
    lines_drawn, names = axis.get_legend_handles_labels()
    handles.update(zip(names, lines_drawn, strict=True))
  for axis in axes[len(panels) :]:
    axis.set_axis_off()
  if len(handles) > 1:
    part.legend(
      handles.values(),
      handles,
      loc='upper right',
      ncols=4,
      borderpad=0.2,
      borderaxespad=0,
    )


def _draw_levels(
  axis: Axes,
  metric: str,
  shown: Sequence[str],
  others: Mapping[str, Mapping[str, float | None]],
) -> None:
  for index, (name, scores) in enumerate(others.items(), start=1):
    values = dict(zip(scores, floats(list(scores.values())), strict=True))
    if metric not in values:
      continue
    colour = COLOURS[index % len(COLOURS)]
    label = f'{name}{_speed(scores.get("latents_per_second"))}'
    label += _not_drawn([m for m in shown if np.isnan(values.get(m, 0.0))])
    # NaN draws nothing but keeps the entry in the legend.
    if 'steps' not in values:
      dashes = (0, (4, 1 + index))  # distinguishable in grey print
      axis.axhline(values[metric], color=colour, linestyle=dashes, label=label)
    else:
      axis.plot(values['steps'], values[metric], 'D', color=colour, label=label)


def floats(values: Sequence[float | None]) -> np.ndarray:
  """Values as floats; NaN for None and values that are not finite."""
  found = np.asarray(values, float)  # turns None into NaN
  return np.where(np.isfinite(found), found, np.nan)


def _not_drawn(metrics: Sequence[str]) -> str:
  labels = [glossary.metric(name).label for name in metrics]
  return f', {", ".join(labels)} not finite' if labels else ''


def _draw_panel(
  axis: Axes,
  metric: str,
  panel: Mapping[str, Sequence[tuple[float, float]]],
  colours: Mapping[str, str],
) -> None:
  settled: list[float] = []
  for name, points in panel.items():
    steps, values = np.array(points).T
    marker = 'o' if len(points) < 3 else ''
    axis.plot(
      steps, values, marker=marker, ms=3, color=colours[name], label=name
    )
    start = len(values) // 10 if len(values) >= 20 else 0
    settled.extend(values[start:][np.isfinite(values[start:])])
  if settled and min(settled) < max(settled):
    room = 0.06 * (max(settled) - min(settled))
    axis.set_ylim(min(settled) - room, max(settled) + room)
  axis.set_title(metric.replace('_', ' '), loc='left')
  axis.grid(True)
  axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
  axis.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
  axis.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=''))


def _speed(latents_per_second: float | None) -> str:
  if latents_per_second is None:
    return ''
  text = glossary.text('latents_per_second', latents_per_second, unit=True)
  return f' ({text})'


def finish(figure: Figure, path: Path | None) -> bytes:
  """A figure as PNG bytes, which are also written to a path."""
  stream = io.BytesIO()
  FigureCanvasAgg(figure)
  # Without metadata, equal figures give equal files.
  figure.savefig(
    stream, format='png', dpi=_DOTS_PER_INCH, metadata={'Software': None}
  )
  if path is not None:
    _write(path, stream.getvalue())
  return stream.getvalue()


def _write(path: Path, data: bytes) -> None:
  with open(path, 'wb') as file:
    file.write(data)
