using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Workstations.Sessions;

/// <summary>Records heartbeats, renews leases, and answers with work; hangs, when asked to, until there is some.</summary>
internal sealed class HeartbeatService(
    Database database, TimeProvider clock, LeaseOptions options, LeaseBook leases, WorkQuery work, WakeUps wakeUps, Counters counters)
{
    /// <summary>Null when the session has ended.</summary>
    public async Task<HeartbeatResponse?> BeatAsync(Device device, HeartbeatRequest request, CancellationToken cancellationToken)
    {
        using var subscription = wakeUps.Subscribe(WakeUps.Work(device.InstanceId));
        var answers = await database.WriteAsync(async tx =>
        {
            var alive = await tx.ExecuteAsync("""
                UPDATE instances SET last_heartbeat_at = @now, agent_draining = @draining, agent_version = @agentVersion, max_concurrent = @maxConcurrent,
                  labels = @labels, coding_agents = @codingAgents
                WHERE id = @id AND EXISTS (SELECT 1 FROM instance_sessions s WHERE s.id = @sessionId AND s.instance_id = @id AND s.ended_at IS NULL)
                """,
                new
                {
                    id = device.InstanceId, sessionId = device.SessionId, now = clock.GetUtcNow().ToUnixTimeMilliseconds(), draining = request.Draining ? 1 : 0, agentVersion = request.AgentVersion,
                    maxConcurrent = request.MaxConcurrent, labels = JsonSerializer.Serialize(request.Labels ?? new Dictionary<string, string>()),
                    codingAgents = JsonSerializer.Serialize((request.CodingAgents ?? []).Distinct().Order(StringComparer.Ordinal)),
                });
            // A beat of an ended session, late or a zombie's, must not speak for the machine: not its labels, not its drain, not that it is there.
            return alive == 1 && await SessionStore.TouchAsync(tx, device)
                ? await leases.RenewAsync(tx, device.InstanceId, device.SessionId, request.Leases ?? [], options.MaxTickAgeMs)
                : null;
        }, cancellationToken);
        if (answers is null) return null;
        counters.Add(Counted.Heartbeats);

        var until = clock.GetTimestamp();
        IReadOnlyList<PendingStep> pending;
        while (true)
        {
            (var standing, pending) = await database.ReadAsync<(SessionStanding, IReadOnlyList<PendingStep>)>(async sql => (
                // One that hangs is its agent's only request: what ends a poll ends it too, and the next beat is told why.
                request.WaitSeconds > 0 ? await SessionStore.StandingAsync(sql, device) : SessionStanding.Open,
                await work.PendingAsync(sql, device.OrganizationId, device.InstanceId)), cancellationToken);
            if (standing != SessionStanding.Open) break;
            var left = TimeSpan.FromSeconds(request.WaitSeconds) - clock.GetElapsedTime(until);
            if (pending.Count > 0 || left <= TimeSpan.Zero || wakeUps.IsClosed) break;
            await subscription.WaitAsync(left, clock, cancellationToken);
        }
        return new HeartbeatResponse
        {
            ServerTime = clock.GetUtcNow(), NextHeartbeatSeconds = options.HeartbeatSeconds, PendingTasks = pending, Leases = answers,
        };
    }

    /// <summary>No response when the session is not open, or its workstation is signed out meanwhile.</summary>
    public async Task<(SessionStanding Standing, WorkResponse? Response)> WorkAsync(
        Device device, int waitSeconds, int capacity, IReadOnlySet<string> cancelsSeen, CancellationToken cancellationToken)
    {
        using var subscription = wakeUps.Subscribe(WakeUps.Work(device.InstanceId));
        var start = clock.GetTimestamp();
        while (true)
        {
            var (standing, response) = await database.ReadAsync<(SessionStanding, WorkResponse?)>(async sql =>
            {
                var standing = await SessionStore.StandingAsync(sql, device);
                if (standing != SessionStanding.Open) return (standing, null);
                var cancels = await work.CancelsAsync(sql, device.InstanceId, device.SessionId);
                return (standing, new WorkResponse
                {
                    Assignments = capacity == 0 ? [] : await work.PendingAsync(sql, device.OrganizationId, device.InstanceId),
                    Cancels = [.. cancels.Where(c => !cancelsSeen.Contains(c.StepId))],
                });
            }, cancellationToken);
            if (response is null || response.Assignments.Count > 0 || response.Cancels.Count > 0) return (standing, response);
            var left = TimeSpan.FromSeconds(waitSeconds) - clock.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || wakeUps.IsClosed) return (standing, response);
            await subscription.WaitAsync(left, clock, cancellationToken);
        }
    }
}
