"""From flags to a job."""

import os
import subprocess
import sys

import jax
import pytest
from absl.testing import flagsaver
from etils import epath
from jax.experimental.compilation_cache import compilation_cache

from configs import base
from launch import interrupts, lock, startup
from lcjax import errors
from lcjax.experiment import jobs
from tests.data import fake_celeba


@pytest.fixture
def job(monkeypatch):
  """Makes a job of flags."""

  def make(*arguments, workdir='w'):
    given = [
      'x', '--config=configs/celeba.py', f'--workdir={workdir}', *arguments
    ]  # fmt: skip
    # The flags of a config's keys are made of what stands in sys.argv.
    monkeypatch.setattr(sys, 'argv', given)
    with flagsaver.flagsaver():
      startup.parse_flags(given)
      return startup.job()

  return make


@pytest.mark.parametrize(
  ('given', 'names'),
  [
    ('Smiling,Male', ('Smiling', 'Male')),
    ('Smiling', ('Smiling',)),
    ('', ()),
    ("('Smiling', 'Male')", ('Smiling', 'Male')),
    ('Smiling, Male', ('Smiling', 'Male')),
    ("('Smiling,Male',)", ('Smiling', 'Male')),
    ("('5',)", ('5',)),
    *((name, (name,)) for name in fake_celeba.HEADER),
    *((f'{name},Bald', (name, 'Bald')) for name in fake_celeba.HEADER[:1]),
    (','.join(fake_celeba.HEADER), fake_celeba.HEADER),
    (str(fake_celeba.HEADER), fake_celeba.HEADER),
  ],
)
def test_attributes_as_a_tuple_or_joined_by_commas(job, given, names):
  found = job(f'--config.data.attributes={given}')
  assert found.config.data.attributes == names


def test_an_empty_name_is_refused(job):
  with pytest.raises(errors.UserError, match='must be a tuple of names'):
    job('--config.data.attributes=Smiling,')


@pytest.mark.parametrize(
  ('argument', 'said'),
  [
    ('--config.vae=3', 'config.vae is a section and takes no value'),
    ('--config.vae.latent_size=3.5', 'latent_size=3.5 must be of int'),
    ('--config.vae.beta=few', 'config.vae.beta=few must be of float'),
    ('--config.classifier.flip=few', 'flip=few must be of bool'),
    ('--config.vae.hidden_sizes=(1.5,)', r'\(1.5,\) must be a tuple of whole'),
    ('--config.vae.hidden_sizes=1.5', r'\(1.5,\) must be a tuple of whole'),
    ('--config.vae.hidden_sizes=a,2', 'must be a tuple of whole numbers'),
    ('--config.vae.hidden_sizes=(1, 2', 'hidden_sizes=.1, 2 has the wrong'),
    ('--config.data.attributes=3,8', r"in quotes as in \('3',\)"),
    ('--config.seed=x', 'config.seed=x must be of int'),
    ('--overwrite=x', 'flag --overwrite=x'),
    ('--overwrit', "Unknown command line flag 'overwrit'"),
    ('word', "unexpected argument 'word'"),
  ],
)
def test_a_wrong_flag_is_named(job, argument, said):
  with pytest.raises(errors.UserError, match=said):
    job(argument)


