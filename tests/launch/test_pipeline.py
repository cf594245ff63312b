"""The real launchers as subprocesses, on digits and a tiny config."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from etils import epath

from configs import digits
from launch import startup
from lcjax import errors
from lcjax.experiment import jobs, results, stage
from tests import xla
from tests.launch import launchers
from tests.launch.launchers import ROOT

STAGES = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip
TINY = [
  '--config.vae.hidden_sizes=(16,)',
  '--config.classifier.hidden_sizes=(16,)',
  '--config.second_classifier.head_sizes=()',
  '--config.second_classifier.conv_channels=(4, 4)',
  '--config.actor_critic.distance_weight=0.01',
  '--config.actor_critic.more_distance_weights=(0.1,)',
  '--config.compare.num_samples=90',
  '--config.compare.curve_steps=(0, 2)',
  '--config.mixture.num_components=(1,)',
  '--config.mixture.unlabelled_components=(1,)',
  '--config.mixture.denoiser_components=1',
  '--config.walk.steps=(1,)',
  '--config.mixture.narrow=(1.0, 0.8)',
  '--config.walk.start_times=(0.3, 0.5)',
  '--config.walk.attribute_weights=(2.0,)',
  '--config.compare.clock_seconds=0',
  '--config.compare.feature_steps=1',
  '--config.compare.cas_steps=1',
  '--config.denoise.mixture_above=0.5',
  '--config.retry.tries=2',
  '--config.optimize.max_steps=3',
  '--config.latent_critics.inner.max_steps=1',
  *(f'--config.{stage}.train.num_steps=20' for stage in STAGES),
  *(f'--config.{stage}.train.steps_per_call=10' for stage in STAGES),
  *(f'--config.{stage}.train.log_every=10' for stage in STAGES),
]
UNLABELLED = (
  'mixture', 'mixture_narrow', 'realism_optimizer', 'realism_denoiser',
  'realism_walk',
)  # fmt: skip
ROWS = [
  'real',
  'real_train',
  'reconstruction',
  'prior',
  'mixture',
  'mixture_narrow',
  'realism_optimizer',
  'realism_denoiser',
  'realism_walk',
  'class_gaussian',
  'class_mixture',
  'class_mixture_kept',
  'class_mixture_narrow',
  'class_mixture_narrow_kept',
  'actor',
  'actor_kept',
  'actor_lambda_0.1',
  'optimizer',
  'optimizer_kept',
  'actor_then_optimizer',
  'guided_denoiser',
  'guided_denoiser_kept',
  'optimizer_from_mixture',
  'one_step',
  'short_walk',
  'short_walk_kept',
  'varied_walk',
]


def start(launcher, workdir, *arguments):
  # One device, and a cache of compiled programs of its own.
  environment = os.environ | {'XLA_FLAGS': xla.FLAGS, 'JAX_PLATFORMS': 'cpu'}
  return subprocess.Popen(
    [
      sys.executable,
      '-m',
      f'launch.{launcher}',
      '--config=configs/digits.py',
      f'--workdir={workdir}',
      *arguments,
    ],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def launch(launcher, workdir, *arguments):
  return launchers.run(
    f'launch.{launcher}',
    '--config=configs/digits.py',
    f'--workdir={workdir}',
    *arguments,
  )


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A workdir in which the pipeline has run, with what it printed."""
  workdir = tmp_path_factory.mktemp('run')
  status, out, err = launch('pipeline', workdir, *TINY)
  assert status == 0, err
  return workdir, out


def modified(workdir):
  return {
    path: path.stat().st_mtime_ns
    for stage in STAGES
    for path in (workdir / stage).rglob('*')
    if path.is_file()
  }


