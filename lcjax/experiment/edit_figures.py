"""Figures of edits that keep the identity: pictures and the frontier."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcjax import types
from lcjax.data import dataset
from lcjax.evaluation import edit_scores, paper_figures, reports
from lcjax.experiment import edits, loading, movers, stage
from lcjax.experiment.loaded_run import (
  Drawn,
  LoadedRun,
  pictured_actors,
  spaced,
)
from lcjax.movers import base

SUCCESS_GOAL = 0.95  # of the settings that the frontier chooses
# Symbols of the settings that a frontier sweeps.
_SYMBOLS = {
  'edit_time': 't',
  'attribute_tolerance': 'τ',
  'backtrack_tolerance': 'τ',
  'distance_weight': 'λ',
}
_COLUMNS = (
  'success',
  'z_distance',
  'pixel_mse_original',
  'pixel_mse_reconstruction',
  'leakage',
)


def edit_movers(bound: loading.BoundMovers) -> list[str]:
  """Movers that edit an encoding, in the order of the tables."""
  return [
    'optimizer',
    *bound.actors,
    edits.BACKTRACKED,
    'guided_denoiser',
  ]


def pictured(bound: loading.BoundMovers) -> list[str]:
  """The edit movers that a page has room for."""
  return [
    'optimizer',
    *pictured_actors(bound),
    edits.BACKTRACKED,
    'guided_denoiser',
  ]


def table(scores: Mapping[str, Mapping[str, Any]], labels: types.Labels) -> str:
  """Scores by mover as a Markdown table."""
  classes = isinstance(labels, types.Classes)
  columns = [c for c in _COLUMNS if not (classes and c == 'leakage')]
  rows = {
    name: {c: {'mean': float(found[c]), 'std': None} for c in columns}
    for name, found in scores.items()
  }
  return reports.markdown_table(rows, columns)


def attribute_table(
  scores: Mapping[str, Mapping[str, Any]], data: dataset.Dataset
) -> str:
  """Success, and leakage where it applies, by attribute and mover."""
  kinds = {'success_by_attribute': 'success'}
  if isinstance(data.labels, types.Bits):
    kinds['leakage_by_attribute'] = 'leakage'
  names = [name for name in scores if name != 'random_image']
  titles = [f'{name}: {kind}' for name in names for kind in kinds.values()]
  rows = {
    attribute: [scores[name][kind][index] for name in names for kind in kinds]
    for index, attribute in enumerate(data.attribute_names)
  }
  return reports.number_table(titles, rows)


def picture_block(
  loaded: LoadedRun, name: str, mover: base.Mover
) -> paper_figures.Block:
  """The first held-out images, one attribute changed in each column.

  Black where the attribute holds already.
  """
  config, test = loaded.job.config, loaded.test
  num_rows = min(config.figures.num_rows, len(test))
  images, y = test.images[:num_rows], test.attributes[:num_rows]
  num_attributes = y.shape[1]
  rows = np.repeat(np.arange(num_rows), num_attributes)
  changed = np.tile(np.arange(num_attributes), num_rows)
  asked, mask = test.labels.change(y[rows], changed)
  bound = loaded.bound
  start, _ = bound.encode(images)
  moved = movers.move(mover, start[rows], asked, mask)
  edited = bound.decode(moved.z)
  edited[y[rows, changed] > 0.5] = 0
  cells = edited.reshape(num_rows, num_attributes, *edited.shape[1:])
  known = np.stack([images, bound.decode(start)], axis=1)
  return paper_figures.Block(
    images=np.concatenate([known, cells], axis=1),
    column_labels=['original', 'decoded', *spaced(test.attribute_names)],
    title=name.replace('_', ' '),
    first_columns=2,
  )


def identity_edits(loaded: LoadedRun) -> Drawn:
  """Held-out images, one attribute changed per column, by every mover."""
  config, test = loaded.job.config, loaded.test
  made = edits.make_movers(loaded)
  requests = edits.make_requests(loaded)
  scores = edits.references(loaded, requests) | {
    name: edits.measure(loaded, made[name], requests)
    for name in edit_movers(loaded.bound)
  }
  blocks = [
    picture_block(loaded, name, made[name]) for name in pictured(loaded.bound)
  ]
  nature = (
    'Leakage does not apply: of classes, one cannot change alone.'
    if isinstance(test.labels, types.Classes)
    else 'Leakage: edits after which the judge sees another attribute '
    'changed, beside its view of the reconstruction.'
  )
  caption = (
    f'Held-out images ({config.compare.split} split), one attribute changed in '
    'each column; black where it holds already. Numbers over '
    f'{len(requests.y)} images with a random change each, success as '
    f'{stage.judge_of(config).name}, the judge of that split, sees it; '
    'settings are those of config.edit. `unchanged` is the reconstruction, '
    '`random_image` another held-out image that has what is asked for. '
    f'{nature}\n\n'
    f'{table(scores, test.labels)}\n{attribute_table(scores, test)}'
  )
  numbers = {
    'num_images': len(requests.y),
    'attribute_names': list(test.attribute_names),
    'labels': test.labels.kind,
    'scores': scores,
  }
  return Drawn(paper_figures.image_page(blocks), numbers, caption)


def sweep(
  loaded: LoadedRun, requests: edit_scores.Requests
) -> dict[str, list[dict[str, Any]]]:
  """Scores of every mover at every value of its setting."""
  config, bound = loaded.job.config, loaded.bound

  def settings(key: str, values: Sequence[float]) -> list[dict[str, Any]]:
    found = []
    for value in values:
      section = config.edit.optimize.copy_and_resolve_references()
      section[key] = float(value)
      mover = movers.make_optimizer(bound, section, 'edit.optimize')
      scores = edits.measure(loaded, mover, requests)
      found.append({key: value} | scores)
    return found

  def times(values: Sequence[float]) -> list[dict[str, Any]]:
    found = []
    for value in values:
      section = config.denoise.copy_and_resolve_references()
      section.edit_time = float(value)
      mover = movers.make_edit_denoiser(bound, section)
      scores = edits.measure(loaded, mover, requests)
      found.append({'edit_time': value} | scores)
    return found

  weights = stage.distance_weights(config)
  return {
    'actor': [
      {'distance_weight': weights[name]}
      | edits.measure(loaded, bound.actors[name].mover, requests)
      for name in sorted(weights, key=lambda name: weights[name])
    ],
    'actor, backtracked': [
      {'backtrack_tolerance': value}
      | edits.measure(loaded, edits.make_backtracked(loaded, value), requests)
      for value in config.edit.backtrack_tolerances
    ],
    'optimizer': settings('distance_weight', config.edit.distance_weights),
    'optimizer, stop': settings(
      'attribute_tolerance', config.edit.attribute_tolerances
    ),
    'guided_denoiser': times(config.edit.edit_times),
  }


def choose(
  tried: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
  """The setting of least pixel error among those that reach SUCCESS_GOAL.

  Args:
    tried: scores of every setting on the images that choose.
    shown: scores of the same settings on the images that are reported.

  Returns:
    The chosen one of `shown`; None if no setting in `tried` succeeds so often.
  """
  good = [
    (before, after)
    for before, after in zip(tried, shown, strict=True)
    if before['success'] >= SUCCESS_GOAL
  ]
  error = 'pixel_mse_original'
  return min(good, key=lambda pair: pair[0][error], default=(None, None))[1]


def identity_frontier(loaded: LoadedRun) -> Drawn:
  """Success of edits against pixel error, as their settings vary.

  Settings are chosen on validation images by the second judge.
  """
  config, requests = loaded.job.config, edits.make_requests(loaded)
  known = edits.references(loaded, requests)
  found = sweep(loaded, requests)
  to_choose = loaded.to_choose
  tried = sweep(to_choose, edits.make_requests(to_choose))

  def label(point: Mapping[str, Any]) -> str:
    name = next(name for name in _SYMBOLS if name in point)
    return f'{_SYMBOLS[name]} = {point[name]:g}'

  pictures = paper_figures.frontier(
    {
      name.replace('_', ' '): [
        paper_figures.Point(label(p), p['pixel_mse_original'], p['success'])
        for p in points
      ]
      for name, points in found.items()
      if points
    },
    {
      name.replace('_', ' '): scores['pixel_mse_original']
      for name, scores in known.items()
    },
    ('Image MSE to the original', 'Success, by the judge'),
  )
  best = {name: choose(tried[name], points) for name, points in found.items()}
  lines = [
    f'* {name}: success {p["success"]:.3f} at image MSE '
    f'{p["pixel_mse_original"]:.4f} ({label(p)})'
    if p is not None
    else f'* {name}: no setting succeeds so often on validation images'
    for name, p in best.items()
  ]
  caption = (
    f'Edits of {len(requests.y)} held-out images: success against image MSE '
    'as the weight λ of the distance penalty varies (an actor trained for '
    'each; optimizer-G beside an attribute weight of '
    f'{config.edit.optimize.attribute_weight:g}), the tolerance τ '
    "of optimizer-G's stop or of backtracking an actor's edit, or the noise "
    'time t that the denoiser starts from. A random image with the requested '
    'attribute is at MSE '
    f'{known["random_image"]["pixel_mse_original"]:.4f}, the reconstruction at '
    f'{known["unchanged"]["pixel_mse_original"]:.4f}. Shown are images of the '
    f'{config.compare.split} split and what {stage.judge_of(config).name} '
    'sees. Of each mover one setting was chosen on validation images by '
    'second_classifier: least MSE at success ≥ '
    f'{SUCCESS_GOAL}. On the images shown:\n\n' + '\n'.join(lines) + '\n\n'
  )
  rows = known | {
    f'{name} {label(p)}': p for name, points in found.items() for p in points
  }
  caption += table(rows, loaded.test.labels)
  numbers = {
    'num_images': len(requests.y),
    'success_goal': SUCCESS_GOAL,
    'references': known,
    'points': found,
    'points_to_choose': tried,
    'chosen': best,
  }
  return Drawn(pictures, numbers, caption)
