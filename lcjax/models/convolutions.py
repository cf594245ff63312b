"""Convolutions of stride 2 and their transposes, quick on a CPU.

They are the functions of `nn.Conv` and `nn.ConvTranspose` with `strides=2,
padding='SAME'`, from the same parameters; only their gradients are put in
other words. On a CPU, XLA was measured to be slow wherever the window of a
convolution is larger than its input, and such a window is how it writes the
kernel's gradient of a transposed convolution: 30 to 60 times the time of a
strided convolution's. Three linear maps are enough for both directions,

  strided       x, kernel -> y           as XLA has it,
  transposed    y, kernel -> x           sub-pixel: stride 1, depth to space,
  kernel's gradient  x, y -> kernel      of `strided`, as XLA has it,

since a transposed convolution is the transpose of a strided one, and so has
its kernel's gradient with the two images exchanged.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def mirrored(kernel: jax.Array) -> jax.Array:
  """Turned in space by half a turn, inputs for outputs; its own inverse.

  `y -> transposed(y, mirrored(kernel))` is the transpose of the linear map
  `x -> strided(x, kernel)`.

  Args:
    kernel: [K, K, I, O].

  Returns:
    [K, K, O, I].
  """
  return jnp.swapaxes(jnp.flip(kernel, (0, 1)), 2, 3)


def _strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  if x.shape[1] % 2 or x.shape[2] % 2:
    raise ValueError(f'height and width must be even, not {x.shape[1:3]}')
  return lax.conv_general_dilated(
    x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def _transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Every 2x2 block of the output is one pixel of a stride-1 convolution.

  In one dimension, with low = max(K - 2, 0) // 2 zeros that SAME puts before
  an image of even size, block m holds, for its pixels p = 0, 1,

    sum over t of x[m + t] kernel[2 t + K - 1 - low - p].

  So a kernel padded to an even size, cut into pairs, is a stride-1 kernel
  with an output channel for each p. Blocks begin at an odd pixel where low is
  odd: a zero after the kernel cures that if K is odd, too; otherwise one more
  block is computed, and its halves are cut off both ends.
  """
  size, _, num_in, num_out = kernel.shape
  low = max(size - 2, 0) // 2
  after = low % 2 * (size % 2)
  low += after
  num_taps = -(-(size + after) // 2)
  cut = low % 2
  pad = (2 * num_taps - size - after, after)
  pairs = jnp.pad(kernel, (pad, pad, (0, 0), (0, 0))).reshape(
    num_taps, 2, num_taps, 2, num_in, num_out
  )
  pairs = jnp.flip(pairs, (1, 3)).transpose(0, 2, 4, 1, 3, 5)
  ends = (num_taps - 1 - low // 2, low // 2 + cut)
  blocks = lax.conv_general_dilated(
    x,
    pairs.reshape(num_taps, num_taps, num_in, 4 * num_out),
    (1, 1),
    (ends, ends),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  batch, height, width, _ = blocks.shape
  blocks = blocks.reshape(batch, height, width, 2, 2, num_out)
  image = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, 2 * height, 2 * width, num_out
  )
  return image[:, cut : 2 * height - cut, cut : 2 * width - cut]


def _kernel_gradient(
  x: jax.Array, y: jax.Array, kernel: jax.Array
) -> jax.Array:
  """The transpose of `kernel -> strided(x, kernel)` at y."""
  return jax.linear_transpose(lambda k: _strided(x, k), kernel)(y)[0]


@jax.custom_vjp
def strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A convolution of stride 2, SAME.

  Args:
    x: [B, H, W, I], H and W even.
    kernel: [K, K, I, O].

  Returns:
    [B, H/2, W/2, O].
  """
  return _strided(x, kernel)


@jax.custom_vjp
def transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A transposed convolution of stride 2, SAME, the kernel not turned.

  Args:
    x: [B, H, W, I].
    kernel: [K, K, I, O].

  Returns:
    [B, 2H, 2W, O].
  """
  return _transposed(x, kernel)


strided.defvjp(
  lambda x, kernel: (_strided(x, kernel), (x, kernel)),
  lambda kept, y: (
    transposed(y, mirrored(kept[1])),
    _kernel_gradient(kept[0], y, kept[1]),
  ),
)
transposed.defvjp(
  lambda x, kernel: (_transposed(x, kernel), (x, kernel)),
  lambda kept, y: (
    strided(y, mirrored(kept[1])),
    mirrored(_kernel_gradient(y, kept[0], mirrored(kept[1]))),
  ),
)


class StridedConv(nn.Module):
  """`nn.Conv(features, (K, K), strides=2)`: [B, H, W, I] -> [B, H/2, W/2, O].

  Attributes:
    features: O.
    kernel_size: K.
    dtype: of the computation; parameters are float32.
  """

  features: int
  kernel_size: int
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolves."""
    return _apply(self, strided, x)


class TransposedConv(nn.Module):
  """`nn.ConvTranspose(features, (K, K), strides=2)`: -> [B, 2H, 2W, O].

  Attributes:
    features: O.
    kernel_size: K.
    dtype: of the computation; parameters are float32.
  """

  features: int
  kernel_size: int
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Convolves."""
    return _apply(self, transposed, x)


def _apply(
  module: StridedConv | TransposedConv, convolve, x: jax.Array
) -> jax.Array:
  """Parameters as flax has them, then the convolution and the bias."""
  size, features = module.kernel_size, module.features
  kernel = module.param(
    'kernel',
    nn.initializers.lecun_normal(),
    (size, size, x.shape[-1], features),
  )
  bias = module.param('bias', nn.initializers.zeros, (features,))
  x, kernel, bias = (a.astype(module.dtype) for a in (x, kernel, bias))
  return convolve(x, kernel) + bias[None, None, None]
