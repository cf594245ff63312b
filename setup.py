"""Installs lcjax: `pip install -e .[test]`, or `make` with pinned versions."""

import pathlib

import setuptools

# importlib_resources: tensorflow-datasets imports it without declaring it.
TFDS = [
  'array_record>=0.8',
  'importlib_resources',
  'tensorflow-datasets>=4.9.10',
]
README = pathlib.Path(__file__).parent / 'README.md'

setuptools.setup(
  name='lcjax',
  version='0.1.0',
  description='Latent constraints in JAX: conditional generation from an '
  'unconditional generative model, without retraining it.',
  long_description=README.read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  packages=setuptools.find_packages(
    include=['lcjax', 'lcjax.*', 'configs', 'launch', 'launch.*']
  ),
  package_data={'lcjax': ['py.typed'], 'lcjax.evaluation': ['*.j2']},
  python_requires='>=3.11,<3.13',
  install_requires=[
    'absl-py>=2.1',
    'chex>=0.1.90',
    'etils[epath]>=1.9',
    'flax>=0.12',
    'jax>=0.10',
    'jinja2>=3.1',
    'matplotlib>=3.10',
    'ml-collections>=1.1',
    'numpy>=2.0',
    'optax>=0.2.6',
    'orbax-checkpoint>=0.11',
    'pillow>=11',
    'rich>=13',
    'scikit-learn>=1.6',
    'threadpoolctl>=3.1',
    'scipy>=1.14',
    'tensorboardX>=2.6',
    'tqdm>=4.66',
  ],
  extras_require={
    'cuda': ['jax[cuda13]>=0.10'],
    'tpu': ['jax[tpu]>=0.10'],
    'gcs': ['fsspec', 'gcsfs'],  # workdirs in gs:// buckets
    'test': ['mypy', 'pytest', 'pytest-xdist', 'ruff'],
    # Compared with JAX in `python -m launch.benchmark`.
    'bench': ['torch>=2.5'],
    # Reading prepared TFDS data sets needs no TensorFlow, ...
    'tfds': TFDS,
    # ... preparing them with `python -m launch.prepare_data` does.
    'prepare': [*TFDS, 'tensorflow-cpu==2.21.0'],
  },
)
