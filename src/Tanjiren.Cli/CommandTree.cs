using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Reflection;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Commands;
using Tanjiren.Cli.Commands.Agent;
using Tanjiren.Cli.Commands.Approvals;
using Tanjiren.Cli.Commands.Artifacts;
using Tanjiren.Cli.Commands.Audit;
using Tanjiren.Cli.Commands.Auth;
using Tanjiren.Cli.Commands.Doctor;
using Tanjiren.Cli.Commands.Doctrine;
using Tanjiren.Cli.Commands.Investigations;
using Tanjiren.Cli.Commands.Invitations;
using Tanjiren.Cli.Commands.Jobs;
using Tanjiren.Cli.Commands.Members;
using Tanjiren.Cli.Commands.Organizations;
using Tanjiren.Cli.Commands.Prompts;
using Tanjiren.Cli.Commands.Runbooks;
using Tanjiren.Cli.Commands.Schedules;
using Tanjiren.Cli.Commands.Webhook;
using Tanjiren.Cli.Commands.Workers;
using Tanjiren.Cli.Commands.Workstations;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli;

/// <summary>Every command there is, and running one: parse, act, and turn each expected failure into words and an exit code.</summary>
internal static class CommandTree
{
    public const string ProgramName = "tanvrit-compute";

    public static string Version { get; } =
        typeof(CommandTree).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0.0.0";

    public static RootCommand Build(CliContext cli)
    {
        var root = new RootCommand("Tanjiren runs shell jobs on machines of your own: control plane, agent and command line in one program.")
        {
            UpCommand.Create(cli),
            Group("jobs", "Run commands on workstations and read their output",
                JobsRunCommand.Create(cli), JobsListCommand.Create(cli), JobsShowCommand.Create(cli), JobsLogsCommand.Create(cli),
                JobsCancelCommand.Create(cli), JobsRetryCommand.Create(cli),
                JobsApproveCommand.Create(cli), JobsRejectCommand.Create(cli), JobsUpdateCommand.Create(cli), JobsResumeCommand.Create(cli),
                JobsApprovalsCommand.Create(cli), JobsAnswerCommand.Create(cli),
                JobsExplainCommand.Create(cli), JobsOverviewCommand.Create(cli), JobsVerifyCommand.Create(cli)),
            Group("approvals", "See what waits for an approval",
                ApprovalsListCommand.Create(cli), ApprovalsWatchCommand.Create(cli)),
            Group("schedules", "Run jobs by the clock",
                SchedulesCreateCommand.Create(cli), SchedulesListCommand.Create(cli), SchedulesShowCommand.Create(cli), SchedulesUpdateCommand.Create(cli),
                SchedulesPauseCommand.Create(cli), SchedulesResumeCommand.Create(cli), SchedulesRunCommand.Create(cli), SchedulesPreviewCommand.Create(cli),
                SchedulesDeleteCommand.Create(cli)),
            Group("artifacts", "Keep notes, links and files with jobs and investigations",
                ArtifactsAddCommand.Create(cli), ArtifactsListCommand.Create(cli), ArtifactsGetCommand.Create(cli), ArtifactsDeleteCommand.Create(cli)),
            Group("investigations", "Group jobs and what they found under one question",
                InvestigationsCreateCommand.Create(cli), InvestigationsListCommand.Create(cli), InvestigationsShowCommand.Create(cli),
                InvestigationsUpdateCommand.Create(cli), InvestigationsUpdateCommand.Close(cli), InvestigationsDeleteCommand.Create(cli)),
            Group("runbooks", "Write blueprints of jobs and run them",
                RunbooksCreateCommand.Create(cli), RunbooksListCommand.Create(cli), RunbooksShowCommand.Create(cli), RunbooksUpdateCommand.Create(cli),
                RunbooksUpdateCommand.Archive(cli), RunbooksRunCommand.Create(cli), RunbooksDeleteCommand.Create(cli)),
            Group("prompts", "Save prompts and find them again",
                PromptsCreateCommand.Create(cli), PromptsListCommand.Create(cli), PromptsShowCommand.Create(cli), PromptsUpdateCommand.Create(cli), PromptsDeleteCommand.Create(cli)),
            Group("workstations", "Register machines and manage them",
                CreateCommand.Create(cli), ListCommand.Create(cli), ShowCommand.Create(cli), TagCommands.Tag(cli), TagCommands.Untag(cli),
                PairCodeCommand.Create(cli), DrainCommand.Create(cli), UndrainCommand.Create(cli), RemoveCommand.Create(cli),
                KeysCommand.Create(cli), ApproveKeyCommand.Create(cli), RejectKeyCommand.Create(cli), VerifyKeysCommand.Create(cli), RecoverCommand.Create(cli)),
            Group("workers", "See what each workstation can do right now",
                WorkersListCommand.Create(cli), WorkersShowCommand.Create(cli), WorkersRenameCommand.Create(cli)),
            Group("agent", "Run the agent that takes jobs on this machine",
                AgentRunCommand.Create(cli), AgentPairCommand.Create(cli), AgentStatusCommand.Create(cli), AgentWatchdogCommand.Create(cli),
                AgentRotateKeyCommand.Create(cli), AgentRecoverCommand.Create(cli), AgentInstallCommand.Create(cli), AgentUninstallCommand.Create(cli)),
            Group("members", "See who is in the organization, and change what they may do",
                MembersListCommand.Create(cli), MembersSetRoleCommand.Create(cli), MembersRemoveCommand.Create(cli), MembersLeaveCommand.Create(cli)),
            Group("invitations", "Invite people to the organization by a link",
                InvitationsCreateCommand.Create(cli), InvitationsListCommand.Create(cli), InvitationsRevokeCommand.Create(cli), InvitationsAcceptCommand.Create(cli)),
            Group("organizations", "Make organizations and hand them over",
                OrganizationsListCommand.Create(cli), OrganizationsCreateCommand.Create(cli), OrganizationsTransferCommand.Create(cli)),
            Group("doctrine", "See and change what may run, and who has to agree first",
                DoctrineGetCommand.Create(cli), DoctrineSetCommand.Create(cli), DoctrineHistoryCommand.Create(cli), DoctrineTestCommand.Create(cli)),
            Group("webhook", "Have approvals told to an address of yours",
                WebhookSetCommand.Create(cli), WebhookShowCommand.Create(cli), WebhookTestCommand.Create(cli), WebhookDeliveriesCommand.Create(cli), WebhookRemoveCommand.Create(cli)),
            Group("auth", "Sign in to a control plane",
                LoginCommand.Create(cli), LogoutCommand.Create(cli), WhoamiCommand.Create(cli), PrintTokenCommand.Create(cli),
                GrantsCommand.Create(cli), RevokeCommand.Create(cli)),
            Group("audit", "Read the record of who did what, and prove it",
                AuditListCommand.Create(cli), AuditExportCommand.Create(cli), AuditVerifyCommand.Create(cli)),
            ServerCommand.Create(cli),
            DoctorCommand.Create(cli),
            CompletionCommand.Create(cli),
        };
        foreach (var option in root.Options)
            switch (option)
            {
                case HelpOption help:
                    help.Action = new HelpText();
                    help.Description = "Show this help";
                    // They look like paths, and completion would offer them at every Tab.
                    foreach (var alias in (string[])["/?", "/h", "-?"]) help.Aliases.Remove(alias);
                    break;
                case VersionOption version:
                    version.Action = new VersionText();
                    version.Description = "Show the version";
                    break;
            }
        return root;
    }

