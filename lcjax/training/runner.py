"""A training from its state to its end, alone or as an ensemble.

Around the loop of compiled steps: checkpoints, logs, validation, progress, and
the end that a signal asks for.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from etils import epath

from lcjax import errors
from lcjax.training import checkpoints, loop, metrics_log, parallel, steps


class Schedule(NamedTuple):
  """How long a training takes and what happens on its way, in steps.

  Attributes:
    num_steps: of the whole training.
    steps_per_call: in one dispatch.
    log_every: between lines of metrics.jsonl.
    evaluate_every: between validation values.
    checkpoint_every: between checkpoints.
    keep: newest checkpoints that stay.
    keep_every: those at multiples of so many steps stay, too, if not 0.
    nonfinite: 'stop' at gradients that are not finite, or 'skip' the update.
  """

  num_steps: int
  steps_per_call: int
  log_every: int
  evaluate_every: int
  checkpoint_every: int
  keep: int
  keep_every: int
  nonfinite: str

  @property
  def skips(self) -> bool:
    """Whether updates that are not finite are skipped."""
    return self.nonfinite == 'skip'


class Program(NamedTuple):
  """Compiled steps of one training, or of an ensemble.

  Attributes:
    step: `(state, batches, key) -> (state, metrics)`.
    pack: lays a state out as the step takes it.
    unpack: the reverse, as checkpoints store it.
    members: an unpacked state -> the state of every training.
    metrics: metrics of the step -> those of every training.
  """

  step: steps.Step
  pack: Callable[[Any], Any]
  unpack: Callable[[Any], Any]
  members: Callable[[Any], Sequence[Any]]
  metrics: Callable[[steps.Metrics], Sequence[steps.Metrics]]


def alone(step: steps.Step) -> Program:
  """The program of one training, from `parallel.compile_step`."""
  return Program(
    step,
    pack=lambda state: state,
    unpack=parallel.on_all_devices,
    members=lambda state: [state],
    metrics=lambda metrics: [metrics],
  )


class Member(NamedTuple):
  """A training of the program.

  Attributes:
    title: for errors.
    folder: of its log, made if need be.
    evaluate: validation values of a state.
  """

  title: str
  folder: epath.Path
  evaluate: Callable[[Any], dict[str, float]]


class _Logs:
  """A hook that gives every member's log its own metrics, one call late."""

  def __init__(
    self,
    logs: Sequence[metrics_log.MetricsLog],
    split: Callable[[steps.Metrics], Sequence[steps.Metrics]],
  ):
    self._logs, self._split = logs, split
    self._pending: tuple[int, steps.Metrics] | None = None

  def __call__(self, step: int, state: Any, metrics: steps.Metrics) -> None:
    del state
    self._pass_on()
    self._pending = step, metrics

  def _pass_on(self) -> None:
    if self._pending is None:
      return
    step, metrics = self._pending
    self._pending = None
    own = self._split(jax.device_get(metrics))
    for log, values in zip(self._logs, own, strict=True):
      log(step, None, values)

  def flush(self) -> None:
    self._pass_on()
    for log in self._logs:
      log.flush()

  def sync(self) -> None:
    self._pass_on()
    for log in self._logs:
      log.sync()

  def close(self) -> None:
    self._pass_on()
    for log in self._logs:
      log.close()


class Run(NamedTuple):
  """What is trained where, and from what on.

  Attributes:
    title: for the progress bar and errors.
    folder: of the checkpoints.
    schedule: of the training.
    follows_from: JSON that a resume is compared with.
    members: every training of the program.
    state: that the training goes on from, unpacked.
    seconds: that it took to get there.
    started: `time.perf_counter()` when this process began to work on it.
    shown: metrics in the progress bar, such as 'train/loss'.
  """

  title: str
  folder: epath.Path
  schedule: Schedule
  follows_from: Mapping[str, Any]
  members: Sequence[Member]
  state: Any
  seconds: float
  started: float
  shown: Sequence[str] = ()


