using System.ComponentModel;
using System.Diagnostics;

namespace Tanjiren.Cli.Hosting;

/// <summary>How a program ended that was run for its answer.</summary>
/// <param name="Code">Null: there is no such program.</param>
/// <param name="Output">What it wrote to standard output.</param>
/// <param name="Error">And to standard error.</param>
internal sealed record ProgramEnd(int? Code, string Output, string Error)
{
    public bool Succeeded => Code == 0;
}

/// <summary>Small programs of the system, run for their answer.</summary>
internal static class Programs
{
    /// <summary>Runs it without input. Cancelled, it is killed with what it started.</summary>
    public static async Task<ProgramEnd> RunAsync(IReadOnlyList<string> command, CancellationToken cancellation)
    {
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(command[0], command.Skip(1))
            {
                UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, CreateNoWindow = true,
            },
        };
        try
        {
            process.Start();
        }
        catch (Win32Exception e)
        {
            return new ProgramEnd(null, "", e.Message);
        }
        try
        {
            process.StandardInput.Close();
            var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
            await process.WaitForExitAsync(cancellation);
            return new ProgramEnd(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}
