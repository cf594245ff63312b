"""The model of a user's own file that `config.generator` names, if any.

And what is known of a model of any kind before it is trained.
"""

import functools
import inspect
import json
from typing import Any

import ml_collections

from lcjax import errors
from lcjax.experiment import extensions, plugins
from lcjax.generators import external, latent_model
from lcjax.training import checkpoints

_KEY = 'config.generator'
# Kinds of models that are trained here, and have no encoder.
DECODERS = ('gan',)
# Kinds that have a section of their own name, with the key latent_size.
_OWN_SECTION = *DECODERS, 'aae'
# Kinds of which the VAE of `config.vae` is a part.
OF_VAES = 'vae', 'two_stage'


def find(
  config: ml_collections.ConfigDict,
) -> latent_model.LatentModel | None:
  """The user's model; None if the model is trained in this experiment.

  Raises:
    UserError: there is no such function, it does not take the arguments,
      fails, or returns something else.
  """
  if config.generator.kind != 'external':
    return None
  return _load(config.generator.module, _arguments(config))


def from_prior(config: ml_collections.ConfigDict) -> bool:
  """Whether the model is a decoder alone, so that there is no q(z)."""
  model = find(config)
  if model is None:
    return config.generator.kind in DECODERS
  return model.encode_fn is None


def latent_size(config: ml_collections.ConfigDict) -> int:
  """Z of the model."""
  model = find(config)
  if model is None:
    kind = config.generator.kind
    size = config[kind if kind in _OWN_SECTION else 'vae'].latent_size
    return int(2 * size if kind == 'two_stage' else size)
  return model.latent_size


def identity(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What tells the user's model from another: its digests, as JSON.

  Returns:
    'parameters': of the model; and the digest of the user's file by its name.
    Empty if the model is trained in this experiment.
  """
  section = config.generator
  if section.kind != 'external':
    return {}
  return {
    'parameters': _digest(section.module, _arguments(config))
  } | extensions.source(section.module, f'{_KEY}.module')


def check(
  config: ml_collections.ConfigDict, image_shape: tuple[int, ...]
) -> None:
  """Raises UserError unless the user's model, if any, makes such images."""
  model = find(config)
  if model is not None:
    what = f'{_KEY}.module={config.generator.module!r}'
    external.check_images(model, image_shape, what)


def _arguments(config: ml_collections.ConfigDict) -> str:
  """As JSON, so that they can be compared."""
  found = config.generator.get('arguments', {})
  if isinstance(found, ml_collections.ConfigDict):
    found = found.to_dict()
  return json.dumps(found, sort_keys=True)


@functools.cache  # one model per process: it may take minutes to load
def _load(module: str, text: str) -> latent_model.LatentModel:
  what, arguments = f'{_KEY}.module={module!r}', json.loads(text)
  fn = plugins.load(module, f'{_KEY}.module')
  if not callable(fn):
    raise errors.UserError(f'{what} is not a function')
  try:
    inspect.signature(fn).bind(**arguments)
  except TypeError as error:
    raise errors.UserError(f'{_KEY}.arguments={arguments}: {error}') from error
  return external.check_type(external.tried(what, fn, **arguments), what)


@functools.cache
def _digest(module: str, text: str) -> str:
  return checkpoints.parameters_digest(_load(module, text).params)
