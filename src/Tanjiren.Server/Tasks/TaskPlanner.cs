using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks;

/// <summary>The doctrine's answer; <see cref="DoctrineGate.DecideAsync"/>, or what a test says in its place.</summary>
internal delegate Task<DoctrineDecision> DoctrineJudge(SqlSession sql, DoctrineQuestion question);

/// <summary>The tags by which the doctrine of now or of a snapshot can tell machines apart, <see cref="DoctrineGate.NamedTagsAsync"/>; null: it may be any.</summary>
internal delegate Task<IReadOnlySet<string>?> DoctrineTags(SqlSession sql, string organizationId, int snapshot);

/// <summary>
/// What a task would run, where, and what the doctrine says to it now. Asked at its creation, at each change and at the answer to its approval; at a claim only the
/// doctrine is asked again, on the claimer's tags.
/// </summary>
internal sealed partial class TaskPlanner(TargetResolver resolver, DoctrineJudge judge, TimeProvider clock, ILogger<TaskPlanner> logger)
{
    /// <summary>Null when an error was added.</summary>
    /// <param name="sql">A connection or transaction.</param>
    /// <param name="organizationId">Whose.</param>
    /// <param name="spec">With every default filled in, and as text: what is stored.</param>
    /// <param name="actor">The role, now, of who made or last changed it; null: no member any more.</param>
    /// <param name="origin">What else brought it into being.</param>
    /// <param name="errors">Takes what the targets lack.</param>
    public async Task<TaskPlan?> PlanAsync(
        SqlSession sql, string organizationId, (CreateTaskRequest Parsed, string Text) spec, Role? actor, TaskOrigin origin, FieldErrors errors)
    {
        var targets = await resolver.ResolveAsync(sql, organizationId, spec.Parsed, errors);
        if (errors.Any) return null;
        var decision = await judge(sql, new DoctrineQuestion(organizationId, spec.Parsed, targets.Tags, actor, origin, clock.GetUtcNow()));
        return new TaskPlan(targets, decision, HigherOf(decision.Class, spec.Parsed.ApprovalClass ?? ApprovalClass.None), HashOf(spec.Text, targets, decision.Version));
    }

    /// <summary>
    /// The same of a task that stands, for what must go on without a plan: null also when it can't be made, because this server can't read the doctrine. A database that
    /// fails is another matter, and so is what is not prepared: the transaction is lost, and tried again.
    /// </summary>
    public async Task<TaskPlan?> TryPlanAsync(SqlSession sql, LockedExecution locked)
    {
        try
        {
            return await PlanAsync(sql, locked.OrganizationId, (locked.ParsedSpec, locked.Spec), locked.ActorRole, locked.Origin, new FieldErrors());
        }
        catch (Exception e) when (e is not OperationCanceledException and not DbException and not NotPreparedException)
        {
            LogUnplanned(logger, locked.TaskId, e);
            return null;
        }
    }

    /// <summary>On one machine's tags. Forbid and freeze by the stricter of the snapshot and the present; the class is the present's, the approved one is on record.</summary>
    public async Task<DoctrineDecision> DecideAtClaimAsync(SqlSession sql, StartSubject task, IReadOnlyCollection<string> tags)
    {
        var question = QuestionOf(task, tags);
        var present = await judge(sql, question);
        if (present.Version == task.DoctrineVersion) return present;
        var snapshot = await judge(sql, question with { AtVersion = task.DoctrineVersion });
        return present with
        {
            Findings = [.. present.Findings, .. snapshot.Findings],
            Forbidden = present.Forbidden || snapshot.Forbidden,
            Unreadable = present.Unreadable || snapshot.Unreadable,
            FrozenUntil = present.FrozenUntil > snapshot.FrozenUntil || snapshot.FrozenUntil is null ? present.FrozenUntil : snapshot.FrozenUntil,
        };
    }

    /// <summary>The same by the present alone.</summary>
    public Task<DoctrineDecision> DecideNowAsync(SqlSession sql, StartSubject task, IReadOnlyCollection<string> tags) => judge(sql, QuestionOf(task, tags));

    private DoctrineQuestion QuestionOf(StartSubject task, IReadOnlyCollection<string> tags) =>
        new(task.OrganizationId, task.Spec, [tags], task.ActorRole, task.Origin, clock.GetUtcNow());

    public static ApprovalClass HigherOf(ApprovalClass a, ApprovalClass b) => a > b ? a : b;

    private static string HashOf(string spec, ResolvedTargets targets, int doctrineVersion) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"tanjiren-action-v1\n{doctrineVersion}\n{targets.ToCanonical()}\n{spec}")));

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not plan task {TaskId}: what waits for a plan is decided without one, to the stricter side")]
    private static partial void LogUnplanned(ILogger logger, string taskId, Exception exception);
}

/// <param name="Targets">The machines.</param>
/// <param name="Decision">The doctrine's.</param>
/// <param name="Class">The higher of the doctrine's and the task's own.</param>
/// <param name="ActionHash">What an approval of it is bound to.</param>
internal sealed record TaskPlan(ResolvedTargets Targets, DoctrineDecision Decision, ApprovalClass Class, string ActionHash)
{
    /// <summary>Until when a freeze that waits holds it back, in Unix milliseconds.</summary>
    public long? FrozenUntil => Decision is { FreezeRefuses: false, FrozenUntil: { } until } ? until.ToUnixTimeMilliseconds() : null;

    /// <summary>
    /// Whether who made the task may give an approval of this class: every rule that wants one says so, and neither the task itself nor what was asked for before asks for
    /// more than these rules do.
    /// </summary>
    public bool OwnAllows(ApprovalClass asked) => Decision.SelfApproval && Decision.Class == Class && Class >= asked;

    /// <summary>Whether a start after one under an approval of this class goes on with it: by the same measure.</summary>
    public bool Inherits(ApprovalClass used) => Decision.Inherit && Decision.Class == Class && Class >= used;

    /// <summary>Why the doctrine does not let it be queued at all; null: it does.</summary>
    public Problem? Refusal() => Decision switch
    {
        { Forbidden: true } => Problem.Of(403, ErrorCode.ForbiddenByDoctrine, $"The doctrine forbids this: {Because()}", "Ask an admin; `doctrine get` has the rules."),
        { FreezeRefuses: true, FrozenUntil: { } until } => Problem.Conflict(ErrorCode.Frozen,
            $"A freeze is in force until {until.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss'Z'}: {Because()}", "Try again when it has ended.", "frozen"),
        _ => null,
    };

    /// <summary>The rules that matched, each with its reason.</summary>
    public string Because() => Decision.Findings.Count == 0 ? "no rule is named" : string.Join("; ", Decision.Findings.Select(f => $"{f.Rule} ({f.Because})"));

    /// <summary>The rules that want the approval; the task's own wish is one of them.</summary>
    public IReadOnlyList<ApprovalFindingBody> Findings(ApprovalClass? asked) =>
    [
        .. Decision.Findings.Select(f => new ApprovalFindingBody { Rule = f.Rule, Effect = f.Effect, Because = f.Because }),
        .. asked is { } own and not ApprovalClass.None
            ? [new ApprovalFindingBody { Rule = "request", Effect = WireNames.Of(own), Because = "The task asks for it itself." }]
            : Array.Empty<ApprovalFindingBody>(),
    ];
}
