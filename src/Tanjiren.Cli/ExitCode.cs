namespace Tanjiren.Cli;

/// <summary>
/// The exit codes that are ours; every other code is the job's own. The numbers follow what people know from <c>timeout</c> (124), <c>docker run</c>
/// (125), shells (127, 128 + signal). docs/cli.md holds the same table.
/// </summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary><c>audit verify</c> found a chain that is not what was sealed.</summary>
    public const int AuditBroken = 1;

    /// <summary><c>jobs verify</c> found a step that is not what its workstation signed, or that nobody signed.</summary>
    public const int NotVerified = 1;

    /// <summary><c>doctor</c> found a problem.</summary>
    public const int Problems = 1;

    /// <summary>The job was stopped at its <c>timeoutSeconds</c>.</summary>
    public const int Timeout = 124;

    /// <summary>tanvrit-compute itself failed: bad usage, not signed in, refused by the server, server out of reach.</summary>
    public const int OwnFailure = 125;

    /// <summary>The job ended without a result: worker lost, outcome unknown, rejected, never claimed, workstation removed.</summary>
    public const int NoResult = 126;

    /// <summary>The program could not be started on the workstation.</summary>
    public const int NotStarted = 127;

    /// <summary>A step ended by signal N gives 128 + N.</summary>
    public const int SignalBase = 128;

    /// <summary>The job was cancelled, or the command was left with Ctrl-C.</summary>
    public const int Cancelled = 130;

    /// <summary>The job was killed over a resource cap: the code of a process that the kernel killed for the same reason (128 + SIGKILL).</summary>
    public const int ResourceExceeded = 137;
}
