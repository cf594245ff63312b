r"""Prepares a TFDS data set as array_record, from raw files or by download.

python -m launch.prepare_data --name=mnist --data_dir=DIR [--manual_dir=RAW]

Afterwards, --config.data.name=tfds:mnist --config.data.dir=DIR reads it. Only
this launcher needs TensorFlow: pip install -e '.[prepare]'. RAW contains the
raw files under their official names; missing files are downloaded.
"""

import os

from absl import flags

from launch import startup
from lcjax import errors

NAMES = ('mnist', 'fashion_mnist', 'celeb_a')

NAME = flags.DEFINE_string(
  'name', None, f'Data set: one of {", ".join(NAMES)}.'
)
DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Folder for prepared data sets: the data_dir of TFDS.'
)
MANUAL_DIR = flags.DEFINE_string(
  'manual_dir', None, 'Folder of raw files; TFDS verifies their checksums.'
)


def prepare(name: str, data_dir: str, manual_dir: str | None) -> str:
  """Prepares one data set.

  Args:
    name: one of `NAMES`.
    data_dir: folder to write to.
    manual_dir: folder of raw files, or None to download them.

  Returns:
    The folder of the prepared data set.

  Raises:
    UserError: a package is not installed, or TFDS rejects the files.
  """
  try:
    import array_record  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets
  except ImportError as error:
    raise errors.UserError(
      f'preparing a data set needs TensorFlow ({error}): '
      "pip install -e '.[prepare]', preferably in a separate environment"
    ) from error
  builder = tensorflow_datasets.builder(
    name, data_dir=data_dir, file_format='array_record'
  )
  config = tensorflow_datasets.download.DownloadConfig(manual_dir=manual_dir)
  try:
    builder.download_and_prepare(download_config=config)
  # Any failure here is due to the files, the disk or the network.
  except Exception as error:
    raise errors.UserError(
      f'{name} cannot be prepared from {manual_dir or "the network"}: '
      f'{type(error).__name__}: {error}'
    ) from error
  return str(builder.data_path)


def main() -> None:
  """Reads the flags and runs the launcher."""
  if NAME.value not in NAMES:
    raise errors.UserError(
      f'--name={NAME.value} is not one of {", ".join(NAMES)}'
    )
  if not DATA_DIR.value:
    raise errors.UserError(
      '--data_dir is missing: name the folder for the data set'
    )
  if MANUAL_DIR.value and not os.path.isdir(MANUAL_DIR.value):
    raise errors.UserError(f'--manual_dir={MANUAL_DIR.value} is not a folder')
  path = prepare(NAME.value, DATA_DIR.value, MANUAL_DIR.value)
  print(
    f'{path} is ready: --config.data.name=tfds:{NAME.value} '
    f'--config.data.dir={DATA_DIR.value}'
  )


if __name__ == '__main__':
  startup.run(main)
