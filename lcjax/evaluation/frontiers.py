"""Figures of what cannot be had together, as PNG bytes; see `plots`."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib
import matplotlib.lines
import numpy as np
from matplotlib.figure import Figure

from lcjax.evaluation import glossary, plots


def frontier(
  rows: Mapping[str, Mapping[str, float | None]],
  metrics: Sequence[str],
  baselines: Collection[str],
  path: plots.Path | None = None,
) -> bytes:
  """Every row's metrics against its speed, and which of them nothing beats.

  A line joins the rows that no other one beats in both the metric and speed,
  among the rows that have both. Rows are numbered; the legend names them.

  Args:
    rows: row -> metrics and 'latents_per_second'; rows without these, or with
      values that are not finite, are not drawn.
    metrics: one panel each; with a `glossary` direction.
    baselines: rows that are drawn as squares instead of discs.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  with matplotlib.rc_context(plots.STYLE):
    figure = Figure(figsize=(plots.PAGE_INCHES, 4.0), layout='constrained')
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    numbers: dict[str, int] = {}
    for axis, metric in zip(axes, metrics, strict=True):
      sign = 1.0 if glossary.metric(metric).better == 'lower' else -1.0
      points = {
        name: plots.floats(
          [scores.get('latents_per_second'), scores.get(metric)]
        )
        for name, scores in rows.items()
      }
      drawn = {n: p for n, p in points.items() if np.isfinite(p).all()}
      for name, (speed, value) in drawn.items():
        number = numbers.setdefault(name, len(numbers) + 1)
        axis.plot(
          speed,
          value,
          's' if name in baselines else 'o',
          color=plots.COLOURS[1] if name in baselines else plots.COLOURS[0],
          ms=4,
        )
        axis.annotate(
          str(number), (speed, value), (3, 3), textcoords='offset points',
          fontsize=7,
        )  # fmt: skip
      best = _unbeaten([(p[0], sign * p[1]) for p in drawn.values()])
      axis.plot(
        [speed for speed, _ in best],
        [sign * value for _, value in best],
        color=plots.COLOURS[2],
        lw=1,
        zorder=0,
      )
      axis.set_xscale('log')
      axis.set_xlabel('Latents per second')
      axis.set_title(glossary.metric(metric).label, loc='left')
      axis.grid(True)
      if metric == 'frechet' and drawn:
        plots.make_logarithmic(axis)
    handles = [
      matplotlib.lines.Line2D([], [], ls='', label=f'{number} {name}')
      for name, number in numbers.items()
    ]
    figure.legend(
      handles=handles, loc='outside lower center', ncols=4, handlelength=0,
      fontsize=7,
    )  # fmt: skip
    return plots.finish(figure, path)


def _unbeaten(
  points: Sequence[tuple[float, float]],
) -> list[tuple[float, float]]:
  """(speed, cost) of those that no other is both faster and cheaper than."""
  best: list[tuple[float, float]] = []
  for speed, cost in sorted(points, key=lambda p: (-p[0], p[1])):
    if not best or cost < best[-1][1]:
      best.append((speed, cost))
  return best


def candidates(
  scores: Sequence[Mapping[str, float]],
  groups: Sequence[str],
  chosen: Mapping[str, int],
  metrics: tuple[str, Sequence[str]],
  least: float | None = None,
  path: plots.Path | None = None,
) -> bytes:
  """Everything that a search tried, and what it chose.

  Args:
    scores: of each candidate: metric -> value.
    groups: of each candidate, by colour; the legend names them.
    chosen: name -> index of its candidate, which is marked.
    metrics: that of the horizontal axis, and those of a panel each.
    least: value of the first one that was asked for; a line.
    path: file to which the figure is also written.

  Returns:
    A PNG file's bytes.
  """
  across, panels = metrics
  with matplotlib.rc_context(plots.STYLE):
    figure = Figure(figsize=(plots.PAGE_INCHES, 3.2), layout='constrained')
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, metric in zip(axes, panels, strict=True):
      points = np.array([[one[across], one[metric]] for one in scores])
      for colour, group in enumerate(dict.fromkeys(groups)):
        own = points[[name == group for name in groups]]
        axis.plot(
          own[:, 0],
          own[:, 1],
          'o',
          color=plots.COLOURS[colour % len(plots.COLOURS)],
          ms=3.5,
          label=group if axis is axes[0] else None,
        )
      for number, index in enumerate(chosen.values(), 1):
        x, y = points[index]
        axis.plot(x, y, 'o', mfc='none', mec='black', ms=8)
        axis.annotate(
          str(number), (x, y), (4, 4 + 7 * (number % 2)),
          textcoords='offset points', fontsize=7,
        )  # fmt: skip
      if least is not None:
        axis.axvline(least, color='#888888', lw=1, ls=(0, (4, 2)), zorder=0)
      axis.set_xlabel(glossary.metric(across).label)
      axis.set_title(glossary.metric(metric).label, loc='left')
      axis.grid(True)
      if metric == 'frechet' and points[:, 1].min() > 0:
        plots.make_logarithmic(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    for number, name in enumerate(chosen, 1):
      handles.append(
        matplotlib.lines.Line2D(
          [], [], ls='', marker='o', mfc='none', mec='black'
        )
      )
      labels.append(f'{number} {name}')
    figure.legend(handles, labels, loc='outside lower center', ncols=4)
    return plots.finish(figure, path)
