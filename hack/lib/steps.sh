# shellcheck shell=bash
# Shared by the programs in hack/: progress lines with times, and saying how to mend what is missing.
# Source it after `cd` to the root of the clone.

# All progress goes to standard error: standard output belongs to results (--json).
say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# step NAME COMMAND...: runs one part and prints how long it took. Its output is shown as it comes.
# A function stops at its first command that fails, as the script itself would: bash forgets `set -e`
# inside `f || ...`, so the part runs in a shell of its own. Variables that it sets are lost.
step() {
  local name=$1 start=$EPOCHREALTIME status before=$-
  shift
  say "== $name"
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  [[ $before != *e* ]] || set -e
  local spent
  spent=$(elapsed_since "$start")
  if [ "$status" -ne 0 ]; then
    say "== $name failed after ${spent} s (exit status $status)"
    return "$status"
  fi
  say "== $name: ${spent} s"
}

# within SECONDS NAME COMMAND...: a step that is ended, with all that it started, when it takes longer.
within() {
  local budget=$1 name=$2
  shift 2
  step "$name" bounded "$budget" "$name" "$@"
}

bounded() {
  local budget=$1 name=$2 job watch status=0
  shift 2
  # A process group of its own: whatever the part started ends with it.
  set -m
  (
    set -e
    "$@"
  ) &
  job=$!
  (
    # The group may have been told as one.
    trap 'kill $! 2>/dev/null' TERM
    sleep "$budget" &
    wait $!
    say "== $name: still not done after its ${budget} s, so it is ended here. What it did last stands above"
    kill -TERM -- "-$job"
    sleep 30 &
    wait $!
    kill -KILL -- "-$job"
  ) &
  watch=$!
  set +m
  # shellcheck disable=SC2064  # this job, not one of a later part
  trap "kill -TERM -- -$job -$watch 2>/dev/null; exit 130" INT TERM
  wait "$job" || status=$?
  kill -TERM -- "-$watch" 2>/dev/null || true
  trap - INT TERM
  return "$status"
}

# elapsed_since START: seconds since an earlier $EPOCHREALTIME, one decimal.
elapsed_since() {
  local now=$EPOCHREALTIME
  local micros=$((${now/[.,]/} - ${1/[.,]/}))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# digest FILE...: one SHA-256 over names and contents, for stamps.
digest() { sha256sum -- "$@" | sha256sum | cut -d' ' -f1; }

# stamped NAME VALUE: has part NAME been finished with exactly VALUE before?
stamped() { [ "$(cat ".stoq/stamps/$1" 2>/dev/null)" = "$2" ]; }

stamp() {
  mkdir -p .stoq/stamps
  printf '%s' "$2" >".stoq/stamps/$1"
}

# rustup puts cargo here and relies on the login shell to find it; CI has no login shell.
if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
