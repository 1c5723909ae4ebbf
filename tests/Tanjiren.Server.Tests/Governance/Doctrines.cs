using Tanjiren.Protocol;
using Tanjiren.Server.Governance;

namespace Tanjiren.Server.Tests.Governance;

/// <summary>Documents and tasks for tests.</summary>
internal static class Doctrines
{
    public static readonly DateTimeOffset Noon = new(2026, 11, 21, 12, 0, 0, TimeSpan.Zero);

    /// <summary>For what is not about time: a busy machine needs more than the budget to make patterns.</summary>
    public static readonly TimeSpan Ample = TimeSpan.FromMinutes(2);

    public static Doctrine Read(string document)
    {
        var reading = DoctrineReader.Read(document);
        reading.Faults.ShouldBeEmpty();
        return reading.Doctrine;
    }

    /// <summary>One approval rule of the class sensitive_write with this condition.</summary>
    public static string Approval(string when) => $"approvals:\n  - name: rule\n    class: sensitive_write\n    when: {{ {when} }}\n";

    public static string Freeze(string window) => $"freeze:\n  - {{ name: freeze, {window} }}\n";

    public static DoctrineCase Case(
        string text = "true", IEnumerable<string>? tags = null, Role? role = Role.Member, DoctrineOrigin origin = DoctrineOrigin.Request, TaskMode mode = TaskMode.Command,
        DateTimeOffset? now = null) => new()
        {
            Mode = mode, Text = text, Tags = (tags ?? []).ToHashSet(), ActorRole = role, Origins = [origin], Now = now ?? Noon,
        };

    public static DoctrineDecision Decide(string document, DoctrineCase task) => DoctrineEvaluator.Evaluate(Read(document), 1, task, Ample);
}
