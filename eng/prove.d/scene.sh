# Shared by the proofs: people, servers and agents as processes of their own, and a transcript of what they say. Sourced by eng/prove after eng/lib.sh. bash 5.
# shellcheck shell=bash

program=$root/src/Tanjiren.Cli/bin/${CONFIGURATION:-Release}/net10.0/tanvrit-compute.dll
password='correct horse battery staple'
scene='' name='' url=''
checks=0 failures=0
out='' err='' code=0
limit=180 # seconds for one command; before one that may take longer: limit=600 tc …
declare -A processes=() # what runs, by the name that the transcript gives it

# open_scene NAME: a directory of its own, which goes with the script.
open_scene() {
  name=$1
  need curl jq
  [[ -f $program ]] || die "$program was not built"
  # Not under TMPDIR: an agent's paths have limits.
  scene=$(mktemp -d "/tmp/tanjiren-$name.XXXXXX")
  mkdir -p "$scene"/{people,machines,logs}
  local setting
  for setting in "${!TANVRIT_@}" "${!Tanjiren__@}" "${!OTEL_@}"; do unset "$setting"; done
  export NO_COLOR=1 TZ=UTC TANVRIT_KEYCHAIN=file
  trap close_scene EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Agents by SIGKILL: their watchdogs end what they run. Nothing is left, whatever went wrong.
close_scene() {
  local status=$? who
  # What fails from here on is no word on what was proved.
  set +e
  trap '' INT TERM
  trap - EXIT
  # Failed checks, die and signals have had their say; a command that failed has not.
  case $status:$failures in
    0:* | 2:* | 130:* | 143:* | 1:[1-9]*) ;;
    *)
      say "stopped by a command that failed ($status)"
      status=$((failures > 0 ? 1 : 2))
      ;;
  esac
  for who in "${!processes[@]}"; do stop "$who" KILL; done
  [[ $status -eq 0 || -z $pg_dir ]] || cp "$pg_dir/server.log" "$scene/logs/postgresql"
  pg_stop
  if [[ $status -ne 0 && -n $scene ]]; then
    rm -rf "$root/artifacts/prove/$name"
    mkdir -p "$root/artifacts/prove"
    cp -r "$scene/logs" "$root/artifacts/prove/$name"
    say "what the processes logged: artifacts/prove/$name"
  fi
  [[ -z $scene ]] || rm -rf "$scene"
  exit "$status"
}

