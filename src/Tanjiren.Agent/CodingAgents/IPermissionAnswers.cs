using Tanjiren.Agent.CodingAgents.Acp;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>What is answered to a coding agent that asks whether it may use a tool.</summary>
internal enum PermissionVerdict
{
    /// <summary>This once.</summary>
    Allow,
    Deny,
}

/// <param name="Verdict">What is answered.</param>
/// <param name="Because">Who or what says so, for the log.</param>
internal sealed record PermissionAnswer(PermissionVerdict Verdict, string Because);

/// <summary>The seam to whoever may answer: people, the doctrine, a clock.</summary>
internal interface IPermissionAnswers
{
    /// <summary>
    /// Asks. The answer is given once, from any thread, at any time, also before this returns; an answer to a question that is withdrawn meanwhile changes nothing. Called on the
    /// step's thread, and must not block.
    /// </summary>
    void Ask(PermissionQuestion question, Action<PermissionAnswer> answer);
}

/// <summary>Nobody can be asked: the answer is no.</summary>
internal sealed class DenyPermissions : IPermissionAnswers
{
    public static readonly DenyPermissions Instance = new();

    private static readonly PermissionAnswer No = new(PermissionVerdict.Deny, "nobody can be asked");

    public void Ask(PermissionQuestion question, Action<PermissionAnswer> answer) => answer(No);
}
