"""Training steps compared with PyTorch, and with plain matrix products.

Pixels and encodings are noise: their values do not affect the time. A peer gets
the same batches as our loop, already gathered on the host.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from configs import celeba, mnist
from launch.benchmarks import ours, rounds, torch_latents, torch_peer
from lcjax.experiment import build, train_actor_critic

_MATRIX = 2048  # rows and columns of the matrices in the reference product
_StepFn = Callable[[Mapping[str, np.ndarray]], Any]


def _paper_mlp(batch_size: int) -> ml_collections.ConfigDict:
  """`configs/mnist.py:paper` in float32: the published sizes on a CPU."""
  config = mnist.get_config('paper')
  config.vae.matmul_dtype = 'float32'
  config.vae.train.batch_size = batch_size
  return config


def _peer(training: ours.TrainLoop, step_fn: _StepFn) -> rounds.Contender:
  """A PyTorch step in a loop over the same batches as ours."""
  step, kept = 0, training.steps_per_call

  def advance(count: int) -> None:
    nonlocal step
    while count:
      number = min(count, kept)
      stacked = training.make_batches(step, number)
      for index in range(number):
        step_fn({name: array[index] for name, array in stacked.items()})
      step, count = step + number, count - number

  return rounds.Contender(advance)


def _vae_contenders(
  config: ml_collections.ConfigDict, image_shape: tuple[int, int, int]
) -> dict[str, rounds.Contender]:
  """Our VAE step, and PyTorch's in every setting."""
  torch_peer.torch_module(ours.num_threads())
  data = ours.noise_images(image_shape)
  training = ours.vae_training(config, data)
  params = jax.device_get(training.make_state()['vae'].params)
  found = {'ours': ours.contender(training)}
  conv = config.vae.architecture == 'conv'
  for name, arguments in torch_peer.settings(conv).items():
    step = torch_peer.vae_step(params, config.vae, image_shape, **arguments)
    found[name] = _peer(training, functools.partial(_of_images, step))
  return found


def _of_images(
  step: Callable[[np.ndarray], Any], batch: Mapping[str, np.ndarray]
) -> Any:
  return step(batch['image'])


def vae_step(options: ours.Options) -> list[rounds.Measurement]:
  """Steps of the MLP VAE at its published size, against PyTorch's."""
  found = []
  for batch_size in (128, 512):
    taken = rounds.interleave(
      _vae_contenders(_paper_mlp(batch_size), (28, 28, 1)),
      options.num_rounds,
      options.seconds,
    )
    bars = {name: None for name in taken if name != 'ours'}
    found += rounds.against(
      taken,
      bars | {torch_peer.EAGER: 1.2},
      best_bar=1.0,
      case=f'batch {batch_size}',
    )
  return found


def conv_vae_step(options: ours.Options) -> list[rounds.Measurement]:
  """Steps of CelebA's convolutional VAE against PyTorch's."""
  config = celeba.get_config()
  taken = rounds.interleave(
    _vae_contenders(config, (64, 64, 3)), options.num_rounds, options.seconds
  )
  return rounds.against(
    taken,
    dict.fromkeys((name for name in taken if name != 'ours'), None),
    best_bar=0.6,
    case=f'batch {config.vae.train.batch_size}',
  )


def matmul_flops(params: Any, batch_size: int) -> int:
  """Floating-point operations in a step's matrix products.

  Every kernel [I, O] of a dense layer takes part in three products of 2 B I O
  operations: the forward pass, the kernel's gradient, and the input's gradient.
  The encoder's first layer needs no input gradient.

  Args:
    params: of an MLP VAE.
    batch_size: B.
  """
  kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
  first = params['params']['encoder']['mlp']['Dense_0']['kernel']
  weights = 3 * sum(kernel.size for kernel in kernels) - first.size
  return 2 * batch_size * weights


def _matmul() -> rounds.Contender:
  """Square float32 products, one at a time."""
  product = jax.jit(jnp.matmul)
  matrix = jax.random.normal(jax.random.key(0), (_MATRIX, _MATRIX))

  def advance(count: int) -> None:
    for _ in range(count):
      product(matrix, matrix).block_until_ready()

  return rounds.Contender(advance)


def vae_matmul_share(options: ours.Options) -> list[rounds.Measurement]:
  """The step's FLOP rate, as a share of the rate of large matrix products."""
  found = []
  for batch_size, bar in ((128, 0.55), (512, 0.75)):
    config = _paper_mlp(batch_size)
    data = ours.noise_images((28, 28, 1))
    training = ours.vae_training(config, data)
    state = jax.eval_shape(training.make_state)
    flops = matmul_flops(state['vae'].params, batch_size)
    taken = rounds.interleave(
      {'ours': ours.contender(training), 'matmul': _matmul()},
      options.num_rounds,
      options.seconds,
    )
    share = flops / (2 * _MATRIX**3)
    gigaflops = {
      'step_gflops_per_second': flops / rounds.median(taken['ours']) / 1e9,
      'matmul_gflops_per_second': 2
      * _MATRIX**3
      / rounds.median(taken['matmul'])
      / 1e9,
      'step_gflops': flops / 1e9,
    }
    found.append(
      rounds.Measurement(
        f'batch {batch_size}, share of the rate of {_MATRIX}^3 products',
        tuple(share * r for r in rounds.ratios(taken['matmul'], taken['ours'])),
        bar,
        details=gigaflops,
      )
    )
  return found


def actor_critic_step(options: ours.Options) -> list[rounds.Measurement]:
  """Steps of actor and critic against PyTorch's, with the job's config."""
  torch_peer.torch_module(ours.num_threads())
  config = options.job.config
  section = config.actor_critic
  train = ours.noise_encodings(config.vae.latent_size)
  networks = build.build_networks(config, ours.noise_images((8, 8, 1)))
  training = ours.actor_critic_training(config, networks, train)
  start = jax.device_get(training.make_state())
  contenders = {'ours': ours.contender(training)}
  for name, arguments in torch_peer.settings().items():
    step = torch_latents.actor_critic_step(
      start.actor.params,
      start.critic.params,
      section,
      train.mean_scale,
      train_actor_critic.critic_weights(section),
      **arguments,
    )
    contenders[name] = _peer(training, step)
  taken = rounds.interleave(contenders, options.num_rounds, options.seconds)
  bars = dict.fromkeys((name for name in taken if name != 'ours'), 2.0)
  return rounds.against(
    taken,
    bars | {torch_peer.EAGER: 2.2},
    case=f'batch {section.train.batch_size}',
  )
