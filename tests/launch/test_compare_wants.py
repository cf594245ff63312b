"""Compositions side by side, on a tiny run with one rule."""

import json
import shutil

import numpy as np
import pytest
from etils import epath

from lcjax import errors
from lcjax.experiment import (
  build,
  compare_wants,
  files,
  jobs,
  loading,
  movers,
  train_rules,
  trainers,
  want_report,
  want_requests,
  want_rows,
)
from tests.launch import launchers
from tests.launch.test_rules import DARK, STAGES, tiny

JUDGES = 'classifier', 'second_classifier'
# What differs from run to run.
CLOCKS = 'latents_per_second', 'speed_spread', 'seconds'


def config_of(**texts):
  config = tiny(dark=DARK)
  config.vae.train.num_steps = 400
  config.latent_critics.train.num_steps = 300
  config.denoiser.train.num_steps = 300
  config.denoiser.width = 64
  for judge in JUDGES:
    config[judge].train.num_steps = 60
    config[judge].train.steps_per_call = 10
  config.rules.rounds = 0
  config.compare_wants.update(
    num_samples=200,
    search_num_samples=100,
    guidance_weights=(0.0, 4.0),
    baseline_tries=8,
    num_steps=3,
    actor_num_steps=150,
  )
  config.mixture.num_components = (1,)
  config.mixture.unlabelled_components = (2,)
  config.mixture.narrow = ()
  config.walk.steps = (2,)
  config.walk.start_times = (0.6,)
  config.walk.attribute_weights = (2.0,)
  for name, text in texts.items():
    config.wants[name] = text
  return config


TEXTS = {'dark': 'dark', 'dark_digit': 'all(dark, attributes)'}


@pytest.fixture(scope='module')
def trained(tmp_path_factory, one_device):
  """A workdir with everything that compositions are compared with."""
  job = jobs.Job(config_of(), epath.Path(tmp_path_factory.mktemp('run')))
  trainers.train_all(job, *JUDGES)
  trainers.train_all(job, *STAGES)
  train_rules.train_all(job)
  return job.workdir


@pytest.fixture(scope='module')
def compared(trained):
  """The same, compared, and the report."""
  job = jobs.Job(config_of(**TEXTS), trained, arguments='--here')
  compare_wants.compare_all(job)
  return job, json.loads(
    (trained / 'compare_wants' / 'metrics.json').read_text()
  )


@pytest.fixture
def copied(trained, compared, tmp_path):
  """A copy of the workdir before the comparison."""
  workdir = epath.Path(tmp_path / 'run')
  shutil.copytree(trained, workdir)
  shutil.rmtree(workdir / 'compare_wants')
  return jobs.Job(config_of(**TEXTS), workdir, arguments='--here')


def mean(report, want, row, metric):
  return report['wants'][want]['rows'][row][metric]['mean']


def test_rejection_and_guidance_obey_and_the_floor_does_not(compared):
  _, report = compared
  for want, floor in (('dark', 'mixture'), ('dark_digit', 'class_mixture')):
    share = mean(report, want, floor, 'met_dark')
    assert mean(report, want, 'prior', 'met_dark') < 0.8
    assert share < 0.8
    assert mean(report, want, f'{floor}_kept', 'met_dark') > share + 0.15
    assert mean(report, want, 'satisfying_mixture', 'met_dark') > share
    assert mean(report, want, 'actor', 'met_dark') > share
    assert mean(report, want, f'{floor}_kept', 'tries') > 1.1
    for real in ('real_satisfying', 'real_train_satisfying'):
      assert mean(report, want, real, 'met_dark') == 1.0
    assert mean(report, want, 'real_satisfying', 'frechet_satisfying') < 1e-3
    assert mean(report, want, 'real_train_satisfying', 'frechet_satisfying') > 0
  assert 'met_attributes' not in report['wants']['dark']['rows']['mixture']
  jointly = mean(report, 'dark_digit', 'guided_walk', 'met_jointly')
  assert jointly <= mean(report, 'dark_digit', 'guided_walk', 'met_attributes')


