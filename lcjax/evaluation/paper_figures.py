"""Figures for print: pages of labelled images, contours and frontiers.

Every function returns the same figure as PNG and as PDF bytes. Nothing is
clipped: the page grows to fit its text.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from lcjax.evaluation import grids, plots

# 42 embeds fonts as TrueType, so that text in the PDF remains text.
STYLE: Any = plots.STYLE | {'pdf.fonttype': 42}
_DOTS_PER_INCH = 220
_LABEL_POINTS, _NOTE_POINTS, _TITLE_POINTS = 7.5, 6.0, 9.0
_GAP_INCHES, _LEADING = 0.07, 1.25


class Pictures(NamedTuple):
  """One figure as the bytes of a PNG and of a PDF file."""

  png: bytes
  pdf: bytes


class Block(NamedTuple):
  """A grid of images with labels.

  Attributes:
    images: [R, C, H, W, ch] uint8, grey or RGB.
    row_labels: R labels left of the rows, or none; newlines separate lines.
    column_labels: C labels above the columns, or none; rotated if too wide.
    notes: R lists of C texts below the images, or none.
    title: heading of the grid.
    first_columns: number of leading columns, such as originals, that a gap
      separates from the others.
  """

  images: np.ndarray
  row_labels: Sequence[str] = ()
  column_labels: Sequence[str] = ()
  notes: Sequence[Sequence[str]] = ()
  title: str = ''
  first_columns: int = 0


def image_page(blocks: Sequence[Block], cell_inches: float = 0.62) -> Pictures:
  """Draws blocks below each other; images are enlarged without smoothing.

  Args:
    blocks: grids with images of the same size.
    cell_inches: width of an image.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(1, 1))
    # One Axes covers the page, in inches from its top left corner.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    bottom = 0.0
    # All titles start at the left edge of the widest row label.
    labels = [label for block in blocks for label in block.row_labels]
    left = -_widest(labels, _LABEL_POINTS) - _GAP_INCHES if labels else 0.0
    for block in blocks:
      bottom = _draw_block(axes, block, left, bottom, cell_inches)
    right = max(
      _column_left(block, block.images.shape[1], cell_inches)
      for block in blocks
    )
    axes.set(xlim=(0, right), ylim=(bottom, 0))
    figure.set_size_inches(right, bottom)
    return rendered(figure)


class Surface(NamedTuple):
  """A function of two latent dimensions, on a plane through one latent.

  Attributes:
    title: description of the latent.
    horizontal: [P] values of the first dimension.
    vertical: [Q] values of the second dimension.
    values: [Q, P] values of the function, in [0, 1].
    point: the latent's values in the two dimensions.
    image: [H, W, ch] uint8 image that the latent decodes to.
  """

  title: str
  horizontal: np.ndarray
  vertical: np.ndarray
  values: np.ndarray
  point: tuple[float, float]
  image: np.ndarray


def contours(
  surfaces: Sequence[Surface],
  labels: tuple[str, str],
  value_label: str,
  cloud: np.ndarray,
) -> Pictures:
  """Contours of surfaces side by side, with their latents marked.

  Args:
    surfaces: one for each panel.
    labels: labels of the two axes.
    value_label: label of the colour bar.
    cloud: [M, 2] other latents in the two dimensions, drawn as faint dots.
  """
  levels = np.linspace(0.0, 1.0, 11)
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(2.45 * len(surfaces) + 0.6, 2.75))
    figure.set_layout_engine('constrained')
    panels = figure.subplots(1, len(surfaces), sharey=True, squeeze=False)[0]
    for axis, surface in zip(panels, surfaces, strict=True):
      grid = surface.horizontal, surface.vertical, surface.values
      filled = axis.contourf(*grid, levels=levels, cmap='cividis')
      axis.contour(*grid, levels=[0.5], colors='white', linewidths=1.0)
      dots = cloud.T
      axis.plot(*dots, '.', color='white', ms=2.0, alpha=0.5, mew=0)
      axis.plot(
        *surface.point, 'o', color=plots.COLOURS[1], mec='white', ms=6.5
      )
      axis.set(
        xlim=surface.horizontal[[0, -1]],
        ylim=surface.vertical[[0, -1]],
        xlabel=labels[0],
        aspect='equal',
      )
      axis.set_title(surface.title, loc='left')
      inset = axis.inset_axes((0.02, 0.74, 0.24, 0.24))
      inset.imshow(grids.as_rgb(surface.image), interpolation='none')
      inset.set(xticks=[], yticks=[])
      inset.spines[:].set(visible=True, color='white', linewidth=1.0)
    panels[0].set_ylabel(labels[1])
    bar = figure.colorbar(filled, ax=list(panels), pad=0.01, aspect=30)
    bar.set_label(value_label)
    return rendered(figure)


