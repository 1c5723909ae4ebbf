# Acceptance: a failed task with three attempts shows three linked tasks, with backoff.
# shellcheck shell=bash

prove() {
  one_server
  machine build-1
  agent_start build-1

  heading "Three attempts, the pause between them doubled from four seconds"
  tc olga jobs run --workstation build-1 --retries 2 --retry-backoff 4 --retry-exponential --shell 'echo trying; exit 3'
  is "the exit code of the job is that of its last attempt" "$code" 3
  is "output" "$out" $'trying\ntrying\ntrying'

  heading "They are three tasks, linked"
  tc olga jobs list
  local ids=() id
  # Oldest first.
  mapfile -t ids < <(ask olga '.items | sort_by(.attempt)[].id' jobs list)
  is "tasks" "${#ids[@]}" 3
  for id in "${ids[@]}"; do tc olga jobs show "$id"; done
  is "attempts" "$(attempts '.attempt')" "1 2 3"
  is "states" "$(attempts '.state')" "failed failed failed"
  is "retry of" "$(attempts '.retryOfTaskId // "-"')" "- ${ids[0]} ${ids[1]}"
  is "retried by" "$(attempts '.retriedByTaskId // "-"')" "${ids[1]} ${ids[2]} -"
  is "root" "$(attempts '.rootTaskId // "-"')" "- ${ids[0]} ${ids[0]}"
  local pauses
  read -r -a pauses < <(ask olga "$instants"' [.items | sort_by(.attempt)[] | {made: (.createdAt | ms), ended: (.endedAt | ms)}] | "\(.[1].made - .[0].ended) \(.[2].made - .[1].ended)"' jobs list)
  remark "From the end of one to the making of the next: ${pauses[0]} ms and ${pauses[1]} ms."
  holds "the first pause is four seconds" "${pauses[0]} >= 4000 && ${pauses[0]} < 7000"
  holds "the second is eight" "${pauses[1]} >= 8000 && ${pauses[1]} < 11000"

  heading "By hand, from the last one"
  tc olga jobs retry "${ids[2]}" --reason 'the disk is larger now'
  is "the attempt made by hand" "$(ask olga '.items[0].attempt' jobs list)" 4
  tc olga jobs retry "${ids[0]}"
  is "a task has one attempt after it: the first is refused" "$code" 125
}

attempts() { ask olga "[.items | sort_by(.attempt)[] | $1] | join(\" \")" jobs list; }
