r"""MNIST, 64 latents: about a quarter of an hour on two CPU cores.

A first pass: optimizer-G and the actor have not been tuned here.

python -m launch.pipeline --config=configs/mnist.py --workdir=runs/mnist \
  --config.data.dir=PATH_OF_THE_FOUR_IDX_FILES
"""

from typing import Any

import ml_collections

from configs import base

ABLATIONS: dict[str, dict[str, Any]] = {
  'default': {},
}


def get_config(ablation: str = 'default') -> ml_collections.ConfigDict:
  """The experiment, with the differences of one ablation."""
  config = base.get_config()
  config.data.name = 'mnist'
  config.vae.latent_size = 64
  config.vae.hidden_sizes = (512, 512)
  config.vae.train.num_steps = 5500
  config.vae.train.batch_size = 256
  config.classifier.architecture = 'conv'
  config.classifier.conv_channels = (32, 64)
  config.classifier.conv_kernels = (5, 5)
  config.classifier.conv_strides = (2, 2)
  config.classifier.head_sizes = (128,)
  config.classifier.train.num_steps = 2000
  config.classifier.train.batch_size = 128
  config.classifier.train.steps_per_call = 1  # see configs/base.py
  config.denoiser.train.num_steps = 16_000
  config.denoise.num_steps = 50
  config.denoise.attribute_weight = 2.5
  config.denoise.eta = 0.7
  config.compare.num_samples = 10_000
  config.compare.mixture_components = 10
  return base.ablate(config, ABLATIONS, ablation)
