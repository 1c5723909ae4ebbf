using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Workstations.Sessions;

/// <summary>
/// Sessions: one run of an agent. At most one is open for a workstation, and while it lives only its own successor on the same boot may take over: a cloned
/// disk cannot act as the original. Leases follow a take-over.
/// </summary>
internal sealed class SessionStore(Database database, TimeProvider clock, LeaseOptions options, LeaseBook leases)
{
    /// <summary>A session that has not been heard of for this long, and holds no lease, is dead.</summary>
    public static readonly TimeSpan LiveFor = TimeSpan.FromMinutes(2);

    public Task<OpenSessionResult> OpenAsync(Device device, OpenSessionRequest request, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        // Two agents opening at once: the workstation's row lets one go first, and the other then sees its session.
        var exists = await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @id AND removed_at IS NULL" + tx.ForUpdate, new { id = device.InstanceId });
        if (exists is null) return OpenSessionResult.Removed;

        var open = await tx.FirstAsync<OpenRow>("""
            SELECT id, machine_id, boot_id, host_name, tanjiren_now() - last_seen AS silent_ms,
              EXISTS (SELECT 1 FROM steps WHERE lease_holder = s.instance_id AND state = 'running') AS holds_leases
            FROM instance_sessions s WHERE instance_id = @id AND ended_at IS NULL
            """, new { id = device.InstanceId });
        if (open?.Id != request.SessionId)
        {
            if (await tx.FirstAsync<string>("SELECT id FROM instance_sessions WHERE id = @id", new { id = request.SessionId }) is not null)
                return OpenSessionResult.Ended;
            if (open is not null && IsLive(open) && !IsSuccessor(open, request)) return OpenSessionResult.InUse(open.HostName);
            await ReplaceAsync(tx, device, request, open);
        }
        var answers = await leases.ReportedAsync(tx, device.InstanceId, request.SessionId!, request.Steps ?? []);
        return OpenSessionResult.Opened(answers);
    }, cancellationToken);

    /// <summary>Notes a sign of life. False when the session is not the workstation's open one.</summary>
    public static async Task<bool> TouchAsync(WriteTransaction tx, Device device) => await tx.ExecuteAsync(
        "UPDATE instance_sessions SET last_seen = tanjiren_now() WHERE id = @sessionId AND instance_id = @instanceId AND ended_at IS NULL",
        new { sessionId = device.SessionId, instanceId = device.InstanceId }) == 1;

    /// <summary>How the session and the sign-in behind its workstation stand now.</summary>
    public static async Task<SessionStanding> StandingAsync(SqlSession sql, Device device) =>
        StandingOf(await sql.FirstAsync<string>("SELECT " + StandingSql, new { sessionId = device.SessionId, instanceId = device.InstanceId }));

    /// <summary>An expression over <c>@sessionId</c> and <c>@instanceId</c>, for <see cref="StandingOf"/>.</summary>
    public const string StandingSql = """
        CASE
          WHEN NOT EXISTS (SELECT 1 FROM instance_sessions WHERE id = @sessionId AND instance_id = @instanceId AND ended_at IS NULL) THEN 'ended'
          WHEN EXISTS (SELECT 1 FROM instances i JOIN oauth_grants g ON g.id = i.grant_id WHERE i.id = @instanceId AND g.revoked_at IS NOT NULL) THEN 'signed_out'
          ELSE 'open' END
        """;

    public static SessionStanding StandingOf(string? word) => word switch
    {
        "open" => SessionStanding.Open,
        "signed_out" => SessionStanding.SignedOut,
        _ => SessionStanding.Ended,
    };

    private async Task ReplaceAsync(WriteTransaction tx, Device device, OpenSessionRequest request, OpenRow? open)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        if (open is not null) await tx.ExecuteAsync("UPDATE instance_sessions SET ended_at = @now WHERE id = @id AND ended_at IS NULL", new { now, id = open.Id });
        await tx.ExecuteAsync("""
            INSERT INTO instance_sessions (id, instance_id, machine_id, boot_id, host_name, agent_version, opened_at, last_seen)
            VALUES (@sessionId, @instanceId, @machineId, @bootId, @hostName, @agentVersion, @now, tanjiren_now())
            """, new { sessionId = request.SessionId, instanceId = device.InstanceId, machineId = request.MachineId, bootId = request.BootId, hostName = request.HostName ?? "", agentVersion = request.AgentVersion, now });
        await leases.CarryAsync(tx, device.InstanceId, request.SessionId!);
    }

    /// <summary>Also while it holds leases: its processes may run until those are released, whether it is heard of or not.</summary>
    private bool IsLive(OpenRow open) =>
        open.HoldsLeases || open.SilentMs <= Math.Max(LiveFor.TotalMilliseconds, options.TtlMs + options.GraceSeconds * 1000L);

    private static bool IsSuccessor(OpenRow open, OpenSessionRequest request) =>
        open.MachineId == request.MachineId && open.BootId == request.BootId && (request.PreviousSessionIds?.Contains(open.Id) ?? false);

    private sealed record OpenRow
    {
        public string Id { get; init; } = "";
        public string MachineId { get; init; } = "";
        public string BootId { get; init; } = "";
        public string HostName { get; init; } = "";
        public long SilentMs { get; init; }
        public bool HoldsLeases { get; init; }
    }
}

internal enum SessionStanding
{
    Open,
    Ended,
    /// <summary>Open, but its workstation takes nothing more: the sign-in that it was registered with has ended.</summary>
    SignedOut,
}

internal enum OpenSessionKind
{
    Opened,
    /// <summary>Another machine, or a copy of this one, acts as the workstation.</summary>
    InUse,
    /// <summary>This very session was opened before and has ended since.</summary>
    Ended,
    Removed,
}

internal sealed record OpenSessionResult(OpenSessionKind Kind, IReadOnlyList<LeaseAnswer> Leases, string? OtherHost)
{
    public static readonly OpenSessionResult Ended = new(OpenSessionKind.Ended, [], null);
    public static readonly OpenSessionResult Removed = new(OpenSessionKind.Removed, [], null);

    public static OpenSessionResult Opened(IReadOnlyList<LeaseAnswer> leases) => new(OpenSessionKind.Opened, leases, null);
    public static OpenSessionResult InUse(string host) => new(OpenSessionKind.InUse, [], host);
}
