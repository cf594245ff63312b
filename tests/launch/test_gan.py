"""A GAN as the model: digits:gan, end to end, and as a row beside a VAE."""

import contextlib
import io
import json
import re

import jax
import numpy as np
import pytest
from etils import epath

import lcjax
from configs import base, digits
from lcjax import errors
from lcjax.constraints import rules
from lcjax.experiment import (
  alternatives,
  build,
  compare,
  compare_report,
  external,
  generate,
  jobs,
  preflight,
  rule_entries,
  stage,
  train_gan,
  train_rules,
  trainers,
  training_parts,
)
from lcjax.latent import noise
from tests.launch import in_process
from tests.launch.test_pipeline import TINY

SMALL = [
  *(flag for flag in TINY if 'more_distance_weights' not in flag),
  # As few rows as the tests read.
  "--config.compare.rows=('actor', 'optimizer')",
  '--config.gan.latent_size=6',
  '--config.gan.hidden_sizes=(64,)',
  '--config.gan.train.num_steps=600',
  '--config.gan.train.batch_size=64',
]
AS_MODEL = [
  *SMALL,
  '--config.labeller.architecture=mlp',
  '--config.labeller.hidden_sizes=(64,)',
  '--config.labeller.num_samples=3000',
  '--config.labeller.train.num_steps=300',
  '--config.labeller.train.steps_per_call=50',
  '--config.invert.max_steps=60',
  '--config.invert.tries=1',
  '--config.classifier.hidden_sizes=(64,)',
  '--config.classifier.train.num_steps=600',
  '--config.latent_critics.train.num_steps=200',
  '--config.optimize.max_steps=30',
  '--config.optimize.attribute_tolerance=0.02',
  '--config.compare.num_samples=200',
]


@pytest.fixture(scope='module')
def run(tmp_path_factory, one_device):
  folder = tmp_path_factory.mktemp('gan')
  job = in_process.job_of(digits.get_config('gan'), folder, AS_MODEL)
  with contextlib.redirect_stdout(io.StringIO()) as told:
    for which in stage.trainings(job.config):
      trainers.train_all(job, which.section)
    generate.generate(job, [('encodings', 'actor')], labels=[], images=[])
    compare.compare_all(job)
  return folder, told.getvalue()


def test_the_table_of_a_constrained_gan(run):
  folder, _ = run
  report = json.loads((folder / 'compare/metrics.json').read_text())
  rows = report['rows']
  assert 'reconstruction' not in rows  # it has no encoder
  assert {'real', 'prior', 'optimizer', 'class_mixture', 'actor'} <= set(rows)
  accuracy = {
    name: row['accuracy']['mean']
    for name, row in rows.items()
    if 'accuracy' in row
  }
  assert accuracy['prior'] + 0.05 < accuracy['optimizer']
  assert accuracy['class_mixture'] > accuracy['prior'] + 0.1
  # Something like digits: noise or one grey image has a distance of 1 or more.
  assert rows['prior']['frechet']['mean'] < 0.9
  assert set(report['seconds']) > {'gan', 'labeller', 'latent_critics'}
  assert 'vae' not in report['seconds']
  assert 'generative adversarial network was trained' in report['description']
  assert 'no encoder' in report['description']


def test_the_labeller_is_not_the_judge(run):
  folder, _ = run
  read = json.loads((folder / 'compare/runs/0.json').read_text())
  assert {'gan', 'labeller', 'classifier'} <= set(read['trainings'])
  assert 'vae' not in read['trainings']
  config = digits.get_config('gan')
  judges = [config[one.section] for one in stage.JUDGES]
  assert config.labeller.seed not in [one.seed for one in judges]
  for split in ('validation', 'test'):
    config.compare.split = split
    assert stage.judge_of(config) is not stage.LABELLER


def test_edits_start_from_inversions_whose_error_is_reported(run):
  folder, stdout = run
  found = re.findall(
    r'inversion of 8 images: mean squared error ([\d.]+)', stdout
  )
  assert found and all(0.0 < float(one) < 0.2 for one in found)
  read = json.loads((folder / 'compare/runs/0.json').read_text())
  error = read['inversion']['pixel_mse']
  text = (folder / 'compare/report.html').read_text()
  assert f'test images, with a mean squared error of {error:.4f}' in text


def job_of(folder, num_steps=40, **changes):
  config = digits.get_config()
  config.gan.update(hidden_sizes=(8,), latent_size=4)
  config.gan.train.update(
    num_steps=num_steps, steps_per_call=10, log_every=10, batch_size=16
  )
  config.update_from_flattened_dict(changes)
  return jobs.Job(config, epath.Path(folder))


def load(job):
  return train_gan.load_model(job, build.load_data(job, 'train'), 0)


