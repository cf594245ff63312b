"""The report of `launch.compare`: tables, image grids and figures."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import ml_collections
import numpy as np
from etils import epath

from lcjax import types
from lcjax.evaluation import (
  glossary,
  grids,
  judging,
  plots,
  reports,
  summary,
)
from lcjax.experiment import files, jobs, stage
from lcjax.training import parallel

_GRID_PIXELS = 112  # approximate side of a grid's images on the page

DESCRIPTION = (
  'A variational autoencoder was trained once, without labels; everything '
  'else happens in its latent space. Critics learn which latents are realistic '
  'and which have an attribute. A mover moves a latent there: an actor network '
  'in one pass (actor), gradient steps on the latent itself (optimizer), or '
  'sampling from noise by a denoiser of encodings (guided_denoiser). '
  'Decoded samples are judged by an independent classifier, trained on real '
  'images only and used for nothing else. All movers start from the same noise '
  'and get the same requested labels, except that retries draw additional '
  'noise, and that rows of realism alone get no labels.'
)

_LAST_COLUMNS = (
  'frechet',
  'diversity',
  'knn_recall',
  'coverage',
  'nearest_train_ratio',
  'latents_per_second',
  'training_seconds',
)


def readme_metrics(kind: types.Kind) -> tuple[str, ...]:
  """Columns of the short table, which fits a README."""
  if kind == 'classes':
    return 'accuracy', 'worst_class_accuracy', *_LAST_COLUMNS
  scores = 'accuracy', 'macro_precision', 'macro_recall', 'macro_f1'
  return *scores, 'z_distance', *_LAST_COLUMNS


def grid(row: judging.Row, num_rows: int, num_attributes: int) -> np.ndarray:
  """Images with each requested attribute, one column per attribute.

  If no attributes were requested, the first images fill the columns.

  Args:
    row: samples of a row of the table.
    num_rows: images per attribute; missing ones are black.
    num_attributes: Y.

  Returns:
    [num_rows, Y, H, W, C].
  """
  blank = np.zeros_like(row.images[0])
  cells = []
  for attribute in range(num_attributes):
    if row.attributes is None:
      own = slice(attribute * num_rows, (attribute + 1) * num_rows)
      have = row.images[own]
    else:
      have = row.images[row.attributes[:, attribute] > 0.5][:num_rows]
    cells.append([*have, *[blank] * (num_rows - len(have))])
  return np.asarray(cells).swapaxes(0, 1)


def notes(config: ml_collections.ConfigDict, judge: judging.Judge) -> list[str]:
  """Notes on the data behind the table."""
  section, train, test = config.compare, judge.train, judge.test
  number = (
    f'{section.num_samples} samples per row, but {len(test)} real images and '
    'reconstructions (fewer images give a larger Frechet distance). Requested '
    f'labels and reference images are from the {section.split} split, '
    f'{len(test)} images; {len(train)} training images. Features: last hidden '
    f'layer of the judge; k = {section.num_neighbours} neighbours.'
  )
  requested = judging.requested_attributes(test, section.num_samples)
  if isinstance(test.labels, types.Classes):
    return [number, *_left_out(requested, test.attribute_names)]
  rarest = int(np.argmin(train.attributes.sum(axis=0)))
  counts = [int(part.attributes[:, rarest].sum()) for part in (train, test)]
  return [
    number,
    *_left_out(requested, test.attribute_names),
    f'{train.attribute_names[rarest]}, the rarest attribute, is present in '
    f'{counts[0]} training images and in {counts[1]} of the {section.split} '
    'split. Precision, recall and F1 are means over attributes, so the few '
    'images of the rarest count as much as those of any other.',
  ]


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


def measured_on() -> dict[str, Any]:
  """Hardware and package versions, stored with the result of a seed."""
  return {'hardware': hardware(), 'versions': versions()}


def measured_on_all(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Merges `measured_on` of all results; lists all values that differ."""
  # Results of older versions lack the entries: the current ones are assumed.
  found = [measured_on() | dict(run) for run in runs]
  return {
    'hardware': '; '.join(dict.fromkeys(run['hardware'] for run in found)),
    'versions': {
      name: ' and '.join(dict.fromkeys(run['versions'][name] for run in found))
      for name in versions()
      if all(name in run['versions'] for run in found)
    },
  }


