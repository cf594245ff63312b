r"""Puts the compositions of config.wants side by side.

python -m launch.compare_wants --config=configs/mnist.py:rules \
  --workdir=runs/mnist --config.data.dir=FOLDER_OF_THE_IDX_FILES

For each: the real images that satisfy it, baselines that are rejected until
they do, optimizer-G and the guided denoiser; see `wants` and `compare_wants` in
configs/base.py. Needs the trainings of launch.pipeline and, for rules, those of
launch.train_rules; retrains nothing.
"""

from launch import startup
from lcjax.experiment import compare_wants


def main() -> None:
  """Reads the flags and runs the launcher."""
  compare_wants.compare_all(startup.job())


if __name__ == '__main__':
  startup.run(main)
