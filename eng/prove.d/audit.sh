# Acceptance: 'audit verify' passes, then fails after one row is edited, and after the last ten are cut off.
# shellcheck shell=bash

prove() {
  need sqlite3
  one_server
  local file=$scene/tanjiren.db heads=$scene/tanjiren.db.audit-heads rows i

  heading "Decisions, sealed within a second"
  machine build-1
  tc olga workstations tag build-1 linux
  tc olga workstations drain build-1
  tc olga workstations undrain build-1
  until_is 20 0 unsealed
  # The last head before ten more rows; whoever can write the database may have kept it.
  local chain before
  chain=$(sql "SELECT chain FROM audit_chains WHERE chain <> 'server'")
  before=$(sql "SELECT head_seq, head_hash, head_at, head_signature FROM audit_chains WHERE chain = '$chain'")
  for i in 1 2 3 4 5 6 7 8 9 10; do quiet olga workstations create "rack-$i"; done
  remark "Ten workstations more: rack-1 to rack-10."
  until_is 20 0 unsealed
  tc olga audit list --limit 12
  rows=$(sql "SELECT head_seq FROM audit_chains WHERE chain = '$chain'")
  is "the ten are the last ten rows" "$((rows - ${before%% *}))" 10

  heading "1. It verifies"
  tc olga audit verify --head "$heads"
  is "exit code" "$code" 0
  has "all rows are checked" "$out" "verified: rows 1 to $rows"
  tc olga audit export --out "$scene/audit.jsonl"
  tc olga audit verify "$scene/audit.jsonl" --head "$heads"
  is "and so does its export, asking nobody" "$code" 0

  heading "2. One row is edited"
  edit "UPDATE audit_events SET detail = 'nothing to see' WHERE organization_id = '$chain' AND chain_seq = 3"
  tc olga audit verify
  is "exit code" "$code" 1
  has "it names the row" "$out" "broken (altered): row 3 ("
  tc olga audit verify "$scene/audit.jsonl"
  is "the export from before still verifies" "$code" 0
  jq -c 'if .sequence == 3 and .action then .detail = "nothing to see" else . end' "$scene/audit.jsonl" >"$scene/edited.jsonl"
  tc olga audit verify "$scene/edited.jsonl"
  is "an edited export does not" "$code" 1
  has "and names the row" "$out" "broken (altered): row 3 ("
  jq -c . "$scene/audit.jsonl" >"$scene/rewritten.jsonl"
  tc olga audit verify "$scene/rewritten.jsonl"
  is "it is the edit that breaks it: one that jq only wrote anew verifies: exit code" "$code" 0
  remark "The row is put back as it was."
  jq -r 'select(.sequence == 3 and .action) | .detail // empty' "$scene/audit.jsonl" >"$scene/detail"
  if [[ -s $scene/detail ]]; then sql "UPDATE audit_events SET detail = rtrim(CAST(readfile('$scene/detail') AS TEXT), char(10)) WHERE organization_id = '$chain' AND chain_seq = 3"
  else sql "UPDATE audit_events SET detail = NULL WHERE organization_id = '$chain' AND chain_seq = 3"; fi
  tc olga audit verify --head "$heads"
  is "exit code" "$code" 0

  heading "3. The last ten rows are cut off"
  edit "DELETE FROM audit_events WHERE organization_id = '$chain' AND chain_seq > $((rows - 10))"
  tc olga audit verify
  is "exit code" "$code" 1
  has "it names the first that is gone" "$out" "broken (truncated): rows $((rows - 9)) to $rows were cut off"
  remark "And the head that the database has is set back to one that the server signed before those ten."
  local seq hash at signature
  read -r seq hash at signature <<<"$before"
  edit "UPDATE audit_chains SET head_seq = $seq, head_hash = '$hash', head_at = $at, head_signature = '$signature' WHERE chain = '$chain'"
  tc olga audit verify
  is "the database alone can't show it any more: exit code" "$code" 0
  tc olga audit verify --head "$heads"
  is "the head file, outside the database, does: exit code" "$code" 1
  has "it names them" "$out" "broken (truncated): rows $((rows - 9)) to $rows were cut off"
}

# sql SQL: beside a server that writes.
sql() { sqlite3 -cmd '.timeout 5000' -separator ' ' "$file" "$1"; }

# unsealed: rows that no chain has yet.
unsealed() { sql "SELECT count(*) FROM audit_events WHERE chain_seq IS NULL"; }

# edit SQL: as somebody who can write the database.
edit() {
  printf '\nroot$ sqlite3 tanjiren.db "%s"\n' "$1"
  sql "$1"
}