def train(
  run: Run,
  program: Program,
  make_batches: Callable[[int, int], dict[str, np.ndarray]],
  key: jax.Array,
  should_stop: Callable[[], bool],
) -> Any:
  """Trains to the end, which may have been reached before.

  Args:
    run: what, where, from what on.
    program: compiled.
    make_batches: (first step, K) -> stacked batches, as the program takes them.
    key: of the whole run.
    should_stop: asked between calls.

  Returns:
    The last state, unpacked.

  Raises:
    UserError: a metric or a state is not finite, or a file cannot be written.
    Interrupted: `should_stop` said so; the checkpoint is complete.
  """
  schedule, first = run.schedule, int(run.state.step)
  for member in run.members:
    member.folder.mkdir(parents=True, exist_ok=True)
  logs = [
    metrics_log.MetricsLog(
      member.folder, member.title, schedule.log_every, first, schedule.skips
    )
    for member in run.members
  ]
  log = _Logs(logs, program.metrics)
  last_step = first
  with (
    checkpoints.open_manager(
      run.folder, schedule.keep, schedule.keep_every, first
    ) as manager,
    tqdm.tqdm(
      mininterval=0.1 if sys.stderr.isatty() else 10.0,
      disable=jax.process_index() != 0,
      total=schedule.num_steps,
      initial=first,
      desc=run.title,
      unit='step',
    ) as bar,
  ):

    def show(step: int, state: Any, metrics: steps.Metrics) -> None:
      del state, metrics
      bar.set_postfix(_shown(logs[0].latest, run.shown), refresh=False)
      bar.update(step - bar.n)

    def save(step: int, state: Any) -> None:
      log.sync()  # the logs are never behind a checkpoint
      whole = program.unpack(state)
      for member, own in zip(run.members, program.members(whole), strict=True):
        checkpoints.check_state_finite(member.title, step, own)
      seconds = run.seconds + time.perf_counter() - run.started
      checkpoints.save(manager, step, whole, run.follows_from, seconds)

    def evaluate(step: int, state: Any) -> None:
      log.flush()
      states = program.members(program.unpack(state))
      for member, own, its_log in zip(run.members, states, logs, strict=True):
        values = member.evaluate(own)
        loop.check_finite(member.title, step, values)
        its_log.write(step, values, 'validation')

    def periodic(step: int, state: Any, metrics: steps.Metrics) -> None:
      nonlocal last_step
      count, last_step = step - last_step, step
      ends = step == schedule.num_steps
      if loop.crossed(step, count, schedule.evaluate_every) or ends:
        evaluate(step, state)
      if loop.crossed(step, count, schedule.checkpoint_every) or ends:
        if not schedule.skips:
          own = program.metrics(jax.device_get(metrics))
          for member, values in zip(run.members, own, strict=True):
            scalars = {name: float(v) for name, v in values.items()}
            loop.check_finite(member.title, step, scalars)
        save(step, state)

    try:
      state = loop.train(
        program.step,
        program.pack(run.state),
        make_batches,
        key,
        schedule.num_steps,
        schedule.steps_per_call,
        [log, periodic, show],
        lambda: parallel.any_process(should_stop()),
      )
      reached = int(state.step)
      if reached < schedule.num_steps:
        save(reached, state)
        raise errors.Interrupted(
          f'{run.title} is checkpointed at step {reached}'
        )
      if parallel.any_process(should_stop()):  # it came with the last steps
        raise errors.Interrupted(f'{run.title} is finished')
    finally:
      log.close()
  return program.unpack(state)


def _shown(latest: Mapping[str, float], names: Sequence[str]) -> dict[str, str]:
  """Some of the latest metrics, for the progress bar."""
  return {
    name.replace('validation/', 'val/').replace('train/', ''): f'{value:.4g}'
    for name, value in latest.items()
    if name in names
  }
