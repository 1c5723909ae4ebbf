namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>A-12 through the real command line, server and agent: what a person gives as a secret is in their job, and in nothing that they read.</summary>
public sealed class SecretJobsTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    private const string Secret = "correct horse/battery+staple";

    [Fact]
    public async Task It_reaches_the_job_and_comes_back_masked()
    {
        var script = $"""test $(printf '%s' "$KEY" | wc -c) = {Secret.Length} || exit 9; echo "$KEY"; printf '%s' "$KEY" | base64; printf 'correct '; sleep 0.2; echo horse/battery+staple >&2; echo "$KEY" >&2""";
        await using var cli = CliProcess.Start(fixture.Scene.Server.Url, fixture.Scene.Workspace.Token, fixture.NewDirectory(),
            ["jobs", "run", "--tag", "gpu", "--any", "--timeout", "60", "--secret", "KEY", "--shell", script], new Dictionary<string, string?> { ["KEY"] = Secret });
        var code = await cli.EndAsync();
        code.ShouldBe(0, $"{cli.Describe()}{Environment.NewLine}{fixture.Scene.Evidence()}");
        // Half of it on each stream is no secret: they are two.
        cli.Output.Text.ShouldBe("[masked]\n[masked]\ncorrect ");
        cli.Error.Text.ShouldContain("horse/battery+staple\n[masked]\n");
        cli.Error.Text.ShouldNotContain(Secret);
    }
}
