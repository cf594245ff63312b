"""Checks of a model that somebody else trained, before anything is learned."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lcjax import errors
from lcjax.generators import latent_model

_PROBED_ROWS = 3


def check_type(found: Any, what: str) -> latent_model.LatentModel:
  """What a user's function has returned, which must be a model.

  Args:
    found: by the function.
    what: the function, in errors.

  Raises:
    UserError: it is no `LatentModel`, or its latent size is no number of at
      least 1.
  """
  if not isinstance(found, latent_model.LatentModel):
    raise errors.UserError(
      f'{what} returns {type(found).__name__}, not a lcjax.LatentModel: return '
      'lcjax.latent_model(params, decode, latent_size, encode)'
    )
  size = found.latent_size
  if not isinstance(size, int) or size < 1:
    raise errors.UserError(
      f'{what}: latent_size={size!r} must be a whole number of at least 1'
    )
  return found


def check_images(
  model: latent_model.LatentModel, image_shape: tuple[int, ...], what: str
) -> None:
  """Tries a model on three draws of its prior.

  Args:
    model: to try.
    image_shape: (H, W, C) of the data.
    what: the model, in errors.

  Raises:
    UserError: it fails at latents of its own size; samples have another shape
      than the data's images, are not finite or outside of [0, 1]; or encodings
      of images have another shape than latents, or are not finite.
  """
  z = model.draw_prior(np.arange(_PROBED_ROWS), jax.random.key(0))
  shape = (_PROBED_ROWS, *image_shape)
  x = tried(f'{what}: decode of latents {z.shape}', model.decode, z)
  if x.shape != shape:
    raise errors.UserError(
      f'{what}: decode gives samples of shape {x.shape[1:]}, but images of the '
      f'data have the shape {image_shape}'
    )
  if not np.issubdtype(x.dtype, np.floating):
    raise errors.UserError(
      f'{what}: decode gives {x.dtype}: pixels must be floats in [0, 1]'
    )
  if x.min() < 0 or x.max() > 1:
    raise errors.UserError(
      f'{what}: decode gives values from {x.min():.3g} to {x.max():.3g}, but '
      'pixels must be in [0, 1]'
    )
  if model.encode_fn is not None:
    images = x.astype(np.float32)
    tried(f'{what}: encode of images {shape}', model.encode, images)


def tried(what: str, fn: Callable[..., Any], *given: Any, **named: Any) -> Any:
  """What a user's function gives; an error of any kind becomes one line."""
  try:
    return fn(*given, **named)
  except errors.UserError as error:
    raise errors.UserError(f'{what}: {error}') from error
  except Exception as error:  # the user's code may raise anything
    said = str(error).strip().splitlines() or ['']
    raise errors.UserError(
      f'{what} fails: {type(error).__name__}: {said[0]}'
    ) from error
