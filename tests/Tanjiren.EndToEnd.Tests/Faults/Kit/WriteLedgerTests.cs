using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults.Kit;

public sealed class WriteLedgerTests
{
    [Fact]
    public void Claim_complete_in_order_is_fine()
    {
        var ledger = WriteLedger.Of([Claim("s1", 1), Complete("s1", 1), Complete("s1", 1, TransitionResult.AlreadyDone)]);
        ledger.StaleWritesTaken().ShouldBeEmpty();
        ledger.DoubleResults().ShouldBeEmpty();
        ledger.ResultsLost([Step("s1", StepOutcome.Succeeded, 2)]).ShouldBeEmpty();
        ledger.Claims.ShouldBe(1);
    }

    [Fact]
    public void A_result_applied_after_a_later_claim_is_seen() =>
        WriteLedger.Of([Claim("s1", 1), Claim("s1", 3), Complete("s1", 1)]).StaleWritesTaken().ShouldHaveSingleItem();

    [Fact]
    public void A_refused_stale_result_is_as_it_must_be()
    {
        var ledger = WriteLedger.Of([Claim("s1", 1), Claim("s1", 3), Complete("s1", 1, status: 409)]);
        ledger.StaleWritesTaken().ShouldBeEmpty();
        ledger.Refused.ShouldBe(1);
    }

    [Fact]
    public void A_step_given_back_by_an_unknown_outcome_has_no_result_yet()
    {
        var ledger = WriteLedger.Of([Claim("s1", 1), Complete("s1", 1, left: StepState.Queued), Claim("s1", 3), Complete("s1", 3)]);
        ledger.DoubleResults().ShouldBeEmpty();
        ledger.ResultsLost([Step("s1", StepOutcome.Succeeded, 4)]).ShouldBeEmpty();
    }

    [Fact]
    public void A_second_applied_result_is_seen() => WriteLedger.Of([Complete("s1", 1), Complete("s1", 3)]).DoubleResults().ShouldHaveSingleItem();

    [Fact]
    public void A_result_that_is_gone_or_another_one_is_seen()
    {
        var ledger = WriteLedger.Of([Claim("s1", 1), Complete("s1", 1)]);
        ledger.ResultsLost([]).ShouldHaveSingleItem();
        ledger.ResultsLost([Step("s1", StepOutcome.Failed, 2)]).ShouldHaveSingleItem();
        ledger.ResultsLost([Step("s1", StepOutcome.Succeeded, 4)]).ShouldHaveSingleItem();
    }

    private static Exchange Claim(string step, long generation) => Answered(new Exchange("POST", $"/api/steps/{step}/claim?session=ses_1"), 200,
        new ClaimResponse
        {
            StepId = step, TaskId = "t", ExecutionId = "e", Intent = "i", LeaseGeneration = generation, LeaseTtlMs = 1, LeaseGraceMs = 1, TimeoutMs = 1, Command = new CommandSpec(),
        }, WireJson.Default.ClaimResponse);

    private static Exchange Complete(string step, long generation, TransitionResult result = TransitionResult.Applied, int status = 200, StepState left = StepState.Succeeded)
    {
        var exchange = new Exchange("POST", $"/api/steps/{step}/complete")
        {
            RequestBody = JsonSerializer.SerializeToUtf8Bytes(new CompleteRequest { LeaseGeneration = generation, Outcome = StepOutcome.Succeeded }, WireJson.Default.CompleteRequest),
        };
        return Answered(exchange, status, new StepTransitionResponse { Result = result, State = left }, WireJson.Default.StepTransitionResponse);
    }

    private static Exchange Answered<T>(Exchange exchange, int status, T body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        exchange.ForwardedAt = Exchange.Now;
        (exchange.Status, exchange.ResponseBody) = (status, JsonSerializer.SerializeToUtf8Bytes(body, type));
        exchange.OnAnswered();
        return exchange;
    }

    private static StepBody Step(string id, StepOutcome outcome, long generation) => new()
    {
        Id = id, State = StepState.Succeeded, Outcome = outcome, LeaseState = LeaseState.Released, LeaseGeneration = generation,
        Attempts = 1, LogBytes = 0, Truncated = false, LogsComplete = true,
    };
}
