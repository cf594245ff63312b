"""Settings shared by the published experiments, as differences from `base`.

Sizes and schedules are those of the code of Engel, Hoffman & Roberts,
arXiv:1711.05772. They need an accelerator: a CPU would take weeks. Settings
without a counterpart there (the denoiser, the training length of D_attr and
D_realism) are guesses.
"""

from typing import Any

_ADAM = {'learning_rate': 1e-4, 'b1': 0.0, 'b2': 0.9}
_SIZES = (2048, 2048, 2048, 2048)


def _long(stage: str, num_steps: int, batch_size: int) -> dict[str, Any]:
  return {
    f'{stage}.train.num_steps': num_steps,
    f'{stage}.train.batch_size': batch_size,
    f'{stage}.train.steps_per_call': 50,  # also for convolutions: not on CPU
    f'{stage}.train.log_every': 500,
    f'{stage}.train.evaluate_every': 5000,
    f'{stage}.train.checkpoint_every': 5000,
  }


def _optimizers(stage: str, *names: str) -> dict[str, Any]:
  return {
    f'{stage}.{name}_optimizer.{key}': value
    for name in names
    for key, value in _ADAM.items()
  }


def shared(vae_batch_size: int) -> dict[str, Any]:
  """Dotted keys and values that MNIST and CelebA share."""
  return {
    'vae.matmul_dtype': 'bfloat16',
    'vae.optimizer.learning_rate': 3e-4,
    'vae.optimizer.final_learning_rate': 1e-6,
    'vae.optimizer.schedule': 'log_linear',
    **_long('vae', 200_000, vae_batch_size),
    'classifier.matmul_dtype': 'bfloat16',
    'classifier.optimizer.learning_rate': 3e-4,
    **_long('classifier', 20_000, 256),
    'second_classifier.matmul_dtype': 'bfloat16',
    'second_classifier.optimizer.learning_rate': 3e-4,
    **_long('second_classifier', 10_000, 256),
    'actor_critic.actor_hidden_sizes': _SIZES,
    'actor_critic.critic_hidden_sizes': _SIZES,
    'actor_critic.label_size': 2048,
    'actor_critic.activation': 'relu',
    # In the authors' code, one step in ten has raw prior rows as fakes.
    'actor_critic.moved_weight': 0.9,
    'actor_critic.prior_weight': 0.1,
    'actor_critic.mismatched_weight': 1.0,
    'actor_critic.gradient_penalty_weight': 10.0,
    'actor_critic.distance_weight': 0.0,
    'actor_critic.more_distance_weights': (0.1,),
    'actor_critic.critic_steps_per_actor_step': 10,
    'actor_critic.average_decay': 0.0,
    **_optimizers('actor_critic', 'actor', 'critic'),
    **_long('actor_critic', 200_000, 128),
    'latent_critics.hidden_sizes': _SIZES,
    'latent_critics.activation': 'relu',
    **_optimizers('latent_critics', 'attribute', 'realism'),
    **_long('latent_critics', 50_000, 128),
    'denoiser.width': 2048,
    **_long('denoiser', 50_000, 256),
  }
