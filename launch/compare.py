r"""Judges every mover beside floor, ceiling, prior and cheap baselines.

python -m launch.compare --config=configs/digits.py \
  --workdir=runs/digits
"""

import dataclasses
import functools
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import jax
import ml_collections
import numpy as np
from etils import epath

from launch import (
  experiment,
  files,
  movers,
  repetition,
  results,
  stage,
  startup,
)
from launch import rows as rows_lib
from lcjax import errors
from lcjax.evaluation import glossary, grids, metrics, plots, reports
from lcjax.latent import samplers

# Samples whose nearest training image is looked for, which costs a pass over
# all of them each; medians of so many vary by a percent.
_NEAREST_ROWS = 2000
_GRID_PIXELS = 112  # about: a side of a grid's images


DESCRIPTION = (
  'A variational autoencoder was trained once, without labels. All of this '
  'happens in its latent space: critics learn where real data lie and where an '
  'attribute holds, and a mover takes a latent there: an actor network in one '
  'pass (actor), gradient steps on the latent itself (optimizer), or a walk '
  'from noise by a denoiser of encodings (guided_denoiser). '
  'Decoded samples are judged by a classifier that was trained on real images '
  'alone and took part in nothing else. All movers start from the same noise '
  'and are asked for the same labels; rows of realism alone for none.'
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


def readme_metrics(exclusive: bool) -> tuple[str, ...]:
  """Columns of a table that fits a README."""
  if exclusive:
    return 'accuracy', 'worst_class_accuracy', *_LAST_COLUMNS
  scores = 'accuracy', 'macro_precision', 'macro_recall', 'macro_f1'
  return *scores, 'z_distance', *_LAST_COLUMNS


def quality_curve(
  config: ml_collections.ConfigDict,
  judge: rows_lib.Judge,
  trained: repetition.Trained,
  start: np.ndarray,
  y: np.ndarray,
) -> list[rows_lib.Scores]:
  """Scores, Frechet distance and speed of optimizer-G by its steps.

  From a single start, whatever the config says: steps are what is compared.
  """
  single = dataclasses.replace(trained, num_starts=1)
  curve = []
  for max_steps in config.compare.curve_steps:
    moved, seconds = rows_lib.timed(
      functools.partial(movers.move, single, 'optimizer', max_steps=max_steps),
      config.generate.batch_size,
      start,
      y,
    )
    logits, features = judge.look(trained.decode(moved.z))
    predicted = metrics.predict(logits, judge.test.exclusive)
    scores = metrics.classification_scores(predicted, y, judge.test.exclusive)
    curve.append(
      {
        'steps': max_steps,
        'accuracy': scores['accuracy'],
        'macro_f1': scores['macro_f1'],
        'frechet': metrics.frechet_distance(features, judge.test_features),
        'latents_per_second': len(y) / seconds,
      }
    )
  return curve


def compare_once(
  job: startup.Job,
  judge: rows_lib.Judge,
  repeat: int,
) -> tuple[dict[str, Any], dict[str, rows_lib.Row]]:
  """One repetition: {'rows', 'seconds', 'curve'}, and the judged rows."""
  config = job.config
  section, seed = config.compare, config.seed + repeat
  trained = repetition.load(job, repeat, judge.train)
  y = rows_lib.requested_attributes(judge.test, section.num_samples)
  start = samplers.prior(len(y), config.vae.latent_size, seed)
  rows = (
    rows_lib.real_rows(judge, trained, len(judge.test))
    | rows_lib.baseline_rows(job, repeat, trained, judge.test.exclusive, y)
    | rows_lib.unlabelled_rows(config, trained, start, seed)
    | rows_lib.mover_rows(config, trained, start, y)
  )
  rows = {name: rows[name] for name in glossary.in_order(rows)}
  scores = {}
  test_near = metrics.nearest_train_distance(
    judge.test.images[:_NEAREST_ROWS], judge.train.images
  )
  for name, row in rows.items():
    scores[name] = rows_lib.judge_row(judge, row, section.num_neighbours)
    if name != 'real_train':  # they are in the training set themselves
      near = metrics.nearest_train_distance(
        row.images[:_NEAREST_ROWS], judge.train.images
      )
      scores[name]['nearest_train_ratio'] = metrics.ratio(near, test_near)
  result = {'rows': scores, 'seconds': trained.seconds}
  if repeat == 0:
    result['curve'] = quality_curve(config, judge, trained, start, y)
  return result, rows


def save_samples(folder: epath.Path, rows: dict[str, rows_lib.Row]) -> None:
  """Writes NAME.npz of every row."""
  for name, row in rows.items():
    arrays: dict[str, Any] = {
      'images': row.images,
      'attributes': row.attributes,
      'latents': row.latents,
    }
    files.write_npz(
      folder / f'{name}.npz',
      **{key: array for key, array in arrays.items() if array is not None},
    )


def load_samples(
  folder: epath.Path, names: Iterable[str]
) -> dict[str, rows_lib.Row]:
  """Reads what `save_samples` wrote."""
  rows = {}
  for name in names:
    arrays = files.read_npz(folder / f'{name}.npz')
    rows[name] = rows_lib.Row(
      arrays['images'], arrays.get('attributes'), arrays.get('latents'), {}
    )
  return rows


def grid(row: rows_lib.Row, num_rows: int, num_attributes: int) -> np.ndarray:
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


def notes(
  config: ml_collections.ConfigDict, judge: rows_lib.Judge
) -> list[str]:
  """What a reader has to know of the data behind the table."""
  section, train, test = config.compare, judge.train, judge.test
  number = (
    f'{section.num_samples} samples per row, requested labels and reference '
    f'images from the {section.split} split ({len(test)} images); {len(train)} '
    'training images. Features: last hidden layer of the judge; k = '
    f'{section.num_neighbours} neighbours.'
  )
  if test.exclusive:
    return [number]
  rarest = int(np.argmin(train.attributes.sum(axis=0)))
  counts = [int(part.attributes[:, rarest].sum()) for part in (train, test)]
  return [
    number,
    f'{train.attribute_names[rarest]} holds in {counts[0]} training images and '
    f'{counts[1]} of the {section.split} split. Precision, recall and F1 are '
    'means over attributes, so the few images of the rarest count as much as '
    'those of any other.',
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
  kinds = sorted({d.device_kind for d in jax.devices()})
  return (
    f'{jax.device_count()} x {", ".join(kinds)} ({jax.default_backend()}), '
    f'{os.cpu_count()} CPU cores, {platform.machine()}'
  )


def describe(
  job: startup.Job,
  judge: rows_lib.Judge,
  runs: list[dict[str, Any]],
) -> dict[str, Any]:
  """Everything in metrics.json: rows with mean and std, and how they came."""
  config = job.config
  logits, _ = judge.look(judge.test.images)
  exclusive = judge.test.exclusive
  scores = metrics.classification_scores(
    metrics.predict(logits, exclusive), judge.test.attributes, exclusive
  )
  seconds = {
    name: float(np.mean([run['seconds'][name] for run in runs]))
    for name in runs[0]['seconds']
  }
  return {
    'title': f'Latent constraints on {config.data.name}',
    'description': DESCRIPTION,
    'rows': metrics.summarise([run['rows'] for run in runs]),
    'judge': scores,
    'num_seeds': config.num_seeds,
    'curve': runs[0]['curve'],
    'exclusive': exclusive,
    'attribute_names': list(judge.test.attribute_names),
    'seconds': {'classifier': judge.seconds} | seconds,
    'commands': [job.command('pipeline'), job.command('compare')],
    'hardware': hardware(),
    'versions': versions(),
    'config': config.to_dict(),
    'notes': notes(config, judge),
  }


def write_report(
  folder: epath.Path,
  job: startup.Job,
  report: dict[str, Any],
  rows: dict[str, rows_lib.Row],
) -> None:
  """Writes report.html: the table, and pictures of the first repetition."""
  config, workdir = job.config, job.workdir
  names = report['attribute_names']
  curve, exclusive = report['curve'], report['exclusive']

  def point(name: str) -> dict[str, float | None]:
    scores = report['rows'][name]
    return {key: scores[key]['mean'] for key in keys}

  score = 'accuracy' if exclusive else 'macro_f1'
  keys = (score, 'frechet', 'latents_per_second')
  baseline = glossary.baseline(exclusive)
  quality = plots.quality_against_compute(
    [point['steps'] for point in curve],
    {key: [point[key] for point in curve] for key in keys},
    {name: point(name) | {'steps': 1} for name in stage.actors(config)}
    | {baseline: point(baseline)},
  )
  figures = [
    {
      'title': 'Quality against compute',
      'caption': f'{glossary.METRICS[score].label} and Frechet distance of '
      'optimizer-G from one start after so many steps at most, first seed; an '
      'actor takes one pass of its network.',
      'png': quality,
    },
    {
      'title': 'Training curves',
      'caption': 'First seed, every stage.',
      'png': plots.curves(stage.curves(job)),
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
    reports.markdown_table(report['rows'], readme_metrics(exclusive)),
    reports.markdown_table(report['rows']),
  ]
  files.write(folder / 'report.md', '\n'.join(tables))


def run(job: startup.Job) -> None:
  """Compares over all seeds; a repetition measured before is not redone."""
  config, workdir = job.config, job.workdir
  train = experiment.load_data(job, 'train')
  test = experiment.load_data(job, config.compare.split)
  least = min(config.compare.num_samples, len(test))
  if config.compare.num_neighbours >= least:
    raise errors.UserError(
      f'config.compare.num_neighbours={config.compare.num_neighbours} must be '
      f'below {least}: config.compare.num_samples, and the images of the '
      f'{config.compare.split} split'
    )
  judge = rows_lib.load_judge(job, train, test)
  folder = workdir / 'compare'
  runs = []
  first_rows: dict[str, rows_lib.Row] = {}
  for repeat in range(config.num_seeds):
    key = results.result_key(job, ['compare'], repeat)
    path = folder / 'runs' / f'{repeat}.json'
    found = results.stored(job, path, key)
    if found is not None:
      print(f'compare: seed {config.seed + repeat} was judged before')
    else:
      print(f'compare: judging seed {config.seed + repeat}')
      found, rows = compare_once(job, judge, repeat)
      found |= key
      if repeat == 0:
        first_rows = rows
        save_samples(folder / 'samples', rows)
      files.write_json(path, found)
    runs.append(found)
  startup.note_config(job)
  report = describe(job, judge, runs)
  first_rows = first_rows or load_samples(folder / 'samples', report['rows'])
  write_report(folder, job, report, first_rows)
  files.write_json(folder / 'metrics.json', report)
  reports.print_table(report['rows'], train.exclusive)
  for sentence in reports.verdicts(report['rows'], train.exclusive):
    print(sentence)
  print(f'report: {folder / "report.html"}')


def main() -> None:
  """Flags, then one call."""
  run(startup.job())


if __name__ == '__main__':
  startup.run(main)
