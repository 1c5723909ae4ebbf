using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Outbox;

public sealed class JournalTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    private string Path => directory.File("journal");

    public void Dispose() => directory.Dispose();

    [Fact]
    public void What_was_appended_is_there_after_reopening()
    {
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Of("clm_1", JournalKind.Spawning) with { Mark = 42 }, durable: true);
        }
        using var again = Open();

        var claim = again.Read(s => s.Find("clm_1"))!;
        (claim.StepId, claim.Mark, claim.MayHaveSpawned).ShouldBe(("step_clm_1", 42UL, true));
        again.Damaged.ShouldBeFalse();
    }

    [Fact]
    public void The_trace_of_a_claim_outlives_a_restart_and_a_snapshot()
    {
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Of("clm_1", JournalKind.Leased) with { Generation = 3, TraceParent = "00-a-b-01" }, durable: true);
        }
        using var again = Open();
        again.Read(s => s.Find("clm_1"))!.TraceParent.ShouldBe("00-a-b-01");
        again.Read(s => s.Snapshot().Single(e => e.Kind == JournalKind.Leased)).TraceParent.ShouldBe("00-a-b-01");
    }

    /// <summary>One that is written twice, because a sync failed, is still one.</summary>
    [Fact]
    public void Answers_that_the_server_has_not_outlive_a_restart_and_a_snapshot()
    {
        static StepAnswerRequest Answer(string question, string json) => new() { Question = question, LeaseGeneration = 3, Asked = 1, Answer = System.Text.Json.JsonDocument.Parse(json).RootElement };
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Of("clm_1", JournalKind.Answer) with { Answer = Answer("a", "true") }, durable: true);
            journal.Append(Of("clm_1", JournalKind.Answer) with { Answer = Answer("b", """{"x":[1,null]}""") }, durable: true);
            journal.Append(Of("clm_1", JournalKind.Answer) with { Answer = Answer("b", """{"x":[1,null]}""") }, durable: true);
            journal.Append(Of("clm_1", JournalKind.AnswerStored) with { Question = "a" }, durable: true);
        }
        // The second time from the snapshot that the first one has begun its file with.
        for (var life = 0; life < 2; life++)
        {
            using var again = Open();
            var left = again.Read(s => s.Find("clm_1"))!.Answers.Single();
            (left.Question, left.LeaseGeneration, left.Answer!.Value.GetRawText()).ShouldBe(("b", 3, """{"x":[1,null]}"""));
        }
    }

    /// <summary>A hand-back begins the claim anew; a crash between its records must not turn a job that ran into one that never started.</summary>
    [Fact]
    public void A_claim_that_is_taken_up_again_stays_one_that_may_have_run()
    {
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1") with { Mark = 0 }, durable: true);
            journal.Append(Claiming("clm_2"), durable: true);
        }
        using var again = Open();
        again.Read(s => s.Claims.ToDictionary(c => c.ClaimId, c => c.Report)).ShouldBe(
            new Dictionary<string, StepReportState?> { ["clm_1"] = StepReportState.UnknownOutcome, ["clm_2"] = StepReportState.NeverStarted }, ignoreOrder: true);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(9)]
    [InlineData(30)]
    public void A_torn_tail_is_dropped_and_appends_go_on(int cut)
    {
        long whole;
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Claiming("clm_2"), durable: false);
            whole = journal.Length;
        }
        CutTo(whole - cut);
        using (var journal = Open())
        {
            journal.Damaged.ShouldBeFalse();
            journal.Read(s => s.Claims.Select(c => c.ClaimId).ToList()).ShouldBe(["clm_1"]);
            journal.Append(Claiming("clm_3"), durable: true);
        }
        using var again = Open();
        again.Read(s => s.Claims.Count).ShouldBe(2);
    }

    [Fact]
    public void Damage_before_whole_records_is_noticed_and_what_follows_is_kept()
    {
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Claiming("clm_2"), durable: true);
        }
        var bytes = File.ReadAllBytes(Path);
        bytes[12] ^= 0x40;
        File.WriteAllBytes(Path, bytes);

        using var again = Open();

        again.Damaged.ShouldBeTrue();
        again.Read(s => s.Claims.Select(c => c.ClaimId).ToList()).ShouldBe(["clm_2"]);
    }

    [Fact]
    public void Damage_is_remembered_over_starts_until_a_session_has_settled_it()
    {
        using (var journal = Open())
        {
            journal.Append(Claiming("clm_1"), durable: true);
            journal.Append(Claiming("clm_2"), durable: true);
            journal.Append(Claiming("clm_3"), durable: true);
        }
        var bytes = File.ReadAllBytes(Path);
        bytes[bytes.AsSpan().IndexOf("clm_2"u8)] ^= 0x40;
        File.WriteAllBytes(Path, bytes);

        Open().Dispose();
        using (var journal = Open())
        {
            journal.Damaged.ShouldBeTrue();
            journal.Read(s => (s.MayHaveSpawned("clm_1"), s.MayHaveSpawned("clm_3"))).ShouldBe((true, false));
            journal.Append(Of(JournalEntry.NoClaim, JournalKind.Settled), durable: true);
        }
        using var again = Open();

        again.Damaged.ShouldBeFalse();
    }

    [Fact]
    public void Compaction_keeps_open_claims_sessions_and_ended_spawns_and_nothing_else()
    {
        using (var journal = Journal.Open(Path, NullLogger.Instance, compactAt: 2000))
        {
            journal.Append(new JournalEntry { Kind = JournalKind.Session, SessionId = "ses_1" }, durable: true);
            journal.Append(Claiming("clm_open"), durable: true);
            for (var i = 0; i < 300; i++)
            {
                journal.Append(Claiming($"clm_{i}"), durable: false);
                journal.Append(Of($"clm_{i}", JournalKind.Spawning) with { Mark = 7 }, durable: i % 50 == 0);
                journal.Append(Of($"clm_{i}", JournalKind.Closed), durable: false);
            }
            journal.Append(new JournalEntry { Kind = JournalKind.Session, SessionId = "ses_2" }, durable: true);
            journal.Length.ShouldBeLessThan(40_000);
        }
        using var again = Open();
        again.Read(s => s.Claims.Select(c => c.ClaimId).ToList()).ShouldBe(["clm_open"]);
        again.Read(s => s.Sessions.ToList()).ShouldBe(["ses_2", "ses_1"]);
        again.Read(s => s.MayHaveSpawned("clm_299")).ShouldBeTrue();
        again.Read(s => s.MayHaveSpawned("clm_open")).ShouldBeFalse();
    }

    [Fact]
    public void The_largest_result_fits_into_the_room_that_is_reserved_for_it()
    {
        using var journal = Open();
        journal.Append(Claiming("clm_1"), durable: true);
        journal.ReserveResult("clm_1");
        var size = new FileInfo(Path).Length;
        var before = journal.Length;

        journal.Append(Of("clm_1", JournalKind.Result) with
        {
            Result = new CompleteRequest
            {
                Detail = new string('\u0001', 2000),
                OutputPreview = Convert.ToBase64String(new byte[WireLimits.MaxOutputPreviewBytes]),
                ResultDigest = new string('f', 64),
                Signal = "SIGRTMAX-14", DurationMs = long.MaxValue, LogBytes = long.MaxValue, FinalLogSeq = long.MaxValue, LeaseGeneration = long.MaxValue,
            },
            Receipt = new ReceiptClaims
            {
                Asg = new string('A', Assignment.MaxLength), Tsk = new string('t', 32), Stp = new string('s', 32), Sdg = new string('f', 64), Rdg = new string('f', 64), Pvw = new string('f', 64),
                Lgd = new string('f', 64), Sig = "SIGRTMAX-14", Out = StepOutcome.Cancelled, Rsn = StepReason.ForbiddenByDoctrine, Exc = int.MinValue, Dur = long.MaxValue, Byt = long.MaxValue,
                Fin = long.MaxValue, Gen = long.MaxValue, Trc = false, Fat = long.MaxValue,
            },
        }, durable: true);

        (journal.Length - before).ShouldBeLessThan(Journal.ResultRoom);
        new FileInfo(Path).Length.ShouldBe(size);
    }

    [Fact]
    public void The_largest_response_fits_into_the_room_that_is_reserved_for_it()
    {
        using var journal = Open();
        journal.Append(Claiming("clm_1"), durable: true);
        journal.ReserveResult("clm_1", Journal.ResponseRoom);
        var size = new FileInfo(Path).Length;
        var before = journal.Length;
        var response = new ResponseText();
        response.Append(new string('\u0001', 400_000));

        journal.Append(Of("clm_1", JournalKind.Result) with
        {
            Result = new CompleteRequest
            {
                Detail = new string('\u0001', 2000),
                OutputPreview = Convert.ToBase64String(new byte[WireLimits.MaxOutputPreviewBytes]),
                ResultDigest = new string('f', 64),
                Response = response.ToText(StepMasks.None),
                Usage = new TokenUsage { InputTokens = long.MaxValue, OutputTokens = long.MaxValue, CachedReadTokens = long.MaxValue, TotalTokens = long.MaxValue, CostAmount = decimal.MaxValue, CostCurrency = new string('\u0001', 16) },
            },
        }, durable: true);

        (journal.Length - before).ShouldBeInRange(ResponseText.MaxJsonBytes, Journal.ResponseRoom);
        new FileInfo(Path).Length.ShouldBe(size);
    }

    [Fact]
    public async Task Appends_of_many_threads_are_all_durable()
    {
        using (var journal = Open())
            await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(() => journal.Append(Claiming($"clm_{i}"), durable: true))));
        using var again = Open();

        again.Read(s => s.Claims.Count).ShouldBe(200);
    }

    private Journal Open() => Journal.Open(Path, NullLogger.Instance);

    private void CutTo(long length)
    {
        using var file = new FileStream(Path, FileMode.Open);
        file.SetLength(length);
    }

    private static JournalEntry Claiming(string id) => Of(id, JournalKind.Claiming) with { StepId = "step_" + id };

    private static JournalEntry Of(string id, JournalKind kind) => new() { Kind = kind, ClaimId = id };
}
