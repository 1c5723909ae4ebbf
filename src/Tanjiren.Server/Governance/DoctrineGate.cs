using System.Collections.Concurrent;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Governance;

/// <summary>
/// A task that exists or shall exist. <paramref name="TargetTags"/>: the admin-set tags of each machine that could run it; at the claim only those of the claimer.
/// <paramref name="AtVersion"/>: decide by that version, the snapshot, instead of the newest.
/// </summary>
internal sealed record DoctrineQuestion(
    string OrganizationId, CreateTaskRequest Spec, IReadOnlyCollection<IReadOnlyCollection<string>> TargetTags, Role ActorRole, TaskOrigin Origin, DateTimeOffset Now,
    int? AtVersion = null);

/// <summary>
/// What the doctrine says. <paramref name="FrozenUntil"/>: the end of the last window that is open and matches; look again then. <paramref name="FreezeRefuses"/>: one of
/// these windows refuses rather than lets wait.
/// </summary>
internal sealed record DoctrineDecision(
    ApprovalClass Class, IReadOnlyList<DoctrineFinding> Findings, bool Forbidden, DateTimeOffset? FrozenUntil, bool FreezeRefuses, int Version)
{
    /// <summary>Every rule that asks for the approval lets the task's creator give it.</summary>
    public bool SelfApproval { get; init; }

    /// <summary>Every rule that asks for the approval lets retries and requeues go on with it.</summary>
    public bool Inherit { get; init; }
}

/// <summary><paramref name="Effect"/>: <c>forbid</c>, <c>sensitive_write</c>, <c>production_mutation</c>, <c>wait</c> or <c>refuse</c>.</summary>
internal sealed record DoctrineFinding(string Rule, string Effect, string Because);

/// <summary>
/// The one door to the doctrine for other features. Compiled versions are kept: a row is never changed, and nobody asks within the transaction that writes it, so
/// what was read once stays true on every server process.
/// </summary>
internal sealed class DoctrineGate(DoctrineStore store)
{
    /// <summary>A compiled document takes from some KB to some MB. Beyond so many all are forgotten, and those in use compiled once more.</summary>
    private const int MaxCompiled = 200;

    private readonly ConcurrentDictionary<(string OrganizationId, int Version), Lazy<Doctrine>> _compiled = new();

    public async Task<DoctrineDecision> DecideAsync(SqlSession sql, DoctrineQuestion question)
    {
        var (version, doctrine) = await AtAsync(sql, question.OrganizationId, question.AtVersion);
        return DoctrineEvaluator.Evaluate(doctrine, version, new DoctrineCase
        {
            Mode = question.Spec.Mode ?? TaskMode.Command,
            Text = DoctrineCase.TextOf(question.Spec.Command),
            Tags = DoctrineCase.Union(question.TargetTags),
            ActorRole = question.ActorRole,
            Origins = OriginsOf(question.Origin),
            Now = question.Now,
        });
    }

    /// <summary>The newest version, or the one that is named. An organization that was never given a doctrine is without rules, as version 0.</summary>
    /// <exception cref="InvalidOperationException">There is no such version, or this server can't read it. Nothing may start on a guess.</exception>
    public async Task<(int Version, Doctrine Doctrine)> AtAsync(SqlSession sql, string organizationId, int? atVersion)
    {
        var version = atVersion ?? await store.NewestVersionAsync(sql, organizationId);
        if (version == 0) return (0, Doctrine.Empty);
        if (!_compiled.TryGetValue((organizationId, version), out var compiled))
        {
            var row = await store.FindAsync(sql, organizationId, version) ?? throw new InvalidOperationException($"Organization {organizationId} has no doctrine of version {version}.");
            compiled = Keep((organizationId, version), new Lazy<Doctrine>(() => Compile(row)));
        }
        return (version, compiled.Value);
    }

    /// <summary>A version that this process has just written and compiled: the next decision, which others wait for, need not compile it once more.</summary>
    public void Keep(string organizationId, int version, Doctrine doctrine) => Keep((organizationId, version), new Lazy<Doctrine>(doctrine));

    /// <summary>The first of these tags that a rule names, and the rule; null: none is guarded.</summary>
    public async Task<(string Tag, string Rule)?> FindGuardedAsync(SqlSession sql, string organizationId, IEnumerable<string> tags)
    {
        var (_, doctrine) = await AtAsync(sql, organizationId, null);
        foreach (var tag in tags)
            if (doctrine.RuleNaming(tag) is { } rule) return (tag, rule);
        return null;
    }

    internal static IReadOnlyList<DoctrineOrigin> OriginsOf(TaskOrigin origin) => (origin.ScheduleId, origin.RunbookId) switch
    {
        (null, null) => [DoctrineOrigin.Request],
        (_, null) => [DoctrineOrigin.Schedule],
        (null, _) => [DoctrineOrigin.Runbook],
        _ => [DoctrineOrigin.Schedule, DoctrineOrigin.Runbook],
    };

    private Lazy<Doctrine> Keep((string OrganizationId, int Version) key, Lazy<Doctrine> doctrine)
    {
        if (_compiled.Count >= MaxCompiled) _compiled.Clear();
        return _compiled.GetOrAdd(key, doctrine);
    }

    private static Doctrine Compile(DoctrineRow row)
    {
        var reading = DoctrineReader.Read(row.Document);
        return reading.Faults.Count == 0 ? reading.Doctrine
            : throw new InvalidOperationException($"This server can't read version {row.Version} of the doctrine of {row.OrganizationId}: {reading.Faults[0]}. Write a new version, or run the server that took it.");
    }
}
