using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Governance;

/// <summary>
/// A task that exists or shall exist. <paramref name="TargetTags"/>: the admin-set tags of each machine that could run it; at the claim only those of the claimer.
/// <paramref name="AtVersion"/>: decide by that version, the snapshot, instead of the newest.
/// <paramref name="ActorRole"/>: null when they are no member any more.
/// </summary>
internal sealed record DoctrineQuestion(
    string OrganizationId, CreateTaskRequest Spec, IReadOnlyCollection<IReadOnlyCollection<string>> TargetTags, Role? ActorRole, TaskOrigin Origin, DateTimeOffset Now,
    int? AtVersion = null);

/// <summary>
/// What the doctrine says. <paramref name="FrozenUntil"/>: the end of the last window that is open and matches; look again then. <paramref name="FreezeRefuses"/>: one of
/// these windows refuses rather than lets wait.
/// </summary>
internal sealed record DoctrineDecision(
    ApprovalClass Class, IReadOnlyList<DoctrineFinding> Findings, bool Forbidden, DateTimeOffset? FrozenUntil, bool FreezeRefuses, int Version)
{
    /// <summary>It is none: this server can't read the doctrine, and another one may. What can wait does.</summary>
    public bool Unreadable { get; init; }

    /// <summary>Every rule that asks for the approval lets the task's creator give it.</summary>
    public bool SelfApproval { get; init; }

    /// <summary>Every rule that asks for the approval lets retries and requeues go on with it.</summary>
    public bool Inherit { get; init; }
}

/// <summary><paramref name="Effect"/>: <c>forbid</c>, <c>sensitive_write</c>, <c>production_mutation</c>, <c>wait</c> or <c>refuse</c>.</summary>
internal sealed record DoctrineFinding(string Rule, string Effect, string Because);

/// <summary>This server can't read a version: a zone is missing, or another release took it. Nothing may start on a guess.</summary>
internal sealed class UnreadableDoctrineException(string organizationId, int version, DoctrineFault fault)
    : Exception($"This server can't read version {version} of the doctrine of {organizationId}: {fault}. Write a new version, or run the server that took it.")
{
    public int Version => version;

    public DoctrineFault Fault => fault;
}

/// <summary>
/// The one door to the doctrine for other features. Compiled documents are kept: a committed row is never changed, so
/// what was read once stays true on every server process. Equal documents are one: most organizations have the one that they began with.
/// </summary>
internal sealed partial class DoctrineGate(DoctrineStore store, ILogger<DoctrineGate> logger)
{
    /// <summary>The rule of the finding that says that the doctrine can't be read.</summary>
    internal const string Itself = "doctrine";

    /// <summary>A compiled document takes from some KB to some MB.</summary>
    internal const int MaxCompiled = 200;

    /// <summary>Which version is which document takes some 200 bytes, and saves reading 64 KiB from the database.</summary>
    private const int MaxVersions = 20_000;

    /// <summary>Texts that were read outside of the transactions that need them; at most 128 KB each.</summary>
    private const int MaxReadings = 64;

    /// <summary>Characters times patterns that a transaction may read in its own time: some hundreds of microseconds, a command line before the largest doctrine.</summary>
    private const int MaxReadInside = 128 * 1024;

    /// <summary>And not longer than this, in characters: what is shorter is read before an expression looks at the clock, however slow it is.</summary>
    private const int MaxTextInside = 1000;

    /// <summary>How long such a reading counts. One that ran out of its budget, because the machine was busy, counts for the transaction that it was made for alone.</summary>
    private static readonly TimeSpan KeepReading = TimeSpan.FromMinutes(1);

    /// <summary>How long a task is held back by a version that can't be read before it is asked again; each asking reads the document once more.</summary>
    private static readonly TimeSpan HoldUnreadable = TimeSpan.FromMinutes(1);

    private readonly RecentlyUsed<(string OrganizationId, int Version), string> _hashes = new(MaxVersions);
    private readonly RecentlyUsed<string, Doctrine> _compiled = new(MaxCompiled);
    private readonly RecentlyUsed<(PatternSet Patterns, string Text), (PatternSet.Reading Reading, DateTimeOffset At)> _readings = new(MaxReadings);

    /// <summary>For how long a transaction may read all the same, should the patterns be slow ones, and for how long it is read outside; others than these in tests only.</summary>
    internal (TimeSpan Inside, TimeSpan Outside) Budgets { get; set; } = (TimeSpan.FromMilliseconds(20), PatternSet.Budget);

