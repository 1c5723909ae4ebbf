# Acceptance: an agent without work gives up its watchdog, its polls and memory; a job wakes it at once. Memory and CPU from /proc, the wake-up from the server's own instants.
# shellcheck shell=bash

idle=50 # idleSuspendSeconds: long enough to be measured before
window=40 # seconds of measuring, awake as suspended: longer than the 30 s between two heartbeats

prove() {
  one_server
  machine box-1
  printf 'idleSuspendSeconds: %s\n' "$idle" >"$scene/machines/box-1/agent.yaml"
  printf '\nbox-1$ cat ~/.tanvrit/agent.yaml\n%s\n' "$(<"$scene/machines/box-1/agent.yaml")"
  agent_start box-1
  local agent=${processes[box-1]} awake_cpu asleep_cpu awake_memory asleep_memory job

  heading "1. Awake, with nothing to do"
  tc olga jobs run --workstation box-1 -- echo 'the last job for a while'
  is "its output" "$out" 'the last job for a while'
  sleep 3 # what the job set going has ended
  awake_memory=$(memory "$agent")
  awake_cpu=$(cpu_of "$window" "$agent")
  printf 'agent and watchdog: %s MiB resident, %s ms of CPU in %s s\n' "$awake_memory" "$awake_cpu" "$window"
  is "its processes" "$(tree "$agent" | wc -w)" 2

  heading "2. Suspended after $idle s without work"
  until_is 60 true suspended box-1
  until_is 30 1 count "$agent"
  remark "The watchdog's process has gone."
  on box-1 agent status
  has "'agent status' says so" "$out" "suspended:"
  is "to the server the machine is" "$(ask olga .status workstations show box-1)" online
  is "and its worker" "$(ask olga '.readiness.ready' workers show box-1)" true
  asleep_memory=$(memory "$agent")
  asleep_cpu=$(cpu_of "$window" "$agent")
  printf 'agent: %s MiB resident, %s ms of CPU in %s s\n' "$asleep_memory" "$asleep_cpu" "$window"
  holds "less memory than awake: $asleep_memory of $awake_memory MiB" "asleep_memory < awake_memory"
  holds "less than a third of the CPU time: $asleep_cpu of $awake_cpu ms" "3 * asleep_cpu < awake_cpu"
  # Those of the last job are kept for a minute.
  until_is 120 1 connections "$agent"
  is "connections to the server" "$(connections "$agent")" 1

  heading "3. A job wakes it"
  local waits=() round
  for round in 1 2 3; do
    until_is 120 true suspended box-1
    quiet olga jobs run --detach --workstation box-1 -- echo "wake-up $round"
    job=$out
    until_is 30 completed ask olga .state jobs show "$job"
    waits+=("$(ask olga "$instants"' (.execution.steps[0].claimedAt | ms) - (.createdAt | ms)' jobs show "$job")")
    is "starts of job $round" "$(ask olga '.execution.steps[0].attempts' jobs show "$job")" 1
  done
  printf 'created -> claimed by a suspended agent: %s ms; its watchdog is started first\n' "${waits[*]}"
  for round in "${waits[@]}"; do holds "claimed within 5 s" "$round < 5000"; done
  tc olga jobs logs "$job"
  is "its output" "$out" 'wake-up 3'

  heading "4. Drained while suspended"
  until_is 120 true suspended box-1
  local began=$SECONDS ended=0
  kill -TERM "$agent"
  wait "$agent" || ended=$?
  unset 'processes[box-1]'
  is "exit code" "$ended" 0
  holds "at once" "SECONDS - began < 10"
}

suspended() { jq -r '.suspendedSince != null' "$scene/machines/$1/agent/status.json"; }

# tree PID: the process and everything below it.
tree() {
  local child
  printf '%s ' "$1"
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do tree "$child"; done
}

count() { tree "$1" | wc -w; }

# memory PID: MiB resident, of the whole tree.
memory() {
  local pid sum=0
  for pid in $(tree "$1"); do sum=$((sum + $(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status"))); done
  printf '%s' $((sum / 1024))
}

# cpu PID: milliseconds so far, of the whole tree and the children that it has waited for.
cpu() {
  local pid sum=0 rest
  for pid in $(tree "$1"); do
    rest=$(<"/proc/$pid/stat")
    read -ra rest <<<"${rest##*) }"
    sum=$((sum + rest[11] + rest[12] + rest[13] + rest[14]))
  done
  printf '%s' $((sum * 1000 / $(getconf CLK_TCK)))
}

# cpu_of SECONDS PID: milliseconds used in that time.
cpu_of() {
  local before
  before=$(cpu "$2")
  sleep "$1"
  printf '%s' $(($(cpu "$2") - before))
}

# connections PID: TCP connections that are open, by its own descriptors.
connections() {
  local inodes
  inodes=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n')
  awk 'NR == FNR { own[$1] = 1; next } $4 == "01" && ($10 in own) { n++ } END { print n + 0 }' <(printf '%s\n' "$inodes") <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
}
