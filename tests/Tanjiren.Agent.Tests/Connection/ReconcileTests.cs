using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Connection;

/// <summary>What an agent says and does about the claims that an earlier life left in its journal.</summary>
public sealed class ReconcileTests : IAsyncLifetime
{
    private static readonly string ClaimId = Ids.New(Ids.Claim, TimeProvider.System);

    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;
    private FakeStep step = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
        step = server.Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = "exit 1" }, Queued = false });
    }

    public async ValueTask DisposeAsync()
    {
        await agent.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task A_claim_without_an_answer_is_handed_back()
    {
        ServerHolds();
        Journalled(Claiming());

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Releases == 1);
        Reported().ShouldBe(StepReportState.NeverStarted);
    }

    [Fact]
    public async Task A_granted_claim_without_an_intent_to_spawn_is_handed_back()
    {
        ServerHolds();
        Journalled(Claiming(), Leased());

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Releases == 1);
        Reported().ShouldBe(StepReportState.NeverStarted);
    }

    [Fact]
    public async Task An_intent_that_was_taken_back_counts_as_never_started()
    {
        ServerHolds();
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()), Entry(JournalKind.NotSpawned));

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Releases == 1);
    }

    [Fact]
    public async Task An_intent_to_spawn_without_a_result_is_an_unknown_outcome()
    {
        ServerHolds();
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()));

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result is not null);
        (step.Result!.Outcome, step.Result.Reason).ShouldBe((StepOutcome.Failed, StepReason.UnknownOutcome));
        Reported().ShouldBe(StepReportState.UnknownOutcome);
        step.Releases.ShouldBe(0);
    }

    [Fact]
    public async Task Leftover_processes_are_dead_before_the_session_is_asked_for()
    {
        ServerHolds();
        var mark = ProcessMarks.New();
        using var left = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(new LaunchRequest
        {
            StepId = step.Id, Mark = mark, Argv = ["/bin/sleep", "1000"], Environment = new Dictionary<string, string>(),
        });
        var running = Task.Run(() => left.Run((_, _) => { }, () => { }));
        Journalled(Claiming(), Leased(), Spawning(mark));

        await agent.StartAsync();

        (await running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct)).Signal.ShouldBe("SIGKILL");
        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.UnknownOutcome);
    }

    [Fact]
    public async Task A_copied_journal_kills_nothing_of_the_home_it_was_copied_from()
    {
        var mark = ProcessMarks.New();
        using var others = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance).Launch(new LaunchRequest
        {
            StepId = step.Id, Mark = mark, Argv = ["/bin/sh", "-c", "until [ -e \"$0\" ]; do sleep 0.02; done; exit 3", agent.File("end")], Environment = new Dictionary<string, string>(),
        });
        Journalled(Claiming(), Leased(), Spawning(mark) with { MachineId = "the original's" });

        // The session is asked for once the leftovers are dead.
        await agent.StartAsync();

        await File.WriteAllTextAsync(agent.File("end"), "", Ct);
        var exit = await Task.Run(() => others.Run((_, _) => { }, () => { })).WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct);
        (exit.ExitCode, exit.Signal).ShouldBe((3, null));
    }

    /// <summary>Given by an agent that was killed in the middle of the next question.</summary>
    [Fact]
    public async Task Answers_in_the_journal_are_sent_before_its_claim_ends()
    {
        ServerHolds();
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()), Answer("a"), Answer("b"), Entry(JournalKind.AnswerStored) with { Question = "a" }, Answer("c"));

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result is not null);
        step.Result!.Reason.ShouldBe(StepReason.UnknownOutcome);
        step.Answered().Select(a => (a.Question, a.LeaseGeneration)).ShouldBe([("b", 5L), ("c", 5L)]);
        step.Answered()[0].Answer!.Value.GetString().ShouldBe("words: <b> ü");
    }

    private static JournalEntry Answer(string question) => Entry(JournalKind.Answer) with
    {
        Answer = new StepAnswerRequest { LeaseGeneration = 5, Question = question, Asked = 1, Answer = System.Text.Json.JsonDocument.Parse("\"words: <b> ü\"").RootElement },
    };

    [Fact]
    public async Task A_result_in_the_outbox_is_sent_with_the_output_that_was_not()
    {
        ServerHolds();
        var result = Result();
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()), Entry(JournalKind.Result) with { Result = result });
        WriteOutput("left on the disk\n");

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result is not null && step.Chunks.Count == 1);
        Reported().ShouldBe(StepReportState.Exited);
        step.Result!.ExitCode.ShouldBe(3);
        step.Output().ShouldBe("left on the disk\n");
        await Eventually.TrueAsync(() => Directory.GetFiles(Path.Combine(agent.Home, "outbox")).Length == 0);
    }

    [Fact]
    public async Task A_result_that_the_server_took_is_not_reported_and_its_output_still_arrives()
    {
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()), Entry(JournalKind.Result) with { Result = Result() }, Entry(JournalKind.Answered));
        WriteOutput("late\n");

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Output() == "late\n");
        server.Sessions.Single().Steps!.ShouldBeEmpty();
        server.Completes.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_lost_lease_is_dropped_without_a_word()
    {
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()));

        await agent.StartAsync();
        agent.Drain();
        await agent.Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct);

        (server.Completes.Count, step.Releases).ShouldBe((0, 0));
        using var journal = Journal.Open(Path.Combine(agent.Home, "journal"), NullLogger.Instance);
        journal.Read(s => s.Claims.Count).ShouldBe(0);
    }

    [Fact]
    public async Task A_lease_that_no_journal_knows_goes_back_as_never_started()
    {
        ServerHolds();

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Releases == 1);
        server.Completes.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_lease_whose_spawn_the_journal_remembers_is_never_handed_back_as_never_started()
    {
        ServerHolds();
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()), Entry(JournalKind.Closed));

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.UnknownOutcome);
        step.Releases.ShouldBe(0);
    }

    /// <summary>The first heartbeat of a new life names the lease whose result it is about to send, and the server's answer says that it is held.</summary>
    [Theory, InlineData(true), InlineData(false)]
    public async Task A_lease_whose_result_is_on_its_way_is_not_handed_back_as_never_started(bool tellsNamedClaims)
    {
        ServerHolds();
        server.TellsNamedClaims = tellsNamedClaims;
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()));
        var complete = server.Hold("complete");

        await agent.StartAsync();
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)?.LastHeartbeatAt is not null);
        complete.SetResult();

        await Eventually.TrueAsync(() => step.Result is not null);
        server.Heartbeats.First().Leases!.Single().Phase.ShouldBe(StepPhase.Uploading);
        (step.Result!.Reason, step.Releases).ShouldBe((StepReason.UnknownOutcome, 0));
    }

    [Fact]
    public async Task An_unknown_outcome_is_signed_over_the_assignment_and_the_output_that_the_earlier_run_left()
    {
        ServerHolds();
        var assignment = Assignment.Sign(server.WorkKey, "kid", new AssignmentClaims { Sdg = "work" });
        Journalled(Claiming(), Leased(), Spawning(ProcessMarks.New()) with { Assignment = assignment });
        WriteOutput("before the crash\n");

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result is not null && step.Chunks.Count == 1);
        var said = Receipt.Read(step.Result!.Receipt)!.Claims;
        var digest = new LogDigest();
        var chunk = step.Chunks[1];
        digest.Add(1, LogStream.Stdout, chunk.At, chunk.Data);
        (said.Asg, said.Sdg, said.Tsk, said.Rsn, said.Lgd).ShouldBe((assignment, "work", step.TaskId, StepReason.UnknownOutcome, digest.Value));
    }

    /// <summary>The result stands in the journal's state, its sync failed, and so nothing was said: the next heartbeat's word about the lease comes here.</summary>
    [Fact]
    public void A_result_that_could_not_be_synced_is_said_again_and_never_given_back()
    {
        using var journal = Journal.Open(agent.File("journal"), NullLogger.Instance);
        foreach (var entry in new[] { Claiming(), Leased(), Spawning(ProcessMarks.New()) }) journal.Append(entry, durable: true);
        using var outbox = new OutboxSender(new AgentHome(agent.Home), agent.Options(), null!, new SessionKeeper(NullLogger.Instance), journal, TimeProvider.System, NullLoggerFactory.Instance);
        var reconciler = new Reconciler(AgentPlatform.OfThisMachine(NullLoggerFactory.Instance), journal, outbox, "here", NullLogger.Instance);
        reconciler.Reports().Single().State.ShouldBe(StepReportState.UnknownOutcome);
        journal.Append(Entry(JournalKind.Result) with { Result = Result() }, durable: true);

        reconciler.HandBackUnknown(new LeaseAnswer { StepId = step.Id, LeaseGeneration = 5, ClaimId = ClaimId, Standing = LeaseStanding.Held }).ShouldBeTrue();

        outbox.Find(ClaimId)!.Held()!.Phase.ShouldBe(StepPhase.Uploading);
        journal.Read(s => s.Find(ClaimId)!.Releasing).ShouldBeFalse();
    }

    [Fact]
    public void A_lease_of_no_known_claim_stays_unknown_over_a_crash_before_its_last_word()
    {
        using (var journal = Journal.Open(agent.File("journal"), NullLogger.Instance))
        {
            using var outbox = new OutboxSender(new AgentHome(agent.Home), agent.Options(), null!, new SessionKeeper(NullLogger.Instance), journal, TimeProvider.System, NullLoggerFactory.Instance);
            new Reconciler(AgentPlatform.OfThisMachine(NullLoggerFactory.Instance), journal, outbox, "here", NullLogger.Instance)
                .HandBackUnknown(new LeaseAnswer { StepId = step.Id, LeaseGeneration = 5, Standing = LeaseStanding.Held }).ShouldBeTrue();
            journal.Read(s => s.Claims.Single().Result)!.Reason.ShouldBe(StepReason.UnknownOutcome);
        }
        // The result was the last record; it is what the crash took.
        var bytes = File.ReadAllBytes(agent.File("journal"));
        File.WriteAllBytes(agent.File("journal"), bytes[..bytes.AsSpan().LastIndexOf("unknownOutcome"u8)]);

        using var again = Journal.Open(agent.File("journal"), NullLogger.Instance);
        again.Read(s => s.Claims.Single()).ShouldSatisfyAllConditions(c => c.Result.ShouldBeNull(), c => c.Report.ShouldBe(StepReportState.UnknownOutcome));
    }

    [Fact]
    public async Task A_journal_that_lost_records_proves_nothing_about_a_lease_it_does_not_know()
    {
        ServerHolds();
        Journalled(new JournalEntry { Kind = JournalKind.Session, SessionId = "ses_before" }, new JournalEntry { Kind = JournalKind.Session, SessionId = "ses_after" });
        Damage("ses_before");

        await agent.StartAsync();

        await Eventually.TrueAsync(() => step.Result?.Reason == StepReason.UnknownOutcome);
        step.Releases.ShouldBe(0);
    }

    [Fact]
    public async Task Sessions_that_were_only_tried_are_named_as_predecessors_newest_first()
    {
        Journalled([.. Enumerable.Range(1, 7).Select(i => new JournalEntry { Kind = JournalKind.Session, SessionId = $"ses_{i}" })]);

        await agent.StartAsync();

        server.Sessions.Single().PreviousSessionIds.ShouldBe(["ses_7", "ses_6", "ses_5", "ses_4"]);
    }

    private void ServerHolds() => (step.Held, step.Generation, step.ClaimId) = (true, 5, ClaimId);

    private void Journalled(params JournalEntry[] entries)
    {
        using var journal = Journal.Open(Path.Combine(agent.Home, "journal"), NullLogger.Instance);
        foreach (var entry in entries) journal.Append(entry, durable: true);
    }

    private void Damage(string text)
    {
        var path = Path.Combine(agent.Home, "journal");
        var bytes = File.ReadAllBytes(path);
        var at = bytes.AsSpan().IndexOf(System.Text.Encoding.ASCII.GetBytes(text));
        at.ShouldBeGreaterThan(0);
        bytes[at] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    private void WriteOutput(string text)
    {
        using var chunks = ChunkLog.Create(Path.Combine(agent.Home, "outbox"), ClaimId, new OutboxBudget(1 << 20), AgentHarness.Fast, TimeProvider.System, NullLogger.Instance);
        chunks.Append(LogStream.Stdout, System.Text.Encoding.UTF8.GetBytes(text));
        chunks.Sync();
    }

    private CompleteRequest Result()
    {
        var exit = new ProcessExit(3, null, 0);
        return StepResult.Seal(StepResult.Of(StopReason.None, exit), step.Id, 5, 10, 1, null);
    }

    private StepReportState Reported()
    {
        var report = server.Sessions.Single().Steps!.Single();
        report.ClaimId.ShouldBe(ClaimId);
        return report.State;
    }

    private JournalEntry Claiming() => Entry(JournalKind.Claiming) with { StepId = step.Id, TaskId = step.TaskId };

    private static JournalEntry Leased() => Entry(JournalKind.Leased) with { Generation = 5 };

    private static JournalEntry Spawning(ulong mark) => Entry(JournalKind.Spawning) with { Mark = mark };

    private static JournalEntry Entry(JournalKind kind) => new() { Kind = kind, ClaimId = ClaimId };

    private static CancellationToken Ct => TestContext.Current.CancellationToken;
}
