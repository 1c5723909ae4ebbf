using System.Text;

namespace Tanjiren.Cli.Services;

/// <summary>A unit of the user's own systemd (systemd.service(5)). Tried with systemd 252.</summary>
internal static class SystemdUnit
{
    public const string Name = "tanvrit-compute-agent.service";

    public static ServicePlan Plan(AgentService service, string configuration, string user) => new()
    {
        Manager = "systemd",
        Name = Name,
        Path = Path.Combine(configuration, "systemd", "user", Name),
        Content = Content(service),
        HomeMark = Argument(service.Home),
        Probe = ["systemctl", "--user", "show-environment"],
        Start = [["systemctl", "--user", "daemon-reload"], ["systemctl", "--user", "enable", Name], ["systemctl", "--user", "restart", Name]],
        Stop = [["systemctl", "--user", "disable", "--now", Name]],
        Forget = [["systemctl", "--user", "daemon-reload"]],
        Hints =
        [
            $"it runs while {user} is logged in; for a machine that nobody logs in to: `loginctl enable-linger {user}`",
            $"its log: `journalctl --user -u {Name} -f`",
        ],
    };

    private static string Content(AgentService service)
    {
        var environment = new StringBuilder();
        foreach (var (name, value) in service.Environment) environment.Append("Environment=").Append(Quote($"{name}={value}")).Append('\n');
        return $"""
            # Written by `tanvrit-compute agent install`; `tanvrit-compute agent uninstall` removes it.
            [Unit]
            Description=Tanjiren agent (workspace {service.Workspace})
            StartLimitIntervalSec=0

            [Service]
            Type=notify
            NotifyAccess=main
            ExecStart={ExecStart(service.Command)}
            {environment}WorkingDirectory=~
            # Nothing that it writes is for others to read.
            UMask=0077
            # Its loops show life at least every six minutes, with a server or without; stuck, it is ended and started again.
            WatchdogSec=10min
            WatchdogSignal=SIGKILL
            TimeoutStartSec=5min
            # SIGTERM drains: what runs is finished. What takes longer than this is killed, and reported by the next start.
            TimeoutStopSec=2min
            # Only the agent is told to stop, and its jobs finish. Once it has ended, however it did, what is left of its group is killed at once.
            KillMode=mixed
            Restart=always
            RestartSec=10
            # 2: a person must act (the key is revoked, another agent has this home); to start it again would only repeat it.
            RestartPreventExitStatus=2
            # Groups of its own for the jobs' limits; and a job that runs out of memory takes nobody with it.
            Delegate=cpu memory
            OOMPolicy=continue

            [Install]
            WantedBy=default.target

            """.ReplaceLineEndings("\n");
    }

    /// <summary>The program's own path is not searched for variables; its arguments are.</summary>
    private static string ExecStart(IReadOnlyList<string> command) => string.Join(' ', command.Skip(1).Select(Argument).Prepend(Quote(command[0])));

    private static string Argument(string word) => Quote(word).Replace("$", "$$", StringComparison.Ordinal);

    /// <summary>In quotes a backslash and a quote are escaped; a percent sign begins a specifier everywhere.</summary>
    private static string Quote(string word) =>
        '"' + word.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("%", "%%", StringComparison.Ordinal) + '"';
}
