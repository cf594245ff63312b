"""The comparison table: rows in, scores, sentences and a report out.

`lcjax.compare` and `launch.compare` both come here with their rows.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from lcjax import types
from lcjax.evaluation import features as features_lib
from lcjax.evaluation import (
  glossary,
  grids,
  judging,
  metrics,
  reports,
  summary,
  verdicts,
)
from lcjax.evaluation import terms as terms_lib
from lcjax.training import parallel

_GRID_PIXELS = 112  # approximate side of a grid's images on the page
_UNLABELLED_COLUMNS = 10  # of the grids of data without labels


def judge_seed(
  judge: judging.Judge,
  rows: Mapping[str, judging.Row],
  num_neighbours: int,
  terms: terms_lib.Terms | None = None,
) -> tuple[dict[str, judging.Scores], verdicts.Errors, dict[str, judging.Row]]:
  """The table of one seed, its standard errors, and its rows in order.

  Args:
    judge: knows the real data.
    rows: by name; with `terms`, real samples that satisfy them are added.
    num_neighbours: k.
    terms: of a constraint, that rows are judged by, too.
  """
  real = None if terms is None else judging.satisfying(judge.test, terms)
  if real is not None and real.any():
    y = None if judge.test.labels is None else judge.test.attributes[real]
    rows = {
      **rows,
      glossary.REAL_SATISFYING: judging.Row(
        judge.test.images[real], y, None, {}, against_test=False
      ),
    }
  ordered = {name: rows[name] for name in glossary.in_order(rows)}
  found = judging.judge_rows(judge, ordered, num_neighbours, terms)
  errors = verdicts.standard_errors(
    {name: one.drawn for name, one in found.items()}, _kind(judge.test.labels)
  )
  return {name: one.scores for name, one in found.items()}, errors, ordered


def summarise(
  tables: Sequence[verdicts.Table],
  errors: Sequence[verdicts.Errors | None],
  seeds: Sequence[int],
  labels: types.Labels | None,
) -> dict[str, Any]:
  """Joins the tables of all seeds to what every report has.

  Args:
    tables: from `judge_seed`, or as JSON stores it.
    errors: likewise; None for a table of an older version.
    seeds: of the tables.
    labels: of the data; None without labels.

  Returns:
    'rows' with mean and std, and with one seed the standard 'error' over
    images; 'differences' (see `verdicts.differences`), 'not_finite', 'judge'
    (its scores of held-out samples), 'num_seeds', 'labels', 'attribute_names'.
  """
  rows = summary.summarise(tables)
  if len(tables) == 1 and errors[0] is not None:
    for row, known in errors[0]['rows'].items():
      for name, error in known.items():
        rows[row][name]['error'] = error
  return {
    'rows': rows,
    'differences': verdicts.differences(tables, errors, _kind(labels)),
    'not_finite': summary.not_finite(tables, seeds),
    'judge': {
      name: scores['mean']
      for name, scores in rows[glossary.REAL].items()
      if glossary.metric(name).group == glossary.ATTRIBUTES
    },
    'num_seeds': len(tables),
    'labels': _kind(labels),
    'attribute_names': [] if labels is None else list(labels.names),
  }


def _kind(labels: types.Labels | None) -> types.Kind | None:
  return None if labels is None else labels.kind


def notes(
  judge: judging.Judge,
  num_samples: int,
  num_neighbours: int,
  split: str,
  num_rows: int | None,
  features: str = 'last hidden layer of the judge',
) -> list[str]:
  """Notes on the data behind the table.

  Args:
    judge: knows the real data.
    num_samples: of every row of generated samples.
    num_neighbours: k.
    split: name of the held-out samples.
    num_rows: see `judging.common_rows`; None for results of older versions,
      which have Frechet distances of all samples of a row.
    features: what they are.
  """
  train, test = judge.train, judge.test
  second = features_lib.describe(train.images)
  equal = (
    'Some results are of an older version: their Frechet distances are of all '
    'samples of a row, and larger for fewer; --overwrite to judge them again.'
    if num_rows is None
    else f'Frechet distances and CAS are of n = {num_rows} samples in every '
    'row.'
  )
  number = (
    f'{num_samples} samples per row, but {len(test)} real images and '
    f'reconstructions. {equal} Requested labels and reference images are from '
    f'the {split} split, {len(test)} images; {len(train)} training images. '
    f'Features: {features}; the second ones: {second}; '
    f'k = {num_neighbours} neighbours.'
  )
  labels = test.labels
  if labels is None:
    return [number]
  number += _agreement(judge, labels)
  requested = judging.requested_attributes(test, num_samples)
  left_out = _left_out(requested, labels.names)
  if isinstance(labels, types.Classes):
    return [number, *left_out]
  rarest = int(np.argmin(train.attributes.sum(axis=0)))
  counts = [int(part.attributes[:, rarest].sum()) for part in (train, test)]
  return [
    number,
    *left_out,
    f'{labels.names[rarest]}, the rarest attribute, is present in '
    f'{counts[0]} training images and in {counts[1]} of the {split} '
    'split. Precision, recall and F1 are means over attributes, so the few '
    'images of the rarest count as much as those of any other.',
  ]


def term_notes(judged_by: Mapping[str, str], num_real: int) -> list[str]:
  """Who judges the terms of a constraint.

  Args:
    judged_by: see `terms.Terms.judged_by`; empty without a constraint.
    num_real: test samples that satisfy the constraint; 0 also if that is not
      known.
  """
  if not judged_by:
    return []
  who = '; '.join(f'{name} by {one}' for name, one in judged_by.items())
  floor = (
    'Rows that are asked for nothing, such as prior, are the floor of these '
    'shares.'
  )
  ceiling = (
    f'The row {glossary.REAL_SATISFYING} is the ceiling: the {num_real} test '
    'samples that satisfy it by their own labels and these checks.'
    if num_real
    else 'No test sample satisfies it, or none can be judged, so there is no '
    'ceiling.'
  )
  return [f'Terms of the constraint are judged so: {who}. {floor} {ceiling}']


def _agreement(judge: judging.Judge, labels: types.Labels) -> str:
  """How good the other judge is on real samples, and how like the judge."""
  if judge.other_fn is None:
    return ''
  images, y = judge.test.images, judge.test.attributes
  decided = judging.decisions(judge.predict_fn, images, labels)
  other = judging.decisions(judge.other_fn, images, labels)
  accuracy = metrics.classification_scores(other, y, labels)['accuracy']
  same = judging.agreement(decided, other)
  return (
    f' On real held-out samples the other judge has accuracy {accuracy:.3f}, '
    f'and both judges decide the same on {same:.3f} of them; the column of '
    'their agreement has the other rows.'
  )


def _left_out(requested: np.ndarray, names: Sequence[str]) -> list[str]:
  """A note on attributes that means over attributes may leave out."""
  never = [
    name for name, y in zip(names, requested.T, strict=True) if not y.any()
  ]
  if not never:
    return []
  return [
    f'Never requested: {", ".join(never)}. If the judge does not predict one '
    'of them in a row either, precision, recall and F1 there are means over '
    'the others.'
  ]


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that affect the results."""
  packages = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scikit-learn')
  found = {name: metadata.version(name) for name in packages}
  return {
    'python': platform.python_version(),
    'lcjax': metadata.version('lcjax'),
  } | found