def test_the_report_has_every_composition_with_its_settings(compared):
  job, report = compared
  folder = job.workdir / 'compare_wants'
  page = (folder / 'report.html').read_text()
  text = (folder / 'report.md').read_text()
  for name, want in TEXTS.items():
    assert (folder / f'{name}.png').read_bytes()[:4] == b'\x89PNG'
    assert f'{name}: <code>{want}</code>' in page
    assert f'### {name}: `{want}`' in text
  assert 'dark by its own check of the decoded sample' in text
  assert 'dark 500' in text  # calls of the rule
  first = text.split('\n\n')[0].splitlines()
  assert [line.split(' | ')[0] for line in first[2:]] == [
    '| dark',
    '| dark_digit',
  ]
  shown = first[2].split(' | ')[4]  # of the walk
  assert shown == f'{mean(report, "dark", "guided_walk", "met_jointly"):.3f}'
  for weights in (one['chosen'][0] for one in report['wants'].values()):
    for one in weights.values():
      assert [c['weight'] for c in one['candidates']] == [0.0, 4.0]
      assert one['weight'] in (0.0, 4.0)
  assert report['wants']['dark']['sentences'][0].startswith(
    'guided_walk: satisfied by'
  )


def without_clocks(path):
  found = json.loads(path.read_text())
  for scores in found['rows'].values():
    for key in CLOCKS:
      scores.pop(key, None)
  return {k: v for k, v in found.items() if k not in CLOCKS}


def test_killed_between_compositions_it_ends_in_the_same_place(
  copied, compared, monkeypatch, capsys
):
  original, count = files.write_json, iter(range(9))

  def write_json(path, found):
    original(path, found)
    if 'compare_wants' in str(path) and next(count) == 0:
      raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(files, 'write_json', write_json)
    with pytest.raises(KeyboardInterrupt):
      compare_wants.compare_all(copied)
  capsys.readouterr()
  compare_wants.compare_all(copied)
  assert 'dark, seed 0 was judged before' in capsys.readouterr().out
  for name in TEXTS:
    path = f'compare_wants/runs/0/{name}.json'
    assert without_clocks(copied.workdir / path) == without_clocks(
      compared[0].workdir / path
    )


def test_another_composition_judges_nothing_again_a_changed_one_is_refused(
  compared, capsys, monkeypatch
):
  job, _ = compared

  def fail(*given):
    raise AssertionError(f'{given[2]} is judged')

  monkeypatch.setattr(compare_wants, '_compare_once', fail)
  more = config_of(**TEXTS, light='not(dark)')
  more.want = 'all(realism, attributes)'  # has no part in it
  with pytest.raises(AssertionError, match='light is judged'):
    compare_wants.compare_all(job._replace(config=more))
  said = capsys.readouterr().out
  assert 'dark, seed 0 was' in said and 'dark_digit, seed 0 was' in said
  for other in (
    config_of(dark='2*dark'),
    config_of(dark='dark'),
  ):
    other.compare_wants.num_steps += other.wants.dark == 'dark'
    with pytest.raises(errors.UserError) as raised:
      compare_wants.compare_all(job._replace(config=other))
    assert '\n' not in str(raised.value)
    assert 'dark.json' in str(raised.value)


def test_choices_are_those_of_a_run_without_constraints(compared, capsys):
  job, _ = compared
  config = config_of()
  config.constraints = {}
  config.walk.attribute_weights = (1.0, 2.0)
  plain, asked = job._replace(config=config), config_of(**TEXTS)
  asked.walk.attribute_weights = (1.0, 2.0)
  data = build.load_data(job, 'train')
  bound = loading.load_movers(plain, 0, data)
  found = movers.choices_of(plain, 0, bound, data).walks
  path = job.workdir / 'chosen' / 'chosen.json'
  written = path.stat().mtime
  both = job._replace(config=asked)
  bound = loading.load_movers(both, 0, data)
  shared = compare_wants.choices_of(both, 0, bound, data)
  assert shared.walks == found
  assert path.stat().mtime == written


