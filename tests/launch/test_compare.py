"""What the comparison says of seeds, data and files, without a training."""

import io
import json
import re

import numpy as np
import pytest
from etils import epath

from configs import digits
from lcjax import errors, types
from lcjax.data import dataset
from lcjax.evaluation import judging, plots
from lcjax.experiment import compare, compare_report, jobs, rows


def data(attributes):
  attributes = np.asarray(attributes, np.float32)
  images = np.zeros((len(attributes), 4, 4, 1), np.uint8)
  names = ('hat', 'smile', 'beard')[: attributes.shape[1]]
  return dataset.Dataset(images, attributes, types.Bits(names))


def judge(train, test):
  def predict_fn(images):
    raise AssertionError('nothing has to be judged')

  eye = np.eye(3)
  return judging.Judge(predict_fn, train, test, eye, eye, 1.5)


def test_attributes_that_nobody_requested_are_named():
  train = data([[1, 1, 1], [0, 1, 0]])
  test = data([[0, 1, 0], [0, 1, 0]])
  config = digits.get_config()
  found = compare_report.notes(config, judge(train, test), [{}])
  assert any('Never requested: hat, beard.' in note for note in found)
  found = compare_report.notes(config, judge(train, train), [{}])
  assert not any('Never requested' in note for note in found)


def test_how_many_samples_a_frechet_distance_is_of():
  train = data([[1, 1, 1], [0, 1, 0]])
  new, old = {'common_rows': 360}, {}
  for runs, said in (
    ([new, new], 'of n = 360 samples in every row'),
    ([old, new], 'an older version'),
  ):
    found = compare_report.notes(digits.get_config(), judge(train, train), runs)
    assert said in found[1]
    assert 'of photograph patches' in found[1]


KEPT = ('actor_kept', 'optimizer_kept', 'guided_denoiser_kept')
MOVERS = (
  'actor', 'optimizer', 'actor_then_optimizer', 'guided_denoiser', *KEPT
)  # fmt: skip
ROWS = ('real', 'class_mixture', *MOVERS)


ERRORS = {
  'rows': {row: {'accuracy': 0.02, 'frechet': 0.001} for row in ROWS},
  'differences': {
    row: {'class_mixture': {'accuracy': 0.003, 'frechet': None}}
    for row in MOVERS
  },
}


def result(replicate, frechet):
  """What judging one seed gives, and the rows behind it."""
  images = np.full((4, 8, 8, 1), 9, np.uint8)
  y = np.eye(10, dtype=np.float32)[:4]
  scores = {
    'accuracy': 0.5,
    'macro_f1': 0.5,
    'frechet': frechet,
    'latents_per_second': 100.0 + replicate,
  }
  found = {
    'rows': dict.fromkeys(ROWS, scores),
    'errors': ERRORS,
    'seconds': {'vae': 2.0},
  }
  if replicate == 0:
    steps = digits.get_config().compare.curve_steps
    found['curve'] = [scores | {'steps': s} for s in steps]
  return found, dict.fromkeys(ROWS, judging.Row(images, y, None, {}))


@pytest.fixture
def run(tmp_path, monkeypatch):
  """compare_all where judging is a stub; `run.judged` are its replicates."""

  class Run:
    def __init__(self):
      self.folder = tmp_path / 'compare'
      self.values = (float('nan'), 0.01, 0.02)
      self.judged = []

    def __call__(self, **changes):
      config = digits.get_config()
      config.num_seeds = len(self.values)
      config.update(changes)
      compare.compare_all(
        jobs.Job(config, epath.Path(tmp_path), False, '--config')
      )

  def load_judge(job, train, test):
    return judge(train, test)

  def compare_once(job, judge, replicate):
    found.judged.append(replicate)
    return result(replicate, found.values[replicate])

  found = Run()
  monkeypatch.setattr(rows, 'load_judge', load_judge)
  monkeypatch.setattr(compare, 'compare_once', compare_once)
  return found


def test_a_seed_that_diverged_is_named_at_first_and_later(run, capsys):
  written = []
  for _ in range(2):
    run()
    out = capsys.readouterr().out
    assert 'Seed 0: Frechet of actor is not finite' in out
    files = 'metrics.json', 'report.html', 'report.md'
    written.append([(run.folder / name).read_text() for name in files])
  assert run.judged == [0, 1, 2]
  assert written[0] == written[1]
  report = json.loads(written[0][0])
  assert report['rows']['actor']['frechet'] == {'mean': None, 'std': None}
  assert {'seed': 0, 'row': 'actor', 'metrics': ['frechet']} in (
    report['not_finite']
  )
  for text in written[0][1:]:
    assert 'Seed 0: Frechet of actor is not finite' in text


