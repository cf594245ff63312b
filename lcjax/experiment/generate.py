"""Generates samples with chosen attributes, or edits given images.

Writes WORKDIR/generate/NAME.png and .npz, NAME being START_MOVER by default: a
grid with a row per start latent and a column per requested label vector.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import NamedTuple

import jax
import ml_collections
import numpy as np
from etils import epath

from lcjax import errors
from lcjax.data import dataset, pictures
from lcjax.evaluation import grids
from lcjax.experiment import (
  build,
  choices,
  files,
  jobs,
  loading,
  movers,
  named_movers,
  preflight,
  requests,
  stage,
)
from lcjax.movers import base
from lcjax.movers import starts as starts_lib
from lcjax.training import parallel

OWN = 'own'  # start of a mover that draws it


def held_out_labels(
  data: dataset.Dataset, count: int, seed: int
) -> tuple[np.ndarray, list[str]]:
  """Label vectors (and their names) of random held-out rows."""
  rows = np.random.default_rng(seed).choice(len(data), count)
  vectors = data.attributes[rows]
  return vectors, [
    label_name(vector, data.attribute_names) for vector in vectors
  ]


def label_name(vector: np.ndarray, names: Sequence[str]) -> str:
  """Names of the attributes that are 1, joined by +, or 'none'."""
  held = [name for name, bit in zip(names, vector, strict=True) if bit > 0.5]
  return '+'.join(held) or 'none'


class Starts(NamedTuple):
  """Latents before they are moved.

  Attributes:
    draw: (target, rows, key) -> z, of row numbers below the number of labels.
    images: [R, H, W, C] the encoded images; None if z is drawn.
    labels: R row names.
    is_noise: whether z is drawn from the prior; other starts are edited.
  """

  draw: starts_lib.Start
  images: np.ndarray | None
  labels: list[str]
  is_noise: bool


def make_starts(
  config: ml_collections.ConfigDict,
  bound: loading.BoundMovers,
  chosen: choices.Choices,
  held_out: dataset.Dataset,
  start: str,
  images: Sequence[str],
) -> Starts:
  """Makes what draws a start by name, or latents of encoded images."""
  numbers = [str(i) for i in range(config.generate.num_rows)]
  if images and start != 'encodings':
    raise errors.UserError(
      f'--images needs --start=encodings, not --start={start}'
    )
  if start in ('prior', OWN):
    z = bound.model.start(len(numbers), config.seed)
    return Starts(lambda _, rows, key: z[rows], None, numbers, is_noise=True)
  if start != 'encodings':
    draw = named_movers.make_start(config, bound, chosen, start)
    return Starts(draw, None, numbers, is_noise=False)
  if images:
    cropped = config.data.name in dataset.CROPPED
    pixels = pictures.read(
      images,
      held_out.image_shape,
      config.data.crop_size if cropped else 0,
      config.data.background,
    )
    names = [os.path.basename(p) for p in images]
    if len(names) != len(pixels):
      names = [str(i) for i in range(len(pixels))]
  else:
    pixels = held_out.images[: len(numbers)]
    names = [
      label_name(vector, held_out.attribute_names)
      for vector in held_out.attributes[: len(numbers)]
    ]
  mean, _ = bound.encode(pixels)
  return Starts(lambda _, rows, key: mean[rows], pixels, names, is_noise=False)


def write(
  folder: epath.Path,
  bound: loading.BoundMovers,
  starts: Starts,
  mover: base.Mover,
  requested: requests.Requested,
  name: str,
) -> epath.Path:
  """Moves every start towards every label vector; writes .png and .npz.

  Args:
    folder: created if missing.
    bound: movers of one replicate.
    starts: R latents.
    mover: of the latents.
    requested: C label vectors.
    name: of the files, without extension.

  Returns:
    The path of the PNG file.
  """
  num_rows, num_columns = len(starts.labels), len(requested.y)
  y, mask = (
    np.tile(part, (num_rows, 1)) for part in (requested.y, requested.mask)
  )
  # The same noise in a row, whatever its labels.
  rows = np.repeat(np.arange(num_rows), num_columns)
  target = movers.make_target(y, mask)
  z = starts.draw(target, rows, jax.random.key(bound.seed))
  moved = movers.move(mover, z, y, mask)
  images = bound.decode(moved.z)
  cells = images.reshape(num_rows, num_columns, *images.shape[1:])
  first_columns, first_names = [], []
  if starts.images is not None:
    first_columns, first_names = [starts.images[:, None]], ['original']
  begun = moved.start.reshape(num_rows, num_columns, -1)
  if (begun == begun[:, :1]).all():  # else, it depends on the labels
    first_columns.append(bound.decode(begun[:, 0])[:, None])
    first_names.append('start' if starts.images is None else 'decoded')
  grid = grids.labelled_grid(
    np.concatenate([*first_columns, cells], axis=1),
    starts.labels,
    first_names + requested.names,
    cell_pixels=96,
  )
  path = folder / f'{name}.png'
  files.write(path, grids.png_bytes(grid))
  files.write_npz(
    folder / f'{name}.npz',
    images=images,
    attributes=y,
    mask=mask,
    latents=moved.z,
    starts=moved.start,
  )
  return path


def completing(bound: loading.BoundMovers) -> loading.BoundMovers:
  """The same movers; actors leave to the start what a mask leaves out."""
  actors = {
    name: actor._replace(mover=dataclasses.replace(actor.mover, completes=True))
    for name, actor in bound.actors.items()
  }
  return dataclasses.replace(bound, actors=actors)


def start_of(config: ml_collections.ConfigDict, mover: str) -> str:
  """Where a mover starts, unless it is told."""
  if mover not in ('none', *named_movers.edit_names(config)):
    return OWN
  return 'class_mixture' if mover == 'optimizer' else 'prior'


def every_request(config: ml_collections.ConfigDict) -> list[tuple[str, str]]:
  """Pairs of a start and a mover: noise and encodings by every mover."""
  edits = named_movers.edit_names(config)
  return [
    ('prior' if mover in ('none', *edits) else OWN, mover)
    for mover in ('none', *named_movers.names(config))
  ] + [('encodings', name) for name in edits]


def generate(
  job: jobs.Job,
  pairs: Sequence[tuple[str, str]],
  labels: Sequence[str],
  images: Sequence[str],
  name: str = '',
) -> None:
  """Generates with the movers of the first replicate.

  Args:
    job: config and workdir of the run.
    pairs: (start, mover) pairs; `OWN` for movers that draw their own starts.
    labels: as in --labels; if empty, label vectors of random held-out rows.
    images: paths as in --images; if empty, the first held-out images.
    name: of the files, without extension; START_MOVER if empty.
  """
  config, workdir = job.config, job.workdir
  for start, mover in pairs:
    requests.check_mover(config, mover)
    if start != OWN and start_of(config, mover) == OWN:
      raise errors.UserError(
        f'--mover={mover} draws starts of its own: leave out --start={start}'
      )
    if start != OWN and start not in named_movers.start_names(config):
      raise errors.UserError(
        f'--start={start} does not exist: '
        f'{errors.nearest(start, named_movers.start_names(config))}'
      )
  # Before images are decoded.
  with parallel.raising_together():
    requested = requests.parse_labels(labels, build.load_labels(job))
  trainings = stage.trainings(config, stage.TRAINED)
  preflight.check(job, trainings, False, False, ('test',))
  data = build.load_data(job, 'train')
  held_out = build.load_data(job, 'test')
  requests.check_learnt(requested, data)
  bound = completing(loading.load_movers(job, 0, data))
  if not labels:
    y, names = held_out_labels(
      held_out, config.generate.num_columns, config.seed
    )
    requested = requests.Requested(y, np.ones_like(y), names)
  chosen = movers.choices_of(job, 0, bound, data)
  of_noise = named_movers.make_movers(config, bound, chosen)
  of_encodings = named_movers.make_edit_movers(
    config, bound, config.optimize, 'optimize'
  )
  for start, mover in pairs:
    starts = make_starts(config, bound, chosen, held_out, start, images)
    made = of_noise if starts.is_noise else of_encodings
    path = write(
      workdir / 'generate',
      bound,
      starts,
      made[mover],
      requested,
      name or f'{start}_{mover}',
    )
    print(f'generate: {path}')
