using System.Text.Json;

using Tanjiren.Cli.Commands.Agent;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>One check: a question to the machine, answered with one finding. It may hang or throw; neither keeps the others from their answers.</summary>
/// <param name="Name">One word.</param>
/// <param name="WithoutAnswer">What it means when it gives none in time, or fails.</param>
/// <param name="RunAsync">Asks.</param>
internal sealed record DoctorCheck(string Name, Verdict WithoutAnswer, Func<DoctorScene, CancellationToken, Task<Finding>> RunAsync);

/// <summary><c>doctor</c>: what keeps this machine from working, and what to do about it.</summary>
internal static class DoctorCommand
{
    /// <summary>For a check whose time is up to say what it was about.</summary>
    private static readonly TimeSpan Leeway = TimeSpan.FromMilliseconds(500);

    private static readonly DoctorCheck[] Checks =
    [
        ServerCheck.Check, ClockCheck.Check, ProxyCheck.Check, LongPollCheck.Check, SignInCheck.Check, AgentCheck.Check, KeyCheck.Check, KeychainCheck.Check, CgroupCheck.Check,
        CodingAgentsCheck.Check, DiskCheck.Check,
    ];

    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print { problems, warnings, findings } as JSON");
        var server = Options.Text("--server", "URL", "Address of the control plane (default: the agent's, else the workspace's)");
        var command = new CliCommand("doctor", "Say what keeps this machine from working, and what to do about it")
        {
            Options = { json, server },
            Details = "Server, clock, proxy, a request that hangs, sign-in, agent, key, keychain, control groups, coding agents and disk, each within 5 s. Nothing is changed, also while the agent runs, but for an entry of no worth that the keychain keeps for a moment. The exit code is 1 when there is a problem, and 0 when there are only warnings.",
            Examples = ["tanvrit-compute doctor"],
        };
        var place = new AgentHomeOptions(cli, command, "Workspace to look at (TANVRIT_WORKSPACE; default: the current one)");
        command.SetAction(async (parse, cancellation) =>
        {
            var workspace = place.Workspace(parse);
            var home = place.Home(parse, workspace ?? DoctorScene.CurrentWorkspace(cli) ?? ServerAccessRules.DefaultWorkspace);
            using var scene = DoctorScene.Of(cli, home, new ServerFlags(workspace, parse.GetValue(server), InsecureHttp: true));
            var findings = await ExamineAsync(Checks, scene, cli.Timeouts.DoctorCheck, cancellation);
            if (parse.GetValue(json)) WriteJson(cli, findings);
            else Show(cli, findings);
            return findings.Any(f => f.Verdict == Verdict.Problem) ? ExitCode.Problems : ExitCode.Ok;
        });
        return command;
    }

    /// <summary>All at once: the slowest decides how long it takes.</summary>
    internal static Task<Finding[]> ExamineAsync(IEnumerable<DoctorCheck> checks, DoctorScene scene, TimeSpan limit, CancellationToken cancellation) =>
        Task.WhenAll(checks.Select(check => ExamineAsync(check, scene, limit, cancellation)));

    private static async Task<Finding> ExamineAsync(DoctorCheck check, DoctorScene scene, TimeSpan limit, CancellationToken cancellation)
    {
        using var time = new CancellationTokenSource(limit, scene.Cli.Clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, time.Token);
        try
        {
            // One that does not heed its token is left behind.
            var token = either.Token;
            return await Task.Run(() => check.RunAsync(scene, token), cancellation).WaitAsync(limit + Leeway, scene.Cli.Clock, cancellation);
        }
        catch (Exception e) when (e is TimeoutException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return new Finding { Check = check.Name, Verdict = check.WithoutAnswer, Message = $"no answer within {limit.TotalSeconds:0.#} s", Advice = "see whether the machine, its network or its disk hangs, and ask again" };
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it is, it says something about the machine.
            return new Finding { Check = check.Name, Verdict = check.WithoutAnswer, Message = $"could not be looked at: {e.Message}", Advice = "mend what the message names, and ask again" };
        }
    }

    private static void WriteJson(CliContext cli, Finding[] findings) => cli.Out.WriteLine(JsonSerializer.Serialize(new DoctorReport
    {
        Problems = findings.Count(f => f.Verdict == Verdict.Problem), Warnings = findings.Count(f => f.Verdict == Verdict.Warning), Findings = findings,
    }, DoctorJson.Default.DoctorReport));

    private static void Show(CliContext cli, Finding[] findings)
    {
        var table = new TableView(cli).Columns("CHECK", "RESULT", "WHAT");
        foreach (var finding in findings)
        {
            table.Row(finding.Check, Word(finding.Verdict), finding.Message);
            if (finding.Advice is { } advice) table.Row("", "", $"-> {advice}");
        }
        table.Write();
    }

    private static Cell Word(Verdict verdict) => verdict switch
    {
        Verdict.Ok => Cell.Good("ok"),
        Verdict.Warning => Cell.Warn("warning"),
        _ => Cell.Bad("problem"),
    };
}
