r"""Redoes the figures of the paper from a finished run, one command each.

python -m launch.figures --config=configs/digits.py --workdir=runs/digits \
  --figure=identity_edits

Writes WORKDIR/figures/NAME.png and .pdf, the numbers behind them as NAME.json
and a caption as NAME.md. A figure of the same config and trainings is not made
again.
"""

from absl import flags

from launch import startup
from lcjax.experiment import figures


def define_flags() -> None:
  """Defines the flags that only this launcher has."""
  flags.DEFINE_string(
    'figure',
    figures.ALL,
    f'Which one: {", ".join(figures.FIGURES)}, or {figures.ALL}.',
  )


def main() -> None:
  """Flags, then one call."""
  names = figures.chosen(flags.FLAGS.figure)
  figures.make(startup.job(), names)


if __name__ == '__main__':
  define_flags()
  startup.run(main)
