"""Every config and ablation is valid and trains for two steps."""

import importlib
import pathlib
import re

import ml_collections
import numpy as np
import pytest
from etils import epath

from configs import base, critics
from lcjax import errors
from lcjax.experiment import (
  jobs,
  trainers,
)
from lcjax.experiment import stage as stages
from lcjax.training import metrics_log
from tests.data import fake_celeba, test_idx

JUDGES = 'classifier', 'second_classifier'
ROOT = pathlib.Path(__file__).parent.parent
STAGES = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip
EXPERIMENTS = sorted(
  p.stem
  for p in (ROOT / 'configs').glob('*.py')
  if p.stem not in ('__init__', 'base', 'critics', 'published')
)
CASES = [
  (name, ablation)
  for name in EXPERIMENTS
  for ablation in importlib.import_module(f'configs.{name}').ABLATIONS
]
# Other models, of which the sizes alone differ between experiments.
ALIKE = 'two_stage', 'aae_mmd', 'aae_uniform', 'aae_mixture'
# Of those in `configs.critics`, the only one that is trained here.
REVERSE_KL = 'digits', 'reverse_kl'


def shortened(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  for name in (*STAGES, *base.ALTERNATIVES, 'labeller'):
    if 'train' not in config.get(name, {}):
      continue  # an alternative of another section, or of none
    config[name].train.num_steps = 2
    config[name].train.steps_per_call = 1
    config[name].train.log_every = 1
    config[name].train.batch_size = 8
  config.mixture.num_components = (1,)
  config.mixture.unlabelled_components = (1,)
  config.mixture.denoiser_components = 1
  config.compare.update(clock_seconds=0.0, feature_steps=1, cas_steps=1)
  return config


def fake_digits(folder):
  """Writes IDX files of noise, of MNIST's shape."""
  rng = np.random.default_rng(0)
  for official, num_rows in (('train', 400), ('t10k', 100)):
    images = rng.integers(0, 256, (num_rows, 28, 28), np.uint8)
    labels = (np.arange(num_rows) % 10).astype(np.uint8)
    test_idx.write(folder, images, labels, official)


@pytest.fixture(scope='module')
def shared(tmp_path_factory, one_device):
  """A workdir per experiment, so that ablations reuse unchanged trainings."""
  return {name: tmp_path_factory.mktemp(name) for name in EXPERIMENTS}


@pytest.mark.parametrize(('name', 'ablation'), CASES)
def test_trains_two_steps(name, ablation, shared):
  module = importlib.import_module(f'configs.{name}')
  config = module.get_config(ablation)
  base.validate(config)
  if ablation == 'paper':
    pytest.skip('published sizes: see tests/models/test_published_sizes.py')
  if name == 'instabilities' and ablation != 'healthy':
    # A remedy may undo the failure, which makes it healthy.
    failures = [one for one in module.ABLATIONS if f'{one}_' in ablation]
    before = module.get_config(*failures[:1])
    assert config.actor_critic.to_dict() != before.actor_critic.to_dict()
    pytest.skip('as digits, with other numbers')
  if ablation in critics.NAMES and (name, ablation) != REVERSE_KL:
    assert config.actor_critic.divergence == ablation
    pytest.skip('trains alike: see tests/constraints/test_divergences.py')
  if name != 'digits' and ablation in ALIKE:
    assert config.generator.kind in ablation
    pytest.skip('as of digits')
  config = shortened(config)
  if config.data.name == 'celeba':
    config.data.dir = str(shared[name])
    fake_celeba.write(shared[name])
  elif config.data.name != 'digits':
    config.data.dir = str(shared[name])
    fake_digits(shared[name])
  tmp_path = shared[name]
  job = jobs.Job(config, epath.Path(tmp_path), overwrite=True)
  if config.generator.kind == 'gan':
    # Two steps draw no digits, so no latents are labelled: see test_gan.py.
    trainers.train_all(job, 'gan', 'labeller')
    trained = 'gan', 'labeller'
  else:
    model = [one.section for one in stages.MODELS[config.generator.kind]]
    latent = 'latent_critics', 'actor_critic', 'denoiser'
    trained = *model, *JUDGES, *latent, *config.alternatives
    trainers.train_all(job, *JUDGES, *model)
    trainers.train_all(job, *latent, *config.alternatives)
  for stage in trained:
    steps = [r['step'] for r in metrics_log.read(tmp_path / stage)]
    assert steps == [1, 2, 2], stage  # two training lines, one validation


def test_convolutions_train_two_steps(tmp_path, one_device):
  config = shortened(base.get_config())
  for section in (config.vae, config.classifier):
    section.update(
      architecture='conv', conv_channels=(4, 6), conv_kernels=(5, 4)
    )
    section.matmul_dtype = 'bfloat16'
  config.classifier.conv_strides = (2, 1)
  base.validate(config)
  job = jobs.Job(config, epath.Path(tmp_path))
  trainers.train_all(job, 'classifier', 'second_classifier')
  trainers.train_all(job, 'vae')
  trainers.train_all(job, 'latent_critics', 'actor_critic')
  trainers.train_all(job, 'denoiser')
  for stage in STAGES:
    steps = [r['step'] for r in metrics_log.read(tmp_path / stage)]
    assert steps == [1, 2, 2], stage


def test_every_key_is_read():
  """Every config key is named somewhere in the code."""
  sources = '\n'.join(
    path.read_text()
    for folder in ('launch', 'lcjax')
    for path in (ROOT / folder).rglob('*.py')
  )
  unread = [
    key
    for key in base.flatten(base.get_config())
    # optax reads the keys of `arguments`.
    if '.arguments.' not in key
    and not re.search(rf'\b{key.rsplit(".", 1)[-1]}\b', sources)
  ]
  assert not unread


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('vae.sigma_x', 0.0),
    ('actor_critic.distance_weight', -1.0),
    ('actor_critic.more_distance_weights', (0.1, -1.0)),
    ('actor_critic.more_distance_weights', (0.1, 0.1)),
    ('vae.hidden_sizes', (256, 0)),
    ('vae.activation', 'step'),
    ('vae.architecture', 'transformer'),
    ('vae.matmul_dtype', 'float16'),
    ('vae.conv_channels', ()),
    ('vae.conv_kernels', (5, 0, 3, 3)),
    ('classifier.conv_strides', (2, 3, 2, 2)),
    ('actor_critic.average_decay', 1.0),
    ('actor_critic.critic_steps_per_actor_step', 0),
    ('optimize.attribute_tolerance', 0.0),
    ('optimize.optimizer.schedule', 'linear'),
    ('latent_critics.train.batch_size', 0),
    ('compare.split', 'train'),
    ('num_seeds', 0),
    ('parallel', 'xmap'),
  ],
)
def test_out_of_range(key, value):
  config = base.get_config()
  *path, last = key.split('.')
  section = config
  for part in path:
    section = section[part]
  section[last] = value
  with pytest.raises(errors.UserError, match=f'config.{key}='):
    base.validate(config)


