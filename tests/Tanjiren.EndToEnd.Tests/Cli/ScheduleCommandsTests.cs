using System.Text.Json;

using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>schedules</c> and <c>jobs retry</c> against a real control plane.</summary>
public sealed class ScheduleCommandsTests : IAsyncLifetime
{
    private static readonly string[] Job = ["-w", "box", "--", "make", "all"];
    private LocalServer server = null!;
    private CliRun cli = null!;

    public async ValueTask InitializeAsync()
    {
        server = await LocalServer.StartAsync();
        cli = server.Cli;
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Fact]
    public async Task A_schedule_lives_from_create_to_delete()
    {
        (await cli.InvokeAsync("schedules", "list")).ShouldBe(0);
        cli.Error.Text.ShouldStartWith("no schedules");
        (await cli.InvokeAsync(["schedules", "create", "nightly", "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--missed", "once", "--retries", "2", "--timeout", "1h", .. Job])).ShouldBe(0, cli.Error.Text);
        cli.Error.Text.ShouldMatch("^nightly \\(sch_[0-9a-z]{26}\\): next run 20");

        (await cli.InvokeAsync("schedules", "list")).ShouldBe(0);
        cli.Output.Text.Split('\n')[0].ShouldMatch("^NAME +CRON +ZONE +NEXT RUN +STATE +RUNS +INTENT +ID$");
        cli.Output.Text.ShouldMatch("nightly +30 2 \\* \\* \\* +Europe/Berlin .* active +0 +make all +sch_");
        (await cli.InvokeAsync("schedules", "show", "nightly", "--json")).ShouldBe(0, cli.Error.Text);
        var made = Read(WireJson.Default.ScheduleBody);
        (made.MissedRuns, made.Overlap, made.Task.TimeoutSeconds, made.Task.Retry!.MaxAttempts).ShouldBe((MissedRunRule.Once, OverlapRule.Forbid, 3600, 3));

        (await cli.InvokeAsync("schedules", "preview", "nightly", "--count", "3")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(4);
        cli.Output.Text.ShouldMatch("^Europe/Berlin +HERE\n20\\d\\d-\\d\\d-\\d\\d 02:30:00\\+0[12]:00 ");
        (await cli.InvokeAsync("schedules", "preview", made.Id, "--json")).ShouldBe(0, cli.Error.Text);
        Read(WireJson.Default.SchedulePreviewBody).Items.Count.ShouldBe(10);

        (await cli.InvokeAsync("schedules", "update", "nightly", "--name", "hourly", "--cron", "@hourly", "--json")).ShouldBe(0, cli.Error.Text);
        Read(WireJson.Default.ScheduleBody).ShouldSatisfyAllConditions(s => s.Cron.ShouldBe("@hourly"), s => s.Task.Command!.Argv.ShouldBe(["make", "all"]), s => s.TimeZone.ShouldBe("Europe/Berlin"));
        (await cli.InvokeAsync("schedules", "update", "hourly", "--json", "-w", "box", "--shell", "true")).ShouldBe(0, cli.Error.Text);
        Read(WireJson.Default.ScheduleBody).Task.ShouldSatisfyAllConditions(t => t.Command!.Shell.ShouldBe("true"), t => t.Retry.ShouldBeNull("the job was replaced as a whole"));

        (await cli.InvokeAsync("schedules", "pause", "hourly", "--reason", "holiday")).ShouldBe(0, cli.Error.Text);
        cli.Error.Text.ShouldBe($"hourly ({made.Id}) is paused: holiday\n");
        (await cli.InvokeAsync("schedules", "show", "hourly")).ShouldBe(0);
        cli.Output.Text.ShouldMatch("paused: +since .*: holiday");
        (await cli.InvokeAsync("schedules", "resume", "hourly", "-o", "id")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldBe(made.Id + "\n");

        (await cli.InvokeAsync("schedules", "delete", "hourly")).ShouldBe(125);
        cli.Error.Text.ShouldContain("add --yes");
        (await cli.InvokeAsync("schedules", "delete", "hourly", "--yes")).ShouldBe(0, cli.Error.Text);
        (await cli.InvokeAsync("schedules", "show", "hourly")).ShouldBe(125);
        cli.Error.Text.ShouldContain("there is no schedule 'hourly'");
    }

    [Fact]
    public async Task One_that_runs_a_runbook_is_shown_with_it_and_its_version()
    {
        var runbook = await RestartAsync();
        await server.RunAsync("schedules", "create", "nightly", "--cron", "@daily", "--runbook", "restart", "--param", "service=nginx");

        (await cli.InvokeAsync("schedules", "show", "nightly")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldMatch($"runbook: +{runbook.Id} \\(version 1\\)\n");
        cli.Output.Text.ShouldMatch("parameters: +service=nginx\n");
        (await cli.InvokeAsync("schedules", "list")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldContain($"runbook {runbook.Id}");
    }

    [Fact]
    public async Task A_runbook_and_a_command_take_each_others_place()
    {
        var runbook = await RestartAsync();
        var made = await server.JsonAsync(WireJson.Default.ScheduleBody, ["schedules", "create", "yearly", "--cron", "@yearly", .. Job]);
        var changed = await server.JsonAsync(WireJson.Default.ScheduleBody, "schedules", "update", "yearly", "--runbook", runbook.Id, "-p", "service=nginx", "-p", "how=a=b", "--timeout", "5m", "--priority", "4");
        (changed.Id, changed.Cron, changed.RunbookVersion).ShouldBe((made.Id, made.Cron, 1));
        (changed.Task.RunbookId, changed.Task.Command, changed.Task.Targets, changed.Task.TimeoutSeconds).ShouldBe((runbook.Id, null, null, 300));
        changed.Task.Parameters.ShouldBe(new Dictionary<string, string> { ["service"] = "nginx", ["how"] = "a=b" }, ignoreOrder: true);

        var job = await server.JsonAsync(WireJson.Default.TaskBody, "schedules", "run", "yearly");
        job.Command!.Argv.ShouldBe(["restart", "nginx", "a=b"]);
        (job.Intent, job.RunbookId, job.TimeoutSeconds, job.Priority, job.Targets.Workstations!.Single()).ShouldBe(("Restart", runbook.Id, 300, 4, "box"));

        // What is replaced is the whole job: of the options before nothing is left.
        var again = (await server.JsonAsync(WireJson.Default.ScheduleBody, "schedules", "update", "yearly", "--runbook", "restart", "-p", "service=caddy", "-w", "box", "--all")).Task;
        (again.TimeoutSeconds, again.Targets!.Workstations!.Single(), again.Parameters!.Count).ShouldBe((null, "box", 1));
        changed = await server.JsonAsync(WireJson.Default.ScheduleBody, ["schedules", "update", "yearly", .. Job]);
        (changed.RunbookVersion, changed.Task.RunbookId, changed.Task.Parameters).ShouldBe((null, null, null));
    }

    [Fact]
    public async Task What_does_not_fit_a_runbook_is_told()
    {
        await RestartAsync();
        string[] create = ["schedules", "create", "x", "--cron", "@daily"];
        (await server.RefusedAsync([.. create, "--runbook", "restart"])).ShouldContain("  task.parameters.service: is required");
        (await server.RefusedAsync([.. create, "--runbook", "restart", "-p", "service=x", "-p", "colour=red"])).ShouldContain("  task.parameters.colour: is not a parameter of the runbook");
        (await server.RefusedAsync([.. create, "--runbook", "nobody"])).ShouldContain("  task.runbookId: ");
        (await server.RefusedAsync([.. create, "--runbook", "restart", "--", "true"])).ShouldContain("both --runbook and a command, a prompt or questions are given");
        (await server.RefusedAsync([.. create, "--runbook", "restart", "--shell", "true"])).ShouldContain("both --runbook and a command, a prompt or questions are given");
        (await server.RefusedAsync([.. create, "--runbook", "restart", "-p", "service=x", "--all"])).ShouldContain("--all or --any is given without a target");
        (await server.RefusedAsync([.. create, "--runbook", "restart", "-p", "service"])).ShouldContain("--param 'service' gives no value");
        (await server.RefusedAsync([.. create, "-p", "service=x", .. Job])).ShouldContain("--param is given without --runbook");
        (await server.RefusedAsync("schedules", "update", "x", "-p", "service=x")).ShouldContain("--param: of the job, and it is replaced only as a whole");
        (await server.RunAsync("schedules", "list", "-o", "id")).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_job_is_run_by_hand_cancelled_and_tried_again()
    {
        (await cli.InvokeAsync(["schedules", "create", "yearly", "--cron", "@yearly", .. Job])).ShouldBe(0, cli.Error.Text);
        (await cli.InvokeAsync("schedules", "run", "yearly")).ShouldBe(0, cli.Error.Text);
        var job = cli.Output.Text.Trim();
        (await cli.InvokeAsync("schedules", "run", "yearly")).ShouldBe(125);
        cli.Error.Text.ShouldContain($"Wait for {job} to end or cancel it");

        (await cli.InvokeAsync("jobs", "retry", job)).ShouldBe(125);
        cli.Error.Text.ShouldContain("current state: queued");
        (await cli.InvokeAsync("jobs", "cancel", job)).ShouldBe(0, cli.Error.Text);
        (await cli.InvokeAsync("jobs", "retry", job, "--reason", "again", "--json")).ShouldBe(0, cli.Error.Text);
        var attempt = Read(WireJson.Default.TaskBody);
        (attempt.Attempt, attempt.RetryOfTaskId).ShouldBe((2, job));
        (await cli.InvokeAsync("jobs", "retry", job)).ShouldBe(125);
        cli.Error.Text.ShouldContain(attempt.Id);
        (await cli.InvokeAsync("jobs", "show", job)).ShouldBe(0);
        cli.Output.Text.ShouldMatch($"retried by: +{attempt.Id}");
        cli.Output.Text.ShouldMatch("schedule: +sch_");
        (await cli.InvokeAsync("jobs", "show", attempt.Id)).ShouldBe(0);
        cli.Output.Text.ShouldMatch("attempt: +2\n");
        cli.Output.Text.ShouldMatch($"retry of: +{job}");
    }

    [Fact]
    public async Task Mistakes_are_told_with_the_field_or_the_option()
    {
        (await cli.InvokeAsync(["schedules", "create", "x", .. Job])).ShouldBe(125);
        cli.Error.Text.ShouldContain("it is not said when to run");
        (await cli.InvokeAsync(["schedules", "create", "x", "--cron", "5/10 * * * *", "--time-zone", "Mars", .. Job])).ShouldBe(125);
        cli.Error.Text.ShouldContain("  cron: '5/10' is no minute");
        cli.Error.Text.ShouldContain("  timeZone: 'Mars' is no IANA time zone");
        (await cli.InvokeAsync("schedules", "create", "x", "--cron", "@daily", "-w", "nobody", "--", "true")).ShouldBe(125);
        cli.Error.Text.ShouldContain("task.targets.workstations[0]");
        (await cli.InvokeAsync("schedules", "update", "x", "-w", "box", "--timeout", "5m")).ShouldBe(125);
        cli.Error.Text.ShouldContain("--workstation, --timeout: of the job, and it is replaced only as a whole");
        (await cli.InvokeAsync(["jobs", "run", "--retry-backoff", "5", .. Job])).ShouldBe(125);
        cli.Error.Text.ShouldContain("add --retries N");
        (await cli.InvokeAsync(["jobs", "run", "--retries", "1", "--retry-on", "boredom", .. Job])).ShouldBe(125);
        cli.Error.Text.ShouldContain("--retry-on 'boredom' is no reason of a failure");
        (await cli.InvokeAsync(["jobs", "run", "--retries", "20", .. Job])).ShouldBe(125);
    }

    private async Task<RunbookBody> RestartAsync() => await server.JsonAsync(WireJson.Default.RunbookBody, "runbooks", "create", "--file", await server.FileAsync("restart.json", """
        { "name": "restart", "intentTemplate": "Restart", "parameters": [{ "name": "service" }, { "name": "how", "default": "gently" }],
          "command": { "argv": ["restart", "{{service}}", "{{how}}"] }, "defaultConstraints": { "targets": { "workstations": ["box"] } }, "status": "active" }
        """));

    private T Read<T>(System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(cli.Output.Bytes, type)!;
}
