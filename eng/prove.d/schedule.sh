# Acceptance: a schedule every minute on three server processes over one PostgreSQL, kill -9 of one meanwhile: exactly one task for each tick in the window; the lag's
# p99 is printed.  eng/prove schedule [--minutes N]
# shellcheck shell=bash

prove() {
  local minutes=10
  while [[ $# -gt 0 ]]; do
    case $1 in
      --minutes) minutes=${2:-}; shift 2 || die "--minutes needs a number" ;;
      *) die "unknown option $1" ;;
    esac
  done
  [[ $minutes =~ ^[0-9]+$ && $minutes -ge 3 ]] || die "--minutes '$minutes' is not a number from 3"

  heading "Three servers over one PostgreSQL"
  pg_bindir >/dev/null || install_debian postgresql-15
  pg_start
  local ports=() server
  for server in a b c; do ports+=("$(free_port)"); done
  url=http://127.0.0.1:${ports[0]}
  server_start server-1 "$url" "$TANJIREN_TEST_POSTGRES"
  found_organization "$url" server-1
  for server in 1 2; do server_start "server-$((server + 1))" "http://127.0.0.1:${ports[server]}" "$TANJIREN_TEST_POSTGRES"; done
  machine build-1
  agent_start build-1

  heading "A schedule every minute"
  tc olga schedules create beat --cron '* * * * *' --overlap allow --workstation build-1 -- date +%T
  tc olga schedules preview beat --count 3
  local first kill_at last token pid died=0
  first=$(ask olga "$instants"' .nextRunAt | ms / 1000' schedules show beat)
  # In the very moment of a tick, when somebody fires it: neither the first nor the last.
  kill_at=$((first + minutes / 2 * 60))
  last=$((first + (minutes - 1) * 60))
  remark "$minutes ticks, from $(at $first) to $(at $last). At $(at $kill_at), in the moment of a tick, one of the servers is killed."
  sleep $((kill_at - 15 - $(date +%s)))
  token=$(cli "$scene/people/olga" auth print-token </dev/null)
  for server in 1 2 3; do
    is "server-$server is ready" "$(readiness "http://127.0.0.1:${ports[server - 1]}")" 200
    took_part "server-$server" "http://127.0.0.1:${ports[server - 1]}"
  done
  sleep $((kill_at - 1 - $(date +%s)))
  until ((EPOCHSECONDS >= kill_at)); do sleep 0.005; done
  pid=${processes[server-3]}
  unset 'processes[server-3]'
  kill -KILL "$pid" || true
  wait "$pid" 2>/dev/null || died=$?
  remark "$(date +%T.%3N): kill -9 of server-3. The others go on."
  is "it lived until then: exit code (128 + KILL)" "$died" 137
  sleep $((last + 20 - $(date +%s)))
  for server in 1 2; do is "server-$server is ready" "$(readiness "http://127.0.0.1:${ports[server - 1]}")" 200; done

  heading "The ticks and their tasks"
  tc olga schedules pause beat --reason 'seen enough'
  tc olga schedules show beat
  local tick tasks once=0
  ask olga "$instants"' [.items[] | select(.scheduleTickAt) | {tick: (.scheduleTickAt | ms), lag: ((.createdAt | ms) - (.scheduleTickAt | ms)), started: ((.startedAt // .createdAt | ms) - (.scheduleTickAt | ms)), id, state}]
    | sort_by(.tick)[] | "\(.tick / 1000) \(.lag) \(.started) \(.state) \(.id)"' jobs list --limit $((minutes * 3 + 50)) >"$scene/ticks"
  printf '\n%-10s %5s  %10s  %11s  %-10s %s\n' TICK TASKS 'MADE AFTER' 'STARTED' STATE TASK
  for ((tick = first; tick <= last; tick += 60)); do
    tasks=$(grep -c "^$tick " "$scene/ticks" || true)
    [[ $tasks -ne 1 ]] || once=$((once + 1))
    grep "^$tick " "$scene/ticks" | while read -r _ lag started state id; do printf '%-10s %5s  %7s ms  %8s ms  %-10s %s\n' "$(at "$tick")" "$tasks" "$lag" "$started" "$state" "$id"; done
    [[ $tasks -gt 0 ]] || printf '%-10s %5s\n' "$(at "$tick")" 0
  done
  echo
  is "ticks with exactly one task" "$once" "$minutes"
  is "tasks of ticks in the window" "$(awk -v from="$first" -v to="$last" '$1 >= from && $1 <= to' "$scene/ticks" | wc -l)" "$minutes"
  is "tasks that are not completed" "$(awk -v from="$first" -v to="$last" '$1 >= from && $1 <= to && $4 != "completed"' "$scene/ticks" | wc -l)" 0
  is "ticks that were skipped, missed or failed, as the schedule counts them" "$(ask olga '.skipped + .missed + .failed' schedules show beat)" 0
  local lags
  lags=$(awk -v from="$first" -v to="$last" '$1 >= from && $1 <= to { print $2 }' "$scene/ticks" | sort -n)
  local p99
  p99=$(quantile 99 "$lags")
  # Told and not checked: it is the machine's word as much as ours.
  printf '\ntick lag, from the minute to the task: p50 %s ms, p99 %s ms, longest %s ms; aim: p99 under 1000 ms: %s\n' \
    "$(quantile 50 "$lags")" "$p99" "$(tail -n 1 <<<"$lags")" "$( ((p99 < 1000)) && echo met || echo missed)"
}

# took_part SERVER URL: whether it looks after schedules, by its own count.
took_part() {
  local passes made
  read -r passes made < <(curl -s --max-time 5 -H @- "$2/api/status" <<<"Authorization: Bearer $token" | jq -r '.loops[] | select(.name == "schedules") | "\(.runs) \(.counters.made // 0)"') || true
  holds "$1 looks after schedules: ${passes:-0} passes so far, tasks made in them: ${made:-0}" "${passes:-0} > 0"
}

at() { date -d "@$1" +%T; }

# quantile PERCENT SORTED: nearest rank.
quantile() { awk -v q="$1" '{ v[NR] = $1 } END { r = int((q * NR + 99) / 100); print v[r < 1 ? 1 : r] }' <<<"$2"; }
