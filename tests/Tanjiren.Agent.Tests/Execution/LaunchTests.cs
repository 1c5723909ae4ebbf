using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Execution;

public sealed class LaunchTests(ITestOutputHelper log)
{
    [Fact]
    public async Task Both_streams_and_the_exit_code_arrive()
    {
        using var step = RunningStep.Start("sh", "-c", "echo out; echo err >&2; exit 7");
        var exit = await step.Exit;
        exit.ExitCode.ShouldBe(7);
        exit.Signal.ShouldBeNull();
        exit.Leftovers.ShouldBeNull();
        exit.EndedAtBootMs.ShouldBeInRange(BootClock.NowMs - 30_000, BootClock.NowMs);
        step.Out.ShouldBe("out\n");
        step.Error.ShouldBe("err\n");
    }

    [Theory]
    [InlineData("KILL", "SIGKILL")]
    [InlineData("SEGV", "SIGSEGV")]
    [InlineData("TERM", "SIGTERM")]
    [InlineData("RTMIN+3", "SIGRTMIN+3")]
    public async Task A_signal_is_named(string signal, string name)
    {
        using var step = RunningStep.Start("bash", "-c", $"kill -{signal} $$; sleep 600");
        var exit = await step.Exit;
        exit.Signal.ShouldBe(name);
        exit.ExitCode.ShouldBeNull();
    }

    [Fact]
    public async Task Bytes_that_are_no_text_survive()
    {
        using var step = RunningStep.Start("perl", "-e", "binmode STDOUT; print pack('C*', 0..255) x 3");
        await step.Exit;
        var all = Enumerable.Range(0, 256).Select(i => (byte)i).ToArray();
        step.OutBytes.ShouldBe([.. all, .. all, .. all]);
    }

    [Fact]
    public async Task Arguments_arrive_as_they_are()
    {
        string[] arguments = ["", " a  b ", "\"quoted\"", "$HOME", "*", "ü→𝄞", "line\nbreak", "-n"];
        using var step = RunningStep.Start(["perl", "-e", "print join(\"\\x01\", @ARGV)", "--", .. arguments]);
        await step.Exit;
        step.Out.Split('\x01').ShouldBe(arguments);
    }

    [Fact]
    public async Task Nothing_of_64_MiB_is_lost_on_a_consumer_that_blocks()
    {
        const int size = 64 << 20;
        var request = RunningStep.Request("perl", "-MDigest::SHA", "-e",
            "$h = Digest::SHA->new(256); for $i (1..1024) { $c = pack('N', $i) x 16384; $h->add($c); print $c } print STDERR $h->hexdigest");
        using var process = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(request);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long total = 0;
        var error = new StringBuilder();
        var blockedAt = new List<long>();
        var exit = await Task.Factory.StartNew(() => process.Run((stream, data) =>
        {
            if (stream == LogStream.Stderr)
            {
                error.Append(Encoding.ASCII.GetString(data));
                return;
            }
            hash.AppendData(data);
            total += data.Length;
            // Now and then the consumer does nothing until the child sleeps on its full pipe.
            if (total / (16 << 20) < blockedAt.Count || size - total < 1 << 20) return;
            SpinWait.SpinUntil(() => ProcTable.TryRead(process.Pid, out var child) && child.State == 'S', TimeSpan.FromSeconds(20)).ShouldBeTrue();
            blockedAt.Add(total);
        }, () => { }), TaskCreationOptions.LongRunning);
        exit.ExitCode.ShouldBe(0);
        total.ShouldBe(size);
        blockedAt.Count.ShouldBe(4);
        Convert.ToHexStringLower(hash.GetHashAndReset()).ShouldBe(error.ToString());
    }

    [Fact]
    public async Task Ticks_come_while_the_process_is_silent()
    {
        using var step = RunningStep.Start(RunningStep.Request("sleep", "600"), new ExecutionOptions { TickInterval = TimeSpan.FromMilliseconds(10) });
        await Eventually.TrueAsync(() => step.Ticks >= 3, what: "three ticks");
    }

