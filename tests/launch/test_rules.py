"""Rules of a config: learned once, after a kill as well, and obeyed."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest
from etils import epath

from configs import digits
from lcjax import errors
from lcjax.experiment import (
  build,
  compare,
  files,
  fingerprint,
  jobs,
  loading,
  movers,
  pipeline,
  preflight,
  rule_entries,
  stage,
  train_rules,
  trainers,
)
from lcjax.training import metrics_log
from tests.launch import launchers

STAGES = 'vae', 'latent_critics', 'actor_critic', 'denoiser'
MINE = '''
import numpy as np


def upper(x, least=0.5):
  """Whether more than a share of the ink is in the upper half."""
  ink = x.sum(axis=(2, 3))
  return ink[:, :4].sum(axis=1) > least * ink.sum(axis=1)
'''
DARK = {
  'kind': 'rule',
  'rule': 'ink',
  'arguments': {'high': 0.3, 'brightness': 0.5, 'softness': 0.1},
  'weight': 20.0,
}
UPPER = {'kind': 'rule', 'rule': 'mine_rules:upper', 'num_steps': 50}


def tiny(**constraints):
  config = digits.get_config()
  config.vae.hidden_sizes = (32,)
  config.latent_critics.hidden_sizes = (16,)
  config.actor_critic.actor_hidden_sizes = (16,)
  config.actor_critic.critic_hidden_sizes = (16,)
  config.denoiser.update(
    width=16, num_blocks=1, attribute_width=16, attribute_blocks=1
  )
  config.vae.train.num_steps = 300
  for name in STAGES[1:]:
    config[name].train.num_steps = 10
  for name in STAGES:
    config[name].train.steps_per_call = 10
  config.denoise.mixture_above = 1.0
  config.optimize.max_steps = 50
  config.rules.update(
    num_samples=400,
    rounds=2,
    num_held_out=100,
    hidden_sizes=(32, 32),
    num_steps=300,
    batch_size=32,
    start_components=1,
  )
  for name, entry in constraints.items():
    config.constraints[name] = entry
  return config


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
  """A current folder with a user's file of rules."""
  (tmp_path / 'mine_rules.py').write_text(MINE)
  monkeypatch.chdir(tmp_path)
  monkeypatch.delitem(sys.modules, 'mine_rules', raising=False)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, one_device):
  """A workdir with all but the judges, of a config without rules."""
  workdir = epath.Path(tmp_path_factory.mktemp('run'))
  trainers.train_all(jobs.Job(tiny(), workdir), *STAGES)
  return workdir


@pytest.fixture
def job(trained, tmp_path):
  """The same, with rules to learn."""
  workdir = epath.Path(tmp_path / 'run')
  shutil.copytree(trained, workdir)
  return jobs.Job(tiny(dark=DARK, upper=UPPER), workdir, arguments='--here')


def read(job, name):
  folder = rule_entries.folder_of(job.workdir, 0, name)
  arrays = files.read_npz(folder / train_rules.FILE)
  del arrays['seconds']
  return arrays, (folder / metrics_log.FILE).read_text()


def test_optimizer_g_and_the_denoiser_get_what_is_learned(job):
  train_rules.train_all(job)
  data = build.load_data(job, 'train')
  bound = loading.load_movers(job, 0, data)
  (dark, weight), (upper, other) = bound.want.further.values()
  assert (dark.name, weight, upper.name, other) == ('dark', 20.0, 'upper', 1.0)
  guide = movers.make_denoiser(bound, job.config.denoise).phases[-1].want
  assert {'dark', 'upper'} <= set(guide.names())
  assert dark.noised_fn is not None
  z = bound.model.draw_prior(np.arange(200), jax.random.key(0))
  y = data.attributes[:200]
  rule = rule_entries.entries(job.config)['dark'].make()
  before = np.mean(rule(bound.model.decode(z)) >= 0.5)
  moved = movers.move(movers.make_optimizer(bound, job.config.optimize), z, y)
  after = np.mean(rule(bound.model.decode(moved.z)) >= 0.5)
  assert before < 0.3 and after > 0.45  # in 50 steps of a small size


