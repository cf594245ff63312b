"""Builds data, networks, optimisers and functions of arrays from a config."""

import dataclasses
import functools
import inspect
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from flax import linen as nn

from lcjax import errors, keys, types
from lcjax.constraints import attributes, compose, critics, near
from lcjax.data import dataset
from lcjax.experiment import (
  architectures,
  external,
  jobs,
  optimizers,
  plugins,
  wants,
)
from lcjax.latent import encodings
from lcjax.losses import divergences
from lcjax.models import actor, apply, classifier, vae
from lcjax.models import critic as critic_lib
from lcjax.models import denoiser as denoiser_lib
from lcjax.training import objectives, parallel, remedies, state, steps


@dataclasses.dataclass(frozen=True)
class Networks:
  """The modules but the classifiers, and what the two critics estimate.

  The VAE is None if the model is another.
  """

  vae: vae.Vae | None
  actor: actor.Actor
  critic: critic_lib.Critic
  attribute_critic: critic_lib.AttributeCritic
  realism_critic: critic_lib.Critic
  divergence: divergences.Divergence
  realism_divergence: divergences.Divergence
  denoiser: denoiser_lib.ResidualMlp
  noised_attribute_critic: denoiser_lib.ResidualMlp


@functools.cache
def _read_once(split: str, **section: Any) -> dataset.Dataset:
  """Loads a split once per process, so that all stages share its digests."""
  return dataset.load(split=split, **section)


def load_data(job: jobs.Job, split: str) -> dataset.Dataset:
  """Loads one split of the config's data set.

  Decoded pixels are cached in config.data.cache_dir, or else in WORKDIR/cache.

  Raises:
    UserError: the data cannot be read, lack something that the config requires,
      or an optimiser cannot take a step. Every launcher loads data first, so
      that these errors appear before any training.
  """
  check_optimizers(job.config)
  section = _data_section(job)
  data = None
  for turn in (jax.process_index() == 0, jax.process_index() != 0):
    with parallel.raising_together():
      if turn:  # process 0 decodes first; the others read its cache
        data = _read_once(split, **section)
  assert data is not None
  return data


def load_splits(job: jobs.Job) -> tuple[dataset.Dataset, dataset.Dataset]:
  """Loads what trainings read: the training and the validation split."""
  return load_data(job, 'train'), load_data(job, 'validation')


def load_labels(job: jobs.Job) -> types.Labels:
  """The labels of the training split, found without decoding images."""
  return dataset.labels_before_decoding(split='train', **_data_section(job))


def _data_section(job: jobs.Job) -> dict[str, Any]:
  """`config.data` as keyword arguments of `dataset.load`."""
  section = job.config.data.to_dict()
  section['cache_dir'] = section['cache_dir'] or str(job.workdir / 'cache')
  section['attributes'] = tuple(section['attributes'])
  return dict(section)


def digests(
  job: jobs.Job, splits: Sequence[str], labels: bool = True
) -> dict[str, Any]:
  """Digests that identify the data of a job, as JSON.

  Args:
    job: config and workdir of the run.
    splits: to digest.
    labels: whether to include the attributes, their names and their kind.

  Returns:
    split -> {'images': ...}, and 'labels' if asked; see `lcjax.data.digests`.
  """
  found: dict[str, Any] = {}
  for split in splits:
    data = load_data(job, split)
    found[split] = {'images': data.image_digest}
    if labels:
      found[split]['labels'] = data.label_digest
  return found


# Instead of the name of a divergence: no critic, see `lcjax.losses.mmd`.
MMD = 'mmd'


def find_divergence(
  config: ml_collections.ConfigDict, stage: str
) -> divergences.Divergence:
  """The divergence of a stage's critic: by name, or from a user's own file.

  Raises:
    UserError: there is none of that name.
  """
  text, what = config[stage].divergence, f'config.{stage}.divergence'
  if ':' not in text:
    return divergences.find(text, what)
  found = plugins.load(text, what)
  if not isinstance(found, divergences.Divergence):
    raise errors.UserError(
      f'{what}={text!r} is of type {type(found).__name__}: it must be a '
      'lcjax.losses.divergences.Divergence'
    )
  return found


