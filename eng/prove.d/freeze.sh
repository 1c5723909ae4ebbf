# Acceptance: a freeze window holds a task and releases it at its end, in real minutes.
# shellcheck shell=bash

prove() {
  one_server
  machine web-1 production
  agent_start web-1

  heading "A freeze of two minutes for production"
  # Windows are written in minutes: from the one that runs to the end of the second after it, unless little is left of this one.
  local now end
  now=$(date +%s)
  end=$(((now + 30) / 60 * 60 + 120))
  cat >"$scene/doctrine.yaml" <<YAML
freeze:
  - name: stocktaking
    because: prices must not move while we count.
    from: $(date -d "@$((now / 60 * 60))" '+%Y-%m-%d %H:%M')
    to: $(date -d "@$end" '+%Y-%m-%d %H:%M')
    effect: wait
    when: { tags: [production] }
YAML
  printf '\nolga$ cat doctrine.yaml\n%s\n' "$(<"$scene/doctrine.yaml")"
  tc olga doctrine set "$scene/doctrine.yaml" --based-on 1
  tc olga doctrine test --workstation web-1 -- echo 'new prices'
  is "'doctrine test' says by its exit code that it waits for the end of a freeze" "$code" 3

  heading "The task is held"
  tc olga jobs run --detach --workstation web-1 -- echo 'new prices'
  local job=$out
  tc olga jobs show "$job"
  is "held until" "$(ask olga '.frozenUntil' jobs show "$job")" "$(date -d "@$end" +%Y-%m-%dT%H:%M:%S.000Z)"
  remark "Twenty seconds before the end of the window."
  sleep $((end - 20 - $(date +%s)))
  tc olga jobs list
  # A machine would be online for two minutes after its agent.
  is "its agent runs" "$(kill -0 "${processes[web-1]}" 2>/dev/null && echo yes)" yes
  is "its workstation is" "$(ask olga .status workstations show web-1)" online
  is "the task is" "$(ask olga .state jobs show "$job")" queued

  heading "The window ends"
  tc olga jobs logs --follow "$job"
  is "it runs" "$out" "new prices"
  tc olga jobs show "$job"
  local late
  late=$(ask olga "$instants"' (.startedAt | ms) - '"$end"'000' jobs show "$job")
  remark "It started $late ms after the end of the window."
  holds "not before the end, and within ten seconds of it" "late >= 0 && late < 10000"
  is "the task is" "$(ask olga .state jobs show "$job")" completed
}
