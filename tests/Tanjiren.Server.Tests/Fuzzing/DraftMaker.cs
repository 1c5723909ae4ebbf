using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.DeviceTrust.Rotations;
using Tanjiren.Server.Tests.Tasks.Http;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// Makes a valid request for a route. Bodies that need to know the scenario are written here, by operation; every other route gets one from its schema, with
/// what earlier answers said under the same names. So a new route is fuzzed as soon as it is mapped.
/// </summary>
internal sealed class DraftMaker(Cast cast, FuzzClient client)
{
    private readonly WayInDrafts _waysIn = new(cast, client);
    private readonly RecordDrafts _records = new(cast);
    private readonly PermissionDrafts _permissions = new(cast);

    public async Task<Draft> MakeAsync(FuzzRoute route, Random random)
    {
        var draft = new Draft(route);
        switch (route.Admission)
        {
            case Admission.Person:
                draft.Person = random.Next(15) switch
                {
                    0 when cast.Cookies.Where(c => c.Role >= route.Least).ToList() is { Count: > 0 } cookies => cookies[random.Next(cookies.Count)],
                    1 => cast.WaysIn.ClientOf(route.Least, random),
                    _ => null,
                } ?? cast.PersonOf(route.Least, random);
                break;
            case Admission.Workstation or Admission.Key:
                draft.Device = cast.Agent(random);
                break;
        }
        await _waysIn.ChooseSenderAsync(draft, random);
        if (route.IsPage)
        {
            foreach (var name in route.PathParameters) draft.Path[name] = name == "documentName" ? "v1" : "x";
            await _waysIn.FillPageAsync(draft, random);
        }
        else
        {
            await FillPathAsync(draft, random);
            foreach (var query in route.Parameters.Where(p => p.In == "query" && p.Name != "session" && random.Next(3) == 0))
                draft.Query.Add((query.Name, Uri.EscapeDataString(QueryValue(draft, query, random))));
            if (route.Body is not null) await FillBodyAsync(draft, random);
            if (route.Parameters.Any(p => p.Name == "Idempotency-Key") && random.Next(4) == 0) draft.Headers.Add(("Idempotency-Key", random.Next(2) == 0 ? cast.NewName() : "often"));
            if (route.Streams && random.Next(3) == 0) draft.Headers.Add(("Last-Event-ID", random.Next(0, 8).ToString()));
        }
        if (route.Admission == Admission.Workstation) draft.Query.Insert(0, ("session", draft.Device!.SessionId!));
        return draft;
    }

    private async Task FillPathAsync(Draft draft, Random random)
    {
        var before = "";
        foreach (var part in draft.Route.Template.Trim('/').Split('/'))
        {
            if (part[0] == '{')
            {
                var name = part.Trim('{', '}');
                draft.Path[name] = Uri.EscapeDataString(await PathValueAsync(draft, before, name, random));
            }
            before += "/" + part;
        }
    }

