"""The command's mistakes, and its table."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from etils import epath

from configs import digits
from launch import ablate, interrupts, lock, startup
from lcjax import errors
from lcjax.evaluation import ablations
from lcjax.experiment import ablation_report, stage, tasks
from lcjax.experiment import jobs as jobs_lib
from lcjax.training import checkpoints
from tests.launch.test_pipeline import TINY, launch

MOVERS = ('actor', 'optimizer', 'guided_denoiser')
NAMES = ('default', 'no_distance')
NOT_FINITE = [{'seed': 1, 'row': 'optimizer', 'metrics': ['frechet']}]


@pytest.mark.parametrize(
  ('names', 'said'),
  [
    ([], 'name some of default, no_distance'),
    (['default', 'no_distanse'], 'did you mean no_distance'),
    (['default', 'default'], "'default' is listed twice"),
    (['compare'], 'rename the ablation'),
  ],
)
def test_names_are_known_and_different(names, said):
  known = [*NAMES, *(['compare'] if 'compare' in names else [])]
  with pytest.raises(errors.UserError, match=said):
    ablate.check_names(names, known)


def test_a_flag_may_not_undo_an_ablation():
  changes = {name: digits.ABLATIONS[name] for name in NAMES}
  ablate.check_overrides({'vae.sigma_x': 1.0}, changes)
  with pytest.raises(
    errors.UserError, match="varied by ablation 'no_distance'"
  ):
    ablate.check_overrides({'actor_critic.distance_weight': 1.0}, changes)


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['--ablations=no_distanse'], 'did you mean no_distance?'),
    (['--ablations=default', '--num_seeds=0'], '--num_seeds=0 must be'),
    (
      ['--ablations=default', '--num_seeds=2', '--config.num_seeds=3'],
      'mean the same: give one',
    ),
    (['--config=configs/digits.py:default'], "names the ablation 'default'"),
  ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, said):
  status, _, err = launch('ablate', tmp_path, *arguments)
  assert status == 2
  assert len(err.splitlines()) == 1
  assert said in err
  assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}


@pytest.fixture
def read_flags(monkeypatch, tmp_path):
  """What `launch.ablate` makes of its flags, in a workdir of its own."""
  monkeypatch.setenv('HOME', str(tmp_path))

  def read(config, *arguments):
    given = ['x', f'--config={config}', '--workdir=~/run', *arguments]
    monkeypatch.setattr(sys, 'argv', given)
    with flagsaver.flagsaver():
      startup.parse_flags(given)
      return ablate.read_flags()

  return read


def test_home_and_names_in_the_jobs_of_ablations(read_flags, tmp_path):
  names = '5_o_Clock_Shadow,Smiling'
  found = read_flags(
    'configs/celeba.py',
    '--ablations=default',
    f'--config.data.attributes={names}',
  )
  assert found.workdir == epath.Path(tmp_path / 'run')
  job = found.jobs['default']
  assert job.workdir == epath.Path(tmp_path / 'run' / 'default')
  assert job.config.data.attributes == tuple(names.split(','))
  assert f'--config.data.attributes={names}' in job.arguments
  # A signal stops it between steps, and keys of a later day have defaults.
  assert job.stop_on_signal is interrupts.stop_on_signal
  assert job.defaults['seed'] == 0


@pytest.mark.parametrize('in_a_file', [False, True])
def test_a_config_at_home(tmp_path, monkeypatch, in_a_file):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'own.py').write_text(f'from configs.digits import *{chr(10)}')
  (tmp_path / 'given').write_text('--config=~/own.py')
  arguments = ['--workdir=~/run', '--ablations=default']
  first = f'--flagfile={tmp_path}/given' if in_a_file else '--config=~/own.py'
  given = ['x', first, *arguments]
  monkeypatch.setattr(sys, 'argv', given)
  with flagsaver.flagsaver():
    startup.parse_flags(given)
    job = ablate.read_flags().jobs['default']
  assert job.config.data.name == 'digits'
  assert '--config=~/own.py:default' in job.arguments


HEAD = """
from configs import base
def get_config(ablation='a'):
  return base.ablate(base.get_config(), ABLATIONS, ablation)