def test_it_is_logged_and_reported(job):
  train_rules.train_all(job)
  folder = rule_entries.folder_of(job.workdir, 0, 'dark')
  lines = metrics_log.read(folder)
  assert [line['step'] for line in lines] == [1, 2, 3, 4]
  calls = [line.get('train/rule_calls') for line in lines[:3]]
  assert calls == [400, 800, 1200]
  assert 0 < lines[0]['train/rate_prior'] < 1
  assert {'train/rate_start', 'train/rate_encodings'} <= set(lines[0])
  report = json.loads((folder / 'report.json').read_text())
  assert report['calls'] == lines[3]['validation/rule_calls'] == 1300
  assert lines[3]['validation/threshold'] == report['threshold']
  assert report['rates']['moved_2'] == lines[2]['train/rate_moved_2']
  for key in ('precision', 'satisfied'):
    assert lines[3][f'validation/{key}'] == report[key]


def test_what_is_finished_is_not_learned_again(job, capsys):
  train_rules.train_all(job)
  before = read(job, 'dark')
  path = rule_entries.folder_of(job.workdir, 0, 'dark') / train_rules.FILE
  written = path.stat().mtime
  capsys.readouterr()
  # Neither the weight nor another rule matters.
  config = tiny(dark={**DARK, 'weight': 1.0}, other={**DARK, 'level': 0.4})
  train_rules.train_all(job._replace(config=config))
  assert 'rule dark: finished before' in capsys.readouterr().out
  assert path.stat().mtime == written
  np.testing.assert_equal(read(job, 'dark'), before)


@pytest.mark.parametrize('write', range(4))
@pytest.mark.parametrize('before', [True, False])
def test_a_killed_run_goes_on_to_the_same_bytes(
  job, write, before, monkeypatch, trained, capsys
):
  """Killed at each of the writes, just before or after it."""
  job = job._replace(config=tiny(dark=DARK))
  original, count = files.write_npz, iter(range(99))

  def write_npz(*given, **named):
    dies = next(count) == write
    if dies and before:
      raise KeyboardInterrupt
    original(*given, **named)
    if dies:
      raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(files, 'write_npz', write_npz)
    with pytest.raises(KeyboardInterrupt):
      train_rules.train_all(job)
  capsys.readouterr()
  train_rules.train_all(job)
  said = capsys.readouterr().out
  assert ('resuming' in said) == (0 < write + (not before) < 4)
  whole = job._replace(workdir=job.workdir.parent / 'whole')
  shutil.copytree(trained, whole.workdir)
  train_rules.train_all(whole)
  np.testing.assert_equal(read(job, 'dark'), read(whole, 'dark'))
  found = [
    rule_entries.parameters(one, 0)['rules/dark'] for one in (job, whole)
  ]
  assert found[0] is not None and found[0] == found[1]


def test_a_new_rule_retrains_nothing_and_makes_results_again(job):
  plain = job._replace(config=tiny())
  for which in stage.trainings(job.config):
    assert fingerprint.follows_from(job, which, 0) == fingerprint.follows_from(
      plain, which, 0
    )
  keys = [fingerprint.follows_from(plain, stage.GENERATED, 0)]
  keys.append(fingerprint.follows_from(job, stage.GENERATED, 0))
  train_rules.train_all(job)
  keys.append(fingerprint.follows_from(job, stage.GENERATED, 0))
  other = {'dark': {**DARK, 'num_steps': 20}, 'upper': UPPER}
  again = job._replace(config=tiny(**other), overwrite=True)
  train_rules.train_all(again)
  keys.append(fingerprint.follows_from(job, stage.GENERATED, 0))
  texts = {fingerprint.text(key) for key in keys}
  assert len(texts) == 4
  assert 'mine_rules.py' in keys[1]['trainings']


def test_every_seed_learns_its_own(trained, tmp_path):
  config = tiny(dark={**DARK, 'rounds': 0, 'num_steps': 20})
  config.num_seeds = 2
  workdir = epath.Path(tmp_path / 'run')
  shutil.copytree(trained, workdir)
  job = jobs.Job(config, workdir)
  trainers.train_all(job, 'vae')
  train_rules.train_all(job)
  found = [rule_entries.parameters(job, i)['rules/dark'] for i in (0, 1)]
  assert None not in found and found[0] != found[1]
  assert (workdir / 'seeds' / '1' / 'rules' / 'dark').exists()


def refused(make):
  with pytest.raises(errors.UserError) as raised:
    make()
  said = str(raised.value)
  assert '\n' not in said
  return said


def test_what_is_missing_is_one_line_with_the_command(job):
  def load():
    return loading.load_critics(job, 0, build.load_data(job, 'train'))

  said = refused(load)
  assert "the rule 'dark' has not been learned in" in said
  assert said.endswith('run python -m launch.train_rules --here')
  train_rules.train_all(job._replace(config=tiny(dark=DARK)))
  assert "the rule 'upper' has not been learned" in refused(load)
  bare = job._replace(workdir=job.workdir / 'empty')
  said = refused(lambda: train_rules.train_all(bare))
  assert 'vae has not been trained' in said


