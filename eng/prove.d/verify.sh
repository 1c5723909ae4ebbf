# Acceptance: 'jobs verify' passes; fails after one byte of the log is changed in the database; passes with "log purged" after retention. A claim's answer that a proxy alters is refused by the agent.
# shellcheck shell=bash

prove() {
  need sqlite3 node
  one_server
  file=$scene/tanjiren.db
  local anchor job proxied change

  heading "1. It verifies"
  machine build-1
  agent_start build-1
  anchor=$(fingerprint build-1)
  tc olga jobs run --workstation build-1 --env WHAT=prices --shell 'for i in 1 2 3; do echo "$WHAT $i"; sleep 0.1; done; echo done >&2'
  job=$(newest)
  tc olga jobs verify "$job" --anchor="$anchor" --save "$scene/release.receipts"
  is "exit code" "$code" 0
  has "the step, by the machine's own key" "$out" "verified, signed by $anchor"
  tc olga jobs verify --file "$scene/release.receipts" --anchor="$anchor"
  is "and from the file, asking nobody: exit code" "$code" 0
  tc olga jobs verify "$job" --anchor=0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
  is "by another machine's key it does not: exit code" "$code" 1

  heading "2. One byte of the log is changed"
  edit "UPDATE step_logs SET data = CAST(replace(CAST(data AS TEXT), 'prices 2', 'prices 9') AS BLOB) WHERE task_id = '$job' AND CAST(data AS TEXT) LIKE '%prices 2%'"
  tc olga jobs logs "$job"
  has "the log reads well" "$out" "prices 9"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "exit code" "$code" 1
  has "it says where" "$out" "of its output (stdout) was altered"
  tc olga jobs verify --file "$scene/release.receipts" --anchor="$anchor"
  is "the bundle from before still verifies: exit code" "$code" 0
  jq -c 'if .log and (.log.data | @base64d | test("prices 2")) then .log.data = (.log.data | @base64d | sub("prices 2"; "prices 9") | @base64) else . end' "$scene/release.receipts" >"$scene/edited.receipts"
  tc olga jobs verify --file "$scene/edited.receipts" --anchor="$anchor"
  is "and one that was edited does not: exit code" "$code" 1
  remark "The byte is put back."
  sql "UPDATE step_logs SET data = CAST(replace(CAST(data AS TEXT), 'prices 9', 'prices 2') AS BLOB) WHERE task_id = '$job'"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "exit code" "$code" 0

  heading "3. The result is changed"
  edit "UPDATE steps SET exit_code = 1 WHERE task_id = '$job'"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "exit code" "$code" 1
  has "it names the field" "$out" "its exitCode is not what the workstation signed"
  sql "UPDATE steps SET exit_code = 0 WHERE task_id = '$job'"
  edit "UPDATE tasks SET spec = replace(spec, 'WHAT', 'THAT') WHERE id = '$job'"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "nor may the task say now that something else was run: exit code" "$code" 1
  sql "UPDATE tasks SET spec = replace(spec, 'THAT', 'WHAT') WHERE id = '$job'"

  heading "4. Retention deletes the text"
  remark "The job is made a hundred days old, and the server started again: it deletes output 90 days after a job's end."
  stop server
  sql "UPDATE tasks SET ended_at = ended_at - 8640000000 WHERE id = '$job'"
  server_start server "$url" "$database"
  until_is 30 0 sql "SELECT count(*) FROM step_logs WHERE task_id = '$job'"
  until_is 30 1 sql "SELECT count(*) FROM tasks WHERE id = '$job' AND logs_deleted_at IS NOT NULL"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "exit code" "$code" 0
  has "what is left of it verifies" "$out" "verified, log purged"
  edit "UPDATE steps SET exit_code = 1 WHERE task_id = '$job'"
  tc olga jobs verify "$job" --anchor="$anchor"
  is "and can't be changed either: exit code" "$code" 1

  heading "5. A proxy changes what a claim is answered"
  proxied=http://127.0.0.1:$(free_port)
  echo nothing >"$scene/change"
  printf '\n# a proxy at %s, before the server\n' "$proxied"
  node "$root/eng/prove.d/rewriting-proxy.mjs" "${proxied##*:}" "$url" "$scene/change" >>"$scene/logs/proxy" 2>&1 </dev/null &
  processes[proxy]=$!
  until_is 30 200 readiness "$proxied"
  url=$proxied machine web-1
  agent_start web-1
  tc olga jobs run --workstation web-1 --shell 'echo as asked'
  is "through the proxy as it is, the job runs: exit code" "$code" 0
  for change in command environment lease stripped none; do
    echo "$change" >"$scene/change"
    remark "The proxy changes: $change."
    tc olga jobs run --workstation web-1 --shell "echo ran >>'$scene/ran'"
    is "the job has no result: exit code" "$code" 126
    has "the agent refused it, and says why" "$(ask olga '.execution.steps[0] | "\(.reason): \(.detail)"' jobs show "$(newest)")" "rejectedByAgent: The "
    is "nothing was started" "$([[ -e $scene/ran ]] && echo started || echo nothing)" nothing
  done
  echo nothing >"$scene/change"
  tc olga jobs run --workstation web-1 --shell "echo ran >>'$scene/ran'"
  is "and when it leaves it alone, it runs: exit code" "$code" 0
}

# newest: the job that was made last.
newest() { ask olga '.items[0].id' jobs list --limit 1; }

# sql SQL: beside a server that writes.
sql() { sqlite3 -cmd '.timeout 5000' -separator ' ' "$file" "$1"; }

# edit SQL: as somebody who can write the database.
edit() {
  printf '\nroot$ sqlite3 tanjiren.db "%s"\n' "$1"
  sql "$1"
}
