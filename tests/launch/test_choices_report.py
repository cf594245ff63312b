"""The report's table of what was chosen on validation images."""

import json

import pytest
from etils import epath

from lcjax.experiment import choices_report


def candidate(steps, weight, frechet, kept=None):
  found = {
    'setting': {'steps': steps, 'start_time': 0.5, 'attribute_weight': weight},
    'score': 0.9 + frechet, 'frechet': frechet, 'diversity': 1.0,
    'knn_recall': 0.75,
  }  # fmt: skip
  return found if kept is None else found | {'kept': kept}


def store(folder, seconds, frechet=0.0123):
  kept = {'score': 0.99, 'frechet': 0.0099, 'diversity': 0.8}
  guided = [candidate(4, 2.0, frechet, kept), candidate(1, 4.0, 0.03)]
  rows = dict(
    zip(('short_walk', 'short_walk_kept'), [guided[0]] * 2, strict=True)
  ) | {'one_step': guided[1], 'realism_walk': candidate(6, 0.0, 0.02)}
  folder.mkdir(parents=True)
  report = {
    'rows': rows, 'guided': guided, 'score_of_real_images': 0.97,
    'seconds': seconds,
  }  # fmt: skip
  (folder / 'chosen.json').write_text(json.dumps(report))


def test_each_row_and_seed_has_its_setting_and_scores(tmp_path):
  store(tmp_path / 'chosen', 10.0)
  store(tmp_path / 'seeds/1/chosen', 20.0, frechet=0.0456)
  found = choices_report.make(epath.Path(tmp_path), 2, 'accuracy')
  assert found['columns'] == [
    'Row', 'Seed', 'Steps', 'Noise time', 'Guidance', 'Accuracy', 'Frechet',
    'Diversity', 'k-NN recall',
  ]  # fmt: skip
  first, kept, one_step, realism, second = found['rows'][:5]
  assert first == [
    'short_walk', '0', '4', '0.5', '2', '0.912', '0.0123', '1.00', '0.750',
  ]  # fmt: skip
  # What was compared: accepted samples, of which recall is not known.
  assert kept[5:] == ['0.990', '0.0099', '0.80', '\N{EN DASH}']
  assert one_step[2:5] == ['1', '0.5', '4']
  assert realism[5] == '\N{EN DASH}'
  assert second[1] == '1'
  assert second[6] == '0.0456'
  assert '0.970' in found['caption']
  assert '15 seconds a seed' in found['caption']
  assert found['png'].startswith(b'\x89PNG')


def test_without_a_search_there_is_no_table(tmp_path):
  assert choices_report.make(epath.Path(tmp_path), 2, 'accuracy') is None


def test_candidates_far_below_all_others_are_not_drawn(tmp_path, monkeypatch):
  store(tmp_path / 'chosen', 10.0)
  path = tmp_path / 'chosen/chosen.json'
  report = json.loads(path.read_text())
  low = candidate(6, 1.0, 0.05) | {'score': 0.5}
  path.write_text(json.dumps(report | {'guided': [*report['guided'], low]}))
  drawn = []
  monkeypatch.setattr(
    choices_report.frontiers,
    'candidates',
    lambda scores, *others: drawn.append([one['score'] for one in scores]),
  )
  # All are below real images, whose score is .97.
  choices_report.make(epath.Path(tmp_path), 1, 'accuracy')
  assert drawn == [[pytest.approx(0.9123), pytest.approx(0.93)]]
