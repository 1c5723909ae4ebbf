using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Masking;

/// <summary>A-12 with real jobs: what a job prints of a secret is in no file of the agent, in no request and in no line of its log.</summary>
public sealed class MaskedRunTests : IAsyncLifetime
{
    private const string Secret = "s3cret/of+the \"task\"";
    private const string Literal = "literal of agent.yaml";

    private readonly ConcurrentQueue<string> log = new();
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        agent.Settings = new AgentSettings { Mask = new MaskSettings { Environment = ["JOB_TOKEN"], Literals = [Literal] } };
        agent.Logs = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(new Lines(log)));
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
        agent?.Logs.Dispose();
    }

    [Fact]
    public async Task What_a_job_prints_of_a_secret_leaves_in_no_form_and_is_on_no_disk()
    {
        // The outbox keeps all of it meanwhile.
        var logs = server.Hold("logs");
        await agent.StartAsync();
        var step = Run($"""
            echo "raw $KEY"
            printf '%s' "$KEY" | base64
            printf 'user:%s' "$KEY" | base64 >&2
            printf 'cut %s' s3cret/of+; sleep 0.1; echo 'the "task"'
            printf '%s\n' 'json s3cret\/of+the \"task\"'
            echo "literal of"
            echo "{Literal}" >&2
            echo "of the job: $JOB_TOKEN"
            """);
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(agent.Home, "journal")) && server.Requests.Contains("logs"));
        await Eventually.TrueAsync(() => OnDisk().Contains("of the job: [masked]", StringComparison.Ordinal));
        Leaks(OnDisk()).ShouldBeEmpty("on the disk");
        logs.SetResult();

        var result = await ResultAsync(step);
        step.Output(LogStream.Stdout).ShouldBe("raw [masked]\n[masked]\ncut [masked]\njson [masked]\nliteral of\nof the job: [masked]\n");
        step.Output(LogStream.Stderr).ShouldBe("dXNlcjp[masked]\n[masked]\n", "the user's name is none");
        Leaks(Encoding.UTF8.GetString(Convert.FromBase64String(result.OutputPreview!))).ShouldBeEmpty("in the preview");
        Leaks(string.Join('\n', log)).ShouldBeEmpty("in the log");
        Leaks(OnDisk()).ShouldBeEmpty("on the disk afterwards");
    }

    [Fact]
    public async Task The_words_of_a_result_are_masked_too()
    {
        await agent.StartAsync();
        var step = server.Add(new FakeStep
        {
            Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Argv = ["/no/such/" + Secret] }, Secrets = new Dictionary<string, string> { ["KEY"] = Secret },
        });
        var result = await ResultAsync(step);
        (result.Reason, result.Detail!.Contains("/no/such/[masked]", StringComparison.Ordinal)).ShouldBe((StepReason.SpawnFailed, true), result.Detail);
        Leaks(OnDisk() + string.Join('\n', log)).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_is_too_short_is_named_and_not_masked()
    {
        await agent.StartAsync();
        var step = server.Add(new FakeStep
        {
            Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = "echo $PIN" }, Secrets = new Dictionary<string, string> { ["PIN"] = "99501" },
        });
        await ResultAsync(step);
        await Eventually.TrueAsync(() => step.Output(LogStream.Stdout) == "99501\n");
        step.Output(LogStream.System).ShouldContain("PIN");
        step.Output(LogStream.System).ShouldNotContain("99501");
        log.ShouldContain(line => line.Contains("not masked") && line.Contains("PIN"));
        log.ShouldAllBe(line => !line.Contains("99501"));
    }

    private FakeStep Run(string shell) => server.Add(new FakeStep
    {
        Id = Ids.New(Ids.Step, TimeProvider.System),
        Command = new CommandSpec { Shell = shell },
        Environment = new Dictionary<string, string> { ["JOB_TOKEN"] = "token-of-the-job" },
        Secrets = new Dictionary<string, string> { ["KEY"] = Secret },
    });

    /// <summary>The secrets, and the middle of their base64, that are in a text.</summary>
    private static List<string> Leaks(string text) =>
    [
        .. new[]
        {
            Secret, "s3cret/of+", "the \"task\"", "s3cret\\/of+the", Literal, "token-of-the-job", Convert.ToBase64String(Encoding.UTF8.GetBytes(Secret))[..12],
            Convert.ToBase64String(Encoding.UTF8.GetBytes("user:" + Secret))[7..24],
        }.Where(secret => text.Contains(secret, StringComparison.Ordinal)),
    ];

    /// <summary>Every file of the agent, byte by byte.</summary>
    private string OnDisk() => string.Join('\n', Directory.EnumerateFiles(agent.Home, "*", SearchOption.AllDirectories).Select(Content));

    private static string Content(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var copy = new MemoryStream();
            file.CopyTo(copy);
            return Encoding.UTF8.GetString(copy.ToArray());
        }
        catch (IOException)
        {
            return ""; // taken by the server since the directory was listed, or the agent's lock
        }
    }

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        return step.Result!;
    }

    private sealed class Lines(ConcurrentQueue<string> log) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
        public bool IsEnabled(LogLevel logLevel) => true;
        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => log.Enqueue($"{formatter(state, exception)} {exception}");
        public void Dispose()
        {
        }
    }
}
