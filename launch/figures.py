r"""Draws the figures of the paper from a finished run.

python -m launch.figures --config=configs/digits.py --workdir=runs/digits \
  --figure=identity_edits

Writes WORKDIR/figures/NAME.png and .pdf, the numbers they show as NAME.json and
a caption as NAME.md. A figure is drawn again only if its config or its
trainings have changed.
"""

from absl import flags

from launch import startup
from lcjax.experiment import figures


def define_flags() -> None:
  """Defines the flags of this launcher."""
  flags.DEFINE_string(
    'figure',
    figures.ALL,
    f'Figure to draw: {", ".join(figures.FIGURES)}, or {figures.ALL}.',
  )


def main() -> None:
  """Reads the flags and runs the launcher."""
  names = figures.chosen(flags.FLAGS.figure)
  figures.make(startup.job(), names, every=flags.FLAGS.figure == figures.ALL)


if __name__ == '__main__':
  define_flags()
  startup.run(main)
