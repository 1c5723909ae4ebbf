using System.Diagnostics;

using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>The completion scripts in the shells that they are for, asking the real program.</summary>
public sealed class CompletionTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public static TheoryData<string> Shells => ["bash", "zsh", "fish"];

    public void Dispose() => _directory.Dispose();

    [Theory, MemberData(nameof(Shells))]
    public async Task Commands_are_completed(string shell)
    {
        var found = await CompleteAsync(shell, "tanvrit-compute jobs ");
        found.ShouldContain("run");
        found.ShouldContain("cancel");
        found.ShouldNotContain("pair-code");
    }

    [Theory, MemberData(nameof(Shells))]
    public async Task What_was_begun_narrows_it_down(string shell) => (await CompleteAsync(shell, "tanvrit-compute workst")).ShouldBe(["workstations"]);

    [Theory, MemberData(nameof(Shells))]
    public async Task Options_are_completed(string shell) => (await CompleteAsync(shell, "tanvrit-compute jobs run --on-")).ShouldBe(["--on-worker-lost"]);

    [Theory, MemberData(nameof(Shells))]
    public async Task The_values_of_an_option_are_completed(string shell) =>
        (await CompleteAsync(shell, "tanvrit-compute jobs list --output ")).Where(f => f is "id" or "json").Order().ShouldBe(["id", "json"]);

    /// <summary>As the shell does at Tab, without a terminal: its own variables and functions are set, then the script's function is called.</summary>
    private async Task<IReadOnlyList<string>> CompleteAsync(string shell, string line)
    {
        Prerequisite.Linux();
        var program = Prerequisite.Program(shell);
        var bin = Directory.CreateDirectory(_directory.File("bin")).FullName;
        var shim = Path.Combine(bin, "tanvrit-compute");
        await File.WriteAllTextAsync(shim, $"#!/bin/sh\nexec dotnet exec '{RealProcess.Executable}' \"$@\"\n", TestContext.Current.CancellationToken);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(shim, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var script = shell switch
        {
            "bash" => """
                source <(tanvrit-compute completion bash)
                COMP_LINE=$LINE; COMP_POINT=${#LINE}; read -ra COMP_WORDS <<< "$LINE"
                [[ $LINE == *' ' ]] && COMP_WORDS+=('')
                COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
                $(complete -p tanvrit-compute | sed 's/.*-F \([^ ]*\).*/\1/')
                printf '%s\n' "${COMPREPLY[@]}"
                """,
            // compadd narrows down by itself, in a completion widget only.
            "zsh" => """
                compdef() { bound=$1 }; _files() { print -- files }
                compadd() { print -l -- ${(M)${(P)2}:#${LINE##* }*} }
                source <(tanvrit-compute completion zsh)
                BUFFER=$LINE; CURSOR=${#LINE}
                $bound
                """,
            _ => """
                tanvrit-compute completion fish | source
                complete --do-complete "$LINE"
                """,
        };
        var start = new ProcessStartInfo(program, shell == "bash" ? ["--norc", "-c", script] : shell == "zsh" ? ["-f", "-c", script] : ["--no-config", "-c", script])
        {
            UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true,
        };
        start.Environment["PATH"] = $"{bin}:{start.Environment["PATH"]}";
        start.Environment["LINE"] = line;
        start.Environment["HOME"] = _directory.Path;
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        (await errors).ShouldBeEmpty();
        return [.. (await output).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(found => found.Split('\t')[0])];
    }
}
