"""Rows of models that are trained for them, with labels and without."""

import contextlib
import functools
import json

import jax
import numpy as np
import pytest
from etils import epath

from configs import digits
from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import metrics
from lcjax.experiment import (
  alternatives,
  figures,
  fingerprint,
  jobs,
  loaded_run,
  movers,
  new_attribute,
  second_stage_figure,
  stage,
  train_conditional_vae,
  train_gan,
  trainers,
  training_parts,
)
from lcjax.training import checkpoints, parallel
from tests.launch import in_process, launchers
from tests.launch.test_pipeline import TINY

NAMES = 'conditional_vae', 'conditional_gan'
UNLABELLED = 'two_stage', 'aae', 'gan'
FLAGS = [
  *(flag for flag in TINY if 'more_distance_weights' not in flag),
  f'--config.alternatives={(*NAMES, *UNLABELLED)}',
  # No others than the tests read.
  f'--config.compare.rows={(*NAMES, *UNLABELLED, "actor", "mixture")}',
  *(f'--config.{name}.latent_size=4' for name in (*NAMES, *UNLABELLED[1:])),
  '--config.aae.critic_hidden_sizes=(16,)',
  *(
    f'--config.{name}.{key}'
    for name in (*NAMES, *UNLABELLED)
    for key in (
      'hidden_sizes=(16,)',
      'train.num_steps=20',
      'train.steps_per_call=10',
      'train.log_every=10',
      'train.evaluate_every=10',
    )
  ),
  '--config.walk.steps=()',
  '--config.retry.tries=1',
]


def toy(num_rows):
  """2x2 images: bright on the left with label a, on the right with label b."""
  rng = np.random.default_rng(num_rows)
  y = np.eye(2, dtype=np.float32)[np.arange(num_rows) % 2]
  level = rng.integers(180, 250, (num_rows, 1, 1))
  images = np.where(y[:, None, :] > 0.5, level, 255 - level)
  images = np.repeat(images, 2, axis=1)[..., None]
  return dataset.Dataset(
    images.astype(np.uint8), y, types.Classes(('left', 'right'))
  )


def toy_config(**changes):
  config = digits.get_config()
  for name in NAMES:
    config[name].update(latent_size=2, hidden_sizes=(32,), label_size=4)
    config[name].train.update(num_steps=400, steps_per_call=50, batch_size=32)
  config.conditional_vae.optimizer.learning_rate = 5e-3
  config.conditional_gan.discriminator_optimizer.learning_rate = 5e-3
  config.conditional_gan.r1_weight = 0.1
  config.update_from_flattened_dict(changes)
  return config


def trained(make, config, section):
  """The last state of a training without files."""
  data = toy(200)
  parts = make(config, data, toy(60), 0)
  step = parallel.compile_step(
    lambda axis: parts.make_step(config, parts.constants, axis), 'jit', False
  )
  schedule = config[section].train
  state = parts.make_state()
  for first in range(0, schedule.num_steps, schedule.steps_per_call):
    state, _ = step(
      state, parts.make_batches(first, schedule.steps_per_call), parts.key
    )
  return state, parts


def make_gan_training(config, *arguments):
  which = stage.CONDITIONAL_GAN
  return train_gan.make_training(config, which, *arguments)


MAKE = {
  'conditional_vae': train_conditional_vae.make_training,
  'conditional_gan': make_gan_training,
}


@pytest.mark.parametrize('name', NAMES)
def test_the_label_decides_the_image(name, monkeypatch, tmp_path, one_device):
  config = toy_config()
  state, _ = trained(MAKE[name], config, name)
  finished = training_parts.Finished(state, 7.0)
  monkeypatch.setattr(training_parts, 'load', lambda *_: finished)
  job = jobs.Job(config, epath.Path(tmp_path))
  contender = alternatives.LABELLED[name](job, 0, toy(200))
  assert contender.scores == {'training_seconds': 7.0}
  y = toy(40).attributes
  made = contender.mover(
    np.zeros((40, 1)), movers.make_target(y), np.arange(40), jax.random.key(3)
  )
  assert made.dtype == np.uint8 and made.shape == (40, 2, 2, 1)
  sides = made.mean(axis=(1, 3))
  assert ((sides > 127) == (y > 0.5)).mean() > 0.9, sides
  # A sample is no mean of all images of its label.
  assert made[y[:, 0] > 0.5].std(axis=0).min() > 1.0


