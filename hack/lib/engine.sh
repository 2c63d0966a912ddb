# shellcheck shell=bash
# Building the engine and putting it where Python finds it. Needs steps.sh.

engine_toolchain() { sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml; }

engine_profile() { printf '%s' "${STOQ_ENGINE_PROFILE:-release}${STOQ_ENGINE_COVERAGE:+, counting lines}"; }

engine_sources() {
  {
    find sidecar/engine \( -name target -o -name fuzz \) -prune -o \
      -type f \( -name '*.rs' -o -name Cargo.toml -o -name Cargo.lock \) -print
    find bpf/programs bpf/include -type f -name '*.[ch]'
  } | LC_ALL=C sort
}

packages() {
  local marker
  for marker in {sidecar,operator,bpf}/*/__init__.py; do
    [ ! -f "$marker" ] || printf '%s ' "${marker%/__init__.py}"
  done
}

# The package is installed in place (editable): Python code is read from the clone, and the compiled
# modules lie beside it in sidecar/stoq and bpf/stoq_node. They are built again only when a source or the profile changed.
engine_install() {
  local wanted sources
  mapfile -t sources < <(engine_sources)
  # A new package must be made known to Python as well.
  wanted="$(engine_profile) $(digest pyproject.toml rust-toolchain.toml "${sources[@]}") $(packages)"
  if stamped engine "$wanted" && compgen -G 'sidecar/stoq/_engine*.so' >/dev/null \
    && compgen -G 'bpf/stoq_node/_kernel*.so' >/dev/null; then return 0; fi
  rm -f .stoq/stamps/engine
  local environment=(SETUPTOOLS_RUST_CARGO_PROFILE="${STOQ_ENGINE_PROFILE:-release}")
  [ -z "${STOQ_ENGINE_COVERAGE:-}" ] || environment+=(RUSTC_WORKSPACE_WRAPPER="$PWD/hack/lib/rustc-counting")
  env "${environment[@]}" .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-input --no-build-isolation --no-deps --editable . >&2
  stamp engine "$wanted"
}
