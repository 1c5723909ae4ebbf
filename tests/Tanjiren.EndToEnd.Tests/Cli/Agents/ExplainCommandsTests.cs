using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Why a job waits, who could run it, and how the organization does, by the real command line over a real server and agents.</summary>
public sealed class ExplainCommandsTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    [Fact]
    public async Task A_job_that_waits_says_for_what_until_it_runs()
    {
        var (one, other) = (fixture.Scene.Agents[0].Name, fixture.Scene.Agents[1].Name);
        await RunAsync("workstations", "tag", one, "special");
        var id = (await RunAsync("jobs", "run", "--detach", "-o", "id", "--tag", "special", "--any", "--", "true")).Trim();
        await Eventually.TrueAsync(async () => (await fixture.Scene.Workspace.TaskAsync(id)).State == TaskState.Completed, fixture.Scene.Evidence, what: "it runs");
        (await RunAsync("jobs", "explain", id)).ShouldMatch("^It completed at .* and waits for nothing\\.\n$");

        await RunAsync("workstations", "drain", one);
        id = (await RunAsync("jobs", "run", "--detach", "-o", "id", "--tag", "special", "--any", "--", "true")).Trim();
        await RunAsync("workstations", "untag", one, "special");
        var said = await RunAsync("jobs", "explain", id);
        said.ShouldStartWith($"It waits for a workstation that matches: ");
        said.ShouldContain($"'{other}' lacks the tag special");
        said.ShouldContain("NEAREST");
        await RunAsync("workstations", "tag", one, "special");
        (await RunAsync("jobs", "explain", id)).ShouldStartWith($"It waits for one of the workstations that match (1): '{one}' is draining.\n");
        (await OfAsync(w => w.TaskExplanationBody, "jobs", "explain", id, "--json")).Steps.Single().WaitingFor.ShouldBe([WaitReason.Draining]);
        (await RunAsync("jobs", "explain", id, "-o", "id")).ShouldBe(id + "\n");
        (await RunAsync("workers", "list")).ShouldContain("draining");
        (await RunAsync("jobs", "overview")).ShouldMatch("(?s)open jobs: +0 planned, 1 queued, 0 executing\n.*queue: +1 steps; the oldest waits .*\nworkers: +2: 1 ready, 0 busy, 0 offline\n");

        await RunAsync("workstations", "undrain", one);
        await Eventually.TrueAsync(async () => (await fixture.Scene.Workspace.TaskAsync(id)).State == TaskState.Completed, fixture.Scene.Evidence, what: "it runs after all");
        var overview = await OfAsync(w => w.RuntimeOverviewBody, "jobs", "overview", "--json");
        (overview.Open.Queued, overview.Queue.Steps, overview.Workers.Ready).ShouldBe((0, 0, 2));
        overview.Ended.Completed.ShouldBeGreaterThanOrEqualTo(2);
    }

    [Fact]
    public async Task Workers_are_listed_shown_and_named()
    {
        var agent = fixture.Scene.Agents[1];
        var worker = "worker:" + agent.InstanceId;
        (await RunAsync("workers", "list", "-o", "id")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Order().ShouldBe(fixture.Scene.Agents.Select(a => "worker:" + a.InstanceId).Order());
        (await RunAsync("workers", "list", "--tag", "none-has-it", "-o", "id")).ShouldBeEmpty();
        var shown = await OfAsync(w => w.WorkerBody, "workers", "show", worker, "--json");
        (shown.DisplayName, shown.Status, shown.HealthScore, shown.Readiness.Ready).ShouldBe(($"{agent.Name} agent", WorkerStatus.Ready, 100, true));
        (await RunAsync("workers", "show", agent.Name)).ShouldMatch("\nhealth: +100 of 100\n");
        (await RunAsync("workers", "rename", agent.Name, "Big Bertha")).ShouldBe($"{agent.Name}: Big Bertha\n");
        (await RunAsync("workers", "list")).ShouldContain("Big Bertha");
        (await OfAsync(w => w.WorkerBody, "workers", "rename", agent.Name, "--json")).DisplayName.ShouldBe($"{agent.Name} agent");
    }

    private async Task<T> OfAsync<T>(Func<WireJson, JsonTypeInfo<T>> type, params string[] arguments) => JsonSerializer.Deserialize(await RunAsync(arguments), type(WireJson.Default))!;

    private async Task<string> RunAsync(params string[] arguments)
    {
        await using var cli = fixture.Run(arguments);
        (await cli.EndAsync()).ShouldBe(0, cli.Describe());
        return cli.Output.Text;
    }
}
