# Acceptance: a task that matches production waits; a member can't approve it, an admin does, and it runs; what was approved once starts once; a change asks again;
# a machine that is tagged production afterwards gets no unapproved work.
# shellcheck shell=bash

prove() {
  one_server
  shared_organization
  machine web-1 production
  machine build-1
  agent_start web-1
  agent_start build-1

  heading "1. Work for production waits"
  tc max doctrine test --workstation web-1 -- echo 'new prices'
  is "'doctrine test' says by its exit code that it needs an approval" "$code" 1
  has "and in words" "$out" "needs an approval"
  tc max jobs run --detach --workstation web-1 -- echo 'new prices'
  local job=$out
  sleep 5
  tc max jobs show "$job"
  is "after five seconds, with its workstation online" "$(job_state max "$job")" "planned, pending"

  heading "2. A member can't approve it, an admin can, and it runs"
  tc max jobs approve "$job" --yes
  is "the member is refused" "$code" 125
  has "and told why" "$err" "This needs the role admin"
  tc ann approvals list
  has "the admin sees what waits" "$out" "$job"
  tc ann jobs approve "$job" --yes --reason 'looked at the prices'
  tc max jobs logs --follow "$job"
  has "it runs" "$out" "new prices"
  tc max jobs show "$job"
  is "it has ended, and its approval is used" "$(job_state max "$job")" "completed, consumed"

  heading "3. A used approval starts nothing again"
  remark "A job that may be started again when its workstation is lost; it notes each of its starts."
  local starts=$scene/starts lost step
  tc max jobs run --detach --workstation web-1 --on-worker-lost requeue --shell "echo start >> $starts; while [ ! -e $scene/go ]; do sleep 0.1; done"
  lost=$out
  tc ann jobs approve "$lost" --yes
  until_is 30 1 lines "$starts"
  remark "kill -9 of web-1's agent: its watchdog ends what it ran. Then the agent comes back, and reports a start whose end nobody saw."
  stop web-1 KILL
  agent_start web-1
  until_is 60 "executing, pending" job_state max "$lost"
  tc max jobs show "$lost"
  tc ann approvals list --state all
  step=$(ask max '.execution.steps[0].id' jobs show "$lost")
  remark "The machine claims the step all the same: by its own key, in its own session, past its agent."
  claim web-1 "$step"
  has "the second claim on the used approval is refused" "$claimed" "409 needs_approval"
  sleep 5
  is "starts so far, with the workstation online" "$(lines "$starts")" 1
  tc ann jobs approve "$lost" --yes --reason 'once more'
  until_is 30 2 lines "$starts"
  touch "$scene/go"
  until_is 30 "completed, consumed" job_state max "$lost"
  is "approvals that it took to start it twice" "$(ask max '.approvals | length' jobs show "$lost")" 2

  heading "4. A change asks again"
  tc olga workstations drain web-1
  tc max jobs run --detach --workstation web-1 -- echo 'price: 10'
  job=$out
  local old
  old=$(ask ann '.approvals[-1].id' jobs show "$job")
  tc ann jobs approve "$job" --approval "$old"
  is "approved, and waiting for its drained workstation" "$(job_state max "$job")" "queued, approved"
  tc max jobs update "$job" -- echo 'price: 1'
  is "changed (PATCH /api/tasks/$job)" "$(job_state max "$job")" "planned, pending"
  tc ann jobs approve "$job" --approval "$old"
  is "who looked at the old price approves nothing: exit code" "$code" 125
  has "and is told why" "$err" "The task was changed since"
  tc olga workstations undrain web-1
  sleep 5
  is "five seconds after the workstation was undrained" "$(job_state max "$job")" "planned, pending"
  tc ann jobs approve "$job" --yes
  tc max jobs logs --follow "$job"
  is "it runs what was approved last" "$out" "price: 1"
  is "what became of its approvals" "$(ask max '[.approvals[].state] | join(", ")' jobs show "$job")" "withdrawn, consumed"

  heading "5. A machine that is tagged afterwards"
  tc olga workstations drain build-1
  local builds=$scene/builds said
  tc max jobs run --detach --workstation build-1 --shell "echo built >> $builds; echo any build"
  job=$out
  # Its next plan has other steps.
  step=$(ask max '.execution.steps[0].id' jobs show "$job")
  is "build-1 is no production machine, so it needs no approval" "$(job_state max "$job")" "queued, not_required"
  tc max workstations tag build-1 production
  is "who is no admin can't set the tag" "$code" 125
  tc ann workstations tag build-1 production
  tc olga workstations undrain build-1
  remark "Its agent asks for work and claims; the claim is judged by the tags of that moment."
  until_is 30 "planned, pending" job_state max "$job"
  tc max jobs show "$job"
  said=$(refusal build-1 "/api/steps/$step/claim")
  remark "What the agent of build-1 logged: $said"
  has "its claim was refused" "$said" "409 needs_approval"
  is "starts so far" "$(lines "$builds")" 0
  has "the task says why it waits" "$(ask max '.approvals[-1].findings[].because' jobs show "$job")" "tagged production"
  tc ann jobs approve "$job" --yes
  tc max jobs logs --follow "$job"
  is "approved, it runs" "$out" "any build"
  is "its starts" "$(lines "$builds")" 1
}

lines() { if [[ -e $1 ]]; then wc -l <"$1"; else echo 0; fi; }

# claim MACHINE STEP: sets $claimed.
claim() {
  local generation
  generation=$(ask max ".execution.steps[] | select(.id == \"$2\") | .leaseGeneration" jobs show "$lost")
  printf '\n%s$ POST /api/steps/%s/claim {"claimId": "clm_…", "expectedGeneration": %s}\n' "$1" "$2" "$generation"
  claimed=$(device "$1" POST "/api/steps/$2/claim?session={session}" "{\"claimId\":\"{claim}\",\"expectedGeneration\":$generation}")
  printf '%s\n' "$claimed"
}
