"""The same networks, losses and loops as ours, in idiomatic PyTorch.

PyTorch comes with the extra `bench`. Only this module and its callers use it.
It is imported inside functions, so that the rest works without it. Networks get
copies of our parameters.
"""

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
import numpy as np

from lcjax import errors

EAGER = 'PyTorch eager'


def torch_module(num_threads: int) -> Any:
  """Imports PyTorch with `num_threads` threads, the number that XLA uses.

  Denormals are flushed to zero, as in XLA. Adam's moments of weights whose
  gradient stays zero become denormal, which would slow PyTorch down several
  times.

  Raises:
    UserError: PyTorch cannot be imported.
  """
  try:
    import torch
  except (ImportError, OSError) as error:
    raise errors.UserError(
      'this workload compares with PyTorch, which cannot be imported '
      f'({error}): pip install -e .[bench]'
    ) from error
  torch.set_flush_denormal(True)
  torch.set_num_threads(num_threads)
  return torch


def _tensor(array: Any) -> Any:
  import torch

  return torch.from_numpy(np.array(array, np.float32))


def _copy_into(layer: Any, weight: np.ndarray, bias: np.ndarray) -> Any:
  import torch

  with torch.no_grad():
    layer.weight.copy_(_tensor(weight))
    layer.bias.copy_(_tensor(bias))
  return layer


def linear(params: Mapping[str, Any]) -> Any:
  """A `Linear` with the kernel [I, O] and bias [O] of a Flax `nn.Dense`."""
  import torch

  kernel = np.asarray(params['kernel'])
  layer = torch.nn.Linear(*kernel.shape)
  return _copy_into(layer, kernel.T, np.asarray(params['bias']))


