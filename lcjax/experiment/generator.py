"""The generative model of one replicate, and latents of the data by it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np

from lcjax.data import dataset
from lcjax.experiment import build, external, jobs, train_vae
from lcjax.generators import latent_model, vae
from lcjax.latent import encodings
from lcjax.training import parallel


@dataclasses.dataclass(frozen=True)
class Generator:
  """A VAE that was trained here, or a user's own model.

  Attributes:
    model: whose samples are images in [0, 1].
    seconds: of its training, by stage; empty for a user's own.
  """

  model: latent_model.LatentModel
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


def load(
  job: jobs.Job,
  networks: build.Networks,
  data: dataset.Dataset,
  replicate: int,
) -> Generator:
  """Restores the VAE of a replicate, or loads the user's own model.

  Raises:
    UserError: the VAE is not trained, gives the command to run; or the user's
      model cannot be loaded.
  """
  model = external.find(job.config)
  if model is not None:
    return Generator(model, {})
  loaded = train_vae.load(job, networks, data, replicate)
  model = of_vae(job.config, networks, loaded.state['vae'].params)
  return Generator(model, {'vae': loaded.seconds})


def of_vae(
  config: ml_collections.ConfigDict, networks: build.Networks, params: Any
) -> latent_model.LatentModel:
  """The experiment's VAE as a model."""
  assert networks.vae is not None  # the model is not the user's own
  return vae.of_vae(networks.vae, params, config.vae.latent_size)


def make_decode(
  config: ml_collections.ConfigDict, model: latent_model.LatentModel
) -> Callable[[np.ndarray], np.ndarray]:
  """Builds z [B, Z] -> uint8 images, the mean of p(x|z)."""
  return bind(config, build.make_decode(model.decode_fn), model.params)


def make_encode(
  config: ml_collections.ConfigDict, model: latent_model.LatentModel
) -> Callable[[np.ndarray], Any]:
  """Builds uint8 images -> (mean, scale) of q(z|x)."""
  assert model.encode_fn is not None
  return bind(config, build.make_encode(model.encode_fn), model.params)


def encode(
  config: ml_collections.ConfigDict,
  model: latent_model.LatentModel,
  data: dataset.Dataset,
) -> encodings.Encodings:
  """Encodes one split."""
  mean, scale = make_encode(config, model)(data.images)
  return encodings.Encodings(mean, scale, data.attributes)
