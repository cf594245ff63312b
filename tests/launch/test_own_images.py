"""Own images that `launch.generate` reads."""

import types

import numpy as np
from PIL import Image

from configs import base
from launch import generate
from lcjax.data import dataset
from lcjax.types import Bits


def test_a_transparent_image_shows_the_background_of_the_config(tmp_path):
  Image.new('LA', (8, 8), (90, 0)).save(tmp_path / 'clear.png')
  held_out = dataset.Dataset(
    np.zeros((1, 8, 8, 1), np.uint8), np.ones((1, 1), np.float32), Bits(('a',))
  )
  trained = types.SimpleNamespace(encode=lambda images: (images, None))
  config = base.get_config()
  for background, level in (('black', 0), ('white', 255)):
    config.data.background = background
    starts = generate.make_starts(
      config, trained, held_out, 'encodings', [str(tmp_path / 'clear.png')]
    )
    assert (starts.images == level).all()