@pytest.mark.parametrize('judge', ['classifier', 'second_classifier'])
def test_a_seed_of_a_judge_that_is_too_large(judge):
  config = base.get_config()
  config.seed, config[judge].seed = base.MOST_SEED - 1, 1
  base.validate(config)
  config[judge].seed = 2
  with pytest.raises(errors.UserError, match=f'config.{judge}.seed=2 needs'):
    base.validate(config)


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_two_judges_have_nothing_in_common(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  first, second = config.classifier, config.second_classifier
  assert first.seed != second.seed
  assert (
    first.architecture != second.architecture
    or first.conv_channels != second.conv_channels
  )


def test_a_path_that_no_report_could_name():
  config = base.get_config()
  config.data.dir = 'données'
  base.validate(config)
  config.data.dir = 'data\udcff'
  with pytest.raises(errors.UserError, match=r'config\.data\.dir=.*UTF-8'):
    base.validate(config)


def test_ablate_names_the_nearest():
  ablations = {'default': {}, 'typo': {'vae.sigmax': 1.0}}
  with pytest.raises(errors.UserError, match='did you mean default'):
    base.ablate(base.get_config(), ablations, 'defalt')
  with pytest.raises(errors.UserError, match=r'did you mean vae\.sigma_x'):
    base.ablate(base.get_config(), ablations, 'typo')


def test_ablate_changes_only_what_it_names():
  ablations = {'wide': {'vae.sigma_x': 1.0}}
  before = base.flatten(base.get_config())
  after = base.flatten(base.ablate(base.get_config(), ablations, 'wide'))
  assert {k for k in before if before[k] != after[k]} == {'vae.sigma_x'}