def test_pipeline_writes_what_other_programs_read(finished):
  workdir, out = finished
  assert 'report:' in out
  assert json.loads((workdir / 'config.json').read_text())['vae']['sigma_x']
  for name in (*STAGES, 'actor_critic_lambda_0.1'):
    assert (workdir / name / 'metrics.jsonl').stat().st_size
    assert list((workdir / name / 'checkpoints').iterdir())
    assert list((workdir / name).glob('events.out.tfevents*'))
  report = json.loads((workdir / 'compare' / 'metrics.json').read_text())
  assert list(report['rows']) == ROWS
  assert report['rows']['actor']['accuracy']['std'] is None  # one seed
  assert report['config']['num_seeds'] == 1
  assert 'jax' in report['versions']
  seconds = report['seconds']['actor_critic_lambda_0.1']
  row = report['rows']['actor_lambda_0.1']
  assert row['training_seconds']['mean'] == seconds
  trained = report['seconds']
  asked = trained['latent_critics']  # D_attr accepts, in rows with tries
  costs = {
    'optimizer': trained['latent_critics'],
    'optimizer_kept': trained['latent_critics'],
    'actor_kept': trained['actor_critic'] + asked,
    'guided_denoiser': trained['denoiser'] + trained['class_mixture'],
    'guided_denoiser_kept': trained['denoiser']
    + trained['class_mixture']
    + asked,
  }
  for name, seconds in costs.items():
    row = report['rows'][name]
    np.testing.assert_allclose(row['training_seconds']['mean'], seconds)
    assert ('tries' in row) == name.endswith('_kept')
    if name.endswith('_kept'):
      assert 1.0 <= row['evaluations_acceptance']['mean'] <= 2.0
  denoised = report['rows']['guided_denoiser']
  assert denoised['evaluations_mixture']['mean'] == 25
  assert denoised['evaluations_denoiser']['mean'] == 25
  assert denoised['evaluations_attributes']['mean'] == 25
  assert report['rows']['actor']['evaluations_actor']['mean'] == 1
  fitted = report['rows']['class_mixture']['training_seconds']['mean']
  chosen = json.loads((workdir / 'chosen' / 'chosen.json').read_text())
  walked = report['rows']['short_walk']
  np.testing.assert_allclose(
    walked['training_seconds']['mean'],
    trained['denoiser'] + fitted + chosen['seconds'],
  )
  assert walked['evaluations_denoiser']['mean'] == 1
  kept = report['rows']['class_mixture_kept']['training_seconds']['mean']
  np.testing.assert_allclose(kept, fitted + asked)
  for name in ROWS:
    with np.load(workdir / 'compare' / 'samples' / f'{name}.npz') as arrays:
      number = 450 if name in ('real', 'real_train', 'reconstruction') else 90
      assert arrays['images'].shape == (number, 8, 8, 1)
      assert arrays['images'].dtype == np.uint8
      if name in UNLABELLED:
        assert 'attributes' not in arrays
      else:
        assert arrays['attributes'].shape == (number, 10)
        assert arrays['attributes'].dtype == np.float32
      if 'real' not in name:
        assert arrays['latents'].shape == (number, 16)
  page = (workdir / 'compare' / 'report.html').read_text()
  assert all(name in page for name in ROWS)
  assert 'python -m launch.pipeline --config=configs/digits.py' in page
  assert 'Quality against speed' in page
  assert (workdir / 'generate' / 'encodings_actor.png').exists()
  assert (workdir / 'generate' / 'own_short_walk.png').exists()
  assert (workdir / 'generate' / 'prior_optimizer.npz').exists()


def test_every_mover_is_asked_for_the_same(finished):
  workdir, _ = finished
  asked = [
    np.load(workdir / 'compare' / 'samples' / f'{name}.npz')['attributes']
    for name in ROWS[3:]
    if name not in UNLABELLED
  ]
  test = np.load(workdir / 'compare' / 'samples' / 'real.npz')['attributes']
  for one in asked:
    np.testing.assert_array_equal(one, test[:90])


def test_second_run_redoes_nothing(finished):
  workdir, _ = finished
  before = modified(workdir)
  status, out, err = launch('pipeline', workdir, *TINY)
  assert status == 0, err
  assert out.count('finished before') == 8
  assert 'judging' not in out
  assert modified(workdir) == before


def test_another_config_is_refused_and_nothing_lost(finished):
  workdir, _ = finished
  before = modified(workdir), (workdir / 'config.json').read_bytes()
  changed = '--config.vae.sigma_x=0.5'
  status, _, err = launch('train_vae', workdir, *TINY, changed)
  assert status == 2
  assert len(err.splitlines()) == 1
  assert 'config.vae.sigma_x=0.1' in err
  assert '0.5' in err
  assert '--overwrite' in err
  assert before == (modified(workdir), (workdir / 'config.json').read_bytes())