def check_divergences(
  config: ml_collections.ConfigDict, sections: Sequence[str]
) -> None:
  """Raises UserError unless the critics' divergences exist and can be trained.

  Args:
    config: of the experiment.
    sections: of the trainings to check.
  """
  for stage in (
    'latent_critics', 'actor_critic', 'gan', 'conditional_gan', 'aae',
  ):  # fmt: skip
    if stage in sections and (stage, config[stage].divergence) != ('aae', MMD):
      divergences.check_penalty(
        find_divergence(config, stage),
        f'config.{stage}.divergence',
        {
          f'config.{stage}.{name}_weight': config[stage][f'{name}_weight']
          for name in ('gradient_penalty', 'r1', 'r2')
        },
      )
  if 'actor_critic' in sections:
    section, key = config.actor_critic, 'config.actor_critic.'
    remedies.check(
      find_divergence(config, 'actor_critic'),
      f'{key}divergence',
      {
        f'{key}{name}': section[name]
        for name in (
          'critic_dropout', 'label_noise', 'label_smoothing', 'instance_noise',
        )
      },
    )  # fmt: skip
    remedies.check_ratios(
      {
        f'{key}{name}': section[name]
        for name in (
          'critic_steps_per_actor_step',
          'actor_steps_per_critic_step',
        )
      }
    )


def build_classifier(
  config: ml_collections.ConfigDict, section: str, data: dataset.Dataset
) -> classifier.Classifier:
  """Builds the module of a classifier of images.

  Args:
    config: of the experiment.
    section: 'classifier', 'second_classifier' or 'labeller'.
    data: gives the sizes of images and labels.
  """
  return architectures.build_classifier(
    config[section], data.image_shape, len(data.labels), section
  )


def build_networks(
  config: ml_collections.ConfigDict, data: dataset.Dataset
) -> Networks:
  """Builds the modules; each stage's `make_state` creates the parameters."""
  stage, latent_critics = config.actor_critic, config.latent_critics
  num_attributes = len(data.attribute_names)
  latent_size = external.latent_size(config)
  return Networks(
    vae=architectures.build_vae(config.vae, data.image_shape)
    if config.generator.kind in external.OF_VAES
    else None,
    actor=actor.Actor(
      latent_size=latent_size,
      label_size=stage.label_size,
      hidden_sizes=stage.actor_hidden_sizes,
      activation=stage.activation,
    ),
    critic=critic_lib.Critic(
      label_size=stage.label_size,
      hidden_sizes=stage.critic_hidden_sizes,
      activation=stage.activation,
    ),
    attribute_critic=critic_lib.AttributeCritic(
      num_attributes=num_attributes,
      hidden_sizes=latent_critics.hidden_sizes,
      activation=latent_critics.activation,
    ),
    realism_critic=critic_lib.Critic(
      label_size=0,
      hidden_sizes=latent_critics.hidden_sizes,
      activation=latent_critics.activation,
    ),
    divergence=find_divergence(config, 'actor_critic'),
    realism_divergence=find_divergence(config, 'latent_critics'),
    denoiser=denoiser_lib.ResidualMlp(
      width=config.denoiser.width,
      num_blocks=config.denoiser.num_blocks,
      out_size=latent_size,
      activation=config.denoiser.activation,
    ),
    noised_attribute_critic=denoiser_lib.ResidualMlp(
      width=config.denoiser.attribute_width,
      num_blocks=config.denoiser.attribute_blocks,
      out_size=num_attributes,
      activation=config.denoiser.activation,
    ),
  )


def stage_key(seed: int, stage: str) -> jax.Array:
  """The PRNG key of one stage of one replicate."""
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(stage.encode()))


