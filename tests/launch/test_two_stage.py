"""Two-stage VAE and adversarial autoencoder: models, rows, priors, errors."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest
from etils import epath

from configs import base, digits
from lcjax import errors
from lcjax.experiment import (
  alternatives,
  build,
  compare,
  compare_report,
  external,
  fingerprint,
  generator,
  jobs,
  stage,
  train_aae,
  train_actor_critic,
  train_two_stage,
  trainers,
)
from lcjax.latent import noise
from tests.launch import in_process
from tests.launch.test_pipeline import TINY

FLAGS = [
  *(flag for flag in TINY if 'more_distance_weights' not in flag),
  "--config.compare.rows=('actor', 'optimizer')",
  '--config.classifier.hidden_sizes=(64,)',
  '--config.classifier.train.num_steps=400',
  '--config.vae.train.num_steps=400',
  '--config.two_stage.hidden_sizes=(16,)',
  '--config.two_stage.train.num_steps=100',
  '--config.vae.latent_size=6',
  '--config.aae.latent_size=6',
  '--config.aae.hidden_sizes=(64,)',
  '--config.aae.critic_hidden_sizes=(32,)',
  '--config.aae.train.num_steps=400',
]


@pytest.mark.parametrize(
  ('ablation', 'said'),
  [('two_stage', 'a second one'), ('aae_uniform', 'adversarial autoencoder')],
)
def test_a_table_of_such_a_model(tmp_path, one_device, ablation, said):
  job = in_process.job_of(digits.get_config(ablation), tmp_path, FLAGS)
  for which in stage.trainings(job.config):
    trainers.train_all(job, which.section)
  compare.compare_all(job)
  report = json.loads((tmp_path / 'compare/metrics.json').read_text())
  rows = report['rows']
  assert {'prior', 'reconstruction', 'optimizer', 'actor'} <= set(rows)
  assert said in report['description']
  names = {one.name for one in stage.MODELS[job.config.generator.kind]}
  assert names <= set(report['seconds'])
  read = json.loads((tmp_path / 'compare/runs/0.json').read_text())
  assert names <= set(read['trainings'])
  right = {
    name: rows[name]['accuracy']['mean'] for name in ('reconstruction', 'prior')
  }
  assert right['reconstruction'] > right['prior'] + 0.05


def job_of(folder, **changes):
  config = digits.get_config()
  config.vae.update(hidden_sizes=(8,), latent_size=4)
  config.two_stage.update(hidden_sizes=(8,))
  config.aae.update(hidden_sizes=(8,), latent_size=4, critic_hidden_sizes=(8,))
  for section in (config.vae, config.two_stage, config.aae):
    section.train.update(
      num_steps=40, steps_per_call=10, log_every=10, batch_size=16
    )
  config.update_from_flattened_dict(changes)
  base.validate(config)
  return jobs.Job(config, epath.Path(folder))


def model_of(job):
  data = build.load_data(job, 'train')
  return generator.load(job, data, 0).model


@pytest.mark.parametrize(
  ('kind', 'changes'),
  [
    ('two_stage', {}),
    ('aae', {}),
    ('aae', {'aae.divergence': 'mmd', 'aae.prior': 'mixture'}),
    ('aae', {'aae.divergence': 'pairing', 'aae.prior': 'uniform'}),
  ],
)
def test_a_training_that_was_stopped_goes_on_to_the_same_end(
  tmp_path, one_device, kind, changes
):
  changes = {'generator.kind': kind, **changes}
  whole = job_of(tmp_path / 'whole', **changes)
  halves = job_of(tmp_path / 'halves', **changes)
  if kind == 'two_stage':
    for job in (whole, halves):
      trainers.train_all(job, 'vae')
  trainers.train_all(whole, kind)
  asked = []

  @contextlib.contextmanager
  def stop_after_two_calls():
    yield lambda: asked.append(None) or len(asked) > 2

  stopped = halves._replace(stop_on_signal=stop_after_two_calls)
  with pytest.raises(errors.Interrupted):
    trainers.train_all(stopped, kind)
  with pytest.raises(errors.UserError, match=r'at step 20 of 40: run .*models'):
    model_of(halves)
  trainers.train_all(halves, kind)
  first, second = (model_of(job).params for job in (whole, halves))
  jax.tree.map(np.testing.assert_array_equal, first, second)
  log = (tmp_path / f'whole/{kind}/metrics.jsonl').read_text()
  shown = ['gamma'] if kind == 'two_stage' else ['pixel_mse', 'mover_grad_norm']
  if kind == 'aae' and changes.get('aae.divergence') != 'mmd':
    shown += ['generator_score', 'discriminator_score', 'diversity']
  for name in shown:
    assert f'train/{name}' in log


def test_the_row_of_the_second_stage_has_latents_of_the_vae(
  tmp_path, one_device
):
  job = job_of(tmp_path, alternatives=('two_stage',))
  trainers.train_all(job, 'vae', 'two_stage')
  data = build.load_data(job, 'train')
  row = alternatives.UNLABELLED['two_stage'](job, 0, data)
  key = jax.random.key(5)
  moved = row.mover(np.zeros((7, 4)), {}, np.arange(7), key)
  assert moved.z.shape == (7, 4)
  again = row.mover(np.zeros((2, 4)), {}, np.arange(3, 5), key)
  np.testing.assert_allclose(moved.z[3:5], again.z, rtol=1e-4, atol=1e-5)
  # The same as a draw of the model of both stages, decoded.
  both, seconds = train_two_stage.load_model(job, data, 0)
  assert row.scores == {'training_seconds': seconds['two_stage']}
  draw_key, _ = jax.random.split(key)
  latents = noise.draw(draw_key, np.arange(7), 8)
  np.testing.assert_allclose(
    model_of(job).decode(moved.z), both.decode(latents), rtol=1e-3, atol=1e-5
  )
  # The units of the second stage are those of the first one's encodings.
  mean, scale = model_of(job).encode(data.images / np.float32(255.0))
  np.testing.assert_allclose(both.params['mean'], mean.mean(0), atol=1e-4)
  std = np.sqrt(mean.var(axis=0) + np.square(scale).mean(axis=0))
  np.testing.assert_allclose(both.params['std'], std, rtol=1e-3)


@pytest.mark.parametrize('prior', ['gaussian', 'uniform', 'mixture'])
def test_everything_starts_from_the_models_own_prior(
  tmp_path, one_device, prior
):
  job = job_of(tmp_path, **{'generator.kind': 'aae', 'aae.prior': prior})
  trainers.train_all(job, 'aae')
  model, rows = model_of(job), np.arange(3000)
  own = train_aae.find_prior(job.config)
  z = model.start(3000, 1)
  np.testing.assert_allclose(z.std(axis=0), own.std, rtol=0.1)
  latents = train_actor_critic.prepare(job, 0)
  begun = train_actor_critic.draw_starts(latents, 'prior', latents.train)
  if prior == 'gaussian':
    assert begun is None  # new noise in every step, as for other models
    np.testing.assert_array_equal(
      z, np.random.default_rng(1).standard_normal((3000, 4), np.float32)
    )
  else:
    np.testing.assert_allclose(begun.std(axis=0), own.std, rtol=0.1)
    assert 'start' in train_actor_critic.make_batches(latents, 8, begun)(0, 1)
  key = jax.random.key(2)
  np.testing.assert_allclose(
    model.draw_prior(rows, key), own(None, key, rows), rtol=1e-5, atol=1e-6
  )
  row = alternatives.UNLABELLED['aae'](job, 0, build.load_data(job, 'train'))
  images = row.mover(None, {}, rows[:5], key)
  pixels = model.decode(model.draw_prior(rows[:5], key))
  np.testing.assert_allclose(images / 255.0, pixels, atol=0.51 / 255)
  _, scale = model.encode(pixels)
  least = job.config.aae.least_scale
  raw = dataclasses.replace(model.encode_fn, least_scale=0.0)
  _, free = raw(model.params, pixels)
  np.testing.assert_allclose(
    scale - free, np.tile(least * own.std, (len(scale), 1)), rtol=1e-4
  )


def test_what_follows_from_such_a_model():
  config = digits.get_config('two_stage')
  assert not external.from_prior(config)
  assert external.latent_size(config) == 2 * config.vae.latent_size
  names = [one.name for one in stage.trainings(config)]
  assert 'vae' in names and 'two_stage' in names and 'labeller' not in names
  config = digits.get_config('aae')
  assert external.latent_size(config) == config.aae.latent_size
  names = [one.name for one in stage.trainings(config)]
  assert 'aae' in names and 'vae' not in names
  assert 'adversarial autoencoder' in compare_report.description(config)
  # A row reads the VAE of the run, and its own training is the same either way.
  rows = digits.get_config()
  rows.alternatives = ('two_stage', 'aae')
  of_row = fingerprint.settings(rows, stage.TWO_STAGE, 0)
  of_kind = fingerprint.settings(
    digits.get_config('two_stage'), stage.TWO_STAGE, 0
  )
  assert of_row == of_kind and {'vae', 'two_stage'} <= set(of_row)


def test_one_line_for_what_cannot_be(tmp_path):
  config = digits.get_config('aae')
  config.alternatives = ('two_stage',)
  with pytest.raises(errors.UserError, match=r"set it to 'vae'"):
    base.validate(config)
  config = digits.get_config('aae')
  config.aae.prior = 'normal'
  with pytest.raises(errors.UserError, match='gaussian, uniform or mixture'):
    base.validate(config)
  config = digits.get_config('aae')
  config.aae.divergence = 'wasserstein'
  config.aae.r1_weight = config.aae.r2_weight = 0.0
  with pytest.raises(errors.UserError, match=r'aae\.gradient_penalty_weight'):
    build.check_divergences(config, ['aae'])
  config.aae.divergence = 'mmd'  # has no critic, so needs no penalty
  build.check_divergences(config, ['aae'])
  for kind, first in (('two_stage', 'vae'), ('aae', 'aae')):
    with pytest.raises(errors.UserError, match=f'{first} has not been trained'):
      model_of(job_of(tmp_path, **{'generator.kind': kind}))