def hardware() -> str:
  """Describes the devices and CPU, for the measured speeds."""
  cores, machine = os.cpu_count(), platform.machine()
  return f'{parallel.describe_devices()}, {cores} CPU cores, {machine}'


def sentences(report: Mapping[str, Any]) -> list[str]:
  """What is not finite, and how every mover compares with its baseline."""
  rows, gaps = report['rows'], reports.not_finite(report['not_finite'])
  return [
    *gaps,
    *verdicts.sentences(rows, report['differences'], report['labels']),
  ]


def markdown(report: Mapping[str, Any]) -> str:
  """A short table that fits a README, then all columns."""
  rows = report['rows']
  present = {name for scores in rows.values() for name in scores}
  short = [
    name
    for name in glossary.readme_metrics(report['labels'])
    if name in present
  ] + glossary.of_terms(present)
  tables = reports.markdown_table(rows, short), reports.markdown_table(rows)
  notes = [
    reports.spread(rows, report['num_seeds']),
    *reports.not_finite(report['not_finite']),
    *reports.adversarial(report.get('adversarial', ())),
  ]
  return '\n'.join(tables) + reports.markdown_list(notes)


def html(
  report: Mapping[str, Any],
  rows: Mapping[str, judging.Row],
  grid_rows: int,
) -> str:
  """The page of a report, see `reports.render_html`, with grids of samples.

  Args:
    report: from `summarise`, and whatever else the page shows.
    rows: uint8 pictures of the first seed; empty for samples that are none.
    grid_rows: pictures per attribute.
  """
  names = report['attribute_names']
  drawn = {}
  for name, row in rows.items():
    # Small images are enlarged up to 4 times, to about `_GRID_PIXELS`.
    side = max(row.images.shape[1:3])
    scale = max(1, min(4, _GRID_PIXELS // side))
    cells = _grid(row, grid_rows, len(names) or _UNLABELLED_COLUMNS)
    drawn[name] = grids.png_bytes(grids.tile(cells, scale=scale))
  return reports.render_html({**report, 'grids': drawn, 'grid_labels': names})


def _grid(row: judging.Row, num_rows: int, num_columns: int) -> np.ndarray:
  """Images with each requested attribute, one column per attribute.

  If no attributes were requested, the first images fill the columns.

  Args:
    row: samples of a row of the table.
    num_rows: images per column; missing ones are black.
    num_columns: Y, or any number if no attributes were requested.

  Returns:
    [num_rows, num_columns, H, W, C].
  """
  blank = np.zeros_like(row.images[0])
  cells = []
  for column in range(num_columns):
    if row.attributes is None:
      own = slice(column * num_rows, (column + 1) * num_rows)
      have = row.images[own]
    else:
      have = row.images[row.attributes[:, column] > 0.5][:num_rows]
    cells.append([*have, *[blank] * (num_rows - len(have))])
  return np.asarray(cells).swapaxes(0, 1)
