"""What the comparison says of seeds, data and files, without a training."""

import json

import numpy as np
import pytest
from etils import epath

from configs import digits
from launch import compare, compare_report, rows, startup
from lcjax.data import dataset


def data(attributes, exclusive):
  attributes = np.asarray(attributes, np.float32)
  images = np.zeros((len(attributes), 4, 4, 1), np.uint8)
  names = ('hat', 'smile', 'beard')[: attributes.shape[1]]
  return dataset.Dataset(images, attributes, names, exclusive)


def judge(train, test):
  def look(images):
    raise AssertionError('nothing has to be judged')

  return rows.Judge(look, train, test, np.eye(3), np.eye(3), 1.5)


def test_attributes_that_nobody_requested_are_named():
  train = data([[1, 1, 1], [0, 1, 0]], exclusive=False)
  test = data([[0, 1, 0], [0, 1, 0]], exclusive=False)
  config = digits.get_config()
  found = compare_report.notes(config, judge(train, test))
  assert any('Never requested: hat, beard.' in note for note in found)
  found = compare_report.notes(config, judge(train, train))
  assert not any('Never requested' in note for note in found)


ROWS = ('real', 'class_mixture', 'actor', 'optimizer')


def result(repeat, frechet):
  """What judging one seed gives, and the rows behind it."""
  images = np.full((4, 8, 8, 1), 9, np.uint8)
  y = np.eye(10, dtype=np.float32)[:4]
  scores = {
    'accuracy': 0.5,
    'frechet': frechet,
    'latents_per_second': 100.0 + repeat,
  }
  found = {'rows': dict.fromkeys(ROWS, scores), 'seconds': {'vae': 2.0}}
  if repeat == 0:
    found['curve'] = [{'steps': 1, 'latents_per_second': 7.0} | scores]
  return found, dict.fromkeys(ROWS, rows.Row(images, y, None, {}))


@pytest.fixture
def run(tmp_path, monkeypatch):
  """compare.run where judging is a stub; `run.judged` are its repetitions."""

  class Run:
    def __init__(self):
      self.folder = tmp_path / 'compare'
      self.values = (float('nan'), 0.01, 0.02)
      self.judged = []

    def __call__(self, **changes):
      config = digits.get_config()
      config.num_seeds = len(self.values)
      config.update(changes)
      compare.run(startup.Job(config, epath.Path(tmp_path), False, '--config'))

  def load_judge(job, train, test):
    look = lambda images: (test.attributes, np.eye(len(test)))  # noqa: E731
    return rows.Judge(look, train, test, np.eye(3), np.eye(3), 1.5)

  def compare_once(job, judge, repeat):
    found.judged.append(repeat)
    return result(repeat, found.values[repeat])

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
