"""The figure of edits in turns: what is added stays while more is added."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcjax import errors, types
from lcjax.evaluation import edit_scores, paper_figures, reports
from lcjax.experiment import edits, movers, stage
from lcjax.experiment.loaded_run import Drawn, LoadedRun, spaced
from lcjax.movers import base

CELEBA_SEQUENCE = 'Smiling', 'Eyeglasses', 'Male', 'Wearing_Hat'
_MOST_TURNS = 4  # of other data, by default
_MOVERS = 'optimizer', 'actor', edits.BACKTRACKED, 'guided_denoiser'
_COLUMNS = {
  'before': 'before',
  'added': 'added',
  'earlier': 'earlier hold',
  'all': 'all hold',
  'leakage': 'leakage',
  'pixel_mse_original': 'image MSE',
}


def find_sequence(given: Sequence[str], labels: types.Labels) -> list[int]:
  """Columns of the attributes to add, in order; defaults if none are given.

  Raises:
    UserError: a name does not exist, or is given twice.
  """
  names, what = list(labels.names), 'config.figures.edit_sequence'
  if not given:
    known = set(CELEBA_SEQUENCE) <= set(names)
    given = CELEBA_SEQUENCE if known else names[:_MOST_TURNS]
  for name in given:
    if name not in names:
      raise errors.UserError(
        f'{what}: {name!r} is not a label of this data set: '
        f'{errors.nearest(name, names)}'
      )
    if list(given).count(name) > 1:
      raise errors.UserError(f'{what} names {name!r} twice: give it once')
  return [names.index(name) for name in given]


def lacking(
  requests: edit_scores.Requests, columns: Sequence[int]
) -> edit_scores.Requests:
  """Those images that lack an attribute to add; most of them first.

  Raises:
    UserError: there are none.
  """
  count = (requests.y[:, list(columns)] < 0.5).sum(axis=1)
  order = np.argsort(-count, kind='stable')
  kept = order[: int((count > 0).sum())]
  if not len(kept):
    raise errors.UserError(
      'config.figures.edit_sequence: no held-out image lacks any of these '
      'attributes: name others'
    )
  return edit_scores.Requests(*(part[kept] for part in requests))


def edit_in_turns(
  loaded: LoadedRun,
  mover: base.Mover,
  requests: edit_scores.Requests,
  columns: Sequence[int],
) -> list[np.ndarray]:
  """Images [N, H, W, C] after each turn, every one an edit of the one before.

  Each image is encoded anew. A turn asks for the next attribute and, in the
  mask, for all that were asked for before.
  """
  bound, found = loaded.bound, []
  images, asked = requests.images, requests.y.copy()
  mask = np.zeros_like(asked)
  for column in columns:
    asked[:, column] = mask[:, column] = 1.0
    start, _ = bound.encode(images)
    images = bound.decode(movers.move(mover, start, asked, mask).z)
    found.append(images)
  return found


def measure(
  loaded: LoadedRun,
  requests: edit_scores.Requests,
  columns: Sequence[int],
  turns: Sequence[np.ndarray],
) -> list[dict[str, Any]]:
  """Scores of each turn, see `edit_scores.score_turn`."""
  found = []
  for number, images in enumerate(turns, 1):
    scores = edit_scores.score_turn(
      loaded.predict(images), requests.before, requests.y, columns[:number]
    )
    errors_by_image = edit_scores.pixel_errors(images, requests.images)
    found.append(scores | {'pixel_mse_original': errors_by_image.mean()})
  return found


def sequential_edits(loaded: LoadedRun) -> Drawn:
  """Held-out images to which attributes are added, one after the other."""
  config, test = loaded.job.config, loaded.test
  columns = find_sequence(config.figures.edit_sequence, test.labels)
  names = [test.attribute_names[column] for column in columns]
  requests = lacking(edits.make_requests(loaded), columns)
  num_rows = min(config.figures.num_rows, len(requests.y))
  given = [requests.images, requests.reconstructions]
  made, blocks, scores, lines = edits.make_movers(loaded), [], {}, {}
  for name in _MOVERS:
    turns = edit_in_turns(loaded, made[name], requests, columns)
    scores[name] = measure(loaded, requests, columns, turns)
    shown = name.replace('_', ' ')
    for attribute, found in zip(spaced(names), scores[name], strict=True):
      lines[f'{shown}: {attribute}'] = [found[c] for c in _COLUMNS]
    blocks.append(
      paper_figures.Block(
        images=np.stack([x[:num_rows] for x in [*given, *turns]], axis=1),
        column_labels=[
          'original',
          'decoded',
          *(f'+ {n}' for n in spaced(names)),
        ],
        title=shown,
        first_columns=2,
      )
    )
  decoded = edit_scores.pixel_errors(requests.reconstructions, requests.images)
  caption = (
    f'Held-out images ({config.compare.split} split) to which '
    f'{errors.listed(spaced(names))} are added in turns: an edit is decoded, '
    'encoded again and edited for the next attribute, while those before are '
    'asked for as well and all others are free. Settings are those of '
    f'config.edit. Numbers over the {len(requests.y)} images that lack one of '
    'these attributes; an image counts for those that it lacks by its own '
    f'label. Shares by {stage.judge_of(config).name}, after each turn. Before: '
    'the new attribute on the reconstruction. Added: the new attribute. '
    'Earlier hold: all that were added before it. All hold: all that were '
    'added. Leakage: decisions on attributes never asked for that differ from '
    'those on the reconstruction. Image MSE is to the original, that of the '
    f'reconstruction is {decoded.mean():.3f}.\n\n'
    f'{reports.number_table(list(_COLUMNS.values()), lines)}'
  )
  numbers = {
    'num_images': len(requests.y),
    'sequence': names,
    'reconstruction_mse': decoded.mean(),
    'turns': scores,
  }
  return Drawn(paper_figures.image_page(blocks), numbers, caption)
