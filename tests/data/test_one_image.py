"""An image has one row, in one split, and is one member of an archive."""

import re
import zipfile

import pytest

from lcjax import errors
from lcjax.data import dataset
from tests.data import fake_celeba, test_folder


def add_row(path, name, split='test'):
  rows = f'{test_folder.TABLE}{name},{split},1,0\n'
  test_folder.write(path, rows)


@pytest.mark.parametrize(
  ('name', 'first'),
  [
    ('a.png', '2 (a.png, train)'),
    ('./a.png', '2 (a.png, train)'),
    ('sub/../a.png', '2 (a.png, train)'),
    ('sub\\b.jpg', '3 (sub/b.jpg, test)'),
    ('sub//b.jpg', '3 (sub/b.jpg, test)'),
    ('../FOLDER/a.png', '2 (a.png, train)'),
    ('FULL/a.png', '2 (a.png, train)'),
    ('linked/b.jpg', '3 (sub/b.jpg, test)'),
    ('none/../missing.png', '6 (missing.png, train)'),
  ],
)
def test_a_folder_names_both_rows(tmp_path, name, first):
  test_folder.write(tmp_path)
  (tmp_path / 'linked').symlink_to('sub')
  name = name.replace('FOLDER', tmp_path.name).replace('FULL', str(tmp_path))
  add_row(tmp_path, name)
  expected = f'line 7 ({name}, test) names an image a second time, after line '
  with pytest.raises(errors.UserError, match=re.escape(expected + first)):
    test_folder.load(tmp_path)


def test_one_file_in_two_spellings_stays_in_the_split_of_its_plain_name(
  tmp_path,
):
  for name in ('a.png', './a.png', f'{tmp_path}/a.png', 'sub\\..\\a.png'):
    test_folder.write(tmp_path, f'file,red\n{name},1\n')
    found = []
    for split in dataset.SPLITS:
      try:
        found.append((split, len(test_folder.load(tmp_path, split))))
      except errors.UserError:
        continue
    assert found == [('validation', 1)]


def load(folder, split='train'):
  return dataset.load('celeba', split, dir=str(folder))


@pytest.mark.parametrize('name', ['{}', './{}', 'x/../{}', '.\\{}'])
def test_a_partition_names_both_lines_and_splits(tmp_path, name):
  fake_celeba.write(tmp_path)
  name = name.format(fake_celeba.NAMES[1])
  path = tmp_path / 'list_eval_partition.txt'
  path.write_text(f'{path.read_text()}{name} 2\n')
  expected = (
    f'line 7 assigns {name} to test, line 2 assigns the same image to train'
  )
  for split in dataset.SPLITS:
    with pytest.raises(errors.UserError, match=re.escape(expected)):
      load(tmp_path, split)


@pytest.mark.parametrize('name', ['/data/x.jpg', '../x.jpg', '..\\x.jpg'])
def test_a_partition_stays_in_its_folder(tmp_path, name):
  fake_celeba.write(tmp_path, packed=False)
  path = tmp_path / 'list_eval_partition.txt'
  path.write_text(f'{path.read_text()}{name} 2\n')
  with pytest.raises(errors.UserError, match=r'line 7 .*leads out of'):
    load(tmp_path)


def test_a_table_of_attributes_names_both_lines(tmp_path):
  fake_celeba.write(tmp_path)
  path = tmp_path / 'list_attr_celeba.txt'
  count, *lines = path.read_text().splitlines()
  assert count == '6'
  lines.append('./' + lines[2].replace('-1', ' 1'))
  path.write_text('\n'.join(['7', *lines]))
  with pytest.raises(
    errors.UserError, match=r'line 9 and line 4 both describe .* 000002\.jpg'
  ):
    load(tmp_path)


@pytest.mark.parametrize(
  'member',
  [
    'more/000002.jpg',
    'img_align_celeba\\000002.jpg',
    'img_align_celeba/000002.jpg',
  ],
)
def test_an_archive_names_both_members(tmp_path, member):
  fake_celeba.write(tmp_path)
  path = tmp_path / 'img_align_celeba.zip'
  with (
    zipfile.ZipFile(path, 'a') as archive,
    pytest.MonkeyPatch.context() as patch,
  ):
    patch.setattr('warnings.warn', lambda *args, **kwargs: None)
    archive.writestr(member, fake_celeba.jpeg(5))
  expected = (
    f'img_align_celeba.zip holds img_align_celeba/000002.jpg and {member}'
  )
  with pytest.raises(errors.UserError, match=re.escape(expected)):
    load(tmp_path)


def test_members_that_are_no_images_may_share_a_name(tmp_path):
  fake_celeba.write(tmp_path)
  with zipfile.ZipFile(tmp_path / 'img_align_celeba.zip', 'a') as archive:
    for folder in ('a', 'b'):
      archive.writestr(f'{folder}/readme.txt', 'text')
  assert len(load(tmp_path)) == 3


def test_members_that_windows_named(tmp_path):
  fake_celeba.write(tmp_path, rows=[])
  with zipfile.ZipFile(tmp_path / 'img_align_celeba.zip', 'w') as archive:
    for row, name in enumerate(fake_celeba.NAMES):
      archive.writestr(f'img\\{name}', fake_celeba.jpeg(row))
  assert len(load(tmp_path)) == 3
