using System.Text;

using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli;

/// <summary>
/// Everything that a command takes from its process: streams, environment, clock, signals. Tests run whole commands in their own process by
/// giving another one.
/// </summary>
internal sealed class CliContext : IDisposable
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);
    private Keychain? keychain;
    private bool warned;

    public CliContext(Stream output, Stream error, TextReader input)
    {
        (Output, Error, Input) = (output, error, input);
        Out = new StreamWriter(output, Utf8, leaveOpen: true) { AutoFlush = true };
        Err = new StreamWriter(error, Utf8, leaveOpen: true) { AutoFlush = true };
    }

    /// <summary>Standard output as bytes: a job's output goes here untouched. <see cref="Out"/> writes to the same stream without a buffer.</summary>
    public Stream Output { get; }
    public Stream Error { get; }
    public TextReader Input { get; }
    public TextWriter Out { get; }
    public TextWriter Err { get; }

    public bool OutputIsTerminal { get; init; }
    public bool InputIsTerminal { get; init; }
    public Func<string, string?> Variable { get; init; } = static _ => null;
    public TimeProvider Clock { get; init; } = TimeProvider.System;
    public ClientTimeouts Timeouts { get; init; } = new();

    /// <summary>Shows a page to whoever sits here. False: there is no display, or nothing that opens it.</summary>
    public Func<Uri, bool> OpenBrowser { get; init; } = static _ => false;

    /// <summary>Runs a small program of the system for its answer.</summary>
    public Func<IReadOnlyList<string>, CancellationToken, Task<ProgramEnd>> RunProgram { get; init; } = Programs.RunAsync;

    /// <summary>Called by the commands that outlive a first Ctrl-C; every other command dies of it as usual.</summary>
    public Func<Interrupts> ListenForInterrupts { get; init; } = Interrupts.FromSignals;

    /// <summary>The keychain of this user under a setting and a directory for its files.</summary>
    public Func<KeychainUse, string, Keychain> FindKeychain { get; init; } = static (use, _) => new Keychain(use, null);

    /// <summary>One for the whole command: whether it answers is asked once.</summary>
    public Keychain Keychain => keychain ??= FindKeychain(KeychainSetting.Parse(Variable(KeychainWords.Setting)), Home.KeychainDirectory);

    public CredentialStore Credentials => new(this);

    public TanvritHome Home => TanvritHome.From(Variable);

    /// <summary>Colour is for people at a terminal who did not switch it off (no-color.org).</summary>
    public bool UseColor => OutputIsTerminal && string.IsNullOrEmpty(Variable("NO_COLOR"));

    public static CliContext OfThisProcess() =>
        new(Console.OpenStandardOutput(), Console.OpenStandardError(), Console.In)
        {
            OutputIsTerminal = !Console.IsOutputRedirected,
            InputIsTerminal = !Console.IsInputRedirected,
            Variable = Environment.GetEnvironmentVariable,
            OpenBrowser = SystemBrowser.Open,
            FindKeychain = Keychain.OfThisUser,
        };

    /// <summary>One of our own lines, apart from what a job prints.</summary>
    public void Say(string line) => Err.WriteLine(line);

    /// <summary>Where no keychain took a secret and nobody said that a file is meant: once, with the way out.</summary>
    public void WarnOfFiles()
    {
        if (warned || keychain?.Absence is not { } why) return;
        warned = true;
        Say($"warning: no keychain answers ({why}), so sign-ins and keys are kept in files that only you may read, under {Home.Path}");
        Say($"hint: {KeychainWords.HowToGet} Or set {KeychainWords.Setting}=file if files are meant.");
    }

    /// <summary>A secret from whoever sits at the terminal, not shown while typed; from a script, the first line of standard input.</summary>
    public string ReadSecret(string prompt)
    {
        if (!InputIsTerminal) return Input.ReadLine() ?? "";
        Err.Write(prompt);
        var typed = new StringBuilder();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
        {
            if (key.Key == ConsoleKey.Backspace) typed.Length = Math.Max(0, typed.Length - 1);
            else if (!char.IsControl(key.KeyChar)) typed.Append(key.KeyChar);
        }
        Err.WriteLine();
        return typed.ToString();
    }

    /// <summary>Asks whoever sits at the terminal; where there is nobody to ask, <paramref name="what"/> names the deed and <paramref name="hint"/> says what to do instead.</summary>
    public bool Confirm(string question, string what, string hint = "add --yes")
    {
        if (!InputIsTerminal) throw new CliException($"{what} needs a yes, and standard input is not a terminal", hint);
        Err.Write(question + " [y/N] ");
        return Input.ReadLine()?.Trim().ToUpperInvariant() is "Y" or "YES";
    }

    public void Dispose()
    {
        Out.Dispose();
        Err.Dispose();
    }
}
