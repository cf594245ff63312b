"""CelebA: the rows of each split, their pixels, and what is refused."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from lcjax import errors, types
from lcjax.data import archives, celeba, dataset
from tests.data import fake_celeba, shared

ROWS = {'train': [1, 3, 4], 'validation': [0], 'test': [2, 5]}


def load(folder, split='train', **options):
  return dataset.load('celeba', split, dir=str(folder), **options)


def check(data, rows):
  levels = fake_celeba.LEVEL * (np.array(rows) + 1)
  expected = np.broadcast_to(levels[:, None, None, None], data.images.shape)
  # JPEG, and black from beyond the edge of the crop.
  inner = (slice(None), slice(2, -2), slice(2, -2))
  np.testing.assert_allclose(data.images[inner], expected[inner], atol=4)
  columns = [fake_celeba.HEADER.index(name) for name in data.attribute_names]
  bits = np.array([fake_celeba.bits(row) for row in rows])[:, columns]
  np.testing.assert_array_equal(data.attributes, bits)


@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('cached', [True, False])
def test_splits_of_the_official_partition(tmp_path, packed, cached):
  fake_celeba.write(tmp_path, packed=packed)
  cache_dir = str(tmp_path / 'cache') if cached else ''
  for split, rows in ROWS.items():
    data = load(tmp_path, split, cache_dir=cache_dir)
    assert data.images.shape == (len(rows), 64, 64, 3)
    assert data.attribute_names == celeba.DEFAULT_ATTRIBUTES
    assert (
      isinstance(data.labels, types.Bits)
      and data.attributes.dtype == np.float32
    )
    check(data, rows)


def test_folders_of_the_official_download(tmp_path):
  for name in ('Img', 'Anno', 'Eval'):
    (tmp_path / name).mkdir()
  fake_celeba.write_images(tmp_path / 'Img')
  fake_celeba.write_tables(tmp_path)
  table, partition = 'list_attr_celeba.txt', 'list_eval_partition.txt'
  (tmp_path / table).rename(tmp_path / 'Anno' / table)
  (tmp_path / partition).rename(tmp_path / 'Eval' / partition)
  check(load(tmp_path, 'test'), ROWS['test'])


def test_the_middle_is_cut_then_resized_without_aliasing(tmp_path):
  fake_celeba.write(tmp_path, inner=100)
  data = load(tmp_path, 'test', crop_size=140, image_size=14)
  assert data.image_shape == (14, 14, 3)
  level = 3 * fake_celeba.LEVEL
  middle = data.images[0, 3:-3, 3:-3]
  np.testing.assert_allclose(middle, np.full_like(middle, level), atol=12)
  np.testing.assert_allclose(data.images[0, 0], np.zeros((14, 3)), atol=4)
  largest = load(tmp_path, 'test', crop_size=0, image_size=178).images[0]
  # Columns 39 to 138 of 178 are grey; a crop of 178 cuts rows only.
  assert (largest[89, :, 0] > level / 2).nonzero()[0][[0, -1]].tolist() == [
    39,
    138,
  ]
  # A fine pattern becomes its mean; dropping pixels would show the pattern.
  pattern = np.zeros((218, 178), np.uint8)
  pattern[:, ::2] = 200
  path = tmp_path / 'pattern.png'
  Image.fromarray(pattern).save(path)
  with zipfile.ZipFile(tmp_path / 'img_align_celeba.zip', 'w') as archive:
    archive.write(path, fake_celeba.NAMES[2])
  fine = load(tmp_path, 'test').images
  np.testing.assert_allclose(fine, np.full_like(fine, 100), atol=3)


def test_only_images_that_are_there_and_the_subset_first(tmp_path):
  fake_celeba.write(tmp_path, rows=[0, 2, 3])
  check(load(tmp_path, 'train'), [3])
  check(load(tmp_path, 'test'), [2])
  names = fake_celeba.NAMES
  subset = tmp_path / 'subset_partition.txt'
  subset.write_text(f'{names[2]} 0\n{names[3]} 1\n')
  check(load(tmp_path, 'train'), [2])
  check(load(tmp_path, 'validation'), [3])
  with pytest.raises(errors.UserError, match=r"no image that .*subset.*'test'"):
    load(tmp_path, 'test')


def test_attributes_by_name(tmp_path):
  fake_celeba.write(tmp_path)
  wanted = ('Young', 'Bangs', 'Male')
  data = load(tmp_path, attributes=wanted)
  assert data.attribute_names == wanted
  check(data, ROWS['train'])
  with pytest.raises(
    errors.UserError, match=r"'Smilling'.*did you mean Smiling"
  ):
    load(tmp_path, attributes=('Smilling',))
  with pytest.raises(errors.UserError, match=r"names 'Male' twice"):
    load(tmp_path, attributes=('Male', 'Young', 'Male'))


def edit(path, old, new):
  text = path.read_bytes()
  assert old in text
  path.write_bytes(text.replace(old, new, 1))


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'message'),
  [
    ('list_attr_celeba.txt', b'6\r', b'7\r', 'promises 7 rows, but it has 6'),
    ('list_attr_celeba.txt', b'6\r\n', b'', 'must begin with the number'),
    ('list_attr_celeba.txt', b' Bald', b'', "no attribute 'Bald'"),
    ('list_attr_celeba.txt', b'000004.', b'000009.', 'no row for 000004.jpg'),
    (
      'list_attr_celeba.txt',
      b'jpg -1  1',
      b'jpg -1 ',
      r'line 4 \(000002.jpg\)',
    ),
    ('list_attr_celeba.txt', b'jpg -1  1', b'jpg -1  2', r'line 4 \(000002'),
    ('list_eval_partition.txt', b'2.jpg 0', b'2.jpg 3', "line 2 is '000002"),
    ('list_eval_partition.txt', b'2.jpg 0', b'2.jpg', "line 2 is '000002"),
    ('list_eval_partition.txt', b'2.jpg', b'\xff.jpg', 'cannot be read'),
  ],
)
def test_a_damaged_table_is_one_line(tmp_path, name, old, new, message):
  fake_celeba.write(tmp_path)
  edit(tmp_path / name, old, new)
  with pytest.raises(errors.UserError, match=message) as caught:
    load(tmp_path)
  assert '\n' not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
  'name',
  ['list_attr_celeba.txt', 'list_eval_partition.txt', 'img_align_celeba.zip'],
)
def test_a_missing_file_is_named(tmp_path, name):
  fake_celeba.write(tmp_path)
  (tmp_path / name).unlink()
  with pytest.raises(errors.UserError, match=f'holds no .*{name}'):
    load(tmp_path)


def test_missing_folders(tmp_path):
  with pytest.raises(errors.UserError, match=r'none holds no list_attr'):
    load(tmp_path / 'none')
  with pytest.raises(errors.UserError, match=r'config\.data\.dir is empty'):
    load('')
  fake_celeba.write(tmp_path, packed=False, rows=[])
  with pytest.raises(errors.UserError, match=r'holds none of the images'):
    load(tmp_path)


def test_an_unreadable_image_is_named(tmp_path):
  fake_celeba.write(tmp_path, packed=False)
  path = tmp_path / 'img_align_celeba' / fake_celeba.NAMES[4]
  whole = path.read_bytes()
  for content in (whole[:-300], b'no picture', b''):
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r'000005\.jpg cannot be read'):
      load(tmp_path, cache_dir=str(tmp_path / 'cache'))
    assert not list((tmp_path / 'cache').iterdir())
  path.write_bytes(whole)
  with pytest.raises(
    errors.UserError, match=r'crop_size=200 exceeds .*178x218'
  ):
    load(tmp_path, crop_size=200)


def test_a_damaged_zip_is_named(tmp_path):
  fake_celeba.write(tmp_path)
  path = tmp_path / 'img_align_celeba.zip'
  whole = path.read_bytes()
  path.write_bytes(whole[:-40])
  with pytest.raises(errors.UserError, match=r'celeba\.zip cannot be read'):
    load(tmp_path)
  flipped = bytearray(whole)
  flipped[whole.index(b'000004.jpg') + 700] ^= 0xFF
  path.write_bytes(flipped)
  with pytest.raises(errors.UserError, match=r'zip/000004\.jpg cannot be read'):
    load(tmp_path)


@shared.needs('celeba')
def test_shares_of_the_real_subset(monkeypatch):
  def decode(archive, names, *unused):
    assert len(archive.present(names)) == len(names) == 10000
    return np.zeros((len(names), 4, 4, 3), np.uint8)

  monkeypatch.setattr(archives, 'decode', decode)
  counts = {}
  smiling = male = 0.0
  for split in dataset.SPLITS:
    data = load(shared.SHARED / 'celeba', split, attributes=('Smiling', 'Male'))
    counts[split] = len(data)
    smiling += data.attributes[:, 0].sum() / 10000
    male += data.attributes[:, 1].sum() / 10000
  assert counts == {'train': 8000, 'validation': 1000, 'test': 1000}
  assert smiling == pytest.approx(0.486, abs=5e-4)
  assert male == pytest.approx(0.440, abs=5e-4)


@shared.needs('celeba')
def test_real_faces(tmp_path):
  source = shared.SHARED / 'celeba'
  for name in ('img_align_celeba.zip', 'list_attr_celeba.txt'):
    (tmp_path / name).symlink_to(source / name)
  lines = (source / 'subset_partition.txt').read_text().splitlines()
  few = '\n'.join(lines[:200])
  (tmp_path / 'subset_partition.txt').write_text(few)
  data = load(tmp_path, cache_dir=str(tmp_path / 'cache'))
  assert data.images.shape == (200, 64, 64, 3)
  # The mean face: brighter in the middle than the mean corner, skin is red.
  mean = data.images.mean(axis=0)
  red, _, blue = mean[24:40, 24:40].mean(axis=(0, 1))
  assert red > blue + 20
