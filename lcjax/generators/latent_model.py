"""The interface to a generative model, and data encoded by it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import flax
import jax
import numpy as np

from lcjax import errors, types
from lcjax.data import batches
from lcjax.latent import encodings, noise, samplers
from lcjax.training import fit, optimizer_spec, steps

_BATCH_SIZE = 512
_PROBED_ROWS = 3


@flax.struct.dataclass
class LatentModel:
  """A pretrained generative model; make it with `latent_model`.

  Attributes:
    params: of the model, as its functions take them.
    decode_fn: (params, z [B, Z]) -> x [B, ...]; static.
    latent_size: Z; static.
    encode_fn: (params, x) -> (mean, scale), each [B, Z]; None for a generator
      without an encoder; static.
    prior_fn: (params, key, rows [B]) -> z [B, Z], draws of its prior; None for
      N(0, I); static.
  """

  params: Any
  decode_fn: Callable[..., Any] = flax.struct.field(pytree_node=False)
  latent_size: int = flax.struct.field(pytree_node=False)
  encode_fn: Callable[..., Any] | None = flax.struct.field(pytree_node=False)
  prior_fn: Callable[..., Any] | None = flax.struct.field(
    pytree_node=False, default=None
  )

  def decode(self, z: np.ndarray) -> np.ndarray:
    """Samples x [B, ...] of latents [B, Z], on the host.

    Raises:
      UserError: z has another shape, or the decoder gives values that are not
        finite, or another number of rows.
    """
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] != self.latent_size or not len(z):
      raise errors.UserError(
        f'z: the shape is {z.shape}, it must be (B, {self.latent_size}) with '
        'B at least 1'
      )
    x = _apply(self.decode_fn, self.params, z)
    if np.shape(x)[:1] != (len(z),):
      raise errors.UserError(
        f'decode: {len(z)} latents give an array of shape {np.shape(x)}: its '
        'first axis must be the rows'
      )
    if not np.isfinite(x).all():
      raise errors.UserError('decode: the samples have a NaN or an infinity')
    return np.asarray(x)

  def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale [B, Z] of q(z|x), on the host.

    Raises:
      UserError: there is no encoder, no rows, or it gives another shape, values
        that are not finite, or scales that are not positive.
    """
    if self.encode_fn is None:
      raise errors.UserError(
        'this model has no encoder: give latent_model(..., encode=...), or '
        'learn from lcjax.label_prior'
      )
    if not len(x):
      raise errors.UserError('encode: there are no samples')
    found = _apply(self.encode_fn, self.params, np.asarray(x))
    shape = len(x), self.latent_size
    if (
      not isinstance(found, tuple)
      or len(found) != 2
      or any(np.shape(part) != shape for part in found)
    ):
      shapes = jax.tree.map(np.shape, found)
      raise errors.UserError(
        f'encode: {len(x)} samples give shapes {shapes}, they must be a tuple '
        f'(mean, scale), each {shape}'
      )
    mean, scale = found
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
      raise errors.UserError('encode: the encodings have a NaN or an infinity')
    if not (scale > 0).all():
      raise errors.UserError(
        'encode: a scale is not positive: it is the standard deviation of '
        'q(z|x), not its logarithm'
      )
    return mean, scale

  def draw_prior(self, rows: np.ndarray, key: jax.Array) -> np.ndarray:
    """Latents [B, Z] from the prior; a row depends on its number and the key.

    Raises:
      UserError: `prior_fn` gives another shape, or values that are not finite.
    """
    rows = np.asarray(rows)
    if self.prior_fn is None:
      return noise.draw(key, rows, self.latent_size)
    fn = functools.partial(_jit(self.prior_fn), self.params, key)
    z = encodings.in_batches(fn, rows, batch_size=_BATCH_SIZE, one_shape=True)
    if np.shape(z) != (len(rows), self.latent_size):
      raise errors.UserError(
        f'prior: {len(rows)} rows give an array of shape {np.shape(z)}, it '
        f'must be {(len(rows), self.latent_size)}'
      )
    if not np.isfinite(z).all():
      raise errors.UserError('prior: the draws have a NaN or an infinity')
    return np.asarray(z, np.float32)

  @property
  def own_prior(
    self,
  ) -> Callable[[np.ndarray, jax.Array], np.ndarray] | None:
    """`draw_prior`; None if it is N(0, I)."""
    return None if self.prior_fn is None else self.draw_prior

  def start(self, num_rows: int, seed: int) -> np.ndarray:
    """Draws of the prior [num_rows, Z], where every result of a seed starts."""
    if self.prior_fn is None:
      return samplers.prior(num_rows, self.latent_size, seed)
    return self.draw_prior(np.arange(num_rows), jax.random.key(seed))


