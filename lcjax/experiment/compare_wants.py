"""Judges every composition of `config.wants` on the same trained models.

WORKDIR/compare_wants/ has runs/SEED/NAME.json, the result of a composition for
a seed, which is not computed again; metrics.json, report.md, report.html, and
NAME.png, samples of the first seed.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from lcjax import errors
from lcjax.data import dataset
from lcjax.evaluation import grids, judging
from lcjax.evaluation import reports as reports_lib
from lcjax.experiment import (
  build,
  choices,
  compare_report,
  files,
  jobs,
  loading,
  movers,
  preflight,
  results,
  rule_entries,
  stage,
  want_report,
  want_requests,
  want_rows,
  wants,
)

LAUNCHER, FOLDER = 'compare_wants', 'compare_wants'
_COLUMNS = 10  # samples of a row in a picture
NODE = stage.result('compare', 'compare_wants', 'wants', both_judges=True)


class _Judges(NamedTuple):
  """Both judges, with features of the real images of their splits."""

  train: dataset.Dataset
  test: dataset.Dataset
  predict_fn: judging.PredictFn
  features: np.ndarray
  validation: dataset.Dataset
  second_fn: judging.PredictFn
  second_features: np.ndarray


def check(job: jobs.Job) -> None:
  """Raises UserError if there is nothing to compare, or it would fail later."""
  if not len(job.config.wants):
    raise errors.UserError(
      'config.wants has no composition: add one in a config file, as in '
      "config.wants.mine = 'all(attributes, not(mine))'"
    )
  for name in job.config.wants:
    if not name.isidentifier():  # it names files
      raise errors.UserError(
        f'config.wants.{name}: the name must consist of letters, digits and _'
      )
  preflight.check_pipeline(job)


def compare_all(job: jobs.Job) -> None:
  """Compares all compositions over all seeds, and writes the report.

  Raises:
    UserError: there is no composition; a training is missing; or a stored
      result is damaged, or of another config or other data.
  """
  check(job)
  config, folder = job.config, job.workdir / FOLDER
  names = sorted(config.wants)
  runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
  stored = {
    (replicate, name): _stored(job, replicate, name)
    for replicate in range(config.num_seeds)
    for name in names
  }
  train = build.load_data(job, 'train')
  judges = _load_judges(job, train)
  for replicate in range(config.num_seeds):
    bound: loading.BoundMovers | None = None
    for name in names:
      found = stored[replicate, name]
      if found is None:
        if bound is None:
          bound = loading.load_movers(job, replicate, train)
          chosen = choices_of(job, replicate, bound, train)
        found = _compare_once(job, replicate, name, bound, chosen, judges)
        files.write_json(_path(job, replicate, name), found)
      else:
        seed = config.seed + replicate
        print(f'{LAUNCHER}: {name}, seed {seed} was judged before')
      runs[name].append(found)
  jobs.note_config(job)
  report = want_report.summarise(runs, config.wants.to_dict())
  report |= {
    'title': f'Requests of {config.data.name}',
    'command': job.command(LAUNCHER),
    'num_seeds': config.num_seeds,
    'num_samples': config.compare_wants.num_samples,
    'split': config.compare.split,
    **compare_report.measured_on_all(
      [one for found in runs.values() for one in found]
    ),
    'config': config.to_dict(),
  }
  want_report.write(folder, report)
  print(want_report.markdown(report), end='')
  print(f'report: {folder / "report.html"}')


def choices_of(
  job: jobs.Job,
  replicate: int,
  bound: loading.BoundMovers,
  train: dataset.Dataset,
) -> choices.Choices:
  """What is chosen for a run without constraints of the config.

  So it is shared with the comparison of such a run, by all compositions.
  """
  config = job.config.copy_and_resolve_references()
  with config.unlocked():
    config.want, config.constraints = '', {}
  plain = job._replace(config=config)
  return movers.choices_of(plain, replicate, bound.unconstrained, train)


def _path(job: jobs.Job, replicate: int, name: str) -> epath.Path:
  return job.workdir / FOLDER / 'runs' / str(replicate) / f'{name}.json'


def _own(job: jobs.Job, name: str) -> jobs.Job:
  """The job of one composition: its result follows from no other one."""
  config = job.config.copy_and_resolve_references()
  names = wants.names_of(config, name)
  with config.unlocked():
    config.want = ''
    config.movers = {}
    config.starts = {}
    config.wants = {name: config.wants[name]}
    for other in list(config.constraints):
      if other not in names:
        del config.constraints[other]
  return job._replace(config=config)


def _stored(job: jobs.Job, replicate: int, name: str) -> dict[str, Any] | None:
  key = results.result_key(_own(job, name), NODE, replicate)
  path = _path(job, replicate, name)
  return results.stored(job, path, key, want_report.check, replicate)


def _load_judges(job: jobs.Job, train: dataset.Dataset) -> _Judges:
  own = stage.judge_of(job.config)
  test = build.load_data(job, job.config.compare.split)
  validation = build.load_data(job, 'validation')
  predict_fn, _ = loading.load_predict_fn(job, own, train)
  second_fn, _ = loading.load_predict_fn(job, stage.SECOND_CLASSIFIER, train)
  return _Judges(
    train,
    test,
    predict_fn,
    predict_fn(test.images)[1],
    validation,
    second_fn,
    second_fn(validation.images)[1],
  )


def _compare_once(
  job: jobs.Job,
  replicate: int,
  name: str,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
  judges: _Judges,
) -> dict[str, Any]:
  """One composition of one replicate, as its file stores it."""
  config, started = job.config, time.perf_counter()
  title = f'{LAUNCHER}: {name}, seed {config.seed + replicate}'
  print(f'{title}: searching weights', flush=True)
  request = want_requests.make_request(config, bound, name)
  real = want_requests.make_real(
    request, judges.test, judges.predict_fn, judges.features
  )
  validation = want_requests.make_real(
    request, judges.validation, judges.second_fn, judges.second_features
  )
  made = want_rows.make_rows(config, request, chosen, validation)
  report = functools.partial(_report, title)
  rows = want_rows.real_rows(
    request, real, judges.train, config.compare_wants.num_samples
  ) | want_rows.move_rows(config, request, made, real, report)
  neighbours = config.compare.num_neighbours
  found = {
    'rows': {
      row: want_requests.judge(request, real, one, neighbours)
      for row, one in rows.items()
    },
    'chosen': {row: one._asdict() for row, one in made.chosen.items()},
    'judged_by': request.terms.judged_by(),
    'satisfying': int(real.satisfying.sum()),
    'share': float(real.satisfying.mean()),
    'num_scored': made.scored.num_scored,
    'share_scored': made.scored.share,
    'rule_calls': rule_entries.calls(job, replicate, _own(job, name).config),
    'seconds': time.perf_counter() - started,
  }
  if not replicate:
    labels = judges.test.labels.names if request.labelled else ()
    picture = _picture(rows, len(labels))
    png = grids.png_bytes(grids.labelled_grid(picture, tuple(rows), labels))
    files.write(job.workdir / FOLDER / f'{name}.png', png)
  found |= compare_report.measured_on()
  found |= results.result_key(_own(job, name), NODE, replicate)
  return dict(reports_lib.plain(found))


def _report(title: str, row: str) -> None:
  print(f'{title}: {row}', flush=True)


def _picture(rows: Mapping[str, judging.Row], num_labels: int) -> np.ndarray:
  """[R, C, H, W, ch]: samples of every row, with labels one of each."""
  return np.stack([_samples(row, num_labels) for row in rows.values()])


def _samples(row: judging.Row, num_labels: int) -> np.ndarray:
  blank = np.zeros_like(row.images[0])
  picked: Sequence[np.ndarray]
  if num_labels and row.attributes is not None:
    by_label = [row.images[y > 0.5] for y in row.attributes.T]
    picked = [found[0] if len(found) else blank for found in by_label]
  else:
    picked = list(row.images[:_COLUMNS])
    picked += [blank] * (_COLUMNS - len(picked))
  return np.stack(picked)