def test_home_is_expanded_in_the_workdir(job, monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  found = job('--noconfig.classifier.flip', workdir='~/run')
  assert found.workdir == epath.Path(tmp_path / 'run')
  # The command that goes on is quoted, so that it is expanded there, too.
  assert found.command('compare') == (
    "python -m launch.compare --config=configs/celeba.py '--workdir=~/run' "
    '--noconfig.classifier.flip'
  )
  assert job(workdir='./~').workdir == epath.Path('~')
  with pytest.raises(errors.UserError, match='there is no such user'):
    job(workdir='~nobody_of_that_name/run')


@pytest.mark.parametrize(
  ('description', 'said'),
  [
    ('two', "is neither 'auto' nor"),
    ('host,2,0', "is neither 'auto' nor"),
    ('host:1,2,2', 'NUMBER from 0 to COUNT - 1'),
    ('auto', 'JAX cannot join the processes'),  # no cluster is here
  ],
)
def test_processes_that_cannot_join_are_one_line(description, said):
  with pytest.raises(errors.UserError, match=said):
    startup.join_processes(description)


@pytest.mark.parametrize('names', ['nope', 'cuda', 'cpu,nope'])
def test_a_platform_that_is_not_there_is_one_line(names):
  if names == 'cuda' and jax.default_backend() == 'gpu':
    pytest.skip('it is there')
  found = subprocess.run(
    [sys.executable, '-c', 'from launch import startup\nstartup.run(print)'],
    capture_output=True,
    text=True,
    timeout=50,
    check=False,
    env=os.environ | {'JAX_PLATFORMS': names},
  )
  assert found.returncode == 2
  assert not found.stdout  # it has not begun
  assert len(found.stderr.splitlines()) == 1
  assert f"JAX_PLATFORMS='{names}' is not available" in found.stderr


def test_a_workdir_is_for_one_process(tmp_path):
  first, second = (lock.Lock(epath.Path(tmp_path)) for _ in range(2))
  first.acquire()
  first.acquire()  # has it already
  for _ in range(2):
    with pytest.raises(errors.UserError, match=rf'process {os.getpid()} on'):
      second.acquire()
  del first  # as the end of its process does
  second.acquire()


def test_a_second_launcher_refuses_a_workdir_in_use(tmp_path):
  own = lock.Lock(epath.Path(tmp_path))
  own.acquire()
  job = jobs.Job(base.get_config(), epath.Path(tmp_path))
  again = job._replace(lock=lock.Lock(job.workdir))
  with pytest.raises(errors.UserError, match='is in use by process'):
    jobs.note_config(again)
  assert not (tmp_path / 'config.json').exists()


def test_every_program_is_cached_unless_the_user_says_otherwise(
  monkeypatch, tmp_path
):
  kept = {
    name: getattr(jax.config, name)
    for name in (
      'jax_compilation_cache_dir',
      'jax_persistent_cache_min_compile_time_secs',
      'jax_persistent_cache_min_entry_size_bytes',
    )
  }
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  # JAX itself has read this variable long before.
  monkeypatch.setenv('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '7')
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', 7)
  compilation_cache.reset_cache()
  try:
    startup.use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == f'{tmp_path}/lcjax/xla'
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.0
    assert jax.config.jax_persistent_cache_min_entry_size_bytes == 7
    # A program of no time and no size is kept, too.
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
    jax.jit(lambda x: x * 3.0)(1.0).block_until_ready()
    assert list((tmp_path / 'lcjax/xla').iterdir())
  finally:
    for name, value in kept.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()


_DEAF = """
import os, signal, time
from launch import interrupts, startup

class Deaf:
  def __del__(self):
    os.kill(os.getpid(), signal.{signal})
    time.sleep(0.1)  # Python drops what is raised in here

def main():
  interrupts._PATIENCE_SECONDS = 0.5
  {do}
  time.sleep(60)

startup.run(main)
"""


@pytest.mark.parametrize(
  ('number', 'do'),
  [
    ('SIGTERM', 'Deaf()'),
    ('SIGINT', 'Deaf()'),
    ('SIGTERM', 'os.kill(os.getpid(), signal.SIGTERM)'),
  ],
)
def test_a_signal_ends_a_launcher_wherever_it_comes(number, do):
  found = subprocess.run(
    [sys.executable, '-c', _DEAF.format(signal=number, do=do)],
    capture_output=True,
    text=True,
    timeout=50,
    check=False,
  )
  assert found.returncode == interrupts.RESUME_ME
  assert 'lcjax: interrupted; finished stages are kept.' in found.stderr


def test_help_that_nobody_reads_on_is_no_traceback():
  command = f'{sys.executable} -m launch.generate --help | head -n 1'
  found = subprocess.run(
    ['bash', '-c', command],
    capture_output=True,
    text=True,
    timeout=50,
    check=True,
  )
  assert found.stdout.count('\n') == 1
  assert found.stderr == ''
