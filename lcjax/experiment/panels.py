"""Figures that start from prior samples: holes, contours, grids and paths."""

from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from lcjax import errors, types
from lcjax.data import celeba, dataset
from lcjax.evaluation import edit_scores, judging, metrics, paper_figures
from lcjax.experiment import (
  jobs,
  loading,
  movers,
  stage,
  trainers,
)
from lcjax.experiment.loaded_run import Drawn, LoadedRun, pictured_actors
from lcjax.movers.base import Moved

# Columns of the paper's CelebA figure: a bit for each of its ten attributes.
CELEBA_VECTORS = (
  '0010001101', '0001001101', '0100001101', '0100011101', '0100010101',
  '0100110101', '1000010101', '1000010000',
)  # fmt: skip
_MOST_COLUMNS = 8  # if label vectors come from the held-out split
_REACH = 3.0  # least half-width of contours, in prior standard deviations
_CLOUD = 1000  # number of encodings drawn over contours


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Sigmoid of a critic's logits, on the host."""
  return np.asarray(jax.nn.sigmoid(logits))


def comparison_job(job: jobs.Job) -> jobs.Job:
  """The job of the second VAE of `holes`: another sigma_x and workdir."""
  config = job.config.copy_and_resolve_references()
  with config.unlocked():
    if config.vae.sigma_x == config.figures.comparison_sigma_x:
      raise errors.UserError(
        f'config.figures.comparison_sigma_x={config.vae.sigma_x} is '
        'equal to config.vae.sigma_x: choose another value for the second VAE '
        'of `holes`'
      )
    config.vae.sigma_x = config.figures.comparison_sigma_x
    config.num_seeds = 1
    # Same data: share the cache of decoded pixels.
    config.data.cache_dir = config.data.cache_dir or str(job.workdir / 'cache')
  return job._replace(config=config, workdir=job.workdir / 'figures' / 'holes')


def train_comparison(job: jobs.Job) -> None:
  """Trains the second VAE and its latent critics; skips finished trainings."""
  trainers.train_all(job, 'vae', 'latent_critics')


def model_block(
  loaded: LoadedRun, model: loading.BoundCritics, sigma_x: float
) -> tuple[paper_figures.Block, dict[str, Any]]:
  """Images and scores of one VAE: data, reconstructions and prior samples."""
  config, test = loaded.job.config, loaded.test
  section, num_columns = config.figures, config.figures.num_columns
  mean, _ = model.encode(test.images)
  start = model.model.start(section.num_samples, config.seed)
  moved = movers.make_realistic(model, config.optimize)(start)
  images = {
    'data': test.images,
    'reconstruction': model.decode(mean),
    'prior': model.decode(start),
    'realistic prior': model.decode(moved.z),
  }
  latents = {'reconstruction': mean, 'prior': start, 'realistic prior': moved.z}
  numbers: dict[str, Any] = {'sigma_x': sigma_x, 'rows': {}}
  labels = []
  for name, pictures in images.items():
    scores = {}
    if name in latents:
      scores = {
        'frechet': metrics.frechet_distance(
          loaded.predict_fn(pictures)[1], loaded.test_features
        ),
        'realism': probabilities(model.realism_critic(latents[name])).mean(),
      }
    numbers['rows'][name] = scores
    labels.append(
      f'{name}\nFrechet {scores["frechet"]:.2g}' if scores else name
    )
  numbers['rows']['reconstruction']['pixel_mse'] = edit_scores.pixel_errors(
    images['reconstruction'], test.images
  ).mean()
  if moved.satisfied is not None and moved.steps is not None:
    numbers['satisfied'] = moved.satisfied.mean()
    numbers['steps_mean'] = moved.steps.mean()
  block = paper_figures.Block(
    images=np.stack([part[:num_columns] for part in images.values()]),
    row_labels=labels,
    title=f'σₓ = {sigma_x:g}',
  )
  return block, numbers


def holes(loaded: LoadedRun) -> Drawn:
  """Prior samples with and without the realism constraint, for two sigma_x."""
  job = loaded.job
  other = comparison_job(job)
  # Load these first: an unfinished run fails before the second VAE is trained.
  _ = loaded.bound, loaded.predict_fn
  train_comparison(other)
  models = {
    other.config.vae.sigma_x: loading.load_critics(other, 0, loaded.train),
    job.config.vae.sigma_x: loaded.bound,
  }
  found = {
    sigma_x: model_block(loaded, models[sigma_x], sigma_x)
    for sigma_x in sorted(models, reverse=True)
  }
  sentences = [
    f'σₓ = {sigma_x:g}: '
    + ', '.join(
      f'{name} {scores["frechet"]:.2g}'
      for name, scores in numbers['rows'].items()
      if scores
    )
    for sigma_x, (_, numbers) in found.items()
  ]
  section = job.config.figures
  caption = (
    'Held-out images, reconstructions, prior samples, and the same prior '
    'samples after optimizer-G with only the realism constraint and one start '
    'per sample. Numbers are Frechet distances to the held-out split in the '
    f"judge's features, over {section.num_samples} samples "
    f'({len(loaded.test)} for reconstructions). ' + '; '.join(sentences) + '.\n'
  )
  pictures = paper_figures.image_page([block for block, _ in found.values()])
  numbers = {f'{sigma_x:g}': n for sigma_x, (_, n) in found.items()}
  return Drawn(pictures, numbers, caption)


