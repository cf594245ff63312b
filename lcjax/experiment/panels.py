"""Figures of latents from the prior: holes, contours, grids and paths."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax import errors, types
from lcjax.data import celeba, dataset
from lcjax.evaluation import edits, figures, judging, metrics
from lcjax.experiment import (
  jobs,
  loading,
  movers,
  stage,
  train_actor_critic,
  train_vae,
)
from lcjax.experiment.loaded_run import Drawn, LoadedRun, pictured_actors
from lcjax.latent import samplers

# The paper's columns for its ten attributes of CelebA, in their order.
CELEBA_VECTORS = (
  '0010001101', '0001001101', '0100001101', '0100011101', '0100010101',
  '0100110101', '1000010101', '1000010000',
)  # fmt: skip
_MOST_COLUMNS = 8  # of held-out vectors
_REACH = 3.0  # standard deviations of the prior, in contours
_CLOUD = 1000  # encodings shown beside contours


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Sigmoid of a critic's logits, on the host."""
  return np.asarray(jax.nn.sigmoid(logits))


def comparison_job(job: jobs.Job) -> jobs.Job:
  """The second model of `holes`: another sigma_x, in a folder of its own."""
  config = job.config.copy_and_resolve_references()
  with config.unlocked():
    if config.vae.sigma_x == config.figures.comparison_sigma_x:
      raise errors.UserError(
        f'config.figures.comparison_sigma_x={config.vae.sigma_x} is '
        'config.vae.sigma_x itself: give the second model of `holes` another'
      )
    config.vae.sigma_x = config.figures.comparison_sigma_x
    config.num_seeds = 1
    # Decoded pixels are the same: they are not kept twice.
    config.data.cache_dir = config.data.cache_dir or str(job.workdir / 'cache')
  return job._replace(config=config, workdir=job.workdir / 'figures' / 'holes')


def train_comparison(job: jobs.Job) -> None:
  """Trains the second model and its critics; skips what is finished."""
  train_vae.train_all(job)
  setting = train_actor_critic.prepare(job, 0)
  train_actor_critic.train_critics(job, 0, setting)


def model_block(
  loaded: LoadedRun, model: loading.BoundCritics, sigma_x: float
) -> tuple[figures.Block, dict[str, Any]]:
  """Data, reconstruction, prior and constrained prior of one VAE."""
  config, test = loaded.job.config, loaded.test
  section, num_columns = config.figures, config.figures.num_columns
  mean, _ = model.encode(test.images)
  start = samplers.prior(section.num_samples, mean.shape[1], config.seed)
  y = judging.requested_attributes(test, section.num_samples)
  # No attribute counts: realism is the only constraint.
  moved = movers.optimize(model, start, y, mask=np.zeros_like(y))
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
  numbers['rows']['reconstruction']['pixel_mse'] = edits.pixel_errors(
    images['reconstruction'], test.images
  ).mean()
  if moved.satisfied is not None and moved.steps is not None:
    numbers['satisfied'] = moved.satisfied.mean()
    numbers['steps_mean'] = moved.steps.mean()
  block = figures.Block(
    images=np.stack([part[:num_columns] for part in images.values()]),
    row_labels=labels,
    title=f'σₓ = {sigma_x:g}',
  )
  return block, numbers


def holes(loaded: LoadedRun) -> Drawn:
  """Prior samples leave the data where the decoder is precise."""
  job = loaded.job
  other = comparison_job(job)
  _ = (
    loaded.bound,
    loaded.predict_fn,
  )  # an unfinished run is refused before training
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
    'samples after optimizer-G, from one start each, with the realism '
    'constraint alone. Below: Frechet distance to the held-out split in the '
    f"judge's features, over {section.num_samples} samples, of reconstructions "
    f'{len(loaded.test)}. ' + '; '.join(sentences) + '.\n'
  )
  pictures = figures.image_page([block for block, _ in found.values()])
  numbers = {f'{sigma_x:g}': n for sigma_x, (_, n) in found.items()}
  return Drawn(pictures, numbers, caption)


