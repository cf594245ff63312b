"""The figure of inpainting: several answers to what is not known of an image.

The lower rows of held-out images are hidden. What is known is a constraint on
the decoded latent, `measurements.known_pixels`; what follows from it is left to
realism and to where a mover starts.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import types
from lcjax.constraints import compose, measurements
from lcjax.evaluation import (
  edit_scores,
  features,
  inpainting,
  judges,
  metrics,
  paper_figures,
  reports,
)
from lcjax.experiment import build, movers, panels, stage
from lcjax.experiment.loaded_run import Drawn, LoadedRun
from lcjax.latent import denoise
from lcjax.movers import base, denoiser, optimizer

_HIDDEN = 96  # grey of what is not known, in the picture
_MOST_PIXELS = 32  # of a side, that the classifier of what is known sees
_LEAST_ERROR = 1e-6  # below, rounding to uint8 decides


class Task(NamedTuple):
  """Images to complete.

  Attributes:
    images: [N, H, W, C] uint8.
    y: [N, Y] their attributes.
    num_rows: known rows, from the top.
    answers: A, to each image.
    unit: mean squared error of the known rows of reconstructions.
    start: [N * A, Z] latents, A in a row for each image.
  """

  images: np.ndarray
  y: np.ndarray
  num_rows: int
  answers: int
  unit: float
  start: np.ndarray

  @property
  def repeated(self) -> np.ndarray:
    """[N * A, H, W, C]: an image for each answer."""
    return np.repeat(self.images, self.answers, axis=0)

  def known_errors(self, images: np.ndarray) -> np.ndarray:
    """[N] or [N * A] mean squared errors of what is known."""
    originals = self.images if len(images) == len(self.y) else self.repeated
    rows = self.num_rows
    return edit_scores.pixel_errors(images[:, :rows], originals[:, :rows])


def make_task(loaded: LoadedRun) -> Task:
  """Draws images of the held-out split, and where their answers start."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  section, answers = config.inpaint, config.figures.answers
  num_rows = inpainting.num_known(
    test.image_shape[0], config.figures.known_share
  )
  order = np.random.default_rng(config.seed).permutation(len(test))
  rows = np.sort(order[: section.num_images])
  images = test.images[rows]
  # The unit must not know what is reported.
  other = build.load_data(loaded.job, 'validation')
  seen = (other if len(other) else loaded.train).images[: section.num_images]
  decoded = bound.decode(bound.encode(seen)[0])
  unit = edit_scores.pixel_errors(decoded[:, :num_rows], seen[:, :num_rows])
  draws = loaded.chosen.unlabelled.plain.draw(
    {}, np.arange(answers * section.candidates), jax.random.key(bound.seed)
  )
  near = inpainting.nearest(images, bound.decode(draws), num_rows, answers)
  return Task(
    images,
    test.attributes[rows],
    num_rows,
    answers,
    max(float(unit.mean()), _LEAST_ERROR),
    draws[near.ravel()],
  )


def make_movers(loaded: LoadedRun, task: Task) -> dict[str, base.Mover]:
  """Optimizer-G with realism beside what is known, and the guided denoiser."""
  bound, section = loaded.bound, loaded.job.config.inpaint
  mask = inpainting.known_mask(task.images.shape[1:], task.num_rows)
  known = measurements.known_pixels(
    bound.model,
    mask,
    # So that the loss is the multiple of the unit.
    noise=float(np.sqrt(mask.sum() * task.unit / 2.0)),
    tolerance=section.error_goal * task.unit,
  )
  realism = dataclasses.replace(
    bound.realism, threshold=section.realism_threshold
  )
  phase = denoiser.Phase(
    bound.velocity,
    known,
    section.denoiser_weight,
    denoise.make_schedule(section.denoiser_num_steps, section.start_time),
    0.0,
  )
  return {
    'optimizer': optimizer.Optimizer(
      compose.all_of(realism, known, weights=(section.realism_weight, 1.0)),
      section.max_steps,
      build.configured(
        section.optimizer, section.max_steps, 'inpaint.optimizer'
      ),
      bound.batch_size,
    ),
    'guided_denoiser': denoiser.Denoiser(
      jnp.asarray(bound.train.aggregate_mean),
      jnp.asarray(bound.train.aggregate_std),
      (phase,),
      noised=True,
      batch_size=bound.batch_size,
    ),
  }


def _agreement(
  predicted: np.ndarray, y: np.ndarray, labels: types.Labels
) -> float:
  found = metrics.classification_scores(predicted, y, labels)
  return float(found['accuracy'])