@functools.lru_cache(maxsize=64)  # one program for every function
def _jit(fn: Callable[..., Any]) -> Callable[..., Any]:
  return jax.jit(fn)


def _apply(fn: Callable[..., Any], params: Any, rows: np.ndarray) -> Any:
  jitted = _jit(fn)
  if len(rows) <= _BATCH_SIZE:
    return jax.device_get(jitted(params, rows))
  return encodings.in_batches(
    functools.partial(jitted, params), rows, batch_size=_BATCH_SIZE
  )


def latent_model(
  params: Any,
  decode: Callable[..., Any],
  latent_size: int,
  encode: Callable[..., Any] | None = None,
  prior: Callable[..., Any] | None = None,
) -> LatentModel:
  """Makes a `LatentModel` of a user's functions, and tries them on three rows.

  All are called under `jax.jit`; use the same function objects throughout, so
  that nothing is compiled twice.

  Args:
    params: of the model, any tree of arrays.
    decode: (params, z [B, Z]) -> x [B, ...], in the data's own range; row i of
      x must depend on row i of z alone. Differentiable for `on_sample`.
    latent_size: Z.
    encode: (params, x) -> (mean, scale), each [B, Z]; scale is the standard
      deviation. None for a decoder alone.
    prior: (params, key, rows [B]) -> z [B, Z], draws of its prior, of which
      row i depends on rows[i], the key and `params` alone, such as
      `jax.vmap(lambda row: jax.random.uniform(jax.random.fold_in(key, row),
      (Z,)))(rows)`. None for N(0, I).

  Raises:
    UserError: one of them gives another shape or values that are not finite, or
      decode does not take latents of this size.
  """
  if latent_size < 1:
    raise errors.UserError(f'latent_size={latent_size} must be at least 1')
  model = LatentModel(params, decode, latent_size, encode, prior)
  z = _probe_prior(model)
  try:
    x = model.decode(z)
  except TypeError as error:  # of a product of other shapes, too
    raise errors.UserError(
      f'decode: of latents of shape {z.shape}, latent_size={latent_size}, it '
      f'raises {type(error).__name__}: {str(error).splitlines()[0]}'
    ) from error
  if encode is not None:
    model.encode(x)
  return model


def _probe_prior(model: LatentModel) -> np.ndarray:
  """Three draws of the prior; UserError unless each depends on its row only."""
  key, rows = jax.random.key(0), np.arange(_PROBED_ROWS)
  try:
    z = model.draw_prior(rows, key)
    again = model.draw_prior(rows[1:], key)
  except TypeError as error:  # of other arguments, too
    raise errors.UserError(
      f'prior: of (params, key, rows), it raises {type(error).__name__}: '
      f'{str(error).splitlines()[0]}'
    ) from error
  if not np.allclose(z[1:], again, rtol=1e-4, atol=1e-6):
    raise errors.UserError(
      'prior: a draw depends on other rows than its own: fold the number of '
      'the row into the key, as in jax.random.fold_in(key, row)'
    )
  return z