def make_schedule(
  section: ml_collections.ConfigDict, num_updates: int
) -> optax.ScalarOrSchedule:
  """Builds the learning rate as a function of the update count, from 0.

  Unless constant, it reaches `final_learning_rate` at the last of `num_updates`
  and stays there. Rates may be tracers, which optax's own schedules do not
  accept.
  """
  first, last = section.learning_rate, section.final_learning_rate
  if section.schedule == 'constant':
    return first

  def schedule(count: jax.Array) -> jax.Array:
    done = jnp.minimum(count / jnp.maximum(num_updates - 1, 1), 1.0)
    if section.schedule == 'cosine':  # Loshchilov & Hutter, arXiv:1608.03983
      return last + (first - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    # Log-linear decay, as in the authors' code.
    return first * jnp.power(last / first, done)

  return schedule


def make_optimizer(
  section: ml_collections.ConfigDict, num_updates: int, key: str
) -> optax.GradientTransformation:
  """Builds an optax optimiser by name.

  Args:
    section: an optimizer section of the config.
    num_updates: updates of this optimiser over which the learning rate decays;
      may differ from the number of training steps.
    key: dotted name of the section, for errors.
  """
  make = optimizers.find(section.name, key)
  accepted = inspect.signature(make).parameters
  moments = {m: section[m] for m in ('b1', 'b2') if m in accepted}
  arguments = moments | section.arguments.to_dict()
  try:
    return make(make_schedule(section, num_updates), **arguments)
  except (TypeError, ValueError, LookupError, AttributeError) as error:
    raise errors.UserError(
      f'config.{key}.arguments={arguments} is not valid for '
      f'optax.{section.name}: {error}'
    ) from error


@dataclasses.dataclass(frozen=True)
class Configured:
  """An optimizer section as a value, see `optimizer_spec.Spec`.

  Attributes:
    text: the section as JSON.
    num_updates: over which its learning rate decays.
    key: dotted name of the section, for errors.
  """

  text: str
  num_updates: int
  key: str

  def make(self) -> optax.GradientTransformation:
    """The optax transformation."""
    section = ml_collections.ConfigDict(json.loads(self.text))
    return make_optimizer(section, self.num_updates, self.key)


def configured(
  section: ml_collections.ConfigDict, num_updates: int, key: str
) -> Configured:
  """An optimizer section as a value; see `Configured` for the arguments."""
  text = json.dumps(section.to_dict(), sort_keys=True)
  return Configured(text, num_updates, key)


@functools.cache  # every load of data checks the same config
def _check_optimizer(text: str, key: str) -> None:
  section = ml_collections.ConfigDict(json.loads(text))
  what = f'config.{key}.name={section.name!r}'
  if section.arguments:
    what += f' with arguments={section.arguments.to_dict()}'
  optimizers.check_step(make_optimizer(section, 2, key), what)


def check_optimizers(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless every optimiser of a config can take a step."""
  for name in keys.flatten(config.to_dict()):
    key, _, last = name.rpartition('.')
    if last == 'learning_rate':
      parts = key.split('.')
      section = functools.reduce(lambda part, name: part[name], parts, config)
      _check_optimizer(json.dumps(section.to_dict(), sort_keys=True), key)


def make_optimizers(
  config: ml_collections.ConfigDict, stage: str, names: Sequence[str]
) -> tuple[optax.GradientTransformation, ...]:
  """Builds optimisers, one per name, of networks updated at every step."""
  section = config[stage]
  return tuple(
    make_optimizer(section[name], section.train.num_steps, f'{stage}.{name}')
    for name in names
  )


def compose_constraint(
  section: ml_collections.ConfigDict,
  realism: critics.Critic,
  attribute: attributes.Attributes,
  close: near.Near,
  want: wants.Want = wants.ALL,
) -> compose.AllOf:
  """Composes them, with the weights and thresholds of a section.

  Args:
    section: `config.optimize` or a section with the same keys.
    realism: D_realism.
    attribute: D_attr.
    close: the distance penalty.
    want: further constraints, and how all are composed.
  """
  parts = {
    wants.REALISM: dataclasses.replace(
      realism, threshold=section.realism_threshold
    ),
    wants.ATTRIBUTES: dataclasses.replace(
      attribute, tolerance=section.attribute_tolerance
    ),
    wants.NEAR: close,
  }
  own = {
    wants.REALISM: section.realism_weight,
    wants.ATTRIBUTES: section.attribute_weight,
    wants.NEAR: section.distance_weight,
  }
  found = want.compose(parts, own)
  assert found is not None  # nothing is assumed
  return found


def make_image_state(
  config: ml_collections.ConfigDict,
  section: str,
  module: nn.Module,
  data: dataset.Dataset,
  seed: int,
  labelled: bool = False,
) -> Callable[[], state.TrainState]:
  """Builds the function that makes the first state of a network of images.

  Args:
    config: of the experiment.
    section: of the network, and its name in the state.
    module: of images, or of images and label vectors.
    data: gives the sizes of images and labels.
    seed: of the initial parameters.
    labelled: whether the module sees labels.
  """
  key = stage_key(seed, f'{section}/init')
  inputs = [np.zeros((1, *data.image_shape), np.float32)]
  if labelled:
    inputs.append(np.zeros((1, len(data.labels)), np.float32))
  own = config[section]
  tx = make_optimizer(
    own.optimizer, own.train.num_steps, f'{section}.optimizer'
  )

  def make() -> state.TrainState:
    params = module.init(key, *inputs)
    return state.create({section: state.create_network(params, tx, False)})

  return make


def make_constraint(
  section: ml_collections.ConfigDict,
  networks: Networks,
  mean_scale: jax.Array,
  labels: types.Labels,
) -> Callable[..., compose.AllOf]:
  """Builds `(attribute params, realism params, quantiles) -> constraint`.

  That of optimizer-G: realism, attributes and distance; arXiv:1711.05772,
  section 3. Its target has 'attributes': (y [Y], mask [Y]) and 'near': the
  latent [Z] to stay close to. Quantiles are those of `critics.Critic`; None if
  D_realism has a density ratio.

  Args:
    section: `config.optimize` or a section with the same keys.
    networks: of the experiment.
    mean_scale: [Z] mean of the encoder's scale over the training split.
    labels: names and kind of the attributes.
  """

  def with_params(
    attribute_params: Any,
    realism_params: Any,
    quantiles: jax.Array | None = None,
  ) -> compose.AllOf:
    return compose_constraint(
      section,
      critics.Critic(
        realism_params,
        section.realism_threshold,
        apply.Apply(networks.realism_critic),
        divergence=networks.realism_divergence,
        quantiles=quantiles,
      ),
      attributes.Attributes(
        attribute_params,
        section.attribute_tolerance,
        apply.Apply(networks.attribute_critic),
        labels,
      ),
      near.Near(mean_scale),
    )

  return with_params


@functools.lru_cache(maxsize=16)  # replicates share one jitted function
def make_critic(
  critic: critic_lib.Critic, divergence: divergences.Divergence
) -> Callable[..., jax.Array]:
  """Builds jitted `(critic params, z, ...) -> log-odds of D`, whatever v is.

  For a divergence without a density ratio it is v, of which the order counts.
  """
  critic_fn = apply.Apply(critic)
  return jax.jit(lambda *arguments: divergence.log_odds(critic_fn(*arguments)))


@functools.lru_cache(maxsize=16)  # replicates share one jitted function
def make_encode(encode_fn: Callable[..., Any]) -> Callable[..., Any]:
  """Builds jitted `(params, uint8 images) -> (mean, scale)`.

  Args:
    encode_fn: (params, images in [0, 1]) -> (mean, scale).
  """

  @jax.jit
  def encode(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean, scale = encode_fn(params, objectives.to_unit(images))
    return mean, scale

  return encode


@functools.lru_cache(maxsize=16)  # replicates share one jitted function
def make_decode(decode_fn: Callable[..., Any]) -> Callable[..., Any]:
  """Builds jitted `(params, z, ...) -> uint8 images`.

  Args:
    decode_fn: (params, z, ...) -> images in [0, 1].
  """

  @jax.jit
  def decode(params: Any, *arrays: jax.Array) -> jax.Array:
    pixels = jnp.clip(decode_fn(params, *arrays), 0.0, 1.0)
    return jnp.round(255.0 * pixels).astype(jnp.uint8)

  return decode


def make_judge(module: classifier.Classifier) -> Callable[..., Any]:
  """Builds jitted `(params, uint8 images) -> (logits, features)` of a judge."""

  @jax.jit
  def judge(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    units = objectives.to_unit(images)
    return apply.Apply(module)(params, units)

  return judge


@functools.lru_cache(maxsize=16)
def _make_row_metrics(loss_fn: steps.LossFn) -> Callable[..., steps.Metrics]:
  """Builds jitted `(params, batch, key) -> metrics`, per row of the batch."""

  @jax.jit
  def per_row(
    params: Any, batch: dict[str, jax.Array], key: jax.Array
  ) -> steps.Metrics:
    def one(row: dict[str, jax.Array]) -> steps.Metrics:
      single = jax.tree.map(lambda leaf: leaf[None], row)
      return loss_fn(params, single, key)[1]

    return jax.vmap(one)(batch)

  return per_row


def make_validate(
  loss_fn: steps.LossFn, key: jax.Array, batch_size: int = 500
) -> Callable[[Any, dict[str, np.ndarray]], dict[str, float]]:
  """Builds `(params, complete split) -> mean metrics` of a loss.

  Args:
    loss_fn: returns metrics as batch means; compiled once per function object.
    key: fixes the noise, so that values of different evaluations compare.
    batch_size: rows per call.
  """
  per_row = _make_row_metrics(loss_fn)

  def validate(params: Any, arrays: dict[str, np.ndarray]) -> dict[str, float]:
    names = [*arrays, 'row']
    rows = np.arange(len(next(iter(arrays.values()))))
    values = encodings.in_batches(
      parallel.over_devices(
        lambda *parts: per_row(
          params, dict(zip(names, parts, strict=True)), key
        )
      ),
      *arrays.values(),
      rows,
      batch_size=batch_size,
    )
    return {name: float(np.mean(v)) for name, v in values.items()}

  return validate