def score(
  loaded: LoadedRun, task: Task, z: np.ndarray, images: np.ndarray
) -> dict[str, float]:
  """Scores answers, A for each image, or one for each.

  Args:
    loaded: the run.
    task: what was to complete.
    z: [N * A, Z] or [N, Z].
    images: [N * A, H, W, C] or [N, H, W, C] uint8, decoded from z.
  """
  answers = len(images) // len(task.y)
  cells = images.reshape(len(task.y), answers, *images.shape[1:])
  error = float(task.known_errors(images).mean())
  return {
    'known_mse': error,
    'label_kept': _agreement(
      loaded.predict(images),
      np.repeat(task.y, answers, axis=0),
      loaded.test.labels,
    ),
    'realism': float(
      panels.probabilities(loaded.bound.realism_critic(z)).mean()
    ),
    'spread': inpainting.spread(cells, task.num_rows)
    if answers > 1
    else float('nan'),
  }


def classifier_of_known(loaded: LoadedRun, num_rows: int) -> float:
  """What a small classifier makes of the known rows of held-out images."""

  def known(images: np.ndarray) -> np.ndarray:
    return features.shrunk(images[:, :num_rows], _MOST_PIXELS)

  train, test = loaded.train, loaded.test
  fitted = judges.train_classifier(
    known(train.images),
    train.attributes,
    train.labels,
    False,
    loaded.job.config.inpaint.classifier_num_steps,
  )
  predicted = test.labels.predict(fitted.predict_fn(known(test.images))[0])
  return _agreement(predicted, test.attributes, test.labels)


def picture_block(
  loaded: LoadedRun, task: Task, name: str, images: np.ndarray
) -> paper_figures.Block:
  """The first images: original, what is known, and the answers."""
  num_rows = min(loaded.job.config.figures.num_rows, len(task.y))
  hidden = task.images[:num_rows].copy()
  hidden[:, task.num_rows :] = _HIDDEN
  cells = images.reshape(len(task.y), task.answers, *images.shape[1:])
  given = np.stack([task.images[:num_rows], hidden], axis=1)
  numbers = [str(i + 1) for i in range(task.answers)]
  return paper_figures.Block(
    images=np.concatenate([given, cells[:num_rows]], axis=1),
    column_labels=['original', 'known', *numbers],
    title=name.replace('_', ' '),
    first_columns=2,
  )


def inpainting_figure(loaded: LoadedRun) -> Drawn:
  """Held-out images without their lower rows, and several answers to each."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  task = make_task(loaded)
  mean, _ = bound.encode(task.images)
  found = {
    'reconstruction': score(loaded, task, mean, bound.decode(mean)),
    'nearest draw': score(loaded, task, task.start, bound.decode(task.start)),
  }
  target = {'pixels': task.repeated / np.float32(255.0)}
  blocks = []
  for name, mover in make_movers(loaded, task).items():
    moved = movers.with_key(mover)(task.start, target)
    images = bound.decode(moved.z)
    found[name] = score(loaded, task, moved.z, images)
    if moved.satisfied is not None:
      found[name]['satisfied'] = float(moved.satisfied.mean())
    blocks.append(picture_block(loaded, task, name, images))
  real = inpainting.spread(test.images[None], task.num_rows)
  least = classifier_of_known(loaded, task.num_rows)
  reconstructed = found['reconstruction']['known_mse']
  for scores in found.values():
    scores['known_ratio'] = metrics.ratio(scores['known_mse'], reconstructed)
    scores['spread_ratio'] = metrics.ratio(scores['spread'], real)
    scores['kept_ratio'] = metrics.ratio(scores['label_kept'], least)
  what = (
    'share of answers'
    if isinstance(test.labels, types.Classes)
    else "share of the answers' attributes"
  )
  columns = {
    'known_ratio': 'known MSE, of the reconstruction',
    'spread_ratio': 'spread, of real images',
    'label_kept': 'label kept',
    'kept_ratio': 'of the classifier',
    'realism': 'D_realism',
  }
  table = reports.number_table(
    list(columns.values()),
    {name: [scores[c] for c in columns] for name, scores in found.items()},
  )
  caption = (
    f'Held-out images of which the upper {task.num_rows} of '
    f'{test.image_shape[0]} rows are known, and {task.answers} answers to '
    'each, by optimizer-G with realism and by the guided denoiser. An answer '
    f'starts at the nearest, in what is known, of {config.inpaint.candidates} '
    'draws of the mixture of all encodings, which is a row of its own. Numbers '
    f'over {len(task.y)} images of the {config.compare.split} split. Known '
    "MSE: of the known pixels, over that of the reconstruction's "
    f'({reconstructed:.4f}). Spread: pixel variance between the answers to '
    'an image where nothing is known, over that between real images '
    f'({real:.4f}). Label kept: {what} that {stage.judge_of(config).name} '
    "gives the original's label; a small classifier trained on the known rows "
    f'of training images reaches {least:.3f} on held-out ones.\n\n{table}'
  )
  numbers: dict[str, Any] = {
    'num_images': len(task.y),
    'known_rows': task.num_rows,
    'answers': task.answers,
    'unit': task.unit,
    'real_spread': real,
    'classifier_of_known': least,
    'rows': found,
  }
  return Drawn(paper_figures.image_page(blocks), numbers, caption)
