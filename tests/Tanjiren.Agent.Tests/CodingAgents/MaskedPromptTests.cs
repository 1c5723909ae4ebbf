using System.Text;
using System.Text.Json;
using Tanjiren.Agent.CodingAgents.Questions;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Settings;
using Tanjiren.Agent.Tests.Execution;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>A-12 with coding agents: what they say of a secret leaves the machine in no log, event, response, question and answer.</summary>
public sealed class MaskedPromptTests : IAsyncLifetime
{
    private const string Secret = "correct horse battery";

    private static readonly MaskSettings Mask = new() { Literals = [Secret] };

    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        server.PermissionTimeoutMs = 120_000;
        agent = await AgentHarness.PairedAsync(server);
        agent.Settings = new AgentSettings
        {
            CodingAgents = new Dictionary<string, CodingAgentSettings> { ["fake"] = new() { Command = TestHost.Command("acp", "leaks") } },
            Mask = Mask,
        };
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task What_a_coding_agent_says_of_a_secret_leaves_nowhere()
    {
        await agent.StartAsync();
        var step = server.Prompt(Secret, "fake");
        await Eventually.TrueAsync(() => server.Permissions.Count > 0, () => step.Output());
        var asked = server.Permissions.Single();
        Told(JsonSerializer.Serialize(asked.Request, WireJson.Default.AskPermissionRequest));
        asked.Request.Tool!.Title.ShouldBe("echo [masked]");
        server.Answer(asked, PermissionVerdict.Deny, "no").ShouldBeTrue();

        await Eventually.TrueAsync(() => step.Result is not null, () => step.Output());
        await Eventually.TrueAsync(() => { lock (step.Chunks) return step.Chunks.Count == step.Result!.FinalLogSeq; });
        step.Output(LogStream.Stdout).ShouldContain("It is [masked] indeed.");
        step.Output(LogStream.Stderr).ShouldContain("execute: [masked]\n");
        foreach (var record in step.Output(LogStream.System).Split('\u001e').Skip(1)) JsonDocument.Parse(record[..record.IndexOf('\n')]);
        Told(step.Output(LogStream.System));
        Told(step.Output(LogStream.Stdout) + step.Output(LogStream.Stderr));
        Told(JsonSerializer.Serialize(step.Result!, WireJson.Default.CompleteRequest) + Encoding.UTF8.GetString(Convert.FromBase64String(step.Result!.OutputPreview!)));
    }

    [Fact]
    public void An_answer_is_masked_and_one_that_no_longer_fits_says_so()
    {
        var masks = StepMasks.Of(Mask, new Dictionary<string, string>(), null, _ => null);
        var answer = new StepAnswerRequest
        {
            Question = "a", Asked = 1, Answer = JsonSerializer.SerializeToElement($"It is {Secret}."),
            Evidence = [new AnswerEvidence { File = $"/home/{Secret}", Note = Secret }],
        };
        var masked = MaskedAnswer.Of(answer, new TaskQuestion { Name = "a", Text = "?" }, masks);
        masked.Answer!.Value.GetString().ShouldBe("It is [masked].");
        (masked.Evidence![0].File, masked.Evidence[0].Note).ShouldBe(("/home/[masked]", "[masked]"));

        var short6 = StepMasks.Of(new MaskSettings { Literals = ["aaaaab"] }, new Dictionary<string, string>(), null, _ => null);
        var long64 = answer with { Answer = JsonSerializer.SerializeToElement(string.Concat(Enumerable.Repeat("aaaaab", WireLimits.MaxAnswerBytes / 6 - 1))), Evidence = null };
        MaskedAnswer.Of(long64, new TaskQuestion { Name = "a", Text = "?" }, short6)
            .ShouldSatisfyAllConditions(m => m.Answer.ShouldBeNull(), m => m.Problem!.ShouldContain("masked"));
    }

    private static void Told(string text)
    {
        foreach (var part in new[] { Secret, "correct horse", "horse battery" }) text.ShouldNotContain(part);
    }
}
