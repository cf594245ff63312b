"""What a picture's values become, whatever its mode and its file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lcjax import errors
from lcjax.data import dataset, pictures, pixels

LEVELS = np.array([[0, 1, 77], [128, 200, 255]], np.uint8)


def read(path, channels=1, **options):
  return pictures.read([path], (*LEVELS.shape, channels), **options)[0]


def read_grey(path, **options):
  return read(path, **options)[..., 0].tolist()


def chunk(kind, content):
  checksum = zlib.crc32(kind + content)
  return (
    struct.pack('>I', len(content))
    + kind
    + content
    + struct.pack('>I', checksum)
  )


def write_png(path, depth, colour, rows, transparent=b''):
  """A PNG of three columns in any depth that Pillow may not write."""
  header = struct.pack('>IIBBBBB', 3, len(rows), depth, colour, 0, 0, 0)
  content = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
  if transparent:
    content += chunk(b'tRNS', transparent)
  data = zlib.compress(b''.join(b'\0' + row for row in rows))
  content += chunk(b'IDAT', data) + chunk(b'IEND', b'')
  path.write_bytes(content)
  return path


def write_tiff(path, array, sample_format=1, photometric=1, bits=0, data=b''):
  """A grey TIFF of any type, in the byte order of the array."""
  order = '>' if array.dtype.byteorder == '>' else '<'
  data = data or array.tobytes()
  data += b'\0' * (len(data) % 2)
  height, width = array.shape
  fields = {
    256: width,
    257: height,
    258: bits or array.dtype.itemsize * 8,
    259: 1,
    262: photometric,
    273: 8,
    277: 1,
    278: height,
    279: len(data),
    339: sample_format,
  }
  content = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(
    f'{order}I', 8 + len(data)
  )
  content += data + struct.pack(f'{order}H', len(fields))
  for tag, value in fields.items():
    content += struct.pack(f'{order}HHIHH', tag, 3, 1, value, 0)
  path.write_bytes(content + bytes(4))
  return path


@pytest.mark.parametrize('suffix', ['png', 'tif', 'pgm', 'jp2'])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
  deep = LEVELS.astype(np.uint16) * 257  # 255 is 65535
  path = tmp_path / f'deep.{suffix}'
  options = {'irreversible': False} if suffix == 'jp2' else {}
  Image.fromarray(deep).save(path, **options)
  assert read_grey(path) == LEVELS.tolist()
  np.testing.assert_array_equal(read(path, 3), LEVELS[..., None].repeat(3, 2))
  with Image.open(path) as opened:
    assert pixels.is_grey(opened)


def test_sixteen_bits_are_rounded(tmp_path):
  deep = np.array([[128, 129, 65535], [385, 386, 30000]], np.uint16)
  Image.fromarray(deep).save(tmp_path / 'deep.png')
  assert read_grey(tmp_path / 'deep.png') == [[0, 1, 255], [1, 2, 117]]


@pytest.mark.parametrize(
  ('kind', 'sample_format', 'white'),
  [
    ('<u2', 1, 2**16 - 1),
    ('>u2', 1, 2**16 - 1),
    ('<i2', 2, 2**15 - 1),
    ('>i2', 2, 2**15 - 1),
    ('<u4', 1, 2**32 - 1),
    ('<i4', 2, 2**31 - 1),
    ('>i4', 2, 2**31 - 1),
    ('<f4', 3, 1.0),
    ('>f4', 3, 1.0),
  ],
)
def test_the_type_decides_what_is_white(tmp_path, kind, sample_format, white):
  values = (LEVELS / 255 * white).astype(kind)
  path = write_tiff(tmp_path / 'a.tif', values, sample_format)
  assert np.abs(np.array(read_grey(path)) - LEVELS.astype(int)).max() <= 1
  assert read_grey(path)[0][0] == 0 and read_grey(path)[1][2] == 255


def test_twelve_bits_and_white_that_is_zero(tmp_path):
  white = np.zeros((2, 3), '<u2')
  # Two rows of three values of 12 bits: 0, 4095, 2048.
  packed = bytes.fromhex('000fff8000') * 2
  path = write_tiff(tmp_path / 'a.tif', white, bits=12, data=packed)
  assert read_grey(path) == [[0, 255, 128]] * 2
  path = write_tiff(tmp_path / 'b.tif', white, photometric=0)
  assert read_grey(path) == [[255] * 3] * 2


def test_floats_are_scaled_from_the_unit_interval(tmp_path):
  for suffix in ('tif', 'pfm'):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(LEVELS.astype(np.float32) / 255).save(path)
    assert read_grey(path) == LEVELS.tolist()


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ([0, 0.5, 1.5], r'a\.tif: it holds the value 1\.5: .*\[0, 1\]'),
    ([0, -0.25, 1], r'a\.tif: it holds the value -0\.25: .*\[0, 1\]'),
    ([0, np.nan, 1], r'a\.tif: it holds the value nan: .*\[0, 1\]'),
  ],
)
def test_floats_elsewhere_are_refused(tmp_path, values, message):
  Image.fromarray(np.array([values] * 2, np.float32)).save(tmp_path / 'a.tif')
  with pytest.raises(errors.UserError, match=message):
    read(tmp_path / 'a.tif')


def test_integers_that_do_not_fit_their_range_are_refused(tmp_path):
  path = tmp_path / 'a.tif'
  Image.fromarray(np.array([[5, -1, 9]] * 2, np.int32)).save(path)
  with pytest.raises(errors.UserError, match=r'a\.tif: .* value -1: .*negativ'):
    read(path)
  Image.fromarray(LEVELS.astype(np.int32)).save(path)
  with pytest.raises(errors.UserError, match=r'value is 255, .*8 or 16 bits'):
    read(path)


def colours(mode):
  """Levels with an alpha of 0, 128 and 255 in each row, and what is seen."""
  alpha = np.array([[0, 128, 255]] * 2, np.uint8)
  bands = [LEVELS] * (3 if mode == 'RGBA' else 1)
  picture = Image.merge(mode, [Image.fromarray(b) for b in (*bands, alpha)])
  share = alpha / 255
  return picture, {
    'black': np.rint(LEVELS * share),
    'white': np.rint(LEVELS * share + 255 * (1 - share)),
  }


@pytest.mark.parametrize('background', ['black', 'white'])
@pytest.mark.parametrize('mode', ['LA', 'RGBA'])
def test_alpha_shows_the_background(tmp_path, mode, background):
  picture, expected = colours(mode)
  for suffix in ('png', 'tif'):
    path = tmp_path / f'a.{suffix}'
    picture.save(path)
    assert (
      read_grey(path, background=background) == expected[background].tolist()
    )
    for channel in np.moveaxis(read(path, 3, background=background), -1, 0):
      np.testing.assert_array_equal(channel, expected[background])
  assert read_grey(tmp_path / 'a.png') == colours(mode)[1]['black'].tolist()


@pytest.mark.parametrize('mode', ['La', 'RGBa', 'PA'])
def test_modes_of_alpha_that_files_rarely_have(mode):
  picture = Image.merge(
    'LA', [Image.new('L', (3, 2), 200), Image.new('L', (3, 2), 0)]
  )
  picture.putpixel((1, 0), (200, 255))
  picture = picture.convert('RGBA').convert('PA' if mode == 'PA' else 'RGBA')
  if mode == 'La':
    picture = picture.convert('LA')
  picture = picture.convert(mode)
  for background, level in (('black', 0), ('white', 255)):
    seen = pictures.fit(picture, (2, 3, 3), background=background)
    assert seen[..., 0].tolist() == [[level, 200, level], [level] * 3]


def test_a_colour_that_is_transparent(tmp_path):
  path = tmp_path / 'a.png'
  seen = LEVELS.copy()
  seen[0, 2] = 255
  Image.fromarray(LEVELS).save(path, transparency=77)
  assert read_grey(path, background='white') == seen.tolist()
  Image.fromarray(LEVELS).convert('RGB').save(path, transparency=(77,) * 3)
  assert read_grey(path, background='white') == seen.tolist()
  deep = Image.fromarray(LEVELS.astype(np.uint16) * 257)
  deep.save(path, transparency=77 * 257)
  assert read_grey(path, background='white') == seen.tolist()
  Image.fromarray(LEVELS > 99).save(path, transparency=255)
  assert read_grey(path) == [[0] * 3] * 2


def test_a_transparent_colour_in_fewer_or_more_bits(tmp_path):
  path = tmp_path / 'a.png'
  write_png(path, 2, 0, [b'\x18', b'\x18'], struct.pack('>H', 2))  # 0, 1, 2
  assert read_grey(path, background='white') == [[0, 85, 255]] * 2
  row = struct.pack('>9H', *(value * 257 for value in (*[9] * 6, *[60] * 3)))
  write_png(path, 16, 2, [row, row], struct.pack('>3H', *[60 * 257] * 3))
  assert read_grey(path, background='white') == [[9, 9, 255]] * 2


def test_palettes(tmp_path):
  picture = Image.new('P', (3, 2))
  picture.putpalette([255, 0, 0, 0, 0, 255, 10, 20, 30])
  picture.putdata([0, 1, 2, 2, 1, 0])
  rows = [[[255, 0, 0], [0, 0, 255], [10, 20, 30]]]
  rows.append(rows[0][::-1])
  for suffix in ('png', 'gif'):
    path = tmp_path / f'a.{suffix}'
    picture.save(path)
    assert read(path, 3).tolist() == rows
    with Image.open(path) as opened:
      assert not pixels.is_grey(opened)
  for transparency in (1, bytes((255, 0, 255))):
    picture.save(tmp_path / 'a.png', transparency=transparency)
    for background, level in (('black', 0), ('white', 255)):
      rows[0][1] = rows[1][1] = [level] * 3
      seen = read(tmp_path / 'a.png', 3, background=background)
      assert seen.tolist() == rows


def test_one_bit_is_black_or_white(tmp_path):
  for suffix in ('png', 'tif', 'bmp', 'pbm'):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(LEVELS > 99).save(path)
    assert read_grey(path) == [[0, 0, 0], [255, 255, 255]]
    with Image.open(path) as opened:
      assert pixels.is_grey(opened)


def test_cmyk_is_subtractive(tmp_path):
  picture = Image.new('CMYK', (3, 2), (255, 0, 0, 0))  # cyan
  picture.putpixel((1, 0), (0, 0, 0, 255))  # black
  picture.putpixel((2, 0), (0, 0, 0, 0))  # paper
  picture.save(tmp_path / 'a.tif')
  seen = read(tmp_path / 'a.tif', 3)
  assert seen[0].tolist() == [[0, 255, 255], [0, 0, 0], [255, 255, 255]]
  flat = Image.new('CMYK', (3, 2), (255, 0, 0, 0))
  flat.save(tmp_path / 'a.jpg', quality=100)
  assert np.abs(read(tmp_path / 'a.jpg', 3) - [0.0, 255, 255]).max() < 8


def test_a_deep_picture_is_upright(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 3  # to be turned by half
  deep = Image.fromarray(LEVELS.astype(np.uint16) * 257)
  deep.save(tmp_path / 'a.png', exif=exif)
  assert read_grey(tmp_path / 'a.png') == LEVELS[::-1, ::-1].tolist()


def load_folder(path, **options):
  return dataset.load(
    'folder', 'train', dir=str(path), image_size=4, crop_size=0, **options
  ).images


def write_folder(path):
  """A grey image of each kind, level 100, the last one seen through 0."""
  grey = np.full((5, 5), 100, np.uint8)
  see_through = [Image.fromarray(grey), Image.new('L', (5, 5), 0)]
  Image.fromarray(grey.astype(np.uint16) * 257).save(path / 'deep.png')
  Image.fromarray(grey.astype(np.float32) / 255).save(path / 'float.tif')
  Image.merge('LA', see_through).save(path / 'alpha.png')
  (path / 'attributes.csv').write_text(
    'file,split,a\ndeep.png,train,1\nfloat.tif,train,0\nalpha.png,train,1\n'
  )


def test_a_folder_of_deep_and_transparent_greys_has_one_channel(tmp_path):
  write_folder(tmp_path)
  images = load_folder(tmp_path)
  assert images.shape == (3, 4, 4, 1)
  assert images[:, 0, 0, 0].tolist() == [100, 100, 0]
  row = struct.pack('>6H', *(200 * 257, 65535) * 3)
  write_png(tmp_path / 'alpha.png', 16, 4, [row, row, row])  # Pillow: 'RGBA'
  images = load_folder(tmp_path)
  assert images[:, 0, 0].tolist() == [[100], [100], [200]]


def test_the_cache_knows_the_background_and_the_decoding(tmp_path, monkeypatch):
  write_folder(tmp_path)
  options = {'cache_dir': str(tmp_path / 'cache')}
  assert load_folder(tmp_path, **options)[2].max() == 0
  white = load_folder(tmp_path, background='white', **options)
  assert white[2].min() == 255
  calls = []
  fit = pictures.fit
  monkeypatch.setattr(
    pictures, 'fit', lambda *args: calls.append(args) or fit(*args)
  )
  load_folder(tmp_path, background='white', **options)
  assert not calls
  monkeypatch.setattr(pixels, 'DECODING', pixels.DECODING + 1)
  load_folder(tmp_path, background='white', **options)
  assert len(calls) == 3
