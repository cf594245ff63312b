#!/usr/bin/env bash
# Runs a launcher on every worker of a Cloud TPU VM, or just prints how.
#
# launch/tpu_vm.sh [--dry_run] --name=TPU --zone=ZONE [--project=PROJECT]
#     [--repository=URL] [--branch=BRANCH] [--folder=FOLDER]
#     -- LAUNCHER --config=configs/X.py --workdir=gs://BUCKET/RUN [...]
#
# Each worker gets a clone of the repository, an environment with jax[tpu], and
# the same command. The workdir must be one that all workers see: a bucket or a
# shared disk. Preempted, run it again: the run goes on from its checkpoints. A
# clone that is there stays as it is: newer code wants another --folder.
set -euo pipefail

usage() {
  sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
}

fail() {
  echo "tpu_vm.sh: $1" >&2
  exit 2
}

dry_run=false
name='' zone='' project='' folder=lcjax branch=main
here=$(dirname "$0")
repository=$(git -C "$here" config --get remote.origin.url 2>/dev/null || true)
while (($#)); do
  case $1 in
    --dry_run) dry_run=true ;;
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --repository=*) repository=${1#*=} ;;
    --branch=*) branch=${1#*=} ;;
    --folder=*) folder=${1#*=} ;;
    --help) usage; exit 0 ;;
    --) shift; break ;;
    *) fail "unknown argument $1: see $0 --help" ;;
  esac
  shift
done
[[ $name ]] || fail 'which TPU? name it with --name=TPU'
[[ $zone ]] || fail 'where is it? name its zone, as in --zone=us-central2-b'
(($#)) || fail 'nothing to run: end with -- LAUNCHER --config=... --workdir=...'
launcher=$1
shift
grep -qs '^  startup.run(' "$here/$launcher.py" ||
  fail "launch/$launcher.py is no launcher: name one, such as pipeline"
given() { # whether a flag is among the launcher's
  local flag=$1 argument
  shift
  for argument in "$@"; do
    [[ $argument == "$flag" || $argument == "$flag"=?* ]] && return
  done
  return 1
}
given --config "$@" || fail '--config is missing: name configs/FILE.py'
given --workdir "$@" ||
  fail '--workdir is missing: a folder that every worker sees'
[[ $repository ]] || fail 'no repository to clone: give --repository=URL'

quoted=''
(($#)) && quoted=$(printf ' %q' "$@")
printf -v folder %q "$folder"
printf -v repository %q "$repository"
printf -v branch %q "$branch"
# What a worker does; the first part does nothing the second time.
remote=$(
  cat <<END
set -e
if [ ! -d $folder ]; then git clone --branch $branch $repository $folder; fi
cd $folder
if [ ! -x .venv/bin/python ]; then python3 -m venv .venv; fi
.venv/bin/python -m pip install --quiet --editable '.[tpu,gcs]'
LCJAX_DISTRIBUTED=auto .venv/bin/python -m launch.$launcher$quoted
END
)
command=(gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone")
[[ $project ]] && command+=("--project=$project")
command+=(--worker=all "--command=$remote")

if $dry_run; then
  printf '%q ' "${command[@]:0:${#command[@]}-1}"
  printf '%s\n' '--command=SCRIPT'
  echo 'where SCRIPT, on every worker, is:'
  echo "$remote"
  exit 0
fi
exec "${command[@]}"
