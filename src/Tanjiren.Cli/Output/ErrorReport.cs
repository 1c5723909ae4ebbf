using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Client;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Output;

/// <summary>A failure as people read it: what is wrong, each field that is wrong, what to do next.</summary>
internal static class ErrorReport
{
    public static void Write(TextWriter err, Exception failure)
    {
        switch (failure)
        {
            case ApiException api:
                Write(err, api.Problem);
                break;
            case CliException cli:
                Lines(err, cli.Message, cli.Hint);
                break;
            case KeychainException keychain:
                Lines(err, keychain.What, keychain.Next);
                break;
            case UnreachableException gone:
                Lines(err, gone.Message, "is the server running, and is the address right? `tanvrit-compute up` starts one on this machine");
                break;
            case OAuthException refused:
                Lines(err, Text.Safe(refused.Message), null); // the server's words
                break;
            default:
                Lines(err, failure.Message, null);
                break;
        }
    }

    public static void Write(TextWriter err, ProblemBody problem)
    {
        err.WriteLine($"error: {Text.Safe(problem.Detail ?? problem.Title)}");
        foreach (var (field, wrongs) in problem.Errors ?? new Dictionary<string, string[]>())
            foreach (var wrong in wrongs)
                err.WriteLine($"  {Text.Safe(field)}: {Text.Safe(wrong)}");
        if (problem.CurrentState is { } state) err.WriteLine($"  current state: {Text.Safe(state)}");
        if (problem.TraceId is { } trace) err.WriteLine($"  trace: {Text.Safe(trace)}");
        if (Hint(problem) is { } hint) err.WriteLine($"hint: {Text.Safe(hint)}");
    }

    private static string? Hint(ProblemBody problem) =>
        problem.Is(ErrorCode.InvalidCredentials) || problem.Is(ErrorCode.AuthenticationRequired)
            ? "sign in again with `tanvrit-compute auth login --server URL` (or `tanvrit-compute up` for the control plane of this machine)"
            // "Correct the fields and send the request again" is for programs; the fields have just been listed.
            : problem.Is(ErrorCode.ValidationFailed) && problem.Errors is { Count: > 0 } ? null
            : problem.Hint;

    private static void Lines(TextWriter err, string message, string? hint)
    {
        err.WriteLine($"error: {message}");
        if (hint is not null) err.WriteLine($"hint: {hint}");
    }
}