    /// <summary>A version that can't be read lets nothing start: it is told as a freeze that refuses, which is asked again after <see cref="HoldUnreadable"/>.</summary>
    public async Task<DoctrineDecision> DecideAsync(SqlSession sql, DoctrineQuestion question)
    {
        try
        {
            var (version, doctrine) = await AtAsync(sql, question.OrganizationId, question.AtVersion);
            return Evaluate(sql, doctrine, version, new DoctrineCase
            {
                Mode = question.Spec.Mode ?? TaskMode.Command,
                Text = DoctrineCase.TextOf(question.Spec),
                Tags = DoctrineCase.Union(question.TargetTags),
                ActorRole = question.ActorRole,
                Origins = OriginsOf(question.Origin),
                Now = question.Now,
            });
        }
        catch (UnreadableDoctrineException e)
        {
            LogUnreadable(logger, e.Message);
            var finding = new DoctrineFinding(Itself, "refuse", $"this server can't read version {e.Version} of it: {e.Fault}");
            return new DoctrineDecision(ApprovalClass.None, [finding], Forbidden: false, question.Now + HoldUnreadable, FreezeRefuses: true, e.Version) { Unreadable = true };
        }
    }

    /// <summary>
    /// What the version of now answers to a coding agent; null: no rule is about it, and a person is asked. So it is when the version can't be read. Not within a transaction:
    /// patterns may take their time.
    /// </summary>
    public async Task<PermissionDecision?> DecidePermissionAsync(SqlSession sql, string organizationId, PermissionCase asked)
    {
        try
        {
            var (version, doctrine) = await AtAsync(sql, organizationId, null);
            if (doctrine.ToolRules.Count == 0) return null;
            doctrine.ToolPatterns.Compile();
            return PermissionEvaluator.Evaluate(doctrine, version, asked);
        }
        catch (UnreadableDoctrineException e)
        {
            LogUnreadable(logger, e.Message);
            return new PermissionDecision(null, Itself, $"this server can't read version {e.Version} of it: {e.Fault}", e.Version);
        }
    }

    /// <summary>
    /// The newest version, or the one that is named. An organization that was never given a doctrine is without rules, as version 0. Its patterns are made here, unless
    /// others wait for the transaction: then <see cref="DecideAsync"/> has them made, if it needs them.
    /// </summary>
    /// <exception cref="InvalidOperationException">There is no such version.</exception>
    /// <exception cref="UnreadableDoctrineException">This server can't read it.</exception>
    public async Task<(int Version, Doctrine Doctrine)> AtAsync(SqlSession sql, string organizationId, int? atVersion)
    {
        var version = atVersion ?? await store.NewestVersionAsync(sql, organizationId);
        if (version == 0) return (0, Doctrine.Empty);
        if (_hashes.TryGet((organizationId, version), out var hash) && _compiled.TryGet(hash, out var kept)) return (version, kept);

        var row = await store.FindAsync(sql, organizationId, version) ?? throw new InvalidOperationException($"Organization {organizationId} has no doctrine of version {version}.");
        hash = HashOf(row.Document);
        if (!_compiled.TryGet(hash, out var doctrine))
        {
            var reading = DoctrineReader.Read(row.Document, compile: false);
            if (reading.Faults.Count > 0) throw new UnreadableDoctrineException(organizationId, version, reading.Faults[0]);
            doctrine = _compiled.GetOrAdd(hash, reading.Doctrine);
            if (sql is not WriteTransaction) doctrine.Patterns.Compile();
        }
        // Within a transaction the version may be one that is not committed yet, of another in the same group: should that fail, the number is given to other words.
        if (sql is WriteTransaction transaction) transaction.OnCommit(Keep);
        else Keep();
        return (version, doctrine);

        void Keep() => _hashes.GetOrAdd((organizationId, version), hash);
    }

    /// <summary>A document that this process has just compiled for a new version: the next decision, which others wait for, need not do it once more.</summary>
    public void Keep(string document, Doctrine doctrine) => _compiled.GetOrAdd(HashOf(document), doctrine);

    /// <summary>Why only admins may set and remove one of these tags; null: anybody who may tag a workstation. A version that can't be read may name any.</summary>
    public async Task<string?> GuardAsync(SqlSession sql, string organizationId, IEnumerable<string> tags)
    {
        try
        {
            var (_, doctrine) = await AtAsync(sql, organizationId, null);
            foreach (var tag in tags)
                if (doctrine.RuleNaming(tag) is { } rule) return $"The tag '{tag}' is named by the rule '{rule}' of the organization's doctrine: only admins set and remove it.";
            return null;
        }
        catch (UnreadableDoctrineException e)
        {
            LogUnreadable(logger, e.Message);
            return $"This server can't read version {e.Version} of the organization's doctrine, which may name any tag: only admins set and remove tags.";
        }
    }

