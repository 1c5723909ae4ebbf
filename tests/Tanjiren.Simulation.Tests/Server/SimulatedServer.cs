using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Agent.Connection;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Tasks.Retries;

namespace Tanjiren.Simulation.Tests.Server;

/// <summary>
/// The control plane of a seed: the real services over the real file. A crash forgets everything but the file, and what was under way is never gone on with. Its loops
/// are driven pass by pass; passes of those that any number of servers may run at once overlap, as several servers' do.
/// </summary>
internal sealed class SimulatedServer(World world, string file) : Host(world), IDisposable
{
    private Life _life = new();
    private ServiceProvider? _services;
    private SqliteProvider? _provider;

    public ServerClock Clock { get; } = new(world);

    public bool Up => _services is not null;

    /// <summary>How often it was started: whoever waits for an answer of an earlier process waits in vain.</summary>
    public int Starts { get; private set; }

    /// <summary>Called after each commit, before whoever committed goes on.</summary>
    public Action Committed { get; set; } = () => { };

    /// <summary>A hint that a workstation may have work, by its id: lost when nobody listens.</summary>
    public Action<string> Hint { get; set; } = _ => { };

    public void Start()
    {
        Starts++;
        _life = new Life();
        _provider = new SqliteProvider(file, Clock);
        _services = ServerParts.Build(new Database(new SteppedProvider(_provider, World, this, _life, () => Committed())), Clock, World);
        // Hints only, and from threads of its own: in the simulation those who wait for any step's work find it by their polls.
        _services.GetRequiredService<AnyDispatcher>().StopAsync(CancellationToken.None).GetAwaiter().GetResult();
        _services.GetRequiredService<WakeUps>().AttachBroadcast(key => Hint(key));
        Reconcile();
        Drive<ApprovalLoop>(3000, 9000, loop => loop.RunOnceAsync(CancellationToken.None));
        Drive<RetryLoop>(1000, 9000, loop => loop.RunOnceAsync(CancellationToken.None));
        Drive<ScheduleLoop>(1000, 9000, loop => loop.RunOnceAsync(CancellationToken.None));
    }

    /// <summary>What is not on the disk is gone.</summary>
    public void Crash()
    {
        Count();
        _life.End();
        _services!.Dispose();
        _provider!.DisposeAsync().AsTask().GetAwaiter().GetResult();
        (_services, _provider) = (null, null);
    }

    public override void Sleep()
    {
        base.Sleep();
        Clock.Sleep();
    }

    public override void Wake()
    {
        Clock.Wake();
        base.Wake();
    }

    /// <summary>A request that has arrived. Nobody answers while there is no server; while it sleeps, nobody answers yet.</summary>
    public void Take<T>(string what, Func<ServerRequests, Task<Reply<T>>> handle, Action<Reply<T>> answer) where T : class
    {
        if (!Up) answer(new Reply<T>(ReplyKind.Unavailable, null, null, null));
        else Do(what, services => handle(new ServerRequests(services)), answer);
    }

    /// <summary>Something that a person or a pass of a loop does; nothing comes of it when the server is down, or goes down before it is through.</summary>
    public void Do<T>(string what, Func<IServiceProvider, Task<T>> work, Action<T> done)
    {
        var life = _life;
        After(life, 0, () => _ = RunAsync());

        async Task RunAsync()
        {
            try
            {
                World.Happened();
                var result = await work(_services!);
                if (!life.Over) done(result);
            }
            catch (Exception e)
            {
                World.Fail($"{what} ended with {e}");
            }
        }
    }

    /// <summary>The lease clock of the process that runs now.</summary>
    public long LeaseNow()
    {
        using var connection = _provider!.OpenReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT tanjiren_now()";
        return (long)command.ExecuteScalar()!;
    }

    public void Dispose()
    {
        if (Up) Crash();
    }

    /// <summary>Takes what this process counted into the ledger.</summary>
    public void Count()
    {
        if (_services is null) return;
        Add("reconciler", _services.GetRequiredService<LeaseReconciler>().Record);
        Add("approvals", _services.GetRequiredService<ApprovalLoop>().Record);
        Add("retry", _services.GetRequiredService<RetryLoop>().Record);
        Add("tick", _services.GetRequiredService<ScheduleLoop>().Record);

        void Add(string of, LoopRecord record)
        {
            foreach (var (name, count) in record.Status().Counters) World.Ledger.Add($"{of}: {name}", count);
        }
    }

    /// <summary>One pass at a time: its gate judges the time between two.</summary>
    private void Reconcile() => After(_life, World.Between(1500, 4300), () =>
        Do("a pass of the reconciler", async services =>
        {
            await services.GetRequiredService<LeaseReconciler>().RunOnceAsync(CancellationToken.None);
            return true;
        }, _ => Reconcile()));

    /// <summary>Loops that sleep until something is due wake at the same moment on every server: often there are two passes at once.</summary>
    private void Drive<TLoop>(long least, long most, Func<TLoop, Task> pass) where TLoop : notnull => After(_life, World.Between(least, most), () =>
    {
        Pass();
        if (World.Chance(0.4)) After(_life, World.Between(0, 10), Pass);
        Drive(least, most, pass);

        void Pass() => Do($"a pass of {typeof(TLoop).Name}", async services =>
        {
            await pass(services.GetRequiredService<TLoop>());
            return true;
        }, _ => { });
    });
}
