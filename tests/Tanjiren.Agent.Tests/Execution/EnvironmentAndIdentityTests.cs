using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.Execution;

public sealed class EnvironmentAndIdentityTests
{
    private static readonly Dictionary<string, string> Machine = new()
    {
        ["PATH"] = "/bin", ["HOME"] = "/home/a", ["LC_ALL"] = "C", ["AWS_SECRET"] = "s", ["GPU"] = "2", ["TANVRIT_HOME"] = "/h",
        ["Tanjiren__Key"] = "k", ["TANJIREN_STEP_ID"] = "step_outer", ["OTEL_EXPORTER_OTLP_HEADERS"] = "authorization=k", ["OTEL_SERVICE_NAME"] = "mine",
    };

    [Fact]
    public void A_job_gets_the_base_the_task_s_values_the_named_ones_and_its_identity()
    {
        var result = JobEnvironment.Build("step_1", "task_1", 4, new Dictionary<string, string> { ["HOME"] = "/elsewhere", ["X"] = "1", ["GPU"] = "0" },
            ["GPU", "NOT_SET"], Machine);
        result.ShouldBe(new Dictionary<string, string>
        {
            ["TANJIREN_STEP_ID"] = "step_1", ["TANJIREN_TASK_ID"] = "task_1", ["TANJIREN_LEASE_GENERATION"] = "4",
            ["PATH"] = "/bin", ["LC_ALL"] = "C", ["HOME"] = "/elsewhere", ["X"] = "1", ["GPU"] = "2",
        }, ignoreOrder: true);
        result.Keys.First().ShouldBe("TANJIREN_STEP_ID");
    }

    [Fact]
    public void The_agent_s_own_settings_are_never_given_and_the_identity_is_not_overridden()
    {
        string[] asked = ["TANVRIT_HOME", "Tanjiren__Key", "TANJIREN_STEP_ID", "AWS_SECRET", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"];
        var result = JobEnvironment.Build("step_1", "task_1", 4, new Dictionary<string, string> { ["TANJIREN_LEASE_GENERATION"] = "9" }, asked, Machine);
        result["TANJIREN_STEP_ID"].ShouldBe("step_1");
        result["TANJIREN_LEASE_GENERATION"].ShouldBe("4");
        result["AWS_SECRET"].ShouldBe("s");
        result.Keys.ShouldNotContain("TANVRIT_HOME");
        result.Keys.ShouldNotContain("Tanjiren__Key");
        result.Keys.ShouldNotContain("OTEL_EXPORTER_OTLP_HEADERS");
        result["OTEL_SERVICE_NAME"].ShouldBe("mine");
        JobEnvironment.Withheld(asked).ShouldBe(["TANVRIT_HOME", "Tanjiren__Key", "TANJIREN_STEP_ID", "OTEL_EXPORTER_OTLP_HEADERS"]);
    }

    /// <summary>A-09, A-12: whatever way a token or key could be asked for.</summary>
    [Theory]
    [InlineData("TANVRIT_TOKEN")]
    [InlineData("tanvrit_token")]
    [InlineData("TANVRIT_DATABASE")]
    [InlineData("Tanjiren__Secrets__KeyFile")]
    [InlineData("OTEL_EXPORTER_OTLP_TRACES_HEADERS")]
    [InlineData("OTEL_EXPORTER_OTLP_CLIENT_KEY")]
    public void The_agent_s_own_token_and_key_are_never_given(string name)
    {
        var machine = new Dictionary<string, string> { [name] = "tnv_secret", ["PATH"] = "/bin" };
        JobEnvironment.Build("step_1", "task_1", 1, null, [name], machine).Values.ShouldNotContain("tnv_secret");
        JobEnvironment.Build("step_1", "task_1", 1, null, null, machine).Values.ShouldNotContain("tnv_secret");
        JobEnvironment.Withheld([name]).ShouldBe([name]);
    }

    [Fact]
    public void Secrets_are_variables_of_the_job()
    {
        var claim = new ClaimResponse
        {
            StepId = "step_1", TaskId = "task_1", ExecutionId = "exe_1", Intent = "x", LeaseGeneration = 1, LeaseTtlMs = 1, LeaseGraceMs = 1, TimeoutMs = 1, Command = new CommandSpec(),
            Environment = new Dictionary<string, string> { ["A"] = "1" }, Secrets = new Dictionary<string, string> { ["KEY"] = "v", ["TANJIREN_STEP_ID"] = "v" },
        };
        var result = JobEnvironment.Build(claim, default);
        (result["A"], result["KEY"], result["TANJIREN_STEP_ID"]).ShouldBe(("1", "v", "step_1"));
    }

    [Fact]
    public void A_job_gets_the_trace_of_its_run_unless_the_task_names_another()
    {
        var run = TraceContext.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")!.Value;
        var result = JobEnvironment.Build("step_1", "task_1", 4, null, null, Machine, run);
        (result["TRACEPARENT"], result["TRACESTATE"]).ShouldBe(("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1"));

        var own = new Dictionary<string, string> { ["TRACEPARENT"] = "mine" };
        result = JobEnvironment.Build("step_1", "task_1", 4, own, null, Machine, run);
        result["TRACEPARENT"].ShouldBe("mine");
        result.Keys.ShouldNotContain("TRACESTATE");
    }

    [Fact]
    public async Task A_real_child_sees_that_and_nothing_else()
    {
        var request = RunningStep.Request("env") with { Environment = new Dictionary<string, string> { ["PATH"] = "/usr/bin:/bin", ["A"] = "x=y z" } };
        using var step = RunningStep.Start(request, ExecutionOptions.Default);
        await step.Exit;
        step.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe(["PATH=/usr/bin:/bin", "A=x=y z"], ignoreOrder: true);
    }

    [Fact]
    public void A_copied_home_is_another_machine_and_a_renamed_one_the_same()
    {
        var root = Directory.CreateTempSubdirectory().FullName;
        var home = Directory.CreateDirectory(Path.Join(root, "home")).FullName;
        var copy = Directory.CreateDirectory(Path.Join(root, "copy")).FullName;
        var id = MachineIdentity.MachineId(home);
        id.Length.ShouldBe(64);
        MachineIdentity.MachineId(copy).ShouldNotBe(id);
        Directory.Move(home, Path.Join(root, "moved"));
        MachineIdentity.MachineId(Path.Join(root, "moved")).ShouldBe(id);
        // The name is taken again by another directory: still another machine.
        Directory.CreateDirectory(home);
        MachineIdentity.MachineId(home).ShouldNotBe(id);
        Directory.Delete(root, recursive: true);
    }

    [Fact]
    public void The_boot_has_an_id_and_its_clock_runs()
    {
        MachineIdentity.BootId().ShouldBe(MachineIdentity.BootId());
        Guid.TryParse(MachineIdentity.BootId(), out _).ShouldBeTrue();
        var uptime = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        (BootClock.NowMs / 1000.0).ShouldBe(uptime, tolerance: 5);
    }

    [Fact]
    public void Marks_differ_and_are_told_from_ordinary_limits()
    {
        var marks = Enumerable.Range(0, 1000).Select(_ => ProcessMarks.New()).ToList();
        marks.Distinct().Count().ShouldBe(1000);
        marks.ShouldAllBe(m => ProcessMarks.IsMark(m));
        foreach (var limit in (ulong[])[0, 200_000, 1UL << 49, 1UL << 51, ulong.MaxValue]) ProcessMarks.IsMark(limit).ShouldBeFalse();
    }
}
