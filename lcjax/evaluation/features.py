"""A feature space that shares nothing with the judge: other images, no labels.

What optimises, or is chosen by, one network's view of samples may look better
there than it is. Here is a second view: an autoencoder of photographs.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from sklearn import datasets

from lcjax.evaluation import judges
from lcjax.latent import encodings
from lcjax.models import apply, networks
from lcjax.training import fit, optimizer_spec, steps

# Samples [B, ...] -> features [B, F].
FeaturesFn = Callable[[np.ndarray], np.ndarray]

_BATCH_SIZE = 1024
_MOST_PIXELS = 32  # of a side, so that every training takes seconds
_HIDDEN_SIZE, _MOST_FEATURES = 256, 64
_ADAM = optimizer_spec.adam(3e-3)
_TRAIN_BATCH = 128
_SHRINK = 4, 8  # sides of photographs are divided by these: more detail
_CONTRAST = 8.0  # digits are all black and white, photographs hardly ever


class Space(NamedTuple):
  """Features of samples: their function, and its training time."""

  features_fn: FeaturesFn
  seconds: float


class _Autoencoder(nn.Module):
  """[B, D] pixels -> [B, num_features], and the pixels again."""

  num_features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    body = networks.Mlp((_HIDDEN_SIZE,))
    features = nn.Dense(self.num_features)(body(2.0 * x - 1.0))
    body = networks.Mlp((_HIDDEN_SIZE,))
    return features, nn.Dense(x.shape[-1])(body(features))


@dataclasses.dataclass(frozen=True)
class _Loss:
  """Mean squared error of the reconstruction."""

  network_fn: apply.Apply

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    _, reconstruction = self.network_fn(params, batch['sample'])
    loss = jnp.mean(jnp.square(reconstruction - batch['sample']))
    return loss, {'loss': loss}


def learn(train: np.ndarray, num_steps: int, progress: bool) -> Space:
  """Trains the autoencoder, for images of the size of the data's.

  It sees patches of the two photographs that come with scikit-learn, never the
  data. Samples that are no images have principal components instead.

  Args:
    train: [N, ...] training samples; floats are scaled from their range.
    num_steps: of training.
    progress: whether to show a bar.
  """
  if not are_pictures(train):
    found = judges.fit_components(train)
    return Space(lambda x: found.predict_fn(x)[1], found.seconds)
  started = time.perf_counter()
  low, high = 0.0, 255.0
  if train.dtype != np.uint8:
    low, high = float(train.min()), float(train.max())

  def scaled(images: np.ndarray) -> np.ndarray:
    x = shrunk(images, _MOST_PIXELS).astype(np.float32)
    return (x - low) / (high - low or 1.0)

  shape = scaled(train[:1]).shape[1:]
  module = _Autoencoder(_num_features(shape))
  network_fn = apply.Apply(module)
  windows = _windows(*shape)
  init_key, step_key = jax.random.split(jax.random.key(0))

  def make_batches(step: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    x = _draw_patches(windows, count * _TRAIN_BATCH, rng)
    return {'sample': x.reshape(count, _TRAIN_BATCH, -1)}

  params = fit.fit_network(
    'second features',
    _Loss(network_fn),
    module.init(init_key, jnp.zeros((1, int(np.prod(shape))))),
    _ADAM,
    make_batches,
    step_key,
    num_steps,
    progress,
  )
  apply_fn = jax.jit(lambda x: network_fn(params, x)[0])

  def features_fn(images: np.ndarray) -> np.ndarray:
    features: np.ndarray = encodings.in_batches(
      lambda part: apply_fn(scaled(part).reshape(len(part), -1)),
      images,
      batch_size=_BATCH_SIZE,
    )
    return features

  return Space(features_fn, time.perf_counter() - started)


def describe(train: np.ndarray) -> str:
  """What the features of `learn` are."""
  if not are_pictures(train):
    return 'principal components of training samples'
  shape = shrunk(train[:1], _MOST_PIXELS).shape[1:]
  return (
    f'{_num_features(shape)} codes of an autoencoder of photograph patches, '
    f'{" x ".join(map(str, shape))}, trained without labels or the data'
  )


def _num_features(shape: tuple[int, ...]) -> int:
  return min(_MOST_FEATURES, max(1, int(np.prod(shape)) // 2))


def are_pictures(samples: np.ndarray) -> bool:
  """Whether samples are [N, H, W], or [N, H, W, C] with 1 or 3 channels."""
  return samples.ndim == 3 or (samples.ndim == 4 and samples.shape[3] in (1, 3))


def shrunk(images: np.ndarray, most_pixels: int) -> np.ndarray:
  """Images [N, H, W, C] of few pixels a side: means of blocks.

  Args:
    images: [N, H, W] or [N, H, W, C].
    most_pixels: of a side; at the border, rows and columns that fill no block
      are cut off.
  """
  x = images if images.ndim == 4 else images[..., None]
  down, across = (-(-side // most_pixels) for side in x.shape[1:3])
  return x if down == across == 1 else _block_means(x, down, across)


def _block_means(x: np.ndarray, down: int, across: int) -> np.ndarray:
  num, height, width, channels = x.shape
  height, width = height // down, width // across
  x = x[:, : height * down, : width * across]
  blocks = x.reshape(num, height, down, width, across, channels)
  return blocks.mean(axis=(2, 4), dtype=np.float32)


def _windows(height: int, width: int, channels: int) -> list[np.ndarray]:
  """All patches of each photograph at each size: views [Y, X, C, H, W]."""
  found = []
  for photograph in datasets.load_sample_images().images:
    x = photograph[None].astype(np.float32) / 255.0
    if channels == 1:
      x = x.mean(axis=-1, keepdims=True)
    for factor in _SHRINK:
      small = _block_means(x, factor, factor)[0]
      found.append(
        np.lib.stride_tricks.sliding_window_view(
          small, (height, width), axis=(0, 1)
        )
      )
  return found


def _draw_patches(
  windows: list[np.ndarray], count: int, rng: np.random.Generator
) -> np.ndarray:
  """Random patches [count, H, W, C] in [0, 1], of random contrast and sign."""
  each = -(-count // len(windows))
  parts = [
    view[rng.integers(view.shape[0], size=each),
         rng.integers(view.shape[1], size=each)]
    for view in windows
  ]  # fmt: skip
  patches = np.concatenate(parts)[rng.permutation(each * len(windows))[:count]]
  patches = np.moveaxis(patches, 1, -1)
  patches -= patches.mean(axis=(1, 2, 3), keepdims=True)
  one_each = count, 1, 1, 1
  patches *= rng.uniform(-_CONTRAST, _CONTRAST, one_each).astype(np.float32)
  patches += rng.uniform(size=one_each).astype(np.float32)
  return np.clip(patches, 0.0, 1.0, out=patches)
