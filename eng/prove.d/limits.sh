# Acceptance: the memory hog dies with ResourceExceeded within two seconds of crossing the cap, its children too; the CPU hog on two threads gets one core, measured over five seconds.
# shellcheck shell=bash

prove() {
  need perl gcc
  make_hogs
  one_server
  machine build-1

  heading "A file that is wrong lets no agent start"
  owner_allows build-1 $'limits:\n  memory: 128\nmaxConcurrent: many'
  on build-1 agent run
  is "the exit code of an agent that refuses to start" "$code" 1
  has "the first fault, with its place" "$err" "agent.yaml:2:3: limits.memory is no setting; did you mean memoryMb?"
  has "the second one, in the same go" "$err" "agent.yaml:3:16: maxConcurrent is 'many'"

  heading "What the machine's owner allows is what it announces"
  # Cards of somebody's imagination: what is shown is who gets which.
  owner_allows build-1 $'limits:\n  cpu: 1\n  memoryMb: 128\nlabels:\n  gpuCount: "2"'
  agent_start build-1
  is "cores, memory and cards of one job" "$(ask olga '.labels | "\(.cpuCount) \(.memoryMb) \(.gpuCount)"' workstations show build-1)" "1 128 2"
  tc olga jobs run --workstation build-1 --memory-mb 4096 -- true
  is "a job that can't fit is refused when it is made" "$code" 125
  has "with the field and the best that there is" "$err" "resources.memoryMb: asks for 4096, and workstation 'build-1' gives a job 128"

  heading "Four processes that take a mebibyte each 20 ms, one of them in a session of its own"
  tc olga jobs run --workstation build-1 -- "$scene/memory-hog" "$scene/ledger"
  is "the exit code of the job" "$code" 137
  local id
  id=$(ask olga '.items[0].id' jobs list)
  tc olga jobs show "$id"
  is "outcome and reason" "$(ask olga '.execution.steps[0] | "\(.outcome) \(.reason)"' jobs show "$id")" "FAILED ResourceExceeded"
  local detail
  detail=$(ask olga '.execution.steps[0].detail' jobs show "$id")
  has "cap and usage" "$detail" "cap 128 MiB (limits.memoryMb of this machine's agent.yaml)"
  remark "$detail"
  dead_in_time 128

  heading "The same under a cap that the job sets itself, with nothing left of it"
  rm -f "$scene/ledger"
  tc olga jobs run --workstation build-1 --memory-mb 64 -- "$scene/memory-hog" "$scene/ledger"
  is "the exit code of the job" "$code" 137
  id=$(ask olga '.items[0].id' jobs list)
  has "whose cap it was" "$(ask olga '.execution.steps[0].detail' jobs show "$id")" "cap 64 MiB (the job's own resources.memoryMb)"
  dead_in_time 64

  heading "Two threads that compute for five seconds under one core, on $(nproc) processors"
  tc olga jobs run --workstation build-1 -- "$scene/cpu-hog" 5
  local cpu wall seen allowed
  read -r cpu wall seen allowed <<<"$out"
  remark "Milliseconds of processor and of wall clock, by its own account: $cpu and $wall; processors on which its threads were seen: $seen."
  holds "it ran for five seconds" "$wall >= 5000"
  holds "it had one core" "$cpu * 100 <= $wall * 102"
  # On a busy machine it would have no more than that anyway.
  is "processors on which it ran" "$seen" 1
  remark "The same, after it has asked the kernel for every processor:"
  tc olga jobs run --workstation build-1 -- "$scene/cpu-hog" 5 escape
  read -r cpu wall seen allowed <<<"$out"
  remark "$cpu ms of processor in $wall ms."
  holds "it had little more" "$cpu * 100 <= $wall * 120"
  is "processors on which it may run at its end" "$allowed" 1

  heading "Cards: no one to two jobs"
  local ids=() one
  for one in 1 2 3; do
    tc olga jobs run --workstation build-1 --gpu-count 1 --detach -o id --shell 'began=$(date +%s%3N); sleep 3; echo "$CUDA_VISIBLE_DEVICES $began $(date +%s%3N)"'
    ids+=("$out")
  done
  for id in "${ids[@]}"; do until_is 60 "completed, not_required" job_state olga "$id"; done
  remark "Card, start and end of each, by their own words:"
  local spans=''
  for id in "${ids[@]}"; do spans+=$(ask olga '.execution.steps[0].outputPreview | rtrimstr("\n")' jobs show "$id")$'\n'; done
  printf '%s' "$spans"
  is "jobs that had one card at the same time" "$(awk '{ for (i = 1; i < NR; i++) if (card[i] == $1 && $2 < end[i] && begin[i] < $3) n++; card[NR] = $1; begin[NR] = $2; end[NR] = $3 } END { print n + 0 }' <<<"${spans%$'\n'}")" 0
  is "cards that were given" "$(cut -d' ' -f1 <<<"${spans%$'\n'}" | sort -u | tr '\n' ' ')" "0 1 "
  tc olga jobs run --workstation build-1 --shell "echo \"[\$CUDA_VISIBLE_DEVICES]\""
  is "what a job sees that asked for none" "$out" "[]"

  heading "An owner who gives no card to jobs"
  stop build-1
  owner_allows build-1 $'limits:\n  gpuCount: 0\nlabels:\n  gpuCount: "2"'
  agent_start build-1
  until_is 60 0 ask olga .labels.gpuCount workstations show build-1
  tc olga jobs run --workstation build-1 --gpu-count 1 -- true
  is "is asked for none" "$code" 125
  has "and the job is told" "$err" "resources.gpuCount: asks for 1, and workstation 'build-1' gives a job 0"
}

