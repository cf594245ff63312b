"""What is no optimiser is refused before any training."""

import optax
import pytest
from etils import epath

from configs import base
from lcjax import errors
from lcjax.experiment import build, jobs, optimizers

KEYS = (
  'vae.optimizer',
  'classifier.optimizer',
  'second_classifier.optimizer',
  'labeller.optimizer',
  'invert.optimizer',
  'inpaint.optimizer',
  'actor_critic.actor_optimizer',
  'actor_critic.critic_optimizer',
  'latent_critics.inner.optimizer',
  'latent_critics.attribute_optimizer',
  'latent_critics.realism_optimizer',
  'optimize.optimizer',
  'edit.optimize.optimizer',
  'denoiser.velocity_optimizer',
  'denoiser.attribute_optimizer',
  'two_stage.optimizer',
  'aae.optimizer',
  'aae.critic_optimizer',
  'gan.generator_optimizer',
  'gan.discriminator_optimizer',
  'conditional_vae.optimizer',
  'conditional_gan.generator_optimizer',
  'conditional_gan.discriminator_optimizer',
)


def with_optimizer(key, **changes):
  config = base.get_config()
  changes = {f'{key}.{name}': value for name, value in changes.items()}
  return base.ablate(config, {'a': changes}, 'a')


@pytest.mark.parametrize('key', KEYS)
def test_every_section_is_checked_before_data_are_read(key, tmp_path):
  assert f'{key}.learning_rate' in base.flatten(base.get_config())
  config = with_optimizer(key, name='lbfgs')
  config.data.name = 'no such data'
  job = jobs.Job(config, epath.Path(tmp_path))
  with pytest.raises(errors.UserError, match=f"config.{key}.name='lbfgs' cann"):
    build.load_data(job, 'train')


def test_there_are_no_other_sections():
  keys = base.flatten(base.get_config())
  found = [k.removesuffix('.learning_rate') for k in keys]
  assert sorted(set(found) - set(keys)) == sorted(KEYS)


@pytest.mark.parametrize(
  'name',
  [
    'clip', 'chain', 'lookahead', 'global_norm', 'adaptive_grad_clip',
    'apply_updates', 'scale_by_rprop', 'scale_by_learning_rate', 'identity',
    'cosine_decay_schedule', 'ScaleByZoomLinesearchState', 'Schedule', 'losses',
    'polyak_sgd', 'adm', '', '__name__',
  ],
)  # fmt: skip
def test_other_names_of_optax_are_no_optimisers(name):
  config = with_optimizer('vae.optimizer', name=name)
  said = rf"vae.optimizer.name='{name}' is not an optax optimiser: (did|there)"
  with pytest.raises(errors.UserError, match=said):
    build.check_optimizers(config)


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    (
      {'arguments': {'epsilon': 1.0}},
      "{.*'epsilon': 1.0} is not valid for optax.ad",
    ),
    ({'arguments': {'eps': 'few'}}, "with arguments={'eps': 'few'} cannot"),
  ],
)
def test_arguments_that_do_not_fit(changes, said):
  with pytest.raises(errors.UserError, match=said) as caught:
    build.check_optimizers(with_optimizer('vae.optimizer', **changes))
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('schedule', ['constant', 'cosine', 'log_linear'])
@pytest.mark.parametrize(
  'name',
  [
    'adabelief', 'adadelta', 'adafactor', 'adagrad', 'adam', 'adamax',
    'adamaxw', 'adamw', 'adan', 'amsgrad', 'fromage', 'lamb', 'lars', 'lion',
    'nadam', 'nadamw', 'novograd', 'optimistic_gradient_descent', 'radam',
    'rmsprop', 'sgd', 'sign_sgd', 'signum', 'yogi',
  ],
)  # fmt: skip
def test_optimisers_pass(name, schedule):
  config = with_optimizer('vae.optimizer', name=name, schedule=schedule)
  build.check_optimizers(config)


def test_an_optimiser_that_needs_more_arguments_takes_them():
  build.check_optimizers(
    with_optimizer(
      'vae.optimizer',
      name='optimistic_adam',
      schedule='constant',
      arguments={'optimism': 0.1},
    )
  )


def test_names_that_are_near_are_offered():
  with pytest.raises(errors.UserError, match=r'did you mean adamw\?'):
    optimizers.find('adammw', 'vae.optimizer')
  assert optimizers.find('sgd', 'vae.optimizer') is optax.sgd


def test_private_names_are_not_offered():
  with pytest.raises(errors.UserError, match='there are adabelief'):
    optimizers.find('chain', 'vae.optimizer')
