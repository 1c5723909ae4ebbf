using System.Text.Json;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Approvals;

/// <summary>
/// Follows the inbox over as many connections as it takes, without an end: a lost connection is waited for. Each begins with all that wait, so nothing that still does
/// is missed; what was told over an earlier one is remembered, so nothing is told twice.
/// </summary>
internal sealed class InboxFollower(ApprovalApi approvals, Uri server, ClientTimeouts timeouts, TimeProvider clock)
{
    /// <summary>Told, and waiting still as far as is known.</summary>
    private readonly HashSet<string> told = [];
    private readonly Backoff backoff = new(timeouts, clock);
    private long? lostSince;
    private bool said;

    /// <summary>Takes each approval that waits, once.</summary>
    public required Action<ApprovalBody> OnAsked { get; init; }
    /// <summary>Takes each question of a coding agent that waits, once.</summary>
    public required Action<PermissionBody> OnPermission { get; init; }
    /// <summary>Takes a line for the person about the connection.</summary>
    public required Action<string> Say { get; init; }

    /// <summary>Ended only by <paramref name="leave"/>, or an exception.</summary>
    /// <exception cref="ApiException">The server refuses to show the inbox, now or any more.</exception>
    /// <exception cref="CliException">The server is too old for it, or too new.</exception>
    public async Task FollowAsync(CancellationToken leave)
    {
        while (true)
        {
            var (why, wait) = await FollowOnceAsync(leave);
            lostSince ??= clock.GetTimestamp();
            if (!said && clock.GetElapsedTime(lostSince.Value) > timeouts.TellAfter)
            {
                said = true;
                Say($"lost the connection to {ServerAccessRules.Text(server)} ({Text.Safe(why)}); trying again …");
            }
            await backoff.PauseAsync(leave, wait);
        }
    }

    /// <summary>One connection; why it ended, and how long the server wants to be left alone.</summary>
    private async Task<(string Why, TimeSpan? Wait)> FollowOnceAsync(CancellationToken leave)
    {
        var waiting = new HashSet<string>();
        await using var events = approvals.EventsAsync(leave).GetAsyncEnumerator(leave);
        while (true)
        {
            try
            {
                if (!await events.MoveNextAsync()) return ("the server ended it", null);
            }
            catch (ApiException e) when (e.Problem.Status == 404)
            {
                throw new CliException("this server does not tell of approvals as they come (it has no GET /api/approvals/events): it is older than this command line",
                    "update the server; `approvals list` shows what waits now", e);
            }
            catch (JsonException e)
            {
                throw new CliException("the server sent an event that this version can't read", "is tanvrit-compute older than the server? update it", e);
            }
            catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true } or IOException or HttpRequestException)
            {
                return (e.Message, (e as ApiException)?.RetryAfter);
            }
            Handle(events.Current, waiting); // not under the catch: that the output can't be written is no lost connection
        }
    }

    /// <param name="item">What came.</param>
    /// <param name="waiting">Those that this connection told of.</param>
    private void Handle(ApprovalEvent item, HashSet<string> waiting)
    {
        switch (item)
        {
            case { Name: ApprovalEvents.Pending or ApprovalEvents.Requested, Approval: { } asked }:
                waiting.Add(asked.Id);
                if (told.Add(asked.Id)) OnAsked(asked);
                break;
            case { Name: ApprovalEvents.Pending or PermissionEvents.Asked, Permission: { } permission }:
                waiting.Add(permission.Id);
                if (told.Add(permission.Id)) OnPermission(permission);
                break;
            case { Name: ApprovalEvents.Current }:
                told.IntersectWith(waiting);
                if (said) Say("connected again");
                (lostSince, said) = (null, false);
                backoff.Reset();
                break;
            case { Name: ApprovalEvents.Approved or ApprovalEvents.Rejected or ApprovalEvents.Expired or ApprovalEvents.Withdrawn, Approval: { } ended }:
                Forget(ended.Id, waiting);
                break;
            case { Name: PermissionEvents.Answered or PermissionEvents.Expired or PermissionEvents.Withdrawn, Permission: { } ended }:
                Forget(ended.Id, waiting);
                break;
        }
    }

    private void Forget(string id, HashSet<string> waiting)
    {
        waiting.Remove(id);
        told.Remove(id);
    }
}
