using Tanjiren.Cli.Commands.Backups;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Cli.Commands;

/// <summary><c>server</c>: a control plane until a signal.</summary>
internal static class ServerCommand
{
    public const string DatabaseHelp = "sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME (TANVRIT_DATABASE keeps a password out of the process list)";

    public static CliCommand Create(CliContext cli)
    {
        var urls = Options.Text("--urls", "URLS", $"Addresses to listen on, separated by ; (default {ServerAccessRules.DefaultServer})");
        var database = Options.Text("--database", "DB", DatabaseHelp);
        var publicUrl = Options.Text("--public-url", "URL", "The address that clients use, when a proxy stands before the server");
        var insecure = Options.Flag("--insecure-http", "Allow plain http beyond loopback: tokens and logs can be read on the way");
        var verbose = Options.Flag("--verbose", "Log more", "-v");
        var command = new CliCommand("server", "Run a control plane")
        {
            Options = { urls, database, publicUrl, insecure, verbose },
            Subcommands = { BackupCommand.Create(cli), RestoreCommand.Create(cli) },
            Details = "On first start it prints a one-time set-up link for the owner. SIGTERM or Ctrl-C stops it after the requests in flight; a second one stops it at once. Further settings are environment variables of the form `Tanjiren__Leases__TtlSeconds`.",
            Examples =
            [
                "tanvrit-compute server --database sqlite:/var/lib/tanjiren/tanjiren.db",
                "TANVRIT_DATABASE=postgres://tanjiren@db/tanjiren tanvrit-compute server --urls http://127.0.0.1:7433 --public-url https://tanjiren.example.org",
            ],
        };
        command.SetAction(async (parse, _) =>
        {
            var source = DatabaseOf(cli, parse.GetValue(database));
            return await RunAsync(cli, new ControlPlaneOptions
            {
                Urls = (parse.GetValue(urls) ?? ServerAccessRules.DefaultServer).Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries),
                Database = source,
                PublicUrl = parse.GetValue(publicUrl),
                InsecureHttp = parse.GetValue(insecure),
                ConfigureLogging = HostLogging.ForControlPlane(parse.GetValue(verbose) ? LogLevel.Debug : LogLevel.Information),
            });
        });
        return command;
    }

    public static string DatabaseOf(CliContext cli, string? given) => given ?? cli.Variable("TANVRIT_DATABASE")
        ?? throw new CliException("it is not said where the data lives", "add --database sqlite:PATH or --database postgres://…");

    private static async Task<int> RunAsync(CliContext cli, ControlPlaneOptions options)
    {
        using var telemetry = Telemetry.Start(cli, TelemetryRole.Server);
        using var interrupts = cli.ListenForInterrupts();
        await using var app = LocalControlPlane.Build(options);
        await LocalControlPlane.StartAsync(app, options.Urls, "choose others with --urls");
        cli.Say($"listening on {string.Join(", ", app.Urls)}");
        using var end = CancellationTokenSource.CreateLinkedTokenSource(interrupts.First, app.Lifetime.ApplicationStopping);
        await end.Token.UntilCancelledAsync();
        var asked = interrupts.First.IsCancellationRequested;
        if (asked) cli.Say("stopping; once more stops at once");
        await app.StopAsync(interrupts.Second);
        // Nobody asked: a loop of the server ended, and its log says which.
        return asked ? ExitCode.Ok : ExitCode.OwnFailure;
    }
}
