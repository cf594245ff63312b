"""scikit-learn's 8x8 digits: the whole experiment in minutes on a CPU.

python -m launch.pipeline --config=configs/digits.py --workdir=runs/digits
"""

from typing import Any

import ml_collections

from configs import base, critics


def _rule(rule: str, **arguments: float) -> dict[str, Any]:
  return {'kind': 'rule', 'rule': rule, 'arguments': arguments}


ABLATIONS: dict[str, dict[str, Any]] = {
  'default': {},
  'no_distance': {'actor_critic.distance_weight': 0.0},
  'no_encodings': {'actor_critic.actor_on_encodings': False},
  'no_gradient_penalty': {'actor_critic.gradient_penalty_weight': 0.0},
  'no_average': {
    'actor_critic.average_decay': 0.0,
    'latent_critics.average_decay': 0.0,
  },
  # The authors' critic: real, fake and mismatched rows have equal weights, and
  # there are ten critic steps per actor step.
  'authors_critic': {
    'actor_critic.moved_weight': 0.9,
    'actor_critic.prior_weight': 0.1,
    'actor_critic.mismatched_weight': 1.0,
    'actor_critic.critic_steps_per_actor_step': 10,
    'actor_critic.train.num_steps': 20_000,
  },
  # The denoiser's networks at every noise level.
  'no_mixture_denoiser': {
    'denoise.mixture_above': 1.0,
  },
  # A further row: the actor's moves, backtracked while D_attr agrees.
  'backtracked': {
    'movers.actor_short': {'kind': 'backtrack', 'of': 'actor'},
  },
  # A rule without labels beside the requested class: much ink.
  'bold': {
    'constraints.bold': _rule('ink', low=0.36, softness=0.04) | {'weight': 3.0},
  },
  # Rules without labels, side by side, learned beside a run of the default.
  'rules': {
    'constraints.bold': _rule('ink', low=0.36, softness=0.04),
    'constraints.hole': _rule('holes', low=1, softness=0.2),
    'constraints.slanted': _rule('slant', low=0.15, softness=0.15),
    'want': 'all(realism, attributes)',  # the rules are those of `wants`
    'wants.bold': 'bold',
    'wants.hole': 'hole',
    'wants.slanted': 'slanted',
    'wants.bold_digit': 'all(bold, attributes)',
    'wants.no_hole_and_digit': 'all(not(hole), attributes)',
    'wants.bold_or_slanted': 'any(bold, slanted)',
    'compare_wants.num_samples': 2000,
    'compare_wants.actor_num_steps': 1500,
  },
  # Beside the default's rows: other answers than a constrained VAE, each
  # trained for its row, those with 'conditional' with labels.
  'alternatives': {
    'alternatives': (
      'two_stage',
      'aae',
      'gan',
      'conditional_vae',
      'conditional_gan',
    ),
  },
  # What both critics estimate, by name: hinge, pairing, ...
  # On the validation split, one seed, the actor's accuracy is .78 with .5, .98
  # with .1 and .99 with .02.
  **critics.ablations(gamma=0.02),
  # A GAN as the model: no encoder, so draws of its prior are what is learned
  # from, and the labeller says what they are.
  'gan': {'generator.kind': 'gan'},
  # An adversarial autoencoder as the model, and its twin without a critic.
  'aae': {'generator.kind': 'aae'},
  'aae_mmd': {'generator.kind': 'aae', 'aae.divergence': 'mmd'},
  'aae_uniform': {'generator.kind': 'aae', 'aae.prior': 'uniform'},
  'aae_mixture': {'generator.kind': 'aae', 'aae.prior': 'mixture'},
  # Constraints on a second VAE, of the latents of the first.
  'two_stage': {'generator.kind': 'two_stage'},
  # Other judges of the same samples: how far scores depend on the judge.
  'judge_2': {'classifier.seed': 2},
  'judge_3': {'classifier.seed': 3},
  # The realism critic is never trained on optimizer-G's results.
  'no_inner_loop': {
    'latent_critics.inner.max_steps': 0,
    'latent_critics.prior_weight': 1.0,
  },
}


def get_config(ablation: str = 'default') -> ml_collections.ConfigDict:
  """The experiment with one ablation applied."""
  config = base.get_config()
  config.data.name = 'digits'

  config.classifier.hidden_sizes = (256, 256, 256)
  config.classifier.pixel_noise = 0.2
  config.second_classifier.head_sizes = (64,)
  config.second_classifier.pixel_noise = 0.2

  stage = config.actor_critic
  stage.prior_weight = 0.0
  stage.mismatched_weight = 0.1
  stage.gradient_penalty_weight = 0.1
  # With encodings in its loss, a distance penalty makes samples more varied:
  # on the validation split, diversity is .72 with .01 and .84 with .1.
  stage.distance_weight = 0.1
  # Low momentum (the authors use none): momentum makes samples less varied.
  stage.actor_optimizer.b1 = 0.5
  stage.critic_optimizer.b1 = 0.5
  stage.train.num_steps = 2000
  stage.train.evaluate_every = 250  # enough to tell the training's state

  config.denoiser.width = 128
  config.denoiser.num_blocks = 2
  config.denoiser.attribute_width = 128
  config.denoiser.time_sampling = 'logit_normal'
  config.denoiser.train.num_steps = 5000

  # Weak guidance keeps samples varied.
  stage = config.denoise
  stage.num_steps = 50
  stage.eta = 0.0
  stage.attribute_weight = 2.0
  stage.mixture_above = 0.4
  stage.mixture_attribute_weight = 0.85

  config.latent_critics.inner.max_steps = 10
  config.latent_critics.train.num_steps = 1000

  # The inner loop gets the mover's settings, so that the critics see its moves.
  for section in (config.latent_critics.inner, config.optimize):
    section.attribute_weight = 30.0
    section.attribute_tolerance = 0.001  # stop only at high confidence
    section.realism_threshold = 0.5

  # Classes are further apart than attributes of a face: take more and larger
  # steps and stop later. The distance penalty limits needless moves.
  config.edit.optimize.attribute_weight = 30.0
  config.edit.optimize.distance_weight = 0.1
  config.edit.optimize.attribute_tolerance = 1e-6
  config.edit.optimize.max_steps = 1000
  config.edit.optimize.optimizer.learning_rate = 0.1
  config.edit.distance_weights = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
  # On the validation split, 2,000 samples of the prior have a Frechet distance
  # of .014 after 3,000 steps, with this divergence or 'pairing' (one seed). The
  # conditional VAE has .020 and a diversity of .64, with a Bernoulli likelihood
  # .029 and .39. The conditional GAN's joint_frechet does not improve any more
  # after 7,000 of its 10,000 steps.
  config.gan.r2_weight = 1.0
  config.gan.train.num_steps = 4000
  return base.ablate(config, ABLATIONS, ablation)