def summarize(
  job: jobs.Job,
  judge: judging.Judge,
  runs: list[dict[str, Any]],
) -> dict[str, Any]:
  """The contents of metrics.json: scores as mean and std, and their context."""
  config = job.config
  seconds = {
    name: float(np.mean([run['seconds'][name] for run in runs]))
    for name in runs[0]['seconds']
    if all(name in run['seconds'] for run in runs)
  }
  tables = [run['rows'] for run in runs]
  seeds = [config.seed + replicate for replicate in range(len(runs))]
  rows = summary.summarise(tables)
  return {
    'title': f'Latent constraints on {config.data.name}',
    'description': DESCRIPTION,
    'rows': rows,
    'not_finite': summary.not_finite(tables, seeds),
    'judge': {
      name: scores['mean']
      for name, scores in rows[glossary.REAL].items()
      if glossary.metric(name).group == glossary.ATTRIBUTES
    },
    'num_seeds': config.num_seeds,
    'curve': runs[0]['curve'],
    'labels': judge.test.labels.kind,
    'attribute_names': list(judge.test.attribute_names),
    'seconds': {'classifier': judge.seconds} | seconds,
    'commands': [job.command('pipeline'), job.command('compare')],
    **measured_on_all(runs),
    'config': config.to_dict(),
    'notes': notes(config, judge),
  }


def write(
  folder: epath.Path,
  job: jobs.Job,
  report: dict[str, Any],
  rows: dict[str, judging.Row],
  curves: dict[str, list[dict[str, Any]]],
) -> None:
  """Writes report.html and report.md.

  Args:
    folder: of both files.
    job: config and workdir of the run.
    report: from `summarize`.
    rows: the first seed's rows, for the grids of samples.
    curves: logged metrics of the first seed's trainings, by name.
  """
  config, workdir = job.config, job.workdir
  names = report['attribute_names']
  curve, kind = report['curve'], report['labels']

  def point(name: str) -> dict[str, float | None]:
    scores = report['rows'][name]
    return {key: scores[key]['mean'] for key in keys}

  score = 'accuracy' if kind == 'classes' else 'macro_f1'
  keys = (score, 'frechet', 'latents_per_second')
  quality = plots.quality_against_compute(
    [point['steps'] for point in curve],
    {key: [point[key] for point in curve] for key in (score, 'frechet')},
    {name: point(name) | {'steps': 1} for name in stage.actors(config)}
    | {name: point(name) for name in (glossary.baseline(kind), 'optimizer')},
  )
  figures = [
    {
      'title': 'Quality against compute',
      'caption': f'{glossary.metric(score).label} and Frechet distance. The '
      'curve: optimizer-G on the first seed, from one start, by maximum number '
      'of steps. Everything else, and all speeds, are the values of the table: '
      'means over seeds, with optimize.num_starts starts for optimizer-G. An '
      'actor takes a single step, one pass of its network.',
      'png': quality,
    },
    {
      'title': 'Training curves',
      'caption': 'All stages of the first seed.',
      'png': plots.curves(curves),
    },
  ]
  transformed = workdir / 'generate' / 'encodings_actor.png'
  if transformed.exists():
    figures.insert(
      0,
      {
        'title': 'Transforming held-out images',
        'caption': 'Original, reconstruction, then the encoding moved by the '
        'actor towards each requested label.',
        'png': transformed.read_bytes(),
      },
    )
  # Small images are enlarged up to 4 times, to about `_GRID_PIXELS`.
  side = max(next(iter(rows.values())).images.shape[1:3])
  scale = max(1, min(4, _GRID_PIXELS // side))
  page = {k: v for k, v in report.items() if k != 'curve'} | {
    'grids': {
      name: grids.png_bytes(
        grids.tile(grid(row, config.compare.grid_rows, len(names)), scale=scale)
      )
      for name, row in rows.items()
    },
    'grid_labels': names,
    'figures': figures,
  }
  files.write(folder / 'report.html', reports.render_html(page))
  # A short table that fits a README, then all columns.
  tables = [
    reports.markdown_table(report['rows'], readme_metrics(report['labels'])),
    reports.markdown_table(report['rows']),
  ]
  gaps = reports.markdown_list(reports.not_finite(report['not_finite']))
  files.write(folder / 'report.md', '\n'.join(tables) + gaps)
