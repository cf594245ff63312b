r"""Adversarial trainings that fail, and their remedies: digits, small networks.

python -m launch.ablate --config=configs/instabilities.py \
  --workdir=runs/instabilities --stages=vae,actor_critic --ablations=\
healthy,collapse,critic_dominates,mover_dominates

A failure is an ablation, NAME_REMEDY the same with one remedy more. See
docs/instabilities.md for what came of each.
"""

from typing import Any

import ml_collections

from configs import base, digits

_STAGE = 'actor_critic'

# Nothing holds the actor back: large steps with momentum, no distance penalty
# and no gradient penalty.
_COLLAPSE = {
  'distance_weight': 0.0,
  'gradient_penalty_weight': 0.0,
  'actor_optimizer.learning_rate': 1e-2,
  'actor_optimizer.b1': 0.9,
  'critic_optimizer.b1': 0.9,
}
# A critic that is free to be certain, and is trained 20 times as often.
_CRITIC = {
  'gradient_penalty_weight': 0.0,
  'critic_steps_per_actor_step': 20,
}
# A critic of two hidden units.
_MOVER = {'critic_hidden_sizes': (2,)}
# One that learns too rarely.
_RESTS = {'actor_steps_per_critic_step': 20}
# A linear critic and its actor chase each other: momentum, no penalty, and no
# average that would hide it.
_CHASE = {
  'divergence': 'pairing',
  'gradient_penalty_weight': 0.0,
  'distance_weight': 0.0,
  'average_decay': 0.0,
  'critic_hidden_sizes': (),
  'actor_optimizer.learning_rate': 3e-4,
  'actor_optimizer.b1': 0.9,
  'critic_optimizer.b1': 0.9,
}

_FAILURES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
  'collapse': (
    _COLLAPSE,
    {
      'distance': {'distance_weight': 0.1},
      'ratio': {'critic_steps_per_actor_step': 5},
      'label_noise': {'label_noise': 0.2},
      'instance_noise': {'instance_noise': 0.5},
    },
  ),
  'critic_dominates': (
    _CRITIC,
    {
      'ratio': {'critic_steps_per_actor_step': 1},
      'dropout': {'critic_dropout': 0.5},
      'label_noise': {'label_noise': 0.2},
      'label_smoothing': {'label_smoothing': 0.2},
      'instance_noise': {'instance_noise': 1.0},
      'small_critic': {'critic_hidden_sizes': (8,)},
    },
  ),
  'mover_dominates': (
    _MOVER,
    {
      'ratio': {'critic_steps_per_actor_step': 5},
      'large_critic': {'critic_hidden_sizes': (64, 64)},
      'label_size': {'label_size': 64},
      'distance': {'distance_weight': 1.0},
    },
  ),
  'critic_rests': (
    _RESTS,
    {
      'ratio': {'actor_steps_per_critic_step': 1},
      'distance': {'distance_weight': 1.0},
    },
  ),
  'oscillation': (
    _CHASE,
    {
      'rates': {
        'actor_optimizer.learning_rate': 3e-5,
        'critic_optimizer.learning_rate': 1e-4,
      },
      'momentum': {'actor_optimizer.b1': 0.0, 'critic_optimizer.b1': 0.0},
      'penalties': {'r1_weight': 0.1, 'r2_weight': 0.1},
      'average': {'average_decay': 0.998},
      'distance': {'distance_weight': 0.1},
      'large_critic': {'critic_hidden_sizes': (64, 64)},
    },
  ),
}


def _ablations() -> dict[str, dict[str, Any]]:
  found: dict[str, dict[str, Any]] = {'healthy': {}}
  for failure, (changes, remedies) in _FAILURES.items():
    found[failure] = changes
    for remedy, more in remedies.items():
      found[f'{failure}_{remedy}'] = changes | more
  return {
    name: {f'{_STAGE}.{key}': value for key, value in changes.items()}
    for name, changes in found.items()
  }


ABLATIONS = _ablations()


def get_config(ablation: str = 'healthy') -> ml_collections.ConfigDict:
  """The digits experiment, smaller, with one ablation applied."""
  config = digits.get_config()
  config.vae.train.num_steps = 2000
  stage = config.actor_critic
  stage.actor_hidden_sizes = (64, 64)
  stage.critic_hidden_sizes = (64, 64)
  stage.label_size = 16
  stage.train.batch_size = 64
  stage.train.num_steps = 2000
  stage.train.evaluate_every = 50
  return base.ablate(config, ABLATIONS, ablation)
