"""The report of `launch.compare`: tables, image grids and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
from etils import epath

from lcjax import types
from lcjax.evaluation import (
  comparison,
  frontiers,
  glossary,
  judging,
  plots,
)
from lcjax.evaluation.comparison import hardware, versions
from lcjax.experiment import (
  choices_report,
  external,
  files,
  jobs,
  named_movers,
  new_attribute,
  stage,
  watched,
)

# By `config.generator.kind`.
_TRAINED_HERE = {
  'vae': 'A variational autoencoder was trained once, without labels',
  'two_stage': 'A variational autoencoder was trained once, without labels, '
  'and a second one on its encodings, and both are one model',
  'aae': 'An adversarial autoencoder was trained once, without labels',
  'gan': 'A generative adversarial network was trained once, without labels',
}
_OWN = 'A generative model was trained elsewhere ({module})'
_OF_THE_PRIOR = (
  ' It has no encoder: wherever encodings are spoken of, they are draws of its '
  'prior, with labels by a classifier of the decoded images that is no judge.'
)
_DESCRIPTION = (
  '; everything else happens in its latent space. Critics learn which latents'
  ' are realistic and which have an attribute. A mover moves a latent there: '
  'an actor network in one pass (actor), gradient steps on the latent itself '
  '(optimizer), or sampling from noise by a denoiser of encodings '
  '(guided_denoiser). Decoded samples are judged by an independent '
  'classifier, trained on real images only and used for nothing else. Movers '
  'start from the same noise, or from draws of a mixture that was fitted to '
  'encodings, and get the same requested labels, except that retries draw '
  'additional noise, and that rows of realism alone get no labels.'
)


def description(config: ml_collections.ConfigDict) -> str:
  """What was done, for the head of the report."""
  own = _OWN.format(module=config.generator.module)
  found = _TRAINED_HERE.get(config.generator.kind, own) + _DESCRIPTION
  return found + _OF_THE_PRIOR if external.from_prior(config) else found


def notes(
  config: ml_collections.ConfigDict,
  judge: judging.Judge,
  runs: Sequence[Mapping[str, Any]],
) -> list[str]:
  """Notes on the judges, and on the data behind the table.

  Args:
    config: of the run.
    judge: knows the real data.
    runs: results of all seeds.
  """
  section, own = config.compare, stage.judge_of(config)
  judged = (
    f'Judged by config.{own.section}, the judge of the {section.split} split; '
    'settings are chosen on the validation split by config.second_classifier, '
    'results are reported on the test split by config.classifier.'
  )
  found = runs[0].get('inversion')
  inverted = (
    f'Without an encoder, edits start from inversions: of {found["images"]} '
    f'{section.split} images, with a mean squared error of '
    f'{found["pixel_mse"]:.4f}, pixels in [0, 1].'
    if found
    else None
  )
  return [
    judged,
    *([inverted] if inverted else []),
    *comparison.notes(
      judge,
      section.num_samples,
      section.num_neighbours,
      section.split,
      runs[0].get('common_rows')
      if all('common_rows' in run for run in runs)
      else None,
    ),
    *comparison.term_notes(
      runs[0].get('terms', {}), runs[0].get('satisfying', 0)
    ),
  ]


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
  errors = [run.get('errors') for run in runs]
  seeds = [config.seed + replicate for replicate in range(len(runs))]
  summary = comparison.summarise(tables, errors, seeds, judge.test.labels)
  cost = new_attribute.find(config, summary['rows'], seconds)
  return {
    'title': f'Latent constraints on {config.data.name}',
    'description': description(config),
    **summary,
    'new_attribute': cost._asdict(),
    'curve': runs[0]['curve'],
    'seconds': {stage.judge_of(config).name: judge.seconds} | seconds,
    'commands': [job.command('pipeline'), job.command('compare')],
    **measured_on_all(runs),
    'config': config.to_dict(),
    'notes': [*notes(config, judge, runs), *new_attribute.sentences(cost)],
    'row_descriptions': named_movers.descriptions(config),
    'adversarial': watched.states(job),
  }


def against_compute(
  config: ml_collections.ConfigDict, kind: types.Kind
) -> tuple[str, ...]:
  """Rows of the figure of quality against compute, of those that are made."""
  names = *stage.actors(config), glossary.baseline(kind), 'optimizer'
  some = {*config.compare.rows, glossary.baseline(kind)}
  return tuple(n for n in names if n in some or not config.compare.rows)


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
  curve, kind = report['curve'], report['labels']

  def point(name: str) -> dict[str, float | None]:
    scores = report['rows'][name]
    return {key: scores[key]['mean'] for key in keys}

  def means(name: str) -> dict[str, float | None]:
    scores = report['rows'][name]
    if score not in scores:
      return {}  # nothing was requested
    return {key: one['mean'] for key, one in scores.items()}

  score = 'accuracy' if kind == 'classes' else 'macro_f1'
  keys = (score, 'frechet', 'latents_per_second')
  quality = plots.quality_against_compute(
    [point['steps'] for point in curve],
    {key: [point[key] for point in curve] for key in (score, 'frechet')},
    {
      name: point(name) | ({'steps': 1} if name in stage.actors(config) else {})
      for name in against_compute(config, kind)
    },
  )
  figures = [
    {
      'title': 'Quality against speed',
      'caption': 'All rows with requested labels: means over seeds. The line '
      'joins those that no other row beats in both. Squares: baselines.',
      'png': frontiers.frontier(
        {name: means(name) for name in report['rows']},
        (score, 'frechet', 'knn_recall'),
        glossary.BASELINE_ROWS,
      ),
    },
    {
      'title': 'Quality against compute',
      'caption': f'{glossary.metric(score).label} and Frechet distance. The '
      'curve: optimizer-G on the first seed, from one start, by maximum number '
      'of steps. Everything else, and all speeds, are the values of the table: '
      'means over seeds. An actor takes one step, a pass of its network.',
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
  unseen = 'curve', 'new_attribute'  # the notes have the second
  page = {k: v for k, v in report.items() if k not in unseen}
  page['figures'] = figures
  page['choices'] = choices_report.make(workdir, config.num_seeds, score)
  text = comparison.html(page, rows, config.compare.grid_rows)
  files.write(folder / 'report.html', text)
  files.write(folder / 'report.md', comparison.markdown(report))
