using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <param name="Verdict">What is answered.</param>
/// <param name="Because">Who or what says so, for the log.</param>
/// <param name="OptionId">By which of the agent's options; null: by the one that says it for this question alone.</param>
internal sealed record PermissionAnswer(PermissionVerdict Verdict, string Because, string? OptionId = null);

/// <summary>The seam to whoever may answer: people, the doctrine, a clock. Of one step; disposed when that has ended.</summary>
internal interface IPermissionAnswers : IAsyncDisposable
{
    /// <summary>
    /// Asks. The answer is given once, from any thread, at any time, also before this returns; an answer to a question that is withdrawn meanwhile changes nothing. Called on the
    /// step's thread, and must not block.
    /// </summary>
    void Ask(PermissionQuestion question, Action<PermissionAnswer> answer);

    /// <summary>This is what the agent was told in the end, by an answer or without one: nobody need be asked any more. Called once for each that was asked, and must not block either.</summary>
    void Settled(PermissionQuestion question, PermissionTold told);
}

/// <summary>Nobody can be asked: the answer is no.</summary>
internal sealed class DenyPermissions : IPermissionAnswers
{
    public static readonly DenyPermissions Instance = new();

    private static readonly PermissionAnswer No = new(PermissionVerdict.Deny, "nobody can be asked");

    public void Ask(PermissionQuestion question, Action<PermissionAnswer> answer) => answer(No);

    public void Settled(PermissionQuestion question, PermissionTold told)
    {
        // Nobody knows of it.
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
