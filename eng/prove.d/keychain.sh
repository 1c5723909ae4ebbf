# Acceptance: the sign-in and the agent's key lie in the keychain and in no file; auth logout with a running agent: what runs ends and is recorded, nothing new is taken, the entry is gone.
# shellcheck shell=bash

home='' found=''

prove() {
  local lacks
  mapfile -t lacks < <(keyring_lacks)
  [[ ${#lacks[@]} -eq 0 ]] || install_debian "${lacks[@]}"
  one_server
  shared_organization
  mkdir -p "$scene"/{people/box,run,user}
  open_keyring

  heading "1. Signed in on a page, the tokens lie in the keychain"
  sign_in
  searched
  has "the keychain has the sign-in" "$found" "sign-in."
  nothing_holds 'tnv_\|tnr_' "no file of the machine has a token"
  tc box auth whoami
  is "and it is good" "$code" 0

  heading "2. Its agent, whose key lies there too, and a job"
  printf '\nbox$ tanvrit-compute agent run &\n'
  TANVRIT_HOME=$scene/people/box dotnet exec "$program" agent run >>"$scene/logs/box" 2>&1 </dev/null &
  processes[box]=$!
  until_is 60 1 machines
  local machine job never
  machine=$(ask ann '(if type == "array" then . else .items end)[0].name' workstations list)
  until_is 60 online ask ann .status workstations show "$machine"
  home=$(dirname "$(find "$scene/people/box/agents" -name identity.json)")
  searched
  has "the keychain has the key" "$found" "agent-key."
  nothing_holds 'PRIVATE KEY' "no file of the machine has it"
  printf '\nbox$ cat ~/.tanvrit/agents/…/key.pem\n%s\n' "$(cat "$home/key.pem")"
  tc box jobs run --detach --workstation "$machine" -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo beat $i; sleep 1; done'
  job=$out
  until_is 30 "executing, not_required" job_state ann "$job"

  heading "3. auth logout while it runs"
  tc box auth logout
  is "exit code" "$code" 0
  searched
  is "sign-ins in the keychain" "$(grep -c 'account = sign-in\.' <<<"$found" || true)" 0
  tc ann jobs run --detach --workstation "$machine" -- echo never
  never=$out
  until_is 60 "completed, not_required" job_state ann "$job"
  tc ann jobs logs "$job"
  has "the job ended and is recorded" "$out" "beat 12"
  until_is 30 1 grep -c 'Signed out: ' "$scene/logs/box"
  tc box agent status --home "$home"
  has "the agent says why it takes nothing" "$out" "Signed out: "
  sleep 10 # what is not taken shows in time only
  tc ann jobs show "$never"
  is "ten seconds later, with the agent running, the new job is" "$(job_state ann "$never")" "queued, not_required"
  holds "the agent runs" "$(kill -0 "${processes[box]}" 2>/dev/null && echo 1 || echo 0)"

  heading "4. The server is away while somebody signs out: the agent takes nothing all the same"
  sign_in
  remark "'agent run' registers the machine with the new sign-in, and finds its agent running."
  tc box agent run
  until_is 120 "completed, not_required" job_state ann "$never"
  remark "Signed in again, the agent has taken the job that waited. Now a sign-in is forgotten here that the server does not hear of."
  until_is 30 0 notices
  sign_out_unheard
  searched
  is "sign-ins in the keychain" "$(grep -c 'account = sign-in\.' <<<"$found" || true)" 0
  until_is 30 1 notices
  tc ann jobs run --detach --workstation "$machine" -- echo never
  never=$out
  sleep 10
  is "ten seconds later the new job is" "$(job_state ann "$never")" "queued, not_required"

  heading "5. Somebody deletes the entry by hand"
  sign_in
  until_is 120 "completed, not_required" job_state ann "$never"
  remark "The agent goes on with the new sign-in."
  until_is 30 0 notices
  printf '\nbox$ secret-tool clear service com.tanvrit.compute.cli account sign-in.…\n'
  secret-tool clear service com.tanvrit.compute.cli account "$(jq -r '.workspaces[].keychain' "$scene/people/box/credentials.json")"
  until_is 30 1 notices
  tc box agent status --home "$home"
  has "the agent has seen it" "$out" "is no longer in the keyring (libsecret)"
  tc box jobs list
  is "and the command line says the same: exit code" "$code" 125
  tc ann jobs run --detach --workstation "$machine" -- echo never
  never=$out
  sleep 10
  is "ten seconds later the new job is" "$(job_state ann "$never")" "queued, not_required"

  heading "6. What the agent said"
  stop box
  grep -v 'Tanjiren.Agent.Steps' "$scene/logs/box" | tail -n 30
}

# A D-Bus session of this proof's own, with a gnome-keyring that an empty password unlocks; it ends with the pipe. Only the machine 'box' is in it.
open_keyring() {
  remark "dbus-run-session, and in it gnome-keyring-daemon --unlock"
  mkfifo "$scene/session"
  chmod 700 "$scene/run"
  local session
  env -u DISPLAY -u WAYLAND_DISPLAY -u DBUS_SESSION_BUS_ADDRESS HOME="$scene/user" XDG_RUNTIME_DIR="$scene/run" XDG_DATA_HOME="$scene/user/data" \
    dbus-run-session -- sh -c "printf '\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; echo \"\$DBUS_SESSION_BUS_ADDRESS\" >'$scene/bus'; exec cat >/dev/null" \
    <"$scene/session" >"$scene/logs/keyring" 2>&1 &
  # Open for as long as this script runs: killed, dbus-run-session would leave its bus behind.
  exec {session}>"$scene/session"
  until_is 30 1 sh -c "grep -c unix: '$scene/bus'"
  export DBUS_SESSION_BUS_ADDRESS TANVRIT_KEYCHAIN=required
  DBUS_SESSION_BUS_ADDRESS=$(<"$scene/bus")
}

# searched: what the keyring has; the secrets are no use to readers. Leaves $found.
searched() {
  found=$(secret-tool search --all service com.tanvrit.compute.cli 2>&1 || true)
  printf '\nbox$ secret-tool search --all service com.tanvrit.compute.cli\n%s\n' "$(sed -E 's/^(secret = ).*/\1…/' <<<"$found")"
}

# nothing_holds PATTERN WHAT
nothing_holds() { is "$2" "$(grep -rla -- "$1" "$scene/people/box" 2>/dev/null | wc -l | tr -d ' ')" 0; }

machines() { ask ann '(if type == "array" then . else .items end) | length' workstations list; }

# notices: whether the agent has something to tell of its sign-in.
notices() { jq -r '.notice // ""' "$home/status.json" | grep -c 'Signed out: '; }

# sign_in: box asks, and ann approves on the page as a browser would.
sign_in() {
  local login
  printf '\nbox$ tanvrit-compute auth login --server %s --no-browser\n' "$url"
  : >"$scene/login"
  cli "$scene/people/box" auth login --server "$url" --no-browser >"$scene/login" 2>&1 </dev/null &
  login=$!
  until_is 60 1 sh -c "grep -c user_code= '$scene/login'"
  approve "$(grep -o 'user_code=[A-Z0-9-]*' "$scene/login" | head -n 1 | cut -d= -f2)"
  wait "$login" || die "box can't sign in: $(<"$scene/login")"
  hidden <"$scene/login"
}

# approve CODE
approve() {
  local jar=$scene/jar page organization
  rm -f "$jar"
  page=$(curl -sS -c "$jar" -b "$jar" "$url/device?user_code=$1")
  form "$page" "$1" sign-in --data-urlencode email=ann@example.org --data-urlencode "password=$password" >/dev/null
  page=$(curl -sS -c "$jar" -b "$jar" "$url/device?user_code=$1")
  # Of those that ann is in, the page has chosen the one that she signed in to.
  organization=$(grep -o 'value="[^"]*" selected' <<<"$page" | cut -d'"' -f2 || true)
  form "$page" "$1" approve --data-urlencode "organization=$organization" >"$scene/approved"
  remark "ann signs in on the page, compares the code and approves: $(sed 's/<[^>]*>/ /g' "$scene/approved" | tr -s ' \n' ' ' | cut -c1-120)"
}

# field NAME PAGE: value of a hidden field.
field() { grep -o "name=\"$1\" value=\"[^\"]*\"" <<<"$2" | head -n 1 | sed 's/.*value="//;s/"$//' || true; }

# form PAGE CODE ACTION [CURL OPTIONS…]
form() {
  local csrf
  csrf=$(field csrf "$1")
  curl -sS -c "$scene/jar" -b "$scene/jar" -H "Origin: $url" --data-urlencode "csrf=$csrf" --data-urlencode "user_code=$2" --data-urlencode "action=$3" "${@:4}" "$url/device"
}

# sign_out_unheard: the server stands still for as long as the command tries, and then goes on as if nothing had been.
sign_out_unheard() {
  kill -STOP "${processes[server]}"
  limit=120 tc box auth logout
  kill -CONT "${processes[server]}"
  is "it says that the server does not know" "$code" 125
}