# owner_allows MACHINE TEXT
owner_allows() {
  printf '\n%s$ cat ~/.tanvrit/agent.yaml\n%s\n' "$1" "$2"
  mkdir -p "$scene/machines/$1"
  printf '%s\n' "$2" >"$scene/machines/$1/agent.yaml"
}

# dead_in_time CAP: by the hog's own ledger: pid, mebibytes, milliseconds.
dead_in_time() {
  local after pid alive=0
  # Their own word lags behind the kernel's account, which also counts the programs themselves: they may die before they say that they have crossed it.
  after=$(sort -n -k3 "$scene/ledger" | awk -v cap="$1" '{ sum += $2 - had[$1]; had[$1] = $2; if (!at && sum >= cap) at = $3; last = $3 } END { print at ? last - at : 0 }')
  remark "Processes: $(cut -d' ' -f1 "$scene/ledger" | sort -u | wc -l). The last sign of life of any came $after ms after they had crossed it by their own word."
  holds "within two seconds" "$after < 2000"
  for pid in $(cut -d' ' -f1 "$scene/ledger" | sort -u); do
    # A zombie that nobody collects is dead.
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2>/dev/null || alive=$((alive + 1))
  done
  is "processes of it that are left" "$alive" 0
}

make_hogs() {
  cat >"$scene/memory-hog" <<'HOG'
#!/usr/bin/perl
use POSIX 'setsid';
use Time::HiRes qw(time usleep);
open my $ledger, ">>", $ARGV[0]; select $ledger; $| = 1;
for my $child (1..3) { next if fork; setsid() if $child == 1; last }
my @held;
for my $mebi (1..512) {
  my $piece = "x" x (1048576 + int rand 2);
  push @held, \$piece;
  printf "%d %d %d\n", $$, $mebi, time() * 1000;
  usleep 20000;
}
HOG
  chmod +x "$scene/memory-hog"
  cat >"$scene/cpu-hog.c" <<'HOG'
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile int stop;
static unsigned long long seen;
static long long ms(clockid_t clock) { struct timespec t; clock_gettime(clock, &t); return t.tv_sec * 1000LL + t.tv_nsec / 1000000; }
static void *spin(void *unused) { volatile unsigned long n = 0; while (!stop) if (++n % 65536 == 0) __atomic_or_fetch(&seen, 1ULL << (sched_getcpu() % 64), __ATOMIC_RELAXED); return unused; }

int main(int argc, char **argv) {
  cpu_set_t all;
  pthread_t threads[2];
  struct timespec pause = { atoi(argv[1]), 0 };
  memset(&all, 0xff, sizeof all);
  if (argc > 2) sched_setaffinity(0, sizeof all, &all);
  long long wall = ms(CLOCK_MONOTONIC), cpu = ms(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, spin, 0);
  nanosleep(&pause, 0);
  cpu = ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  wall = ms(CLOCK_MONOTONIC) - wall;
  sched_getaffinity(0, sizeof all, &all);
  printf("%lld %lld %d %d\n", cpu, wall, __builtin_popcountll(seen), CPU_COUNT(&all));
  return 0;
}
HOG
  gcc -O1 -pthread -o "$scene/cpu-hog" "$scene/cpu-hog.c"
}