def test_real_images_with_other_labels_are_seen_as_fakes(one_device):
  real, config = toy(60), toy_config()
  # The generator stands still, so that it teaches nothing about labels.
  config.conditional_gan.generator_optimizer.update(
    learning_rate=1e-12, final_learning_rate=1e-12
  )
  config.conditional_gan.train.num_steps = 200
  state, _ = trained(MAKE['conditional_gan'], config, 'conditional_gan')
  _, module = train_gan.build_modules(config, stage.CONDITIONAL_GAN, real)
  see = functools.partial(
    module.apply, state['discriminator'].params, real.images / 255.0
  )
  assert np.min(see(real.attributes)) > 0.0
  assert np.max(see(real.attributes[:, ::-1])) < 0.0


def test_the_weight_of_other_labels_is_that_of_their_loss(one_device):
  losses = {}
  for weight in (0.0, 0.5):
    config = toy_config(**{'conditional_gan.mismatched_weight': weight})
    parts = MAKE['conditional_gan'](config, toy(200), toy(60), 0)
    state = parts.make_state()
    batch = {k: v[0] for k, v in parts.make_batches(0, 1).items()}
    _, metrics = parts.make_step(config, {}, None)(state, batch, parts.key)
    losses[weight] = float(metrics['critic_loss'])
  _, module = train_gan.build_modules(config, stage.CONDITIONAL_GAN, toy(200))
  outputs = module.apply(
    state['discriminator'].params,
    batch['image'] / np.float32(255),
    batch['other_attributes'],
  )
  differs = (batch['attributes'] != batch['other_attributes']).any(axis=-1)
  expected = 0.5 * np.mean(differs * np.log1p(np.exp(outputs)))
  np.testing.assert_allclose(losses[0.5] - losses[0.0], expected, rtol=1e-4)


def test_batches_have_labels_of_their_own_rows_and_of_others(one_device):
  config = toy_config()
  parts = MAKE['conditional_gan'](config, toy(200), toy(60), 0)
  batch = parts.make_batches(3, 2)
  y, other = batch['attributes'], batch['other_attributes']
  assert y.shape == other.shape == (2, 32, 2)
  bright = batch['image'].mean(axis=(2, 4)) > 127
  np.testing.assert_array_equal(bright, y > 0.5)
  assert 0.2 < (y != other).any(axis=-1).mean() < 0.8


def test_the_validation_metric_sees_wrong_labels():
  data = toy(60)
  y = data.attributes
  features = train_gan.joint_features
  distance = metrics.frechet_distance
  real = features(data.images, y)
  assert distance(features(data.images, y), real) < 1e-6
  # The very same images in an order that has nothing to do with their labels.
  order = np.random.default_rng(0).permutation(60)
  assert distance(features(data.images[order], y), real) > 0.05


def test_the_cost_of_a_new_attribute_leaves_out_the_model():
  config = digits.get_config()
  config.alternatives = NAMES

  def row(seconds, **more):
    return {'training_seconds': {'mean': seconds}} | more

  score = {'accuracy': {'mean': 0.9}}
  rows = {
    'real': score,
    'mixture': row(3.0),  # asked for nothing
    'class_mixture': row(2.0, **score),
    'actor': row(41.0, **score),
    'conditional_gan': row(1234.0, **score),
  }
  found = new_attribute.find(config, rows, {'vae': 60.0, 'actor_critic': 41.0})
  assert found.from_scratch == {'conditional_gan': 1234.0}
  assert found.constrained == {'class_mixture': 2.0, 'actor': 41.0}
  assert found.model == 60.0
  (sentence,) = new_attribute.sentences(found)
  assert 'conditional_gan 1,234' in sentence
  assert '(trained once, 60 s): class_mixture 2, actor 41.' in sentence
  assert new_attribute.sentences(found._replace(from_scratch={})) == []


