using System.Security;
using System.Text;

namespace Tanjiren.Cli.Services;

/// <summary>
/// A task that begins at log-on, of the Windows Task Scheduler. Not a service of Windows: that would run jobs under another account than the user's, or keep the user's password. Written by the
/// documentation; no machine has run it yet.
/// </summary>
internal static class WindowsTask
{
    public const string Name = "Tanjiren agent";

    public static ServicePlan Plan(AgentService service, string tanvritHome, string user)
    {
        var file = Path.Combine(tanvritHome, "agent-task.xml");
        return new ServicePlan
        {
            Manager = "the Task Scheduler",
            Name = Name,
            Path = file,
            IsUtf16 = true,
            Content = Content(service, user),
            HomeMark = SecurityElement.Escape(Quote(service.Home)),
            Start = [["schtasks", "/Create", "/F", "/TN", Name, "/XML", file], ["schtasks", "/Run", "/TN", Name]],
            Stop = [["schtasks", "/End", "/TN", Name], ["schtasks", "/Delete", "/F", "/TN", Name]],
            Hints = ["it has the environment of your account: set TANVRIT_HOME and proxies there, if you use any", "tasks are not proven yet: look at `tanvrit-compute agent status`"],
        };
    }

    private static string Content(AgentService service, string user) => $"""
        <?xml version="1.0" encoding="UTF-16"?>
        <Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
          <RegistrationInfo>
            <Description>Tanjiren agent (workspace {SecurityElement.Escape(service.Workspace)})</Description>
          </RegistrationInfo>
          <Triggers>
            <LogonTrigger><Enabled>true</Enabled><UserId>{SecurityElement.Escape(user)}</UserId></LogonTrigger>
          </Triggers>
          <Principals>
            <Principal id="Author"><UserId>{SecurityElement.Escape(user)}</UserId><LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel></Principal>
          </Principals>
          <Settings>
            <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
            <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
            <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
            <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
            <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
          </Settings>
          <Actions Context="Author">
            <Exec>
              <Command>{SecurityElement.Escape(service.Command[0])}</Command>
              <Arguments>{SecurityElement.Escape(string.Join(' ', service.Command.Skip(1).Select(Quote)))}</Arguments>
            </Exec>
          </Actions>
        </Task>

        """.ReplaceLineEndings("\r\n");

    /// <summary>As the C runtime of Windows takes words apart: backslashes before a quote are doubled, quotes escaped.</summary>
    private static string Quote(string word)
    {
        var quoted = new StringBuilder("\"");
        var backslashes = 0;
        foreach (var c in word)
        {
            if (c == '\\')
            {
                backslashes++;
                continue;
            }
            quoted.Append('\\', c == '"' ? 2 * backslashes + 1 : backslashes).Append(c);
            backslashes = 0;
        }
        return quoted.Append('\\', 2 * backslashes).Append('"').ToString();
    }
}
