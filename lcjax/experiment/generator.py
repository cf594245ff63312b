"""The generative model of one replicate, and latents of the data by it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import judging
from lcjax.experiment import (
  build,
  external,
  jobs,
  stage,
  train_aae,
  train_classifier,
  train_gan,
  train_two_stage,
  train_vae,
)
from lcjax.generators import invert, latent_model, vae
from lcjax.latent import encodings
from lcjax.training import objectives, parallel

# (job, training split, replicate) -> a trained model, and the seconds of its
# trainings by stage
LoadModel = Callable[
  [jobs.Job, dataset.Dataset, int],
  tuple[latent_model.LatentModel, dict[str, float]],
]

_LEAST_ROWS = 2  # of a class among draws of the prior; a mixture needs two


@dataclasses.dataclass(frozen=True)
class Generator:
  """A model that was trained here, or a user's own.

  Attributes:
    model: whose samples are images in [0, 1].
    decode: z [B, Z] -> uint8 images.
    encode: uint8 images -> (mean, scale) of q(z|x); without an encoder, the
      inversion and zeros.
    latents: (data, name of the split) -> what is learned from: encodings; or
      without an encoder, draws of the prior with the labeller's labels.
    seconds: of trainings, by stage.
  """

  model: latent_model.LatentModel
  decode: Callable[[np.ndarray], np.ndarray]
  encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
  latents: Callable[[dataset.Dataset, str], encodings.Encodings]
  seconds: dict[str, float]


def bind(
  config: ml_collections.ConfigDict,
  fn: Callable[..., Any],
  *params: Any,
) -> Callable[..., Any]:
  """Binds the first arguments of `fn` and batches any number of rows."""
  return lambda *arrays: encodings.in_batches(
    parallel.over_devices(lambda *parts: fn(*params, *parts)),
    *arrays,
    batch_size=config.generate.batch_size,
  )


def load(job: jobs.Job, data: dataset.Dataset, replicate: int) -> Generator:
  """Restores the model of a replicate, or loads the user's own one.

  Args:
    job: config and workdir of the run.
    data: the training split.
    replicate: index from 0.

  Raises:
    UserError: the model or the labeller is not trained, gives the command to
      run; or the user's model cannot be loaded.
  """
  config = job.config
  model, seconds = _KINDS[config.generator.kind](job, data, replicate)
  if model.encode_fn is not None:
    return _with_encoder(config, model, seconds)
  return _decoder_only(job, model, data, config.seed + replicate, seconds)


def _load_vae(
  job: jobs.Job, data: dataset.Dataset, replicate: int
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  networks = build.build_networks(job.config, data)
  loaded = train_vae.load(job, networks, data, replicate)
  model = of_vae(job.config, networks, loaded.state['vae'].params)
  return model, {'vae': loaded.seconds}


def _load_external(
  job: jobs.Job, *_: Any
) -> tuple[latent_model.LatentModel, dict[str, float]]:
  model = external.find(job.config)
  assert model is not None
  return model, {}


# By `config.generator.kind`: the model, and the seconds of its trainings.
_KINDS: dict[str, LoadModel] = {
  'vae': _load_vae,
  'external': _load_external,
  'gan': train_gan.load_model,
  'two_stage': train_two_stage.load_model,
  'aae': train_aae.load_model,
}


def of_vae(
  config: ml_collections.ConfigDict, networks: build.Networks, params: Any
) -> latent_model.LatentModel:
  """The experiment's VAE as a model."""
  assert networks.vae is not None  # the model is not the user's own
  return vae.of_vae(networks.vae, params, config.vae.latent_size)


def encode(
  config: ml_collections.ConfigDict,
  model: latent_model.LatentModel,
  data: dataset.Dataset,
) -> encodings.Encodings:
  """Encodes one split."""
  return _with_encoder(config, model, {}).latents(data, '')


def _with_encoder(
  config: ml_collections.ConfigDict,
  model: latent_model.LatentModel,
  seconds: dict[str, float],
) -> Generator:
  assert model.encode_fn is not None
  encode_fn = bind(config, build.make_encode(model.encode_fn), model.params)

  def latents(data: dataset.Dataset, split: str) -> encodings.Encodings:
    del split
    mean, scale = encode_fn(data.images)
    return encodings.Encodings(mean, scale, data.attributes)

  decode = bind(config, build.make_decode(model.decode_fn), model.params)
  return Generator(model, decode, encode_fn, latents, seconds)


def _decoder_only(
  job: jobs.Job,
  model: latent_model.LatentModel,
  train: dataset.Dataset,
  seed: int,
  seconds: dict[str, float],
) -> Generator:
  config = job.config
  found = train_classifier.load(job, stage.LABELLER, train)
  section = stage.LABELLER.section
  classifier = build.build_classifier(config, section, train)
  label = bind(
    config, build.make_judge(classifier), found.state[section].params
  )
  decode = bind(config, build.make_decode(model.decode_fn), model.params)

  def latents(data: dataset.Dataset, split: str) -> encodings.Encodings:
    count = config.labeller.num_samples
    if split != 'train':
      count = max(100, count // 10)
    key = build.stage_key(seed, f'draws/{split}')
    z = model.draw_prior(np.arange(count), key)
    logits, _ = label(decode(z))
    y = data.labels.predict(logits)
    # The surest: where a classifier wavers, there is nothing to learn.
    surest = np.argsort(-judging.least_agreement(logits, y, data.labels))
    rows = np.sort(surest[: max(2, round(config.labeller.kept_share * count))])
    z, y = z[rows], y[rows]
    if split == 'train':
      _check_drawn(y, data.labels)
    return encodings.Encodings(z, np.zeros_like(z), y, np.ones_like(z[0]))

  return Generator(
    model,
    decode,
    functools.partial(_invert, config, model, seed),
    latents,
    seconds | {section: found.seconds},
  )


def _invert(
  config: ml_collections.ConfigDict,
  model: latent_model.LatentModel,
  seed: int,
  images: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Latents of uint8 images by optimisation, and zeros; prints the error."""
  section = config.invert
  found = invert.invert(
    model,
    np.asarray(objectives.to_unit(jnp.asarray(images))),
    build.stage_key(seed, 'invert'),
    optimizer=build.configured(
      section.optimizer, section.max_steps, 'invert.optimizer'
    ),
    max_steps=section.max_steps,
    tries=section.tries,
    prior_weight=section.prior_weight,
    batch_size=config.generate.batch_size,
  )
  print(
    f'inversion of {len(images)} images: mean squared error '
    f'{found.error.mean():.4f} (worst {found.error.max():.4f}), pixels in '
    '[0, 1]'
  )
  return found.z, np.zeros_like(found.z)


def _check_drawn(y: np.ndarray, labels: types.Labels) -> None:
  """Raises UserError if an attribute is the same in nearly all draws."""
  for name, held in zip(labels.names, y.sum(axis=0), strict=True):
    absent = isinstance(labels, types.Bits) and len(y) - held < _LEAST_ROWS
    if held < _LEAST_ROWS or absent:
      raise errors.UserError(
        f'config.generator: by the labeller, {name!r} holds in {held:g} of '
        f'{len(y)} draws of the prior, so that it cannot be learned: raise '
        'config.labeller.num_samples, or use data without it'
      )
