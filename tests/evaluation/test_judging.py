"""Rows of a comparison, judged by a stub whose features are the pixels."""

import numpy as np

from lcjax.data import dataset
from lcjax.evaluation import comparison, judging, metrics
from lcjax.types import Bits, Classes

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


def judged(row, judge=None, **others):
  judge = judge or judging.make_judge(predict_fn, TRAIN, TEST, 1.0)
  found = judging.judge_rows(judge, {'row': row, **others}, 2)['row']
  # Of these, nothing says how far they are from the truth.
  without = {*row.scores, 'judges_agree', 'kid', 'kid_std'}
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
  found, known = judged(row), judged(row._replace(in_train=True))
  for name in (
    'nearest_train_ratio', 'second_nearest_train_ratio', 'authenticity'
  ):  # fmt: skip
    assert found[name] == 0.0
    assert name not in known


def test_without_labels_or_reference_there_are_no_such_scores():
  row = judging.Row(TEST.images, None, None, {})
  found = judged(row._replace(against_test=False), other=row)
  assert found.keys() == {
    'nearest_train_ratio', 'second_nearest_train_ratio', 'authenticity'
  }  # fmt: skip
  assert found['second_nearest_train_ratio'] == 1.0
  labelled = judging.Row(TEST.images, TEST.attributes, None, {})
  assert 'cas' not in judged(row)
  assert 'cas' not in judged(
    labelled._replace(against_test=False), other=labelled
  )


def test_frechet_distances_of_all_rows_are_of_as_many_samples():
  """Twelve samples beside six: two subsets of six, in order."""
  few = judging.Row(TEST.images, None, None, {})
  images = np.concatenate([TRAIN.images, TEST.images[:3], TRAIN.images[:3]])
  many = judging.Row(images, None, None, {})
  found = judged(many, few=few)
  parts = [predict_fn(part)[1] for part in (images[:6], images[6:])]
  real = predict_fn(TEST.images)[1]
  each = [metrics.frechet_distance(part, real) for part in parts]
  assert each[0] != each[1]
  np.testing.assert_allclose(found['frechet'], np.mean(each))
  # Principal components of all pixels are a rotation of scaled ones.
  np.testing.assert_allclose(found['second_frechet'], np.mean(each), rtol=1e-4)
  alone = judged(many)
  np.testing.assert_allclose(
    alone['frechet'], metrics.frechet_distance(predict_fn(images)[1], real)
  )


def test_a_classifier_of_samples_is_only_as_good_as_their_labels():
  right = judging.Row(TRAIN.images, TRAIN.attributes, None, {})
  wrong = right._replace(attributes=1 - TRAIN.attributes)
  assert judged(right)['cas'] == 1.0
  assert judged(wrong)['cas'] == 0.0
  broken = right._replace(images=np.full((6, 1, 1, 2), np.nan))
  judge = judging.make_judge(predict_fn, TRAIN, TEST, 1.0)
  shared = judging.share(judge, {'row': right}, 2)
  assert np.isnan(judging.usefulness(judge, broken, shared).scores['cas'])


def test_of_bits_the_classifier_has_an_f1():
  """The second bit is never there: accuracy would be 1 of 2 at least."""
  labels = Bits(('bright', 'huge'))
  train, test = (
    dataset.Dataset(
      part.images, part.attributes[:, 1:] * np.array([[1, 0]], np.float32),
      labels,
    )
    for part in (TRAIN, TEST)
  )  # fmt: skip
  judge = judging.make_judge(predict_fn, train, test, 1.0)
  wrong = np.array([[1, 0]], np.float32) - train.attributes
  row = judging.Row(train.images, wrong, None, {})
  shared = judging.share(judge, {'row': row}, 2)
  assert judging.usefulness(judge, row, shared).scores['cas'] == 0.0


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
  (note,) = comparison.notes(judge, 6, 2, 'test', 6)
  assert 'the other judge has accuracy 0.500' in note
  assert 'decide the same on 0.500 of them' in note