    [Fact]
    public async Task The_child_inherits_no_descriptor()
    {
        // One that an agent may have got from its own parent: without close-on-exec.
        const int duplicateAtLeast = 0;
        var leaked = Libc.Fcntl(1, duplicateAtLeast, 100);
        leaked.ShouldBeGreaterThanOrEqualTo(100);
        try
        {
            using var step = RunningStep.Start("ls", "/proc/self/fd");
            (await step.Exit).ExitCode.ShouldBe(0);
            // 3 is the directory that ls reads.
            step.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe(["0", "1", "2", "3"], ignoreOrder: true);
        }
        finally
        {
            _ = Libc.Close(leaked);
        }
    }

    [Fact]
    public async Task The_child_has_default_signals_an_empty_mask_its_own_session_and_no_input()
    {
        using var step = RunningStep.Start("sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; cat; readlink /proc/self/fd/0; ps -o sid= -p $$; echo $$");
        await step.Exit;
        var lines = step.Out.Split('\n');
        lines[0].ShouldEndWith("0000000000000000");
        // glibc ignores its own two (32 and 33) in every child that it spawns; the child's C library takes them over.
        lines[1].ShouldBeOneOf("SigIgn:\t0000000000000000", "SigIgn:\t0000000180000000");
        lines[2].ShouldBe("/dev/null");
        lines[3].Trim().ShouldBe(lines[4]);
    }

    [Fact]
    public async Task The_mark_is_on_the_child_and_not_on_the_agent()
    {
        using var step = RunningStep.Start("sleep", "600");
        ProcTable.ReadMark(step.Pid, foreignToo: false).ShouldBe(step.Mark);
        var text = await File.ReadAllTextAsync($"/proc/{step.Pid}/limits", TestContext.Current.CancellationToken);
        text.ShouldContain(step.Mark.ToString(System.Globalization.CultureInfo.InvariantCulture));
        MarkedSpawn.OwnLimit.ShouldNotBe(step.Mark);
    }

    [Fact]
    public async Task It_runs_in_the_working_directory_and_finds_relative_programs_there()
    {
        var directory = Directory.CreateTempSubdirectory("tanjiren ü ");
        var script = Path.Join(directory.FullName, "where");
        await WriteScriptAsync(script, "#!/bin/sh\npwd\n");
        using var slash = RunningStep.Start(RunningStep.Request("./where") with { WorkingDirectory = directory.FullName }, ExecutionOptions.Default);
        using var path = RunningStep.Start(RunningStep.Request("where") with
        {
            WorkingDirectory = directory.FullName,
            Environment = new Dictionary<string, string> { ["PATH"] = "/nowhere:." },
        }, ExecutionOptions.Default);
        await slash.Exit;
        await path.Exit;
        slash.Out.ShouldBe(directory.FullName + "\n");
        path.Out.ShouldBe(directory.FullName + "\n");
        directory.Delete(recursive: true);
    }

    public static TheoryData<string[], string?, string> Failures => new()
    {
        { [], null, "The command is empty." },
        { ["no-such-program"], null, "'no-such-program' was not found on the PATH of the job (" },
        { ["./no-such-program"], "/tmp", "'./no-such-program' does not exist on this machine (looked for '/tmp/./no-such-program')" },
        { ["/etc/passwd"], null, "'/etc/passwd' is not executable" },
        { ["/etc"], null, "'/etc' is a directory" },
        { ["true"], "/no/such/place", "working directory '/no/such/place' does not exist" },
        { ["true"], "/etc/passwd", "working directory '/etc/passwd' is not a directory" },
        { ["echo", "a\0b"], null, "Argument 1 of the command contains a NUL" },
        { ["echo", new string('x', 4 << 20)], null, "larger than this system allows" },
    };

    [Theory]
    [MemberData(nameof(Failures))]
    public void A_program_that_cannot_start_says_why(string[] argv, string? workingDirectory, string message)
    {
        var request = RunningStep.Request(argv) with { WorkingDirectory = workingDirectory };
        Should.Throw<SpawnFailedException>(() => RunningStep.Start(request, ExecutionOptions.Default)).Message.ShouldContain(message);
    }

