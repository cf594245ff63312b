"""Where movers start: `(target, rows, key) -> z`."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors, types
from lcjax.constraints import base
from lcjax.generators import latent_model
from lcjax.latent import denoise, mixtures, noise

NUM_COMPONENTS = 1, 3, 10, 30  # of a mixture, to choose from
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


@dataclasses.dataclass(frozen=True)
class MixtureStart:
  """Draws latents from a fitted mixture, with requested labels if it has some.

  Attributes:
    model: the mixture; of what is left, where `sampler` is a linear map.
    sampler: (y [B, Y], rows, key) -> z; None for a mixture without labels.
    name: of the target that holds the labels.
    num_labels: Y.
    known: [N, Y] labels of data, which complete partial requests.
  """

  model: mixtures.Mixture
  sampler: mixtures.Sampler | None = None
  name: str = 'attributes'
  num_labels: int = 0
  known: np.ndarray | None = None

  def narrowed(self, factor: float) -> 'MixtureStart':
    """The same with components of less spread, see `mixtures.narrowed`."""
    model = mixtures.narrowed(self.model, factor)
    sampler: mixtures.Sampler | None = None
    if isinstance(self.sampler, mixtures.AttributeSampler):
      sampler = dataclasses.replace(self.sampler, model=model)
    elif self.sampler is not None:
      sampler = mixtures.ClassSampler(model)
    return dataclasses.replace(self, model=model, sampler=sampler)

  def __call__(
    self, target: base.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    """Draws z [B, Z]; labels with mask 0 are drawn as data have them.

    Raises:
      UserError: the target has no labels of this name.
    """
    rows = np.asarray(rows)
    if self.sampler is None:
      return mixtures.sample(self.model, rows, key)
    if self.name not in target:
      raise errors.UserError(
        f'target: no {self.name!r}, which the mixture draws from; there is '
        f'{errors.listed(list(target)) or "nothing"}'
      )
    wanted = target[self.name]
    y, mask = wanted if isinstance(wanted, tuple) else (wanted, None)
    asked = np.asarray(y)
    if asked.shape != (len(rows), self.num_labels):
      raise errors.UserError(
        f'target[{self.name!r}]: the shape is {asked.shape}, it must be '
        f'{(len(rows), self.num_labels)}'
      )
    if mask is not None and self.known is not None:
      asked = _completed(asked, np.asarray(mask), self.known, rows, key)
    return self.sampler(asked, rows, key)


def _completed(
  y: np.ndarray,
  mask: np.ndarray,
  known: np.ndarray,
  rows: np.ndarray,
  key: jax.Array,
) -> np.ndarray:
  """Labels [B, Y] with those of mask 0 from a random row that has the others.

  So they occur together as in the data. If no row has all others, it is one of
  those that have most of them.

  Args:
    y: [B, Y] requested labels.
    mask: [B, Y], 0 for labels that are not requested.
    known: [N, Y] labels of data.
    rows: [B] global row numbers.
    key: of the draw.
  """
  partial = np.flatnonzero((mask == 0).any(axis=1))
  if not len(partial):
    return y
  y = y.copy()
  shares = noise.draw(jax.random.fold_in(key, 1), rows)
  kinds, own = np.unique(
    np.concatenate([y * mask, mask], axis=1)[partial],
    axis=0,
    return_inverse=True,
  )
  for number, kind in enumerate(kinds):
    wanted, named = np.split(kind, 2)
    wrong = np.abs(known - wanted) @ named
    found = np.flatnonzero(wrong == wrong.min())
    chosen = partial[own.ravel() == number]
    drawn = known[found[(shares[chosen] * len(found)).astype(int)]]
    y[chosen] = np.where(named > 0, wanted, drawn)
  return y


def mixture_start(
  data: latent_model.LatentData,
  num_components: int | Sequence[int] = NUM_COMPONENTS,
  name: str = 'attributes',
  seed: int = 0,
  labelled: bool = True,
) -> MixtureStart:
  """Draws latents with the requested labels from a Gaussian mixture.

  Classes have a mixture each; independent attributes share one around a linear
  map of them; data without labels have a single one.

  Args:
    data: what the mixture is fitted to, by scikit-learn.
    num_components: of each mixture, or several to choose from by the likelihood
      of held-out rows; fewer where there are few rows.
    name: of the target that holds the labels y [B, Y].
    seed: of the fit.
    labelled: False ignores the labels.
  """
  z, y = data.encodings.sample(seed), data.encodings.attributes
  if data.labels is None or not labelled:
    return MixtureStart(mixtures.fit(z, num_components, seed))
  if isinstance(data.labels, types.Classes):
    model = mixtures.fit_classes(z, y, num_components, seed)
    return MixtureStart(
      model, mixtures.ClassSampler(model), name, y.shape[1], y
    )
  sampler = mixtures.fit_attributes(z, y, num_components, seed)
  return MixtureStart(sampler.model, sampler, name, y.shape[1], y)


def encodings_start(data: latent_model.LatentData, seed: int = 0) -> Start:
  """Draws encodings of data at random, whatever their labels and the target.

  Args:
    data: drawn from, with replacement.
    seed: of the draw z ~ q(z|x) of every row of the data.
  """
  z = data.encodings.sample(seed)

  def start(
    target: base.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    del target
    return z[(noise.draw(key, rows) * len(z)).astype(int)]

  return start


def noised_start(
  start: Start, data: latent_model.LatentData, time: float
) -> Start:
  """Adds noise to a start, of which part is kept; see `denoise.add_noise`.

  For movers that do not know noise times; a `denoiser` with a `start_time` adds
  this noise itself.

  Args:
    start: of a latent without noise.
    data: whose q(z) gives the unit of each dimension.
    time: noise time in (0, 1]; 1 is noise alone.

  Raises:
    UserError: the time is out of range.
  """
  if not 0 < time <= 1:
    raise errors.UserError(f'time={time} must be in (0, 1]')
  mean, std = data.encodings.aggregate_mean, data.encodings.aggregate_std
  signal, sigma = (float(scale) for scale in denoise.scales(jnp.float32(time)))

  def noised(
    target: base.Target, rows: np.ndarray, key: jax.Array
  ) -> np.ndarray:
    start_key, eps_key = jax.random.split(key)
    unit = (start(target, rows, start_key) - mean) / std
    eps = noise.draw(eps_key, rows, len(mean))
    return ((signal * unit + sigma * eps) * std + mean).astype(np.float32)

  return noised
