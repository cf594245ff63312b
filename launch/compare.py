r"""Judges every mover beside floor, ceiling, prior and cheap baselines.

python -m launch.compare --config=configs/digits.py \
  --workdir=runs/digits
"""

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

from launch import experiment, movers, stage, startup
from launch import rows as rows_lib
from lcjax import errors
from lcjax.evaluation import glossary, metrics, plots, reports
from lcjax.latent import samplers

DESCRIPTION = (
  'A variational autoencoder was trained once, without labels. All of this '
  'happens in its latent space: critics learn where real data lie and where an '
  'attribute holds, and a mover takes a latent there, either an actor network '
  'in one pass (actor) or gradient steps on the latent itself (optimizer). '
  'Decoded samples are judged by a classifier that was trained on real images '
  'alone and took part in nothing else. All movers start from the same noise '
  'and are asked for the same labels.'
)


README_METRICS = (
  'accuracy',
  'worst_class_accuracy',
  'frechet',
  'diversity',
  'knn_recall',
  'coverage',
  'nearest_train_ratio',
  'latents_per_second',
  'training_seconds',
)


def quality_curve(
  config: ml_collections.ConfigDict,
  judge: rows_lib.Judge,
  trained: movers.Trained,
  start: np.ndarray,
  y: np.ndarray,
) -> list[rows_lib.Scores]:
  """Accuracy, Frechet distance and speed of optimizer-G by its steps."""
  curve = []
  for max_steps in config.compare.curve_steps:
    moved, seconds = rows_lib.timed(
      functools.partial(movers.move, trained, 'optimizer', start, y, max_steps)
    )
    logits, features = judge.look(trained.decode(moved.z))
    predicted = metrics.predict(logits, judge.test.exclusive)
    scores = metrics.classification_scores(predicted, y, judge.test.exclusive)
    curve.append(
      {
        'steps': max_steps,
        'accuracy': scores['accuracy'],
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
  trained = movers.load(job, repeat, judge.train)
  y = rows_lib.requested_attributes(judge.test, section.num_samples)
  start = samplers.prior(len(y), config.vae.latent_size, seed)
  rows = (
    rows_lib.real_rows(judge, trained, len(judge.test))
    | rows_lib.baseline_rows(config, trained, judge.test.exclusive, y, seed)
    | rows_lib.mover_rows(trained, start, y)
  )
  order = [name for name in glossary.ROW_DESCRIPTIONS if name in rows]
  rows = {name: rows[name] for name in order}
  scores = {}
  for name, row in rows.items():
    scores[name] = rows_lib.judge_row(judge, row, section.num_neighbours)
    if name != 'real_train':  # they are in the training set themselves
      scores[name]['nearest_train_ratio'] = metrics.nearest_train_ratio(
        row.images, judge.train.images, judge.test.images
      )
  result = {'rows': scores, 'seconds': trained.seconds}
  if repeat == 0:
    result['curve'] = quality_curve(config, judge, trained, start, y)
  return result, rows


def save_samples(folder: epath.Path, rows: dict[str, rows_lib.Row]) -> None:
  """Writes NAME.npz of every row."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, row in rows.items():
    arrays: dict[str, Any] = {
      'images': row.images,
      'attributes': row.attributes,
    }
    if row.latents is not None:
      arrays['latents'] = row.latents
    np.savez_compressed(os.fspath(folder / f'{name}.npz'), **arrays)


def load_samples(
  folder: epath.Path, names: Iterable[str]
) -> dict[str, rows_lib.Row]:
  """Reads what `save_samples` wrote."""
  rows = {}
  for name in names:
    with np.load(os.fspath(folder / f'{name}.npz')) as arrays:
      rows[name] = rows_lib.Row(
        arrays['images'], arrays['attributes'], arrays.get('latents'), {}
      )
  return rows


def grid(row: rows_lib.Row, num_rows: int) -> np.ndarray:
  """[num_rows, Y, H, W, C]: a column for every attribute, in order."""
  num_attributes = row.attributes.shape[1]
  blank = np.zeros_like(row.images[0])
  cells = []
  for attribute in range(num_attributes):
    have = row.images[row.attributes[:, attribute] > 0.5][:num_rows]
    cells.append([*have, *[blank] * (num_rows - len(have))])
  return np.asarray(cells).swapaxes(0, 1)


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
  section = config.compare
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
    'notes': [
      f'{section.num_samples} samples per row, requested labels and reference '
      f'images from the {section.split} split ({len(judge.test)} images); '
      f'{len(judge.train)} training images. Features: last hidden layer of the '
      f'judge; k = {section.num_neighbours} neighbours.'
    ],
  }


def write_report(
  folder: epath.Path,
  workdir: epath.Path,
  config: ml_collections.ConfigDict,
  report: dict[str, Any],
  rows: dict[str, rows_lib.Row],
) -> None:
  """Writes report.html: the table, and pictures of the first repetition."""
  names = report['attribute_names']
  curve = report['curve']

  def point(name: str) -> dict[str, float | None]:
    scores = report['rows'][name]
    return {key: scores[key]['mean'] for key in keys}

  keys = ('accuracy', 'frechet', 'latents_per_second')
  quality = plots.quality_against_compute(
    [point['steps'] for point in curve],
    {key: [point[key] for point in curve] for key in keys},
    {
      'actor': point('actor') | {'steps': 1},
      'class_mixture': point('class_mixture'),
    },
  )
  figures = [
    {
      'title': 'Quality against compute',
      'caption': 'Accuracy and Frechet distance of optimizer-G after so many '
      'steps at most, first seed; the actor takes one pass of its network.',
      'png': quality,
    },
    {
      'title': 'Training curves',
      'caption': 'First seed, every stage.',
      'png': plots.curves(stage.curves(workdir)),
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
  page = {k: v for k, v in report.items() if k != 'curve'} | {
    'grids': {
      name: plots.png_bytes(
        plots.tile(grid(row, config.compare.grid_rows), scale=4)
      )
      for name, row in rows.items()
    },
    'grid_labels': names,
    'figures': figures,
  }
  (folder / 'report.html').write_text(reports.render_html(page))
  # A table that fits a README, then everything.
  tables = [
    reports.markdown_table(report['rows'], README_METRICS),
    reports.markdown_table(report['rows']),
  ]
  (folder / 'report.md').write_text('\n'.join(tables))


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
  (folder / 'runs').mkdir(parents=True, exist_ok=True)
  runs = []
  first_rows: dict[str, rows_lib.Row] = {}
  for repeat in range(config.num_seeds):
    key = stage.result_key(job, 'compare', repeat)
    path = folder / 'runs' / f'{repeat}.json'
    found = stage.stored(job, path, key)
    if found is not None:
      print(f'compare: seed {config.seed + repeat} was judged before')
    else:
      print(f'compare: judging seed {config.seed + repeat}')
      found, rows = compare_once(job, judge, repeat)
      found |= key
      if repeat == 0:
        first_rows = rows
        save_samples(folder / 'samples', rows)
      reports.write_json(os.fspath(path), found)
    runs.append(found)
  startup.note_config(job)
  report = describe(job, judge, runs)
  first_rows = first_rows or load_samples(folder / 'samples', report['rows'])
  write_report(folder, workdir, config, report, first_rows)
  reports.write_json(os.fspath(folder / 'metrics.json'), report)
  reports.print_table(report['rows'])
  for sentence in reports.verdicts(report['rows']):
    print(sentence)
  print(f'report: {folder / "report.html"}')


def main() -> None:
  """Flags, then one call."""
  run(startup.job())


if __name__ == '__main__':
  startup.run(main)
