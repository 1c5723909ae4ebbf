using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;

namespace Tanjiren.Agent.Tests;

/// <summary>What hangs, and the moments around it.</summary>
internal sealed partial class FakeControlPlane
{
    private readonly ConcurrentDictionary<string, int> hanging = new();

    /// <summary>Requests of a route that hang now.</summary>
    public int Hanging(string route) => hanging.GetValueOrDefault(route);

    /// <summary>Told of the very moments between which work may come: <c>heartbeat hangs</c>, before it looks; <c>work broken off</c>, when a poll's client has gone.</summary>
    public Action<string> Moment { get; set; } = _ => { };

    /// <summary>False: a hanging heartbeat is answered at once, as by a server that stops.</summary>
    public bool LetsHang { get; set; } = true;

    private async Task WorkAsync(HttpContext context)
    {
        var capacity = int.Parse(context.Request.Query["capacity"]!);
        var seen = context.Request.Query["cancelsSeen"].ToString().Split(',');
        hanging.AddOrUpdate("work", 1, (_, n) => n + 1);
        try
        {
            await WorkAsync(context, capacity, seen);
        }
        finally
        {
            hanging.AddOrUpdate("work", 0, (_, n) => n - 1);
            if (context.RequestAborted.IsCancellationRequested) Moment("work broken off");
        }
    }

    /// <summary>Until the time is up, the client has gone, or it is as asked for.</summary>
    private async Task HangAsync(string route, TimeSpan longest, Func<bool> reached, CancellationToken gone)
    {
        hanging.AddOrUpdate(route, 1, (_, n) => n + 1);
        using var time = new CancellationTokenSource(longest, TimeProvider.System);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(gone, time.Token);
        try
        {
            while (!either.IsCancellationRequested)
            {
                Task next;
                lock (gate)
                {
                    if (reached()) return;
                    next = changed.Task;
                }
                await next.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            hanging.AddOrUpdate(route, 0, (_, n) => n - 1);
        }
    }
}
