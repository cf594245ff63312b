"""metrics.jsonl and TensorBoard events of one training.

A resumed training writes the same metrics.jsonl as an uninterrupted one.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import jax
import tensorboardX
from etils import epath

from lcjax import errors
from lcjax.training import loop, steps

FILE = 'metrics.jsonl'


def read(folder: epath.PathLike) -> list[dict[str, Any]]:
  """Records of a training's metrics.jsonl, without an incomplete last line.

  Raises:
    UserError: a line before the last is damaged, or the file cannot be read.
  """
  path = epath.Path(folder) / FILE
  records: list[dict[str, Any]] = []
  try:
    lines = path.read_bytes().splitlines() if path.exists() else []
  except OSError as error:
    raise errors.UserError(
      f'{path} cannot be read ({error}): restore it from a copy, or delete it'
    ) from error
  for number, line in enumerate(lines, start=1):
    try:
      records.append(_parse(line))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
      if number < len(lines):
        raise errors.UserError(
          f'line {number} of {path} is damaged: repair or delete it'
        ) from error
  return records


def _parse(line: bytes) -> dict[str, Any]:
  record = json.loads(line)
  if not isinstance(record['step'], int):
    raise TypeError(f'step {record["step"]!r}')
  for name, value in record.items():
    if not isinstance(value, int | float):
      raise TypeError(f'{name} is {value!r}')
  return dict(record)


def _appends(path: epath.Path) -> bool:
  """Whether a file can be appended to; in cloud storage it is rewritten."""
  return '://' not in os.fspath(path)


class MetricsLog:
  """A hook that writes metrics one call late, without waiting for the device.

  Each line of metrics.jsonl is {"step": n, "train/NAME": value, ...} or the
  same with "validation/". There are no times in it, so that two runs with one
  seed write the same bytes.
  """

  def __init__(
    self,
    folder: epath.PathLike,
    name: str,
    every: int,
    step: int,
    skip_nonfinite: bool = False,
  ):
    """Opens the log of a training that resumes from `step`.

    Args:
      folder: of the training.
      name: of the training, for errors.
      every: steps between lines.
      step: of the resume; later lines are deleted, as their steps are repeated.
      skip_nonfinite: whether updates that are not finite are skipped. If so, a
        line omits metrics that had no finite value in its call.
    """
    self._name, self._every = name, every
    self._skip_nonfinite = skip_nonfinite
    self._last_step = step
    self._pending: tuple[int, steps.Metrics] | None = None
    self.latest: dict[str, float] = {}
    folder = epath.Path(folder)
    # Only process 0 writes: all processes have the same metrics.
    self._writes = jax.process_index() == 0
    if not self._writes:
      return
    self._path = folder / FILE
    kept = [r for r in read(folder) if r['step'] <= step]
    self._lines = [json.dumps(record) + '\n' for record in kept]
    self._write_all()
    self._file = self._path.open('a') if _appends(self._path) else None
    self._events = tensorboardX.SummaryWriter(
      os.fspath(folder), purge_step=step + 1
    )

  def __call__(self, step: int, state: Any, metrics: steps.Metrics) -> None:
    """Keeps this call's metrics pending and writes the previous ones."""
    del state
    self.flush()
    if loop.crossed(step, step - self._last_step, self._every):
      self._pending = step, metrics
    self._last_step = step

  def flush(self) -> None:
    """Waits for the pending metrics, checks and writes them."""
    if self._pending is not None:
      step, metrics = self._pending
      self._pending = None
      values = {k: float(v) for k, v in jax.device_get(metrics).items()}
      if self._skip_nonfinite:
        values = {k: v for k, v in values.items() if math.isfinite(v)}
      loop.check_finite(self._name, step, values)
      self.write(step, values, 'train')

  def write(self, step: int, values: dict[str, float], group: str) -> None:
    """Writes one record immediately; `group` is 'train' or 'validation'."""
    self.latest |= {f'{group}/{name}': v for name, v in values.items()}
    if not self._writes:
      return
    record = {f'{group}/{name}': v for name, v in sorted(values.items())}
    line = json.dumps({'step': step} | record) + '\n'
    with self._one_line():
      if self._file is None:
        self._lines.append(line)
      else:
        self._file.write(line)
        self._file.flush()
    for name, value in record.items():
      self._events.add_scalar(name, value, step)

  def sync(self) -> None:
    """Writes the pending metrics and syncs the file to storage."""
    self.flush()
    if not self._writes:
      return
    with self._one_line():
      if self._file is None:
        self._write_all()
      else:
        os.fsync(self._file.fileno())

  def close(self) -> None:
    """Writes the pending metrics and closes the files."""
    self.sync()
    if self._writes:
      if self._file is not None:
        self._file.close()
      self._events.close()

  @contextlib.contextmanager
  def _one_line(self) -> Iterator[None]:
    """Turns a write error, such as a full disk, into a UserError."""
    try:
      yield
    except OSError as error:
      raise errors.UserError(
        f'{self._path} cannot be written: {error}; training stops, earlier '
        'checkpoints are kept. Fix this, then resume with the same command'
      ) from error

  def _write_all(self) -> None:
    temporary = self._path.with_name(f'{FILE}.tmp')
    temporary.write_text(''.join(self._lines))
    temporary.replace(self._path)
