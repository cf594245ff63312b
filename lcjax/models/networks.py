"""Encoder and decoder bodies that the models share.

All compute in their `dtype` and keep float32 parameters. Callers that need
float32 outputs cast them.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from lcjax.models import convolutions

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  'relu': nn.relu,
  'silu': nn.silu,
  'gelu': nn.gelu,
  'tanh': nn.tanh,
}


class Dropout(NamedTuple):
  """Units that are left out, of each row others; the rest is scaled up.

  Attributes:
    keys: [B], of every row.
    rate: share of units in [0, 1); may be a tracer.
  """

  keys: jax.Array
  rate: float | jax.Array

  def __call__(self, hidden: jax.Array, layer: int) -> jax.Array:
    """Leaves out units of a layer [B, H]; other ones of another layer."""

    def kept(key: jax.Array) -> jax.Array:
      own = jax.random.fold_in(key, layer)
      return jax.random.bernoulli(own, 1.0 - self.rate, hidden.shape[1:])

    return jnp.where(jax.vmap(kept)(self.keys), hidden, 0.0) / (1.0 - self.rate)


class Mlp(nn.Module):
  """Dense layers, each with an activation: [B, I] -> [B, hidden_sizes[-1]].

  Attributes:
    hidden_sizes: width of every layer.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  hidden_sizes: Sequence[int]
  activation: str = 'relu'
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array, dropout: Dropout | None = None) -> jax.Array:
    """Applies the layers to the last axis; dropout after each of them."""
    for layer, size in enumerate(self.hidden_sizes):
      x = ACTIVATIONS[self.activation](nn.Dense(size, dtype=self.dtype)(x))
      if dropout is not None:
        x = dropout(x, layer)
    return x


class MlpEncoder(nn.Module):
  """An `Mlp` on flattened images: [B, H, W, C] -> [B, hidden_sizes[-1]].

  Attributes:
    hidden_sizes: width of every layer.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  hidden_sizes: Sequence[int]
  activation: str
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Applies the layers to images [B, H, W, C]."""
    mlp = Mlp(self.hidden_sizes, self.activation, self.dtype, name='mlp')
    return mlp(images.reshape(images.shape[0], -1))


class MlpDecoder(nn.Module):
  """An `Mlp`, then a linear layer to pixels: [B, Z] -> [B, H, W, C].

  Attributes:
    image_shape: (H, W, C).
    hidden_sizes: width of every layer except the last.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  image_shape: tuple[int, int, int]
  hidden_sizes: Sequence[int]
  activation: str
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Maps latents to logits."""
    mlp = Mlp(self.hidden_sizes, self.activation, self.dtype, name='mlp')
    pixels = nn.Dense(
      math.prod(self.image_shape), dtype=self.dtype, name='pixels'
    )
    return pixels(mlp(z)).reshape(-1, *self.image_shape)


class ConvEncoder(nn.Module):
  """Convolutions, each with an activation: -> [B, h, w, channels[-1]].

  Attributes:
    channels: output channels of every layer.
    kernels: kernel size of every layer.
    strides: stride of every layer, 1 or 2. Inputs of layers with stride 2 must
      have even height and width.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  channels: Sequence[int]
  kernels: Sequence[int]
  strides: Sequence[int]
  activation: str
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layers to images [B, H, W, C]."""
    layers = zip(self.channels, self.kernels, self.strides, strict=True)
    for number, (features, size, stride) in enumerate(layers):
      name = f'conv_{number}'
      layer: nn.Module
      if stride == 2:
        layer = convolutions.StridedConv(features, size, self.dtype, name=name)
      else:
        layer = nn.Conv(
          features, (size, size), stride, dtype=self.dtype, name=name
        )
      x = ACTIVATIONS[self.activation](layer(x))
    return x


class ConvDecoder(nn.Module):
  """A linear layer to a small image; each convolution then doubles its size.

  [B, Z] -> [B, H, W, C], with an activation after every layer except the last.

  Attributes:
    image_shape: (H, W, C); H and W must be divisible by 2^len(kernels).
    channels: input channels of every convolution; the last one outputs C.
    kernels: kernel size of every convolution.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  image_shape: tuple[int, int, int]
  channels: Sequence[int]
  kernels: Sequence[int]
  activation: str
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Maps latents to logits."""
    height, width, num_channels = self.image_shape
    shrink = 2 ** len(self.kernels)
    small = (height // shrink, width // shrink, self.channels[0])
    dense = nn.Dense(math.prod(small), dtype=self.dtype, name='dense')
    x = dense(z).reshape(-1, *small)
    outputs = (*self.channels[1:], num_channels)
    for number, (features, size) in enumerate(
      zip(outputs, self.kernels, strict=True)
    ):
      x = ACTIVATIONS[self.activation](x)
      x = convolutions.TransposedConv(
        features, size, self.dtype, name=f'conv_{number}'
      )(x)
    return x
