using System.Security.Cryptography;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>Investigations, runbooks, prompts and artifacts, through the real command line, server and agents.</summary>
public sealed class RecordsTests(AgentsFixture fixture) : IClassFixture<AgentsFixture>
{
    /// <summary>What a shell would act upon, if it ever saw it as its own text.</summary>
    private const string Hostile = "a  b; echo $(id) `id` \"c\" 'd' * && exit 9";

    [Fact]
    public async Task A_runbook_runs_into_an_investigation_that_keeps_its_summary_and_a_file_byte_for_byte()
    {
        var directory = fixture.NewDirectory();
        var machine = fixture.Scene.Agents[0].Name;
        var investigation = (await RunAsync("investigations", "create", "Why is it slow?", "--objective", "Find out", "-o", "id")).Output.Text.Trim();
        var file = Path.Combine(directory, "say.json");
        await File.WriteAllTextAsync(file, $$$"""
            { // what it says, it says as one argument and as one variable
              "name": "say-{{{investigation}}}", "intentTemplate": "Say {{message}}", "parameters": [{ "name": "message", "description": "what to say" }],
              "command": { "argv": ["sh", "-c", "printf '%s|%s' \"$1\" \"$PARAM_MESSAGE\"", "_", "{{message}}"] },
              "defaultConstraints": { "targets": { "workstations": ["{{{machine}}}"] }, "timeoutSeconds": 60 }, "successCriteria": "It was said.",
            }
            """, TestContext.Current.CancellationToken);
        var name = "say-" + investigation;
        await RunAsync("runbooks", "create", "--file", file);
        (await RunAsync(125, "runbooks", "run", name, "-p", "message=x")).Error.Text.ShouldContain("is a draft");
        await RunAsync("runbooks", "update", name, "--status", "active");
        (await RunAsync(125, "runbooks", "run", name)).Error.Text.ShouldContain("parameters.message: is required: what to say");

        var said = await RunAsync("runbooks", "run", name, "--param", "message=" + Hostile, "--investigation", investigation);
        said.Output.Text.ShouldBe($"{Hostile}|{Hostile}");
        var job = (await JsonAsync("jobs", "list", "--investigation", investigation, w => w.PageTaskBody)).Items.ShouldHaveSingleItem();
        var runbook = await JsonAsync("runbooks", "show", name, w => w.RunbookBody);
        (job.RunbookId, job.InvestigationId, job.State, job.Intent).ShouldBe((runbook.Id, investigation, TaskState.Completed, "Say " + Hostile));

        (await RunAsync(3, "jobs", "run", "-w", machine, "--investigation", investigation, "--shell", "echo no space left >&2; exit 3")).Error.Text.ShouldContain("no space left");
        var bytes = RandomNumberGenerator.GetBytes(700_000);
        var evidence = Path.Combine(directory, "heap dump.bin");
        await File.WriteAllBytesAsync(evidence, bytes, TestContext.Current.CancellationToken);
        var artifact = (await RunAsync("artifacts", "add", investigation, "--file", evidence, "--media-type", "text/html", "-o", "id")).Output.Text.Trim();
        await RunAsync("artifacts", "add", job.Id, "--link", "https://example.org/dashboard");

        var kept = (await JsonAsync("artifacts", "list", investigation, w => w.PageArtifactBody)).Items;
        kept.Select(a => a.Kind).Order().ShouldBe([ArtifactKind.Link, ArtifactKind.Evidence, ArtifactKind.Summary, ArtifactKind.Summary]);
        var known = await JsonAsync("artifacts", "get", artifact, w => w.ArtifactBody);
        (known.FileName, known.SizeBytes, known.Sha256).ShouldBe(("heap dump.bin", bytes.LongLength, Convert.ToHexStringLower(SHA256.HashData(bytes))));
        (await RunAsync("artifacts", "get", artifact)).Output.Bytes.ShouldBe(bytes);
        var copy = Path.Combine(directory, "copy.bin");
        await RunAsync("artifacts", "get", artifact, "--save", copy);
        (await File.ReadAllBytesAsync(copy, TestContext.Current.CancellationToken)).ShouldBe(bytes);
        await RunAsync(125, "artifacts", "get", artifact, "--save", copy); // never over a file that is there
        var failed = kept.Single(a => a.Kind == ArtifactKind.Summary && a.Title.StartsWith("Failed", StringComparison.Ordinal));
        var summary = (await RunAsync("artifacts", "get", failed.Id)).Output.Text;
        summary.ShouldContain("failed: exit code 3");
        summary.ShouldContain("    no space left\n");

        var shown = (await RunAsync("investigations", "show", investigation)).Output.Text;
        foreach (var id in kept.Select(a => a.Id).Append(job.Id)) shown.ShouldContain(id);
        await RunAsync("investigations", "close", investigation, "--findings", "The disk was full.");
        (await RunAsync(125, "jobs", "run", "-w", machine, "--investigation", investigation, "--", "true")).Error.Text.ShouldContain("is closed");
        await RunAsync("artifacts", "delete", artifact);
        (await RunAsync("artifacts", "list", investigation, "-o", "id")).Output.Text.ShouldNotContain(artifact);
        await RunAsync("runbooks", "archive", name);
        (await RunAsync(125, "runbooks", "run", name, "-p", "message=x")).Error.Text.ShouldContain("is archived");
    }

