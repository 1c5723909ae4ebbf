using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Bench;

/// <summary>No-op steps through our store alone: the services that the routes call, with the server's loops running beside them, without HTTP.</summary>
internal sealed class StoreNoop : IThroughputContender
{
    public const int Workers = 16;

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("tanjiren-bench-");
    private readonly List<Device> _devices = [];
    private WebApplication _app = null!;

    private StoreNoop(string database) => Name = $"Tanjiren store on {database}, {Workers} workers";

    public string Name { get; }

    public string Measures => "each worker creates a task for its workstation, claims it and completes it: three commits a step, each with every check, event and audit row of the product";

    public IServiceProvider Services => _app.Services;

    /// <summary>The owner of the workspace.</summary>
    public Caller Caller { get; private set; } = null!;

    /// <summary>The workstation of each worker.</summary>
    public IReadOnlyList<Device> Workstations => _devices;

    public static async Task<StoreNoop> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var store = new StoreNoop(postgres ? "PostgreSQL" : "SQLite");
        store._app = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], OfferSetup = false, ConfigureLogging = _ => { },
            Database = await ControlPlaneProcess.FreshDatabaseAsync(postgres ? settings.Postgres : null, store._directory.FullName, cancellation),
        });
        var credentials = await LocalWorkspace.EnsureAsync(store._app, cancellation);
        await store._app.StartAsync(cancellation);
        var secret = CredentialSecret.Parse(credentials.Token)!.Value;
        store.Caller = (await store._app.Services.GetRequiredService<CredentialStore>().AuthenticateAsync(secret, CredentialUse.Bearer, null, cancellation))!;
        for (var i = 0; i < Workers; i++) store._devices.Add(await store.AddWorkstationAsync($"bench {i}", cancellation));
        return store;
    }

    public Task<double> RunAsync(int items, CancellationToken cancellation) =>
        SharedWork.PerSecondAsync(items, Workers, worker => RunOneAsync(worker, exitCode: 0, cancellation));

    /// <summary>One task of a worker, from its creation to its completion: three commits.</summary>
    public async Task RunOneAsync(int worker, int exitCode, CancellationToken cancellation)
    {
        var device = _devices[worker];
        var created = await Services.GetRequiredService<TaskService>().CreateAsync(Caller, NoopStep.On(device.InstanceId), null, cancellation);
        // What the long-poll would have told it.
        var step = await Database.ReadAsync(sql => sql.FirstAsync<string>("SELECT id FROM steps WHERE task_id = @task", new { task = created.TaskId }), cancellation);
        var claim = await Services.GetRequiredService<StepClaimer>().ClaimAsync(device, step!, NoopStep.NewClaim(), 0, cancellation);
        var move = await Services.GetRequiredService<StepResolver>().CompleteAsync(device, step!, NoopStep.Result(step!, claim.Response!.LeaseGeneration, exitCode), cancellation);
        if (move.Kind != StepMoveKind.Applied) throw new InvalidOperationException($"step {step}: {move.Kind}");
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(CancellationToken.None);
        await _app.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private Database Database => Services.GetRequiredService<Database>();

    /// <summary>One more workstation, which no worker uses.</summary>
    public async Task<Device> AddWorkstationAsync(string name, CancellationToken cancellation)
    {
        var device = new Device(Ids.New(Ids.Instance, TimeProvider.System), Caller.OrganizationId, name, Ids.New(Ids.Session, TimeProvider.System));
        await Database.WriteAsync(tx => tx.ExecuteAsync("""
            INSERT INTO instances (id, organization_id, name, max_concurrent, last_heartbeat_at, created_at) VALUES (@InstanceId, @OrganizationId, @name, 10, 0, 0);
            INSERT INTO instance_sessions (id, instance_id, machine_id, boot_id, host_name, opened_at, last_seen)
            VALUES (@SessionId, @InstanceId, @name, 'boot', @name, 0, tanjiren_now());
            """, new { device.InstanceId, device.OrganizationId, device.SessionId, name }), cancellation);
        return device;
    }
}