def realism_contours(loaded: LoadedRun) -> Drawn:
  """D_realism over the two latents of smallest mean scale, through latents."""
  config, bound = loaded.job.config, loaded.bound
  mean_scale = bound.train.mean_scale
  first, second = (int(i) for i in np.argsort(mean_scale)[:2])
  prior = samplers.prior(1, len(mean_scale), config.seed)
  y = loaded.test.attributes[:1]
  moved = movers.optimize(bound, prior, y, mask=np.zeros_like(y))
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
      figures.Surface(
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
  pictures = figures.contours(surfaces, labels, 'D, realism', cloud)
  shares = ', '.join(
    f'{name} {n["realistic_share_of_plane"]:.2f} (D = {n["realism"]:.2f} there)'
    for name, n in numbers.items()
  )
  caption = (
    'Probability of being real that the realism critic gives, over the two '
    'latent dimensions of smallest mean scale, through a latent (the dot, and '
    'what it decodes to); the others are held. White line: one half. Faint '
    'dots: encodings, in these two dimensions. Share of each plane above one '
    f'half: {shares}.\n'
  )
  latent_numbers = {'dimensions': [first, second], 'planes': numbers}
  return Drawn(pictures, latent_numbers, caption)


def parse_vectors(vectors: Sequence[str], data: dataset.Dataset) -> np.ndarray:
  """[C, Y] label vectors of strings of bits.

  Raises:
    UserError: a string of another length, or not one bit for classes.
  """
  width = len(data.attribute_names)
  for bits in vectors:
    if len(bits) != width:
      raise errors.UserError(
        f'config.figures.attribute_vectors has {bits!r} of {len(bits)} bits: '
        f'give {width}, for {errors.listed(data.attribute_names)}'
      )
    if isinstance(data.labels, types.Classes) and bits.count('1') != 1:
      raise errors.UserError(
        f'config.figures.attribute_vectors has {bits!r}: of classes, exactly '
        'one bit is 1'
      )
  return np.asarray([[float(b) for b in bits] for bits in vectors], np.float32)


def grid_vectors(vectors: Sequence[str], data: dataset.Dataset) -> np.ndarray:
  """[C, Y] columns of `attribute_grid`; `vectors` empty: by the data set."""
  if vectors:
    return parse_vectors(vectors, data)
  if isinstance(data.labels, types.Classes):
    return np.eye(len(data.attribute_names), dtype=np.float32)
  if data.attribute_names == celeba.DEFAULT_ATTRIBUTES:
    return parse_vectors(CELEBA_VECTORS, data)
  _, where = np.unique(data.attributes, axis=0, return_index=True)
  return data.attributes[np.sort(where)[:_MOST_COLUMNS]]


def actor_titles(config: ml_collections.ConfigDict) -> dict[str, str]:
  """What to call every actor, by its mover's name."""
  return {
    name: f'actor, λ = {stage.own_section(config, which).distance_weight:g}'
    for name, which in stage.actors(config).items()
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
  size = bound.train.mean.shape[1]
  start = samplers.prior(
    max(section.num_rows, section.num_samples), size, config.seed
  )
  blocks, numbers, lines = [], {}, []
  for mover, title in actor_titles(config).items():
    columns, accuracy = [bound.decode(start[: section.num_rows])], []
    for vector in vectors:
      y = np.tile(vector, (len(start), 1))
      images = bound.decode(movers.move(bound, mover, start, y).z)
      columns.append(images[: section.num_rows])
      scores = metrics.classification_scores(
        loaded.predict(images), y, test.labels
      )
      accuracy.append(scores['accuracy'])
    if mover in pictured_actors(bound):
      blocks.append(
        figures.Block(
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
    "column. Share of the judge's decisions that agree with the request, by "
    f'column, over {len(start)} prior samples: ' + '; '.join(lines) + '.\n'
  )
  vectors_text = [''.join(str(int(b)) for b in vector) for vector in vectors]
  return Drawn(
    figures.image_page(blocks),
    {
      'attribute_names': list(test.attribute_names),
      'vectors': vectors_text,
      'num_samples': len(start),
      'accuracy': numbers,
    },
    caption,
  )


def least_agreement(
  logits: np.ndarray, y: np.ndarray, labels: types.Labels
) -> np.ndarray:
  """[B] least probability of a requested value; of classes, of the class."""
  held = np.asarray(labels.probabilities(jnp.asarray(logits)))
  if isinstance(labels, types.Classes):
    return np.sum(held * y, axis=1)
  return np.min(np.where(y > 0.5, held, 1.0 - held), axis=1)


def optimizer_path(loaded: LoadedRun) -> Drawn:
  """Where optimizer-G is after so many steps, from prior samples."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  section = config.figures
  count = max(section.num_rows, section.num_samples)
  y = judging.requested_attributes(test, count)
  start = samplers.prior(count, bound.train.mean.shape[1], config.seed)
  move = functools.partial(movers.optimize, bound, start, y)
  found = {steps: move(max_steps=steps) for steps in section.path_steps}
  cells, notes, numbers = [], [], {}
  for steps, moved in found.items():
    realism = probabilities(bound.realism_critic(moved.z))
    held = least_agreement(bound.attribute_critic(moved.z), y, test.labels)
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
  block = figures.Block(
    images=np.stack(cells, axis=1),
    row_labels=[
      test.labels.name_of(vector).replace('_', ' ').replace('+', '\n')
      for vector in y[: section.num_rows]
    ],
    column_labels=[f'step {steps}' for steps in found],
    notes=[list(row) for row in zip(*notes, strict=True)],
  )
  sentences = [
    f'{steps}: {n["judge_accuracy"]:.3f} by the judge, satisfied '
    f'{n["satisfied"]:.3f}, mean cost {n["cost"]:.3g}'
    for steps, n in numbers.items()
  ]
  caption = (
    'Prior samples on their way to the attributes named before each row, under '
    'optimizer-G with the settings of config.optimize, from one start; a row '
    'stops once it is '
    'satisfied. Below each image: cost, D_realism, and the least probability '
    f'that D_attr gives a requested attribute. Over {count} samples, by step: '
    + '; '.join(sentences)
    + '.\n'
  )
  return Drawn(figures.image_page([block], 0.8), {'steps': numbers}, caption)
