using System.Diagnostics;
using System.Runtime.InteropServices;
using Tanjiren.EndToEnd.Tests.Faults;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>The command line as a person runs it: a process of its own, whose two streams are kept byte for byte.</summary>
internal sealed partial class CliProcess : IAsyncDisposable
{
    private const int SigInt = 2;
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);
    private readonly Process _process;
    private readonly Task _copying;

    private CliProcess(Process process)
    {
        _process = process;
        _copying = Task.WhenAll(process.StandardOutput.BaseStream.CopyToAsync(Output), process.StandardError.BaseStream.CopyToAsync(Error));
    }

    public CapturedStream Output { get; } = new();

    public CapturedStream Error { get; } = new();

    public bool HasExited => _process.HasExited;

    public static CliProcess Start(Uri server, string token, string home, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", RealProcess.Executable, .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TANVRIT_HOME"] = home;
        start.Environment["TANVRIT_KEYCHAIN"] = "file";
        start.Environment["TANVRIT_SERVER"] = server.ToString().TrimEnd('/');
        start.Environment["TANVRIT_TOKEN"] = token;
        start.Environment.Remove("TANVRIT_WORKSPACE");
        foreach (var (variable, value) in environment ?? new Dictionary<string, string?>()) start.Environment[variable] = value;
        var process = Process.Start(start)!;
        process.StandardInput.Close();
        return new CliProcess(process);
    }

    /// <summary>Ctrl-C.</summary>
    public void Interrupt() => Kill(_process.Id, SigInt).ShouldBe(0);

    /// <summary>Waits for its end; all output is there then.</summary>
    public async Task<int> EndAsync()
    {
        try
        {
            await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TimeProvider.System);
        }
        catch (TimeoutException late)
        {
            throw new TimeoutException(Describe(), late);
        }
        await _copying;
        return _process.ExitCode;
    }

    public string Describe() => $"--- out ---{Environment.NewLine}{Output.Text}{Environment.NewLine}--- err ---{Environment.NewLine}{Error.Text}";

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }
        await _copying;
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
