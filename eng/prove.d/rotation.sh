# Acceptance: a key is rotated while a job runs; the old key is refused; the chain verifies, a tampered one does not; a lost key is recovered.
# shellcheck shell=bash

prove() {
  one_server
  machine build-1
  agent_start build-1
  local home=$scene/machines/build-1/agent work='/api/instances/{instance}/work?session={session}&waitSeconds=0' first second third job refused
  first=$(fingerprint build-1)
  cp "$home/key.pem" "$scene/first.pem"

  heading "1. A new key, while a job runs"
  tc olga jobs run --detach --workstation build-1 --shell "echo started; while [ ! -e $scene/go ]; do sleep 0.1; done; echo ended"
  job=$out
  until_is 30 executing ask olga .state jobs show "$job"
  on build-1 agent rotate-key
  second=$(sed -n 's/^new key: *//p' <<<"$out")
  until_is 60 "${second:0:8}" ask olga '.pending.newFingerprintStart // empty' workstations keys build-1
  tc olga workstations keys build-1
  tc olga workstations approve-key build-1 --fingerprint=AAAAAAAA
  is "characters that are not the machine's approve nothing" "$code" 125
  is "so far the machine goes by its first key" "$(fingerprint build-1)" "$first"
  on build-1 agent status
  granted "the first key, until another is approved," "$scene/first.pem"
  tc olga workstations approve-key build-1 "--fingerprint=${second: -8}"
  is "the last eight characters, read at the machine, do" "$code" 0
  until_is 60 "$second" fingerprint build-1
  remark "The agent was refused with its old key, and goes on with the new one."

  heading "2. The old key is refused"
  printf '\nsomebody with a copy of the old key$ POST /api/device-trust/token\n'
  refused=$(key=$scene/first.pem device build-1 GET "$work")
  printf '%s\n' "$refused"
  has "the server says" "$refused" "401 key_rotated"

  heading "3. The job was not disturbed"
  is "it is" "$(ask olga .state jobs show "$job")" executing
  touch "$scene/go"
  tc olga jobs logs --follow "$job"
  is "its output" "$out" $'started\nended'
  is "its starts" "$(ask olga '.execution.steps[0].attempts' jobs show "$job")" 1
  is "and its end" "$(ask olga .state jobs show "$job")" completed

  heading "4. The chain of keys, verified without a server"
  tc olga workstations keys build-1 --json
  printf '%s\n' "$out" >"$scene/build-1.keys.json"
  verify "$first"
  is "from the key that was compared when it was paired" "$code" 0
  has "to the key of now" "$err" "the anchor leads to $second"
  rewrite "only written anew" '.'
  is "the same in other lines verifies: exit code" "$code" 0
  tamper "somebody else has approved it" '.changes[0].approvedBy = "usr_00000000000000000000000000"' "what it shows is not what was signed"
  tamper "one character of the statement is another" '.changes[0].statement |= sub("^(?<head>.{40})(?<c>.)"; .head + (if .c == "A" then "B" else "A" end))' "its statement is altered"
  tamper "the end is cut off" '.changes = [] | .current = .first.fingerprint' "it was cut short or added to"
  verify AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
  is "from a key that is none of its" "$code" 2

  heading "5. A lost key is recovered"
  stop build-1 KILL
  mv "$home/key.pem" "$scene/second.pem"
  remark "The agent has stopped and its key.pem is gone."
  local recovery recovered=0
  recovery=$(ask olga .code workstations recover build-1)
  printf '\nolga$ tanvrit-compute workstations recover build-1\n'
  printf '\nbuild-1$ tanvrit-compute agent recover --server %s --code … &\n' "$url"
  TANVRIT_HOME=$scene/machines/build-1 dotnet exec "$program" agent recover --server "$url" --code "$recovery" --home "$home" >"$scene/recovery" 2>&1 </dev/null &
  processes[recovery]=$!
  until_is 60 1 grep -c '^new key:' "$scene/recovery"
  third=$(sed -n 's/^new key: *//p' "$scene/recovery")
  tc olga workstations keys build-1
  granted "the lost key, until another is approved," "$scene/second.pem"
  tc olga workstations approve-key build-1 "--fingerprint=${third: -8}"
  is "exit code" "$code" 0
  until_is 60 "$third" fingerprint build-1
  wait "${processes[recovery]}" || recovered=$?
  unset 'processes[recovery]'
  printf '\nbuild-1$ fg\n%s\n' "$(<"$scene/recovery")"
  is "exit code" "$recovered" 0
  is "the machine goes by the new key" "$(fingerprint build-1)" "$third"
  agent_start build-1
  tc olga jobs run --workstation build-1 -- echo 'here again'
  is "under its old name it runs jobs" "$out" "here again"
  refused=$(key=$scene/second.pem device build-1 GET "$work")
  printf '\nwhoever finds the lost key$ POST /api/device-trust/token\n%s\n' "$refused"
  has "the lost key is refused" "$refused" "401 key_revoked"

  heading "6. The chain shows the gap"
  quiet olga workstations keys build-1 --json
  printf '%s\n' "$out" >"$scene/build-1.keys.json"
  verify "$first"
  is "no key vouches for what follows a lost one: exit code" "$code" 1
  verify "$first" --accept-gaps
  is "with the server's word for it: exit code" "$code" 0
  verify "$third"
  is "from the newest key, compared at the machine: exit code" "$code" 0
}

# verify ANCHOR [OPTION]: as somebody who is signed in nowhere, and with no server to ask.
verify() {
  local anchor=$1
  shift
  tc auditor workstations verify-keys "$scene/build-1.keys.json" "--anchor=$anchor" "$@"
}

# granted WHOSE KEY: what is refused later would show nothing if it had never been granted.
granted() {
  local answer
  answer=$(key=$2 device build-1 GET "$work")
  is "$1 is let in" "${answer%% *}" 200
}

# rewrite HOW FILTER
rewrite() {
  remark "$1: jq '$2'"
  jq "$2" "$scene/build-1.keys.json" >"$scene/rewritten.keys.json"
  tc auditor workstations verify-keys "$scene/rewritten.keys.json" "--anchor=$first"
}

# tamper HOW FILTER REASON
tamper() {
  rewrite "$1" "$2"
  is "it does not verify: exit code" "$code" 2
  has "because" "$err" "$3"
}
