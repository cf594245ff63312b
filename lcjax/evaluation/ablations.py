"""Comparison of ablations: one table, and curves averaged over seeds.

`scores` is ablation -> row -> metric -> {'mean', 'std'}, where a row is a mover
or a baseline, as in `launch.compare`.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lcjax import types
from lcjax.evaluation import glossary, reports

Records = Sequence[Mapping[str, Any]]


class Line(NamedTuple):
  """A curve averaged over seeds.

  Attributes:
    steps: [T] training steps.
    mean: [T] means over seeds.
    std: [T] sample standard deviations, 0 for a single seed.
  """

  steps: np.ndarray
  mean: np.ndarray
  std: np.ndarray


class Table(NamedTuple):
  """One line per metric and ablation, one column per mover.

  Attributes:
    columns: rows of the comparison; the last is the baseline.
    lines: (metric, ablation, text of every column).
  """

  columns: list[str]
  lines: list[tuple[str, str, list[str]]]


def table(
  scores: Mapping[str, reports.Rows], metrics: Sequence[str], kind: types.Kind
) -> Table:
  """Arranges the scores of each metric with one line per ablation.

  Args:
    scores: scores of every ablation.
    metrics: metrics to show, in order.
    kind: kind of the labels; determines the baseline.
  """
  baseline = glossary.baseline(kind)
  others = {*glossary.REFERENCE_ROWS, *glossary.BASELINE_ROWS}
  movers = {row for rows in scores.values() for row in rows} - others
  columns = [*glossary.in_order(movers), baseline]
  return Table(
    columns,
    [
      (metric, name, [reports.cell(metric, rows.get(c, {})) for c in columns])
      for metric in metrics
      for name, rows in scores.items()
    ],
  )


def references(
  scores: Mapping[str, reports.Rows], metrics: Sequence[str]
) -> list[str]:
  """States the real images' values of metrics that movers should match.

  Args:
    scores: scores of every ablation.
    metrics: metrics of the table.

  Returns:
    One sentence for each group of ablations with equal values.
  """
  wanted = [m for m in metrics if glossary.metric(m).better == 'real']
  agreeing: dict[str, list[str]] = {}
  for name, rows in scores.items():
    real = rows.get(glossary.REAL, {})
    values = [
      f'{glossary.metric(m).label} {reports.cell(m, real)}'
      for m in wanted
      if m in real
    ]
    if values:
      agreeing.setdefault(', '.join(values), []).append(name)
  return [
    f'Held-out images (row real; ablations: {all_or_some(names, scores)}) have '
    f'{text}; values closer to that are better.'
    for text, names in agreeing.items()
  ]


def all_or_some(names: Sequence[str], of: Collection[str]) -> str:
  """The names joined by commas, or 'all' if they are all names of `of`."""
  return 'all' if len(names) == len(of) else ', '.join(names)


def markdown(found: Table, notes: Sequence[str] = ()) -> str:
  """The table in Markdown: baseline in the last column, notes below."""
  *movers, baseline = found.columns
  lines = [
    ['Metric', 'Ablation', *movers, f'{baseline} (baseline)'],
    ['---', '---', *('---:' for _ in found.columns)],
  ]
  for metric, name, cells in found.lines:
    lines.append([glossary.metric(metric).label, name, *cells])
  text = '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'
  return text + reports.markdown_list(notes)


def render_html(
  title: str,
  found: Table,
  changes: Mapping[str, Mapping[str, Any]],
  figures: Sequence[tuple[str, bytes]],
  facts: Mapping[str, Any],
  notes: Sequence[str] = (),
) -> str:
  """Renders one self-contained page.

  Args:
    title: title of the page.
    found: the table.
    changes: ablation -> dotted config key -> value that it overrides.
    figures: (title, PNG bytes) of each figure.
    facts: further information, name -> value.
    notes: sentences below the table.
  """
  used = dict.fromkeys(metric for metric, _, _ in found.lines)
  return reports.template('ablations.html.j2').render(
    title=title,
    columns=found.columns,
    groups=[
      (
        glossary.metric(metric).label,
        [line[1:] for line in found.lines if line[0] == metric],
      )
      for metric in used
    ],
    definitions=[
      (glossary.metric(metric).label, glossary.METRICS[metric].definition)
      for metric in used
      if metric in glossary.METRICS
    ],
    changes=changes,
    figures=figures,
    facts=facts,
    notes=notes,
  )


def mean_curves(seeds: Sequence[Records]) -> dict[str, Line]:
  """Mean and standard deviation over seeds of every logged metric.

  Args:
    seeds: for each seed, the records of a training: 'step' and metrics by name.

  Returns:
    metric -> its line, at the steps that all seeds have. `missing` counts the
    gaps.
  """
  points: dict[str, list[dict[int, float]]] = {}
  for index, records in enumerate(seeds):
    for record in records:
      for name, value in record.items():
        if name != 'step':
          curves = points.setdefault(name, [{} for _ in seeds])
          curves[index][record['step']] = value
  lines = {}
  for name, found in points.items():
    steps = sorted(set.intersection(*(set(one) for one in found)))
    if steps:
      values = np.asarray([[one[step] for step in steps] for one in found])
      std = values.std(axis=0, ddof=1) if len(values) > 1 else 0.0 * values[0]
      lines[name] = Line(np.asarray(steps), values.mean(axis=0), std)
  return lines


def missing(seeds: Sequence[Records]) -> dict[str, list[int]]:
  """Counts the records in which a metric is missing, as for a skipped step.

  Args:
    seeds: for each seed, the records of a training, as in `mean_curves`.

  Returns:
    metric -> for each seed, the number of records that lack the metric but have
    another one of its group ('train/' or 'validation/'). Metrics without gaps
    are left out.
  """
  groups: dict[str, set[str]] = {}  # group -> its metrics
  for record in itertools.chain(*seeds):
    for name in record.keys() - {'step'}:
      groups.setdefault(name.partition('/')[0], set()).add(name)
  counts = {
    name: [_lacking(records, group, name) for records in seeds]
    for group, names in groups.items()
    for name in sorted(names)
  }
  return {name: found for name, found in counts.items() if any(found)}


def _lacking(records: Records, group: str, name: str) -> int:
  logged = [r for r in records if any(k.startswith(f'{group}/') for k in r)]
  return sum(name not in record for record in logged)
