"""Reproduces the figures of the paper from a finished run.

Writes WORKDIR/figures/NAME.png and .pdf, the underlying numbers as NAME.json
and a caption as NAME.md. Figures whose config and trainings have not changed
are skipped.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lcjax import errors, types
from lcjax.experiment import (
  build,
  edit_figures,
  external,
  files,
  fingerprint,
  inpainting_figure,
  jobs,
  pair_figure,
  panels,
  preflight,
  results,
  second_stage_figure,
  sequential_edits,
  stage,
)
from lcjax.experiment.loaded_run import Drawn, LoadedRun


class Figure(NamedTuple):
  """How a figure is made.

  Attributes:
    make: draws the figure.
    node: what it reads.
    least_latents: of a model with fewer the figure is skipped.
    trained_here: skipped for a model of the user's own, as it compares with
      another training of it.
    labels: the kind that it is for; None for every kind.
    alternative: of `config.alternatives`, that it is of; None for none.
  """

  make: Callable[[LoadedRun], Drawn]
  node: stage.Node
  least_latents: int = 1
  trained_here: bool = False
  labels: types.Kind | None = None
  alternative: str | None = None


FIGURES = {
  'holes': Figure(
    panels.holes, stage.result('compare', 'figures'), trained_here=True
  ),
  'realism_contours': Figure(
    panels.realism_contours, stage.result('compare', 'figures'), least_latents=2
  ),
  'attribute_grid': Figure(
    panels.attribute_grid, stage.result('compare', 'figures')
  ),
  'optimizer_path': Figure(
    panels.optimizer_path, stage.result('compare', 'figures')
  ),
  'identity_edits': Figure(
    edit_figures.identity_edits, stage.result('compare', 'edit', 'figures')
  ),
  'identity_frontier': Figure(
    edit_figures.identity_frontier,
    # Settings are chosen on validation images by the second judge.
    dataclasses.replace(
      stage.result('compare', 'edit', both_judges=True),
      splits=('train', 'validation', stage.HELD_OUT),
    ),
  ),
  'attribute_pairs': Figure(
    pair_figure.attribute_pairs,
    # Mixtures and walks are chosen by the second judge.
    stage.result('compare', 'figures', both_judges=True),
    labels='bits',
  ),
  'sequential_edits': Figure(
    sequential_edits.sequential_edits,
    stage.result('compare', 'edit', 'figures'),
    labels='bits',
  ),
  'inpainting': Figure(
    inpainting_figure.inpainting_figure,
    # The mixtures of starts are chosen by the second judge.
    stage.result('compare', 'inpaint', 'figures', both_judges=True),
  ),
  'second_stage': Figure(
    second_stage_figure.second_stage,
    stage.result('compare', 'figures', 'alternatives'),
    alternative='two_stage',
  ),
}
ALL = 'all'


def chosen(name: str) -> Sequence[str]:
  """The figures that --figure selects; UserError for an unknown name."""
  if name == ALL:
    return list(FIGURES)
  if name not in FIGURES:
    known = [ALL, *FIGURES]
    raise errors.UserError(
      f'--figure={name} does not exist: {errors.nearest(name, known)}'
    )
  return [name]


def result_key(job: jobs.Job, name: str) -> dict[str, dict[str, Any]]:
  """All inputs that determine a figure, including the second VAE of `holes`."""
  key = results.result_key(job, FIGURES[name].node, 0)
  if name == 'holes':
    other = panels.comparison_job(job)
    trainings = fingerprint.parameters(other, stage.TRAINED, 0)
    key['trainings'] |= {f'holes/{k}': v for k, v in trainings.items()}
  return key


def fitting(job: jobs.Job, names: Sequence[str], every: bool) -> Sequence[str]:
  """The figures that are for the labels and the alternatives of a run.

  Args:
    job: config and workdir of the run.
    names: keys of `FIGURES`.
    every: whether nobody asked for these by name: others are left out.

  Raises:
    UserError: one is for others, and it was asked for.
  """
  kind = build.load_labels(job).kind
  others = [name for name in names if FIGURES[name].labels not in (None, kind)]
  for name in others:
    if not every:
      raise errors.UserError(
        f'--figure={name} is for independent attributes, but the labels of '
        f'config.data.name={job.config.data.name!r} are {kind}: draw another '
        'figure'
      )
    print(f'{name}: left out, it is for independent attributes')
  kept = [name for name in names if name not in others]
  found = job.config.alternatives
  missing = {
    name: FIGURES[name].alternative
    for name in kept
    if FIGURES[name].alternative not in (None, *found)
  }
  for name, needed in missing.items():
    if not every:
      raise errors.UserError(
        f'--figure={name} is of {needed!r}, which is not in '
        f'config.alternatives={tuple(found)!r}: add it, then run '
        'launch.train_models'
      )
    print(f'{name}: left out, it is of {needed!r} in config.alternatives')
  return [name for name in kept if name not in missing]


def make(job: jobs.Job, names: Sequence[str], every: bool = False) -> None:
  """Makes figures; skips those that are up to date.

  Args:
    job: config and workdir of the run.
    names: keys of `FIGURES`.
    every: see `fitting`.

  Raises:
    UserError: see `fitting`; a training is missing.
  """
  trainings = stage.trainings(job.config, stage.TRAINED)
  preflight.check(job, trainings, judges=True, trains=False)
  names = fitting(job, names, every)
  folder = job.workdir / 'figures'
  loaded = LoadedRun(job)
  size = external.latent_size(job.config)
  for name in names:
    if size < FIGURES[name].least_latents:
      print(
        f'{name}: skipped, it needs {FIGURES[name].least_latents} latents, but '
        f'the model has {size}'
      )
      continue
    kind = job.config.generator.kind
    if FIGURES[name].trained_here and kind != 'vae':
      print(
        f'{name}: skipped, it trains a second VAE, but the model is another, '
        f'config.generator.kind={kind!r}'
      )
      continue
    paths = {kind: folder / f'{name}.{kind}' for kind in ('png', 'pdf', 'md')}
    path = folder / f'{name}.json'
    before = results.stored(job, path, result_key(job, name))
    if before is not None and all(p.exists() for p in paths.values()):
      print(f'{name}: already up to date, {paths["png"]}')
      continue
    print(f'{name}: drawing')
    drawn = FIGURES[name].make(loaded)
    files.write(paths['png'], drawn.pictures.png)
    files.write(paths['pdf'], drawn.pictures.pdf)
    files.write(paths['md'], drawn.caption)
    # Written last, to mark the figure as complete. The key is computed again,
    # since making the figure may have trained a model that it depends on.
    numbers = {'numbers': drawn.numbers, 'caption': drawn.caption}
    files.write_json(path, result_key(job, name) | numbers)
    print(drawn.caption)
    print(f'{name}: {paths["png"]}')
