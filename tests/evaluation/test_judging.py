"""Rows of a comparison, judged by a stub whose features are the pixels."""

import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import comparison, judging
from lcjax.types import Classes

LABELS = Classes(('dark', 'bright'))


def split(values):
  images = np.asarray(values, np.uint8).reshape(-1, 1, 1, 2)
  y = np.eye(2, dtype=np.float32)[[int(v[0] > 127) for v in values]]
  return dataset.Dataset(images, y, LABELS)


TRAIN = split([(0, 0), (10, 50), (20, 0), (200, 0), (220, 40), (255, 0)])
TEST = split([(5, 0), (15, 30), (25, 60), (205, 20), (215, 0), (250, 10)])


def predict_fn(images):
  pixels = images.reshape(len(images), -1) / 255.0
  bright = pixels[:, 0] - 0.5
  return np.stack([-bright, bright], axis=1), pixels


def other_fn(images):
  """Everything is bright."""
  return np.tile([-1.0, 1.0], (len(images), 1)), None


def judged(row, judge=None):
  judge = judge or judging.make_judge(predict_fn, TRAIN, TEST, 1.0)
  found = judging.judge_rows(judge, {'row': row}, 2)['row']
  without = {*row.scores, 'judges_agree'}
  assert found.drawn.keys() == found.scores.keys() - without
  return found.scores


def test_held_out_images_are_at_no_distance_and_right():
  found = judged(judging.Row(TEST.images, TEST.attributes, None, {'a': 3.0}))
  assert found['accuracy'] == 1.0
  assert found['a'] == 3.0
  np.testing.assert_allclose(found['frechet'], 0.0, atol=1e-6)
  np.testing.assert_allclose(found['nearest_train_ratio'], 1.0)


def test_images_that_were_asked_for_the_other_class_are_wrong():
  found = judged(judging.Row(TEST.images, 1 - TEST.attributes, None, {}))
  assert found['accuracy'] == 0.0


def test_copies_of_training_images_are_nearer_than_held_out_ones():
  row = judging.Row(TRAIN.images, TRAIN.attributes, None, {})
  assert judged(row)['nearest_train_ratio'] == 0.0
  assert 'nearest_train_ratio' not in judged(row._replace(in_train=True))


def test_without_labels_or_reference_there_are_no_such_scores():
  found = judged(judging.Row(TEST.images, None, None, {}, against_test=False))
  assert found.keys() == {'nearest_train_ratio'}


def test_requested_labels_have_the_frequencies_of_the_split():
  y = judging.requested_attributes(TEST, 3 * len(TEST))
  np.testing.assert_array_equal(y.mean(axis=0), TEST.attributes.mean(axis=0))


def test_how_often_two_judges_decide_the_same():
  judge = judging.make_judge(predict_fn, TRAIN, TEST, 1.0, other_fn)
  row = judging.Row(TEST.images[:4], None, None, {})  # nothing was requested
  assert judged(row, judge)['judges_agree'] == 0.25
  assert 'judges_agree' not in judged(row)
  both = np.array([[1, 0], [1, 1], [0, 0]])
  other = np.array([[1, 0], [1, 0], [1, 1]])  # of all attributes
  assert judging.agreement(both, other) == 1 / 3


def test_the_agreement_is_printed_and_in_the_long_table_alone():
  judge = judging.make_judge(predict_fn, TRAIN, TEST, 1.0, other_fn)
  rows = {'real': judging.Row(TEST.images, TEST.attributes, None, {})}
  table, errors, _ = comparison.judge_seed(judge, rows, 2)
  report = comparison.summarise([table], [errors], [0], LABELS)
  short, long, _ = comparison.markdown(report).split('\n\n')
  assert 'Judges agree' not in short
  assert 'Judges agree' in long and '| 0.500 |' in long
  assert 'judges_agree' not in report['judge']
  (note,) = comparison.notes(judge, 6, 2, 'test')
  assert 'the other judge has accuracy 0.500' in note
  assert 'decide the same on 0.500 of them' in note