    private async Task<string> PathValueAsync(Draft draft, string collection, string name, Random random)
    {
        if (await _permissions.PathValueAsync(draft, collection, random) is { } permission) return permission;
        switch (draft.Route.Name, collection)
        {
            case (_, "/api/investigations" or "/api/runbooks" or "/api/prompts" or "/api/artifacts"):
                return await _records.SpareAsync(collection, random);
            case ("claimStep", _):
                draft.Step = await cast.QueuedStepAsync(random);
                if (draft.Step.Holder is { } target && cast.Agents.Contains(target)) draft.Device = target;
                return Wrong(draft, random) ?? draft.Step.Id;
            case (_, "/api/steps"):
                draft.Step = await cast.HeldStepAsync(random, asks: draft.Route.Name == "answerStepQuestion");
                draft.Device = draft.Step.Holder!;
                return Wrong(draft, random) ?? draft.Step.Id;
            case (_, "/api/tasks/{id}/steps"):
                return draft.Step!.Id;
            case ("approveTask" or "rejectTask", _):
                return await cast.PlannedTaskAsync(random);
            case ("updateTask", _):
                draft.Step = random.Next(3) == 0 ? cast.AnyStep(random) : await cast.QueuedStepAsync(random);
                return draft.Step is null || random.Next(3) == 0 ? await cast.PlannedTaskAsync(random) : draft.Step.TaskId;
            case ("retryTask", _) when random.Next(3) > 0:
                return await cast.CancelledTaskAsync(random);
            case ("runSchedule", _) when random.Next(2) == 0:
                return await cast.NewScheduleAsync(random);
            case (_, "/api/schedules"):
                return await cast.ScheduleAsync(random);
            case (_, "/api/tasks"):
                draft.Step = cast.AnyStep(random) ?? await cast.QueuedStepAsync(random);
                return draft.Step.TaskId;
            case (_, "/api/organizations"):
                return cast.OrganizationId;
            case (_, "/api/organizations/{id}/members"):
                return await cast.SpareMemberAsync(random);
            case (_, "/api/auth/tokens"):
                var (id, owner) = await cast.SpareTokenAsync();
                draft.Person = cast.People.FirstOrDefault(p => p.UserId == owner.UserId) ?? owner;
                return id;
            case (_, "/api/workers"):
                return "worker:" + cast.Agent(random).InstanceId;
            case (_, "/api/organizations/{id}/doctrine/versions"):
                return random.Next(1, cast.DoctrineVersion + 1).ToString();
            case ("approveKeyRotation" or "rejectKeyRotation", "/api/instances"):
                draft.Rotation = await cast.RotationAsync(random);
                return draft.Rotation.InstanceId;
            case ("approveKeyRotation" or "rejectKeyRotation", _):
                return draft.Rotation!.Id;
            case ("removeInstance" or "createPairingCode", _):
                return await cast.SpareInstanceAsync(random);
            case (_, "/api/instances") when draft.Route.Admission == Admission.Workstation:
                return draft.Device!.InstanceId;
            case (_, "/api/instances"):
                return random.Next(3) == 0 ? await cast.SpareInstanceAsync(random) : cast.Agent(random).InstanceId;
            default:
                return await _waysIn.PathValueAsync(draft, collection, random) ?? cast.MadeAt(collection, random) ?? cast.Seen(name, random) ?? Ids.New("id_", TimeProvider.System);
        }
    }

    /// <summary>A plausible but wrong step every sixth time: one that waits, runs elsewhere or has ended.</summary>
    private string? Wrong(Draft draft, Random random)
    {
        if (random.Next(6) != 0 || cast.AnyStep(random) is not { } other) return null;
        draft.Step = other;
        draft.Changes.Add("another step");
        if (other.Holder is { } holder && cast.Agents.Contains(holder) && random.Next(2) == 0) draft.Device = holder;
        return other.Id;
    }

