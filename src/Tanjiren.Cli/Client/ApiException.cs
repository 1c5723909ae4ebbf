using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The server understood and said no.</summary>
internal sealed class ApiException(ProblemBody problem, TimeSpan? retryAfter = null) : Exception(problem.Detail ?? problem.Title)
{
    public ProblemBody Problem { get; } = problem;
    public TimeSpan? RetryAfter { get; } = retryAfter;

    /// <summary>Whether the same request may succeed a little later.</summary>
    public bool IsTransient => Problem.Status is 408 or 429 or 500 or 502 or 503 or 504;
}

/// <summary>No answer came. <see cref="Sent"/> says whether the server may have received the request all the same.</summary>
internal sealed class UnreachableException(Uri server, string reason, bool sent, Exception inner)
    : Exception($"can't reach {server.GetLeftPart(UriPartial.Authority)}: {reason}", inner)
{
    public bool Sent { get; } = sent;
}