def launch(launcher, workdir, *arguments):
  return launchers.run(
    f'launch.{launcher}',
    '--config=configs/digits.py',
    f'--workdir={workdir}',
    *FLAGS,
    *arguments,
    timeout=900,
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp('conditional')
  found = launch('pipeline', folder)
  assert found.returncode == 0, found.stderr
  return folder, found.stdout


def test_both_are_rows_with_their_cost_and_verdict(run):
  folder, stdout = run
  report = json.loads((folder / 'compare' / 'metrics.json').read_text())
  assert [name for name in report['rows'] if name in NAMES] == [*NAMES]
  for name in NAMES:
    scores = report['rows'][name]
    assert scores['latents_per_second']['mean'] > 0
    seconds = scores['training_seconds']['mean']
    assert seconds == report['seconds'][name] > 0
    assert report['new_attribute']['from_scratch'][name] == seconds
    assert 'z_distance' not in scores
    low, high = (
      report['differences'][name]['class_mixture']['frechet'][one]
      for one in ('low', 'high')
    )
    assert low < high
    samples = np.load(folder / 'compare' / 'samples' / f'{name}.npz')
    assert samples['images'].shape == (90, 8, 8, 1)
    assert 'latents' not in samples
  assert 'actor' in report['new_attribute']['constrained']
  assert report['new_attribute']['model'] == report['seconds']['vae']
  assert 'A new attribute costs' in stdout
  page = (folder / 'compare' / 'report.html').read_text()
  assert 'trained from scratch with labels' in page
  for name in NAMES:
    log = (folder / name / 'metrics.jsonl').read_text()
    assert log.count('validation/') + log.count('joint_frechet') >= 2


def test_rows_that_ask_for_nothing(run):
  folder, _ = run
  report = json.loads((folder / 'compare' / 'metrics.json').read_text())
  rows = report['rows']
  assert {'mixture', *UNLABELLED} <= set(rows)
  for name in UNLABELLED:
    assert 'accuracy' not in rows[name]
    assert rows[name]['training_seconds']['mean'] == report['seconds'][name] > 0
  text = (folder / 'compare' / 'report.md').read_text()
  assert all(f'| {name} |' in text for name in UNLABELLED)


def test_a_second_vae_has_a_figure_of_its_parts(run, capsys):
  folder, _ = run
  job = in_process.job_of(digits.get_config(), folder, FLAGS)
  figures.make(job, ['second_stage'])
  assert 'second_stage: drawing' in capsys.readouterr().out
  figures.make(job, ['second_stage'])
  assert 'second_stage: already up to date' in capsys.readouterr().out
  found = json.loads((folder / 'figures' / 'second_stage.json').read_text())
  assert [name.split(',')[0] for name in found['numbers']] == [
    'z of images', *['u of images'] * 2, *['u of N(0'] * 2
  ]  # fmt: skip
  for scores in found['numbers'].values():
    assert scores['frechet'] > 0 and 0 <= scores['knn_recall'] <= 1
  # The first row is what the VAE reconstructs, by the judge.
  loaded = loaded_run.LoadedRun(job)
  mean, _ = loaded.bound.encode(loaded.test.images)
  _, features = loaded.predict_fn(loaded.bound.decode(mean))
  np.testing.assert_allclose(
    found['numbers']['z of images']['frechet'],
    metrics.frechet_distance(features, loaded.test_features),
    rtol=1e-3,
  )
  with job.config.unlocked():
    job.config.alternatives = ('aae',)
    job.config.compare.rows = ()
  with pytest.raises(errors.UserError, match=r"second_stage is of 'two_stage'"):
    figures.make(job, ['second_stage'])
  capsys.readouterr()
  assert figures.fitting(job, ['second_stage', 'holes'], True) == ['holes']
  assert 'second_stage: left out' in capsys.readouterr().out


def test_the_parts_of_a_second_vae():
  rng = np.random.default_rng(0)
  mean = np.tile(rng.normal(size=(1, 6)), (4000, 1)).astype(np.float32)
  scale = np.full_like(mean, 0.3)
  key = jax.random.key(1)
  found = list(second_stage_figure.parts(mean, scale, key).values())
  np.testing.assert_array_equal(found[0], mean)
  for without, noisy, centre, spread in (
    (found[1], found[2], mean[0, :3], 0.3), (found[3], found[4], 0.0, 1.0),
  ):  # fmt: skip
    u = without[:, :3]
    np.testing.assert_array_equal(noisy[:, :3], u)
    np.testing.assert_allclose(u.mean(axis=0), centre, atol=0.06)
    np.testing.assert_allclose(u.std(axis=0), spread, rtol=0.06)
    assert not without[:, 3:].any()
    np.testing.assert_allclose(noisy[:, 3:].std(axis=0), 1.0, rtol=0.06)


def test_finished_ones_are_not_trained_again_and_others_resume(run):
  folder, _ = run
  found = launch('train_models', folder)
  assert found.returncode == 0, found.stderr
  for name in ('vae', *NAMES, *UNLABELLED):
    assert f'{name}: finished before, nothing to do' in found.stdout


def test_another_setting_is_refused_in_one_line(run):
  folder, _ = run
  found = launch(
    'train_models', folder, '--config.conditional_gan.r1_weight=2.0'
  )
  assert found.returncode == 2
  line = found.stderr.strip().splitlines()[-1]
  assert 'conditional_gan' in line and 'r1_weight' in line


def test_a_missing_training_is_named_with_its_launcher(run):
  folder, _ = run
  moved = folder / 'conditional_gan'
  kept = moved.rename(folder / 'elsewhere')
  found = launch('compare', folder, '--overwrite')
  kept.rename(moved)
  assert found.returncode == 2
  line = found.stderr.strip().splitlines()[-1]
  assert 'conditional_gan has not been trained' in line
  assert 'run python -m launch.train_models' in line


def test_an_unknown_row_names_the_nearest(run):
  folder, _ = run
  found = launch(
    'compare', folder, "--config.alternatives=('conditional_vea',)"
  )
  assert found.returncode == 2
  line = found.stderr.strip().splitlines()[-1]
  assert "'conditional_vea' is no row of another model" in line
  assert 'conditional_vae' in line


@pytest.mark.parametrize('name', NAMES)
def test_a_stopped_training_goes_on_where_it_was(name, tmp_path, one_device):
  """A training that is stopped and resumed ends as one that is not."""
  config = toy_config(**{f'{name}.train.num_steps': 12})
  config[name].train.update(steps_per_call=1, checkpoint_every=100)
  config.alternatives = (name,)
  which, digests = stage.ALTERNATIVES[name], []
  for folder, interrupted in (('a', False), ('b', True)):
    job = jobs.Job(config, epath.Path(tmp_path) / folder)
    asked = []

    @contextlib.contextmanager
    def stop_soon(asked=asked):
      yield lambda: asked.append(None) or len(asked) > 5

    if interrupted:
      with pytest.raises(errors.Interrupted):
        trainers.train_all(job._replace(stop_on_signal=stop_soon), name)
      step, _ = checkpoints.latest_meta(job.workdir / name)
      assert 0 < step < 12
    trainers.train_all(job, name)
    digests.append(fingerprint.parameters(job, [which.section], 0)[name])
  assert digests[0] == digests[1]
