using System.Text.Json;
using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Approvals as people meet them: the real command line of three people, a real server, real agents.</summary>
public sealed class ApprovalCommandsTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>, IAsyncLifetime
{
    private readonly CliRun owner = new();
    private readonly CliRun asker = new();
    private readonly CliRun member = new();

    private string Url => fixture.Scene.Server.Url.ToString().TrimEnd('/');

    public async ValueTask InitializeAsync()
    {
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = Url, Token = fixture.Scene.Workspace.Token }));
        foreach (var person in new[] { owner, asker, member }) person.Limit = FaultScene.StartLimit;
        await JoinAsync(asker);
        await JoinAsync(member);
    }

    public ValueTask DisposeAsync()
    {
        foreach (var person in new[] { owner, asker, member }) person.Dispose();
        return default;
    }

    [Fact]
    public async Task A_job_waits_a_member_can_not_approve_it_a_change_asks_again_the_owner_approves_and_it_runs()
    {
        var run = asker.InvokeAsync("jobs", "run", "--tag", "gpu", "--approval-class", "production_mutation", "--", "echo", "at last");
        var first = await PendingAsync(a => a.Intent == "echo 'at last'" || a.Intent == "echo at last");
        await Eventually.TrueAsync(() => asker.Error.Text.Contains("jobs approve", StringComparison.Ordinal), () => asker.Error.Text, FaultScene.StartLimit);
        asker.Error.Text.ShouldStartWith($"{first.TaskId} waits for an approval (production_mutation: The task asks for it itself); an admin gives it with `tanvrit-compute jobs approve {first.TaskId}`");

        (await member.InvokeAsync("jobs", "approve", first.TaskId, "--yes")).ShouldBe(125);
        member.Error.Text.ShouldContain("error: This needs the role admin");
        (await member.InvokeAsync("jobs", "update", first.TaskId, "--intent", "changed", "--", "echo", "at last", "and else")).ShouldBe(0, member.Error.Text);
        member.Error.Text.ShouldBe($"{first.TaskId} is changed, and waits for an approval (production_mutation)\n");
        (await owner.InvokeAsync("jobs", "approve", first.TaskId, "--approval", first.Id)).ShouldBe(125, "what was looked at is not what it is now");
        owner.Error.Text.ShouldContain("The task was changed since");

        (await owner.InvokeAsync("jobs", "approve", first.TaskId)).ShouldBe(125, "nobody is there to be asked");
        owner.Error.Text.ShouldMatch("add --approval apr_[0-9a-z]{26} if you have looked at it, or --yes");
        (owner.Terminal, owner.Input) = (true, "\n");
        (await owner.InvokeAsync("jobs", "approve", first.TaskId)).ShouldBe(130, "no yes");
        owner.Error.Text.ShouldEndWith("[y/N] nothing approved\n");
        owner.Input = "yes\n";
        (await owner.InvokeAsync("jobs", "approve", first.TaskId, "--reason", "looked at it", "--json")).ShouldBe(0, owner.Error.Text);
        foreach (var shown in new[] { "command: +echo 'at last' 'and else'", "targets: +a workstation with tag gpu", "approval: +apr_[0-9a-z]{26} \\(production_mutation\\)", "because: +The task asks for it itself" })
            owner.Error.Text.ShouldMatch(shown);
        (owner.Terminal, owner.Input) = (false, "");
        // The answer shows the job as it is by then: its workstation may have started it already.
        Read(owner, WireJson.Default.TaskBody).ApprovalStatus.ShouldBeOneOf(ApprovalStatus.Approved, ApprovalStatus.Consumed);
        (await run).ShouldBe(0, asker.Error.Text);
        asker.Output.Text.ShouldBe("at last and else\n");
        asker.Error.Text.ShouldContain($"{first.TaskId} was approved by usr_");
        asker.Error.Text.ShouldContain(": looked at it\n");
        (await owner.InvokeAsync("jobs", "approve", first.TaskId, "--yes")).ShouldBe(125);
        owner.Error.Text.ShouldContain($"nothing of {first.TaskId} waits for an approval: it is completed, its approval consumed");
        (await owner.InvokeAsync("jobs", "show", first.TaskId)).ShouldBe(0);
        owner.Output.Text.ShouldMatch("approval: +consumed by usr_");
        (await owner.InvokeAsync("approvals", "list", "--state", "all")).ShouldBe(0);
        owner.Output.Text.Split('\n')[0].ShouldMatch("^JOB +CLASS +STATE +ASKED +FOR +BECAUSE +ID$");
        owner.Output.Text.ShouldMatch($"{first.TaskId} +production_mutation +withdrawn ");
        owner.Output.Text.ShouldMatch($"{first.TaskId} +production_mutation +consumed ");
        (await member.InvokeAsync("jobs", "update", first.TaskId, "--priority", "1")).ShouldBe(125);
        member.Error.Text.ShouldContain("current state: completed");
    }

    [Fact]
    public async Task An_approved_job_that_is_changed_before_it_starts_asks_again_and_is_rejected_with_a_reason()
    {
        var machine = fixture.Scene.Agents[0].Name;
        (await owner.InvokeAsync("workstations", "drain", machine)).ShouldBe(0, owner.Error.Text);
        try
        {
            (await asker.InvokeAsync("jobs", "run", "-d", "-w", machine, "--approval-class", "sensitive_write", "--", "true")).ShouldBe(0, asker.Error.Text);
            var job = asker.Output.Text.Trim();
            (await owner.InvokeAsync("approvals", "list", "-o", "id")).ShouldBe(0, owner.Error.Text);
            var seen = owner.Output.Text.Trim().Split('\n')[^1];
            (await owner.InvokeAsync("jobs", "approve", job, "--approval", seen)).ShouldBe(0, owner.Error.Text);
            owner.Error.Text.ShouldBe($"{job} is approved and queued\n");
            (await owner.InvokeAsync("jobs", "approve", job, "--approval", seen)).ShouldBe(0, "the same answer again");
            (await asker.InvokeAsync("jobs", "update", job, "--timeout", "5m", "--json")).ShouldBe(0, asker.Error.Text);
            var changed = Read(asker, WireJson.Default.TaskBody);
            (changed.State, changed.ApprovalStatus, changed.TimeoutSeconds).ShouldBe((TaskState.Planned, ApprovalStatus.Pending, 300));
            (await owner.InvokeAsync("jobs", "show", job)).ShouldBe(0);
            owner.Output.Text.ShouldMatch("approval: +pending, until ");

            (await owner.InvokeAsync("jobs", "reject", job)).ShouldBe(125, "without a reason");
            (await owner.InvokeAsync("jobs", "reject", job, "--reason", "not on a Friday")).ShouldBe(0, owner.Error.Text);
            owner.Error.Text.ShouldBe($"{job} is rejected and failed\n");
            (await asker.InvokeAsync("jobs", "show", job, "--json")).ShouldBe(0);
            Read(asker, WireJson.Default.TaskBody).OutcomeSummary!.ShouldEndWith(": not on a Friday");
        }
        finally
        {
            await owner.InvokeAsync("workstations", "undrain", machine);
        }
    }

    [Fact]
    public async Task Watch_tells_each_once_until_it_is_interrupted_and_a_rejected_job_ends_who_waits_for_it()
    {
        var watch = member.InvokeAsync("approvals", "watch");
        var run = asker.InvokeAsync("jobs", "run", "--tag", "gpu", "--approval-class", "sensitive_write", "--intent", "watch me", "--", "true");
        var asked = await PendingAsync(a => a.Intent == "watch me");
        await Eventually.TrueAsync(() => member.Output.Text.Contains(asked.TaskId, StringComparison.Ordinal), () => member.Error.Text, FaultScene.StartLimit);
        (await owner.InvokeAsync("jobs", "reject", asked.TaskId, "--reason", "no")).ShouldBe(0, owner.Error.Text);
        (await run).ShouldBe(126, asker.Error.Text);
        asker.Error.Text.ShouldContain($"{asked.TaskId} failed: Rejected by owner@example.org: no");
        member.Interrupts.Raise();
        (await watch).ShouldBe(0);
        member.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Count(line => line.StartsWith($"{asked.TaskId}  {asked.Id}  sensitive_write  watch me  ", StringComparison.Ordinal)).ShouldBe(1);
    }

    private async Task<ApprovalBody> PendingAsync(Func<ApprovalBody, bool> which)
    {
        ApprovalBody? found = null;
        await Eventually.TrueAsync(async () =>
        {
            (await owner.InvokeAsync("approvals", "list", "--json")).ShouldBe(0, owner.Error.Text);
            found = Read(owner, WireJson.Default.PageApprovalBody).Items.FirstOrDefault(which);
            return found is not null;
        }, () => asker.Error.Text + fixture.Scene.Evidence(), FaultScene.StartLimit);
        return found!;
    }

    /// <summary>Comes in by an invitation of the owner, as a member.</summary>
    private async Task JoinAsync(CliRun person)
    {
        (await owner.InvokeAsync("invitations", "create", "--json")).ShouldBe(0, owner.Error.Text);
        person.Input = $"{Read(owner, WireJson.Default.CreatedInvitation).Link}\ncorrect horse battery\n";
        (await person.InvokeAsync("invitations", "accept", "-", "--email", $"{Guid.NewGuid():n}@example.test", "--name", "Somebody")).ShouldBe(0, person.Error.Text);
    }

    private static T Read<T>(CliRun cli, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) => JsonSerializer.Deserialize(cli.Output.Bytes, type)!;
}
