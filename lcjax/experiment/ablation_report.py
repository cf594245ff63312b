"""The final report of `launch.ablate`: one table, and mean curves."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

from lcjax.evaluation import (
  ablations,
  glossary,
  plots,
  reports,
  watch_plots,
)
from lcjax.experiment import compare_report, files, stage, tasks, watched
from lcjax.experiment import jobs as jobs_lib
from lcjax.training import metrics_log


class Curves(NamedTuple):
  """Mean curves over seeds.

  Attributes:
    panels: stage -> metric -> names of ablations -> line.
    gaps: sentences that report missing values of single seeds.
  """

  panels: dict[str, dict[str, dict[str, ablations.Line]]]
  gaps: list[str]


def check_logs(jobs: Mapping[str, jobs_lib.Job]) -> None:
  """Reads all existing logs, so that a damaged one fails before training."""
  for job in jobs.values():
    for which in stage.trainings(job.config):
      for replicate in range(job.config.num_seeds):
        metrics_log.read(stage.folder_of(job.workdir, which, replicate))


def curves(jobs: Mapping[str, jobs_lib.Job]) -> Curves:
  """Averages every logged training metric over seeds.

  Ablations that share a training share a line.
  """
  names: dict[tuple[str, str], list[str]] = {}
  shared: dict[tuple[str, str], tuple[stage.Stage, jobs_lib.Job]] = {}
  for name, job in jobs.items():
    for which in stage.trainings(job.config):
      key = which.name, tasks.Task(name, job, which, 0).identity
      names.setdefault(key, []).append(name)
      shared.setdefault(key, (which, job))
  found = Curves({}, [])
  for key, (which, job) in shared.items():
    label = ablations.all_or_some(names[key], jobs)
    replicates = stage.replicates(job.config, which)
    folders = [stage.folder_of(job.workdir, which, r) for r in replicates]
    seeds = [metrics_log.read(folder) for folder in folders]
    panels = found.panels.setdefault(which.name, {})
    for metric, line in ablations.mean_curves(seeds).items():
      panels.setdefault(metric, {})[label] = line
    of = [f'Seed {job.config.seed + r} of {label}' for r in replicates]
    found.gaps.extend(
      f'{one}: {which.name} has no log, so its mean curves are left out.'
      for one, records in zip(of, seeds, strict=True)
      if any(seeds) and not records
    )
    found.gaps.extend(
      f'{one}: {metric} of {which.name} is not finite at {count} of its logged '
      'steps; curves show only steps with a finite value for every seed.'
      for metric, counts in ablations.missing(seeds).items()
      for one, count in zip(of, counts, strict=True)
      if count
    )
  return found


def write_states(
  workdir: epath.Path, jobs: Mapping[str, jobs_lib.Job], command: str
) -> None:
  """Writes WORKDIR/states.md and .png: how adversarial trainings went.

  Args:
    workdir: folder that contains the workdirs of all ablations.
    jobs: ablation -> its job, already trained.
    command: the launcher command.
  """
  lines = [
    '| ablation | seed | state | evidence |',
    '| --- | ---: | --- | --- |',
  ]
  for name, job in jobs.items():
    for one in watched.states(job):
      title = name
      if one['name'] != stage.ACTOR_CRITIC.name:
        title += f', {one["name"]}'
      lines.append(
        f'| {title} | {one["seed"]} | {one["state"]} | {one["evidence"]} |'
      )
  text = '\n'.join([*lines, '', f'    {command}', ''])
  files.write(workdir / 'states.md', text)
  logs = watched.logs(jobs)
  if logs:
    files.write(workdir / 'states.png', watch_plots.adversarial(logs))
  print(text, end='')
  print(f'report: {workdir / "states.md"}')


def write(
  workdir: epath.Path,
  jobs: Mapping[str, jobs_lib.Job],
  changes: Mapping[str, Mapping[str, Any]],
  command: str,
) -> None:
  """Writes WORKDIR/compare: metrics.json, report.md, report.html, curves.

  Args:
    workdir: folder that contains the workdirs of all ablations.
    jobs: ablation -> its job, already compared.
    changes: ablation -> dotted config key -> value.
    command: the launcher command, shown in the report.
  """
  found = {
    name: files.read_json(job.workdir / 'compare' / 'metrics.json')
    for name, job in jobs.items()
  }
  first = next(iter(found.values()))
  kind, num_seeds = first['labels'], first['num_seeds']
  scores = {name: report['rows'] for name, report in found.items()}
  metrics = glossary.readme_metrics(kind)
  table = ablations.table(scores, metrics, kind)
  drawn = curves(jobs)
  notes = [
    reports.spread(scores[next(iter(jobs))], num_seeds),
    *ablations.references(scores, metrics),
    *(
      f'{name}: {sentence}'
      for name, report in found.items()
      for sentence in reports.not_finite(report['not_finite'])
    ),
    *drawn.gaps,
    *(
      f'{name}: {sentence}'
      for name, job in jobs.items()
      for sentence in reports.adversarial(watched.states(job))
    ),
  ]
  folder = workdir / 'compare'
  figures = []
  for stage_name, panels in drawn.panels.items():
    png = plots.compared_curves(panels)
    files.write(folder / f'curves_{stage_name}.png', png)
    figures.append((stage_name, png))
  logs = watched.logs(jobs)
  if logs:
    png = watch_plots.adversarial(logs)
    files.write(folder / 'adversarial.png', png)
    figures.append(('adversarial trainings of the first seed', png))
  facts = {
    'command': command,
    'seeds': num_seeds,
    **compare_report.measured_on_all(list(found.values())),
  }
  title = f'Ablations of {", ".join(jobs)}: {first["config"]["data"]["name"]}'
  text = ablations.markdown(table, notes)
  files.write(folder / 'report.md', text)
  files.write(
    folder / 'report.html',
    ablations.render_html(title, table, changes, figures, facts, notes),
  )
  files.write_json(
    folder / 'metrics.json',
    {'title': title, 'baseline': table.columns[-1], 'labels': kind}
    | facts
    | {
      'ablations': {
        name: {
          'changes': changes[name],
          'rows': scores[name],
          'not_finite': found[name]['not_finite'],
        }
        for name in jobs
      }
    },
  )
  print(text, end='')
  print(f'report: {folder / "report.html"}')