    [Fact]
    public async Task An_update_that_was_made_from_an_older_version_is_refused()
    {
        var directory = fixture.NewDirectory();
        var id = (await RunAsync("investigations", "create", "Two at once", "-o", "id")).Output.Text.Trim();
        await RunAsync("investigations", "update", id, "--findings", "first");
        (await RunAsync(125, "investigations", "update", id, "--findings", "second", "--if-version", "1")).Error.Text.ShouldContain("current state: 2");
        (await JsonAsync("investigations", "show", id, w => w.InvestigationBody)).Findings.ShouldBe("first");

        var (name, file) = ("nothing-" + id, Path.Combine(directory, "nothing.json"));
        await File.WriteAllTextAsync(file, $$"""{ "name": "{{name}}", "intentTemplate": "Nothing", "comand": {} }""", TestContext.Current.CancellationToken);
        (await RunAsync(125, "runbooks", "create", "--file", file)).Error.Text.ShouldContain("comand");
        await File.WriteAllTextAsync(file, $$"""{ "name": "{{name}}", "intentTemplate": "Nothing" }""", TestContext.Current.CancellationToken);
        await RunAsync("runbooks", "create", "--file", file);
        var exported = (await RunAsync("runbooks", "show", name, "--json")).Output.Text;
        await RunAsync("runbooks", "archive", name);
        await File.WriteAllTextAsync(file, exported.Replace("Nothing", "Something", StringComparison.Ordinal), TestContext.Current.CancellationToken);
        (await RunAsync(125, "runbooks", "update", name, "--file", file)).Error.Text.ShouldContain("current state: 2");
        (await JsonAsync("runbooks", "show", name, w => w.RunbookBody)).IntentTemplate.ShouldBe("Nothing");
    }

    [Fact]
    public async Task Prompts_are_saved_found_printed_as_they_are_and_deleted()
    {
        const string Text = "# Triage\n\nLook at \"everything\".\n";
        var name = "triage-" + Guid.NewGuid().ToString("n")[..8];
        await RunAsync("prompts", "create", name, "--text", Text, "--tag", name);
        (await RunAsync("prompts", "show", name)).Output.Text.ShouldBe(Text);
        var saved = (await JsonAsync("prompts", "list", "--tag", name, w => w.PagePromptBody)).Items.ShouldHaveSingleItem();
        await RunAsync("prompts", "update", name, "--name", name + "2");
        (await JsonAsync("prompts", "show", saved.Id, w => w.PromptBody)).Version.ShouldBe(2);
        await RunAsync("prompts", "delete", name + "2");
        await RunAsync(125, "prompts", "show", saved.Id);
    }

    private Task<CliProcess> RunAsync(params string[] arguments) => RunAsync(0, arguments);

    private async Task<CliProcess> RunAsync(int code, params string[] arguments)
    {
        await using var cli = fixture.Run(arguments);
        (await cli.EndAsync()).ShouldBe(code, $"{string.Join(' ', arguments)}{Environment.NewLine}{cli.Describe()}");
        return cli; // its streams stay readable
    }

    private async Task<T> JsonAsync<T>(string noun, string verb, string of, Func<WireJson, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T>> type) =>
        JsonSerializer.Deserialize((await RunAsync(noun, verb, of, "--json")).Output.Bytes, type(WireJson.Default))!;

    private async Task<T> JsonAsync<T>(string noun, string verb, string option, string of, Func<WireJson, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T>> type) =>
        JsonSerializer.Deserialize((await RunAsync(noun, verb, option, of, "--json")).Output.Bytes, type(WireJson.Default))!;
}