@dataclasses.dataclass(frozen=True)
class LatentData:
  """Latents of data, and their labels.

  Attributes:
    encodings: q(z|x) of every row; attributes [N, Y], Y = 0 without labels.
    labels: what the attributes are; None without labels.
    from_prior: whether these are draws of the prior rather than encodings.
    draw_prior: (rows, key) -> z [B, Z], what constraints and movers learn to
      tell from the data and to move; None for N(0, I).
  """

  encodings: encodings.Encodings
  labels: types.Labels | None
  from_prior: bool = False
  draw_prior: Callable[[np.ndarray, jax.Array], np.ndarray] | None = None

  def rows(self, which: np.ndarray) -> Self:
    """Some rows: numbers, or [N] booleans such as whether a rule is obeyed."""
    found = self.encodings
    some = dataclasses.replace(
      found,
      mean=found.mean[which],
      scale=found.scale[which],
      attributes=found.attributes[which],
    )
    return dataclasses.replace(self, encodings=some)


def label_vectors(
  what: str, labels: np.ndarray, num_rows: int, num_names: int | None
) -> np.ndarray:
  """Labels as zeros and ones [N, Y], float32; class numbers become one-hot.

  Args:
    what: these labels, in errors.
    labels: class numbers [N], or zeros and ones [N, Y].
    num_rows: N.
    num_names: of classes; the largest number tells if None.
  """
  y = np.asarray(labels)
  if y.shape[:1] != (num_rows,):
    raise errors.UserError(
      f'{what}: {len(np.atleast_1d(y))} for {num_rows} samples'
    )
  if y.ndim == 1:
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
      raise errors.UserError(
        f'{what}: a vector must hold class numbers from 0, it holds {y.dtype}'
      )
    if num_names is not None and y.max() >= num_names:
      raise errors.UserError(
        f'{what}: a class has the number {y.max()}, there are {num_names} names'
      )
    y = np.eye(int(y.max()) + 1 if num_names is None else num_names)[y]
  if y.ndim != 2 or not np.isin(y, (0, 1)).all():
    raise errors.UserError(
      f'{what}: the shape is {y.shape}; give class numbers [N], or zeros and '
      'ones [N, Y]'
    )
  return y.astype(np.float32)


def find_labels(
  what: str,
  labels: np.ndarray | None,
  num_rows: int,
  names: Sequence[str] | None,
) -> tuple[np.ndarray, types.Labels | None]:
  """Attributes [N, Y] and what they are; `what` names them in errors."""
  if labels is None:
    return np.zeros((num_rows, 0), np.float32), None
  num_names = None if names is None else len(names)
  y = label_vectors(what, labels, num_rows, num_names)
  named = tuple(names or (str(i) for i in range(y.shape[1])))
  if len(named) != y.shape[1]:
    raise errors.UserError(f'names: {len(named)} for {y.shape[1]} attributes')
  for name, column in zip(named, y.T, strict=True):
    if column.min() == column.max():
      raise errors.UserError(
        f'{what}: {name!r} is {column[0]:g} in every row: there is nothing to '
        'learn'
      )
  one_holds = y.shape[1] > 1 and bool((y.sum(axis=1) == 1).all())
  return y, (types.Classes if one_holds else types.Bits)(named)


def encode(
  model: LatentModel,
  samples: np.ndarray,
  labels: np.ndarray | None = None,
  names: Sequence[str] | None = None,
) -> LatentData:
  """Encodes a data set once; constraints and starts learn from the result.

  Args:
    model: with an encoder.
    samples: [N, ...] as the encoder takes them.
    labels: class numbers [N], or zeros and ones [N, Y]: classes if exactly one
      holds in every row, else attributes that are independent of each other.
      None for data without labels.
    names: Y names of the attributes; their numbers if None.

  Raises:
    UserError: there is no encoder, no rows, labels of another length, or an
      attribute that is the same in every row.
  """
  mean, scale = model.encode(samples)
  y, kind = find_labels('labels', labels, len(mean), names)
  return LatentData(
    encodings.Encodings(mean, scale, y), kind, draw_prior=model.own_prior
  )


