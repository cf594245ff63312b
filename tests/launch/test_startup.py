"""From flags to a job."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from launch import startup
from lcjax import errors


@pytest.fixture
def job(monkeypatch):
  """Makes a job of flags."""

  def make(*arguments):
    given = ['x', '--config=configs/celeba.py', '--workdir=w', *arguments]
    # The flags of a config's keys are made of what stands in sys.argv.
    monkeypatch.setattr(sys, 'argv', given)
    with flagsaver.flagsaver():
      flags.FLAGS(given)
      return startup.job()

  return make


@pytest.mark.parametrize(
  ('given', 'names'),
  [
    ('Smiling,Male', ('Smiling', 'Male')),
    ('Smiling', ('Smiling',)),
    ("('Smiling', 'Male')", ('Smiling', 'Male')),
  ],
)
def test_attributes_as_a_tuple_or_joined_by_commas(job, given, names):
  found = job(f'--config.data.attributes={given}')
  assert found.config.data.attributes == names


def test_an_empty_name_is_refused(job):
  with pytest.raises(errors.UserError, match='must be a tuple of names'):
    job('--config.data.attributes=Smiling,')
