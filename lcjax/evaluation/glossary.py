"""What the rows and columns of a report are, in words."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from lcjax import types

REAL = 'real'
REFERENCE_ROWS = (REAL, 'real_train', 'reconstruction')
BASELINE_ROWS = (
  'prior', 'mixture', 'class_gaussian', 'class_mixture', 'class_mixture_kept',
  'attribute_gaussian', 'attribute_mixture', 'attribute_mixture_kept',
)  # fmt: skip
# Nothing is requested of these.
UNLABELLED_BASELINE = 'mixture'
UNLABELLED_ROWS = UNLABELLED_BASELINE, 'realism_optimizer', 'realism_denoiser'
ROW_DESCRIPTIONS = {
  'real': 'Held-out test images themselves.',
  'real_train': 'As many training images: the floor that two draws of real '
  'data reach, were it not that the judge has been trained on these.',
  'reconstruction': "The VAE's reconstructions of test images: the ceiling for "
  'anything that decodes a latent.',
  'prior': 'Latents drawn from N(0, I), without any constraint.',
  'mixture': 'Latents drawn from a full-covariance Gaussian mixture fitted to '
  'all encodings: no label is used, or asked for.',
  'realism_optimizer': 'Prior latents moved by gradient steps on realism '
  'alone, of optimize.num_starts starts the best: no label is asked for. (The '
  'critic has seen, as fakes, latents moved to labels.)',
  'realism_denoiser': 'A latent sampled from the same noise by the denoiser of '
  'encodings, without guidance: no label is used, or asked for.',
  'class_gaussian': 'Latents drawn from a Gaussian fitted to the encodings of '
  'each class.',
  'class_mixture': 'Latents drawn from a full-covariance Gaussian mixture '
  'fitted to the encodings of each class.',
  'class_mixture_kept': 'Draws of that mixture, keeping those whose image, '
  'encoded again, the attribute critic accepts; the last of fifty otherwise.',
  'attribute_gaussian': 'Latents drawn around a linear function of the '
  'attributes, fitted to the encodings, with one covariance for all.',
  'attribute_mixture': 'The same with a full-covariance Gaussian mixture '
  'around the linear function.',
  'attribute_mixture_kept': 'Draws of that mixture, keeping those whose '
  'image, encoded again, the attribute critic accepts; the last of fifty '
  'otherwise.',
  'actor': 'Prior latents moved once by a trained actor network.',
  'optimizer': 'Prior latents moved by gradient steps on the constraints, each '
  'latent alone; of optimize.num_starts starts of a row, the best.',
  'actor_then_optimizer': "The actor's latents, moved further by the "
  'optimiser.',
  'guided_denoiser': 'A latent sampled from the same noise by an unconditional '
  'denoiser of encodings, guided by an attribute critic of noised latents; '
  'where noise hides most, by the class mixture if the config says so, and '
  'again where the attribute critic refuses the image, encoded again.',
}
# The rows of further actors: this, then the weight of their distance penalty.
FURTHER_ACTOR = 'actor_lambda_'


def row_description(name: str) -> str:
  """What a row is, in a sentence; empty for a row that is not known."""
  if name.startswith(FURTHER_ACTOR):
    return (
      'Prior latents moved once by another actor, trained like the first but '
      'with a distance penalty of weight '
      f'{name.removeprefix(FURTHER_ACTOR)}.'
    )
  return ROW_DESCRIPTIONS.get(name, '')


def in_order(names: Iterable[str]) -> list[str]:
  """Rows as a report lists them, the further actors after the first."""
  order = list(ROW_DESCRIPTIONS)

  def place(name: str) -> tuple[int, bool]:
    further = name.startswith(FURTHER_ACTOR)
    return order.index('actor' if further else name), further

  return sorted(names, key=place)


def baseline(kind: types.Kind) -> str:
  """The row that a mover has to beat."""
  return 'class_mixture' if kind == 'classes' else 'attribute_mixture'


def telling_metrics(kind: types.Kind) -> tuple[str, ...]:
  """The columns that tell most.

  Most bits of independent attributes are 0 whatever was requested: there F1
  says more than the accuracy of the worst.
  """
  second = 'worst_class_accuracy' if kind == 'classes' else 'macro_f1'
  return 'accuracy', second, 'frechet', 'diversity', 'knn_recall'


@dataclasses.dataclass(frozen=True)
class Metric:
  """How a column is shown.

  Attributes:
    label: column heading.
    group: heading above neighbouring columns.
    better: which values are better, for the bold ones and the verdicts; 'real'
      means that nearer to the row of held-out images is better.
    fmt: number format of the mean and the standard deviation.
    definition: one sentence.
    unit: that follows a number where no heading says it.
  """

  label: str
  group: str
  better: Literal['higher', 'lower', 'real'] | None
  fmt: str
  definition: str
  unit: str = ''


ATTRIBUTES, IMAGES = 'Attributes', 'Realism and diversity'
LATENTS, COST, EDITS, OTHER = 'Latents', 'Cost', 'Edits', 'Other'
METRICS = {
  'accuracy': Metric(
    'Accuracy', ATTRIBUTES, 'higher', '.3f',
    'Share of decisions of the judge that agree with what was requested.',
  ),
  'macro_precision': Metric(
    'Precision', ATTRIBUTES, 'higher', '.3f',
    'Of the images judged to have an attribute, the share for which it was '
    'requested; mean over attributes but those that are neither requested nor '
    'seen.',
  ),
  'macro_recall': Metric(
    'Recall', ATTRIBUTES, 'higher', '.3f',
    'Of the images requested to have an attribute, the share judged to have '
    'it; mean over the same attributes.',
  ),
  'macro_f1': Metric(
    'F1', ATTRIBUTES, 'higher', '.3f',
    'Harmonic mean of precision and recall; mean over the same attributes.',
  ),
  'worst_class_accuracy': Metric(
    'Worst class', ATTRIBUTES, 'higher', '.3f',
    'Accuracy of the class, or of the attribute, that does worst.',
  ),
  'frechet': Metric(
    'Frechet', IMAGES, 'lower', '.4f',
    "Squared Frechet distance to test images in the judge's feature space, "
    'over the variance of their features.',
  ),
  'diversity': Metric(
    'Diversity', IMAGES, 'real', '.2f',
    'Feature variance among images of one attribute over that of training '
    'images, mean over attributes. The row real shows what is as varied as '
    'real images: above 1 where the judge has learnt its training images.',
  ),
  'knn_precision': Metric(
    'k-NN precision', IMAGES, 'higher', '.3f',
    'Share of samples within the k-nearest-neighbour ball of a test image.',
  ),
  'knn_recall': Metric(
    'k-NN recall', IMAGES, 'higher', '.3f',
    'Share of test images within the k-nearest-neighbour ball of a sample.',
  ),
  'density': Metric(
    'Density', IMAGES, None, '.2f',
    'Mean number of such balls of test images around a sample, over k: about '
    '1 for real data, more where samples crowd.',
  ),
  'coverage': Metric(
    'Coverage', IMAGES, 'higher', '.3f',
    'Share of such balls of test images that hold a sample.',
  ),
  'nearest_train_ratio': Metric(
    'Nearest train', IMAGES, 'real', '.2f',
    'Median pixel distance to the nearest training image over that of test '
    'images (1 for the row real); clearly below 1 smells of memorising.',
  ),
  'z_distance': Metric(
    'z distance', LATENTS, None, '.1f',
    'Mean squared move per latent dimension, in squared mean posterior '
    'scales.',
  ),
  'satisfied': Metric(
    'Satisfied', LATENTS, 'higher', '.3f',
    'Share of latents that met every constraint before the optimiser stopped.',
  ),
  'steps_mean': Metric(
    'Steps', LATENTS, 'lower', '.1f',
    'Optimiser steps that a latent needed, on average.',
  ),
  'generator_score': Metric(
    'Generator score', LATENTS, None, '.3f',
    "Mean probability of being real that the mover's own critic gives.",
  ),
  'discriminator_score': Metric(
    'Discriminator score', LATENTS, None, '.3f',
    'Mean probability of the right answer that the critic gives, over real '
    'and moved latents alike; 0.5 when it cannot tell.',
  ),
  'latents_per_second': Metric(
    'Latents / s', COST, 'higher', ',.0f',
    'Latents moved or drawn per second, once compiled.',
    'latents/s',
  ),
  'training_seconds': Metric(
    'Training s', COST, 'lower', ',.0f',
    'Seconds to train or fit what moves or draws the latents, beyond the VAE; '
    'of trainings in an ensemble, a share each.',
    's',
  ),
  'success': Metric(
    'Success', EDITS, 'higher', '.3f',
    'Share of edits after which the judge sees the changed attribute as '
    'requested.',
  ),
  'pixel_mse_original': Metric(
    'MSE to original', EDITS, 'lower', '.4f',
    'Mean squared difference of the edited from the original image, pixels in '
    '[0, 1].',
  ),
  'pixel_mse_reconstruction': Metric(
    'MSE to reconstruction', EDITS, 'lower', '.4f',
    'The same from the unedited reconstruction.',
  ),
  'leakage': Metric(
    'Leakage', EDITS, 'lower', '.3f',
    'Share of edits after which the judge sees an attribute changed that '
    'nobody asked to change; mean over attributes.',
  ),
}  # fmt: skip


def metric(name: str) -> Metric:
  """How a column is shown; one that is not known, by its own name."""
  unknown = Metric(name.replace('_', ' '), OTHER, None, '.4g', '')
  return METRICS.get(name, unknown)


def text(name: str, value: float, unit: bool = False) -> str:
  """A value of a metric as every table, caption and legend prints it.

  Args:
    name: of the metric.
    value: finite.
    unit: whether to name the unit, if it has one.
  """
  shown = metric(name)
  suffix = f' {shown.unit}' if unit and shown.unit else ''
  return format(value, shown.fmt) + suffix
