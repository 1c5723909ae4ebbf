using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Governance;

/// <summary>The one door to the doctrine: what it says of a task. This stand-in knows no doctrine; every task is free.</summary>
internal sealed class DoctrineGate
{
    public Task<DoctrineDecision> DecideAsync(SqlSession sql, DoctrineQuestion question) =>
        Task.FromResult(new DoctrineDecision(ApprovalClass.None, [], Forbidden: false, FrozenUntil: null, FreezeRefuses: false, Version: 0));
}

/// <summary>
/// A task that exists or shall exist. <paramref name="TargetTags"/>: the admin-set tags of each machine that could run it; at the claim only those of the claimer.
/// <paramref name="AtVersion"/>: decide by that version, the snapshot, instead of the newest.
/// </summary>
internal sealed record DoctrineQuestion(
    string OrganizationId, CreateTaskRequest Spec, IReadOnlyCollection<IReadOnlyCollection<string>> TargetTags, Role ActorRole, TaskOrigin Origin, DateTimeOffset Now,
    int? AtVersion = null);

internal sealed record DoctrineDecision(
    ApprovalClass Class, IReadOnlyList<DoctrineFinding> Findings, bool Forbidden, DateTimeOffset? FrozenUntil, bool FreezeRefuses, int Version);

internal sealed record DoctrineFinding(string Rule, string Effect, string Because);
