using System.Net;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Permissions;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Valid requests about what coding agents ask, and the prompts and questions that they need.</summary>
internal sealed class PermissionDrafts(Cast cast)
{
    private const int Kept = 10;

    private readonly List<StepFact> _prompts = [];
    private readonly List<(string Id, StepFact Step)> _asked = [];

    /// <summary>Null: the route is not about them.</summary>
    public async Task<string?> PathValueAsync(Draft draft, string collection, Random random)
    {
        switch (draft.Route.Name, collection)
        {
            case ("askPermission", _):
                draft.Step = await PromptAsync(random);
                draft.Device = draft.Step.Holder;
                return draft.Step.Id;
            case ("awaitPermission" or "settlePermission", "/api/steps"):
                (draft.PermissionId, draft.Step) = await AskedAsync(random);
                draft.Device = draft.Step!.Holder;
                return draft.Step.Id;
            case ("awaitPermission" or "settlePermission", _):
                return draft.PermissionId!;
            case (_, "/api/permissions"):
                return (await AskedAsync(random)).Id;
            default:
                return null;
        }
    }

    public bool TryFillBody(Draft draft, Random random)
    {
        switch (draft.Route.Name)
        {
            case "askPermission":
                draft.SetBody(Question(draft.Step!, random));
                return true;
            case "settlePermission":
                draft.SetBody(new SettlePermissionRequest { Told = (PermissionTold)random.Next(4) });
                return true;
            case "answerPermission":
                draft.SetBody(random.Next(2) == 0
                    ? new AnswerPermissionRequest { Verdict = (PermissionVerdict)random.Next(2), Reason = random.Next(2) == 0 ? "fuzz" : null }
                    : new AnswerPermissionRequest { OptionId = PermissionCalls.Options[random.Next(3)].Id });
                return true;
            default:
                return false;
        }
    }

    /// <summary>One that may have been answered since, or a new one.</summary>
    private async Task<(string Id, StepFact Step)> AskedAsync(Random random)
    {
        _asked.RemoveAll(a => !cast.Agents.Contains(a.Step.Holder!));
        if (_asked.Count > 0 && random.Next(2) == 0) return _asked[random.Next(_asked.Count)];
        for (var attempt = 0; ; attempt++)
        {
            var step = await PromptAsync(random);
            var question = Question(step, random);
            var answer = await step.Holder!.TryAskAsync(step.Id, question);
            if (answer.StatusCode == HttpStatusCode.OK)
            {
                Cast.Note(_asked, (question.PermissionId!, step));
                if (_asked.Count > Kept) _asked.RemoveAt(0);
                return _asked[^1];
            }
            _prompts.Remove(step); // it has ended, or asked too often
            if (attempt > 8) throw new InvalidOperationException($"nothing can be asked: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)}");
        }
    }

    /// <summary>A prompt that one of the workstations runs; claimed now, if there is none.</summary>
    private async Task<StepFact> PromptAsync(Random random)
    {
        _prompts.RemoveAll(p => !p.Held || !cast.Agents.Contains(p.Holder!));
        if (_prompts.Count > 0 && random.Next(8) > 0) return _prompts[random.Next(_prompts.Count)];
        for (var attempt = 0; ; attempt++)
        {
            var step = await cast.ClaimNewAsync(random, agent => new CreateTaskRequest
            {
                Mode = TaskMode.Prompt, PromptText = "What is this", Targets = new TargetSpec { Workstations = [agent.InstanceId] }, PermissionTimeoutSeconds = random.Next(2) == 0 ? 3600 : null,
            });
            if (step is not null)
            {
                Cast.Note(_prompts, step);
                if (_prompts.Count > Kept) _prompts.RemoveAt(0);
                return step;
            }
            if (attempt > 8) throw new InvalidOperationException("no prompt can be claimed");
        }
    }

    private static AskPermissionRequest Question(StepFact step, Random random) => PermissionCalls.Ask("fuzz " + random.Next(5), ToolKinds.All[random.Next(ToolKinds.All.Count)], generation: step.Generation) with
    {
        CodingAgent = random.Next(4) == 0 ? null : "claude",
        Options = random.Next(6) == 0 ? null : PermissionCalls.Options,
        Tool = new PermissionTool
        {
            CallId = "t" + random.Next(3), Kind = ToolKinds.All[random.Next(ToolKinds.All.Count)], Title = "fuzz", Paths = random.Next(2) == 0 ? ["/a", "/b"] : null,
            Arguments = random.Next(3) == 0 ? null : JsonDocument.Parse("""{"command":["fuzz7","x"],"n":[1,null,{"a":"b"}]}""").RootElement, ArgumentsCut = random.Next(5) == 0,
        },
    };
}