def label_prior(
  model: LatentModel,
  label_fn: Callable[[np.ndarray], np.ndarray],
  key: jax.Array,
  num_samples: int = 10_000,
  names: Sequence[str] | None = None,
) -> LatentData:
  """Labels decoded draws of the prior: for a generator without an encoder.

  Args:
    model: any.
    label_fn: samples [B, ...] -> labels, as `encode` takes them.
    key: of the draws.
    num_samples: N.
    names: Y names of the attributes; their numbers if None.

  Raises:
    UserError: as `encode`.
  """
  z = model.draw_prior(np.arange(num_samples), key)
  found = label_fn(model.decode(z))
  y, kind = find_labels('labels', found, num_samples, names)
  return LatentData(
    encodings.Encodings(z, np.zeros_like(z), y), kind, True, model.own_prior
  )


def begin(
  start: Callable[..., np.ndarray] | None,
  data: LatentData,
  target: Mapping[str, Any],
  key: jax.Array,
) -> np.ndarray | None:
  """Draws a start [N, Z] for each row of the data; None for noise.

  Args:
    start: None for the prior.
    data: has the prior, if it is not N(0, I).
    target: of every row.
    key: of the draws.

  Raises:
    UserError: it has another shape, or is not finite.
  """
  if start is None:
    if data.draw_prior is None:
      return None
    return data.draw_prior(np.arange(len(data.encodings.mean)), key)
  shape = data.encodings.mean.shape
  begun = np.asarray(start(target, np.arange(shape[0]), key), np.float32)
  if begun.shape != shape:
    raise errors.UserError(
      f'start: the shape is {begun.shape} for {shape[0]} rows, it must be '
      f'{shape}'
    )
  if not np.isfinite(begun).all():
    raise errors.UserError('start: some values are not finite')
  return begun


def make_batches(
  data: LatentData,
  key: jax.Array,
  batch_size: int,
  targets: Any = None,
  begun: np.ndarray | None = None,
) -> Callable[[int, int], dict[str, Any]]:
  """Builds `(first step, K) -> K stacked batches` of encodings.

  Args:
    data: to draw rows from.
    key: of their order.
    batch_size: rows per batch.
    begun: [N, Z] drawn along as 'start'; left out if None.
    targets: a tree of arrays with N rows, drawn along as 'targets', and as
      'other_targets' of other rows; left out if None.
  """
  seed = tuple(int(part) for part in np.ravel(jax.random.key_data(key)))
  found = data.encodings

  def draw(order: int, step: int, count: int) -> np.ndarray:
    own_seed = (*seed, order) if order else seed
    return batches.stacked_indices(
      own_seed, step, count, batch_size, len(found.mean)
    )

  def make(step: int, count: int) -> dict[str, Any]:
    rows = draw(0, step, count)
    numbers = np.broadcast_to(np.arange(batch_size), rows.shape)
    made: dict[str, Any] = {
      'mean': found.mean[rows],
      'scale': found.scale[rows],
      'attributes': found.attributes[rows],
      'row': numbers,
    }
    if begun is not None:
      made['start'] = begun[rows]
    if targets is not None:
      others = draw(1, step, count)
      made['targets'] = jax.tree.map(lambda leaf: leaf[rows], targets)
      made['other_targets'] = jax.tree.map(lambda leaf: leaf[others], targets)
    return made

  return make


def standardised(data: LatentData) -> LatentData:
  """The same data in standard units of q(z)."""
  found = data.encodings
  mean, std = found.aggregate_mean, found.aggregate_std
  return dataclasses.replace(
    data,
    encodings=encodings.Encodings(
      (found.mean - mean) / std, found.scale / std, found.attributes
    ),
  )


def fit_network(
  name: str,
  loss_fn: steps.LossFn,
  params: Any,
  data: LatentData,
  key: jax.Array,
  optimizer: optimizer_spec.OptimizerSpec,
  num_steps: int,
  batch_size: int,
  progress: bool,
  average_decay: float = 0.0,
  begun: np.ndarray | None = None,
  constants: Mapping[str, Any] | None = None,
) -> Any:
  """Trains one network on latents in memory, see `fit.fit_network`."""
  order_key, step_key = jax.random.split(key)
  return fit.fit_network(
    name,
    loss_fn,
    params,
    optimizer,
    make_batches(data, order_key, batch_size, begun=begun),
    step_key,
    num_steps,
    progress,
    average_decay,
    constants,
  )