class Point(NamedTuple):
  """One setting of one mover.

  Attributes:
    label: text next to the point.
    error: horizontal coordinate.
    success: vertical coordinate.
  """

  label: str
  error: float
  success: float


def frontier(
  series: Mapping[str, Sequence[Point]],
  references: Mapping[str, float],
  labels: tuple[str, str],
) -> Pictures:
  """Plots success against error; points closer to the upper left are better.

  Args:
    series: mover -> its points, joined in order.
    references: name -> error, drawn as a vertical line.
    labels: labels of the two axes.
  """
  with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(6.4, 3.9), layout='constrained')
    axis = figure.subplots()
    every = [point.error for points in series.values() for point in points]
    widest = max([*every, *references.values()], default=1.0)
    labelled = _apart(
      [point for points in series.values() for point in points],
      0.1 * widest,
      0.04,
    )
    for index, (name, points) in enumerate(series.items()):
      colour, marker = plots.COLOURS[index % 7], 'osD^vP*'[index % 7]
      errors, successes = [p.error for p in points], [p.success for p in points]
      axis.plot(
        errors,
        successes,
        f'{marker}-',
        color=colour,
        ms=4.5,
        label=name,
        zorder=9 - index,  # the first, with the fewest points, on top
      )
      for point in points:
        if point not in labelled:
          continue
        axis.annotate(
          point.label,
          (point.error, point.success),
          (5, -2.5),
          textcoords='offset points',
          va='top',
          fontsize=_NOTE_POINTS,
          color=colour,
        )
    for index, (name, value) in enumerate(references.items()):
      dashes = (0, (4, 1 + 2 * index))
      axis.axvline(value, color='#666666', linestyle=dashes, label=name)
    axis.set(xlabel=labels[0], ylabel=labels[1])
    axis.set(xlim=(0, 1.1 * widest), ylim=(-0.03, 1.04))
    axis.grid(True)
    figure.legend(loc='outside right upper')
    return rendered(figure)


def _apart(
  points: Sequence[Point], error: float, success: float
) -> list[Point]:
  """Selects points whose labels do not overlap that of an earlier one."""
  kept: list[Point] = []
  for point in points:
    if all(
      abs(point.error - other.error) > error
      or abs(point.success - other.success) > success
      for other in kept
    ):
      kept.append(point)
  return kept