    /// <summary>The tags by which the newest version or the snapshot can tell machines apart. One that can't be read judges all of them alike.</summary>
    public async Task<IReadOnlySet<string>> NamedTagsAsync(SqlSession sql, string organizationId, int snapshot)
    {
        var named = new HashSet<string>(StringComparer.Ordinal);
        foreach (var version in new int?[] { null, snapshot })
        {
            try
            {
                named.UnionWith((await AtAsync(sql, organizationId, version)).Doctrine.NamedTags);
            }
            catch (UnreadableDoctrineException e)
            {
                LogUnreadable(logger, e.Message);
            }
        }
        return named;
    }

    /// <summary>
    /// Patterns may take half a second for one text, so what was read of it counts for a while, whoever asked. And a transaction is waited for: within one a decision
    /// reads what is short, by expressions that are made; for anything else the transaction begins anew after the reading. What it then decides by is true then: another
    /// version or other tags are judged as they are, and only what was read of the text is taken over, which depends on neither; what they need besides is read in another round.
    /// </summary>
    private DoctrineDecision Evaluate(SqlSession sql, Doctrine doctrine, int version, DoctrineCase task)
    {
        if (doctrine.Patterns.Count == 0 || !DoctrineEvaluator.IsRead(task.Text)) return DoctrineEvaluator.Evaluate(doctrine, version, task);
        var key = (doctrine.Patterns, task.Text);
        var transaction = sql as WriteTransaction;
        var kept = _readings.TryGet(key, out var last) && task.Now - last.At < KeepReading ? last.Reading : null;
        if (transaction is null) return kept is null ? ReadAndKeep(doctrine, version, task).Decision : DoctrineEvaluator.Evaluate(doctrine, version, task, kept);
        var own = transaction.Made?.GetValueOrDefault(key) as PatternSet.Reading;
        foreach (var known in new[] { own, kept })
        {
            // Of a reading that ran out of its time only what was made for this very transaction counts.
            if (known?.SoFar() is not { } soFar || soFar.IsSpent && known != own) continue;
            var decision = DoctrineEvaluator.Evaluate(doctrine, version, task, soFar);
            if (!soFar.IsLacking) return decision;
        }
        if (!transaction.MayBeginAnew) return DoctrineEvaluator.Evaluate(doctrine, version, task, doctrine.Patterns.Read(task.Text, Budgets.Inside));
        if (task.Text.Length <= MaxTextInside && (long)doctrine.Patterns.Count * task.Text.Length <= MaxReadInside)
        {
            var reading = doctrine.Patterns.Read(task.Text, Budgets.Inside, onlyMade: true);
            var decision = DoctrineEvaluator.Evaluate(doctrine, version, task, reading);
            if (reading is { IsLacking: false, IsSpent: false }) return decision;
        }
        throw new NotPreparedException(made =>
        {
            made[key] = ReadAndKeep(doctrine, version, task).Reading;
            return Task.CompletedTask;
        });
    }

    /// <summary>
    /// Not within a transaction. The reading goes on where it stopped when other tags bring other rules into play, within what is left of its budget. One that ran out of it
    /// is kept for those who only ask, or explanations could cost a processor; who decides has it read anew.
    /// </summary>
    private (DoctrineDecision Decision, PatternSet.Reading Reading) ReadAndKeep(Doctrine doctrine, int version, DoctrineCase task)
    {
        doctrine.Patterns.Compile();
        var read = Once();
        // The first may spend its time on making expressions; they are there for the second.
        if (read.Reading.IsSpent) read = Once();
        _readings.Set((doctrine.Patterns, task.Text), (read.Reading, task.Now));
        return read;

        (DoctrineDecision Decision, PatternSet.Reading Reading) Once()
        {
            var reading = doctrine.Patterns.Read(task.Text, Budgets.Outside);
            return (DoctrineEvaluator.Evaluate(doctrine, version, task, reading), reading);
        }
    }

    /// <summary>What a person has a part in is theirs too: a rule for requests must not be avoided by changing what a schedule made, or by naming a runbook beside one's own command.</summary>
    internal static IReadOnlyList<DoctrineOrigin> OriginsOf(TaskOrigin origin)
    {
        var origins = new List<DoctrineOrigin>();
        if (origin.ScheduleId is not null) origins.Add(DoctrineOrigin.Schedule);
        if (origin.RunbookId is not null) origins.Add(DoctrineOrigin.Runbook);
        if (origins.Count == 0 || origin.ByPerson) origins.Add(DoctrineOrigin.Request);
        return origins;
    }

    private static string HashOf(string document) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(document)));

    [LoggerMessage(Level = LogLevel.Error, Message = "Nothing of the organization starts: {Why}")]
    private static partial void LogUnreadable(ILogger logger, string why);
}
