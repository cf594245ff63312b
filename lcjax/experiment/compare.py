"""Judges every mover next to real data, the prior and cheap baselines."""

from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath

from lcjax.data import dataset
from lcjax.evaluation import (
  baselines,
  comparison,
  edit_scores,
  glossary,
  judging,
  metrics,
  moving,
  reports,
)
from lcjax.experiment import (
  build,
  compare_files,
  compare_report,
  files,
  jobs,
  loading,
  movers,
  preflight,
  results,
  stage,
)
from lcjax.experiment import rows as rows_lib
from lcjax.training import metrics_log

# An inversion of all images would take longer than everything else.
_MOST_INVERTED = 200


def quality_curve(
  config: ml_collections.ConfigDict,
  judge: judging.Judge,
  bound: loading.BoundMovers,
  start: np.ndarray,
  y: np.ndarray,
  num_rows: int,
) -> list[judging.Scores]:
  """Scores, Frechet distance and speed of optimizer-G by number of steps.

  Always from a single start per row, so that only the steps vary, and with
  Frechet distances of `num_rows` samples, as in the table.
  """
  curve = []
  for max_steps in config.compare.curve_steps:
    single = movers.make_optimizer(bound, config.optimize, max_steps=max_steps)
    moved, seconds, _ = moving.timed(
      movers.with_key(single),
      config.generate.batch_size,
      start,
      movers.make_target(y),
      clock_seconds=config.compare.clock_seconds,
      num_passes=1,  # nine points: five passes of each would take minutes
    )
    logits, features = judge.predict_fn(bound.decode(moved.z))
    predicted = bound.labels.predict(logits)
    scores = metrics.classification_scores(predicted, y, bound.labels)
    curve.append(
      {
        'steps': max_steps,
        'accuracy': scores['accuracy'],
        'macro_f1': scores['macro_f1'],
        'frechet': metrics.frechet_of_equal_size(
          features, judge.test_features, num_rows
        ),
        'latents_per_second': len(y) / seconds,
      }
    )
  return curve


def inversion_error(
  bound: loading.BoundMovers, images: np.ndarray
) -> dict[str, float]:
  """How well edits without an encoder begin: the error of some inversions.

  Args:
    bound: with a decoder alone.
    images: [N, H, W, C] uint8; the first of them are inverted.

  Returns:
    'pixel_mse', of pixels in [0, 1], and the number of 'images'.
  """
  some = images[:_MOST_INVERTED]
  z, _ = bound.encode(some)
  error = edit_scores.pixel_errors(bound.decode(z), some).mean()
  return {'pixel_mse': float(error), 'images': len(some)}


def compare_once(
  job: jobs.Job,
  judge: judging.Judge,
  replicate: int,
) -> tuple[dict[str, Any], dict[str, judging.Row]]:
  """One replicate's result, as its file stores it, and the judged rows."""
  config = job.config
  section, seed = config.compare, config.seed + replicate
  assert isinstance(judge.train, dataset.Dataset)  # images, from `read`
  bound = loading.load_movers(job, replicate, judge.train)
  y = judging.requested_attributes(judge.test, section.num_samples)
  start = bound.model.start(len(y), seed)
  encode = None if bound.model.encode_fn is None else bound.encode
  rows = baselines.real_rows(judge, bound.decode, encode)
  rows['prior'] = judging.Row(bound.decode(start), y, start, {})
  # Replicates differ in all noise, as they do in models and starts.
  key = jax.random.key(seed)
  asked = rows_lib.contenders(job, replicate, bound, judge.train, y)
  for name, (contender, target, requested) in asked.items():
    print(f'compare: {name}', flush=True)
    rows[name], _ = moving.make_row(
      contender,
      bound.decode,
      start,
      target,
      requested,
      key,
      config.generate.batch_size,
      section.clock_seconds,
    )
    rows[name].scores.update(rows_lib.critic_scores(bound, name, rows[name]))
  terms = rows_lib.terms_of(config, bound)
  scores, errors, rows = comparison.judge_seed(
    judge, rows, section.num_neighbours, terms
  )
  seconds = bound.seconds | {
    name: asked[name].contender.scores['training_seconds']
    for name in config.alternatives
    if 'training_seconds' in asked[name].contender.scores
  }
  seconds['second_features'] = judge.second.space.seconds
  if not seconds['class_mixture']:  # the denoiser uses none
    seconds.pop('class_mixture')
  num_rows = judging.common_rows(rows)
  result: dict[str, Any] = {
    'rows': scores,
    'errors': errors,
    'seconds': seconds,
    'common_rows': num_rows,
  }
  if terms is not None:
    real = rows.get(glossary.REAL_SATISFYING)
    result['terms'] = terms.judged_by()
    result['satisfying'] = 0 if real is None else len(real.images)
  if replicate == 0:
    result['curve'] = quality_curve(config, judge, bound, start, y, num_rows)
  if encode is None:
    result['inversion'] = inversion_error(bound, judge.test.images)
  return result, rows


