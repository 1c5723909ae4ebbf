using System.Text;

using Tanjiren.Agent.Keys;
using Tanjiren.Cli;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Settings;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>A stream that a test reads while a command writes to it.</summary>
internal sealed class CapturedStream : Stream
{
    private readonly MemoryStream bytes = new();

    public byte[] Bytes
    {
        get { lock (bytes) return bytes.ToArray(); }
    }

    public string Text => Encoding.UTF8.GetString(Bytes);

    public override bool CanRead => false;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count)
    {
        lock (bytes) bytes.Write(buffer, offset, count);
    }
}

/// <summary>Runs whole commands in this process, each with streams, environment and signals of its own.</summary>
internal sealed class CliRun : IDisposable
{
    private readonly string home = Directory.CreateTempSubdirectory("tanvrit-cli-").FullName;

    /// <summary>Its secrets lie in files, unless a test gives it a keychain: that of whoever runs the tests is left alone.</summary>
    public CliRun() => (Variables["TANVRIT_HOME"], Variables["TANVRIT_KEYCHAIN"]) = (home, "file");

    public string Home => home;

    /// <summary>Address of the fake that <see cref="SignedIn"/> named.</summary>
    public string ServerUrl { get; private set; } = "";
    public Dictionary<string, string> Variables { get; } = [];
    public CapturedStream Output { get; private set; } = new();
    public CapturedStream Error { get; private set; } = new();
    /// <summary>Signals of the command that runs, and of the next one.</summary>
    public Interrupts Interrupts { get; private set; } = new();
    public string Input { get; set; } = "";
    public bool Terminal { get; set; }
    /// <summary>Pages that commands opened in the person's browser.</summary>
    public List<string> Opened { get; } = [];

    /// <summary>The keychain, where TANVRIT_KEYCHAIN is not <c>file</c>; null: none.</summary>
    public ISecretStore? Secrets { get; init; }

    public TimeProvider Clock { get; set; } = TimeProvider.System;

    /// <summary>What programs of the system answer; the real ones unless a test says otherwise.</summary>
    public Func<IReadOnlyList<string>, CancellationToken, Task<ProgramEnd>> RunProgram { get; set; } = Programs.RunAsync;

    /// <summary>How long a command may take; those that wait for other people and processes get more.</summary>
    public TimeSpan Limit { get; set; } = TimeSpan.FromSeconds(90);

    /// <summary>Fast enough for a test, in the same order as the real ones.</summary>
    public ClientTimeouts Timeouts { get; set; } = new()
    {
        RetryMin = TimeSpan.FromMilliseconds(5),
        RetryMax = TimeSpan.FromMilliseconds(20),
        TellAfter = TimeSpan.FromMilliseconds(100),
    };

    /// <summary>Signs in to a fake.</summary>
    public CliRun SignedIn(FakeControlPlane server)
    {
        ServerUrl = server.Url;
        new CredentialFile(new TanvritHome(home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = server.Url, Token = "tnv_test" }));
        return this;
    }

    public async Task<int> InvokeAsync(params string[] args)
    {
        (Output, Error) = (new CapturedStream(), new CapturedStream());
        using var cli = Context();
        var code = await CommandTree.RunAsync(args, cli).WaitAsync(Limit, TestContext.Current.CancellationToken);
        Interrupts = new Interrupts();
        return code;
    }

    /// <summary>What a command takes from its process.</summary>
    public CliContext Context() => new(Output, Error, new StringReader(Input))
    {
        Variable = name => Variables.GetValueOrDefault(name),
        Timeouts = Timeouts,
        Clock = Clock,
        OutputIsTerminal = Terminal,
        InputIsTerminal = Terminal,
        ListenForInterrupts = () => Interrupts,
        RunProgram = RunProgram,
        OpenBrowser = page =>
        {
            Opened.Add(page.AbsoluteUri);
            return true;
        },
        FindKeychain = (use, _) => new Keychain(use, Secrets),
    };

    public void Dispose() => Directory.Delete(home, recursive: true);
}
