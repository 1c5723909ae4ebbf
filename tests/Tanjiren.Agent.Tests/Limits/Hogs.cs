using System.Diagnostics;
using System.Globalization;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Limits;

/// <summary>Jobs that take more than they may, and write down what they took and when.</summary>
internal static class Hogs
{
    /// <summary>
    /// Four processes, one of them in a session of its own, which take a mebibyte each 20 ms and then say so in <paramref name="ledger"/>: pid, mebibytes, milliseconds. They end at half a gibibyte each, should
    /// nobody end them before.
    /// </summary>
    public static string Memory(string ledger) => $$"""
        exec perl -MPOSIX=setsid -MTime::HiRes=time,usleep -e '
          open my $ledger, ">>", "{{ledger}}"; select $ledger; $| = 1;
          for my $child (1..3) { next if fork; POSIX::setsid() if $child == 1; last }
          my @held;
          for my $mebi (1..512) {
            my $piece = "x" x (1048576 + int rand 2);
            push @held, \$piece;
            printf "%d %d %d\n", $$, $mebi, time() * 1000;
            usleep 20000;
          }'
        """;

    /// <summary>Takes 60 MiB and lets three children share it for a second and a half.</summary>
    public static string Sharing => """
        exec perl -MTime::HiRes=sleep -e '
          my $piece = "x" x (62914560 + int rand 2);
          for (1..3) { next if fork; sleep 1.5; exit }
          1 while wait > 0; print "shared\n"'
        """;

    /// <summary>The lines of the ledger, in the order in which they were written.</summary>
    public static IReadOnlyList<(int Pid, int Mebi, long At)> Read(string ledger) =>
        [.. File.ReadAllLines(ledger).Select(line => line.Split(' ')).Where(words => words.Length == 3)
            .Select(words => (Number(words[0]), Number(words[1]), long.Parse(words[2], CultureInfo.InvariantCulture)))];

    /// <summary>When all of them together had taken that much, by their own word; null: what the kernel counts besides was more, and they ended before.</summary>
    public static long? CrossedAt(IReadOnlyList<(int Pid, int Mebi, long At)> lines, int mebi)
    {
        var taken = new Dictionary<int, int>();
        foreach (var line in lines.OrderBy(l => l.At))
        {
            taken[line.Pid] = line.Mebi;
            if (taken.Values.Sum() >= mebi) return line.At;
        }
        return null;
    }

    /// <summary>Not even one that has cut loose.</summary>
    public static bool IsAlive(int pid) => ProcTable.TryRead(pid, out var entry) && !entry.IsDead;

    /// <summary>
    /// A program of two threads that compute for so many seconds and then print the milliseconds of processor and of wall clock that it took, on how many processors its threads were seen,
    /// and on how many they may be now. With <c>escape</c> it first asks for every processor there is.
    /// </summary>
    public static async Task<string> TwoThreadsAsync(string directory)
    {
        var compiler = Prerequisite.Program("cc");
        var (source, program) = (Path.Combine(directory, "spin.c"), Path.Combine(directory, "spin"));
        await File.WriteAllTextAsync(source, Spin, TestContext.Current.CancellationToken);
        // Beside agents of other tests: without the lock it could carry the mark of one of their steps.
        using var compiling = MarkedSpawn.Run(0, () => Process.Start(new ProcessStartInfo(compiler, ["-O1", "-pthread", "-o", program, source])))!;
        await compiling.WaitForExitAsync(TestContext.Current.CancellationToken);
        compiling.ExitCode.ShouldBe(0);
        return program;
    }

    private const string Spin = """
        #define _GNU_SOURCE
        #include <pthread.h>
        #include <sched.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <time.h>

        static volatile int stop;
        static unsigned long long seen;

        static long long ms(clockid_t clock) {
          struct timespec t;
          clock_gettime(clock, &t);
          return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
        }

        static void *spin(void *unused) {
          volatile unsigned long n = 0;
          while (!stop) if (++n % 65536 == 0) __atomic_or_fetch(&seen, 1ULL << (sched_getcpu() % 64), __ATOMIC_RELAXED);
          return unused;
        }

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
        """;

    private static int Number(string word) => int.Parse(word, CultureInfo.InvariantCulture);
}
