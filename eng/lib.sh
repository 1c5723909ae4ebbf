# Shared by the scripts of eng/. Sourced, never run. bash 4 or newer.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 2; }
is_ci() { [[ ${CI:-} == true || ${CI:-} == 1 ]]; }

# install_debian PACKAGE...: only as root and only where apt-get is; else it says what is missing.
install_debian() {
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    die "missing: $*. Install these packages (Debian names) and run again."
  fi
  say "installing: $*"
  local log; log=$(mktemp)
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2; rm -f "$log"
    die "could not install: $*"
  fi
  rm -f "$log"
}

# keyring_lacks: Debian's packages that a real keyring needs and that are not here, one a line.
keyring_lacks() {
  { command -v dbus-run-session && command -v dbus-send; } >/dev/null || echo dbus
  command -v gnome-keyring-daemon >/dev/null || echo gnome-keyring
  command -v secret-tool >/dev/null || echo libsecret-tools
  [[ -n $(ls /usr/lib/*/libsecret-1.so.0 /usr/lib/libsecret-1.so.0 /usr/lib64/libsecret-1.so.0 2>/dev/null) ]] || echo libsecret-1-0
}

# --- a private PostgreSQL -------------------------------------------------------------------------------------------
# Its own data directory, a password of its own, loopback and a socket in its own directory; durable like a real one
# (fsync and synchronous_commit stay on: what is measured and tested is what users get).

pg_dir=''

# Debian keeps the server's programs off PATH.
pg_bindir() {
  local candidate
  for candidate in "$(command -v initdb 2>/dev/null | xargs -r dirname)" "$(pg_config --bindir 2>/dev/null)" \
    $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr) /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
    if [[ -n $candidate && -x $candidate/initdb && -x $candidate/pg_ctl ]]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# The server refuses to run as root: root lends it to an account that owns nothing else.
pg_as_owner() {
  if [[ $(id -u) -ne 0 ]]; then
    "$@"
    return
  fi
  local account=nobody
  id postgres >/dev/null 2>&1 && account=postgres
  (cd / && exec setpriv --reuid="$account" --regid="$(id -g "$account")" --clear-groups -- "$@")
}

# pg_start: sets pg_dir and exports TANJIREN_TEST_POSTGRES. The caller traps pg_stop.
pg_start() {
  local bin password port try
  bin=$(pg_bindir) || die "no PostgreSQL server programs found (initdb, pg_ctl); install postgresql-15 or newer"
  # Not under TMPDIR: a socket's path has at most 107 bytes.
  pg_dir=$(mktemp -d /tmp/tanjiren-pg.XXXXXX)
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s\n' "$password" >"$pg_dir/password"
  [[ $(id -u) -ne 0 ]] || chown -R "$(id -u postgres 2>/dev/null || id -u nobody)" "$pg_dir"
  # md5 and not scram: the tests open thousands of connections, and 4,096 rounds for each would be most of their time.
  pg_as_owner "$bin/initdb" -D "$pg_dir/data" -U tanjiren --auth=md5 --pwfile="$pg_dir/password" -E UTF8 --locale=C --no-instructions \
    >"$pg_dir/initdb.log" 2>&1 || { cat "$pg_dir/initdb.log" >&2; die "initdb failed"; }
  for try in 1 2 3 4 5 6 7 8; do
    # Below the ephemeral range, so that no outgoing connection takes it between the choice and the bind.
    port=$((20000 + RANDOM % 12000))
    if pg_as_owner "$bin/pg_ctl" -D "$pg_dir/data" -l "$pg_dir/server.log" -w -t 60 -s start \
      -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$pg_dir -c max_connections=300 -c shared_buffers=256MB -c fsync=on -c synchronous_commit=on -c max_wal_size=2GB ${pg_extra:-}" \
      >/dev/null 2>&1 </dev/null; then
      # Disposable: tests need not drop their databases.
      export TANJIREN_TEST_POSTGRES="postgres://tanjiren:$password@127.0.0.1:$port/postgres" TANJIREN_TEST_POSTGRES_DISPOSABLE=1
      return 0
    fi
    grep -q 'could not bind\|Address already in use' "$pg_dir/server.log" || break
    : >"$pg_dir/server.log"
  done
  cat "$pg_dir/server.log" >&2
  die "PostgreSQL did not start"
}

# Immediate: its data is thrown away. Safe to call twice, and when nothing was started.
pg_stop() {
  [[ -n $pg_dir ]] || return 0
  if [[ -f $pg_dir/data/postmaster.pid ]]; then
    pg_as_owner "$(pg_bindir)/pg_ctl" -D "$pg_dir/data" -m immediate -w -s stop >/dev/null 2>&1 || say "PostgreSQL in $pg_dir did not stop"
  fi
  rm -rf "$pg_dir"
  pg_dir=''
}
