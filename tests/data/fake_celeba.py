"""Six pictures in CelebA's form."""

import io
import zipfile

import numpy as np
from PIL import Image

NAMES = [f'{number:06}.jpg' for number in range(1, 7)]
# The official header.
_NAMES = (
  '5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs '
  'Big_Lips Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows '
  'Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup '
  'High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard '
  'Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns '
  'Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat '
  'Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young'
)
HEADER = tuple(_NAMES.split())
SPLITS = (1, 0, 2, 0, 0, 2)  # train: 2, 4, 5; validation: 1; test: 3, 6
LEVEL = 40  # grey of picture n: LEVEL * n


def bits(row):
  """Attributes of picture `row`: a different pattern in each."""
  return [(row + 1) >> (column % 3) & 1 for column in range(len(HEADER))]


def jpeg(row, size=(178, 218), inner=128):
  """Grey of the row's own level in the middle, black around it."""
  pixels = np.zeros((size[1], size[0], 3), np.uint8)
  left, top = (size[0] - inner) // 2, (size[1] - inner) // 2
  pixels[top : top + inner, left : left + inner] = LEVEL * (row + 1)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG', quality=95)
  return file.getvalue()


def write_images(folder, packed=True, rows=range(6), **options):
  if packed:
    with zipfile.ZipFile(folder / 'img_align_celeba.zip', 'w') as archive:
      for row in rows:
        name = f'img_align_celeba/{NAMES[row]}'
        archive.writestr(name, jpeg(row, **options))
  else:
    inner = folder / 'img_align_celeba'
    inner.mkdir(exist_ok=True)
    for row in rows:
      (inner / NAMES[row]).write_bytes(jpeg(row, **options))


def write_tables(folder, partition='list_eval_partition.txt', end='\r\n'):
  lines = [str(len(NAMES)), ' '.join(HEADER) + ' ']
  for row, name in enumerate(NAMES):
    values = ' '.join(f'{1 if bit else -1:2}' for bit in bits(row))
    lines.append(f'{name} {values}')
  table = ''.join(line + end for line in lines)
  (folder / 'list_attr_celeba.txt').write_bytes(table.encode())
  rows = zip(NAMES, SPLITS, strict=True)
  lines = [f'{name} {split}{end}' for name, split in rows]
  (folder / partition).write_bytes(''.join(lines).encode())


def write(folder, **options):
  write_tables(folder)
  write_images(folder, **options)
