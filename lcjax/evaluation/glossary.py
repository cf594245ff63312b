"""Descriptions of the rows and columns of a report."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from lcjax import types

REAL = 'real'
REAL_SATISFYING = 'real_satisfying'
REFERENCE_ROWS = (REAL, 'real_train', REAL_SATISFYING, 'reconstruction')
BASELINE_ROWS = (
  'prior', 'mixture', 'mixture_kept', 'mixture_narrow',
  'class_gaussian', 'class_mixture', 'class_mixture_kept',
  'class_mixture_narrow', 'class_mixture_narrow_kept',
  'attribute_gaussian', 'attribute_mixture', 'attribute_mixture_kept',
  'attribute_mixture_narrow', 'attribute_mixture_narrow_kept',
)  # fmt: skip
# Rows without requested attributes, and the baseline for them.
UNLABELLED_BASELINE = 'mixture'
# Suffix of a mixture whose components are drawn from with less spread.
NARROW = '_narrow'
# Rows of the guided denoiser from a mixture, of settings that are searched.
WALKS = 'short_walk', 'one_step', 'varied_walk'
KEPT_WALK = 'short_walk_kept'  # chosen by what rejection sampling keeps
REALISM_WALK = 'realism_walk'
UNLABELLED_ROWS = (
  UNLABELLED_BASELINE, 'mixture_narrow', 'realism_optimizer',
  'realism_denoiser', REALISM_WALK, 'gan', 'two_stage', 'aae',
)  # fmt: skip
_NARROW_DESCRIPTION = (
  'As {}, with the standard deviation of every component times a factor of at '
  'most 1. Of the searched sizes and factors, those of least Frechet distance'
  '{}, on the validation split as the second judge sees it.'
)
_AS_ACCURATE = ' that are at least as accurate as real images'
ROW_DESCRIPTIONS = {
  'real': 'The held-out test images.',
  'real_train': 'As many training images as test images: what a second sample '
  'of real data would score, except that the judge was trained on these.',
  REAL_SATISFYING: 'The test images that satisfy the constraint, by their own '
  'labels and the checks of its terms: the ceiling of the shares that meet it.',
  'reconstruction': "The model's reconstructions of test images: the upper "
  'limit for anything that decodes a latent.',
  'prior': 'Latents drawn from N(0, I), without any constraint.',
  'mixture': 'Latents drawn from a full-covariance Gaussian mixture fitted to '
  'all encodings. Labels are neither used nor requested.',
  'mixture_narrow': _NARROW_DESCRIPTION.format('mixture', ''),
  'realism_optimizer': 'Prior latents moved by gradient steps on realism '
  'alone, from one start. No labels are requested. (In '
  'training, the fakes of the critic included latents moved towards labels.)',
  'realism_denoiser': 'Latents sampled from the same noise by the denoiser of '
  'encodings, without guidance. Labels are neither used nor requested.',
  REALISM_WALK: 'Draws of the mixture, with a little noise, sampled again by a '
  'few steps of the denoiser without guidance. Labels are neither used nor '
  'requested. Of the searched settings, the one of least Frechet distance on '
  'the validation split.',
  'gan': 'Samples of another model as they are, a generative adversarial '
  'network: images of latents drawn from N(0, I). No labels are requested.',
  'two_stage': 'Latents drawn by a second VAE of the encodings, with a learned '
  'standard deviation: u from N(0, I), then the latent around f(u). No labels '
  'are requested.',
  'aae': 'Samples of another model as they are, an adversarial autoencoder, '
  'whose encodings were trained to follow its prior: images of draws of that '
  'prior. No labels are requested.',
  'class_gaussian': 'Latents drawn from a Gaussian fitted to the encodings of '
  'each class.',
  'class_mixture': 'Latents drawn from a full-covariance Gaussian mixture '
  'fitted to the encodings of each class.',
  'class_mixture_narrow': _NARROW_DESCRIPTION.format(
    'class_mixture', _AS_ACCURATE
  ),
  'attribute_gaussian': 'Latents drawn from a Gaussian fitted to the '
  'encodings: its mean is a linear function of the attributes, its covariance '
  'the same for all.',
  'attribute_mixture': 'As attribute_gaussian, with a full-covariance Gaussian '
  'mixture around the linear function.',
  'attribute_mixture_narrow': _NARROW_DESCRIPTION.format(
    'attribute_mixture', _AS_ACCURATE
  ),
  'actor': 'Prior latents moved in one step by a trained actor network.',
  'optimizer': 'Prior latents moved by gradient steps on the constraints, each '
  'latent independently, from one start.',
  'actor_then_optimizer': "The actor's latents, moved further by the "
  'optimiser.',
  'guided_denoiser': 'Latents sampled from the same noise by an unconditional '
  'denoiser of encodings, guided by an attribute critic of noised latents. '
  'Above the noise time denoise.mixture_above, the class mixture replaces '
  'both.',
  'optimizer_from_mixture': 'Gradient steps on the constraints from draws of '
  'the class or attribute mixture instead of prior latents, until a row is as '
  'realistic and as surely of its label as most real encodings.',
  'one_step': 'As short_walk, of a single step.',
  'short_walk': 'Draws of the class or attribute mixture, with a little noise, '
  'sampled again by a few steps of the guided denoiser. Of the searched '
  'settings that are at least as accurate as real images and have nearly the '
  'best recall of these, the one of least Frechet distance, on the validation '
  'split as the second judge sees it.',
  'varied_walk': 'As short_walk, of highest k-NN recall instead of least '
  'Frechet distance.',
  'conditional_vae': 'Samples of another model, a conditional VAE that was '
  'trained from scratch with labels: means of p(x|z, y), where z is drawn from '
  'N(0, I) and y is the requested label.',
  'conditional_gan': 'Samples of another model, a conditional GAN that was '
  'trained from scratch with labels: g(z, y), where z is drawn from N(0, I) '
  'and y is the requested label.',
}
# Prefix of the rows of additional actors; their distance weight follows.
FURTHER_ACTOR = 'actor_lambda_'
# Suffix of the rows with rejection sampling.
KEPT = '_kept'
# Prefix of the columns with a network's evaluations per sample.
EVALUATIONS = 'evaluations_'
# Prefix of the columns with the shares that meet a term of a constraint.
MET = 'met_'
JOINTLY = f'{MET}jointly'


def row_description(name: str) -> str:
  """The description of a row; empty for an unknown row."""
  if name == KEPT_WALK:
    return (
      'As short_walk with rejection sampling, as all rows NAME_kept. Of the '
      'searched settings, the one whose accepted samples have the least '
      'Frechet distance and are at least as accurate as real images.'
    )
  if name.endswith(KEPT):
    return (
      f'{name.removesuffix(KEPT)} with rejection sampling: a row is made '
      'again, from new noise, while the attribute critic rejects the encoding '
      'of its decoded image; up to the same number of tries for all such rows.'
    )
  if name.startswith(FURTHER_ACTOR):
    return (
      'Prior latents moved in one step by another actor, trained like the '
      'first but with a distance penalty of weight '
      f'{name.removeprefix(FURTHER_ACTOR)}.'
    )
  return ROW_DESCRIPTIONS.get(name, '')


def in_order(names: Iterable[str]) -> list[str]:
  """Sorts rows for a report.

  Additional actors follow the first one, a row with rejection sampling the one
  without; unknown rows come last, as they are.
  """
  order, given = list(ROW_DESCRIPTIONS), list(names)
  singles = [name.removesuffix(KEPT) for name in given]

  def place(name: str) -> tuple[int, bool, int, bool]:
    single = name.removesuffix(KEPT)
    further = single.startswith(FURTHER_ACTOR)
    known = 'actor' if further else single
    position = order.index(known) if known in order else len(order)
    return position, further, singles.index(single), name != single

  return sorted(given, key=place)


def baseline(kind: types.Kind | None) -> str:
  """The row that movers are compared with; kind is None without labels.

  A row with rejection sampling is compared with that row's, NAME_kept.
  """
  if kind is None:
    return UNLABELLED_BASELINE
  return 'class_mixture' if kind == 'classes' else 'attribute_mixture'


def telling_metrics(kind: types.Kind | None) -> tuple[str, ...]:
  """The most informative columns; kind is None without labels.

  Most bits of independent attributes are 0 whatever is requested, so F1 is more
  informative there than the accuracy of the worst attribute.
  """
  if kind is None:
    return 'frechet', 'knn_recall'
  second = 'worst_class_accuracy' if kind == 'classes' else 'macro_f1'
  return 'accuracy', second, 'frechet', 'diversity', 'knn_recall'


def verdict_metrics(kind: types.Kind | None) -> tuple[str, ...]:
  """The columns that the verdict on a mover is about, chosen beforehand."""
  score = score_metric(kind)
  return ('frechet',) if score is None else ('frechet', score)


def score_metric(kind: types.Kind | None) -> str | None:
  """How well requests are met, in one column; None without labels."""
  if kind is None:
    return None
  return 'accuracy' if kind == 'classes' else 'macro_f1'


def readme_metrics(kind: types.Kind | None) -> tuple[str, ...]:
  """Columns of the short table, which fits a README."""
  last = (
    'frechet', 'second_frechet', 'diversity', 'knn_recall', 'coverage',
    'nearest_train_ratio', 'authenticity', 'latents_per_second', 'tries',
    'training_seconds',
  )  # fmt: skip
  if kind is None:
    return last
  if kind == 'classes':
    return 'accuracy', 'worst_class_accuracy', 'cas', *last
  scores = 'accuracy', 'macro_precision', 'macro_recall', 'macro_f1', 'cas'
  return *scores, 'z_distance', *last


def of_terms(present: Iterable[str]) -> list[str]:
  """Columns of the terms of a constraint, of those that there are."""
  found = sorted(n for n in present if n.startswith(MET) and n != JOINTLY)
  return found + [n for n in (JOINTLY, 'frechet_satisfying') if n in {*present}]


@dataclasses.dataclass(frozen=True)
class Metric:
  """How a column is displayed.

  Attributes:
    label: column heading.
    group: heading above neighbouring columns.
    better: which values are better, for bold cells and verdicts; 'real' means
      closer to the row of held-out images.
    fmt: number format of the mean, its spread or error, and differences.
    definition: one sentence.
    unit: appended to numbers without a column heading.
  """

  label: str
  group: str
  better: Literal['higher', 'lower', 'real'] | None
  fmt: str
  definition: str
  unit: str = ''


ATTRIBUTES, IMAGES = 'Attributes', 'Realism and diversity'
TERMS = 'Constraint'
SECOND = 'Second feature space'
LATENTS, COST, EDITS, OTHER = 'Latents', 'Cost', 'Edits', 'Other'
METRICS = {
  'accuracy': Metric(
    'Accuracy', ATTRIBUTES, 'higher', '.3f',
    "Share of the judge's decisions that agree with the requested attributes.",
  ),
  'macro_precision': Metric(
    'Precision', ATTRIBUTES, 'higher', '.3f',
    'Of the images judged to have an attribute, the share for which it was '
    'requested; mean over the attributes that are requested or predicted at '
    'least once.',
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
    'Lowest accuracy of any class or attribute.',
  ),
  'cas': Metric(
    'CAS', ATTRIBUTES, 'higher', '.3f',
    'Classification accuracy score: accuracy on real test images of a small '
    "classifier fitted to the row's samples and requested labels alone, as "
    'many in every row; F1 for independent attributes. The row real_train '
    'shows what as many real images give; reconstructions are of the very test '
    'images, which flatters them.',
  ),
  'frechet': Metric(
    'Frechet', IMAGES, 'lower', '.4f',
    "Squared Frechet distance to test images in the judge's feature space, "
    'divided by the variance of the test features; of as many samples in every '
    'row, as the mean over disjoint subsets.',
  ),
  'frechet_satisfying': Metric(
    'Frechet satisfying', IMAGES, 'lower', '.4f',
    "Squared Frechet distance in the judge's feature space, divided by the "
    'variance of the reference, to the test images that satisfy the constraint '
    '(the row real_satisfying).',
  ),
  'satisfying_spread': Metric(
    'Spread', IMAGES, 'real', '.2f',
    'Feature variance of all samples, divided by that of the real images that '
    'satisfy the constraint.',
  ),
  'satisfying_knn_recall': Metric(
    'Recall satisfying', IMAGES, 'higher', '.3f',
    'k-NN recall among the real images that satisfy the constraint, of as many '
    'samples.',
  ),
  'satisfying_coverage': Metric(
    'Coverage satisfying', IMAGES, 'higher', '.3f',
    'Coverage of the real images that satisfy the constraint, by as many '
    'samples.',
  ),
  'kid': Metric(
    'KID', IMAGES, 'lower', '.4f',
    'Kernel distance to test images: squared maximum mean discrepancy with the '
    "cubic kernel of the judge's features, each standardised as in the test "
    'images; mean over 20 pairs of random subsets of up to 1,000. Unbiased, so '
    'it may be below 0.',
  ),
  'kid_std': Metric(
    'KID spread', IMAGES, None, '.4f',
    'Standard deviation of the kernel distance over the pairs of subsets.',
  ),
  'diversity': Metric(
    'Diversity', IMAGES, 'real', '.2f',
    'Feature variance among images with an attribute, divided by that of '
    'training images; mean over attributes. The row real is the target: it '
    'exceeds 1 if the judge has overfitted its training images.',
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
    'Mean number of k-nearest-neighbour balls of test images that contain a '
    'sample, divided by k: about 1 for real data, higher if samples cluster.',
  ),
  'coverage': Metric(
    'Coverage', IMAGES, 'higher', '.3f',
    'Share of k-nearest-neighbour balls of test images that contain a sample.',
  ),
  'nearest_train_ratio': Metric(
    'Nearest train', IMAGES, 'real', '.2f',
    'Median pixel distance to the nearest training image, divided by that of '
    'test images (1 for the row real); clearly below 1 suggests memorisation.',
  ),
  'second_frechet': Metric(
    '2nd Frechet', SECOND, 'lower', '.4f',
    'Frechet, as above, in features that share nothing with the judge: codes '
    'of an autoencoder of photographs, or principal components of samples that '
    'are no images.',
  ),
  'second_knn_recall': Metric(
    '2nd k-NN recall', SECOND, 'higher', '.3f',
    'k-NN recall, as above, in these features, among the first 5,000 samples '
    'and test images.',
  ),
  'second_nearest_train_ratio': Metric(
    '2nd nearest train', SECOND, 'real', '.2f',
    'Nearest train, as above, by distances of these features.',
  ),
  'authenticity': Metric(
    'Authenticity', SECOND, 'real', '.3f',
    'Share of the first 2,000 samples that are farther, in these features, '
    'from their nearest training image than that one is from its own nearest '
    'other training image. The row real is the target; less suggests copies.',
  ),
  'z_distance': Metric(
    'z distance', LATENTS, None, '.1f',
    'Mean squared move per latent dimension, measured in mean posterior '
    'standard deviations.',
  ),
  'satisfied': Metric(
    'Satisfied', LATENTS, 'higher', '.3f',
    'Share of latents that met all constraints when the optimiser stopped; in '
    'rows with rejection sampling, that were accepted.',
  ),
  'steps_mean': Metric(
    'Steps', LATENTS, 'lower', '.1f',
    'Mean number of optimiser steps per latent.',
  ),
  'generator_score': Metric(
    'Generator score', LATENTS, None, '.3f',
    "Mean probability of being real that the mover's critic assigns to moved "
    'latents. Of a critic without a density ratio (total_variation, hinge, '
    'wasserstein, pairing): the probability that it scores a moved latent '
    'above a real one.',
  ),
  'discriminator_score': Metric(
    'Discriminator score', LATENTS, None, '.3f',
    'Mean probability that the critic assigns to the correct answer, over '
    'equal shares of real and moved latents; 0.5 if it cannot tell them apart. '
    'Of a critic without a density ratio: the probability that it scores a '
    'real latent above a moved one.',
  ),
  'latents_per_second': Metric(
    'Latents / s', COST, 'higher', ',.0f',
    'Latents moved or drawn per second, excluding compilation: the median of '
    'at least five passes over all rows and one second, or of one pass of more '
    'than ten.',
    'latents/s',
  ),
  'speed_spread': Metric(
    'Spread of speed', COST, None, '.0%',
    'Half the range of those passes over their median.',
  ),
  'tries': Metric(
    'Tries', COST, 'lower', '.2f',
    'Tries per accepted row, in rows with rejection sampling.',
  ),
  'components': Metric(
    'Components', COST, None, ',.0f',
    'Gaussians in a mixture, of all classes together: a number chosen without '
    'the judge and the split of this table.',
  ),
  'training_seconds': Metric(
    'Training s', COST, 'lower', ',.0f',
    'Seconds to train or fit what moves or draws the latents, excluding the '
    'VAE; of a row that is a model of its own, of all of it. The trainings of '
    'an ensemble share its time equally.',
    's',
  ),
  'judges_agree': Metric(
    'Judges agree', OTHER, None, '.3f',
    'Share of images on which both judges decide the same, of all attributes.',
  ),
  'success': Metric(
    'Success', EDITS, 'higher', '.3f',
    'Share of edits after which the judge sees the changed attribute as '
    'requested.',
  ),
  'pixel_mse_original': Metric(
    'MSE to original', EDITS, 'lower', '.4f',
    'Mean squared difference between edited and original image, pixels in '
    '[0, 1].',
  ),
  'pixel_mse_reconstruction': Metric(
    'MSE to reconstruction', EDITS, 'lower', '.4f',
    'Mean squared difference between edited image and unedited '
    'reconstruction, pixels in [0, 1].',
  ),
  'leakage': Metric(
    'Leakage', EDITS, 'lower', '.3f',
    'Share of edits after which the judge sees a change in an attribute that '
    'was not to be edited; mean over attributes.',
  ),
}  # fmt: skip


def metric(name: str) -> Metric:
  """How a column is displayed; an unknown one is labelled with its name."""
  if name.startswith(EVALUATIONS):
    network = name.removeprefix(EVALUATIONS)
    return Metric(
      f'{network} / sample', COST, 'lower', '.4g',
      f'Evaluations of {network} per sample; one with its gradient counts once.'
    )  # fmt: skip
  if name.startswith(MET):
    term = name.removeprefix(MET)
    what = (
      'satisfy the constraint as it is composed, but for realism and distances'
      if name == JOINTLY
      else f'meet the term {term} of the constraint'
    )
    return Metric(
      f'{term.replace("_", " ")} met', TERMS, 'higher', '.3f',
      f'Share of samples that {what}; the notes say who judges.',
    )  # fmt: skip
  unknown = Metric(name.replace('_', ' '), OTHER, None, '.4g', '')
  return METRICS.get(name, unknown)


def text(name: str, value: float, unit: bool = False) -> str:
  """Formats a value of a metric for tables, captions and legends.

  Args:
    name: name of the metric.
    value: finite number.
    unit: whether to append the unit, if there is one.
  """
  shown = metric(name)
  suffix = f' {shown.unit}' if unit and shown.unit else ''
  return format(value, shown.fmt) + suffix
