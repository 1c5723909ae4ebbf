using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>How the server took a request: what the agent must tell apart, and no more.</summary>
internal enum ReplyKind
{
    Ok,
    /// <summary>No answer, one that is not this server's, or one that may pass: the same request again, later. It may have been applied.</summary>
    Unavailable,
    /// <summary>This machine's clock is refused; a person must set it.</summary>
    ClockRefused,
    /// <summary>The key is not bound to this workstation any more; a person must pair again.</summary>
    KeyRevoked,
    /// <summary>Another key of this workstation counts now, and it is not in this home; a person must recover it.</summary>
    KeyRotated,
    /// <summary>The sign-in that this workstation stands on has ended; a person must sign in again. What is held may still be brought home.</summary>
    SignedOut,
    /// <summary>The session was taken over or has ended.</summary>
    SessionEnded,
    /// <summary>Another machine acts as this workstation.</summary>
    IdentityInUse,
    /// <summary>The step is not this session's any more.</summary>
    LeaseLost,
    /// <summary>The step cannot be claimed now.</summary>
    NotClaimable,
    /// <summary>Unknown here, or gone.</summary>
    NotFound,
    /// <summary>This generation was completed with another result.</summary>
    ResultConflict,
    /// <summary>Another chunk is stored under this sequence number.</summary>
    LogConflict,
    /// <summary>The server keeps no more output of this step.</summary>
    LogLimitReached,
    /// <summary>The body is more than the server, or something before it, lets through: less of it may pass.</summary>
    TooLarge,
    /// <summary>The server will never take this request: a bug on one of the two sides.</summary>
    Refused,
}

/// <summary>An answer, or why there is none. <see cref="Value"/> is set exactly when <see cref="Kind"/> is Ok.</summary>
internal readonly record struct Reply<T>(ReplyKind Kind, T? Value, ProblemBody? Problem, TimeSpan? RetryAfter) where T : class
{
    public bool IsOk => Kind == ReplyKind.Ok;

    /// <summary>For people: the server's words, or what stood in for them.</summary>
    public string Words => Problem is null ? Kind.ToString() : Problem.Detail ?? Problem.Title;

    public Reply<TOther> As<TOther>() where TOther : class => new(Kind, null, Problem, RetryAfter);
}

/// <summary>From a problem to the kind that the agent acts on.</summary>
internal static class ReplyRules
{
    /// <summary>
    /// Only a code of ours is final. A status alone may come from whatever is in between (a proxy's page, a captive portal): results, output and
    /// running jobs must outlive it.
    /// </summary>
    public static ReplyKind Classify(int status, ProblemBody? problem)
    {
        if (problem is not null && Named(problem) is { } kind) return kind;
        return status == 413 ? ReplyKind.TooLarge : ReplyKind.Unavailable;
    }

    private static ReplyKind? Named(ProblemBody problem)
    {
        foreach (var (code, kind) in Codes)
            if (problem.Is(code)) return kind;
        if (problem.Is(ErrorCode.InvalidDpopProof))
            return problem.ClockOffsetSeconds is null ? ReplyKind.Unavailable : ReplyKind.ClockRefused;
        return null;
    }

    private static readonly (ErrorCode, ReplyKind)[] Codes =
    [
        (ErrorCode.LeaseLost, ReplyKind.LeaseLost),
        (ErrorCode.SessionEnded, ReplyKind.SessionEnded),
        (ErrorCode.IdentityInUse, ReplyKind.IdentityInUse),
        (ErrorCode.NotClaimable, ReplyKind.NotClaimable),
        (ErrorCode.StateConflict, ReplyKind.NotClaimable),
        (ErrorCode.NeedsApproval, ReplyKind.NotClaimable),
        (ErrorCode.Frozen, ReplyKind.NotClaimable),
        (ErrorCode.ForbiddenByDoctrine, ReplyKind.NotClaimable),
        (ErrorCode.NotFound, ReplyKind.NotFound),
        (ErrorCode.KeyRevoked, ReplyKind.KeyRevoked),
        (ErrorCode.KeyRotated, ReplyKind.KeyRotated),
        (ErrorCode.SignedOut, ReplyKind.SignedOut),
        (ErrorCode.ResultConflict, ReplyKind.ResultConflict),
        (ErrorCode.LogConflict, ReplyKind.LogConflict),
        (ErrorCode.LogLimitReached, ReplyKind.LogLimitReached),
        (ErrorCode.MalformedBody, ReplyKind.Refused),
        (ErrorCode.MalformedRequest, ReplyKind.Refused),
        (ErrorCode.MethodNotAllowed, ReplyKind.Refused),
        (ErrorCode.UnsupportedMediaType, ReplyKind.Refused),
        (ErrorCode.ValidationFailed, ReplyKind.Refused),
        (ErrorCode.InvalidPairingCode, ReplyKind.Refused),
        (ErrorCode.AlreadyPaired, ReplyKind.Refused),
    ];
}
