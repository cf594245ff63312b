"""Eight virtual CPU devices and strict broadcasting, set before JAX starts."""

import os
import tempfile

from tests import xla

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['JAX_NUMPY_RANK_PROMOTION'] = 'raise'
# The workers of pytest keep all cores busy. Threads of OpenMP and of OpenBLAS
# would wait for one another, which costs as much as their work.
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['OPENBLAS_NUM_THREADS'] = '1'
# In these tests, compiling takes longer than running.
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = 'true'
# So tests, their workers and processes share what one of them has compiled, in
# a cache that is new for every run and removed at its end.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  _CACHE = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _CACHE.name
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
# With fewer threads than devices, collectives can deadlock. The two timeouts
# turn such a hang into an error within seconds.
os.environ['NPROC'] = '16'
os.environ['XLA_FLAGS'] = ' '.join(
  (
    os.environ.get('XLA_FLAGS', ''),
    xla.FLAGS,
    '--xla_force_host_platform_device_count=8',
    '--xla_cpu_collective_call_warn_stuck_timeout_seconds=4',
    '--xla_cpu_collective_call_terminate_timeout_seconds=8',
  )
)

import jax
import pytest


@pytest.fixture(scope='module')
def one_device():
  """Pretends there is one device: trainings compile several times faster."""
  devices = jax.devices()[:1]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, 'devices', lambda: devices)
    patch.setattr(jax, 'local_devices', lambda: devices)
    patch.setattr(jax, 'device_count', lambda: 1)
    patch.setattr(jax, 'local_device_count', lambda: 1)
    yield


# Begun first, so that no worker is left with one of them at the end.
_LONGEST = (
  'test_soak.py',
  'test_configs.py',
  'test_library.py',
  'test_pipeline.py',
  'test_processes.py',
  'test_extension.py',
)


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first; the order is kept otherwise."""
  items.sort(key=lambda item: item.path.name not in _LONGEST)