def test_a_training_that_was_stopped_goes_on_to_the_same_end(tmp_path):
  kind = {'generator.kind': 'gan'}
  whole = job_of(tmp_path / 'whole', **kind)
  trainers.train_all(whole, 'gan')
  halves = job_of(tmp_path / 'halves', **kind)
  asked = []

  @contextlib.contextmanager
  def stop_after_two_calls():
    yield lambda: asked.append(None) or len(asked) > 2

  with pytest.raises(errors.Interrupted):
    trainers.train_all(
      halves._replace(stop_on_signal=stop_after_two_calls), 'gan'
    )
  with pytest.raises(errors.UserError, match=r'at step 20 of 40: run .*models'):
    load(halves)
  trainers.train_all(halves, 'gan')
  first, second = (load(job)[0].params for job in (whole, halves))
  jax.tree.map(np.testing.assert_array_equal, first, second)
  validation = (tmp_path / 'whole/gan/metrics.jsonl').read_text()
  assert 'validation/diversity' in validation
  assert 'train/critic_grad_norm' in validation


def test_a_row_beside_another_model(tmp_path, one_device):
  job = job_of(tmp_path, alternatives=('gan',))
  assert stage.GAN in stage.trainings(job.config)
  assert stage.VAE in stage.trainings(job.config)
  trainers.train_all(job, 'gan')
  row = alternatives.UNLABELLED['gan'](job, 0, build.load_data(job, 'train'))
  key = jax.random.key(5)
  images = row.mover(None, {}, np.arange(7), key)
  assert images.shape == (7, 8, 8, 1) and images.dtype == np.uint8
  np.testing.assert_array_equal(
    images[3:5], row.mover(None, {}, np.arange(3, 5), key)
  )
  model, seconds = load(job)
  assert row.scores == {'training_seconds': seconds['gan']}
  pixels = model.decode(noise.draw(key, np.arange(7), 4))
  np.testing.assert_allclose(images / 255.0, pixels, atol=0.51 / 255)


def test_a_rule_is_obeyed_without_labels(tmp_path, one_device):
  rule = {
    'kind': 'rule',
    'rule': 'ink',
    'arguments': {'high': 0.3, 'brightness': 0.5, 'softness': 0.1},
  }
  job = job_of(
    tmp_path,
    2000,
    **{
      'generator.kind': 'gan',
      'labeller.architecture': 'mlp',
      'labeller.hidden_sizes': (32,),
      'labeller.num_samples': 3000,
      'labeller.kept_share': 1.0,
      'labeller.train.num_steps': 500,
      'labeller.train.steps_per_call': 50,
      'gan.hidden_sizes': (128,),
      'gan.train.steps_per_call': 50,
      'gan.train.batch_size': 64,
    },
  )
  job.config.rules.update(
    num_samples=400, rounds=1, num_held_out=100, hidden_sizes=(32, 32),
    num_steps=300, batch_size=32, start_components=1,
  )  # fmt: skip
  job.config.constraints.light = rule
  trainers.train_all(job, 'gan', 'labeller')
  train_rules.train_all(job)
  entry = rule_entries.entries(job.config)['light']
  model, _ = load(job)
  z = noise.draw(jax.random.key(3), np.arange(100), 4)
  score_fn = rules.TABLE['ink'](**rule['arguments'])
  moved = lcjax.optimizer(train_rules.load(job, 0, entry))(z, {}).z
  before, after = (np.mean(score_fn(model.decode(x)) > 0.5) for x in (z, moved))
  assert before < 0.8 and after > before + 0.15


def test_what_follows_from_a_gan():
  config = digits.get_config('gan')
  assert external.from_prior(config)
  assert external.latent_size(config) == config.gan.latent_size
  names = [one.name for one in stage.trainings(config)]
  assert 'gan' in names and 'labeller' in names and 'vae' not in names
  assert 'without labels' in compare_report.description(config)
  assert stage.GAN not in stage.trainings(digits.get_config())
  assert not external.from_prior(digits.get_config())


def test_one_line_for_what_a_gan_cannot_do(tmp_path):
  config = digits.get_config('gan')
  with pytest.raises(
    errors.UserError, match=r"vae is not trained with .*'gan'"
  ):
    preflight.check_trained(config, [stage.VAE])
  config.gan.divergence = 'wasserstein'
  config.gan.r1_weight = config.gan.r2_weight = 0.0
  with pytest.raises(errors.UserError, match=r'gan\.gradient_penalty_weight'):
    build.check_divergences(config, ['gan'])
  config = digits.get_config()
  config.alternatives = ('gna',)
  with pytest.raises(errors.UserError, match='did you mean gan'):
    base.validate(config)
  job = job_of(tmp_path, **{'generator.kind': 'gan'})
  with pytest.raises(errors.UserError) as raised:
    load(job)
  assert 'run python -m launch.train_models' in str(raised.value)
  assert training_parts.schedule_of(job.config, stage.GAN).num_steps == 40