def realism_contours(loaded: LoadedRun) -> Drawn:
  """D_realism over the two latent dimensions of smallest mean scale."""
  config, bound = loaded.job.config, loaded.bound
  mean_scale = bound.train.mean_scale
  first, second = (int(i) for i in np.argsort(mean_scale)[:2])
  prior = bound.model.start(1, config.seed)
  moved = movers.make_realistic(bound, config.optimize)(prior)
  encoded, _ = bound.encode(loaded.test.images[:1])
  latents = {
    'prior sample': prior[0],
    'prior, made realistic': moved.z[0],
    'held-out encoding': encoded[0],
  }
  cloud = bound.train.sample(config.seed, np.arange(len(bound.train.mean)))
  cloud = cloud[:_CLOUD, [first, second]]
  # Wide enough for the prior, q(z) and every latent that is shown.
  marked = np.stack(list(latents.values()))[:, [first, second]]
  reach = max(_REACH, float(np.abs(marked).max()) + 0.2)
  line = np.linspace(-reach, reach, config.figures.contour_points)
  across, along = np.meshgrid(line, line)
  surfaces, numbers = [], {}
  for name, latent in latents.items():
    plane = np.tile(latent, (across.size, 1))
    plane[:, first], plane[:, second] = across.ravel(), along.ravel()
    values = probabilities(bound.realism_critic(plane)).reshape(across.shape)
    here = float(probabilities(bound.realism_critic(latent[None]))[0])
    surfaces.append(
      paper_figures.Surface(
        f'{name}\nD = {here:.2f}',
        line,
        line,
        values,
        (float(latent[first]), float(latent[second])),
        bound.decode(latent[None])[0],
      )
    )
    numbers[name] = {
      'realism': here,
      'realistic_share_of_plane': float(np.mean(values > 0.5)),
    }
  labels = (
    f'latent {first}, mean scale {mean_scale[first]:.2g}',
    f'latent {second}, mean scale {mean_scale[second]:.2g}',
  )
  pictures = paper_figures.contours(surfaces, labels, 'D, realism', cloud)
  shares = ', '.join(
    f'{name} {n["realistic_share_of_plane"]:.2f} (dot: {n["realism"]:.2f})'
    for name, n in numbers.items()
  )
  caption = (
    'Probability of being real according to the realism critic, in a plane '
    'through one latent (the dot; its decoded image is shown). The plane spans '
    'the two latent dimensions of smallest mean scale; the other dimensions '
    'are fixed. White line: probability of one half. Faint dots: encodings, in '
    f'these two dimensions. Share of each plane above one half: {shares}.\n'
  )
  latent_numbers = {'dimensions': [first, second], 'planes': numbers}
  return Drawn(pictures, latent_numbers, caption)


def parse_vectors(vectors: Sequence[str], data: dataset.Dataset) -> np.ndarray:
  """Label vectors [C, Y] from strings of bits.

  Raises:
    UserError: a string has the wrong length or, for classes, not exactly one 1.
  """
  width = len(data.attribute_names)
  for bits in vectors:
    if len(bits) != width:
      raise errors.UserError(
        f'config.figures.attribute_vectors has {bits!r} of {len(bits)} bits: '
        f'give {width} bits, for {errors.listed(data.attribute_names)}'
      )
    if isinstance(data.labels, types.Classes) and bits.count('1') != 1:
      raise errors.UserError(
        f'config.figures.attribute_vectors has {bits!r}: for classes, set '
        'exactly one bit to 1'
      )
  return np.asarray([[float(b) for b in bits] for bits in vectors], np.float32)


def grid_vectors(vectors: Sequence[str], data: dataset.Dataset) -> np.ndarray:
  """Columns [C, Y] of `attribute_grid`; defaults for empty `vectors`."""
  if vectors:
    return parse_vectors(vectors, data)
  if isinstance(data.labels, types.Classes):
    return np.eye(len(data.attribute_names), dtype=np.float32)
  if data.attribute_names == celeba.DEFAULT_ATTRIBUTES:
    return parse_vectors(CELEBA_VECTORS, data)
  _, where = np.unique(data.attributes, axis=0, return_index=True)
  return data.attributes[np.sort(where)[:_MOST_COLUMNS]]


