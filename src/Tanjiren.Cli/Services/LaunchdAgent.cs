using System.Security;
using System.Text;

namespace Tanjiren.Cli.Services;

/// <summary>A launch agent of macOS (launchd.plist(5)). Written by the documentation; no machine has run it yet.</summary>
internal static class LaunchdAgent
{
    public const string Label = "com.tanvrit.compute.agent";

    public static ServicePlan Plan(AgentService service, string userHome)
    {
        var file = Path.Combine(userHome, "Library", "LaunchAgents", Label + ".plist");
        return new ServicePlan
        {
            Manager = "launchd",
            Name = Label,
            Path = file,
            Content = Content(service),
            HomeMark = Word(service.Home),
            Start = [["launchctl", "load", "-w", file]],
            Stop = [["launchctl", "unload", "-w", file]],
            Hints = [$"its log: {Path.Combine(service.Home, "agent.log")}", "launch agents are not proven yet: look at `tanvrit-compute agent status`"],
        };
    }

    private static string Content(AgentService service)
    {
        var (arguments, environment) = (new StringBuilder(), new StringBuilder());
        foreach (var word in service.Command) arguments.Append("    ").Append(Word(word)).Append('\n');
        foreach (var (name, value) in service.Environment) environment.Append("    <key>").Append(name).Append("</key>").Append(Word(value)).Append('\n');
        // AbandonProcessGroup: launchd would else end the watchdog together with an agent that died, and nobody the jobs.
        return $"""
            <?xml version="1.0" encoding="UTF-8"?>
            <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <plist version="1.0">
            <dict>
              <key>Label</key><string>{Label}</string>
              <key>ProgramArguments</key>
              <array>
            {arguments}  </array>
              <key>EnvironmentVariables</key>
              <dict>
            {environment}  </dict>
              <key>RunAtLoad</key><true/>
              <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
              <key>ThrottleInterval</key><integer>10</integer>
              <key>ExitTimeOut</key><integer>120</integer>
              <key>AbandonProcessGroup</key><true/>
              <key>Umask</key><integer>63</integer>
              <key>StandardErrorPath</key>{Word(Path.Combine(service.Home, "agent.log"))}
            </dict>
            </plist>

            """.ReplaceLineEndings("\n");
    }

    private static string Word(string text) => $"<string>{SecurityElement.Escape(text)}</string>";
}