def test_a_forgotten_override_is_to_be_repeated(finished):
  workdir, _ = finished
  key = '--config.vae.hidden_sizes'
  tiny = [argument for argument in TINY if not argument.startswith(key)]
  status, _, err = launch('compare', workdir, *tiny)
  assert status == 2
  assert len(err.splitlines()) == 1
  assert f"repeat '{key}=(16,)', take another --workdir" in err
  assert 'was made with config.vae.hidden_sizes' in err
  status, out, err = launch('compare', workdir, *tiny, f'{key}=(16,)')
  assert status == 0, err
  assert 'was judged before' in out


def test_generate_from_labels_and_images(finished):
  workdir, _ = finished
  images = workdir / 'mine.npz'
  np.savez(images, images=np.zeros((2, 8, 8, 1), np.uint8))
  status, _, err = launch(
    'generate',
    workdir,
    *TINY,
    '--start=encodings',
    '--mover=optimizer',
    '--labels=3,8,8',
    f'--images={images}',
  )
  assert status == 0, err
  status, _, err = launch('generate', workdir, *TINY, '--mover=optimizer')
  assert status == 0, err
  begun = np.load(workdir / 'generate' / 'class_mixture_optimizer.npz')
  asked, z = begun['attributes'].argmax(-1), begun['starts']
  # Where a cell starts follows from its row and its label.
  columns = len(asked) // 8
  assert (z[:columns][asked[:columns] != asked[0]] != z[0]).any()
  with np.load(workdir / 'generate' / 'encodings_optimizer_own.npz') as arrays:
    assert arrays['images'].shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(
      arrays['attributes'].argmax(-1), [3, 8, 8, 3, 8, 8]
    )


def test_another_weight_adds_a_training_and_leaves_the_others(
  finished, tmp_path
):
  workdir, _ = finished
  for name in (*STAGES, 'actor_critic_lambda_0.1'):
    shutil.copytree(workdir / name, tmp_path / name)
  before = modified(tmp_path)
  key = '--config.actor_critic.more_distance_weights'
  # A tuple that is given twice is not replaced but extended.
  tiny = [argument for argument in TINY if not argument.startswith(key)]
  tiny.append(f'{key}=(0.1, 2)')
  status, out, err = launch('train_actor_critic', tmp_path, *tiny)
  assert status == 0, err
  assert out.count('finished before') == 3
  assert modified(tmp_path) == before
  latents = []
  for mover in ('actor', 'actor_lambda_0.1', 'actor_lambda_2'):
    launch('generate', tmp_path, *tiny, f'--mover={mover}')
    path = tmp_path / 'generate' / f'prior_{mover}.npz'
    with np.load(path) as arrays:
      latents.append(arrays['latents'])
  assert not np.allclose(latents[0], latents[1])
  assert not np.allclose(latents[1], latents[2])


@pytest.mark.parametrize(
  ('launcher', 'arguments', 'said'),
  [
    ('generate', ['--mover=actor_lambda_1'], 'did you mean actor_lambda_0.1'),
    ('generate', ['--labels=11'], 'is not a label'),
    ('generate', ['--start=mixtur'], 'did you mean mixture'),
    (
      'generate',
      ['--mover=short_walk', '--start=mixture'],
      'draws starts of its own',
    ),
    ('generate', ['--labels=1+2'], 'names 2 classes'),
    ('generate', ['--start=encodings', '--images=nowhere.png'], 'nowhere.png'),
    ('train_vae', ['--config.vae.sigmax=1'], 'did you mean vae.sigma_x?'),
    ('train_vae', ['--config.vae.latent_size=abc'], 'must be of int'),
    ('train_vae', ['--config.vae.sigma_x=0.0'], 'out of range'),
    (
      'train_vae',
      ['--config=configs/digits.py:defalt'],
      'did you mean default',
    ),
    ('train_vae', ['--config=configs/nowhere.py'], 'configs/nowhere.py'),
    ('train_vae', ['--workdir='], '--workdir is missing'),
    ('generate', ['--name=../x'], "--name='../x' must be the name"),
    ('compare', ['--workdir=nowhere'], 'python -m launch.train_classifier'),
  ],
)
def test_a_mistake_is_one_line(finished, launcher, arguments, said):
  workdir, _ = finished
  status, _, err = launch(launcher, workdir, *TINY, *arguments)
  assert status == 2
  assert len(err.splitlines()) == 1
  assert said in err
  assert not (ROOT / 'nowhere').exists()


