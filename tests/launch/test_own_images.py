"""What the flags of `launch.generate` ask for: images, names, labels."""

import types

import numpy as np
import pytest
from PIL import Image

from configs import base
from lcjax import errors
from lcjax.data import dataset
from lcjax.experiment import generate, requests
from lcjax.types import Bits, Classes
from tests.data import fake_celeba


def test_a_transparent_image_shows_the_background_of_the_config(tmp_path):
  Image.new('LA', (8, 8), (90, 0)).save(tmp_path / 'clear.png')
  held_out = dataset.Dataset(
    np.zeros((1, 8, 8, 1), np.uint8), np.ones((1, 1), np.float32), Bits(('a',))
  )
  bound = types.SimpleNamespace(encode=lambda images: (images, None))
  config = base.get_config()
  for background, level in (('black', 0), ('white', 255)):
    config.data.background = background
    starts = generate.make_starts(
      config, bound, None, held_out, 'encodings', [str(tmp_path / 'clear.png')]
    )
    assert (starts.images == level).all()


def test_images_one_by_one_or_joined_by_commas(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.chdir(tmp_path)
  for name in ('a.png', 'b.png', 'a.png,b.png', 'c, d.png'):
    (tmp_path / name).touch()
  home = str(tmp_path)
  for given, paths in (
    ([], []),
    (['a.png'], ['a.png']),
    (['a.png,b.png'], ['a.png,b.png']),  # a file of that whole name
    (['b.png, a.png'], ['b.png', 'a.png']),
    (['a.png', 'c, d.png', 'b.png'], ['a.png', 'c, d.png', 'b.png']),
    (['"c, d.png",a.png'], ['c, d.png', 'a.png']),
    (['~/a.png'], [f'{home}/a.png']),
    (['~/b.png,~/a.png'], [f'{home}/b.png', f'{home}/a.png']),
  ):
    assert requests.image_paths(given) == paths


def test_an_image_that_is_not_there_is_named_with_its_flag(tmp_path):
  for given, said in (
    (f'{tmp_path}/x,y.png', 'x cannot be read: no such file'),
    (f'{tmp_path}', 'it is a folder'),
  ):
    with pytest.raises(errors.UserError, match=f'--images={tmp_path}.*{said}'):
      requests.image_paths([given])


@pytest.mark.parametrize(
  'name', ['', '.', '..', 'a/b', '/a', 'a\0b', 'é' * 124, '\udcff']
)
def test_a_name_that_no_file_can_have(name):
  with pytest.raises(errors.UserError, match='--name='):
    requests.check_name(name)


def test_the_longest_name_can_be_written(tmp_path):
  name = 'x' * requests._LONGEST_NAME
  requests.check_name(name)
  (tmp_path / f'{name}.png.tmp').touch()
  with pytest.raises(OSError, match='too long'):
    (tmp_path / f'{name}x.png.tmp').touch()


def test_unknown_labels_are_not_answered_by_forty_names():
  for label, said in (
    ('Smilng', r'did you mean Smiling\?'),
    ('Smilng=1', r"'Smilng' is .*did you mean Smiling\?"),
    ('Bald+xxxxxxx', "'xxxxxxx' is not a label .* and 35 more"),
    ('Bald=1+Male', "'Male' has no value, but 'Bald=1' has one: give =1 or =0"),
    ('Bald=2', "'Bald=2' must be Bald=1 or Bald=0"),
    ('Bald=', "'Bald=' must be Bald=1 or Bald=0"),
    ('Bald=1+Bald=0', "names 'Bald' twice"),
    ('none=1', "'none' is not a label"),
    ('', "'' is not a label"),
  ):
    with pytest.raises(errors.UserError, match=said) as caught:
      requests.parse_labels([label], Bits(fake_celeba.HEADER))
    assert '\n' not in str(caught.value)
  classes = Classes(fake_celeba.HEADER)
  with pytest.raises(errors.UserError, match=r'names 2 classes.* and 35 more'):
    requests.parse_labels(['Bald+Male'], classes)
  with pytest.raises(errors.UserError, match=r"'Bald=1' is for independent"):
    requests.parse_labels(['Bald=1'], classes)


def test_some_attributes_or_exactly_these():
  found = requests.parse_labels(
    ['a+c', 'none', 'a=1', 'c=0+a=1', 'a+a'], Bits(('a', 'b', 'c'))
  )
  np.testing.assert_array_equal(
    found.y, [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
  )
  np.testing.assert_array_equal(
    found.mask, [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 1]]
  )
  assert found.names == ['a+c', 'none', 'a=1', 'c=0+a=1', 'a+a']


def test_an_actor_that_is_not_trained_is_said_with_its_key():
  config = base.get_config()
  for mover, said in (
    ('actor_lambda_0.1', r'config.actor_critic.more_distance_weights=\(\)'),
    ('optimiser', r'did you mean optimizer\?'),
  ):
    with pytest.raises(errors.UserError, match=f'--mover={mover} .*{said}'):
      requests.check_mover(config, mover)
  config.actor_critic.more_distance_weights = (0.1,)
  requests.check_mover(config, 'actor_lambda_0.1')


@pytest.mark.parametrize('kind', [Classes, Bits])
def test_a_label_that_was_never_trained_is_refused(kind):
  y = np.eye(3, dtype=np.float32)[[0, 2]]
  images = np.zeros((2, 4, 4, 1), np.uint8)
  data = dataset.Dataset(images, y, kind(('a', 'b', 'c')))
  found = requests.parse_labels(['a', 'c'], data.labels)
  np.testing.assert_array_equal(found.y, y)
  requests.check_learnt(found, data)
  found = requests.parse_labels(['a', 'b'], data.labels)
  with pytest.raises(errors.UserError, match=r"train split has 'b'"):
    requests.check_learnt(found, data)


def test_an_attribute_that_always_held_cannot_be_asked_away():
  y = np.array([[1, 0], [1, 1]], np.float32)
  data = dataset.Dataset(np.zeros((2, 4, 4, 1), np.uint8), y, Bits(('a', 'b')))
  requests.check_learnt(requests.parse_labels(['b=0', 'b'], data.labels), data)
  found = requests.parse_labels(['b=0', 'a=0'], data.labels)
  with pytest.raises(errors.UserError, match=r"='a=0': no .* lacks 'a'"):
    requests.check_learnt(found, data)
