"""Names of attributes that nobody could ask for are refused in their table."""

import types

import numpy as np
import pytest

import lcjax.types
from lcjax import errors
from lcjax.data import dataset, idx, tables, tfds
from tests.data import fake_celeba, test_folder

BAD = [
  ('none', 'is reserved for requesting no attribute'),
  ('a+b', r'holds one of \+'),
  ('"a,b"', 'holds one of'),
  ('a=b', 'holds one of'),
  ('"say ""a"""', 'holds one of'),
  ('"a\x01b"', 'control character'),
  ('', 'is empty'),
  ('" "', 'is empty'),
  ('a ', 'has spaces'),
  ('" a"', 'has spaces'),
  ('big', 'is also the name of column'),
]


@pytest.mark.parametrize(('name', 'reason'), BAD)
def test_a_folder_names_the_column_and_the_file(tmp_path, name, reason):
  test_folder.write(tmp_path, test_folder.TABLE.replace('red', name, 1))
  with pytest.raises(errors.UserError, match=reason) as caught:
    test_folder.load(tmp_path)
  message = str(caught.value)
  assert 'attributes.csv: column ' in message and 'rename it' in message
  assert '\n' not in message


@pytest.mark.parametrize('name', ['none', 'a+b', 'a,b', 'a=b', 'Male'])
def test_celeba_names_the_column_and_the_file(tmp_path, name):
  fake_celeba.write(tmp_path)
  path = tmp_path / 'list_attr_celeba.txt'
  path.write_text(path.read_text().replace('Bangs', name, 1))
  with pytest.raises(
    errors.UserError, match=r'list_attr_celeba\.txt: column .*rename it'
  ):
    dataset.load('celeba', 'train', dir=str(tmp_path))


def test_tfds_names_the_attribute_and_the_folder(monkeypatch):
  features = {'attributes': {'none': None, 'Male': None}}
  builder = types.SimpleNamespace(
    info=types.SimpleNamespace(features=features, splits={}),
    data_path='prepared/celeb_a',
  )
  monkeypatch.setattr(tfds, '_get_builder', lambda *args: builder)
  with pytest.raises(
    errors.UserError, match=r"prepared/celeb_a: column 2 .*'none'"
  ):
    dataset.load('tfds:celeb_a', 'train')


def test_whatever_gives_the_names(monkeypatch):
  parts = (
    np.zeros((1, 2, 2, 1), np.uint8),
    np.ones((1, 1)),
    lcjax.types.Bits(('none',)),
  )
  source = dataset.Source(lambda *_: parts, lambda *_: parts[2])
  monkeypatch.setitem(dataset.SOURCES, 'mine', source)
  with pytest.raises(errors.UserError, match=r"name='mine': .*'none'"):
    dataset.load('mine', 'train')


def test_names_that_can_be_asked_for():
  for names in (*idx.CLASSES.values(), fake_celeba.HEADER, ('Größe', 'a b')):
    tables.check_names(names, 'table')
