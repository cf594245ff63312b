r"""Samples images with requested attributes, or edits given images.

python -m launch.generate --config=configs/digits.py --workdir=runs/digits \
  --start=encodings --mover=actor --labels=3,8 --images=a.png,b.png

Writes WORKDIR/generate/NAME.png and .npz, where NAME is START_MOVER by default:
one row per start, one column per requested label vector.
"""

from absl import flags

from launch import startup
from lcjax.experiment import generate, requests


def define_flags() -> None:
  """Defines the flags of this launcher."""
  flags.DEFINE_string(
    'start',
    None,
    'Where the latents start: prior, mixture (of all encodings), class_mixture '
    '(of the requested class or attributes), encodings, or one of '
    'config.starts. Default: class_mixture for optimizer, prior for other '
    'movers; some draw their own.',
  )
  flags.DEFINE_string(
    'mover',
    'actor',
    'What moves the latents: actor, optimizer, actor_then_optimizer, '
    'guided_denoiser, none, actor_lambda_X, where X is one of '
    'config.actor_critic.more_distance_weights, or another row of the '
    'comparison, such as short_walk.',
  )
  flags.DEFINE_list(
    'labels',
    [],
    'Requested label vectors, one per column: class names, or attributes '
    'joined by +, exactly those (none for no attribute), or NAME=1 and NAME=0 '
    'joined by +, which leave all others to the start. Default: labels of '
    'random held-out images.',
  )
  flags.DEFINE_multi_string(
    'images',
    [],
    'With --start=encodings: image files, cropped and resized like the data, '
    'or an .npz with uint8 "images"; joined by commas, or one flag per file. '
    'Default: the first held-out images.',
  )
  flags.DEFINE_string(
    'name',
    None,
    'Name of the files. Default: START_MOVER, or START_MOVER_own if --labels '
    'or --images is given.',
  )


def main() -> None:
  """Reads the flags and runs the launcher."""
  given = flags.FLAGS
  job = startup.job()
  images, name = requests.image_paths(given.images), given.name
  start = given.start or generate.start_of(job.config, given.mover)
  if name is not None:
    requests.check_name(name)
  elif given.labels or images:
    # Do not overwrite the grids of the default labels and images.
    name = f'{start}_{given.mover}_own'
  generate.generate(
    job,
    [(start, given.mover)],
    given.labels,
    images,
    name or '',
  )


if __name__ == '__main__':
  define_flags()
  startup.run(main)