def _draw_block(
  axes: Axes, block: Block, margin: float, top: float, cell_inches: float
) -> float:
  """Draws a block from `top` downwards; returns the top of the next one."""
  num_rows, num_columns, height, width, _ = block.images.shape
  for name, given in (
    ('row', block.row_labels),
    ('note', block.notes),
    ('column', block.column_labels),
  ):
    wanted = num_columns if name == 'column' else num_rows
    if len(given) not in (0, wanted):
      raise ValueError(f'{len(given)} {name} labels for {wanted}')
  if block.title:
    top += 0.1
    _text(axes, margin, top, block.title, _TITLE_POINTS, 'lt', weight='bold')
    top += _line(_TITLE_POINTS) + _GAP_INCHES
  top = _draw_column_labels(axes, block, top, cell_inches)
  cell_height = cell_inches * height / width
  note_lines = max(
    (text.count('\n') + 1 for row in block.notes for text in row), default=0
  )
  scale = max(1, round(cell_inches * _DOTS_PER_INCH / width))
  for row in range(num_rows):
    for column in range(num_columns):
      left = _column_left(block, column, cell_inches)
      cell = block.images[row : row + 1, column : column + 1]
      axes.imshow(
        grids.as_rgb(grids.tile(cell, scale=scale)),
        extent=(left, left + cell_inches, top + cell_height, top),
        interpolation='none',
      )
      if block.notes:
        below, middle = top + cell_height + 0.02, left + cell_inches / 2
        _text(axes, middle, below, block.notes[row][column], _NOTE_POINTS, 'ct')
    if block.row_labels:
      middle = top + cell_height / 2
      _text(
        axes, -_GAP_INCHES, middle, block.row_labels[row], _LABEL_POINTS, 'rc'
      )
    top += cell_height + _pad(cell_inches)
    if note_lines:
      top += note_lines * _line(_NOTE_POINTS) + _GAP_INCHES
  return top + 0.08


def _draw_column_labels(
  axes: Axes, block: Block, top: float, cell_inches: float
) -> float:
  """Draws the labels from `top` downwards; returns the top of the images."""
  if not block.column_labels:
    return top
  widest = _widest(block.column_labels, _LABEL_POINTS)
  upwards = widest > cell_inches + _pad(cell_inches)
  lines = max(label.count('\n') + 1 for label in block.column_labels)
  tall = widest if upwards else lines * _line(_LABEL_POINTS)
  bottom = top + tall + 0.04
  for column, label in enumerate(block.column_labels):
    middle = _column_left(block, column, cell_inches) + cell_inches / 2
    _text(
      axes,
      middle,
      bottom - 0.04,
      label,
      _LABEL_POINTS,
      'cu' if upwards else 'cb',
      rotation=90 if upwards else 0,
    )
  return bottom


def _pad(cell_inches: float) -> float:
  return 0.03 * cell_inches


def _column_left(block: Block, column: int, cell_inches: float) -> float:
  """Left edge of a column, in inches from that of the first column."""
  apart = 0.12 if column >= block.first_columns > 0 else 0.0
  return column * (cell_inches + _pad(cell_inches)) + apart


def _line(points: float) -> float:
  """Height of a line of text, in inches."""
  return points * _LEADING / 72.0


def _widest(texts: Sequence[str], points: float) -> float:
  """Width of the widest line, in inches."""
  font = FontProperties(family=STYLE['font.family'])
  lines = [line for text in texts for line in text.split('\n') if line.strip()]
  widths = [
    TextPath((0, 0), line, size=points, prop=font).get_extents().width
    for line in lines
  ]
  return max(widths, default=0.0) / 72.0


def _text(
  axes: Axes,
  x: float,
  y: float,
  text: str,
  points: float,
  anchor: str,
  **style: Any,
) -> None:
  """Writes text so that its anchor is at (x, y).

  The anchor's first letter is l, c or r (left, centre, right), the second one
  t, c, b or u (top, centre, baseline, lower edge including descenders).
  """
  axes.text(
    x,
    y,
    text,
    fontsize=points,
    ha={'l': 'left', 'c': 'center', 'r': 'right'}[anchor[0]],
    va={'t': 'top', 'c': 'center', 'b': 'baseline', 'u': 'bottom'}[anchor[1]],
    linespacing=1.1,
    clip_on=False,
    **style,
  )


def rendered(figure: Figure) -> Pictures:
  """Renders a figure; without dates and versions, bytes are reproducible."""
  FigureCanvasAgg(figure)
  found = []
  for kind, metadata in (
    ('png', {'Software': None}),
    ('pdf', {'CreationDate': None, 'Producer': None, 'Creator': None}),
  ):
    stream = io.BytesIO()
    figure.savefig(
      stream,
      format=kind,
      dpi=_DOTS_PER_INCH,
      metadata=metadata,
      bbox_inches='tight',
      pad_inches=0.06,
    )
    found.append(stream.getvalue())
  return Pictures(*found)
