# Acceptance: a backup under load, more work, a restore: an agent's genuine old result is refused, nothing runs twice, and 'jobs resume' goes on.
# shellcheck shell=bash

prove() {
  # Short, so that the wait before a resume is one of a minute.
  local leases=(Tanjiren__Leases__TtlSeconds=20 Tanjiren__Leases__GraceSeconds=40)
  one_server "${leases[@]}"
  local starts=$scene/starts
  touch "$starts"
  machine build-1
  machine build-2
  machine build-3
  agent_start build-1
  agent_start build-2
  agent_start build-3
  remark "Every job below writes its name into one file when it starts."

  heading "1. A backup under load"
  tc olga workstations drain build-2
  tc olga workstations drain build-3
  note build-1 long "while [ ! -e $scene/go ]; do sleep 0.1; done; touch $scene/long-ended"
  local long=$job
  note build-2 waiting
  local waiting=$job
  note build-3 untouched
  local untouched=$job
  until_is 30 1 started long
  local step
  step=$(ask olga '.execution.steps[0].id' jobs show "$long")
  load a &
  processes[load-a]=$!
  load b &
  processes[load-b]=$!
  remark "And in the background two people make one small job after another on build-1."
  sleep 8
  local before
  before=$(wc -l <"$starts")
  tc server server backup --database "$database" --to "$scene/backup"
  is "exit code" "$code" 0
  is "people who still make jobs" "$(makers)" 2
  remark "Jobs that had started before the backup: $before; when it was made: $(wc -l <"$starts")."
  sleep 8

  heading "2. More work, which the backup does not know"
  tc olga workstations undrain build-2
  until_is 30 completed ask olga .state jobs show "$waiting"
  is "'waiting' has run since the backup; its starts" "$(started waiting)" 1
  touch "$scene/enough"
  wait "${processes[load-a]}" "${processes[load-b]}" || true
  unset 'processes[load-a]' 'processes[load-b]'
  until_is 60 0 open_loads
  holds "small jobs were started before the backup and since" "before > 1 && $(wc -l <"$starts") > before + 1"

  heading "3. The server is lost; a job ends meanwhile"
  local session
  session=$(session_of build-1)
  stop server KILL
  touch "$scene/go"
  until_is 60 yes ended
  until_is 20 uploading phase_of build-1 "$step"
  remark "kill -9 of the server. 'long' ends by itself, and its result waits in the outbox of build-1."

  heading "4. Restore"
  tc server server restore --from "$scene/backup" --database "$database" --force
  is "exit code" "$code" 0
  has "what was open then is held" "$err" "held"
  server_start server "$url" "$database" "${leases[@]}"
  remark "An agent that is cut off could run what it was given after the backup until TTL and grace of its lease are over."
  tc olga jobs resume
  is "exit code" "$code" 125
  has "it is refused, and says until when" "$err" "may still run one of the held tasks until"
  until_is 60 yes is_new_session build-1 "$session"
  until_is 60 yes refused build-1 "$step"
  remark "What the agent of build-1 logged: $(refusal build-1 "/api/steps/$step/complete")"
  has "the genuine result of 'long', of before, is refused" "$(refusal build-1 "/api/steps/$step/complete")" "409 lease_lost"
  tc olga jobs show "$long"
  is "'long' is" "$(ask olga '"\(.state), \(.execution.steps[0].reason)"' jobs show "$long")" "failed, workerLost"

  heading "5. Nothing runs twice"
  tc olga jobs list --limit 8
  tc olga workstations undrain build-2
  is "'waiting', which the backup knew as queued" "$(ask olga '"\(.state), held: \(.held)"' jobs show "$waiting")" "queued, held: true"
  remark "build-2 takes new work, and is not given what is held."
  note build-2 new
  until_is 30 completed ask olga .state jobs show "$job"
  sleep 5
  is "starts of 'waiting'" "$(started waiting)" 1
  is "jobs that started twice" "$(sort "$starts" | uniq -d | wc -l)" 0

  heading "6. The owner cancels what has run, and resumes the rest"
  local id intent
  while read -r id intent; do
    if grep -qx "$intent" "$starts"; then tc olga jobs cancel "$id" --reason "it has run: $intent"; fi
  done < <(ask olga '.items[] | select(.held) | "\(.id) \(.intent)"' jobs list --limit 1000)
  remark "She asks again until no lease from before can last: 60 s after the restore."
  local deadline=$((SECONDS + 120))
  until quiet olga jobs resume; [[ $code == 0 ]] || ((SECONDS >= deadline)); do sleep 2; done
  printf '\nolga$ tanvrit-compute jobs resume\n'
  show
  is "exit code" "$code" 0
  has "the rest goes on: 'untouched'" "$err" "1 job goes on"
  tc olga workstations undrain build-3
  until_is 30 completed ask olga .state jobs show "$untouched"
  until_is 60 0 open_loads
  is "starts of 'untouched', which waited from before the backup until now" "$(started untouched)" 1
  is "'waiting' is" "$(ask olga .state jobs show "$waiting")" cancelled
  is "jobs that started twice" "$(sort "$starts" | uniq -d | wc -l)" 0
  remark "$(wc -l <"$starts") jobs were started in all, each once."
}

# note MACHINE NAME [REST]: makes a job that notes its start; sets $job.
note() {
  tc olga jobs run --detach --workstation "$1" --intent "$2" --shell "echo $2 >> $starts${3:+; $3}"
  job=$out
}

started() { grep -cx "$1" "$starts"; }

ended() { if [[ -e $scene/long-ended ]]; then echo yes; fi; }

# makers: how many of those who make load are at it.
makers() {
  local who count=0
  for who in load-a load-b; do if kill -0 "${processes[$who]}" 2>/dev/null; then count=$((count + 1)); fi; done
  echo "$count"
}

load() {
  local i
  for ((i = 1; i < 1000; i++)); do
    [[ ! -e $scene/enough ]] || return 0
    cli "$scene/people/olga" jobs run --detach --workstation build-1 --intent "load-$1-$i" --shell "echo load-$1-$i >> $starts" >>"$scene/logs/load" 2>&1 </dev/null || true
  done
}

open_loads() { ask olga '[.items[] | select((.intent | startswith("load-")) and (.state | IN("queued", "executing")))] | length' jobs list --limit 1000; }

# session_of MACHINE: nothing while it has none.
session_of() { jq -r '.sessionId // empty' "$scene/machines/$1/agent/status.json"; }

# is_new_session MACHINE OLD
is_new_session() {
  local now
  now=$(session_of "$1")
  if [[ -n $now && $now != "$2" ]]; then echo yes; fi
}

# phase_of MACHINE STEP: where its agent is with it.
phase_of() { jq -r ".steps[] | select(.stepId == \"$2\") | .phase" "$scene/machines/$1/agent/status.json"; }

# refused MACHINE STEP: whether the step's result was.
refused() { if [[ $(refusal "$1" "/api/steps/$2/complete") == *" 409 lease_lost"* ]]; then echo yes; fi; }