    public static async Task<int> RunAsync(IReadOnlyList<string> args, CliContext cli)
    {
        // No response files: a job's argument that starts with @ is an argument.
        var parse = Build(cli).Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parse.Action is ParseErrorAction) return Usage(parse, cli);
        try
        {
            return await parse.InvokeAsync(new InvocationConfiguration
            {
                Output = cli.Out,
                Error = cli.Err,
                EnableDefaultExceptionHandler = false,
                // Signals are each command's own business: see Interrupts.
                ProcessTerminationTimeout = null,
            });
        }
        catch (Exception e) when (e is CliException or ApiException or UnreachableException or OAuthException)
        {
            ErrorReport.Write(cli.Err, e);
            return ExitCode.OwnFailure;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            ErrorReport.Write(cli.Err, e);
            return ExitCode.OwnFailure;
        }
    }

    private static int Usage(ParseResult parse, CliContext cli)
    {
        var command = parse.CommandResult.Command;
        var unmatched = parse.UnmatchedTokens;
        if (command is { Subcommands.Count: > 0, Action: null } && unmatched.Count == 0)
        {
            HelpText.Write(command, cli.Err);
            return ExitCode.OwnFailure;
        }
        if (command.Subcommands.Count > 0 && unmatched.Count > 0)
            cli.Say($"error: '{Text.Safe(unmatched[0])}' is not a command of {HelpText.FullName(command)}{Nearest(command, unmatched[0])}");
        else
            foreach (var error in parse.Errors) cli.Say($"error: {Text.Safe(error.Message)}");
        cli.Say($"hint: see `{HelpText.FullName(command)} --help`");
        return ExitCode.OwnFailure;
    }

    private static string Nearest(Command command, string word)
    {
        var near = command.Subcommands.Where(c => !c.Hidden)
            .Where(c => c.Name.StartsWith(word, StringComparison.OrdinalIgnoreCase) || EditDistance(c.Name, word) <= 2)
            .Select(c => $"'{c.Name}'").ToList();
        return near.Count == 0 ? "" : $"; did you mean {string.Join(" or ", near)}?";
    }

    private static int EditDistance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)));
        }
        return row[b.Length];
    }

    private static CliCommand Group(string name, string description, params ReadOnlySpan<Command> commands)
    {
        var group = new CliCommand(name, description);
        foreach (var command in commands) group.Subcommands.Add(command);
        return group;
    }

    private sealed class VersionText : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine($"{ProgramName} {Version}");
            return ExitCode.Ok;
        }
    }
}
