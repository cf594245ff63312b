"""Functions of a restored model, of any number of rows."""

from collections.abc import Callable
from typing import Any

import ml_collections

from lcjax.data import dataset
from lcjax.experiment import build
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.training import parallel


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


def encoder(
  config: ml_collections.ConfigDict, model: latent_model.LatentModel
) -> Callable[..., Any]:
  """uint8 images [N, H, W, C] -> (mean, scale) of q(z|x), each [N, Z]."""
  assert model.encode_fn is not None
  return bind(config, build.make_encode(model.encode_fn), model.params)


def encode(
  config: ml_collections.ConfigDict,
  model: latent_model.LatentModel,
  data: dataset.Dataset,
) -> encodings.Encodings:
  """Encodes one split."""
  mean, scale = encoder(config, model)(data.images)
  return encodings.Encodings(mean, scale, data.attributes)
