using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Valid requests for the routes of investigations, runbooks, prompts and artifacts, and things there to name.</summary>
internal sealed class RecordDrafts(Cast cast)
{
    public static CreateRunbookRequest Runbook(string name) => new()
    {
        Name = name,
        IntentTemplate = $"{name} on {{{{where}}}}",
        Parameters = [new() { Name = "where", Default = "all" }],
        Command = new CommandSpec { Argv = ["true", "{{where}}"] },
        DefaultConstraints = new RunbookConstraints { Targets = new TargetSpec { Tags = ["fuzz"] }, MaxParallel = 0, Environment = new Dictionary<string, string> { ["A"] = "b" } },
        DefaultPlan = "# Plan",
        SuccessCriteria = "It is true.",
        ApprovalClass = ApprovalClass.None,
        Status = RunbookStatus.Active,
    };

    /// <summary>The id of one that is there; made now, if there is none.</summary>
    public async Task<string> SpareAsync(string collection, Random random)
    {
        // What artifacts are attached to names the route that made them, not /api/artifacts.
        if (cast.MadeAt(collection, random) is { } known) return known;
        var (id, version) = collection switch
        {
            "/api/investigations" => Of(await cast.MakeAsync<CreateInvestigationRequest, InvestigationBody>(collection, new() { Title = cast.NewName() }), i => (i.Id, i.Version)),
            "/api/runbooks" => Of(await cast.MakeAsync<CreateRunbookRequest, RunbookBody>(collection, Runbook(cast.NewName())), r => (r.Id, r.Version)),
            "/api/prompts" => Of(await cast.MakeAsync<CreatePromptRequest, PromptBody>(collection, new() { Name = cast.NewName(), Text = "x" }), p => (p.Id, p.Version)),
            _ => Of(await cast.MakeAsync<CreateArtifactRequest, ArtifactBody>($"/api/investigations/{await SpareAsync("/api/investigations", random)}/artifacts", Note()), a => (a.Id, 0L)),
        };
        cast.NoteMade(collection, id);
        cast.Versions[id] = version;
        return id;
    }

    public async Task<CreateTaskRequest> RunbookTaskAsync(Random random) => new()
    {
        RunbookId = await SpareAsync("/api/runbooks", random),
        Parameters = random.Next(2) == 0 ? new Dictionary<string, string> { ["where"] = cast.NewName() } : null,
        ApprovalClass = random.Next(4) == 0 ? ApprovalClass.None : null,
    };

    public bool TryFillBody(Draft draft, Random random)
    {
        var version = draft.Path.TryGetValue("id", out var id) ? cast.Versions.GetValueOrDefault(Uri.UnescapeDataString(id), 1) : 1;
        switch (draft.Route.Name)
        {
            case "createInvestigation":
                draft.SetBody(new CreateInvestigationRequest { Title = cast.NewName(), Objective = "find\nit", Hypothesis = "x", Findings = random.Next(2) == 0 ? "y" : null });
                return true;
            case "updateInvestigation":
                draft.SetBody(new UpdateInvestigationRequest { Version = version, Findings = cast.NewName(), Hypothesis = "", Status = (InvestigationStatus)random.Next(2) });
                return true;
            case "createRunbook":
                draft.SetBody(Runbook(cast.NewName()));
                return true;
            case "updateRunbook":
                draft.SetBody(new UpdateRunbookRequest { Version = version, DefaultPlan = cast.NewName(), Status = (RunbookStatus)random.Next(3), Name = random.Next(3) == 0 ? cast.NewName() : null });
                return true;
            case "createPrompt":
                draft.SetBody(new CreatePromptRequest { Name = cast.NewName(), Text = "Look.", Tags = ["a", "b:c"] });
                return true;
            case "updatePrompt":
                draft.SetBody(new UpdatePromptRequest { Version = version, Text = cast.NewName(), Name = random.Next(3) == 0 ? cast.NewName() : null });
                return true;
            case "addTaskArtifact" or "addInvestigationArtifact":
                draft.SetBody(random.Next(3) switch
                {
                    0 => Note(),
                    1 => new CreateArtifactRequest { Kind = ArtifactKind.Link, Url = "https://example.test/" + cast.NewName() },
                    _ => new CreateArtifactRequest { Kind = ArtifactKind.Evidence, FileName = "a.txt", Text = "100%", MediaType = "text/plain" },
                });
                return true;
            case "uploadTaskArtifact" or "uploadInvestigationArtifact":
                var bytes = new byte[random.Next(0, 3000)];
                random.NextBytes(bytes);
                draft.Bytes = bytes;
                draft.Query.RemoveAll(q => q.Name is "sha256" or "title");
                draft.Query.Add(("title", cast.NewName()));
                return true;
            default:
                return false;
        }
    }

    private CreateArtifactRequest Note() => new() { Kind = ArtifactKind.Note, Title = cast.NewName(), Text = "It was *full*." };

    private static (string Id, long Version) Of<T>(T body, Func<T, (string, long)> read) => read(body);
}
