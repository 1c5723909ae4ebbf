namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>--secret</c>: names are shown wherever a job is, values nowhere.</summary>
public sealed class SecretCommandsTests
{
    [Fact]
    public async Task A_job_is_shown_and_approved_with_the_names_of_its_secrets()
    {
        await using var server = await LocalServer.StartAsync();
        server.Cli.Variables["FROM_HERE"] = "hidden one";
        server.Cli.Input = "hidden two\n";
        var id = await server.IdAsync("jobs", "run", "--detach", "--workstation", "box", "--approval-class", "sensitive_write", "--secret", "FROM_HERE", "--secret", "PIPED=-", "--secret", "GIVEN=hidden=three", "--", "true");
        foreach (var arguments in new[] { new[] { "jobs", "show", id }, ["jobs", "show", "--json", id], ["jobs", "list", "--json"], ["jobs", "approve", id, "--yes"] })
        {
            var shown = await server.RunAsync(arguments) + server.Cli.Error.Text;
            foreach (var name in new[] { "FROM_HERE", "PIPED", "GIVEN" }) shown.ShouldContain(name, customMessage: string.Join(' ', arguments));
            shown.ShouldNotContain("hidden");
        }
    }

    [Fact]
    public async Task What_can_not_be_a_secret_is_refused_without_telling_it()
    {
        await using var server = await LocalServer.StartAsync();
        foreach (var secrets in new[] { new[] { "=hidden" }, ["A=hidden", "A=hidden"], ["NOT_SET_HERE"], ["1A=hidden"], ["A=-", "B=-"] })
        {
            server.Cli.Input = "hidden";
            var said = await server.RefusedAsync(["jobs", "run", "--detach", "--workstation", "box", .. secrets.SelectMany(s => new[] { "--secret", s }), "--", "true"]);
            said.ShouldNotContain("hidden");
        }
    }
}
