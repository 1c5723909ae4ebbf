using Tanjiren.Agent.Settings;
using Tanjiren.Agent.Tests.Execution;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>What a coding agent asks, from its process to the people behind a server and back, over a network that fails.</summary>
public sealed class LivePermissionTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        server.PermissionTimeoutMs = 120_000;
        agent = await AgentHarness.PairedAsync(server);
        agent.Timeouts = AgentHarness.Fast with { PermissionSlack = TimeSpan.FromMilliseconds(300), TurnGrace = TimeSpan.FromMilliseconds(500), CancelGrace = TimeSpan.FromSeconds(1) };
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task A_persons_answer_reaches_the_coding_agent_and_what_it_was_told_reaches_the_server()
    {
        var step = await StartAsync();
        var asked = await AskedAsync();
        (asked.Request.LeaseGeneration, asked.Request.CodingAgent).ShouldBe((1, "fake"));
        Ids.IsValid(asked.Request.PermissionId, Ids.Permission).ShouldBeTrue();
        var tool = asked.Request.Tool!;
        (tool.CallId, tool.Kind, tool.Title, tool.ArgumentsCut).ShouldBe(("t1", "execute", "rm -rf /", false));
        tool.Arguments!.Value.GetProperty("command").GetString().ShouldBe("rm -rf /");
        asked.Request.Options!.Select(o => (o.Id, o.Name, o.Kind)).ShouldBe([("0", "Always", "allow_always"), ("yes", "Yes", "allow_once"), ("no", "No", "reject_once")]);
        step.Result.ShouldBeNull();

        server.Answer(asked, PermissionVerdict.Allow, "yes").ShouldBeTrue();

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'yes'}");
        step.Output(LogStream.Stderr).ShouldContain("asks for permission: rm -rf /\n");
        step.Output(LogStream.Stderr).ShouldContain("permission for rm -rf /: allow (allow_once), answered by ada@example.org\n");
        await Eventually.TrueAsync(() => asked.Told == PermissionTold.Allow);
    }

    [Fact]
    public async Task An_option_that_a_person_names_is_the_one_that_is_chosen()
    {
        var step = await StartAsync();
        server.Answer(await AskedAsync(), PermissionVerdict.Allow, "0");
        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'0'}");
    }

    [Fact]
    public async Task An_option_that_contradicts_the_verdict_is_not_chosen()
    {
        var step = await StartAsync();
        server.Answer(await AskedAsync(), PermissionVerdict.Deny, "0");
        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
    }

    [Fact]
    public async Task An_answer_that_was_given_while_the_connection_was_cut_arrives_when_it_is_back()
    {
        var step = await StartAsync();
        var asked = await AskedAsync();
        await Eventually.TrueAsync(() => server.Count("permission") > 0);

        server.Down = true;
        server.Changed();
        // The one that hung, and one that was tried since.
        await Eventually.TrueAsync(() => server.Losses > 1);
        server.Answer(asked, PermissionVerdict.Allow, "yes").ShouldBeTrue();
        step.Result.ShouldBeNull();
        server.Down = false;

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'yes'}");
        server.Permissions.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("permissions")]
    [InlineData("permission")]
    [InlineData("settle")]
    public async Task A_request_whose_answer_was_lost_is_repeated_under_its_id(string route)
    {
        server.LoseAnswers(route, 2);
        var step = await StartAsync();
        var asked = await AskedAsync();
        server.Answer(asked, PermissionVerdict.Deny, "no");

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
        await Eventually.TrueAsync(() => asked.Told == PermissionTold.Deny);
        server.Permissions.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Without_an_answer_in_time_it_is_denied()
    {
        server.PermissionTimeoutMs = 700;
        var step = await StartAsync();

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
        step.Output(LogStream.Stderr).ShouldContain("deny (reject_once), nobody answered in time, says the server");
        server.Permissions.Single().State.ShouldBe(PermissionState.Expired);
    }

    [Theory]
    [InlineData(true, "no answer reached this machine in time")]
    [InlineData(false, "no server could be reached in time")]
    public async Task Without_a_server_it_is_denied_when_its_time_is_over(bool wasTaken, string words)
    {
        server.PermissionTimeoutMs = 1500;
        if (!wasTaken) server.Cut("permissions", "permission", "settle");
        var step = await StartAsync();
        if (wasTaken)
        {
            await AskedAsync();
            await Eventually.TrueAsync(() => server.Count("permission") > 0);
            server.Cut("permissions", "permission", "settle");
        }

        await Eventually.TrueAsync(() => step.Output(LogStream.Stderr).Contains(words, StringComparison.Ordinal), () => step.Output());
        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
        server.Permissions.Count.ShouldBe(wasTaken ? 1 : 0);
        // Whoever answers now is told that it is too late.
        if (wasTaken) server.Answer(server.Permissions.Single(), PermissionVerdict.Allow, "yes").ShouldBeFalse();
    }

    [Fact]
    public async Task A_server_that_does_not_take_the_question_denies_it()
    {
        server.Refuse("permissions", 409, ErrorCode.StateConflict, detail: "too many questions");
        var step = await StartAsync();

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'no'}");
        step.Output(LogStream.Stderr).ShouldContain("the server does not take the question: too many questions");
    }

    [Fact]
    public async Task What_may_pass_is_not_taken_for_a_no()
    {
        server.Intercept("permissions", 502, 3);
        server.Intercept("permission", 503, 3);
        var step = await StartAsync();
        server.Answer(await AskedAsync(), PermissionVerdict.Allow, "yes");

        (await ResultAsync(step)).Response.ShouldBe("answered {'outcome':'selected','optionId':'yes'}");
    }

    [Fact]
    public async Task A_cancel_while_it_waits_ends_the_question()
    {
        var step = await StartAsync();
        var asked = await AskedAsync();

        server.Cancel(step);

        var result = await ResultAsync(step);
        (result.Outcome, result.Response).ShouldBe((StepOutcome.Cancelled, "answered {'outcome':'cancelled'}"));
        await Eventually.TrueAsync(() => asked.Told == PermissionTold.Cancelled && asked.State == PermissionState.Withdrawn);
    }

    private async Task<FakePermission> AskedAsync()
    {
        await Eventually.TrueAsync(() => server.Permissions.Count > 0);
        return server.Permissions.Single();
    }

    private async Task<FakeStep> StartAsync()
    {
        agent.Settings = new AgentSettings { CodingAgents = new Dictionary<string, CodingAgentSettings> { ["fake"] = new() { Command = TestHost.Command("acp", "asks") } } };
        await agent.StartAsync();
        return server.Prompt("hello", "fake");
    }

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        // The last of the output may come after the result.
        await Eventually.TrueAsync(() => { lock (step.Chunks) return step.Chunks.Count == step.Result!.FinalLogSeq; });
        return step.Result!;
    }
}
