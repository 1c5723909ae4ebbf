using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>What coding agents ask: the routes, and the people behind them.</summary>
internal sealed partial class FakeControlPlane
{
    private readonly HashSet<string> cutRoutes = [];
    private readonly Dictionary<string, FakePermission> permissions = [];
    private int losses;

    /// <summary>How long a question waits. Null, as of an older server: none is taken.</summary>
    public long? PermissionTimeoutMs { get; set; }

    public IReadOnlyList<FakePermission> Permissions
    {
        get { lock (gate) return [.. permissions.Values]; }
    }

    /// <summary>Requests of these routes lose their connection, those that hang too, until none is named.</summary>
    public void Cut(params string[] routes)
    {
        lock (gate)
        {
            cutRoutes.Clear();
            cutRoutes.UnionWith(routes);
        }
        Changed();
    }

    /// <summary>A person's answer. False: it is not asked any more.</summary>
    public bool Answer(FakePermission permission, PermissionVerdict verdict, string? optionId = null, string because = "answered by ada@example.org")
    {
        lock (gate)
        {
            if (Standing(permission).State != PermissionState.Pending) return false;
            (permission.State, permission.Verdict, permission.OptionId, permission.Because) = (PermissionState.Answered, verdict, optionId, because);
        }
        Changed();
        return true;
    }

    /// <summary>How many requests have lost their connection.</summary>
    public int Losses => losses;

    private void CutOff(HttpContext context)
    {
        Interlocked.Increment(ref losses);
        context.Abort();
    }

    private bool IsCut(string route)
    {
        lock (gate) return Down || cutRoutes.Contains(route);
    }

    private Task AskPermissionAsync(HttpContext context, FakeStep step, AskPermissionRequest request)
    {
        if (!step.Held || step.Generation != request.LeaseGeneration) return ProblemAsync(context, 409, ErrorCode.LeaseLost);
        if (!permissions.TryGetValue(request.PermissionId!, out var known))
            permissions[request.PermissionId!] = known = new FakePermission { Request = request, AskedAt = TimeProvider.System.GetTimestamp() };
        JsonSerializer.Serialize(request, WireJson.Default.AskPermissionRequest).ShouldBe(JsonSerializer.Serialize(known.Request, WireJson.Default.AskPermissionRequest), "a repetition says the same");
        return AnswerAsync(context, 200, Standing(known), WireJson.Default.PermissionStanding);
    }

    private async Task AwaitPermissionAsync(HttpContext context, string permissionId)
    {
        while (true)
        {
            Task next;
            PermissionStanding standing;
            lock (gate)
            {
                next = changed.Task;
                if (!permissions.TryGetValue(permissionId, out var permission)) throw new InvalidOperationException($"{permissionId} was not asked.");
                standing = Standing(permission);
            }
            if (IsCut("permission"))
            {
                CutOff(context);
                return;
            }
            if (standing.State != PermissionState.Pending)
            {
                await AnswerAsync(context, 200, standing, WireJson.Default.PermissionStanding);
                return;
            }
            using var expiry = new CancellationTokenSource(TimeSpan.FromMilliseconds(standing.RemainingMs!.Value + 1), TimeProvider.System);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(expiry.Token, context.RequestAborted);
            await next.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (context.RequestAborted.IsCancellationRequested) return;
        }
    }

    private Task SettlePermissionAsync(HttpContext context, string permissionId, byte[] body)
    {
        lock (gate)
        {
            if (!permissions.TryGetValue(permissionId, out var permission)) return ProblemAsync(context, 404, ErrorCode.NotFound);
            permission.Told ??= JsonSerializer.Deserialize(body, WireJson.Default.SettlePermissionRequest)!.Told;
            if (Standing(permission).State == PermissionState.Pending) permission.State = PermissionState.Withdrawn;
            return AnswerAsync(context, 200, Standing(permission), WireJson.Default.PermissionStanding);
        }
    }

    private PermissionStanding Standing(FakePermission permission)
    {
        var left = PermissionTimeoutMs!.Value - (long)TimeProvider.System.GetElapsedTime(permission.AskedAt).TotalMilliseconds;
        if (permission.State == PermissionState.Pending && left <= 0)
            (permission.State, permission.Verdict, permission.Because) = (PermissionState.Expired, PermissionVerdict.Deny, "nobody answered in time, says the server");
        return new PermissionStanding
        {
            Id = permission.Request.PermissionId!, State = permission.State, Verdict = permission.Verdict, OptionId = permission.OptionId, Because = permission.Because,
            RemainingMs = permission.State == PermissionState.Pending ? left : null,
        };
    }
}

/// <summary>A question as the fake server keeps it.</summary>
internal sealed class FakePermission
{
    public required AskPermissionRequest Request { get; init; }
    public required long AskedAt { get; init; }
    public PermissionState State { get; set; }
    public PermissionVerdict? Verdict { get; set; }
    public string? OptionId { get; set; }
    public string? Because { get; set; }
    public PermissionTold? Told { get; set; }
}
