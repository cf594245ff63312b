"""Ablations side by side: one table, and curves as means over seeds.

`scores` is ablation -> row -> metric -> {'mean', 'std'}: the rows of a
comparison, one for each mover and baseline.
"""

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np

from lcjax.evaluation import glossary, reports

Records = Sequence[Mapping[str, Any]]


class Line(NamedTuple):
  """The mean of some seeds' curves.

  Attributes:
    steps: [T] training steps.
    mean: [T] means over seeds.
    std: [T] sample standard deviations, 0 for a single seed.
  """

  steps: np.ndarray
  mean: np.ndarray
  std: np.ndarray


class Table(NamedTuple):
  """A line for each metric and ablation, a column for each mover.

  Attributes:
    columns: rows of the comparison; the last is the baseline.
    lines: metric, ablation, and a text for every column.
  """

  columns: list[str]
  lines: list[tuple[str, str, list[str]]]


def table(
  scores: Mapping[str, reports.Rows], metrics: Sequence[str], exclusive: bool
) -> Table:
  """Lays the scores out so that ablations stand one below the other.

  Args:
    scores: of every ablation.
    metrics: which, in order.
    exclusive: whether attributes are classes; says which row is the baseline.
  """
  baseline = glossary.baseline(exclusive)
  aside = {*glossary.REFERENCE_ROWS, *glossary.BASELINE_ROWS}
  movers = {row for rows in scores.values() for row in rows} - aside
  columns = [*glossary.in_order(movers), baseline]
  return Table(
    columns,
    [
      (metric, name, [reports.cell(metric, rows.get(c, {})) for c in columns])
      for metric in metrics
      for name, rows in scores.items()
    ],
  )


def _label(metric: str) -> str:
  known = glossary.METRICS.get(metric)
  return known.label if known else metric.replace('_', ' ')


def markdown(found: Table) -> str:
  """The table in Markdown; the baseline is the last column."""
  *movers, baseline = found.columns
  lines = [
    ['Metric', 'Ablation', *movers, f'{baseline} (baseline)'],
    ['---', '---', *('---:' for _ in found.columns)],
  ]
  for metric, name, cells in found.lines:
    lines.append([_label(metric), name, *cells])
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def render_html(
  title: str,
  found: Table,
  changes: Mapping[str, Mapping[str, Any]],
  figures: Sequence[tuple[str, bytes]],
  facts: Mapping[str, Any],
) -> str:
  """Renders one self-contained page.

  Args:
    title: of the page.
    found: the table.
    changes: ablation -> dotted key -> value, its differences.
    figures: title and PNG bytes of each.
    facts: what else a reader should know, by name.
  """
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['data_uri'] = reports.data_uri
  template = importlib.resources.files(__package__) / 'ablations.html.j2'
  used = dict.fromkeys(metric for metric, _, _ in found.lines)
  return environment.from_string(template.read_text('utf-8')).render(
    title=title,
    columns=found.columns,
    groups=[
      (_label(metric), [line[1:] for line in found.lines if line[0] == metric])
      for metric in used
    ],
    definitions=[
      (_label(metric), glossary.METRICS[metric].definition)
      for metric in used
      if metric in glossary.METRICS
    ],
    changes=changes,
    figures=figures,
    facts=facts,
  )


def mean_curves(seeds: Sequence[Records]) -> dict[str, Line]:
  """Mean and spread of every logged metric over seeds.

  Args:
    seeds: records of one training each, with 'step' and metrics by name.

  Returns:
    metric -> its line, at the steps that all seeds have.
  """
  points: dict[str, list[dict[int, float]]] = {}
  for index, records in enumerate(seeds):
    for record in records:
      for name, value in record.items():
        if name != 'step':
          own = points.setdefault(name, [{} for _ in seeds])
          own[index][record['step']] = value
  lines = {}
  for name, found in points.items():
    steps = sorted(set.intersection(*(set(one) for one in found)))
    if steps:
      values = np.asarray([[one[step] for step in steps] for one in found])
      std = values.std(axis=0, ddof=1) if len(values) > 1 else 0.0 * values[0]
      lines[name] = Line(np.asarray(steps), values.mean(axis=0), std)
  return lines
