"""Every config key: its meaning, unit and default.

This is the only place that defines defaults. Experiments (`configs/digits.py`,
...) override some of them, ablations a few more.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from lcjax import errors, keys


def _optimizer(learning_rate: float, schedule: str) -> dict[str, Any]:
  return {
    'name': 'adam',  # any optax optimiser that needs only gradients
    'learning_rate': learning_rate,
    'schedule': schedule,  # constant | cosine | log_linear
    'final_learning_rate': learning_rate / 100,  # ignored by `constant`
    'b1': 0.9,  # decay of the first moment; ignored if the optimiser has none
    'b2': 0.999,  # decay of the second moment; likewise
    'arguments': {},  # further arguments of the optax function, as one dict
  }


def _train(num_steps: int, batch_size: int) -> dict[str, Any]:
  return {
    'num_steps': num_steps,
    'batch_size': batch_size,  # rows, total over all devices
    # Steps per dispatch (lax.scan). Use 1 for convolutions on CPU: XLA runs
    # them many times slower inside a loop.
    'steps_per_call': 50,
    'log_every': 50,  # steps between lines of metrics.jsonl
    'evaluate_every': 500,  # steps between evaluations on the validation split
    'checkpoint_every': 1000,  # steps between checkpoints
    'keep': 2,  # number of newest checkpoints to keep
    # Checkpoints at multiples of this many steps are kept as well; 0: none.
    'keep_every': 0,
    # stop | skip: how to handle non-finite gradients. A skipped update leaves
    # the network unchanged; the metric nonfinite_gradients counts them.
    'nonfinite': 'stop',
  }


def _classifier(architecture: str, seed: int) -> dict[str, Any]:
  """A judge: an independent classifier of images."""
  return {
    'seed': seed,  # added to config.seed
    'architecture': architecture,  # mlp | conv
    'hidden_sizes': (256, 256),  # mlp
    'conv_channels': (32, 64, 128, 256),  # conv
    'conv_kernels': (5, 3, 3, 3),  # conv
    'conv_strides': (2, 2, 2, 2),  # conv; each 1 or 2
    # conv: dense layers after the convolutions. Empty: average over space.
    'head_sizes': (),
    'activation': 'relu',
    'matmul_dtype': 'float32',  # float32 | bfloat16; parameters stay float32
    'pixel_noise': 0.1,  # standard deviation of noise, in training only
    'flip': False,  # mirror images with probability 1/2, in training only
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(2000, 128),
  }


def _optimize(max_steps: int, learning_rate: float = 0.1) -> dict[str, Any]:
  """Optimizer-G, used by the mover, the critics' inner loop and the edits."""
  return {
    'realism_weight': 1.0,
    'attribute_weight': 3.0,
    'distance_weight': 0.0,
    # A row has converged once D_realism(z) is at least `realism_threshold` (0
    # disables this condition) and every |y - D_attr(z)| is below
    # `attribute_tolerance`. With latent_critics.divergence total_variation,
    # hinge, wasserstein or pairing, D_realism(z) is the share of validation
    # encodings that score less than z.
    'realism_threshold': 0.9,
    'attribute_tolerance': 0.1,
    'max_steps': max_steps,
    'optimizer': _optimizer(learning_rate, 'constant'),
  }


