"""Records the numbers of a short digits run, and compares a later run to them.

    python -m tests.golden record FILE   # before a change
    python -m tests.golden check FILE    # after it, on the same machine

A change that only moves or renames code must give bit-identical numbers: the
parameters of all trainings, alone and in an ensemble, their logs, the
comparison and its samples, grids and figures. Names of parameters, metrics and
keys are not recorded, so they may change.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = {
  'vae': 400,
  'classifier': 200,
  'second_classifier': 100,
  'latent_critics': 100,
  'actor_critic': 200,
  'denoiser': 200,
}
OVERRIDES = [
  *(f'--config.{name}.train.num_steps={n}' for name, n in STEPS.items()),
  '--config.compare.num_samples=300',
  '--config.figures.num_samples=100',
  '--config.figures.contour_points=11',
  '--config.edit.num_images=60',
]
COMMANDS = [
  ('pipeline', 'run', ['--config.num_seeds=2']),
  ('figures', 'run', ['--config.num_seeds=2']),
  ('ablate', 'ablations', ['--ablations=default,no_distance', '--num_seeds=2']),
]
# Skipped keys: inputs, and values that differ between runs.
LEFT_OUT = 'second', 'version', 'date', 'config', 'trainings', 'hardware'


def run(folder: pathlib.Path) -> None:
  """Runs all commands, with their workdirs in `folder`."""
  for name, workdir, arguments in COMMANDS:
    command = [sys.executable, '-m', f'launch.{name}']
    command += ['--config=configs/digits.py', f'--workdir={folder / workdir}']
    subprocess.run([*command, *OVERRIDES, *arguments], cwd=ROOT, check=True)


def digest(array: Any) -> str:
  """A digest of an array's shape, type and content."""
  array = np.ascontiguousarray(array)
  text = f'{array.dtype} {array.shape} '.encode()
  return hashlib.sha256(text + array.tobytes()).hexdigest()[:16]


def numbers(node: Any, key: str = '') -> Iterator[str]:
  """All floats of a JSON tree, except under the keys of `LEFT_OUT`."""
  if any(word in key for word in LEFT_OUT):
    return
  if isinstance(node, dict):
    for name, value in node.items():
      yield from numbers(value, name)
  elif isinstance(node, list):
    for value in node:
      yield from numbers(value, key)
  elif isinstance(node, float):
    yield repr(node)


def state_digests(checkpoints: pathlib.Path) -> list[str]:
  """Digests of all arrays in the newest checkpoint."""
  newest = max(int(p.name) for p in checkpoints.iterdir() if p.name.isdigit())
  with ocp.StandardCheckpointer() as checkpointer:
    state = checkpointer.restore(checkpoints / str(newest) / 'state')
  return sorted(
    digest(leaf) for leaf in jax.tree.leaves(state) if np.ndim(leaf) > 0
  )


def collect(folder: pathlib.Path) -> dict[str, list[str]]:
  """Digests and numbers of all files of a run, by path."""
  found = {}
  for path in sorted(folder.rglob('*')):
    name = path.relative_to(folder).as_posix()
    if path.name == 'checkpoints':
      found[name] = state_digests(path)
    elif path.name == 'metrics.jsonl':
      lines = [json.loads(line) for line in path.read_text().splitlines()]
      found[name] = sorted(numbers(lines))
    elif path.suffix == '.json' and path.parent.name in ('figures', 'compare'):
      found[name] = sorted(numbers(json.loads(path.read_text())))
    elif path.suffix == '.npz':
      with np.load(path) as arrays:
        found[name] = sorted(
          digest(array)
          for array in arrays.values()
          if array.dtype.kind not in 'US' and array.ndim > 0
        )
    elif path.suffix == '.png' and path.parent.name == 'generate':
      found[name] = [hashlib.sha256(path.read_bytes()).hexdigest()[:16]]
  return found


def main() -> None:
  """Records the numbers, or checks them."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('what', choices=('record', 'check'))
  parser.add_argument('file', type=pathlib.Path)
  given = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    run(pathlib.Path(folder))
    found = collect(pathlib.Path(folder))
  assert sum(map(len, found.values())) > 1000, found
  if given.what == 'record':
    given.file.write_text(json.dumps(found, indent=1) + '\n')
    print(f'recorded {len(found)} files in {given.file}')
    return
  recorded = json.loads(given.file.read_text())
  differing = [
    name
    for name in sorted({*found, *recorded})
    if found.get(name) != recorded.get(name)
  ]
  for name in differing:
    print(f'differs: {name}')
  if differing:
    sys.exit(1)
  print(f'the same numbers in all {len(found)} files')


if __name__ == '__main__':
  main()