def test_the_mixture_of_satisfying_encodings_reads_labels_only_if_asked(
  compared,
):
  job, _ = compared
  data = build.load_data(job, 'train')
  bound = loading.load_movers(job, 0, data)
  chosen = movers.choices_of(job, 0, bound, data)
  for name, plain in (
    ('dark', chosen.unlabelled.plain.draw.model),
    ('dark_digit', chosen.labelled.plain.draw.model),
  ):
    request = want_requests.make_request(job.config, bound, name)
    found = want_rows.satisfying_mixture(job.config, request, plain)
    z = bound.train.sample(bound.seed)
    y = bound.train.attributes
    met = request.terms.met(bound.decode(z), y, y, z)['dark']
    assert found.share == pytest.approx(met.mean(), abs=1e-6)
    assert found.num_scored == len(z)
    assert (found.draw.sampler is None) == (name == 'dark')
    model = found.draw.model
    if name == 'dark':
      centre = (model.weights / model.weights.sum()) @ model.means
      own, other = (
        np.linalg.norm(centre - z[rows].mean(axis=0)) for rows in (met, ~met)
      )
      assert own < 0.2 * other


def test_the_weight_of_least_distance_among_those_that_satisfy_enough():
  def one(weight, share, distance):
    return {
      'weight': weight,
      'met_jointly': share,
      'frechet_satisfying': distance,
    }

  found = [one(0, 0.2, 0.1), one(1, 0.9, 0.4), one(2, 0.97, 0.3)]
  assert want_rows.best(found, 0.9)['weight'] == 2
  assert want_rows.best(found, 0.1)['weight'] == 0
  assert want_rows.best(found, 0.99)['weight'] == 2  # the greatest share
  free = [{'weight': w, 'met_jointly': 1.0} for w in (4, 2)]
  assert want_rows.best(free, 0.9)['weight'] == 2


def test_intervals_are_paired_over_seeds():
  def table(walk, mixture):
    rows = {'guided_walk': walk, 'mixture_kept': mixture}
    return {
      'rows': {
        name: {'met_jointly': 0.9, 'frechet_satisfying': value}
        for name, value in rows.items()
      },
      'chosen': {'guided_walk': {'weight': 2.0}},
      'judged_by': {'dark': 'its own check'},
      'rule_calls': {'dark': 7},
      'satisfying': 5,
      'share': 0.1,
      'num_scored': 9,
      'share_scored': 0.2,
      'seconds': 1.0,
    }

  runs = {'dark': [table(0.1, 0.2), table(0.2, 0.3), table(0.3, 0.4)]}
  found = want_report.summarise(runs, {'dark': 'dark'})['wants']['dark']
  (sentence,) = found['sentences']
  # The distances differ much from seed to seed, their differences do not.
  assert '0.67 times that of mixture_kept (-0.1000 [-0.1000, -0.1000])' in (
    sentence
  )


@pytest.mark.parametrize(
  'texts, said',
  [
    ({}, 'config.wants has no composition'),
    ({'a b': 'dark'}, "config.wants.a b: the name must consist of letters"),
    ({'a': 'drak'}, "config.wants.a='drak', character 1: 'drak' is not a"),
    ({'a': 'not(near)'}, 'has no opposite'),
  ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_anything_is_read(tmp_path, texts, said):
  job = jobs.Job(config_of(**texts), epath.Path(tmp_path / 'run'))
  with pytest.raises(errors.UserError) as raised:
    compare_wants.check(job)
  assert said in str(raised.value) and '\n' not in str(raised.value)


def test_the_launcher_names_a_missing_training(tmp_path):
  (tmp_path / 'own.py').write_text(
    'from configs import digits\n\n\n'
    'def get_config(name=""):\n'
    '  config = digits.get_config()\n'
    '  config.wants.digit = "attributes"\n'
    '  return config\n'
  )
  found = launchers.run(
    'launch.compare_wants',
    f'--config={tmp_path}/own.py',
    f'--workdir={tmp_path}/run',
  )
  assert found.returncode == 2
  assert 'run python -m launch.train_classifier' in found.stderr
