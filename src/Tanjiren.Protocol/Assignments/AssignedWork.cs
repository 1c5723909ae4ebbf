using System.Globalization;

namespace Tanjiren.Protocol;

/// <summary>
/// Everything that decides what a step runs on its machine, and no more. The server digests it for the assignment, the agent digests the very fields that it is about to use, and
/// <c>jobs verify</c> what the task says: all three here. A field of a claim that changes what runs and is not here can be changed on the way; so a new one is added to the
/// record, to both <c>Of</c> and to <see cref="Digest"/>.
/// </summary>
public sealed record AssignedWork
{
    public TaskMode Mode { get; init; }
    public CommandSpec? Command { get; init; }
    public string? WorkingDirectory { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public IReadOnlyList<string>? EnvironmentFromMachine { get; init; }
    public ResourceSpec? Resources { get; init; }
    /// <summary>Of the modes prompt and investigate.</summary>
    public string? PromptText { get; init; }
    /// <summary>Of the same: which coding agent is asked.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>Of the mode investigate.</summary>
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    /// <summary>How long its questions to people wait, in milliseconds.</summary>
    public long? PermissionTimeoutMs { get; init; }
    /// <summary>In order. Their values are under the signature too, by <see cref="SecretsDigest"/>: a record of the work must not tell them, nor help to guess them.</summary>
    public IReadOnlyList<string>? SecretNames { get; init; }

    /// <summary>What a claim's answer asks for.</summary>
    public static AssignedWork Of(ClaimResponse claim) => new()
    {
        Mode = claim.Mode ?? TaskMode.Command, Command = claim.Command, WorkingDirectory = claim.WorkingDirectory, Environment = claim.Environment,
        EnvironmentFromMachine = claim.EnvironmentFromMachine, Resources = claim.Resources, PromptText = claim.PromptText, CodingAgent = claim.CodingAgent, Questions = claim.Questions, PermissionTimeoutMs = claim.PermissionTimeoutMs,
        SecretNames = NamesOf(claim.Secrets),
    };

    /// <summary>What the claims of a task ask for; <paramref name="spec"/> has its defaults filled in.</summary>
    public static AssignedWork Of(CreateTaskRequest spec) => new()
    {
        Mode = spec.Mode ?? TaskMode.Command, Command = spec.Command, WorkingDirectory = spec.WorkingDirectory, Environment = spec.Environment,
        EnvironmentFromMachine = spec.EnvironmentFromMachine, Resources = spec.Resources, PromptText = spec.PromptText, CodingAgent = spec.CodingAgent, Questions = spec.Questions, PermissionTimeoutMs = spec.PermissionTimeoutSeconds * 1000L,
        SecretNames = NamesOf(spec.Secrets),
    };

    /// <summary>SHA-256 in lower-case hex. The encoding is named in it, so that a later one is another digest and never the same by accident.</summary>
    public string Digest()
    {
        using var digest = new FieldDigest("tanjiren-work-v1");
        digest.Add(Mode.ToString().ToLowerInvariant());
        digest.Add(Command?.Argv);
        digest.Add(Command?.Shell);
        digest.Add(WorkingDirectory);
        digest.Add(Environment);
        digest.Add(EnvironmentFromMachine);
        digest.Add(Resources?.Cpu?.ToString("R", CultureInfo.InvariantCulture));
        digest.Add(Resources?.MemoryMb?.ToString(CultureInfo.InvariantCulture));
        digest.Add(Resources?.GpuCount?.ToString(CultureInfo.InvariantCulture));
        digest.Add(PromptText);
        digest.Add(CodingAgent);
        digest.Add(SecretNames);
        // What came later is named and stands only where it is asked for: work without it keeps the digest that it always had.
        AddQuestions(digest);
        if (PermissionTimeoutMs is { } wait)
        {
            digest.Add("permissionTimeoutMs");
            digest.Add(wait.ToString(CultureInfo.InvariantCulture));
        }
        return digest.Finish();
    }

    /// <summary>
    /// The <see cref="AssignmentClaims.Sec"/> of these secrets; null when there are none. <paramref name="salt"/> stands in the claim's answer and is kept nowhere, so an assignment, which is kept,
    /// tells nobody whether a guess is right.
    /// </summary>
    public static string? SecretsDigest(IReadOnlyDictionary<string, string>? secrets, string? salt)
    {
        if (secrets is not { Count: > 0 }) return null;
        using var digest = new FieldDigest("tanjiren-secrets-v1");
        digest.Add(salt);
        digest.Add(secrets);
        return digest.Finish();
    }

    private void AddQuestions(FieldDigest digest)
    {
        if (Questions is not { Count: > 0 } questions) return;
        digest.Add("questions");
        digest.Add(questions.Count.ToString(CultureInfo.InvariantCulture));
        foreach (var question in questions)
        {
            digest.Add(question.Name);
            digest.Add(question.Text);
            digest.Add(question.Form?.ToString().ToLowerInvariant());
            digest.Add(question.Fields);
        }
    }

    private static IReadOnlyList<string>? NamesOf(IReadOnlyDictionary<string, string>? secrets) => secrets is { Count: > 0 } ? [.. secrets.Keys.Order(StringComparer.Ordinal)] : null;
}