    [Theory]
    [InlineData("#!/no/such/interpreter\n", "names an interpreter")]
    [InlineData("echo no first line\n", "needs a first line such as #!/bin/sh")]
    public async Task A_script_that_cannot_start_says_why(string content, string message)
    {
        var script = Path.GetTempFileName();
        await WriteScriptAsync(script, content);
        Should.Throw<SpawnFailedException>(() => RunningStep.Start(script)).Message.ShouldContain(message);
        File.Delete(script);
    }

    [Fact]
    public async Task No_zombie_and_no_descriptor_is_left_behind()
    {
        var mine = new HashSet<int>();
        for (var i = 0; i < 20; i++)
        {
            using var step = RunningStep.Start("sh", "-c", "true & exit 0");
            await step.Exit;
            mine.Add(step.Pid);
            // Reaped: not even a zombie is there.
            (ProcTable.TryRead(step.Pid, out var entry) && entry.StartTime == step.StartTime).ShouldBeFalse();
        }
        mine.Count.ShouldBe(20);
    }

    [Fact]
    public async Task Disposing_before_the_end_kills_the_tree()
    {
        var request = RunningStep.Request(Fugitive.Daemon());
        var tree = new ProcessTree(request.Mark, 0, "");
        using (ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(request))
            await Eventually.TrueAsync(() => tree.Find().Count >= 2, what: "root and child");
        tree.IsGone().ShouldBeTrue();
    }

    [Fact(Explicit = true)]
    public void Latency_from_launch_to_the_first_byte()
    {
        var launcher = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance);
        var toFirst = new List<double>();
        var toEnd = new List<double>();
        for (var i = 0; i < 1100; i++)
        {
            var request = RunningStep.Request("/bin/echo", "x");
            var started = TimeProvider.System.GetTimestamp();
            using var process = launcher.Launch(request);
            double first = 0;
            _ = process.Run((_, _) => first = TimeProvider.System.GetElapsedTime(started).TotalMilliseconds, () => { });
            if (i < 100) continue;
            toFirst.Add(first);
            toEnd.Add(TimeProvider.System.GetElapsedTime(started).TotalMilliseconds);
        }
        toFirst.Sort();
        toEnd.Sort();
        log.WriteLine($"first byte p50 {toFirst[500]:F2} ms, p99 {toFirst[990]:F2} ms; end of step p50 {toEnd[500]:F2} ms, p99 {toEnd[990]:F2} ms");
    }

    private static async Task WriteScriptAsync(string path, string content)
    {
        await File.WriteAllTextAsync(path, content, TestContext.Current.CancellationToken);
        using var chmod = RunningStep.Start("chmod", "500", path);
        (await chmod.Exit).ExitCode.ShouldBe(0);
    }

    [Fact]
    public async Task What_is_written_to_its_input_is_read_and_ends_with_it()
    {
        using var process = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(RunningStep.Request("cat") with { Input = true });
        var read = new List<byte>();
        var input = process.Input.ShouldNotBeNull();
        // More than a pipe holds: the writing must not wait for the reading.
        var pieces = Enumerable.Range(0, 40).Select(i => Encoding.ASCII.GetBytes(new string((char)('a' + i % 26), 10_000))).ToList();
        foreach (var piece in pieces) input.Write(piece).ShouldBeTrue();
        input.Close();
        var exit = await Task.Factory.StartNew(() => process.Run((_, data) => read.AddRange(data), () => { }), TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        exit.ExitCode.ShouldBe(0);
        read.ShouldBe(pieces.SelectMany(p => p));
        input.Write([1]).ShouldBeFalse();
    }

    [Fact]
    public void A_program_that_does_not_read_holds_up_nobody_and_its_input_breaks()
    {
        using var process = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(RunningStep.Request("sleep", "600") with { Input = true });
        var input = process.Input.ShouldNotBeNull();
        var written = 0;
        while (input.Write(new byte[100_000])) written++;
        written.ShouldBeInRange(ProcessInput.MaxPendingBytes / 100_000 - 1, ProcessInput.MaxPendingBytes / 100_000 + 3);
    }

    [Fact]
    public void Without_being_asked_for_there_is_no_input()
    {
        using var process = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(RunningStep.Request("true"));
        process.Input.ShouldBeNull();
    }
}