def convolution(params: Mapping[str, Any], transposed: bool) -> Any:
  """A `Conv2d` or `ConvTranspose2d` of stride 2 with our kernel [K, K, I, O].

  K must be even: only then does SAME pad both sides equally.
  """
  import torch

  kernel = np.asarray(params['kernel'])
  size, _, num_in, num_out = kernel.shape
  if size % 2:
    raise ValueError(f'kernels must be even, not {size}')
  make = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
  layer = make(num_in, num_out, size, stride=2, padding=size // 2 - 1)
  # PyTorch defines a transposed convolution as a gradient, so its kernel is
  # flipped.
  weight = (
    kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    if transposed
    else kernel.transpose(3, 2, 0, 1)
  )
  return _copy_into(layer, weight, np.asarray(params['bias']))


def _activation(name: str) -> Any:
  import torch

  return {
    'relu': torch.nn.ReLU,
    'silu': torch.nn.SiLU,
    'gelu': torch.nn.GELU,
    'tanh': torch.nn.Tanh,
  }[name]()


def mlp(params: Mapping[str, Any], activation: str) -> list[Any]:
  """The layers of a `networks.Mlp`, each followed by an activation."""
  layers = []
  for number in range(len(params)):
    layers += [linear(params[f'Dense_{number}']), _activation(activation)]
  return layers


def _channels_first(
  params: Mapping[str, Any], shape: tuple[int, int, int], axis: int
) -> dict[str, np.ndarray]:
  """Reorders a dense layer's flattened [H, W, C] axis to [C, H, W]."""
  order = np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
  kernel = np.asarray(params['kernel']).take(order, axis)
  bias = np.asarray(params['bias'])
  return {'kernel': kernel, 'bias': bias[order] if axis == 1 else bias}


def vae(
  params: Any,
  section: ml_collections.ConfigDict,
  image_shape: tuple[int, int, int],
) -> tuple[Any, Any]:
  """Encoder and decoder with our weights, for images [B, C, H, W].

  Args:
    params: of a `models.vae.Vae`.
    section: `config.vae`.
    image_shape: (H, W, C).

  Returns:
    Two modules: images -> [B, 2 Z], and z -> logits shaped like the images.
  """
  import torch

  height, width, channels = image_shape
  tree = params['params']
  encoder, decoder = tree['encoder'], tree['decoder']
  activation = section.activation
  if section.architecture == 'mlp':
    first = _channels_first(encoder['mlp']['Dense_0'], image_shape, 0)
    last = _channels_first(decoder['pixels'], image_shape, 1)
    return (
      torch.nn.Sequential(
        torch.nn.Flatten(),
        *mlp({**encoder['mlp'], 'Dense_0': first}, activation),
        linear(tree['posterior']),
      ),
      torch.nn.Sequential(
        *mlp(decoder['mlp'], activation),
        linear(last),
        torch.nn.Unflatten(1, (channels, height, width)),
      ),
    )
  num_layers = len(encoder)
  shrink = 2**num_layers
  small = height // shrink, width // shrink
  down, up = [], []
  for number in range(num_layers):
    name = f'conv_{number}'
    down += [convolution(encoder[name], False), _activation(activation)]
    up += [_activation(activation), convolution(decoder[name], True)]
  deepest = section.conv_channels[-1]
  shape = (*small, deepest)
  return (
    torch.nn.Sequential(
      *down,
      torch.nn.Flatten(),
      linear(_channels_first(tree['posterior'], shape, 0)),
    ),
    torch.nn.Sequential(
      linear(_channels_first(decoder['dense'], shape, 1)),
      torch.nn.Unflatten(1, (deepest, *small)),
      *up,
    ),
  )


def vae_loss(
  encoder: Any,
  decoder: Any,
  images: Any,
  eps: Any,
  sigma_x: float,
  beta: float,
) -> Any:
  """The negative ELBO of `objectives.make_vae_loss`, a scalar in nats.

  Args:
    encoder: from `vae`.
    decoder: from `vae`.
    images: [B, C, H, W] in [0, 1].
    eps: [B, Z] standard normal.
    sigma_x: standard deviation of a pixel.
    beta: weight of the KL divergence.
  """
  import torch

  mean, raw = encoder(images).chunk(2, dim=-1)
  scale = torch.nn.functional.softplus(raw)
  decoded = torch.sigmoid(decoder(mean + scale * eps))
  normaliser = float(np.log(2.0 * np.pi) + 2.0 * np.log(sigma_x))
  squared = ((images - decoded) / sigma_x).square()
  log_likelihood = -0.5 * (squared + normaliser).flatten(1).sum(-1)
  kl = (0.5 * (mean.square() + scale.square() - 1.0) - scale.log()).sum(-1)
  return (beta * kl - log_likelihood).mean()


def adam(
  parameters: Any, section: ml_collections.ConfigDict, fused: bool
) -> Any:
  """Adam at the section's constant `learning_rate`."""
  import torch

  return torch.optim.Adam(
    parameters,
    lr=section.learning_rate,
    betas=(section.b1, section.b2),
    fused=True if fused else None,
  )


def vae_step(
  params: Any,
  section: ml_collections.ConfigDict,
  image_shape: tuple[int, int, int],
  fused: bool = False,
  compiled: bool = False,
  channels_last: bool = False,
) -> Callable[[np.ndarray], Any]:
  """Builds one training step: uint8 images [B, H, W, C] -> loss.

  Args:
    params: of our VAE, copied as initial parameters.
    section: `config.vae`.
    image_shape: (H, W, C).
    fused: whether to use the fused Adam kernel.
    compiled: whether to use `torch.compile` for the loss.
    channels_last: whether images and kernels have this memory format.
  """
  import torch

  encoder, decoder = vae(params, section, image_shape)
  both = torch.nn.ModuleList([encoder, decoder])
  if channels_last:
    both = both.to(memory_format=torch.channels_last)
  optimizer = adam(both.parameters(), section.optimizer, fused)

  def loss_fn(images: Any, eps: Any) -> Any:
    return vae_loss(
      encoder, decoder, images, eps, section.sigma_x, section.beta
    )

  if compiled:
    loss_fn = torch.compile(loss_fn)

  def step(images: np.ndarray) -> Any:
    # A permuted view of [B, H, W, C] already has the channels_last format.
    units = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    if not channels_last:
      units = units.contiguous()
    eps = torch.randn(len(images), section.latent_size)
    optimizer.zero_grad(set_to_none=True)
    loss = loss_fn(units, eps)
    loss.backward()
    optimizer.step()
    return loss.detach()

  return step


def can_compile() -> bool:
  """Whether there is a C++ compiler, which torch.compile needs."""
  return any(shutil.which(name) for name in ('g++', 'c++', 'clang++'))


def settings(conv: bool = False) -> dict[str, dict[str, bool]]:
  """Arguments of a step builder, by name of the setting.

  Settings with torch.compile are left out if there is no C++ compiler.

  Args:
    conv: whether to add settings with channels_last.
  """
  fused = f'{EAGER}, fused Adam'
  found: dict[str, dict[str, bool]] = {EAGER: {}, fused: {'fused': True}}
  if can_compile():
    compiled = 'torch.compile, fused Adam'
    found[compiled] = {'fused': True, 'compiled': True}
  if conv:
    found |= {
      f'{name}, channels_last': arguments | {'channels_last': True}
      for name, arguments in found.items()
      if arguments
    }
  return found
