r"""CelebA, 64x64, ten attributes: about 45 minutes on two CPU cores.

Any subset of CelebA works. The settings were chosen with 8,000 training images
(plus 1,000 each for validation and test), a twentieth of the official 162,770.
That is little data: VAE and judge see each image about forty times, and score
worse on held-out images than networks trained on all of CelebA.

python -m launch.pipeline --config=configs/celeba.py --workdir=runs/celeba \
  --config.data.dir=FOLDER_OF_IMAGES_AND_TABLES
"""

from typing import Any

import ml_collections

from configs import base, published

ABLATIONS: dict[str, dict[str, Any]] = {
  'default': {},
  'no_mismatched': {'actor_critic.mismatched_weight': 0.0},
  'no_average': {
    'actor_critic.average_decay': 0.0,
    'latent_critics.average_decay': 0.0,
  },
  # The realism critic is never trained on optimizer-G's results.
  'no_inner_loop': {
    'latent_critics.inner.max_steps': 0,
    'latent_critics.prior_weight': 1.0,
  },
  # The comparison model: blurrier images, but fewer holes in the prior.
  'sigma_1': {'vae.sigma_x': 1.0},
  # The published sizes, for an accelerator and all of CelebA.
  'paper': {
    **published.shared(vae_batch_size=256),
    'vae.latent_size': 1024,
    'vae.conv_channels': (256, 512, 1024, 2048),
    'vae.conv_kernels': (5, 5, 3, 3),
    'classifier.conv_channels': (256, 256, 512, 512, 1024, 2048),
    'classifier.conv_kernels': (5, 3, 5, 3, 3, 3),
    'classifier.conv_strides': (2, 1, 2, 1, 2, 2),
    'second_classifier.conv_channels': (128, 256, 512, 1024),
  },
}


def get_config(ablation: str = 'default') -> ml_collections.ConfigDict:
  """The experiment with one ablation applied."""
  config = base.get_config()
  config.data.name = 'celeba'

  stage = config.vae
  stage.latent_size = 128
  stage.architecture = 'conv'
  stage.conv_kernels = (4, 4, 4, 4)
  stage.train.num_steps = 5500
  stage.train.steps_per_call = 1  # see configs/base.py

  stage = config.classifier
  stage.architecture = 'conv'
  stage.flip = True
  stage.train.num_steps = 2500
  stage.train.steps_per_call = 1

  # Other kernels and widths, and less than half of the products.
  stage = config.second_classifier
  stage.architecture = 'conv'
  stage.conv_channels = (16, 32, 64, 128)
  stage.conv_kernels = (3, 5, 3, 3)
  stage.conv_strides = (2, 2, 2, 2)
  stage.activation = 'silu'
  stage.flip = True
  stage.train.num_steps = 2500

  stage = config.actor_critic
  stage.more_distance_weights = (0.1,)
  # Low momentum (the authors use none): momentum makes samples less varied.
  stage.actor_optimizer.b1 = 0.5
  stage.critic_optimizer.b1 = 0.5
  stage.train.num_steps = 3000  # with this little data, more reduces variety

  # With more steps D_attr overfits, and optimizer-G fails.
  config.latent_critics.train.num_steps = 1000
  config.latent_critics.inner.max_steps = 30

  # The inner loop gets the mover's settings, so that the critics see its moves.
  for section in (config.latent_critics.inner, config.optimize):
    section.attribute_weight = 30.0
    section.attribute_tolerance = 0.03
    section.realism_threshold = 0.5

  config.denoise.attribute_weight = 20.0
  config.denoise.eta = 0.7
  # Attributes overlap more than classes.
  config.walk.attribute_weights = (0.0, 5.0, 20.0, 40.0)
  return base.ablate(config, ABLATIONS, ablation)
