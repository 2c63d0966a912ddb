# shellcheck shell=bash
# Counting the lines that run, in both languages, over every ring. Needs steps.sh.
#
# The raw counts go to a folder that every user can write and reach: the sidecar under test runs as
# a user of its own.

coverage_begin() {
  export STOQ_ENGINE_COVERAGE=1
  export RUSTC_WORKSPACE_WRAPPER=$PWD/hack/lib/rustc-counting
  counts=$(mktemp -d /tmp/stoq-coverage.XXXXXX)
  mkdir "$counts/rust" "$counts/python"
  chmod 755 "$counts"
  chmod 1777 "$counts/rust" "$counts/python"
  export LLVM_PROFILE_FILE=$counts/rust/%p-%m.profraw
  export COVERAGE_FILE=$counts/python/data
  trap 'rm -rf "$counts"' EXIT
}

# coverage_end PERCENT: prints both reports and fails below PERCENT of lines in either language.
coverage_end() {
  mkdir -p coverage
  local status=0
  rust_coverage "$1" || status=1
  .venv/bin/python -m coverage combine --quiet "$counts/python"
  .venv/bin/python -m coverage report --fail-under="$1" || status=1
  return "$status"
}

rust_coverage() {
  local tools object objects=() percent
  tools=$(dirname "$(cd sidecar/engine && rustc --print target-libdir)")/bin
  "$tools/llvm-profdata" merge --sparse -o "$counts/rust.profdata" "$counts"/rust/*.profraw
  while read -r object; do objects+=(--object "$object"); done < <(counted_objects)
  local report=("${objects[@]}" --instr-profile "$counts/rust.profdata"
    --ignore-filename-regex '/(registry|rustc|library|tests)/|/tests\.rs$')
  "$tools/llvm-cov" report "${report[@]}" --show-region-summary=false --show-branch-summary=false \
    | tee coverage/rust.txt
  percent=$(awk '$1 == "TOTAL" { sub("%", "", $NF); print $NF }' coverage/rust.txt)
  say "Rust: $percent % of lines"
  awk -v have="$percent" -v want="$1" 'BEGIN { exit have < want }' || {
    say "less than $1 % of the engine's lines ran"
    return 1
  }
}

# The test programs of the workspace, and the modules that Python loads.
counted_objects() {
  (cd sidecar/engine && cargo test --locked --workspace --no-run --message-format json 2>/dev/null) \
    | .venv/bin/python -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["executable"])'
  printf '%s\n' "$PWD"/sidecar/stoq/_engine*.so "$PWD"/bpf/stoq_node/_kernel*.so
}
