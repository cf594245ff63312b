"""What the comparison says of seeds, data and files, without a training."""

import numpy as np

from configs import digits
from launch import compare_report, rows
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