def npz(**arrays):
  stream = io.BytesIO()
  np.savez(stream, **arrays)
  return stream.getvalue()


def changed(change):
  """Damages a seed's result that is JSON still."""

  def damage(content):
    found = json.loads(content)
    change(found)
    return json.dumps(found).encode()

  return damage


WHITE = np.zeros((4, 8, 8, 1), np.uint8)
DAMAGES = {
  'empty': ('runs/2.json', lambda content: b''),
  'cut': ('runs/2.json', lambda content: content[: len(content) // 2]),
  'a_list': ('runs/2.json', lambda content: b'[1]'),
  'deep': ('runs/2.json', lambda content: b'[' * 100_000),
  'no_rows': ('runs/2.json', changed(lambda found: found.pop('rows'))),
  'rows_of_text': (
    'runs/2.json',
    changed(lambda found: found['rows']['actor'].update(frechet='low')),
  ),
  'a_row_is_lost': (
    'runs/2.json',
    changed(lambda found: found['rows'].pop('optimizer')),
  ),
  'a_score_is_lost': (
    'runs/2.json',
    changed(lambda found: found['rows']['actor'].pop('frechet')),
  ),
  'no_curve': ('runs/0.json', changed(lambda found: found.pop('curve'))),
  'short_curve': ('runs/0.json', changed(lambda found: found['curve'].pop())),
  'versions': (
    'runs/0.json',
    changed(lambda found: found.update(versions='1.0')),
  ),
  'seconds': ('runs/0.json', changed(lambda found: found.update(seconds=3))),
  'errors': ('runs/0.json', changed(lambda found: found.update(errors=3))),
  'errors_of_text': (
    'runs/0.json',
    changed(lambda found: found['errors']['rows']['actor'].update(frechet='')),
  ),
  'errors_of_others': (
    'runs/0.json',
    changed(lambda found: found['errors']['rows']['actor'].update(odd=1.0)),
  ),
  'differences_of_text': (
    'runs/0.json',
    changed(
      lambda found: found['errors']['differences']['actor'].update(real=['a'])
    ),
  ),
  'no_samples': ('samples/actor.npz', lambda content: b''),
  'cut_samples': ('samples/actor.npz', lambda content: content[:-99]),
  'flipped_samples': (
    'samples/actor.npz',
    lambda content: content[:90] + bytes(40) + content[130:],
  ),
  'text_samples': ('samples/actor.npz', lambda content: b'images'),
  'other_samples': ('samples/actor.npz', lambda content: npz(z=WHITE)),
  'one_array': ('samples/actor.npz', lambda content: npz(images=WHITE)[:40]),
  'no_rows_of_samples': (
    'samples/actor.npz',
    lambda content: npz(images=WHITE[:0]),
  ),
  'float_samples': (
    'samples/actor.npz',
    lambda content: npz(images=WHITE / 1.0),
  ),
  'small_samples': (
    'samples/actor.npz',
    lambda content: npz(images=WHITE[:, :5]),
  ),
  'other_attributes': (
    'samples/actor.npz',
    lambda content: npz(images=WHITE, attributes=np.eye(10)),
  ),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_a_damaged_file_is_named_before_any_judging(run, name):
  run()
  which, damage = DAMAGES[name]
  path = run.folder / which
  path.write_bytes(damage(path.read_bytes()))
  (run.folder / 'runs' / '1.json').unlink()  # of this, hours of judging
  with pytest.raises(errors.UserError, match=re.escape(str(path))) as raised:
    run()
  assert 'delete' in str(raised.value)
  assert '\n' not in str(raised.value)
  assert run.judged == [0, 1, 2]


def test_samples_that_are_gone_are_named_before_any_judging(run):
  run()
  (run.folder / 'samples' / 'actor.npz').unlink()
  (run.folder / 'runs' / '1.json').unlink()
  with pytest.raises(errors.UserError, match=r'actor\.npz is missing') as error:
    run()
  assert 'runs/0.json to judge that seed again' in str(error.value)
  (run.folder / 'runs' / '0.json').unlink()  # as it says
  run()
  assert run.judged == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
  'line', [b'{"st', b'7', b'{"step": 1, "train/loss": "low"}', b'\xff', b'']
)
def test_a_damaged_log_is_named_before_any_judging(run, line):
  whole = b'{"step": 2, "train/loss": 1.0}\n'
  folder = run.folder.parent / 'vae'
  folder.mkdir()
  path = folder / 'metrics.jsonl'
  path.write_bytes(whole + line + b'\n' + whole)
  with pytest.raises(errors.UserError, match=f'line 2 of {path}'):
    run()
  assert run.judged == []
  path.write_bytes(whole + line)  # what a kill leaves
  run()
  assert run.judged == [0, 1, 2]


def test_an_empty_log_is_named_and_costs_its_curves_alone(run, capsys):
  path = run.folder.parent / 'vae' / 'metrics.jsonl'
  path.parent.mkdir()
  path.touch()
  run()
  said = capsys.readouterr().out.splitlines()
  assert f'{path} is empty or missing' in said[0]
  assert 'judging' in said[1]


def test_one_seed_has_intervals_unless_an_older_version_judged_it(run, capsys):
  run.values = (0.01,)
  run()
  sentence = (
    'actor cannot be told apart from class_mixture on accuracy (+0.000 [-0.006,'
    ' +0.006]); has no interval against class_mixture on Frechet.'
  )
  assert sentence in capsys.readouterr().out
  text = (run.folder / 'report.md').read_text()
  assert '| actor | 0.500 ± 0.020 | 0.0100 ± 0.0010 |' in text
  assert '* One seed: ± is the standard error over images' in text
  report = json.loads((run.folder / 'metrics.json').read_text())
  gap = report['differences']['actor']['class_mixture']['accuracy']
  assert gap['difference'] == 0 and gap['p'] == 1
  assert sentence in (run.folder / 'report.html').read_text()
  path = run.folder / 'runs' / '0.json'
  found = json.loads(path.read_text())
  del found['errors']
  path.write_text(json.dumps(found))
  run()
  assert run.judged == [0]
  assert (
    'actor has no interval against class_mixture on Frechet and accuracy.'
  ) in capsys.readouterr().out
  text = (run.folder / 'report.md').read_text()
  assert '| actor | 0.500 | 0.0100 |' in text
  assert 'older version: no standard errors' in text


def test_another_config_or_training_is_no_damage(run):
  run()
  path = run.folder / 'runs' / '0.json'
  with pytest.raises(errors.UserError, match=r'config\.compare\.curve_steps'):
    run(compare={'curve_steps': (0, 3)})
  found = json.loads(path.read_text())
  found['trainings']['actor_critic_lambda_2'] = 3.0  # no longer in the config
  del found['rows']['actor']
  path.write_text(json.dumps(found))
  run()
  assert run.judged == [0, 1, 2, 0]


def test_what_is_printed_twice_is_the_same(run, monkeypatch):
  run.values = (0.01, 0.02)
  drawn = []

  def quality(steps, optimizer, others):
    drawn.append((optimizer, others))
    return b''

  monkeypatch.setattr(plots, 'quality_against_compute', quality)
  run()
  report = json.loads((run.folder / 'metrics.json').read_text())
  ((optimizer, others),) = drawn
  # The curve is of one start and the first seed: it has no speed of its own.
  assert set(optimizer) == {'accuracy', 'frechet'}
  assert set(others) == {'actor', 'class_mixture', 'optimizer'}
  for name, scores in others.items():
    row = report['rows'][name]
    for metric in ('accuracy', 'frechet', 'latents_per_second'):
      assert scores[metric] == row[metric]['mean']
  # What the judge says of real images is the row real.
  real = report['rows']['real']
  assert report['judge'] == {
    n: real[n]['mean'] for n in ('accuracy', 'macro_f1')
  }
  page = (run.folder / 'report.html').read_text()
  assert page.count(report['hardware']) == 1


def test_a_result_keeps_what_it_was_measured_on(run, monkeypatch):
  monkeypatch.setattr(compare_report, 'hardware', lambda: 'first machine')
  run.values = (0.01,)
  run()
  monkeypatch.setattr(compare_report, 'hardware', lambda: 'second machine')
  run.values = (0.01, 0.02)
  run()
  report = json.loads((run.folder / 'metrics.json').read_text())
  assert report['hardware'] == 'first machine; second machine'
  assert report['versions'] == compare_report.versions()
  assert run.judged == [0, 1]


def test_seeds_that_a_report_leaves_out_are_said(run, capsys):
  run()
  assert 'this report has' not in capsys.readouterr().out
  run(num_seeds=1)
  assert (
    'compare: 3 seeds were judged before, this report has 1; '
    '--config.num_seeds=3 for all'
  ) in capsys.readouterr().out
