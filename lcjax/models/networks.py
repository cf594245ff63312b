"""Bodies that the models share.

All compute in their `dtype` and keep float32 parameters; who needs float32
outputs casts them.
"""

import math
from collections.abc import Callable, Sequence

import jax
from flax import linen as nn

from lcjax.models import convolutions

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  'relu': nn.relu,
  'silu': nn.silu,
  'gelu': nn.gelu,
  'tanh': nn.tanh,
}


class Mlp(nn.Module):
  """Dense layers, an activation after each: [B, I] -> [B, hidden_sizes[-1]].

  Attributes:
    hidden_sizes: width of every layer.
    activation: a key of `ACTIVATIONS`.
    dtype: of the computation.
  """

  hidden_sizes: Sequence[int]
  activation: str = 'relu'
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Applies the layers to the last axis."""
    for size in self.hidden_sizes:
      x = ACTIVATIONS[self.activation](nn.Dense(size, dtype=self.dtype)(x))
    return x


class MlpEncoder(nn.Module):
  """An `Mlp` of flattened images: [B, H, W, C] -> [B, hidden_sizes[-1]].

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
    """Applies the layers to all pixels."""
    mlp = Mlp(self.hidden_sizes, self.activation, self.dtype, name='mlp')
    return mlp(images.reshape(images.shape[0], -1))


class MlpDecoder(nn.Module):
  """An `Mlp` and a linear layer to pixels: [B, Z] -> [B, H, W, C].

  Attributes:
    image_shape: (H, W, C).
    hidden_sizes: width of every layer but the last.
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
  """Convolutions, an activation after each: -> [B, h, w, channels[-1]].

  Attributes:
    channels: of every layer's output.
    kernels: size of every layer's kernel.
    strides: of every layer, 1 or 2; height and width must be even wherever
      the stride is 2.
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
  """A linear layer to a small image, which convolutions double in size.

  An activation follows every layer but the last: [B, Z] -> [B, H, W, C].

  Attributes:
    image_shape: (H, W, C); H and W divide by 2 to the number of layers.
    channels: of every convolution's input; the last one's output is C.
    kernels: size of every convolution's kernel.
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