# need PROGRAM…: Debian's package has the same name.
need() {
  local missing=() one
  for one in "$@"; do command -v "$one" >/dev/null || missing+=("${one/node/nodejs}"); done
  [[ ${#missing[@]} -eq 0 ]] || install_debian "${missing[@]}"
}

# --- the transcript ---------------------------------------------------------------------------------------------------

heading() { printf '\n== %s\n' "$*"; }
remark() { printf '\n# %s\n' "$*"; }

# One-time secrets of this run are no use to readers.
hidden() { sed -E 's/(code=|code: +|--code )[A-Za-z0-9-]+/\1…/g; s/tnv_[A-Za-z0-9_.-]+/tnv_…/g'; }

# typed WORD…: as one would type it.
typed() {
  local word line=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+=" $word"
  done
  printf '%s' "$line"
}

# cli HOME ARGS…: the program, for $limit seconds: a state that never comes must fail the next check, and not hang the proof.
cli() {
  local home=$1
  shift
  TANVRIT_HOME=$home timeout --foreground -k 15 "$limit" dotnet exec "$program" "$@"
}

# tc WHO ARGS…: runs the command line as that person or machine, and prints it as a terminal would. Leaves $out, $err and $code.
tc() {
  local who=$1
  shift
  printf '\n%s$ tanvrit-compute%s\n' "$who" "$(typed "$@" | hidden)"
  quiet "$who" "$@"
  show
}

# quiet WHO ARGS…: the same without a word.
quiet() {
  local who=$1
  shift
  code=0
  cli "$scene/people/$who" "$@" >"$scene/out" 2>"$scene/err" <<<"${input:-}" || code=$?
  out=$(<"$scene/out") err=$(<"$scene/err")
}

# on MACHINE ARGS…: like tc, of that machine's own agent.
on() {
  local machine=$1
  shift
  printf '\n%s$ tanvrit-compute%s\n' "$machine" "$(typed "$@" | hidden)"
  code=0
  cli "$scene/machines/$machine" "$@" --home "$scene/machines/$machine/agent" >"$scene/out" 2>"$scene/err" </dev/null || code=$?
  out=$(<"$scene/out") err=$(<"$scene/err")
  show
}

# show: what the command printed.
show() {
  { [[ -z $out ]] || printf '%s\n' "$out"; [[ -z $err ]] || printf '%s\n' "$err"; } | hidden
  [[ $code -eq 0 ]] || printf '(exit code %s)\n' "$code"
}

# ask WHO FILTER ARGS…: what jq's FILTER finds in the answer of a command with --json.
ask() {
  local who=$1 filter=$2
  shift 2
  cli "$scene/people/$who" "$@" --json </dev/null 2>>"$scene/logs/asked" | jq -r "$filter"
}

# For jq: an instant of the API as Unix milliseconds.
instants='def ms: capture("^(?<s>[^.]*)\\.(?<f>[0-9]{3})Z$") | ((.s + "Z" | fromdateiso8601) * 1000 + (.f | tonumber));'

job_state() { ask "$1" '"\(.state), \(.approvalStatus)"' jobs show "$2"; }

# --- checks -----------------------------------------------------------------------------------------------------------

# is WHAT FOUND EXPECTED
is() {
  checks=$((checks + 1))
  if [[ $2 == "$3" ]]; then
    printf 'ok      %s: %s\n' "$1" "${2//$'\n'/ / }"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s: %s, not %s\n' "$1" "${2:-nothing}" "$3"
  fi
}

# has WHAT TEXT PART
has() {
  checks=$((checks + 1))
  if [[ $2 == *"$3"* ]]; then
    printf 'ok      %s: "%s"\n' "$1" "$3"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s: nothing says "%s"\n' "$1" "$3"
  fi
}

# holds WHAT EXPRESSION: of bash's arithmetic.
holds() {
  checks=$((checks + 1))
  if (($2)); then
    printf 'ok      %s\n' "$1"
  else
    failures=$((failures + 1))
    printf 'FAILED  %s: %s\n' "$1" "$2"
  fi
}

# until_is SECONDS EXPECTED COMMAND…: until it prints what is expected. What never comes ends the proof.
until_is() {
  local deadline=$((SECONDS + $1)) expected=$2 found=''
  shift 2
  while true; do
    found=$("$@" 2>/dev/null || true)
    [[ $found != "$expected" ]] || return 0
    if ((SECONDS >= deadline)); then
      failures=$((failures + 1))
      printf 'FAILED  in time, %s is %s, not %s\n' "$*" "${found:-nothing}" "$expected"
      conclude
    fi
    sleep 0.3
  done
}

conclude() {
  if ((failures > 0)); then
    printf '\n%s: %s of %s checks FAILED\n' "$name" "$failures" "$checks"
    exit 1
  fi
  printf '\n%s: all %s checks held\n' "$name" "$checks"
}

# --- processes --------------------------------------------------------------------------------------------------------

# Below the ephemeral range, so that no outgoing connection takes it between the choice and the bind.
free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
  done
}

# server_start WHO URL DATABASE [NAME=VALUE…]: ready when it returns. The database is in the environment, because a password is no argument.
server_start() {
  local who=$1 at=$2 database=$3
  shift 3
  printf '\n# server %s: tanvrit-compute server --urls %s\n' "$who" "$at"
  env TANVRIT_HOME="$scene/machines/$who" TANVRIT_DATABASE="$database" "$@" dotnet exec "$program" server --urls "$at" >>"$scene/logs/$who" 2>&1 </dev/null &
  processes[$who]=$!
  until_is 60 200 readiness "$at"
}

# readiness URL: the status that the server's probe answers with.
readiness() { curl -s --max-time 5 -o /dev/null -w '%{http_code}' "$1/readyz"; }

# agent_start MACHINE: returns when this agent has its session, and the machine is online; it would be that for two minutes after an agent that was killed.
agent_start() {
  printf '\n%s$ tanvrit-compute agent run --home %s &\n' "$1" "~/agent"
  TANVRIT_HOME=$scene/machines/$1 dotnet exec "$program" agent run --verbose --max-concurrent 4 --home "$scene/machines/$1/agent" >>"$scene/logs/$1" 2>&1 </dev/null &
  processes[$1]=$!
  until_is 60 "${processes[$1]} true" jq -r '"\(.processId) \(.sessionId != null)"' "$scene/machines/$1/agent/status.json"
  until_is 60 online ask "$owner" .status workstations show "$1"
}

# stop WHO [SIGNAL]
stop() {
  local pid=${processes[$1]:-}
  [[ -n $pid ]] || return 0
  unset "processes[$1]"
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# --- people and machines ----------------------------------------------------------------------------------------------

owner=olga

# one_server [NAME=VALUE…]: a control plane on SQLite of which olga is the owner, signed in; sets url and database.
one_server() {
  url=http://127.0.0.1:$(free_port)
  database=sqlite:$scene/tanjiren.db
  server_start server "$url" "$database" "$@"
  found_organization "$url" server
}

# found_organization URL SERVER: what the page of the printed link does.
found_organization() {
  local setup
  until_is 30 1 grep -c 'setup?code=' "$scene/logs/$2"
  setup=$(grep -o 'setup?code=[A-Za-z0-9_-]*' "$scene/logs/$2" | tail -n 1)
  remark "The server prints a set-up link; on its page olga becomes the owner of the organization 'home'."
  jq -n --arg code "${setup#*=}" --arg password "$password" '{code: $code, email: "olga@example.org", password: $password, organizationName: "home"}' |
    curl -sS --max-time 30 --fail-with-body -o "$scene/out" -H 'Content-Type: application/json' --data-binary @- "$1/api/setup" || die "the set-up failed: $(<"$scene/out")"
  input=$password tc olga auth login --server "$1" --email olga@example.org
  [[ $code -eq 0 ]] || die "olga can't sign in"
}

# shared_organization: 'shop', with the doctrine that shared organizations begin with; ann is its admin, max a member.
shared_organization() {
  tc olga organizations create shop
  input=$password tc olga auth login --server "$url" --email olga@example.org --organization shop
  join ann admin
  join max member
}

# join WHO ROLE
join() {
  local link
  link=$(ask olga .link invitations create "$1@example.org" --role "$2")
  printf '\nolga$ tanvrit-compute invitations create %s@example.org --role %s\n' "$1" "$2"
  input="$link"$'\n'"$password" tc "$1" invitations accept - --email "$1@example.org" --name "$1"
  [[ $code -eq 0 ]] || die "$1 can't join"
}

# machine NAME [TAG…]: a workstation, paired with an agent's home on this machine; its agent is not started.
machine() {
  local machine=$1 tags=() tag pairing
  shift
  for tag in "$@"; do tags+=(--tag "$tag"); done
  tc "$owner" workstations create "$machine" "${tags[@]}"
  pairing=$(ask "$owner" .code workstations pair-code "$machine")
  printf '\n%s$ tanvrit-compute agent pair --server %s --code …\n' "$machine" "$url"
  cli "$scene/machines/$machine" agent pair --server "$url" --code "$pairing" --home "$scene/machines/$machine/agent" 2>>"$scene/logs/$machine" </dev/null |
    grep -v '^home:' || die "$machine can't be paired"
}

# fingerprint MACHINE: of the key that its agent goes by.
fingerprint() { jq -r .keyFingerprint "$scene/machines/$1/agent/identity.json"; }

# refusal MACHINE PATH: how the server last refused a request to that path, as the machine's agent has logged it.
refusal() { { grep -o "$2[^ ]* answered 4.*" "$scene/logs/$1" || true; } | tail -n 1; }

# device MACHINE METHOD PATH [BODY]: one request with the machine's own key (or that of the file $key), as its agent would send it; prints status and code.
device() {
  need node
  DEVICE_KEY=${key:-} node "$root/eng/prove.d/device.mjs" "$scene/machines/$1/agent" "${@:2}"
}
