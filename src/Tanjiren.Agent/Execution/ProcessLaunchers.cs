using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

internal static class ProcessLaunchers
{
    public static IProcessLauncher ForThisMachine(ExecutionOptions options, ILoggerFactory loggers) => OperatingSystem.IsLinux()
        ? new LinuxProcessLauncher(options, loggers.CreateLogger<LinuxProcessLauncher>())
        : new PortableProcessLauncher(options);
}