    private string QueryValue(Draft draft, FuzzParameter query, Random random) => query.Name switch
    {
        "limit" => random.Next(1, 20).ToString(),
        "waitSeconds" => "0",
        "capacity" => random.Next(0, 3).ToString(),
        "cancelsSeen" => cast.AnyStep(random)?.Id ?? "",
        "tag" => "fuzz",
        "status" when draft.Route.Name == "listInvestigations" => random.Next(2) == 0 ? "open" : "closed",
        "status" when draft.Route.Name == "listRunbooks" => random.Next(2) == 0 ? "draft" : "active",
        "status" => random.Next(2) == 0 ? "queued" : "completed",
        "mode" => random.Next(3) switch { 0 => "command", 1 => "prompt", _ => "investigate" },
        "approval" => "pending",
        "state" => random.Next(2) == 0 ? "pending" : "approved",
        "worker" => cast.Agent(random).InstanceId,
        "task" => cast.AnyStep(random)?.TaskId ?? Ids.New(Ids.Task, TimeProvider.System),
        "investigation" => cast.MadeAt("/api/investigations", random) ?? Ids.New(Ids.Investigation, TimeProvider.System),
        "title" or "fileName" => cast.NewName(),
        "sha256" => new string('0', 64),
        "instance" => draft.Device!.InstanceId,
        "cursor" when draft.Route.Name == "listTasks" => cast.AnyStep(random)?.TaskId ?? Ids.New(Ids.Task, TimeProvider.System),
        "cursor" when draft.Route.Name == "listAuditEvents" => Ids.New(Ids.AuditEvent, TimeProvider.System),
        "from" => "2020-01-01T00:00:00Z",
        "to" => "2100-01-01T00:00:00Z",
        "cursor" when draft.Route.Name == "getStepLogs" => "1." + random.Next(3),
        "cursor" => System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(cast.OrganizationId)),
        _ => (draft.Route.Schemas.Value(query.Schema, query.Name, random, n => cast.Seen(n, random)) as JsonLeaf)?.Raw.Trim('"') ?? "x",
    };

    private async Task FillBodyAsync(Draft draft, Random random)
    {
        if (await _waysIn.TryFillBodyAsync(draft, random) || _records.TryFillBody(draft, random) || _permissions.TryFillBody(draft, random)) return;
        switch (draft.Route.Name)
        {
            case "login":
                draft.SetBody(new LoginRequest { Email = cast.People[random.Next(cast.People.Count)].Email, Password = ServerFixture.Password, Organization = random.Next(2) == 0 ? cast.OrganizationId : null });
                break;
            case "pair":
                draft.Device = client.NewDevice();
                draft.SetBody(new PairRequest { Code = await cast.PairingCodeAsync(), HostName = "host" });
                break;
            case "requestKeyRotation":
                draft.NewKey = draft.Device!.WithNewKey();
                draft.SetBody(draft.Device.RequestFor(draft.NewKey));
                break;
            case "approveKeyRotation":
                draft.SetBody(new ApproveKeyRotationRequest { Fingerprint = random.Next(4) == 0 ? "AAAAAAAA" : draft.Rotation!.Last8 });
                break;
            case "rejectKeyRotation":
                draft.SetBody(new RejectKeyRotationRequest { Reason = random.Next(2) == 0 ? "fuzz" : null });
                break;
            case "recover":
                draft.Device = client.NewDevice();
                draft.SetBody(new RecoverRequest { Code = await cast.RecoveryCodeAsync(), HostName = "host", Statement = draft.Device.OwnStatement() });
                break;
            case "openSession":
                var successor = random.Next(2) == 0;
                draft.SetBody(new OpenSessionRequest
                {
                    SessionId = successor ? Ids.New(Ids.Session, TimeProvider.System) : draft.Device!.SessionId, BootId = "boot", HostName = "host", AgentVersion = "1.0",
                    MachineId = cast.MachineOf(draft.Device!), PreviousSessionIds = [draft.Device!.SessionId!],
                    Steps = cast.AnyStep(random) is { } reported ? [new StepReport { StepId = reported.Id, LeaseGeneration = reported.Generation, State = StepReportState.Running }] : null,
                });
                break;
            case "heartbeat":
                draft.SetBody(new HeartbeatRequest
                {
                    MaxConcurrent = 1000, ActiveTaskCount = 1, AgentVersion = "1.0", Labels = new Dictionary<string, string> { ["os"] = "linux", ["cpuCount"] = "8" },
                    CodingAgents = ["claude", "codex"],
                    Leases = [.. cast.Steps.Where(s => s.Held && s.Holder == draft.Device).Take(5).Select(s => new HeldLease { StepId = s.Id, LeaseGeneration = s.Generation, Phase = StepPhase.Running })],
                });
                break;
            case "createTask":
                draft.SetBody(random.Next(8) == 0 ? await _records.RunbookTaskAsync(random) : NewTask(random) with { InvestigationId = random.Next(8) == 0 ? cast.MadeAt("/api/investigations", random) : null, Secrets = random.Next(6) == 0 ? new Dictionary<string, string> { ["KEY"] = cast.NewName(), ["EMPTY"] = "" } : null });
                break;
            case "updateTask":
                draft.SetBody(new UpdateTaskRequest
                {
                    Intent = random.Next(2) == 0 ? cast.NewName() : null, Priority = random.Next(-3, 4), MaxParallel = random.Next(0, 3), TimeoutSeconds = random.Next(3000, 3600),
                    PromptText = random.Next(8) == 0 ? "What else" : null, Questions = random.Next(12) == 0 ? Cast.Inquiry().Questions : null, CodingAgent = random.Next(12) switch { 0 => "codex", 1 => "", _ => null },
                    Command = random.Next(3) == 0 ? new CommandSpec { Argv = ["true", cast.NewName()] } : null, Environment = random.Next(3) == 0 ? new Dictionary<string, string> { ["A"] = "c" } : null,
                    Targets = random.Next(4) == 0 ? new TargetSpec { Workstations = [cast.Agent(random).InstanceId] } : null,
                    Retry = random.Next(8) switch { 0 => new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 3600 }, 1 => new RetryPolicy(), _ => null },
                    ApprovalClass = random.Next(6) == 0 ? ApprovalClass.SensitiveWrite : null,
                });
                break;
            case "approveTask" or "rejectTask":
                draft.SetBody(new AnswerApprovalRequest { Reason = "fuzz" });
                break;
            case "createSchedule":
                // Seldom: what a tick makes would be in no client's plan.
                draft.SetBody(new CreateScheduleRequest
                {
                    Name = cast.NewName(), Cron = random.Next(2) == 0 ? "@yearly" : "*/7 0-3/2,5 31 DEC *", TimeZone = random.Next(2) == 0 ? "Europe/Berlin" : null, Task = NewTask(random),
                    Overlap = (OverlapRule)random.Next(3), MissedRuns = (MissedRunRule)random.Next(2),
                });
                break;
            case "updateSchedule":
                draft.SetBody(new UpdateScheduleRequest
                {
                    Name = random.Next(3) == 0 ? cast.NewName() : null, Cron = random.Next(2) == 0 ? "0 0 1 1 *" : null, TimeZone = random.Next(3) == 0 ? "Australia/Lord_Howe" : null,
                    Overlap = random.Next(2) == 0 ? OverlapRule.Queue : null, Task = random.Next(2) == 0 ? NewTask(random) : null,
                });
                break;
            case "createInstance":
                draft.SetBody(new CreateInstanceRequest { Name = cast.NewName(), Tags = ["spare", "a/b:c"], MachineId = random.Next(3) == 0 ? cast.NewName() : null });
                break;
            case "updateInstance":
                draft.SetBody(new UpdateInstanceRequest { Name = random.Next(3) == 0 ? cast.NewName() : null, AddTags = ["t" + random.Next(5)], RemoveTags = ["t" + random.Next(5)], WorkerName = random.Next(3) switch { 0 => cast.NewName(), 1 => "", _ => null } });
                break;
            case "setDoctrine":
                draft.SetBody(new SetDoctrineRequest { BasedOn = cast.DoctrineVersion, Document = NewDoctrine(random) });
                break;
            case "setWebhook":
                draft.SetBody(new SetWebhookRequest { Url = $"https://{cast.NewName()}.invalid:8443/hook?token=1", RotateSecret = random.Next(2) == 0 ? random.Next(2) == 0 : null });
                break;
            case "evaluateDoctrine":
                draft.SetBody(new EvaluateDoctrineRequest
                {
                    Command = random.Next(2) == 0 ? new CommandSpec { Shell = "fuzz7 true" } : new CommandSpec { Argv = ["fuzz7", "x"] },
                    Workstations = [cast.Agent(random).InstanceId], Tags = ["fuzz", "spare"], Role = (Role)random.Next(4), Origin = (DoctrineOrigin)random.Next(3),
                    Tool = random.Next(3) == 0 ? new PermissionTool { Kind = "execute", Title = "fuzz7 x" } : null, CodingAgent = random.Next(3) == 0 ? "claude" : null,
                    At = new DateTimeOffset(2026, random.Next(1, 13), 5, 12, 0, 0, TimeSpan.Zero), Version = random.Next(3) == 0 ? random.Next(1, cast.DoctrineVersion + 1) : null,
                });
                break;
            case "addMember":
                draft.SetBody(new AddMemberRequest { Email = cast.NewName() + "@example.test", Password = ServerFixture.Password, Role = (Role)random.Next(3) });
                break;
            case "updateMember":
                draft.SetBody(new UpdateMemberRequest { Role = (Role)random.Next(3) });
                break;
            case "claimStep":
                draft.SetBody(new ClaimRequest { ClaimId = AgentCalls.NewClaimId(), ExpectedGeneration = draft.Step!.Generation });
                break;
            case "appendStepLogs":
                var first = draft.Step!.LogSeq + 1;
                draft.SetBody(new AppendLogsRequest
                {
                    LeaseGeneration = draft.Step.Generation, Chunks = [.. Enumerable.Range(0, random.Next(1, 4)).Select(i => AgentCalls.Chunk(first + i, "line " + i + "\n"))],
                });
                break;
            case "completeStep":
                draft.SetBody(AgentCalls.Result(draft.Step!.Id, r => r with
                {
                    LeaseGeneration = draft.Step.Generation,
                    FinalLogSeq = draft.Step.LogSeq,
                    OutputPreview = "b2s=",
                    Detail = "done",
                    Response = random.Next(3) == 0 ? "It is 42." : null,
                    Usage = random.Next(3) == 0 ? new TokenUsage { InputTokens = 12, OutputTokens = 3, CostAmount = 0.01m, CostCurrency = "USD" } : null
                }));
                break;
            case "answerStepQuestion":
                var answer = Cast.AnswerTo(((string[])["what", "parts", "safe", "entry"])[random.Next(4)], draft.Step!.Generation);
                draft.SetBody(random.Next(4) > 0 ? answer : answer with { Answer = null, Evidence = null, Asked = 2, Problem = "asked twice", Said = "no idea" });
                break;
            case "releaseStep":
                draft.SetBody(new ReleaseRequest { LeaseGeneration = draft.Step!.Generation, Reason = "never started" });
                break;
            default:
                draft.Body = draft.Route.Schemas.Value(draft.Route.Body!.Value, "", random, name => Known(name, random)) as JsonObject ?? new JsonObject([]);
                // A name is required almost everywhere, whatever the schema says.
                if (draft.Route.Schemas.Properties(draft.Route.Body.Value).Any(p => p.Name == "name")) draft.Body["name"] = Json.Text(cast.NewName());
                break;
        }
    }

    /// <summary>
    /// Every part and every kind of window; it is about no task that this fuzzer creates. One of few: the server keeps 200 of them compiled, up to 1 MB each, and a run measures whether its heap grows.
    /// </summary>
    private static string NewDoctrine(Random random)
    {
        var number = random.Next(14);
        return $$"""
            # {{number}}
            forbid:
              - { name: never, when: { pattern: 'fuzz{{number % 3}} wipe' } }
            approvals:
              - { name: some, class: sensitive_write, when: { tags: [never], pattern: ['(?i)fuzz{{number % 5}}', '^x'], mode: command } }
            freeze:
              - { name: nights, zone: Europe/Berlin, cron: '0 2 * * {{number % 7}}', duration: 90m, when: { origin: schedule, role: viewer } }
              - { name: once, from: 2026-03-29 02:30, to: 2026-11-0{{1 + number % 9}}, effect: refuse, when: { tags: never } }
            permissions:
              - { name: tools, answer: {{(number % 2 == 0 ? "allow" : "deny")}}, when: { tool: [read, edit], pattern: 'fuzz{{number % 5}}', agent: claude } }
            """;
    }

    private CreateTaskRequest NewTask(Random random)
    {
        var workstations = random.Next(3) == 0 ? cast.Agents.Select(a => a.InstanceId).ToArray() : [cast.Agent(random).InstanceId];
        var task = random.Next(4) == 0 ? TaskCalls.AnyTagged("fuzz") : TaskCalls.On(workstations);
        if (random.Next(8) == 0) task = task with { Mode = TaskMode.Prompt, Command = null, PromptText = "What is " + cast.NewName(), CodingAgent = random.Next(2) == 0 ? "claude" : null, PermissionTimeoutSeconds = random.Next(2) == 0 ? random.Next(1, 86_401) : null };
        else if (random.Next(10) == 0) task = Cast.Inquiry(workstations) with { Targets = task.Targets, PromptText = random.Next(2) == 0 ? "About " + cast.NewName() : null };
        return task with
        {
            MaxParallel = random.Next(0, 3),
            StopAfterFailures = random.Next(4) == 0 ? 1 : null,
            TimeoutSeconds = 3600,
            LeaseGraceSeconds = 60,
            Priority = random.Next(-3, 4),
            OnWorkerLost = random.Next(2) == 0 ? OnWorkerLost.Requeue : null,
            Environment = new Dictionary<string, string> { ["A"] = "b" },
            WorkingDirectory = "/tmp",
            EnvironmentFromMachine = ["HOME"],
            Intent = random.Next(2) == 0 ? "fuzz" : null,
            ApprovalClass = random.Next(8) == 0 ? (ApprovalClass)random.Next(3) : null,
            Resources = random.Next(8) == 0 ? new ResourceSpec { Cpu = 1 } : null,
            Retry = random.Next(4) == 0 ? new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 3600, Backoff = BackoffKind.Exponential, On = [StepReason.ExitCode, StepReason.WorkerLost] } : null,
            Command = task.Mode is not null ? null : random.Next(3) == 0 ? new CommandSpec { Shell = "true" } : new CommandSpec { Argv = ["true", "x"] },
        };
    }

    private string? Known(string name, Random random) => name switch
    {
        "email" => cast.NewName() + "@example.test",
        "password" => ServerFixture.Password,
        "name" or "organizationName" => cast.NewName(),
        "organizationId" or "organization" => cast.OrganizationId,
        _ => cast.Seen(name, random),
    };
}