class Before(NamedTuple):
  """What is known before anything is judged.

  Attributes:
    train: the training split.
    test: the split that results are reported on.
    curves: logged metrics of the first seed's trainings, by name.
    runs: stored results by seed; None for a seed that is not judged yet.
    rows: stored samples of the first seed, if it is judged already.
  """

  train: dataset.Dataset
  test: dataset.Dataset
  curves: dict[str, list[dict[str, Any]]]
  runs: list[dict[str, Any] | None]
  rows: dict[str, judging.Row]


def read(job: jobs.Job) -> Before:
  """Reads everything that a comparison needs, to fail before any judging.

  Raises:
    UserError: a log, a stored result or a sample is damaged, or a result was
      computed with another config; names the file.
  """
  config, folder = job.config, job.workdir / 'compare'
  preflight.check_pipeline(job)
  curves = stage.curves(job)
  train = build.load_data(job, 'train')
  test = build.load_data(job, config.compare.split)
  # Results of older versions lack rows that are newer.
  moved = compare_report.against_compute(config, test.labels.kind)
  runs = []
  for replicate in range(config.num_seeds):
    steps = None if replicate else config.compare.curve_steps
    check = compare_files.run_checker(moved, steps)
    path = run_path(job, replicate)
    key = results.result_key(job, stage.COMPARISON, replicate)
    runs.append(results.stored(job, path, key, check, replicate))
  rows = {}
  if runs[0] is not None:
    rows = compare_files.load_samples(
      folder / 'samples', runs[0]['rows'], test, run_path(job, 0)
    )
  return Before(train, test, curves, runs, rows)


def run_path(job: jobs.Job, replicate: int) -> epath.Path:
  """The file of a seed's table."""
  return job.workdir / 'compare' / 'runs' / f'{replicate}.json'


def compare_all(job: jobs.Job) -> None:
  """Compares over all seeds; stored results are not computed again."""
  config, folder = job.config, job.workdir / 'compare'
  before = read(job)
  for name, records in before.curves.items():
    if not records and (job.workdir / name).exists():
      print(
        f'compare: {job.workdir / name / metrics_log.FILE} is empty or missing:'
        ' restore it from a copy, or the report will lack its curves'
      )
  stored = len(list((folder / 'runs').glob('*.json')))
  if stored > config.num_seeds:
    print(
      f'compare: {stored} seeds were judged before, this report has '
      f'{config.num_seeds}; --config.num_seeds={stored} for all'
    )
  judge = rows_lib.load_judge(job, before.train, before.test)
  runs, first_rows = [], before.rows
  for replicate, found in enumerate(before.runs):
    if found is not None:
      print(f'compare: seed {config.seed + replicate} was judged before')
      runs.append(found)
      continue
    print(f'compare: judging seed {config.seed + replicate}')
    result, rows = compare_once(job, judge, replicate)
    # As JSON stores it, so that a stored result gives the same table.
    result |= compare_report.measured_on()
    result |= results.result_key(job, stage.COMPARISON, replicate)
    result = reports.plain(result)
    if replicate == 0:
      first_rows = rows
      compare_files.save_samples(folder / 'samples', rows)
    files.write_json(run_path(job, replicate), result)
    runs.append(result)
  jobs.note_config(job)
  report = compare_report.summarize(job, judge, runs)
  compare_report.write(folder, job, report, first_rows, before.curves)
  files.write_json(folder / 'metrics.json', report)
  reports.print_table(report['rows'], report['labels'])
  for sentence in (*comparison.sentences(report), *report['notes']):
    print(sentence)
  print(f'report: {folder / "report.html"}')
