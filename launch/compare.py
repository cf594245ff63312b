r"""Judges every mover beside floor, ceiling, prior and cheap baselines.

python -m launch.compare --config=configs/digits.py \
  --workdir=runs/digits
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import ml_collections
import numpy as np
from etils import epath

from launch import (
  compare_report,
  experiment,
  files,
  movers,
  repetition,
  results,
  startup,
)
from launch import rows as rows_lib
from lcjax import errors
from lcjax.evaluation import glossary, metrics, reports
from lcjax.latent import samplers

# Samples whose nearest training image is looked for, which costs a pass over
# all of them each; medians of so many vary by a percent.
_NEAREST_ROWS = 2000


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
    found = results.stored(job, path, key, repeat)
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
  report = compare_report.describe(job, judge, runs)
  first_rows = first_rows or load_samples(folder / 'samples', report['rows'])
  compare_report.write(folder, job, report, first_rows)
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
