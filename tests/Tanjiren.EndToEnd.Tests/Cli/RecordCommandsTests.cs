using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>investigations</c>, <c>runbooks</c> and <c>artifacts</c> against a real control plane, where no agent is needed.</summary>
public sealed class RecordCommandsTests : IAsyncLifetime
{
    private LocalServer server = null!;

    public async ValueTask InitializeAsync() => server = await LocalServer.StartAsync();

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Fact]
    public async Task A_closed_investigation_is_opened_again_and_takes_jobs_again()
    {
        var id = await server.IdAsync("investigations", "create", "Slow disk");
        await server.RunAsync("investigations", "close", id, "--findings", "It was the disk.");
        (await server.RefusedAsync("jobs", "run", "-d", "-w", "box", "--investigation", id, "--", "true")).ShouldContain("is closed");

        await server.RunAsync("investigations", "update", id, "--reopen");
        server.Cli.Error.Text.ShouldBe($"{id} is version 3 now\n");
        var open = await server.JsonAsync(WireJson.Default.InvestigationBody, "investigations", "show", id);
        (open.Status, open.ClosedAt, open.Findings).ShouldBe((InvestigationStatus.Open, null, "It was the disk."));
        var job = await server.IdAsync("jobs", "run", "-d", "-w", "box", "--investigation", id, "--", "true");
        (await server.RunAsync("jobs", "list", "--investigation", id, "-o", "id")).ShouldBe(job + "\n");
        (await server.JsonAsync(WireJson.Default.PageAuditEventBody, "audit", "list", "--action", "investigation.reopened")).Items.ShouldHaveSingleItem().Subject.ShouldBe(id);
    }

    [Fact]
    public async Task An_investigation_is_deleted_after_a_yes_while_nothing_belongs_to_it()
    {
        var id = await server.IdAsync("investigations", "create", "Slow disk");
        (await server.RefusedAsync("investigations", "delete", id)).ShouldContain("add --yes");
        (server.Cli.Terminal, server.Cli.Input) = (true, "n\n");
        (await server.Cli.InvokeAsync("investigations", "delete", id)).ShouldBe(130);
        server.Cli.Error.Text.ShouldBe("Delete the investigation Slow disk? [y/N] nothing deleted\n");
        (server.Cli.Terminal, server.Cli.Input) = (false, "");

        var note = await server.IdAsync("artifacts", "add", id, "--title", "Seen", "--note", "It is slow.");
        (await server.RefusedAsync("investigations", "delete", id, "--yes")).ShouldContain("Close it instead, or delete its artifacts first.");
        await server.RunAsync("artifacts", "delete", note);
        (await server.JsonAsync(WireJson.Default.InvestigationBody, "investigations", "delete", id, "-y")).Title.ShouldBe("Slow disk");
        (await server.RefusedAsync("investigations", "show", id)).ShouldContain(id);
        (await server.RefusedAsync("investigations", "delete", id, "--yes")).ShouldContain(id);

        var other = await server.IdAsync("investigations", "create", "Another");
        (server.Cli.Terminal, server.Cli.Input) = (true, "y\n");
        await server.RunAsync("investigations", "delete", other);
        server.Cli.Error.Text.ShouldEndWith($"{other} is deleted\n");
        (await server.RunAsync("investigations", "list", "-o", "id")).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_runbook_is_deleted_by_its_name_or_its_id_and_its_jobs_keep_it()
    {
        var (first, second) = (await RunbookAsync("first"), await RunbookAsync("second"));
        var job = await server.IdAsync("runbooks", "run", "first", "-d");
        await server.RunAsync("runbooks", "delete", "first");
        server.Cli.Error.Text.ShouldBe("the runbook first is deleted\n");
        (await server.RunAsync("runbooks", "list", "-o", "id")).ShouldBe(second + "\n");
        await server.RunAsync("runbooks", "delete", second);
        (await server.RunAsync("runbooks", "list", "-o", "id")).ShouldBeEmpty();

        (await server.JsonAsync(WireJson.Default.TaskBody, "jobs", "show", job)).RunbookId.ShouldBe(first);
        (await server.RefusedAsync("runbooks", "run", "first", "-d")).ShouldContain("runbookId");
        (await server.RefusedAsync("runbooks", "delete", "first")).ShouldContain("first");
    }

    [Fact]
    public async Task A_note_is_kept_as_it_was_written_on_the_command_line_or_on_standard_input()
    {
        const string Text = "# Why\n\nThe disk was \"full\": ä 漢.\n";
        var job = await server.IdAsync("jobs", "run", "-d", "-w", "box", "--", "true");
        var note = await server.IdAsync("artifacts", "add", job, "--title", "Why it failed", "--note", Text);
        (await server.RunAsync("artifacts", "get", note)).ShouldBe(Text);
        server.Cli.Input = Text + "More.\n";
        var piped = await server.JsonAsync(WireJson.Default.ArtifactBody, "artifacts", "add", job, "--title", "More", "--note", "-");
        (piped.Kind, piped.Title).ShouldBe((ArtifactKind.Note, "More"));
        (await server.RunAsync("artifacts", "get", piped.Id)).ShouldBe(Text + "More.\n");
        (await server.RunAsync("artifacts", "list", job, "-o", "id")).Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe([note, piped.Id], ignoreOrder: true);

        (await server.RefusedAsync("artifacts", "add", job, "--note", "x")).ShouldContain("  title: ");
        (await server.RefusedAsync("artifacts", "add", job, "--title", "x", "--note", "x", "--link", "https://example.org")).ShouldContain("give one of --note TEXT, --link URL and --file PATH");
    }

    private async Task<string> RunbookAsync(string name) => await server.IdAsync("runbooks", "create", "--file", await server.FileAsync(name + ".json", $$"""
        { "name": "{{name}}", "intentTemplate": "Do", "command": { "argv": ["true"] }, "defaultConstraints": { "targets": { "workstations": ["box"] } }, "status": "active" }
        """));
}