"""


@pytest.mark.parametrize(
  ('ablations', 'said'),
  [
    ('{"a": {}, "b": {"vae": 3}}', "ablation 'b': config.vae is a section"),
    ('{"a": {}, "b": {"vae.beta": -1.0}}', "ablation 'b': config.vae.beta=-1"),
    (
      '{"a": {}, "b": {"edit.max_steps": 3}}',
      "ablation 'b': config.edit.max_steps is now",
    ),
    ('{"a": {}, "b": 3}', 'has no ABLATIONS, a dict of dicts'),
  ],
)
def test_a_wrong_ablation_is_named(read_flags, tmp_path, ablations, said):
  path = tmp_path / 'own.py'
  path.write_text(f'ABLATIONS = {ablations}\n{HEAD}')
  with pytest.raises(errors.UserError, match=said):
    read_flags(path, '--ablations=a,b')


def test_a_file_without_ablations(read_flags, tmp_path):
  path = tmp_path / 'own.py'
  path.write_text(
    'from configs import base\ndef get_config():\n  return base.get_config()\n'
  )
  with pytest.raises(errors.UserError, match=r'own\.py has no ABLATIONS'):
    read_flags(path, '--ablations=a')


def test_a_run_in_use_is_left_alone(tmp_path):
  (tmp_path / 'no_distance').mkdir()
  held = lock.Lock(epath.Path(tmp_path / 'no_distance'))
  held.acquire()
  status, _, err = launch('ablate', tmp_path, f'--ablations={",".join(NAMES)}')
  assert status == 2
  assert 'no_distance is in use by process' in err


def test_the_command_of_one_ablation_alone():
  found = ablate.arguments(
    "--config=configs/a.py --workdir=w '--config.vae.hidden_sizes=(1, 2)' "
    '--config.num_seeds=3',
    'b',
    epath.Path('w/b'),
    2,
  )
  assert found == (
    "--config=configs/a.py:b '--config.vae.hidden_sizes=(1, 2)' "
    '--workdir=w/b --config.num_seeds=2'
  )


def test_an_ablation_that_has_changed_is_set_back_in_its_file(
  tmp_path, monkeypatch
):
  # No flag may set what it varies: to advise one would be of no use.
  given = ['x', '--config=configs/digits.py', f'--workdir={tmp_path}']
  given += ['--ablations=no_distance', '--num_seeds=1']
  monkeypatch.setattr(sys, 'argv', given)
  with flagsaver.flagsaver():
    flags.FLAGS(given)
    job = ablate.read_flags().jobs['no_distance']
  task = tasks.Task('no_distance', job, stage.ACTOR_CRITIC, 0)
  stored = task.follows_from
  stored['actor_critic']['distance_weight'] = 0.5
  with checkpoints.open_manager(task.folder, 1) as manager:
    checkpoints.save(manager, 1, {'a': jnp.zeros(1)}, stored, 0.0)
  with pytest.raises(errors.UserError) as raised:
    tasks.is_finished(task)
  said = 'set actor_critic.distance_weight back in the ablation of the config'
  assert said in str(raised.value)
  assert 'repeat' not in str(raised.value)


def test_curves_are_means_over_seeds():
  seeds = [
    [{'step': 1, 'train/loss': 1.0}, {'step': 2, 'train/loss': 4.0}],
    [{'step': 1, 'train/loss': 3.0}],
  ]
  line = ablations.mean_curves(seeds)['train/loss']
  np.testing.assert_allclose([line.steps, line.mean], [[1], [2.0]])
  np.testing.assert_allclose(line.std, [np.sqrt(2.0)])


def test_a_seed_that_skipped_steps_is_named_with_its_curve(tmp_path):
  config = digits.get_config()
  config.num_seeds = 4
  job = jobs_lib.Job(config, epath.Path(tmp_path))
  for replicate, losses in enumerate(
    ((3.0, 2.0, 1.0), (5.0, None, None), (None,), ())
  ):
    folder = epath.Path(stage.folder_of(job.workdir, stage.VAE, replicate))
    folder.mkdir(parents=True)
    lines = []
    for step, loss in enumerate(losses, start=1):
      record = {'step': step, 'train/nonfinite_gradients': 0.0}
      record |= {} if loss is None else {'train/loss': loss}
      lines.append(json.dumps(record) + '\n')
    (folder / 'metrics.jsonl').write_text(''.join(lines))
  found = ablation_report.curves({'default': job})
  assert 'train/loss' not in found.panels['vae']  # not a step that all have
  assert [gap.partition(';')[0] for gap in found.gaps] == [
    'Seed 3 of all: vae has no log, so its mean curves are left out.',
    *(
      f'Seed {seed} of all: train/loss of vae is not finite at {count} of its '
      'logged steps'
      for seed, count in ((1, 2), (2, 1))
    ),
  ]


def test_a_damaged_log_of_any_seed_is_named_before_the_work(tmp_path):
  config = digits.get_config()
  config.num_seeds = 2
  jobs = {'default': jobs_lib.Job(config, epath.Path(tmp_path))}
  ablation_report.check_logs(jobs)  # there is none yet
  path = tmp_path / 'seeds' / '1' / 'denoiser' / 'metrics.jsonl'
  path.parent.mkdir(parents=True)
  path.write_text('{"st\n{"step": 2}\n')
  with pytest.raises(errors.UserError, match=f'line 1 of {path}'):
    ablation_report.check_logs(jobs)


def test_the_report_has_every_ablation_mover_and_metric(tmp_path):
  jobs = {}
  for index, name in enumerate(NAMES):
    config = digits.get_config(name)
    jobs[name] = jobs_lib.Job(config, epath.Path(tmp_path / name))
    score = {'accuracy': {'mean': 0.5 + 0.1 * index, 'std': 0.01}}
    rows = {row: score for row in (*MOVERS, 'class_mixture')}
    rows['real'] = {'diversity': {'mean': 1.15, 'std': 0.0}}
    report = {
      'rows': rows,
      'not_finite': NOT_FINITE if index else [],
      'labels': 'classes',
      'num_seeds': 2,
      'hardware': 'none',
      'versions': {},
      'config': config.to_dict(),
    }
    (tmp_path / name / 'compare').mkdir(parents=True)
    path = tmp_path / name / 'compare' / 'metrics.json'
    path.write_text(json.dumps(report))
    (tmp_path / name / 'actor_critic').mkdir()
    log = tmp_path / name / 'actor_critic' / 'metrics.jsonl'
    log.write_text(json.dumps({'step': 1, 'train/actor_loss': 1.0}) + '\n')
  changes = {name: digits.ABLATIONS[name] for name in NAMES}
  ablation_report.write(epath.Path(tmp_path), jobs, changes, 'the command')
  folder = tmp_path / 'compare'
  lines = (folder / 'report.md').read_text().splitlines()
  header = '| Metric | Ablation | actor | optimizer | guided_denoiser |'
  assert lines[0].startswith(header)
  assert lines[0].endswith('| class_mixture (baseline) |')
  cells = ' | '.join(['0.600 ± 0.010'] * 4)
  assert f'| Accuracy | no_distance | {cells} |' in lines
  page = (folder / 'report.html').read_text()
  assert page.count('0.500 ± 0.010') == 4
  assert 'actor_critic.distance_weight = 0.0' in page
  for text in (page, '\n'.join(lines)):
    assert (
      '(row real; ablations: all) have Diversity 1.15 ± 0.00; values' in text
    )
    assert 'no_distance: Seed 1: Frechet of optimizer is not finite' in text
    assert 'default: Seed' not in text
  assert 'the command' in page
  assert (folder / 'curves_actor_critic.png').stat().st_size
  found = json.loads((folder / 'metrics.json').read_text())
  assert list(found['ablations']) == list(NAMES)
  assert found['ablations']['no_distance']['not_finite'] == NOT_FINITE
  assert found['ablations']['default']['rows']['actor'] == {
    'accuracy': {'mean': 0.5, 'std': 0.01}
  }


@pytest.mark.slow
def test_the_whole_command_leaves_ordinary_runs(tmp_path):
  further = '--config.actor_critic.more_distance_weights=(0.1,)'
  tiny = [argument for argument in TINY if argument != further]
  arguments = ['--ablations=default,no_distance', '--num_seeds=2', *tiny]
  status, out, err = launch('ablate', tmp_path, *arguments)
  assert status == 0, err
  assert 'actor_critic: 4 trainings of default, no_distance' in out
  assert 'vae: 2 trainings of default' in out
  assert not (tmp_path / 'groups').exists()
  report = (tmp_path / 'compare' / 'report.md').read_text()
  assert all(name in report for name in NAMES)
  # The second ablation's mixtures are copies, since they follow from the same.
  for name in ('chosen/labelled_plain.npz', 'class_mixture/mixture.npz'):
    first, second = (
      tmp_path / one / name for one in ('default', 'no_distance')
    )
    assert first.read_bytes() == second.read_bytes()
  assert out.count('mixtures: fitting the labelled one') == 2  # of two seeds
  # The single launchers find nothing to do there, and need not know.
  status, out, err = launch(
    'train_actor_critic',
    tmp_path / 'no_distance',
    '--config.actor_critic.distance_weight=0.0',
    '--config.num_seeds=2',
    *tiny,
  )
  assert status == 0, err
  assert out.count('finished before') == 4
  before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('checkpoints/*')}
  status, out, err = launch('ablate', tmp_path, *arguments)
  assert status == 0, err
  assert 'trainings of' not in out
  assert 'training of' not in out
  assert 'judging seed' not in out
  assert before == {
    p: p.stat().st_mtime_ns for p in tmp_path.rglob('checkpoints/*')
  }
