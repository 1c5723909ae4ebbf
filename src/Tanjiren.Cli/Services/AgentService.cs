using Tanjiren.Agent.Execution;
using Tanjiren.Cli.Hosting;

namespace Tanjiren.Cli.Services;

/// <summary>An agent as a service manager is to run it.</summary>
internal sealed record AgentService
{
    /// <summary>
    /// What a service is given of the environment it is installed from: where programs are (a service's own PATH has no coding agent on it), where the server is reached by, and where the home is. Never
    /// a credential.
    /// </summary>
    private static readonly string[] Kept =
    [
        "PATH", "DOTNET_ROOT", "LANG", "TANVRIT_HOME", "TANVRIT_KEYCHAIN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
    ];

    public required string Workspace { get; init; }
    public required string Home { get; init; }
    /// <summary>Program, with its full path, and arguments.</summary>
    public required IReadOnlyList<string> Command { get; init; }
    public required IReadOnlyList<(string Name, string Value)> Environment { get; init; }

    /// <summary>For a plan of which only the way back is wanted.</summary>
    public static AgentService None { get; } = new() { Workspace = "", Home = "", Command = [""], Environment = [] };

    /// <summary>The agent of a home, run by this very program.</summary>
    public static AgentService Of(string workspace, string home, Func<string, string?> variable)
    {
        var command = SelfCommand.With("agent", "run", "--workspace", workspace, "--home", home);
        if (!Path.IsPathFullyQualified(command[0]))
        {
            var program = ProgramSearch.Find(command[0], variable("PATH"))
                ?? throw new CliException($"'{command[0]}' is not on the PATH, and a service needs its full path", "run this with `dotnet tanvrit-compute.dll`, with the directory of dotnet on the PATH");
            command = [program, .. command.Skip(1)];
        }
        var service = new AgentService
        {
            Workspace = workspace, Home = home, Command = command,
            Environment = [.. Kept.Select(name => (name, variable(name))).Where(v => !string.IsNullOrEmpty(v.Item2)).Select(v => (v.name, v.Item2!))],
        };
        // No format of a service's file carries them, and a path or a variable with one is a mistake or an attack.
        if (service.Command.Concat(service.Environment.Select(v => v.Value)).FirstOrDefault(text => text.Any(char.IsControl)) is { } strange)
            throw new CliException($"'{Output.Text.Safe(strange)}' has a control character, which no service file can hold", "rename the directory, or unset the variable");
        return service;
    }
}

/// <summary>What it takes to install a service, and to remove it again.</summary>
internal sealed record ServicePlan
{
    /// <summary>For people: <c>systemd</c> …</summary>
    public required string Manager { get; init; }
    /// <summary>What the manager calls it.</summary>
    public required string Name { get; init; }
    public required string Path { get; init; }
    public required string Content { get; init; }
    /// <summary>Stands in <see cref="Content"/> for this home alone: a file without it was written for another one.</summary>
    public required string HomeMark { get; init; }
    /// <summary>Whether the file is in UTF-16, as the tasks of Windows are.</summary>
    public bool IsUtf16 { get; init; }
    /// <summary>Succeeds where the manager answers; null: it is not asked first.</summary>
    public IReadOnlyList<string>? Probe { get; init; }
    /// <summary>After the file is written.</summary>
    public required IReadOnlyList<IReadOnlyList<string>> Start { get; init; }
    /// <summary>Before the file is deleted.</summary>
    public required IReadOnlyList<IReadOnlyList<string>> Stop { get; init; }
    /// <summary>After it is deleted.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Forget { get; init; } = [];
    /// <summary>What a person should know or do next.</summary>
    public required IReadOnlyList<string> Hints { get; init; }
}