def test_other_settings_and_files_are_refused_by_name(job, tmp_path):
  train_rules.train_all(job)
  changed = job._replace(config=tiny(dark={**DARK, 'level': 0.25}, upper=UPPER))
  said = refused(lambda: train_rules.train_all(changed))
  assert 'config.constraints.dark.level=0.5, now it is 0.25' in said
  (tmp_path / 'mine_rules.py').write_text(MINE + '\n\nMORE = 1\n')
  said = refused(lambda: train_rules.train_all(job))
  assert 'rules/upper was trained with another mine_rules.py' in said
  data = build.load_data(job, 'train')
  said = refused(lambda: loading.load_critics(job, 0, data))
  assert said.endswith('(python -m launch.train_rules --here --overwrite)')
  train_rules.train_all(job._replace(overwrite=True))
  loading.load_critics(job, 0, data)
  path = rule_entries.folder_of(job.workdir, 0, 'dark') / train_rules.FILE
  path.write_bytes(path.read_bytes()[:-100])
  assert 'is damaged' in refused(lambda: train_rules.train_all(job))


@pytest.mark.parametrize(
  'entry, said',
  [
    ({}, "config.constraints.a has no 'rule'"),
    ({'rule': 'inc'}, "config.constraints.a.rule='inc' does not exist: give"),
    (
      {'rule': 'ink', 'arguments': {'lo': 1}},
      "unexpected keyword argument 'lo'",
    ),
    ({'rule': 'ink', 'arguments': {'low': 2.0}}, 'rule ink: low=2.0 must be'),
    ({'rule': 'ink', 'arguments': 3}, 'config.constraints.a.arguments=3'),
    ({'rule': 'mine_rules:low'}, 'mine_rules has no low'),
    ({'rule': 'mine_rules:upper', 'arguments': {'b': 1}}, "argument 'b'"),
    ({'rule': 'nothing:upper'}, 'there is no module nothing'),
    ({'rule': 'ink', 'level': 0}, 'config.constraints.a.level=0'),
    ({'rule': 'ink', 'weight': -1}, 'weight=-1'),
    (
      {'rule': 'ink', 'round': 1},
      "there is no key 'round': did you mean rounds",
    ),
    ({'rule': 'ink', 'rounds': 'b'}, "rounds='b' has the wrong type"),
    (
      {'rule': 'mean_colour', 'arguments': {'colour': (1.0, 0.0, 0.0)}},
      'colour has 3 values, the images have 1 channels',
    ),
    (
      {'rule': 'mine_rules:upper', 'arguments': {'least': 'a'}},
      "rule 'a': sample 0 (training images) raises",
    ),
  ],
)
def test_a_mistake_is_one_line_before_any_training(tmp_path, entry, said):
  job = jobs.Job(
    tiny(a={'kind': 'rule', **entry}), epath.Path(tmp_path / 'new')
  )
  found = refused(lambda: preflight.check(job, [stage.VAE], judges=False))
  assert said in found
  assert not job.workdir.exists()


def test_the_pipeline_learns_rules_after_the_vae_and_before_results(
  monkeypatch, tmp_path
):
  called = []

  def note(name):
    return lambda *given, **named: called.append((name, *given[1:]))

  monkeypatch.setattr(preflight, 'check_pipeline', note('check'))
  monkeypatch.setattr(trainers, 'train_all', note('train'))
  monkeypatch.setattr(train_rules, 'train_all', note('rules'))
  monkeypatch.setattr(pipeline, 'generate_once', note('generate'))
  monkeypatch.setattr(compare, 'compare_all', note('compare'))
  pipeline.train_and_compare(
    jobs.Job(tiny(dark=DARK), epath.Path(tmp_path / 'run'))
  )
  order = [name for name, *_ in called]
  assert order[0] == 'check' and order[-2:] == ['generate', 'compare']
  (models,) = (i for i, one in enumerate(called) if 'vae' in one)
  assert models < order.index('rules') < len(order) - 2


def test_the_launcher_says_that_there_is_no_rule(tmp_path):
  found = launchers.run(
    'launch.train_rules',
    '--config=configs/digits.py',
    f'--workdir={tmp_path}/run',
  )
  assert found.returncode == 2
  assert 'config.constraints has no rule: add one' in found.stderr
  assert found.stderr.count('\n') == 1
