"""What `launch.compare` says at its end: the table, and pictures."""

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

_GRID_PIXELS = 112  # about: a side of a grid's images

DESCRIPTION = (
  'A variational autoencoder was trained once, without labels. All of this '
  'happens in its latent space: critics learn where real data lie and where an '
  'attribute holds, and a mover takes a latent there: an actor network in one '
  'pass (actor), gradient steps on the latent itself (optimizer), or sampling '
  'from noise by a denoiser of encodings (guided_denoiser). '
  'Decoded samples are judged by a classifier that was trained on real images '
  'alone and took part in nothing else. All movers start from the same noise, '
  'those that try a row again from more of it, and are asked for the same '
  'labels; rows of realism alone for none.'
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
  """Columns of a table that fits a README."""
  if kind == 'classes':
    return 'accuracy', 'worst_class_accuracy', *_LAST_COLUMNS
  scores = 'accuracy', 'macro_precision', 'macro_recall', 'macro_f1'
  return *scores, 'z_distance', *_LAST_COLUMNS


def grid(row: judging.Row, num_rows: int, num_attributes: int) -> np.ndarray:
  """[num_rows, Y, H, W, C]: a column for every attribute, in order.

  The first images where no attributes were requested.
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
  """What a reader has to know of the data behind the table."""
  section, train, test = config.compare, judge.train, judge.test
  number = (
    f'{section.num_samples} samples per row, but {len(test)} real images and '
    'reconstructions (a Frechet distance of fewer is larger). Requested labels '
    f'and reference images: the {section.split} split, {len(test)} images; '
    f'{len(train)} training images. Features: last hidden layer of the judge; '
    f'k = {section.num_neighbours} neighbours.'
  )
  requested = judging.requested_attributes(test, section.num_samples)
  if isinstance(test.labels, types.Classes):
    return [number, *_left_out(requested, test.attribute_names)]
  rarest = int(np.argmin(train.attributes.sum(axis=0)))
  counts = [int(part.attributes[:, rarest].sum()) for part in (train, test)]
  return [
    number,
    *_left_out(requested, test.attribute_names),
    f'{train.attribute_names[rarest]} holds in {counts[0]} training images and '
    f'{counts[1]} of the {section.split} split. Precision, recall and F1 are '
    'means over attributes, so the few images of the rarest count as much as '
    'those of any other.',
  ]


def _left_out(requested: np.ndarray, names: Sequence[str]) -> list[str]:
  """Says which attributes may be missing in means over attributes."""
  never = [
    name for name, y in zip(names, requested.T, strict=True) if not y.any()
  ]
  if not never:
    return []
  return [
    f'Never requested: {", ".join(never)}. Where the judge does not see one of '
    'them in a row either, precision, recall and F1 are means over the others.'
  ]


def versions() -> dict[str, str]:
  """Of Python and the packages that numbers depend on."""
  packages = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scikit-learn')
  found = {name: metadata.version(name) for name in packages}
  return {
    'python': platform.python_version(),
    'lcjax': metadata.version('lcjax'),
  } | found


def hardware() -> str:
  """What the numbers were measured on."""
  cores, machine = os.cpu_count(), platform.machine()
  return f'{parallel.describe_devices()}, {cores} CPU cores, {machine}'


def measured_on() -> dict[str, Any]:
  """What a seed is judged with and on, kept with its result."""
  return {'hardware': hardware(), 'versions': versions()}


def measured_on_all(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """The same of all results; another version or machine is named beside."""
  found = [
    measured_on() | dict(run) for run in runs
  ]  # older results do not say
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
  """Everything in metrics.json: rows with mean and std, and how they came."""
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
    folder: of both.
    job: what was done.
    report: from `summarize`.
    rows: of the first seed, whose samples are shown.
    curves: records of its trainings by name.
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
      'curve: optimizer-G from one start after so many steps at most, first '
      'seed. All others, and all speeds, are those of the table: means over '
      'seeds, optimizer-G from as many starts as there. An actor takes one '
      'pass of its network.',
      'png': quality,
    },
    {
      'title': 'Training curves',
      'caption': 'First seed, every stage.',
      'png': plots.curves(curves),
    },
  ]
  transformed = workdir / 'generate' / 'encodings_actor.png'
  if transformed.exists():
    figures.insert(
      0,
      {
        'title': 'Transforming held-out images',
        'caption': 'Original, reconstruction, then the encoding moved towards '
        'each requested label by the actor.',
        'png': transformed.read_bytes(),
      },
    )
  # As large on the page as small images are at four pixels for one.
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
  # A table that fits a README, then everything.
  tables = [
    reports.markdown_table(report['rows'], readme_metrics(report['labels'])),
    reports.markdown_table(report['rows']),
  ]
  gaps = reports.markdown_list(reports.not_finite(report['not_finite']))
  files.write(folder / 'report.md', '\n'.join(tables) + gaps)