def test_overwrite_keeps_a_backup_until_the_replacement_is_done(
  finished, tmp_path
):
  workdir, _ = finished
  shutil.copytree(workdir / 'vae', tmp_path / 'vae')
  rate = '--config.vae.optimizer.learning_rate=1e18'
  status, _, _ = launch('train_vae', tmp_path, *TINY, rate, '--overwrite')
  assert status == 2  # it explodes
  assert (tmp_path / 'vae.backup' / 'checkpoints' / '20').exists()
  rate = '--config.vae.optimizer.learning_rate=1e-4'
  status, _, err = launch('train_vae', tmp_path, *TINY, rate, '--overwrite')
  assert status == 0, err
  assert (tmp_path / 'vae' / 'checkpoints' / '20').exists()
  assert not (tmp_path / 'vae.backup').exists()
  # Nothing in there can be read: only --overwrite starts from zero.
  for path in (tmp_path / 'vae').glob('checkpoints/*/meta/metadata'):
    path.write_text('')
  status, _, err = launch('train_vae', tmp_path, *TINY, rate)
  assert status == 2
  assert 'is readable: restore them from a copy' in err.splitlines()[-1]
  status, out, err = launch('train_vae', tmp_path, *TINY, rate, '--overwrite')
  assert status == 0, err
  assert 'earlier training kept in' in out


def test_a_result_of_earlier_trainings_does_not_count(finished):
  workdir, _ = finished
  config = digits.get_config()
  job = jobs.Job(config, epath.Path(workdir))
  key = results.result_key(job, stage.COMPARISON, 0)
  path = epath.Path(workdir / 'result.json')
  path.write_text(json.dumps(key))
  assert results.stored(job, path, key) == key
  other = key | {'trainings': key['trainings'] | {'vae': 1.0}}
  assert results.stored(job, path, other) is None
  older = json.loads(json.dumps(key))
  older['config']['retry']['accept_above'] = 0.99
  path.write_text(json.dumps(older))
  assert results.stored(job, path, key) is None
  path.write_text(json.dumps(key))
  config.compare.num_samples = 7
  changed = results.result_key(job, stage.COMPARISON, 0)
  with pytest.raises(errors.UserError, match=r'config\.compare\.num_samples'):
    results.stored(job, path, changed)


def test_flags_are_repeated_as_one_word_each():
  given = ['--config', 'a.py', '--workdir=w', '--overwrite', '--config.x', '1']
  assert startup.joined(given) == [
    '--config=a.py',
    '--workdir=w',
    '--overwrite',
    '--config.x=1',
  ]


def test_nan_stops_and_keeps_the_checkpoint(tmp_path):
  steps = '--config.vae.train.checkpoint_every=10'
  # Finite for one call, then the square of the overflow.
  rate = '--config.vae.optimizer.learning_rate=1e18'
  status, _, err = launch('train_vae', tmp_path, *TINY, steps, rate)
  assert status == 2
  assert 'nan' in err.splitlines()[-1]
  assert 'at step' in err.splitlines()[-1]
  assert 'Traceback' not in err


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_checkpoints_and_the_same_command_goes_on(
  finished, tmp_path, number
):
  workdir, _ = finished
  arguments = [*TINY, '--config.vae.train.num_steps=100000']
  process = start('train_vae', tmp_path, *arguments)
  log = tmp_path / 'vae' / 'metrics.jsonl'
  deadline = time.monotonic() + 120
  while not (log.exists() and log.stat().st_size):
    assert time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(number)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 75
  assert 'is checkpointed at step' in err
  assert (workdir / 'vae').exists()
