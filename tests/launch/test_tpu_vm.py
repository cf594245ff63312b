"""launch/tpu_vm.sh prints what it would do; mistakes are one line."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
HERE = ['--name=pod', '--zone=us-central2-b', '--repository=https://x/lcjax']
RUN = ['pipeline', '--config=configs/mnist.py:paper', '--workdir=gs://b/run']


def dry_run(*arguments):
  return subprocess.run(
    ['bash', 'launch/tpu_vm.sh', '--dry_run', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )


def test_every_worker_gets_the_same_command():
  found = dry_run(*HERE, '--project=p', '--', *RUN, '--config.data.dir=a b')
  assert found.returncode == 0, found.stderr
  first, _, *remote = found.stdout.splitlines()
  assert 'tpu-vm ssh pod --zone=us-central2-b --project=p' in first
  assert '--worker=all' in first
  script = '\n'.join(remote)
  assert 'git clone --branch main https://x/lcjax lcjax' in script
  assert "pip install --quiet --editable '.[tpu,gcs]'" in script
  assert (
    'LCJAX_DISTRIBUTED=auto .venv/bin/python -m launch.pipeline '
    '--config=configs/mnist.py:paper --workdir=gs://b/run '
    r'--config.data.dir=a\ b'
  ) in script
  found = dry_run(*HERE, '--folder=a b', '--', *RUN)
  assert r'cd a\ b' in found.stdout.splitlines()
  # What it sends is a script that a shell can read.
  subprocess.run(['bash', '-n'], input=script, text=True, check=True)


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['--zone=z', '--', *RUN], '--name=TPU'),
    (['--name=n', '--', *RUN], '--zone='),
    (HERE, 'nothing to run'),
    ([*HERE, '--', 'pipelin', *RUN[1:]], 'launch/pipelin.py is no launcher'),
    ([*HERE, '--', 'stage', *RUN[1:]], 'launch/stage.py is no launcher'),
    ([*HERE, '--', *RUN[:2]], '--workdir is missing'),
    ([*HERE, '--', RUN[0], RUN[2]], '--config is missing'),
    ([*HERE, '--zonne=z', '--', *RUN], 'unknown argument --zonne=z'),
  ],
)
def test_a_mistake_is_one_line(arguments, said):
  found = dry_run(*arguments)
  assert found.returncode == 2
  assert found.stdout == ''
  assert len(found.stderr.splitlines()) == 1
  assert said in found.stderr
