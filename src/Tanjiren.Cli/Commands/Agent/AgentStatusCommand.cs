using Tanjiren.Agent;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent status</c>: what the agent of this machine wrote last, and whether it lives.</summary>
internal static class AgentStatusCommand
{
    private const int NotRunning = 1;

    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print { running, home, identity, status } as JSON");
        var command = new CliCommand("status", "Show the agent of this machine")
        {
            Options = { json },
            Details = "It is read from the agent's home; no server is asked. Exit codes: 0 it runs, 1 it does not.",
        };
        var place = new AgentHomeOptions(cli, command, "Workspace of the agent (TANVRIT_WORKSPACE; default: the current one)");
        command.SetAction(parse =>
        {
            var workspace = place.Workspace(parse) ?? cli.Credentials.Read().Current ?? ServerAccessRules.DefaultWorkspace;
            var home = place.Home(parse, workspace);
            var report = new AgentReport
            {
                Home = home,
                Running = AgentStatus.IsRunning(home),
                Identity = AgentIdentity.Load(home) is { } id
                    ? new AgentReportIdentity
                    {
                        ServerUrl = id.ServerUrl, InstanceId = id.InstanceId, InstanceName = id.InstanceName, KeyFingerprint = id.KeyFingerprint, KeyLiesIn = KeyRotation.WhereKeyLies(home),
                        ServerKeyFingerprint = id.ServerKeys.Select(key => key.Thumbprint()).FirstOrDefault(), NewKeyFingerprint = KeyRotation.Waiting(home),
                        RecoveryKeyFingerprint = KeyRotation.Recovering(home),
                    }
                    : null,
                Status = AgentStatus.Load(home),
            };
            if (parse.GetValue(json)) cli.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(report, AgentReportJson.Default.AgentReport));
            else Show(cli, report);
            return report.Running ? ExitCode.Ok : NotRunning;
        });
        return command;
    }

    private static void Show(CliContext cli, AgentReport report)
    {
        var fields = new FieldList().Add("agent", report.Running ? "running" : "not running").Add("home", report.Home);
        if (report.Identity is not { } identity)
        {
            fields.Add("workstation", "not paired").Write(cli.Out);
            return;
        }
        fields.Add("workstation", $"{identity.InstanceName} ({identity.InstanceId})").Add("server", identity.ServerUrl).Add("server key", identity.ServerKeyFingerprint).Add("key", identity.KeyFingerprint)
            .Add("key lies in", identity.KeyLiesIn switch { "keychain" => "the keychain", "file" => "a file of the home", _ => null })
            .Add("new key", identity.NewKeyFingerprint is { } waiting ? $"{waiting} (rotation, waits for an admin)" : null)
            .Add("recovery key", identity.RecoveryKeyFingerprint is { } recovering ? $"{recovering} (from `agent recover`)" : null);
        if (report.Running && report.Status is { } status)
        {
            var now = cli.Clock.GetUtcNow();
            fields.Add("process", $"{status.ProcessId}, since {Text.Instant(status.StartedAt, cli.Clock)}")
                .Add("connected", status.Connected ? "yes" : "no")
                .Add("last heartbeat", Text.Ago(status.LastHeartbeatAt, now))
                .Add("draining", status.Draining ? "yes" : null)
                .Add("suspended", status.SuspendedSince is { } suspended ? $"since {Text.Instant(suspended, cli.Clock)}, until there is work" : null)
                .Add("watchdog", status.WatchdogAlive ? "alive" : status.SuspendedSince is not null ? "comes with the next job" : "NOT alive")
                .Add("steps", $"{status.Steps.Count} of {status.MaxConcurrent}")
                .Add("not sent yet", Text.Bytes(status.OutboxBytes))
                .Add("notice", status.Notice);
        }
        fields.Write(cli.Out);
        if (!report.Running || report.Status is not { Steps.Count: > 0 } running) return;
        cli.Out.WriteLine();
        var table = new TableView(cli).Columns("STEP", "JOB", "PHASE", "PROCESS");
        foreach (var step in running.Steps) table.Row(step.StepId, step.TaskId, step.Phase, step.ProcessId?.ToString() ?? "-");
        table.Write();
    }
}
