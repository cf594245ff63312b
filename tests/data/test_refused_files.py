"""Files and folders that cannot be what they are named for: one line each."""

import os
import zipfile

import numpy as np
import pytest

from lcjax import errors
from lcjax.data import cache, dataset, pictures
from tests.data import fake_celeba, test_folder

SHAPE = (4, 6, 1)
IMAGES = np.zeros((2, *SHAPE), np.uint8)


def refused(call, *args, **options):
  with pytest.raises(errors.UserError) as caught:
    call(*args, **options)
  message = str(caught.value)
  assert '\n' not in message
  return message


def test_arrays_of_other_kinds(tmp_path):
  objects = np.array([{}], object)
  np.save(tmp_path / 'objects.npy', objects, allow_pickle=True)
  np.savez(tmp_path / 'objects.npz', images=objects)
  np.save(tmp_path / 'none.npy', IMAGES[:0])
  np.savez(tmp_path / 'none.npz', images=IMAGES[:0])
  np.savez(tmp_path / 'keys.npz', pixels=IMAGES, labels=IMAGES)
  np.savez(tmp_path / 'empty.npz')
  np.save(tmp_path / 'scalar.npy', np.uint8(3))
  (tmp_path / 'pickle.npy').write_bytes(b'\x80\x04N.')
  (tmp_path / 'nothing.npz').write_bytes(b'')
  with zipfile.ZipFile(tmp_path / 'text.npz', 'w') as archive:
    archive.writestr('images', 'no array')
  for name, reason in (
    ('objects.npy', r'Object arrays .* the model takes uint8 [N, 4, 6, 1]'),
    ('objects.npz', r'Object arrays .* the model takes uint8 [N, 4, 6, 1]'),
    ('none.npy', 'holds no image: its array has 0 rows'),
    ('none.npz', 'holds no image: its array has 0 rows'),
    ('keys.npz', "it has no array 'images', its arrays are: pixels, labels"),
    ('empty.npz', "it has no array 'images', its arrays are: none"),
    ('scalar.npy', 'holds uint8 ()'),
    ('pickle.npy', 'it is not a .npy file of NumPy'),
    ('nothing.npz', 'it is not a .npz file of NumPy'),
    ('text.npz', "'images' is not an array"),
  ):
    message = refused(pictures.read, [tmp_path / name], SHAPE)
    assert message.startswith(f'{tmp_path / name} ')
    for part in reason.split('.*'):
      assert part.strip() in message


def test_arrays_of_other_names(tmp_path):
  for written, named in (('.npy', '.npz'), ('.npz', '.npy'), ('.npy', '.NPZ')):
    path, other = tmp_path / f'a{written}', tmp_path / f'b{named}'
    if written == '.npy':
      np.save(path, IMAGES)
    else:
      np.savez(path, images=IMAGES)
    path.rename(other)
    message = refused(pictures.read, [other], SHAPE)
    assert f'it is a {written} file with the wrong suffix' in message


def test_upper_case_suffixes(tmp_path):
  np.save(tmp_path / 'a.npy', IMAGES)
  (tmp_path / 'a.npy').rename(tmp_path / 'A.NPY')
  np.savez(tmp_path / 'a.npz', images=IMAGES)
  (tmp_path / 'a.npz').rename(tmp_path / 'A.Npz')
  paths = [tmp_path / 'A.NPY', tmp_path / 'A.Npz']
  assert pictures.read(paths, SHAPE).shape == (4, *SHAPE)


@pytest.mark.parametrize('suffix', ['npy', 'npz'])
def test_damaged_arrays(tmp_path, suffix):
  path = tmp_path / f'a.{suffix}'
  if suffix == 'npy':
    np.save(path, IMAGES)
  else:
    np.savez_compressed(path, images=IMAGES)
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  num_refused = 0
  for _ in range(300):
    damaged = bytearray(whole)
    if rng.random() < 0.3:
      del damaged[rng.integers(len(whole)) :]
    else:
      damaged[rng.integers(len(whole))] = rng.integers(256)
    path.write_bytes(damaged)
    try:
      pictures.read([path], SHAPE)
    except errors.UserError as error:
      num_refused += 1
      assert str(error).startswith(str(path))
  assert num_refused > 50


def change_headers(path, offset, value):
  """Sets two bytes in the header of every member, and in the directory."""
  content = bytearray(path.read_bytes())
  for signature, shift in ((b'PK\x03\x04', 0), (b'PK\x01\x02', 2)):
    start = content.find(signature)
    while start >= 0:
      at = start + offset + shift
      content[at : at + 2] = value.to_bytes(2, 'little')
      start = content.find(signature, start + 1)
  path.write_bytes(content)


FLAGS, METHOD = 6, 8  # offsets in the header of a member


