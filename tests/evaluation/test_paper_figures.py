"""Figures for print: nothing clipped, pixels kept, text that stays text."""

import io

import numpy as np
import pytest
from PIL import Image

from lcjax.evaluation import heat_maps, paper_figures


def decoded(pictures):
  return np.asarray(Image.open(io.BytesIO(pictures.png)).convert('RGB'))


def block(**changes):
  images = np.zeros((2, 3, 4, 4, 1), np.uint8)
  return paper_figures.Block(**{'images': images} | changes)


def test_the_page_grows_with_its_labels():
  plain = decoded(paper_figures.image_page([block()]))
  labelled = decoded(
    paper_figures.image_page(
      [
        block(
          row_labels=['a long label of the row', 'b'],
          column_labels=['0', '1', '2'],
          title='title',
          notes=[['below\ntwice'] * 3] * 2,
        )
      ]
    )
  )
  assert labelled.shape[0] > plain.shape[0]
  assert labelled.shape[1] > plain.shape[1] + 100
  # Nothing touches the edge of the page.
  for edge in (labelled[0], labelled[-1], labelled[:, 0], labelled[:, -1]):
    assert (edge == 255).all()


def test_small_images_keep_their_pixels_and_colours():
  images = np.zeros((1, 1, 2, 2, 3), np.uint8)
  images[0, 0] = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]]
  page = decoded(paper_figures.image_page([paper_figures.Block(images)]))
  inside = (page != 255).any(axis=-1)
  rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
  cell = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  quarter = [cell.shape[0] // 4, cell.shape[1] // 4]
  for i in range(2):
    for j in range(2):
      found = cell[quarter[0] * (2 * i + 1), quarter[1] * (2 * j + 1)]
      np.testing.assert_array_equal(found, images[0, 0, i, j])
  # Four colours and no blend of them, but for the edge of the cell.
  middle = cell[3:-3, 3:-3].reshape(-1, 3)
  assert len(np.unique(middle, axis=0)) == 4


def test_equal_figures_are_equal_files_with_embedded_fonts():
  made = [paper_figures.image_page([block(title='σₓ')]) for _ in range(2)]
  assert made[0] == made[1]
  assert made[0].pdf.startswith(b'%PDF')
  assert b'/FontFile2' in made[0].pdf  # TrueType, embedded
  assert b'/Type3' not in made[0].pdf
  assert b'CreationDate' not in made[0].pdf


@pytest.mark.parametrize(
  'changes',
  [
    {'row_labels': ['one']},
    {'column_labels': ['one']},
    {'notes': [['a', 'b', 'c']]},
  ],
)
def test_labels_fit_the_images(changes):
  with pytest.raises(ValueError, match='labels for'):
    paper_figures.image_page([block(**changes)])


def test_contours_and_frontier_draw():
  line = np.linspace(-1.0, 1.0, 5)
  values = np.clip(line[:, None] + line[None] / 2, 0.0, 1.0)
  image = np.zeros((4, 4, 1), np.uint8)
  surface = paper_figures.Surface('a', line, line, values, (0.0, 0.5), image)
  drawn = paper_figures.contours(
    [surface, surface], ('x', 'y'), 'D', np.zeros((3, 2))
  )
  assert decoded(drawn).std() > 0
  points = [
    paper_figures.Point('λ = 0', 0.1, 0.9),
    paper_figures.Point('', 0.05, 0.5),
  ]
  drawn = paper_figures.frontier(
    {'actor': points, 'none': []}, {'random': 0.2}, ('MSE', 'success')
  )
  assert decoded(drawn).std() > 0


def test_labels_that_would_cover_each_other_are_left_out():
  near = [paper_figures.Point(str(i), 0.1 + 0.001 * i, 0.9) for i in range(3)]
  far = paper_figures.Point('far', 0.1, 0.5)
  assert paper_figures._apart([*near, far], 0.01, 0.1) == [near[0], far]


def test_a_heat_map_writes_shares_in_their_places_and_leaves_nan_empty():
  table = np.array([[0.0, np.nan], [0.25, 1.0]])
  pictures = heat_maps.shares({'a': table, 'b': table.T}, ['x', 'y'], 'share')
  pixels = decoded(pictures)
  for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
    assert (edge == 255).all()
  written = heat_maps.texts(table)
  assert written == {(0, 0): '.00', (1, 0): '.25', (1, 1): '1.00'}
  assert pictures.pdf.startswith(b'%PDF')
