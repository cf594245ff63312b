"""A user's folder: its table, its splits, grey or colour."""

import numpy as np
import pytest
from PIL import Image

from lcjax import errors, types
from lcjax.data import archives, dataset, folder

TABLE = """\
file,split,red,big
a.png,train,1,0
sub/b.jpg,test,0,1
c.png,train,0,1
d.png,validation,1,0
missing.png,train,1,1
"""


def write(path, table=TABLE, mode='RGB'):
  path.mkdir(exist_ok=True)
  (path / 'sub').mkdir(exist_ok=True)
  names = ('a.png', 'sub/b.jpg', 'c.png', 'd.png')
  for name, level in zip(names, (40, 80, 120, 160), strict=True):
    colour = level if mode == 'L' else (level, 0, 0)
    Image.new(mode, (30, 20), colour).save(path / name)
  (path / 'attributes.csv').write_text(table)


def load(path, split='train', **options):
  options = {'image_size': 8, 'crop_size': 0, **options}
  return dataset.load('folder', split, dir=str(path), **options)


def test_splits_and_values_of_the_table(tmp_path):
  write(tmp_path)
  data = load(tmp_path)
  assert data.images.shape == (2, 8, 8, 3)
  assert data.images[:, 0, 0].tolist() == [[40, 0, 0], [120, 0, 0]]
  assert data.attribute_names == ('red', 'big')
  assert data.attributes.tolist() == [[1, 0], [0, 1]]
  assert isinstance(data.labels, types.Classes)
  red = int(load(tmp_path, 'test').images[0, 4, 4, 0])
  assert red == pytest.approx(80, abs=2)
  assert load(tmp_path, 'validation').attributes.tolist() == [[1, 0]]


def test_classes_only_if_one_holds_in_every_row_of_all_splits(tmp_path):
  write(tmp_path, TABLE.replace('validation,1,0', 'validation,-1,-1'))
  assert isinstance(load(tmp_path).labels, types.Bits)
  assert load(tmp_path, 'validation').attributes.tolist() == [[0, 0]]
  write(tmp_path)
  two = load(tmp_path, attributes=('big', 'red'))
  assert isinstance(two.labels, types.Classes)
  alone = load(tmp_path, attributes=('big',))
  assert isinstance(alone.labels, types.Bits) and alone.attributes.tolist() == [
    [0],
    [1],
  ]


@pytest.mark.parametrize('kind', [types.Classes, types.Bits])
def test_labels_are_known_without_decoding(tmp_path, monkeypatch, kind):
  given = TABLE
  if kind is types.Bits:  # in another split than the one that is asked for
    given = TABLE.replace('validation,1,0', 'validation,1,1')
  write(tmp_path, given)
  section = dataset.Options(str(tmp_path), 8, 0, (), '', 'black')._asdict()
  loaded = dataset.load('folder', 'train', **section).labels
  monkeypatch.setattr(archives, 'decode', lambda *_: pytest.fail('decoded'))
  found = dataset.labels_before_decoding('folder', 'train', **section)
  assert found == loaded == kind(('red', 'big'))


def test_grey_stays_grey_only_if_all_are(tmp_path):
  write(tmp_path, mode='L')
  assert load(tmp_path).images.shape == (2, 8, 8, 1)
  Image.new('RGB', (9, 9), (0, 0, 255)).save(tmp_path / 'd.png')
  assert load(tmp_path).images.shape == (2, 8, 8, 3)
  assert load(tmp_path, 'validation').images[0, 0, 0].tolist() == [0, 0, 255]


def test_cache(tmp_path):
  write(tmp_path / 'images')
  cached = {'cache_dir': str(tmp_path / 'cache')}
  first = load(tmp_path / 'images', **cached).images
  assert isinstance(first, np.memmap)
  write(tmp_path / 'images', TABLE.replace('a.png,train', 'a.png,test'))
  again = load(tmp_path / 'images', **cached).images
  assert again[:, 0, 0, 0].tolist() == [120]


def test_a_photograph_is_upright(tmp_path):
  write(tmp_path)
  pixels = np.zeros((20, 30), np.uint8)
  pixels[:, 20:] = 255  # the right third
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned clockwise by a quarter
  Image.fromarray(pixels).convert('RGB').save(tmp_path / 'd.png', exif=exif)
  image = load(tmp_path, 'validation').images[0, :, :, 0]
  assert image[-1].min() > 200 and image[0].max() < 50


def test_without_a_column_a_digest_of_the_name_decides(tmp_path):
  names = [f'{i}.png' for i in range(3000)]
  splits = [folder._split_by_name(name) for name in names]
  shares = [splits.count(split) / 3000 for split in dataset.SPLITS]
  assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
  # Fixed for good: a run that resumes must not see other rows.
  assert splits[:5] == ['train'] * 5
  assert splits[5:8] == ['test', 'train', 'validation']
  write(tmp_path, 'file,red\na.png,1\n')
  split = folder._split_by_name('a.png')
  assert len(load(tmp_path, split)) == 1
  for other in set(dataset.SPLITS) - {split}:
    with pytest.raises(errors.UserError, match=f"assigns to '{other}'"):
      load(tmp_path, other)


@pytest.mark.parametrize(
  ('old', 'new', 'message'),
  [
    ('file,', 'name,', 'has no column `file`'),
    (
      'red,big',
      'red,red',
      "column 4 is named 'red', which is also the name of column 3",
    ),
    ('train,1,0', 'train,1', 'line 2 must hold 4 values'),
    ('train,1,0', 'train,1,0,1', 'line 2 must hold 4 values'),
    ('train,1,0', 'train,1,2', "line 2: big is '2', it must be 1, 0 or -1"),
    ('train,1,0', 'dev,1,0', "line 2: the split is 'dev', not one of train"),
  ],
)
def test_a_damaged_table_is_one_line(tmp_path, old, new, message):
  write(tmp_path, TABLE.replace(old, new, 1))
  with pytest.raises(errors.UserError, match=message) as caught:
    load(tmp_path)
  assert '\n' not in str(caught.value) and 'attributes.csv' in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
  with pytest.raises(errors.UserError, match=r'none/attributes\.csv cannot be'):
    load(tmp_path / 'none')
  with pytest.raises(errors.UserError, match=r'config\.data\.dir is empty'):
    load('')
  write(tmp_path)
  with pytest.raises(errors.UserError, match=r"'blg'.*did you mean big"):
    load(tmp_path, attributes=('blg',))
  (tmp_path / 'c.png').write_bytes(b'no picture')
  with pytest.raises(errors.UserError, match=r'c\.png cannot be read'):
    load(tmp_path)
  write(tmp_path, 'file,split\na.png,train\n')
  with pytest.raises(errors.UserError, match=r'has no attribute column'):
    load(tmp_path)
  write(tmp_path, 'file,red\nnone.png,1\n')
  with pytest.raises(errors.UserError, match=r'holds none of the images'):
    load(tmp_path)