def get_config() -> ml_collections.ConfigDict:
  """The config with every key at its default."""
  config = ml_collections.ConfigDict()
  config.seed = 0  # of the first replicate; the next ones use seed + 1, ...
  config.num_seeds = 1  # replicates of the experiment, from the VAE onwards
  config.parallel = 'jit'  # jit | pmap: how steps are spread over devices

  config.data = {
    # digits | mnist | fashion_mnist | celeba | folder | tfds:mnist |
    # tfds:fashion_mnist | tfds:celeb_a; see lcjax/data/dataset.py
    'name': 'digits',
    'dir': '',  # folder of the files; digits needs none, TFDS has a default
    # The next three apply to celeba, folder and tfds:celeb_a. The other data
    # sets have a fixed image size and classes.
    'image_size': 64,  # pixels per side
    'crop_size': 128,  # side of the centre crop in pixels; 0: largest square
    # Names, or one string of names joined by commas. Empty: the ten usual
    # CelebA attributes, or all columns of a folder's table.
    'attributes': (),
    'cache_dir': '',  # for decoded pixels; empty: WORKDIR/cache
    # black | white: background of transparent images, including those given to
    # `launch.generate --images`.
    'background': 'black',
  }

  # The generative model. 'vae': that of the next section, trained here; 'gan':
  # that of the section `gan`, likewise, which has no encoder; 'two_stage': that
  # VAE and a second one of its latents, of the section `two_stage`; 'aae': that
  # of the section `aae`. With 'external', it is your own: 'module' is
  # 'my_file:load', a function of your own file that takes `arguments` and
  # returns a lcjax.LatentModel of images
  # [H, W, C] in [0, 1]. All seeds share it.
  config.generator = {
    'kind': 'vae',  # vae | two_stage | aae | gan | external
    'module': '',
    'arguments': {},
  }

  # Further rows of the comparison, of models that are trained for it: names in
  # `ALTERNATIVES`, at the end of this file.
  config.alternatives = ()

  config.vae = {
    'latent_size': 16,
    'architecture': 'mlp',  # mlp | conv; the decoder mirrors the encoder
    'hidden_sizes': (256, 256),  # mlp
    'conv_channels': (32, 64, 128, 256),  # conv; every layer has stride 2
    'conv_kernels': (5, 5, 3, 3),  # conv
    'activation': 'relu',
    'matmul_dtype': 'float32',  # float32 | bfloat16; parameters stay float32
    'sigma_x': 0.1,  # standard deviation of p(x|z), for pixels in [0, 1]
    'beta': 1.0,  # weight of the KL divergence
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(5000, 64),
  }

  # A GAN without labels, for the `generator` of its kind and a row of
  # `alternatives`: g(z), and its discriminator D(x) of images.
  config.gan = {
    'latent_size': 16,
    'architecture': 'mlp',  # mlp | conv; the generator mirrors D(x)
    'hidden_sizes': (256, 256),  # mlp
    'conv_channels': (32, 64, 128, 256),  # conv; every layer has stride 2
    'conv_kernels': (5, 5, 3, 3),  # conv
    'activation': 'silu',
    'matmul_dtype': 'float32',  # float32 | bfloat16; parameters stay float32
    'divergence': 'gan',  # as in actor_critic, and the next three, too, but the
    # gradients are by pixels in [0, 1].
    'gradient_penalty_weight': 0.0,
    'r1_weight': 1.0,
    'r2_weight': 0.0,
    'discriminator_steps_per_generator_step': 1,
    # Decay of the debiased moving average of the generator's parameters, with
    # which it samples; 0: no average.
    'average_decay': 0.999,
    # Without momentum, as usual: with it, samples are less varied.
    'generator_optimizer': _optimizer(5e-4, 'cosine') | {'b1': 0.0, 'b2': 0.99},
    'discriminator_optimizer': _optimizer(5e-4, 'cosine')
    | {'b1': 0.0, 'b2': 0.99},
    'train': _train(5000, 128),
  }

  # A second VAE, of latents of the first, for a `generator` of its kind and a
  # row of `alternatives`: u ~ N(0, I), z ~ N(f(u), gamma^2 I), of the same
  # latent size, with a learned gamma. Of the kind, latents are [u, e] of twice
  # the size, with z = f(u) + gamma e.
  config.two_stage = {
    'hidden_sizes': (256, 256),
    'activation': 'silu',
    'average_decay': 0.998,  # of the parameters; 0: no average
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(5000, 256),
  }

  # An adversarial autoencoder, for the `generator` of its kind and a row of
  # `alternatives`: reconstruction, and a critic between q(z) and the prior p(z)
  # in place of the VAE's KL divergence.
  config.aae = {
    'latent_size': 16,
    'architecture': 'mlp',  # mlp | conv, and the rest as in `vae`
    'hidden_sizes': (256, 256),
    'conv_channels': (32, 64, 128, 256),
    'conv_kernels': (5, 5, 3, 3),
    'activation': 'relu',
    'matmul_dtype': 'float32',
    # gaussian: N(0, I); uniform: on [-1, 1]^Z; mixture: ten fixed Gaussians.
    # See lcjax/latent/priors.py.
    'prior': 'gaussian',
    'sigma_x': 0.1,  # standard deviation of p(x|z), for pixels in [0, 1]
    # Added to the encoder's own standard deviation, in units of the prior's:
    # nothing else keeps that of an autoencoder from 0.
    'least_scale': 0.1,
    # Weight of what keeps q(z) at p(z), beside a reconstruction in nats.
    'match_weight': 10.0,
    # What the critic estimates, as in `actor_critic`; or mmd: no critic, but a
    # maximum mean discrepancy of the batch (WAE-MMD), times the batch size.
    'divergence': 'gan',
    'critic_hidden_sizes': (256, 256),
    # Gradient penalties as in `actor_critic`, per standard deviation of p(z).
    'gradient_penalty_weight': 0.0,
    'r1_weight': 0.1,
    'r2_weight': 0.1,
    'average_decay': 0.998,  # of the autoencoder's parameters; 0: no average
    'optimizer': _optimizer(1e-3, 'cosine'),
    'critic_optimizer': _optimizer(1e-3, 'cosine') | {'b1': 0.5},
    'train': _train(5000, 128),
  }

  # Rows of `alternatives` that are trained from scratch with labels: p(x|z, y)
  # and q(z|x, y), with bodies as those of `vae`, which see y by a linear map.
  # Its samples are means of p(x|z, y).
  config.conditional_vae = {
    'latent_size': 16,
    'label_size': 64,  # width of the linear map of y
    'architecture': 'mlp',  # mlp | conv, and the rest as in `vae`
    'hidden_sizes': (256, 256),
    'conv_channels': (32, 64, 128, 256),
    'conv_kernels': (5, 5, 3, 3),
    'activation': 'relu',
    'matmul_dtype': 'float32',
    # gaussian | bernoulli: p(x|z, y). The second takes pixels in [0, 1] as
    # shares of ones; it suits images that are nearly black and white.
    'likelihood': 'gaussian',
    'sigma_x': 0.1,  # ignored by `bernoulli`
    'beta': 1.0,
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(5000, 64),
  }

  # g(z, y) and D(x, y), with bodies as the decoder and the encoder of `vae`.
  config.conditional_gan = {
    'latent_size': 64,
    'label_size': 64,  # width of the linear map of y, in g(z, y)
    'architecture': 'mlp',  # mlp | conv, and the rest as in `vae`
    'hidden_sizes': (256, 256),
    'conv_channels': (32, 64, 128, 256),
    'conv_kernels': (5, 5, 3, 3),
    'activation': 'relu',
    'matmul_dtype': 'float32',
    # Weight of real images with labels of other rows, as fakes; real images and
    # generated ones count 1.
    'mismatched_weight': 1.0,
    # Gradient penalties as in `actor_critic`, per unit of a pixel in [0, 1].
    'gradient_penalty_weight': 0.0,
    'r1_weight': 1.0,
    'r2_weight': 0.0,
    'divergence': 'gan',  # as in `actor_critic`
    'discriminator_steps_per_generator_step': 1,
    'average_decay': 0.998,  # of the generator's parameters; 0: no average
    'generator_optimizer': _optimizer(1e-3, 'cosine') | {'b1': 0.0},
    'discriminator_optimizer': _optimizer(1e-3, 'cosine') | {'b1': 0.0},
    'train': _train(10_000, 64),
  }

  # The judge of test images, which reports, and the second judge, of validation
  # images, by which settings are chosen. Give them different networks.
  config.classifier = _classifier('mlp', seed=0)
  config.second_classifier = _classifier('conv', seed=1)
  config.second_classifier.update(
    conv_channels=(16, 32), conv_kernels=(3, 3), conv_strides=(2, 2)
  )
  config.second_classifier.train.steps_per_call = 1

  # For a `generator` without an encoder: latents are draws of its prior, and
  # this classifier labels the images that they decode to. It is never a judge,
  # so give it a network of its own. Trained only if needed.
  config.labeller = _classifier('conv', seed=2)
  config.labeller.update(
    conv_channels=(24, 48), conv_kernels=(3, 3), conv_strides=(2, 2),
    head_sizes=(64,),
    num_samples=20_000,  # draws of the prior that are labelled
    # Of these, the share is kept of which the labeller is surest: what decodes
    # to nothing in particular has no label.
    kept_share=0.5,
  )  # fmt: skip
  config.labeller.train.steps_per_call = 1

  config.actor_critic = {  # the actor G(z, y) and its critic D(z, y)
    'actor_hidden_sizes': (256, 256, 256),
    'critic_hidden_sizes': (256, 256, 256),
    'label_size': 64,  # width of the linear map of y
    'activation': 'silu',
    # Weights of the kinds of fakes in the critic's loss; real rows count 1.
    'moved_weight': 1.0,  # prior latents moved by the actor
    'prior_weight': 0.1,  # raw prior latents
    'mismatched_weight': 1.0,  # real latents with attributes of other rows
    # Weights of gradient penalties in the critic's loss: of (|grad| - 1)^2 per
    # unit of z, between real and moved rows (10 is usual for wasserstein); and
    # of |grad|^2 / 2 per standard deviation of encodings, at real (r1) and at
    # moved (r2) rows, which the papers call gamma.
    'gradient_penalty_weight': 0.0,
    'r1_weight': 0.0,
    'r2_weight': 0.0,
    # What the critic estimates between real rows and fakes: gan | kl |
    # reverse_kl | jensen_shannon | pearson_chi2 | squared_hellinger |
    # least_squares | total_variation | hinge | wasserstein | pairing, or
    # 'my_file:NAME' for a Divergence NAME in your my_file.py. See
    # lcjax/losses/divergences.py.
    'divergence': 'gan',
    # prior | class_mixture: what is moved in training. An actor that has
    # learned from draws of the mixture needs them as 'start' in `movers`, too.
    'moves_from': 'prior',
    # lambda_dist in the actor's loss; the penalty is a mean over latent
    # dimensions.
    'distance_weight': 0.0,
    # If distance_weight is above 0, half of the actor's loss is that of
    # encodings with their true labels, where it should not move.
    'actor_on_encodings': True,
    # Trains one more actor and critic per weight; each actor is offered as a
    # mover (0.1: actor_lambda_0.1).
    'more_distance_weights': (),
    # At most one of these two is above 1: updates of the one network for each
    # update of the other.
    'critic_steps_per_actor_step': 1,
    'actor_steps_per_critic_step': 1,
    # Against a critic or an actor that dominates, a collapse or an oscillation,
    # see docs/instabilities.md. In training only; 0: off.
    'critic_dropout': 0.0,  # share of the critic's hidden units left out
    'label_noise': 0.0,  # share of rows whose real-or-fake label is flipped
    # Weight with which real rows count as fakes; not for divergences that
    # compare pairs.
    'label_smoothing': 0.0,
    # Noise on what the critic sees: standard deviation in units of that of
    # encodings; decays linearly to 0 over the training.
    'instance_noise': 0.0,
    # Decay of the debiased moving average of the parameters; 0: no average.
    'average_decay': 0.998,
    'actor_optimizer': _optimizer(1e-3, 'constant'),
    'critic_optimizer': _optimizer(1e-3, 'constant'),
    'train': _train(3000, 128),
  }

  config.latent_critics = {  # D_attr(z) and D_realism(z), for optimizer-G
    'hidden_sizes': (256, 256, 256),
    'activation': 'silu',
    # Weights of the kinds of fakes in D_realism's loss; real rows count 1.
    'moved_weight': 1.0,  # prior latents moved by the inner loop
    'prior_weight': 0.1,  # raw prior latents
    'gradient_penalty_weight': 0.0,  # this and the next three: as above
    'r1_weight': 0.0,
    'r2_weight': 0.0,
    'divergence': 'gan',
    'moves_from': 'prior',  # as in actor_critic, by the inner loop
    # The inner loop: optimizer-G makes the moved rows in every training step.
    # With `inner.max_steps` 0 the critics see q(z) and p(z) only.
    'inner': _optimize(max_steps=15),
    'average_decay': 0.998,  # of the parameters of both; 0: no average
    'attribute_optimizer': _optimizer(1e-3, 'constant'),
    'realism_optimizer': _optimizer(1e-3, 'constant'),
    'train': _train(2000, 128),
  }

  # The mover optimizer-G. Changes here need no retraining.
  config.optimize = _optimize(max_steps=100)

  # Optimizer-G from draws of the class or attribute mixture, with the settings
  # of `optimize`, but it rests as soon as a row is as realistic, and as surely
  # of its label, as all but these shares of real validation encodings.
  config.optimize_from_mixture = {
    'realism_quantile': 0.3,
    'attribute_quantile': 0.1,
  }

  # Edits that keep the identity: optimizer-G starts at the encoding of an image
  # and changes one of its attributes. Small steps and an early stop preserve
  # the rest. Read only by `launch.figures`, so changes need no retraining.
  config.edit = {
    'optimize': _optimize(max_steps=300, learning_rate=1e-2)
    | {
      'realism_weight': 0.02,
      'attribute_weight': 1.0,
      'realism_threshold': 0.0,
      'attribute_tolerance': 1e-3,
    },
    # The edit of the actor with the smallest distance weight is backtracked
    # towards the encoding while |y - D_attr| stays below this.
    'backtrack_tolerance': 0.01,
    # Held-out images to edit, at most. One random change is drawn for each.
    'num_images': 2000,
    # Values swept in `identity_frontier`: optimizer-G's distance_weight and
    # attribute_tolerance, the actor's backtrack_tolerance, and the guided
    # denoiser's edit_time. The actors' distance weights come from
    # `actor_critic.more_distance_weights`.
    'distance_weights': (0.0, 0.003, 0.01, 0.03, 0.1, 0.3),
    'attribute_tolerances': (0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    'backtrack_tolerances': (0.5, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4),
    'edit_times': (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
  }

  # The guided denoiser's networks on noised latents: velocity(z_t, t) and
  # D_attr(z_t, t).
  config.denoiser = {
    'width': 320,  # of the velocity network
    'num_blocks': 3,  # residual blocks of the velocity network
    'attribute_width': 256,  # of D_attr(z_t, t)
    'attribute_blocks': 2,
    'activation': 'silu',
    # uniform | logit_normal: noise times of training rows; the second trains
    # more on those in the middle.
    'time_sampling': 'uniform',
    'average_decay': 0.999,  # of the parameters of both; 0: no average
    'velocity_optimizer': _optimizer(1e-3, 'cosine'),
    'attribute_optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(3000, 256),
  }

  # How the guided denoiser samples. Changes here need no retraining.
  config.denoise = {
    'num_steps': 30,
    'order': 1,  # of the solver: 1 for DDIM, 2 for DPM-Solver++ 2M
    'spacing': 'uniform',  # of noise times: uniform | quadratic | log_snr
    'eta': 0.3,  # 0: deterministic, 1: as noisy as ancestral sampling
    'guided': (0.0, 1.0),  # noise times between which attributes guide
    'attribute_weight': 3.0,  # guidance weight of D_attr(z_t, t)
    'distance_weight': 0.0,
    # At noise times above this, a Gaussian mixture per class replaces both
    # networks, in closed form; 1: never. See lcjax/latent/mixtures.py.
    'mixture_above': 1.0,
    'mixture_attribute_weight': 1.0,  # guidance weight there
    # Noise time from which an encoding is denoised in edits. Samples start
    # from pure noise, at 1.
    'edit_time': 0.5,
  }

  # Short walks: the guided denoiser from draws of the class or attribute
  # mixture that are noised a little. Their rows of the comparison need no
  # setting by hand: of `steps`, `start_times` and `attribute_weights`, those
  # are taken that are best on the validation split, as the second judge sees
  # it; a single value of each pins them. Changes need no retraining.
  config.walk = {
    'steps': (1, 4, 6),  # candidates of their number; (): no such rows
    'start_times': (0.3, 0.45, 0.6, 0.7),  # of the noise time
    'attribute_weights': (0.0, 1.0, 2.0, 4.0, 6.0),  # of the guidance weight
    'order': 2,  # this and the next three as in `denoise`
    'spacing': 'uniform',
    'eta': 0.0,
    'guided': (0.0, 1.0),
  }

  # Rejection sampling, for the baselines' mixture and every kind of mover: rows
  # and movers of the names NAME_kept. A row is made again, from new noise,
  # while D_attr rejects its sample, decoded and encoded again. Changes need no
  # retraining.
  config.retry = {
    'tries': 6,  # per row, at most; 1: no such rows
    # D_attr accepts a row of which it is as sure as of all but this share of
    # real validation encodings.
    'accept_quantile': 0.05,
  }

  # Gaussian mixtures fitted to encodings by scikit-learn. Of several numbers of
  # components, the one is taken whose samples have the least Frechet distance
  # to validation images, as the second judge sees them.
  config.mixture = {
    'num_components': (1, 3, 10, 30),  # per class; for attributes in total
    'unlabelled_components': (10, 20, 40),  # of the mixture without labels
    # Candidates of the factor on the components' standard deviations in rows
    # NAME_narrow, each with all numbers of components; (): no such rows.
    'narrow': (
      1.0,
      0.97,
      0.94,
      0.91,
      0.88,
      0.85,
      0.82,
      0.79,
      0.76,
      0.73,
      0.7,
      0.67,
      0.64,
      0.61,
      0.58,
    ),
    # Per class, of the mixture in the guided denoiser, where more are dearer in
    # each step.
    'denoiser_components': 10,
  }

  # Further starts by name, each a --start of `launch.generate` and a 'start' of
  # `movers`, besides those that are always there: prior, mixture (of all
  # encodings), class_mixture (of the requested class, or of attributes) and
  # encodings (of training images, at random). An entry is a dict:
  #   'kind': one of these, or 'my_file:NAME', a function of
  #     lcjax.experiment.extensions.Parts and the entry's values
  #   'start_time': noise time to which it is noised; absent: not at all
  config.starts = {}

  # Further movers by name, each a row of the comparison and a --mover of
  # `launch.generate`; changes need no retraining. An entry is a dict:
  #   'kind': same (of) | backtrack (of, tolerance, num_points) |
  #     then (first, second) | retry (of, keys of `retry`) |
  #     optimizer (keys of `optimize`) |
  #     guided_denoiser (start_time, keys of `denoise`) | 'my_file:NAME', a
  #     function of lcjax.experiment.extensions.Parts and the entry's values
  #   'start': one that is always there, one of `starts`, or 'my_file:NAME'
  #   'description': for the report
  config.movers = {}

  # Further constraints by name, which optimizer-G and the guided denoiser obey
  # besides the learned ones: {'kind': 'my_file:NAME', 'weight': 1.0, ...}; or a
  # rule of decoded images, which `launch.train_rules` learns without labels:
  #   'kind': 'rule'
  #   'rule': a name in `lcjax.rules.TABLE`, which takes the 'arguments'; or
  #     'my_file:NAME', a function (images [B, H, W, C] in [0, 1], with the
  #     'arguments' as keywords) -> scores [B] in [0, 1]
  #   'weight': of its loss; changes need no retraining
  #   'level': an image obeys whose score is at least this; .5 if absent
  #   and any key of `rules`
  config.constraints = {}

  # How optimizer-G and the guided denoiser compose constraints: a text such as
  # 'all(realism, attributes, not(slanted))', of realism, attributes, near and
  # the names of `constraints`, each at most once, with all(...), any(...) and
  # not(...); what is not named is not asked. A number before *, as in
  # 2*attributes, multiplies the weight that a constraint has anyway (in
  # `optimize`, `denoise` or `constraints`); within any(...) only these numbers
  # count. Realism drops out of the denoiser, whose score it is. Empty: all of
  # them. See docs/constraints.md. Changes need no retraining.
  config.want = ''

  # Compositions as in `want`, by name, that `launch.compare_wants` puts side by
  # side, each with realism; 'want' itself has no part in it.
  config.wants = {}

  # How it does that. Changes need no retraining.
  config.compare_wants = {
    'num_samples': 3000,  # per row
    # The walk's guidance: candidates of the weight of all that is wanted. The
    # one of least Frechet distance is taken of those that reach this share of
    # satisfying samples, or else the one of the greatest share, on validation.
    'guidance_weights': (
      0.0,
      1.0,
      2.0,
      3.0,
      4.0,
      6.0,
      8.0,
      10.0,
      12.0,
      16.0,
      24.0,
      32.0,
    ),
    'least_satisfied': 0.91,
    'search_num_samples': 2000,  # of each of them
    'num_steps': 6,
    'start_time': 0.6,
    'tries': 5,  # of rows of movers NAME_kept
    # Of training an actor for each composition, which nothing stores; 0: none.
    'actor_num_steps': 0,
    # Rejection is the baseline, so it gets as many tries as a row may need.
    'baseline_tries': 100,
    # Training images that the wanted rules score, for the mixture of those
    # that satisfy them.
    'num_scored': 20_000,
  }

  config.rules = {  # how rules are learned, see `lcjax.learn_rule`
    'num_samples': 6000,  # scored before the first round, and in every further
    'rounds': 3,  # of moved samples
    'num_held_out': 2000,  # samples scored for the threshold and the report
    'precision': 0.95,  # wanted of the critic at its threshold
    'hidden_sizes': (256, 256),
    'num_steps': 1500,  # of training, in every round
    'batch_size': 128,
    # Of an unlabelled mixture, from which latents come besides encodings and
    # the prior; 0: none.
    'start_components': 10,
  }

  # Images as starts of a `generator` without an encoder: z is optimised until
  # it decodes to the image. Changes need no retraining.
  config.invert = {
    'max_steps': 300,
    'tries': 3,  # from other draws of the prior; the best one is kept
    'prior_weight': 1e-3,  # of the mean of z^2, beside the MSE of pixels
    'optimizer': _optimizer(0.1, 'cosine'),
  }

  config.generate = {
    'num_rows': 8,  # starts, one per row of the grid
    'num_columns': 10,  # held-out label vectors, if --labels is not given
    'batch_size': 512,  # latents or images per call, also in `compare`
  }

  config.compare = {
    # Choose settings on 'validation', where the second classifier judges;
    # report on 'test', where the first does.
    'split': 'test',
    # Samples per row of the table. Requested labels are those of the split, in
    # order, repeated as often as needed.
    'num_samples': 2000,
    # Rows of movers and baselines to make; empty: all. Real images, the prior
    # and the labelled mixture, with which others are compared, are always made.
    'rows': (),
    # That each row is timed for, at least (and five passes); 0: one pass.
    'clock_seconds': 1.0,
    'num_neighbours': 5,  # k of precision, recall, density and coverage
    # Training steps of the comparison's own networks: of the autoencoder whose
    # codes are the second features, and of each row's classifier (CAS).
    'feature_steps': 1000,
    'cas_steps': 300,
    # Numbers of optimizer-G steps in the curve of quality by steps.
    'curve_steps': (0, 2, 5, 10, 20, 30, 50, 75, 100),
    'grid_rows': 4,  # images of each class in the report
  }

  # How what is not known of an image is filled in: the figure `inpainting`.
  # Mean squared errors of what is known are counted in multiples of that of
  # reconstructions of validation images, so that the settings mean the same
  # for every size of image.
  config.inpaint = {
    'num_images': 500,  # held-out images, at most
    # Draws of the unlabelled mixture for each answer. It starts at the one
    # that is nearest in what is known.
    'candidates': 1024,
    # Optimizer-G: the weight of -log D_realism beside that multiple, and when
    # an answer rests: at this multiple and this D_realism.
    'realism_weight': 0.13,
    'realism_threshold': 0.7,
    'error_goal': 1.2,
    'max_steps': 200,
    'optimizer': _optimizer(0.1, 'constant'),
    # The guided denoiser: from the start, noised to this time; the weight of
    # that multiple.
    'start_time': 0.6,
    'denoiser_num_steps': 100,
    'denoiser_weight': 50.0,
    # Of the classifier that sees only what is known: training steps.
    'classifier_num_steps': 1000,
  }

  config.figures = {  # for `launch.figures`
    'num_rows': 6,  # samples or images per grid
    'num_columns': 12,  # samples of each kind in `holes`
    'comparison_sigma_x': 1.0,  # of the second VAE in `holes`
    'num_samples': 2000,  # for the numbers in the captions
    # Columns of `attribute_grid`: strings with one bit per attribute, in
    # order. Empty: one column per class; for the paper's ten CelebA
    # attributes, its eight vectors; for others, vectors of held-out rows.
    'attribute_vectors': (),
    'path_steps': (0, 10, 30, 50, 100),  # of optimizer-G in `optimizer_path`
    'contour_points': 121,  # per axis in `realism_contours`
    'pair_samples': 200,  # for each pair in `attribute_pairs`
    # Attributes that `sequential_edits` adds, in turns. Empty: four of the
    # paper's ten CelebA attributes; the first four of others.
    'edit_sequence': (),
    'known_share': 0.5,  # of the rows, from the top, in `inpainting`
    'answers': 4,  # for each image in `inpainting`
  }
  return config


OPEN = (
  'starts',
  'movers',
  'constraints',
  'wants',
)  # sections with entries of any name

# The sections with free arguments, beside those of optimisers.
_WITH_ARGUMENTS = ('generator',)

# The kinds of `config.generator`, and the rows of `config.alternatives`.
KINDS = 'vae', 'external', 'gan', 'two_stage', 'aae'
ALTERNATIVES: tuple[str, ...] = (
  'gan',
  'two_stage',
  'aae',
  'conditional_vae',
  'conditional_gan',
)

# Used by `validate`: the last parts of a dotted key -> (test, requirement).
RANGES = {
  'seed': (lambda v: v >= 0, 'at least 0'),
  'num_seeds': (lambda v: v >= 1, 'at least 1'),
  'parallel': (lambda v: v in ('jit', 'pmap'), "'jit' or 'pmap'"),
  'image_size': (lambda v: v >= 1, 'at least 1'),
  'crop_size': (lambda v: v >= 0, 'at least 0'),
  'background': (lambda v: v in ('black', 'white'), "'black' or 'white'"),
  'attributes': (
    lambda v: all(all(names.split(',')) for names in v),
    'a tuple of names',
  ),
  'prior': (
    lambda v: v in ('gaussian', 'uniform', 'mixture'),
    'gaussian, uniform or mixture',
  ),
  'least_scale': (lambda v: v > 0, 'above 0'),
  'likelihood': (
    lambda v: v in ('gaussian', 'bernoulli'),
    "'gaussian' or 'bernoulli'",
  ),
  'sigma_x': (lambda v: v > 0, 'above 0'),
  'beta': (lambda v: v >= 0, 'at least 0'),
  'latent_size': (lambda v: v >= 1, 'at least 1'),
  'label_size': (lambda v: v >= 1, 'at least 1'),
  'hidden_sizes': (lambda v: all(s >= 1 for s in v), 'sizes of at least 1'),
  'architecture': (lambda v: v in ('mlp', 'conv'), "'mlp' or 'conv'"),
  'conv_channels': (
    lambda v: len(v) >= 1 and all(s >= 1 for s in v),
    'one or more sizes of at least 1',
  ),
  'conv_kernels': (lambda v: all(s >= 1 for s in v), 'sizes of at least 1'),
  'conv_strides': (lambda v: all(s in (1, 2) for s in v), 'strides of 1 or 2'),
  'matmul_dtype': (
    lambda v: v in ('float32', 'bfloat16'),
    "'float32' or 'bfloat16'",
  ),
  'moves_from': (
    lambda v: v in ('prior', 'class_mixture'),
    'prior or class_mixture',
  ),
  'activation': (
    lambda v: v in ('relu', 'silu', 'gelu', 'tanh'),
    'relu, silu, gelu or tanh',
  ),
  'pixel_noise': (lambda v: v >= 0, 'at least 0'),
  'weight': (lambda v: v >= 0, 'at least 0'),
  'more_distance_weights': (
    lambda v: all(w >= 0 for w in v) and len({f'{w:g}' for w in v}) == len(v),
    'a tuple of different weights of at least 0',
  ),
  'average_decay': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'critic_steps_per_actor_step': (lambda v: v >= 1, 'at least 1'),
  'actor_steps_per_critic_step': (lambda v: v >= 1, 'at least 1'),
  'critic_dropout': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'label_noise': (lambda v: 0 <= v < 0.5, 'in [0, .5)'),
  'label_smoothing': (lambda v: 0 <= v < 0.5, 'in [0, .5)'),
  'instance_noise': (lambda v: v >= 0, 'at least 0'),
  'discriminator_steps_per_generator_step': (lambda v: v >= 1, 'at least 1'),
  'max_steps': (lambda v: v >= 0, 'at least 0'),
  'realism_threshold': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'attribute_tolerance': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'learning_rate': (lambda v: v > 0, 'above 0'),
  'b1': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'b2': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'schedule': (
    lambda v: v in ('constant', 'cosine', 'log_linear'),
    'constant, cosine or log_linear',
  ),
  'num_steps': (lambda v: v >= 1, 'at least 1'),
  'rounds': (lambda v: v >= 0, 'at least 0'),
  'num_held_out': (lambda v: v >= 20, 'at least 20'),
  'precision': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'level': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'start_components': (lambda v: v >= 0, 'at least 0'),
  'batch_size': (lambda v: v >= 1, 'at least 1'),
  'steps_per_call': (lambda v: v >= 1, 'at least 1'),
  'every': (lambda v: v >= 1, 'at least 1'),
  'width': (lambda v: v >= 1, 'at least 1'),
  'blocks': (lambda v: v >= 0, 'at least 0'),
  'denoiser_components': (lambda v: v >= 1, 'at least 1'),
  'components': (
    lambda v: len(v) >= 1 and all(k >= 1 for k in v),
    'one or more numbers of at least 1, such as (10,)',
  ),
  'mixture_above': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'order': (lambda v: v in (1, 2), '1 or 2'),
  'spacing': (
    lambda v: v in ('uniform', 'quadratic', 'log_snr'),
    'uniform, quadratic or log_snr',
  ),
  'time_sampling': (
    lambda v: v in ('uniform', 'logit_normal'),
    'uniform or logit_normal',
  ),
  'narrow': (lambda v: all(0 < f <= 1 for f in v), 'factors in (0, 1]'),
  'guided': (
    lambda v: len(v) == 2 and 0 <= v[0] <= v[1] <= 1,
    'a lower and an upper noise time in [0, 1]',
  ),
  'eta': (lambda v: 0 <= v <= 1, 'in [0, 1]'),
  'share': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'edit_time': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'keep': (lambda v: v >= 1, 'at least 1'),
  'keep_every': (lambda v: v >= 0, 'at least 0'),
  'nonfinite': (lambda v: v in ('stop', 'skip'), "'stop' or 'skip'"),
  'num_rows': (lambda v: v >= 1, 'at least 1'),
  'num_columns': (lambda v: v >= 1, 'at least 1'),
  'grid_rows': (lambda v: v >= 1, 'at least 1'),
  'split': (lambda v: v in ('validation', 'test'), "'validation' or 'test'"),
  'num_samples': (lambda v: v >= 2, 'at least 2'),
  'num_neighbours': (lambda v: v >= 1, 'at least 1'),
  'clock_seconds': (lambda v: v >= 0, 'at least 0'),
  'feature_steps': (lambda v: v >= 1, 'at least 1'),
  'cas_steps': (lambda v: v >= 1, 'at least 1'),
  'quantile': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'curve_steps': (lambda v: all(s >= 0 for s in v), 'steps of at least 0'),
  'path_steps': (
    lambda v: len(v) >= 1 and all(s >= 0 for s in v),
    'one or more steps of at least 0',
  ),
  'num_images': (lambda v: v >= 2, 'at least 2'),
  'distance_weights': (
    lambda v: all(w >= 0 for w in v),
    'weights of at least 0',
  ),
  'tolerance': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'tries': (lambda v: v >= 1, 'at least 1'),
  'num_points': (lambda v: v >= 1, 'at least 1'),
  'start_time': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'start_times': (lambda v: all(0 < t <= 1 for t in v), 'times in (0, 1]'),
  'steps': (
    lambda v: all(s >= 1 for s in v),
    'a tuple of numbers of at least 1, such as (1, 4)',
  ),
  'least_satisfied': (lambda v: 0 <= v <= 1, 'in [0, 1]'),
  'actor_num_steps': (lambda v: v >= 0, 'at least 0'),
  'num_scored': (lambda v: v >= 1, 'at least 1'),
  'guidance_weights': (
    lambda v: len(v) > 0 and all(w >= 0 for w in v),
    'one or more weights of at least 0',
  ),
  'attribute_weights': (
    lambda v: len(v) >= 1 and all(w >= 0 for w in v),
    'one or more weights of at least 0',
  ),
  'backtrack_tolerance': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'backtrack_tolerances': (
    lambda v: all(0 < t <= 1 for t in v),
    'tolerances in (0, 1]',
  ),
  'attribute_tolerances': (
    lambda v: all(0 < t <= 1 for t in v),
    'tolerances in (0, 1]',
  ),
  'edit_times': (lambda v: all(0 < t <= 1 for t in v), 'times in (0, 1]'),
  'attribute_vectors': (
    lambda v: all(
      isinstance(bits, str) and not set(bits) - {'0', '1'} for bits in v
    ),
    "a tuple of strings of 0 and 1, such as ('0010', '0011')",
  ),
  'contour_points': (lambda v: v >= 2, 'at least 2'),
  'pair_samples': (lambda v: v >= 1, 'at least 1'),
  'known_share': (lambda v: 0 < v < 1, 'in (0, 1)'),
  'answers': (lambda v: v >= 2, 'at least 2'),
  'candidates': (lambda v: v >= 1, 'at least 1'),
  'error_goal': (lambda v: v > 0, 'above 0'),
}


def flatten(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The leaves of a config, by dotted key."""
  return keys.flatten(config.to_dict())


# Element types of the tuples that are empty by default.
_ELEMENTS = {
  'alternatives': str,
  'compare.rows': str,
  'data.attributes': str,
  'classifier.head_sizes': int,
  'second_classifier.head_sizes': int,
  'labeller.head_sizes': int,
  'actor_critic.more_distance_weights': float,
  'figures.attribute_vectors': str,
  'figures.edit_sequence': str,
}
_KINDS = {int: 'whole numbers', float: 'numbers', str: 'names'}
# NumPy, scikit-learn and JAX take 32-bit seeds; JAX silently drops higher bits.
MOST_SEED = 2**32 - 1


def check_key(key: str, known: Sequence[str]) -> None:
  """Raises UserError unless a dotted key can be set.

  Args:
    key: as in a flag or an ablation, without `config`.
    known: every leaf of the config.
  """
  section, _, last = key.rpartition('.')
  if key.partition('.')[0] in OPEN and key not in known:
    raise errors.UserError(
      f'config.{key} cannot be set by itself: set the complete entry in a '
      'config file or an ablation, as in config.movers.short = '
      "{'kind': 'backtrack', 'of': 'actor'}"
    )
  # Some `arguments` are arbitrary dicts, so they are not in `known`.
  if key in known or (last == 'arguments' and _has_arguments(section, known)):
    return
  inside = [one for one in known if one.startswith(f'{key}.')]
  if inside:
    raise errors.UserError(
      f'config.{key} is a section and takes no value: set a key in it, such as '
      f'config.{inside[0]}'
    )
  new = keys.renamed(key)
  if new is not None:
    raise errors.UserError(f'config.{key} is now config.{new}')
  section, dot, name = key.partition('.arguments.')
  if dot and _has_arguments(section, known):
    raise errors.UserError(
      f'config.{key} cannot be set by itself: set all arguments at once, as in '
      f'config.{section}.arguments={{"{name}": VALUE}}'
    )
  raise errors.UserError(
    f'config.{key} does not exist: {errors.nearest(key, known)}'
  )


def _has_arguments(section: str, known: Sequence[str]) -> bool:
  """Whether a section has arbitrary `arguments`, which are not in `known`."""
  return section in _WITH_ARGUMENTS or f'{section}.learning_rate' in known


def _check_entry(key: str, config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless an open section holds what it is for.

  That is dicts of settings; of `wants`, texts.
  """
  section, _, rest = key.partition('.')
  name = rest.partition('.')[0]
  if section == 'wants':
    if not isinstance(config[section][name], str):
      raise errors.UserError(
        f'config.{key} is not a text: give a composition such as '
        "config.wants.mine = 'all(attributes, not(mine))'"
      )
    return
  if 'kind' not in (config[section].to_dict().get(name) or {}):
    raise errors.UserError(
      f"config.{section}.{name} has no 'kind': give a dict such as "
      "{'kind': 'my_file:NAME'}"
    )


def check_keys(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless a config has exactly the keys of `get_config`."""
  found, known = flatten(config), flatten(get_config())
  for key in found:
    if key.partition('.')[0] in OPEN:
      _check_entry(key, config)
    elif '.arguments.' not in key:  # optax defines those, not `get_config`
      check_key(key, list(known))
  for key in known:
    if key not in found:
      raise errors.UserError(
        f'config.{key} is missing: a config file begins with '
        'config = base.get_config()'
      )


def _check_type(key: str, value: Any, default: Any) -> None:
  """Raises UserError if a value, or an element of a tuple, has a wrong type.

  ml_collections does not check the elements of tuples.
  """
  kind = type(default)
  elements = value if isinstance(value, tuple) else (value,)
  if kind is tuple:
    kind = type(default[0]) if default else _ELEMENTS[key]
  for one in elements:
    fits = type(one) is kind or (kind is float and type(one) is int)
    if not fits and kind in _KINDS:
      many = isinstance(value, tuple)
      wanted = f'a tuple of {_KINDS[kind]}' if many else f'of {kind.__name__}'
      if many and kind is str:  # a name that is a number
        wanted += f', in quotes as in ({str(one)!r},)'
      raise errors.UserError(f'config.{key}={value!r} must be {wanted}')
    if isinstance(one, float) and not math.isfinite(one):
      raise errors.UserError(f'config.{key}={value!r} must be finite')
    if isinstance(one, str) and '\0' in one:
      raise errors.UserError(
        f'config.{key}={value!r} contains a NUL character: remove it'
      )
    if isinstance(one, str) and not one.isascii():
      try:
        one.encode()
      except UnicodeEncodeError as error:  # reports could not be written
        raise errors.UserError(
          f'config.{key}={value!r} is not valid UTF-8: rename the folder or '
          'attribute'
        ) from error


def validate(config: ml_collections.ConfigDict) -> None:
  """Raises UserError that names the first wrong key and its value."""
  check_keys(config)
  defaults = flatten(get_config())
  for key, value in flatten(config).items():
    if key in defaults:
      _check_type(key, value, defaults[key])
    last = key.rsplit('.', 1)[-1]
    suffixes = [s for s in RANGES if last == s or last.endswith(f'_{s}')]
    if not suffixes or key.startswith(('generator.arguments.', 'wants.')):
      continue
    test, meaning = RANGES[max(suffixes, key=len)]  # the most specific entry
    try:
      fits = test(value)
    except TypeError:  # only in OPEN, whose types nothing else knows
      fits = False
    if not fits:
      raise errors.UserError(
        f'config.{key}={value!r} is out of range: it must be {meaning}'
      )
  if config.generator.kind not in KINDS:
    raise errors.UserError(
      f'config.generator.kind={config.generator.kind!r} is no kind of '
      f'model: {errors.nearest(config.generator.kind, KINDS)}'
    )
  for name in config.alternatives:
    if name not in ALTERNATIVES:
      raise errors.UserError(
        f'config.alternatives={tuple(config.alternatives)}: {name!r} is no row '
        f'of another model: {errors.nearest(name, ALTERNATIVES)}'
      )
  if 'two_stage' in config.alternatives and config.generator.kind != 'vae':
    raise errors.UserError(
      "config.alternatives: 'two_stage' draws latents of the VAE, but "
      f"config.generator.kind={config.generator.kind!r}: set it to 'vae'"
    )
  external = config.generator.kind == 'external'
  if external != bool(config.generator.module):
    raise errors.UserError(
      f'config.generator.module={config.generator.module!r} with '
      f'config.generator.kind={config.generator.kind!r}: '
      + ("give 'my_file:load'" if external else "set kind to 'external'")
    )
  for key, further in (
    ('num_seeds', config.num_seeds - 1),
    ('classifier.seed', config.classifier.seed),
    ('second_classifier.seed', config.second_classifier.seed),
    # Draws of other models' priors are not labelled.
    (
      'labeller.seed',
      config.labeller.seed * (config.generator.kind in ('external', 'gan')),
    ),
  ):
    last_seed = config.seed + further
    if last_seed > MOST_SEED:
      raise errors.UserError(
        f'config.seed={config.seed} with config.{key}='
        f'{flatten(config)[key]} needs seeds up to {last_seed}: the last seed '
        f'must be at most {MOST_SEED}'
      )


def ablate(
  config: ml_collections.ConfigDict,
  ablations: Mapping[str, Mapping[str, Any]],
  name: str,
) -> ml_collections.ConfigDict:
  """Applies one ablation: a mapping of dotted keys to values.

  Args:
    config: of the experiment; changed in place.
    ablations: changes by ablation name.
    name: of the ablation to apply.

  Returns:
    The config.

  Raises:
    UserError: there is no such ablation, or it sets an unknown key or a value
      of the wrong type.
  """
  if name not in ablations:
    raise errors.UserError(
      f'{name!r} is not an ablation of this config: '
      f'{errors.nearest(name, list(ablations))}'
    )
  known = list(flatten(config))
  for key, value in ablations[name].items():
    try:
      *path, last = key.split('.')
      if key.partition('.')[0] not in OPEN or len(path) != 1:
        check_key(key, known)
      section = functools.reduce(lambda part, name: part[name], path, config)
      section[last] = value
    except errors.UserError as error:
      raise errors.UserError(f'ablation {name!r}: {error}') from error
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        f'ablation {name!r}: config.{key}={value!r} has the wrong type: {error}'
      ) from error
  return config
