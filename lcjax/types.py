"""Types that several packages of lcjax share: the kinds of labels."""

import abc
import dataclasses
from typing import ClassVar, Literal, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Of NumPy on the host, of JAX in a compiled function.
Array = TypeVar('Array', np.ndarray, jax.Array)
# Names of `Classes` and `Bits` in JSON and messages.
Kind = Literal['classes', 'bits']


@dataclasses.dataclass(frozen=True)
class Labels(abc.ABC):
  """The attributes of a data set, either `Classes` or `Bits`.

  Static and hashable, so that compiled functions may depend on it. Label
  vectors y are [..., Y] of zeros and ones. Attributes with mask 0 are ignored.

  Attributes:
    names: names of the Y attributes.
    kind: 'classes' or 'bits'.
  """

  names: tuple[str, ...]
  kind: ClassVar[Kind]

  def __len__(self) -> int:
    """The number of attributes, Y."""
    return len(self.names)

  @abc.abstractmethod
  def probabilities(self, logits: jax.Array) -> jax.Array:
    """Probability of every attribute, [..., Y], from logits [..., Y]."""

  @abc.abstractmethod
  def cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """Cross-entropy of y under the logits, per row, in nats.

    Args:
      logits: [..., Y].
      y: [..., Y] zeros and ones.
      mask: [..., Y] or [Y].

    Returns:
      [...] losses.
    """

  @abc.abstractmethod
  def complement_cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """-log(1 - p(y)), per row, in nats: low where anything but y is likely.

    Args:
      logits: [..., Y].
      y: [..., Y] zeros and ones.
      mask: [..., Y] or [Y]; p(y) is the probability of the attributes left in,
        at least one.

    Returns:
      [...] losses.
    """

  @abc.abstractmethod
  def accuracy(self, logits: jax.Array, y: jax.Array) -> jax.Array:
    """Fraction of correct predictions per row: [...]."""

  @abc.abstractmethod
  def predict(self, logits: Array) -> Array:
    """The most likely label vector of every row: [N, Y] float32."""

  def name_of(self, y: np.ndarray) -> str:
    """Names of the attributes that are 1 in one vector [Y], joined by +."""
    held = [name for name, bit in zip(self.names, y, strict=True) if bit > 0.5]
    return '+'.join(held) or 'none'

  @abc.abstractmethod
  def change(
    self, y: np.ndarray, changed: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Changes the class, or one attribute, of each row.

    Args:
      y: [N, Y].
      changed: [N] indices of the attributes to flip, or of the new classes.

    Returns:
      [N, Y] requested attributes, and the [N, Y] mask of the attributes that
      the edit must match.
    """

  @abc.abstractmethod
  def draw_changes(self, y: np.ndarray, seed: int) -> np.ndarray:
    """Random `changed` [N] for `change`; every row of y gets a new value."""

  def within(
    self,
    logits: jax.Array,
    y: jax.Array,
    mask: jax.Array,
    tolerance: jax.Array | float,
  ) -> jax.Array:
    """Whether |y - p| < tolerance for every attribute in the mask, per row.

    Args:
      logits: [..., Y].
      y: [..., Y] zeros and ones.
      mask: [..., Y] or [Y].
      tolerance: in probability; .5 only requires the correct prediction.

    Returns:
      [...] booleans.
    """
    mask = jnp.broadcast_to(mask, y.shape)
    near = jnp.abs(y - self.probabilities(logits)) < tolerance
    return jnp.all(near | (mask == 0), axis=-1)


# Both cross-entropies are accurate for small losses. The usual forms,
# softplus(v) - y v and log_softmax, subtract two large numbers and round to 0
# from v = 17 on in float32.


def _others(logits: jax.Array, y: jax.Array) -> jax.Array:
  """[...] log odds of all other classes against the class that y names."""
  own = jnp.sum(y * logits, axis=-1)
  least = jnp.finfo(logits.dtype).min / 2  # -inf would have no gradient
  others = jax.nn.logsumexp(jnp.where(y > 0.5, least, logits), axis=-1)
  return others - own


class Classes(Labels):
  """Mutually exclusive classes: y is one-hot, predicted by a softmax."""

  kind = 'classes'

  def probabilities(self, logits: jax.Array) -> jax.Array:
    """Softmax."""
    return jax.nn.softmax(logits)

  def cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """-log p(y)."""
    chex.assert_equal_shape([logits, y])
    mask = jnp.broadcast_to(mask, y.shape)
    return jnp.sum(mask * y, axis=-1) * jax.nn.softplus(_others(logits, y))

  def complement_cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """-log of the probability of all other classes."""
    chex.assert_equal_shape([logits, y])
    mask = jnp.broadcast_to(mask, y.shape)
    return jnp.sum(mask * y, axis=-1) * jax.nn.softplus(-_others(logits, y))

  def accuracy(self, logits: jax.Array, y: jax.Array) -> jax.Array:
    """1 where the largest logit is that of the class, else 0."""
    right = jnp.argmax(logits, axis=-1) == jnp.argmax(y, axis=-1)
    return right.astype(jnp.float32)

  def predict(self, logits: Array) -> Array:
    """One-hot vectors of the largest logits."""
    largest = logits.argmax(axis=1)[:, None]
    return (largest == np.arange(logits.shape[1])[None]).astype(np.float32)

  def change(
    self, y: np.ndarray, changed: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Sets another class; the mask covers the complete vector."""
    return np.eye(y.shape[1], dtype=y.dtype)[changed], np.ones_like(y)

  def draw_changes(self, y: np.ndarray, seed: int) -> np.ndarray:
    """A random class other than the row's."""
    rng = np.random.default_rng(seed)
    own, further = y.argmax(axis=1), rng.integers(1, y.shape[1], (len(y),))
    return np.asarray((own + further) % y.shape[1])


# A logit from which 1 - sigmoid is exp(-logit) to float32's precision.
_SURE = 15.0


class Bits(Labels):
  """Independent binary attributes, each predicted by a sigmoid."""

  kind = 'bits'

  def probabilities(self, logits: jax.Array) -> jax.Array:
    """Sigmoids."""
    return jax.nn.sigmoid(logits)

  def cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """Mean over the attributes in the mask, so it does not scale with Y."""
    chex.assert_equal_shape([logits, y])
    mask = jnp.broadcast_to(mask, y.shape)
    losses = y * jax.nn.softplus(-logits) + (1.0 - y) * jax.nn.softplus(logits)
    kept = jnp.maximum(jnp.sum(mask, axis=-1), 1.0)
    return jnp.sum(mask * losses, axis=-1) / kept

  def complement_cross_entropy(
    self, logits: jax.Array, y: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """-log(1 - prod_i p_i): at least one attribute differs from y."""
    chex.assert_equal_shape([logits, y])
    mask = jnp.broadcast_to(mask, y.shape)
    margin = (2.0 * y - 1.0) * logits  # p_i = sigmoid(margin)
    # log(-log p_i), which stays finite where p_i rounds to 1.
    sure = margin > _SURE
    unsure = jnp.log(jax.nn.softplus(-jnp.where(sure, 0.0, margin)))
    logs = jnp.where(sure, -margin, unsure)
    least = jnp.finfo(logits.dtype).min / 2
    log_loss = jax.nn.logsumexp(jnp.where(mask > 0, logs, least), axis=-1)
    # -log(1 - exp(-s)) for s = exp(log_loss), which is -log s where s is tiny.
    tiny = log_loss < -_SURE
    rest = -jnp.expm1(-jnp.exp(jnp.where(tiny, 0.0, log_loss)))
    return jnp.where(tiny, -log_loss, -jnp.log(rest))

  def accuracy(self, logits: jax.Array, y: jax.Array) -> jax.Array:
    """Mean over attributes; a logit of 0 predicts 0."""
    return jnp.mean((logits > 0) == (y > 0.5), axis=-1, dtype=jnp.float32)

  def predict(self, logits: Array) -> Array:
    """1 where the logit is above 0."""
    return (logits > 0).astype(np.float32)

  def change(
    self, y: np.ndarray, changed: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Flips the attribute; the mask covers only that one."""
    one = np.eye(y.shape[1], dtype=y.dtype)[changed]
    return np.abs(y - one), one

  def draw_changes(self, y: np.ndarray, seed: int) -> np.ndarray:
    """A random attribute."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, y.shape[1], (len(y),))
