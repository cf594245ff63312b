"""Where movers start: `(target, rows, key) -> z`."""

from collections.abc import Callable

import jax
import numpy as np

from lcjax import errors, types
from lcjax.constraints import base
from lcjax.generators import latent_model
from lcjax.latent import mixtures

# Row i of the result depends on row i of the target, its number and the key.
Start = Callable[[base.Target, np.ndarray, jax.Array], np.ndarray]


def prior_start(model: latent_model.LatentModel) -> Start:
  """Draws from the model's prior; the target is ignored."""

  def start(
    target: base.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del target
    return model.draw_prior(rows, key)

  return start


def mixture_start(
  data: latent_model.LatentData,
  num_components: int = 10,
  name: str = 'attributes',
  seed: int = 0,
) -> Start:
  """Draws latents with the requested labels from a Gaussian mixture.

  Classes have a mixture each; independent attributes share one around a linear
  map of them; data without labels have a single one.

  Args:
    data: what the mixture is fitted to, by scikit-learn.
    num_components: of each mixture; fewer where there are few rows.
    name: of the target that holds the labels y [B, Y].
    seed: of the fit.

  Raises:
    UserError: the target has no labels of this name, when it is called.
  """
  z, y = data.encodings.sample(seed), data.encodings.attributes
  if data.labels is None:
    model = mixtures.fit(z, num_components, seed)
    return lambda target, rows, key: mixtures.sample(model, rows, key)
  if isinstance(data.labels, types.Classes):
    sampler = mixtures.class_sampler(
      mixtures.fit_classes(z, y, num_components, seed)
    )
  else:
    sampler = mixtures.fit_attributes(z, y, num_components, seed)

  def start(
    target: base.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    if name not in target:
      raise errors.UserError(
        f'target: no {name!r}, which the mixture draws from; there is '
        f'{errors.listed(list(target)) or "nothing"}'
      )
    wanted = target[name]
    asked = np.asarray(wanted[0] if isinstance(wanted, tuple) else wanted)
    if asked.shape != (len(rows), y.shape[1]):
      raise errors.UserError(
        f'target[{name!r}]: the shape is {asked.shape}, it must be '
        f'{(len(rows), y.shape[1])}'
      )
    return sampler(asked, np.asarray(rows), key)

  return start
