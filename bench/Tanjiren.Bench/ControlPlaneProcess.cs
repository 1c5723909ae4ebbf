using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Bench;

/// <summary>Our control plane as users run it: a process of its own on a fresh database, reached over loopback with a personal access token.</summary>
internal sealed class ControlPlaneProcess : IAsyncDisposable
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "tanvrit-compute.dll");
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("tanjiren-bench-");
    private readonly List<Process> _processes = [];
    private string _token = "";

    private ControlPlaneProcess(string url) => Url = url;

    public string Url { get; }

    /// <summary>Signed in as the owner.</summary>
    public HttpClient Owner { get; } = new(new SocketsHttpHandler { UseCookies = false, UseProxy = false });

    public string Home => _directory.FullName;

    /// <summary>Server first, then the agent with its watchdog.</summary>
    public IReadOnlyList<int> Processes => [.. _processes.Where(process => !process.HasExited).SelectMany(process => ProcessUsage.Tree(process.Id))];

    /// <summary>The most memory that each was ever seen to hold, in MiB; the order of <see cref="Processes"/>.</summary>
    public IReadOnlyList<double> Peaks => [.. Processes.Select(ProcessUsage.PeakMiB)];

    public int AgentPid => _processes[^1].Id;

    /// <param name="postgres">Where to make a database; null: SQLite in a directory of its own.</param>
    /// <param name="cancellation">Ends the wait for it to be ready.</param>
    /// <param name="seed">Writes rows before it starts, given the database and the workspace's id.</param>
    /// <param name="environment">Settings of the server.</param>
    public static async Task<ControlPlaneProcess> StartAsync(
        string? postgres, CancellationToken cancellation, Func<Database, string, Task>? seed = null, params (string Name, string Value)[] environment)
    {
        var server = new ControlPlaneProcess($"http://127.0.0.1:{FreePort()}");
        var database = await FreshDatabaseAsync(postgres, server.Home, cancellation);
        await using (var app = ControlPlane.Build(new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = database, ConfigureLogging = _ => { } }))
        {
            var credentials = await LocalWorkspace.EnsureAsync(app, cancellation);
            if (seed is not null) await seed(app.Services.GetRequiredService<Database>(), credentials.OrganizationId);
            server._token = credentials.Token;
            server.Owner.BaseAddress = new Uri(server.Url);
            server.Owner.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", credentials.Token);
        }
        // In the environment, because a password does not belong on a command line.
        server.Run(["server", "--urls", server.Url], [("TANVRIT_DATABASE", database), .. environment]);
        await WaitAsync(async () => (await server.Owner.GetAsync("/readyz", cancellation)).IsSuccessStatusCode, "the server is ready", cancellation);
        return server;
    }

    /// <summary>A fresh database: of a PostgreSQL, or a file in <paramref name="directory"/>.</summary>
    public static async Task<string> FreshDatabaseAsync(string? postgres, string directory, CancellationToken cancellation)
    {
        if (postgres is null) return "sqlite:" + Path.Combine(directory, "tanjiren.db");
        var name = "bench_" + Guid.NewGuid().ToString("n");
        await using var source = NpgsqlDataSource.Create(DatabaseUrl.PostgresConnectionString(postgres));
        await using var command = source.CreateCommand($"CREATE DATABASE {name}");
        await command.ExecuteNonQueryAsync(cancellation);
        return new UriBuilder(postgres) { Path = name }.Uri.AbsoluteUri;
    }

    /// <summary>Registers a workstation, for a code to pair it with.</summary>
    public async Task<PairingCodeBody> RegisterAsync(string name, CancellationToken cancellation)
    {
        var instance = await AnswerAsync<InstanceBody>(await Owner.PostAsJsonAsync("/api/instances", new CreateInstanceRequest { Name = name }, WireJson.Default.CreateInstanceRequest, cancellation), cancellation);
        return await AnswerAsync<PairingCodeBody>(await Owner.PostAsync($"/api/instances/{instance.Id}/pairing-code", null, cancellation), cancellation);
    }

    public async Task<TaskBody> CreateTaskAsync(CreateTaskRequest task, CancellationToken cancellation) =>
        await AnswerAsync<TaskBody>(await Owner.PostAsJsonAsync("/api/tasks", task, WireJson.Default.CreateTaskRequest, cancellation), cancellation);

    public async Task<TaskBody> TaskAsync(string id, CancellationToken cancellation) =>
        await AnswerAsync<TaskBody>(await Owner.GetAsync($"/api/tasks/{id}", cancellation), cancellation);

    /// <summary>Pairs this machine and runs the real agent as a process of its own, until it is online.</summary>
    /// <returns>The workstation's id.</returns>
    public async Task<string> StartAgentAsync(CancellationToken cancellation, int? maxConcurrent = null)
    {
        var code = await RegisterAsync("bench", cancellation);
        var home = Path.Combine(Home, "agent");
        await Run(["agent", "pair", "--server", Url, "--code", code.Code, "--home", home]).WaitForExitAsync(cancellation);
        Run(["agent", "run", "--home", home, .. maxConcurrent is { } most ? (string[])["--max-concurrent", most.ToString(CultureInfo.InvariantCulture)] : []]);
        await WaitAsync(async () => (await AnswerAsync<InstanceBody>(await Owner.GetAsync($"/api/instances/{code.InstanceId}", cancellation), cancellation)).Status != InstanceStatus.Offline,
            "the agent is online", cancellation);
        return code.InstanceId;
    }

    public async Task<bool> AnyTaskAsync(TaskState state, CancellationToken cancellation) =>
        (await AnswerAsync<Page<TaskBody>>(await Owner.GetAsync($"/api/tasks?status={state.ToString().ToLowerInvariant()}&limit=1", cancellation), cancellation)).Items.Count > 0;

    /// <summary>The real command line, signed in to this server.</summary>
    public ProcessStartInfo CommandLine(string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Program, .. arguments]);
        start.Environment["TANVRIT_HOME"] = Path.Combine(Home, "tanvrit");
        start.Environment["TANVRIT_KEYCHAIN"] = "file"; // nothing of whoever measures, and nothing of theirs in the measurement
        start.Environment["TANVRIT_SERVER"] = Url;
        start.Environment["TANVRIT_TOKEN"] = _token;
        return start;
    }

    public void StopServer()
    {
        _processes[0].Kill();
        _processes[0].WaitForExit();
    }

    public static async Task WaitAsync(Func<Task<bool>> reached, string what, CancellationToken cancellation, TimeSpan? patience = null)
    {
        using var limit = new CancellationTokenSource(patience ?? TimeSpan.FromSeconds(60), TimeProvider.System);
        while (true)
        {
            try
            {
                if (await reached()) return;
            }
            catch (HttpRequestException) when (!limit.IsCancellationRequested)
            {
                // Not listening yet.
            }
            if (limit.IsCancellationRequested) throw new TimeoutException($"not in time: {what}");
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellation);
        }
    }

    public async ValueTask DisposeAsync()
    {
        Owner.Dispose();
        // The agent before the server; both end by SIGKILL, for there is nothing to save.
        foreach (var process in Enumerable.Reverse(_processes))
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
            process.Dispose();
        }
        _directory.Delete(recursive: true);
    }

    private Process Run(string[] arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Program, .. arguments]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["TANVRIT_HOME"] = Path.Combine(Home, "tanvrit");
        start.Environment["TANVRIT_KEYCHAIN"] = "file"; // nothing of whoever measures, and nothing of theirs in the measurement
        foreach (var (name, value) in environment) start.Environment[name] = value;
        var process = Process.Start(start)!;
        var log = new StreamWriter(File.Create(Path.Combine(Home, $"{arguments[0]}-{arguments[1]}.log"))) { AutoFlush = true };
        process.OutputDataReceived += (_, line) => Keep(log, line.Data);
        process.ErrorDataReceived += (_, line) => Keep(log, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _processes.Add(process);
        return process;
    }

    private static void Keep(StreamWriter log, string? line)
    {
        lock (log) log.WriteLine(line);
    }

    private static async Task<T> AnswerAsync<T>(HttpResponseMessage answer, CancellationToken cancellation) where T : class
    {
        using (answer)
        {
            if (!answer.IsSuccessStatusCode) throw new InvalidOperationException($"{(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync(cancellation)}");
            return (T)JsonSerializer.Deserialize(await answer.Content.ReadAsByteArrayAsync(cancellation), WireJson.Default.Options.GetTypeInfo(typeof(T)))!;
        }
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
