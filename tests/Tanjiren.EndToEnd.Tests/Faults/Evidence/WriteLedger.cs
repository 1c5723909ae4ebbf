using System.Text.Json;
using System.Text.RegularExpressions;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// What the server was told about steps and what it answered, read from the proxies: the second witness, independent of what the server says of
/// itself later. Pure; each rule gives one sentence for each breach.
/// </summary>
internal sealed partial class WriteLedger
{
    private readonly IReadOnlyList<Write> _writes;

    private WriteLedger(IReadOnlyList<Write> writes) => _writes = writes;

    private sealed record Write(string StepId, string Verb, long Generation, long ForwardedAt, long AnsweredAt, int Status, TransitionResult? Result, StepOutcome? Outcome, StepState? Left)
    {
        /// <summary>
        /// A result that ended the step. A complete with <c>unknownOutcome</c> or a late release of a task that says requeue is applied too, but
        /// leaves the step queued: it gives the step back.
        /// </summary>
        public bool Ended => Verb == "complete" && Left is StepState.Succeeded or StepState.Failed or StepState.Cancelled;
    }

    public int Claims => _writes.Count(write => write is { Verb: "claim", Status: 200 });

    /// <summary>Writes under a generation that had passed, refused as they must be.</summary>
    public int Refused => _writes.Count(write => write is { Verb: not "claim", Status: 409 });

    public static WriteLedger Of(IEnumerable<Exchange> exchanges) =>
        new([.. exchanges.Select(Read).OfType<Write>().OrderBy(write => write.AnsweredAt)]);

    /// <summary>A result or a release of generation g was applied although a later claim had been granted before it was even sent.</summary>
    public IReadOnlyList<string> StaleWritesTaken() =>
        [.. from write in _writes
            where write is { Verb: "complete" or "release", Status: 200, Result: TransitionResult.Applied }
            let later = _writes.FirstOrDefault(claim => claim is { Verb: "claim", Status: 200 } && claim.StepId == write.StepId
                && claim.Generation > write.Generation && claim.AnsweredAt < write.ForwardedAt)
            where later is not null
            select $"{write.StepId}: {write.Verb} of generation {write.Generation} was applied after generation {later.Generation} had been granted"];

    /// <summary>One generation was granted to two claims of different content, or two results were applied to one step.</summary>
    public IReadOnlyList<string> DoubleResults() =>
        [.. _writes.Where(write => write is { Ended: true, Result: TransitionResult.Applied }).GroupBy(write => write.StepId)
            .Where(applied => applied.Count() > 1).Select(applied => $"{applied.Key}: {applied.Count()} results were applied")];

    /// <summary>A result that the server took (whether or not its agent learned of it) is not the step's result at the end.</summary>
    public IReadOnlyList<string> ResultsLost(IEnumerable<StepBody> steps)
    {
        var ends = steps.ToDictionary(step => step.Id);
        return [.. _writes.Where(write => write.Ended)
            .Where(write => !ends.TryGetValue(write.StepId, out var step) || step.Outcome != write.Outcome || step.LeaseGeneration != write.Generation + 1)
            .Select(write => $"{write.StepId}: the server took {write.Outcome} of generation {write.Generation}, and now says "
                + (ends.TryGetValue(write.StepId, out var step) ? $"{step.Outcome} at generation {step.LeaseGeneration}" : "nothing of this step")).Distinct()];
    }

    private static Write? Read(Exchange exchange)
    {
        var route = StepRoute().Match(exchange.Path);
        // Without an answer nothing is known: the server may have died before or after its commit.
        if (!route.Success || exchange is not { Status: { } status, ForwardedAt: { } forwarded, AnsweredAt: { } answered })
            return null;
        var (step, verb) = (route.Groups["step"].Value, route.Groups["verb"].Value);
        if (verb == "claim")
            return new Write(step, verb, status == 200 ? JsonOf(exchange.ResponseBody, WireJson.Default.ClaimResponse)?.LeaseGeneration ?? 0 : 0, forwarded, answered, status, null, null, null);
        var transition = status == 200 ? JsonOf(exchange.ResponseBody, WireJson.Default.StepTransitionResponse) : null;
        if (verb == "release")
            return new Write(step, verb, JsonOf(exchange.RequestBody, WireJson.Default.ReleaseRequest)?.LeaseGeneration ?? 0, forwarded, answered, status, transition?.Result, null, transition?.State);
        var result = JsonOf(exchange.RequestBody, WireJson.Default.CompleteRequest);
        return new Write(step, verb, result?.LeaseGeneration ?? 0, forwarded, answered, status, transition?.Result, result?.Outcome, transition?.State);
    }

    /// <summary>The kept bytes carry chunk framing when there was one: the object is between the first and the last brace.</summary>
    private static T? JsonOf<T>(byte[] body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) where T : class
    {
        var (first, last) = (Array.IndexOf(body, (byte)'{'), Array.LastIndexOf(body, (byte)'}'));
        if (first < 0 || last < first)
            return null;
        try
        {
            return JsonSerializer.Deserialize(body.AsSpan(first, last - first + 1), type);
        }
        catch (JsonException)
        {
            // More than what is kept, or several chunks: such a body says nothing here.
            return null;
        }
    }

    [GeneratedRegex("^/api/steps/(?<step>[^/]+)/(?<verb>claim|complete|release)$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex StepRoute();
}
