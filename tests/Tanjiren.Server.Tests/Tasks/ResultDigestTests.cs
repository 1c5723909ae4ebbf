using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class ResultDigestTests
{
    private static readonly CompleteRequest Plain = new()
    {
        LeaseGeneration = 3, Outcome = StepOutcome.Failed, Reason = StepReason.ExitCode, ExitCode = 7, DurationMs = 12, FinalLogSeq = 4, LogBytes = 99, Detail = "why",
    };

    /// <summary>Agents of earlier versions send it, and journals of theirs hold it.</summary>
    [Fact]
    public void A_result_without_a_response_has_the_digest_that_it_always_had() =>
        ResultDigest.Compute("step_1", Plain).ShouldBe("f27b067f74164c39bb76b5d058bcc45a83dcb318a5dbdc7daa94770967181193");

    [Fact]
    public void Response_and_usage_are_part_of_what_a_result_says()
    {
        CompleteRequest[] results =
        [
            Plain, Plain with { Response = "" }, Plain with { Response = "a" }, Plain with { Response = "b" }, Plain with { Usage = new TokenUsage() },
            Plain with { Usage = new TokenUsage { InputTokens = 1 } }, Plain with { Response = "a", Usage = new TokenUsage { InputTokens = 1 } },
        ];
        results.Select(r => ResultDigest.Compute("step_1", r)).Distinct().Count().ShouldBe(results.Length);
    }
}