@pytest.mark.parametrize(
  ('offset', 'value', 'reason'),
  [
    (FLAGS, 1, 'is encrypted'),
    (METHOD, 9, 'compression'),  # deflate64, as of Windows
    (METHOD, 8, 'cannot be read'),  # bytes that are no such stream
    (METHOD, 12, 'cannot be read'),
    (METHOD, 14, 'cannot be read'),
  ],
)
def test_archives_that_cannot_be_unpacked(tmp_path, offset, value, reason):
  fake_celeba.write(tmp_path)
  change_headers(tmp_path / 'img_align_celeba.zip', offset, value)
  message = refused(dataset.load, 'celeba', 'train', dir=str(tmp_path))
  assert 'img_align_celeba.zip/0000' in message and reason in message
  path = tmp_path / 'a.npz'
  np.savez(path, images=IMAGES)
  change_headers(path, offset, value)
  assert str(path) in refused(pictures.read, [path], SHAPE)


@pytest.mark.parametrize('place', ['a.png', '1,0'])
def test_a_huge_field(tmp_path, place):
  huge = 'x' * 200_000
  test_folder.write(tmp_path, test_folder.TABLE.replace(place, huge, 1))
  message = refused(test_folder.load, tmp_path)
  assert 'attributes.csv line 2 cannot be read: field larger' in message
  test_folder.write(tmp_path, huge + test_folder.TABLE)
  message = refused(test_folder.load, tmp_path)
  assert 'attributes.csv line 1 cannot be read: field larger' in message


def test_a_long_field_is_not_printed_whole(tmp_path):
  test_folder.write(
    tmp_path, test_folder.TABLE.replace('train,1', f'train,{"x" * 9999}', 1)
  )
  assert len(refused(test_folder.load, tmp_path)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize('name', ['', ' ', 'a\0.png'])
def test_a_row_without_a_file(tmp_path, name):
  test_folder.write(tmp_path, test_folder.TABLE.replace('a.png', name, 1))
  assert 'line 2: ' in refused(test_folder.load, tmp_path)


SOURCES = ('mnist', 'celeba', 'folder')
PLACES = ('a\0b', '\ud800', '~nobody_of_this_name/data')


@pytest.mark.parametrize('name', SOURCES)
@pytest.mark.parametrize('place', PLACES)
def test_a_folder_that_no_path_can_name(name, place):
  message = refused(dataset.load, name, 'train', dir=place)
  assert message.startswith(f'config.data.dir={place!r} is not a valid folder')


@pytest.mark.parametrize('name', SOURCES)
def test_a_file_in_the_place_of_the_folder(tmp_path, name):
  path = tmp_path / 'a'
  path.write_text('')
  message = refused(dataset.load, name, 'train', dir=str(path))
  assert message == f'config.data.dir={path} is a file: name a folder'


@pytest.mark.parametrize('place', PLACES)
def test_a_cache_that_no_path_can_name(place, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  message = refused(
    cache.load, place, 'name', {}, lambda: {'a': (1,)}, lambda rows, out: None
  )
  assert message.startswith(
    f'config.data.cache_dir={place!r} is not a valid folder'
  )
  assert not list(tmp_path.iterdir())


def test_an_empty_file_in_the_cache(tmp_path):
  def fill(rows, out):
    out['a'][:] = 7

  args = (str(tmp_path), 'name', {}, lambda: {'a': (3,)}, fill)
  cache.load(*args)
  (tmp_path / 'name.a.npy').write_bytes(b'')
  assert cache.load(*args)['a'].tolist() == [7] * 3


@pytest.mark.parametrize('name', SOURCES)
def test_what_may_not_be_read_is_not_taken_for_missing(
  tmp_path, name, monkeypatch
):
  fake_celeba.write(tmp_path, packed=False)
  test_folder.write(tmp_path)
  forbidden = {'mnist': 'train-images', 'celeba': '000002', 'folder': 'c.png'}
  stat = os.stat

  def refuse(path, *args, **options):
    if forbidden[name] in str(path):
      raise PermissionError(13, 'Permission denied')
    return stat(path, *args, **options)

  monkeypatch.setattr(os, 'stat', refuse)
  message = refused(dataset.load, name, 'train', dir=str(tmp_path))
  assert forbidden[name] in message and 'Permission denied' in message


def test_a_folder_in_the_place_of_a_file(tmp_path):
  fake_celeba.write(tmp_path)
  for name in ('list_attr_celeba.txt', 'list_eval_partition.txt'):
    content = (tmp_path / name).read_text()
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    message = refused(dataset.load, 'celeba', 'train', dir=str(tmp_path))
    assert f'{name} cannot be read' in message
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text(content)


def test_images_that_no_path_can_name(tmp_path):
  for path in ('a\0.png', '\ud800.npz', str(tmp_path), ''):
    assert 'cannot be read' in refused(pictures.read, [path], SHAPE)