def actor_titles(config: ml_collections.ConfigDict) -> dict[str, str]:
  """Mover name of every actor -> its title in figures."""
  return {
    name: f'actor, λ = {weight:g}'
    for name, weight in stage.distance_weights(config).items()
  }


def attribute_grid(loaded: LoadedRun) -> Drawn:
  """A prior sample per row, moved to an attribute vector per column."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  section = config.figures
  vectors = grid_vectors(section.attribute_vectors, test)
  names = [
    test.labels.name_of(vector).replace('_', ' ').replace('+', '\n')
    for vector in vectors
  ]
  start = bound.model.start(
    max(section.num_rows, section.num_samples), config.seed
  )
  blocks, numbers, lines = [], {}, []
  for mover, title in actor_titles(config).items():
    columns, accuracy = [bound.decode(start[: section.num_rows])], []
    for vector in vectors:
      y = np.tile(vector, (len(start), 1))
      moved = movers.move(bound.actors[mover].mover, start, y)
      images = bound.decode(moved.z)
      columns.append(images[: section.num_rows])
      scores = metrics.classification_scores(
        loaded.predict(images), y, test.labels
      )
      accuracy.append(scores['accuracy'])
    if mover in pictured_actors(bound):
      blocks.append(
        paper_figures.Block(
          images=np.stack(columns, axis=1),
          column_labels=['prior', *names],
          title=title,
          first_columns=1,
        )
      )
    numbers[mover] = accuracy
    lines.append(
      f'{title}: '
      + ', '.join(f'{value:.3f}' for value in accuracy)
      + f' (mean {np.mean(accuracy):.3f})'
    )
  caption = (
    'A prior sample per row, moved by the actor to the attributes above each '
    "column. Share of the judge's decisions that match the requested "
    f'attributes, per column, over {len(start)} prior samples: '
    + '; '.join(lines)
    + '.\n'
  )
  vectors_text = [''.join(str(int(b)) for b in vector) for vector in vectors]
  return Drawn(
    paper_figures.image_page(blocks),
    {
      'attribute_names': list(test.attribute_names),
      'vectors': vectors_text,
      'num_samples': len(start),
      'accuracy': numbers,
    },
    caption,
  )


def optimizer_path(loaded: LoadedRun) -> Drawn:
  """Latents of optimizer-G after `path_steps` steps from prior samples."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  section = config.figures
  count = max(section.num_rows, section.num_samples)
  y = judging.requested_attributes(test, count)
  start = bound.model.start(count, config.seed)

  def move(steps: int) -> Moved:
    mover = movers.make_optimizer(bound, config.optimize, max_steps=steps)
    return movers.move(mover, start, y)

  found = {steps: move(steps) for steps in section.path_steps}
  cells, notes, numbers = [], [], {}
  for steps, moved in found.items():
    realism = probabilities(bound.realism_critic(moved.z))
    held = judging.least_agreement(
      bound.attribute_critic(moved.z), y, test.labels
    )
    images = bound.decode(moved.z)
    agrees = metrics.classification_scores(
      loaded.predict(images), y, test.labels
    )
    cells.append(images[: section.num_rows])
    cost = np.asarray(moved.cost)
    notes.append(
      [
        f'cost {c:.3g}\nrealism {r:.2f}\nattribute {a:.2f}'
        for c, r, a in zip(cost, realism, held, strict=True)
      ][: section.num_rows]
    )
    numbers[steps] = {
      'cost': cost.mean(),
      'realism': realism.mean(),
      'attribute': held.mean(),
      'judge_accuracy': agrees['accuracy'],
      'satisfied': np.asarray(moved.satisfied).mean(),
    }
  block = paper_figures.Block(
    images=np.stack(cells, axis=1),
    row_labels=[
      test.labels.name_of(vector).replace('_', ' ').replace('+', '\n')
      for vector in y[: section.num_rows]
    ],
    column_labels=[f'step {steps}' for steps in found],
    notes=[list(row) for row in zip(*notes, strict=True)],
  )
  sentences = [
    f'step {steps}: judge accuracy {n["judge_accuracy"]:.3f}, satisfied '
    f'{n["satisfied"]:.3f}, mean cost {n["cost"]:.3g}'
    for steps, n in numbers.items()
  ]
  caption = (
    'Prior samples, moved by optimizer-G to the attributes on the left of each '
    'row, with the settings of config.optimize but one start per sample. A row '
    'stops once its constraints are satisfied. Below each image: cost, '
    'D_realism, and the lowest probability that D_attr gives to a requested '
    f'attribute value. Means over {count} samples: '
    + '; '.join(sentences)
    + '.\n'
  )
  return Drawn(
    paper_figures.image_page([block], 0.8), {'steps': numbers}, caption
  )
