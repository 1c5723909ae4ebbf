using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks.Permissions;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Governance;

/// <summary>The doctrine of the organization that the credential acts in; every other organization is 404.</summary>
internal static class DoctrineEndpoints
{
    public static IServiceCollection AddGovernance(this IServiceCollection services) => services.AddSingleton<DoctrineStore>().AddSingleton<DoctrineGate>();

    public static void MapGovernance(this IEndpointRouteBuilder routes)
    {
        var doctrine = routes.MapGroup("/api/organizations/{id}/doctrine").WithTags("Doctrine");
        doctrine.MapGet("", GetAsync).WithName("getDoctrine").WithSummary("The doctrine in force.").RequireRole(Role.Viewer).AnswersProblems(404);
        doctrine.MapPut("", SetAsync).WithName("setDoctrine").WithSummary("Writes the next version; 409 when there is a newer one than it is based on.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        doctrine.MapGet("/versions", ListAsync).WithName("listDoctrineVersions").WithSummary("Who wrote which version and when, newest first.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 404, 422);
        doctrine.MapGet("/versions/{version}", GetVersionAsync).WithName("getDoctrineVersion").WithSummary("One version with its document.")
            .RequireRole(Role.Viewer).AnswersProblems(404);
        doctrine.MapPost("/evaluate", EvaluateAsync).WithName("evaluateDoctrine").WithSummary("What the doctrine says of a task that nobody has made, and why.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 404, 408, 413, 415, 422);
    }

    private static async Task<Results<Ok<DoctrineBody>, Problem>> GetAsync(string id, Caller caller, Database database, DoctrineStore store, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        return await database.ReadAsync(sql => store.NewestAsync(sql, caller.OrganizationId), cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : Missing("newest");
    }

    private static async Task<Results<Ok<DoctrineBody>, Problem>> SetAsync(
        string id, SetDoctrineRequest request, Caller caller, Database database, DoctrineStore store, DoctrineGate gate, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        errors.Require(request.BasedOn is >= 0, "basedOn", "is required: the version that the document was made from");
        errors.Require(request.Document is not null, "document", "is required: the doctrine as YAML");
        // Outside of the transaction: compiling hundreds of patterns takes a second, and SQLite has one writer.
        var reading = DoctrineReader.Read(request.Document ?? "");
        foreach (var fault in reading.Faults) errors.Add("document", fault.ToString());
        if (errors.Any) return errors.ToProblem();

        var (change, row, why) = await database.WriteAsync(tx => store.SetAsync(tx, caller, request.Document!, request.BasedOn!.Value), cancellationToken);
        if (change == DoctrineChange.Forbidden) return MemberEndpoints.NotAllowed(why!);
        if (change == DoctrineChange.Applied)
        {
            gate.Keep(request.Document!, reading.Doctrine);
            return TypedResults.Ok(row.ToBody());
        }
        return Problem.Conflict(ErrorCode.StateConflict, $"The doctrine is at version {row.Version} by now; this one was made from version {request.BasedOn}.",
            $"Read version {row.Version}, make your change in it, and send it with basedOn {row.Version}.", row.Version.ToString(CultureInfo.InvariantCulture));
    }

    private static async Task<Results<Ok<Page<DoctrineVersionBody>>, Problem>> ListAsync(
        string id, int? limit, string? cursor, Caller caller, Database database, DoctrineStore store, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var before = long.MaxValue;
        if (cursor is not null && !long.TryParse(page.After, NumberStyles.None, CultureInfo.InvariantCulture, out before))
        {
            var errors = new FieldErrors();
            errors.Add("cursor", "is not a cursor of this list");
            return errors.ToProblem();
        }
        var rows = await database.ReadAsync(sql => store.PageAsync(sql, caller.OrganizationId, before, page.Fetch), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToVersionBody(), row => row.Version.ToString(CultureInfo.InvariantCulture)));
    }

    private static async Task<Results<Ok<DoctrineBody>, Problem>> GetVersionAsync(
        string id, string version, Caller caller, Database database, DoctrineStore store, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        if (!int.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out var number)) return Missing(version);
        return await database.ReadAsync(sql => store.FindAsync(sql, caller.OrganizationId, number), cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : Missing(version);
    }

    private static async Task<Results<Ok<DoctrineDecisionBody>, Problem>> EvaluateAsync(
        string id, EvaluateDoctrineRequest request, Caller caller, Database database, DoctrineStore store, DoctrineGate gate, InstanceDirectory directory, TimeProvider clock,
        CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var text = CheckText(errors, request);
        TagRules.Check(errors, request.Tags, "tags");
        CheckNames(errors, request.Workstations);
        if (request.Tool is { } asked) AskedPermission.CheckTool(asked, errors);
        errors.Require(request.CodingAgent is null || CodingAgentName.IsValid(request.CodingAgent), "codingAgent", CodingAgentName.Rule);
        var at = request.At ?? clock.GetUtcNow();
        errors.Require(at >= FreezeWindow.First && at <= FreezeWindow.Last, "at", "must be from the year 2000 to 2199");
        if (errors.Any) return errors.ToProblem();

        return await database.ReadAsync<Results<Ok<DoctrineDecisionBody>, Problem>>(async sql =>
        {
            if (request.Version is { } wanted && await store.FindAsync(sql, caller.OrganizationId, wanted) is null) errors.Add("version", $"there is no version {wanted}");
            var names = request.Workstations ?? [];
            var machines = names.Count == 0 ? [] : await directory.NamedAsync(sql, caller.OrganizationId, names);
            for (var i = 0; i < names.Count; i++)
                errors.Require(machines.Any(m => m.Id == names[i] || m.Name == names[i]), $"workstations[{i}]", $"there is no workstation '{names[i]}' in this organization");
            if (errors.Any) return errors.ToProblem();

            var task = new DoctrineCase
            {
                Mode = request.Mode ?? TaskMode.Command,
                Text = text,
                Tags = DoctrineCase.Union([.. machines.Select(m => m.Tags), request.Tags ?? []]),
                ActorRole = request.Role ?? caller.Role,
                Origins = [request.Origin ?? DoctrineOrigin.Request],
                Now = at,
            };
            try
            {
                var (version, doctrine) = await gate.AtAsync(sql, caller.OrganizationId, request.Version);
                return TypedResults.Ok(ToBody(DoctrineEvaluator.Evaluate(doctrine, version, task)) with { Permission = ToolOf(request, doctrine, version, task) });
            }
            catch (UnreadableDoctrineException e)
            {
                errors.Add("version", $"can't be read by this server: {e.Fault}");
                return errors.ToProblem();
            }
        }, cancellationToken);
    }

    /// <summary>What patterns read: the command of a command, the prompt of the other modes.</summary>
    private static string CheckText(FieldErrors errors, EvaluateDoctrineRequest request)
    {
        var isCommand = request.Mode is null or TaskMode.Command;
        errors.Require(!isCommand || request.Prompt is null, "prompt", "belongs to the modes prompt and investigate");
        errors.Require(isCommand || request.Command is null, "command", "belongs to the mode command");
        errors.Require(!isCommand || request.Command is null || request.Command.Argv is null != request.Command.Shell is null, "command", "needs exactly one of command.argv and command.shell");
        var text = isCommand ? DoctrineCase.TextOf(request.Command) : request.Prompt ?? "";
        errors.Require(Encoding.UTF8.GetByteCount(text) <= WireLimits.MaxCommandBytes, isCommand ? "command" : "prompt", $"has more than {WireLimits.MaxCommandBytes} bytes");
        return text;
    }

    private static void CheckNames(FieldErrors errors, IReadOnlyList<string>? names)
    {
        errors.Require(names is null || names.Count <= WireLimits.MaxTargets, "workstations", $"has more than {WireLimits.MaxTargets} elements");
        for (var i = 0; i < Math.Min(names?.Count ?? 0, WireLimits.MaxTargets); i++)
            errors.Require(names![i] is { Length: > 0 and <= WireLimits.MaxNameLength } name && !name.Any(char.IsControl), $"workstations[{i}]",
                $"must have 1 to {WireLimits.MaxNameLength} characters and no control characters");
    }

    /// <summary>Null: no tool is asked about.</summary>
    private static DoctrinePermissionBody? ToolOf(EvaluateDoctrineRequest request, Doctrine doctrine, int version, DoctrineCase task)
    {
        if (request.Tool is not { } tool) return null;
        doctrine.ToolPatterns.Compile();
        var decision = PermissionEvaluator.Evaluate(doctrine, version, new PermissionCase
        {
            ToolKind = ToolKinds.Of(tool.Kind), CodingAgent = request.CodingAgent, All = ToolText.All(tool), Whole = ToolText.Whole(tool), IsCut = tool.ArgumentsCut,
            Tags = task.Tags, ActorRole = task.ActorRole, Origins = task.Origins,
        });
        return new DoctrinePermissionBody { Verdict = decision?.Verdict, Rule = decision?.Rule, Because = decision?.Because };
    }

    private static DoctrineDecisionBody ToBody(DoctrineDecision decision) => new()
    {
        Version = decision.Version,
        Class = decision.Class,
        Forbidden = decision.Forbidden,
        FrozenUntil = decision.FrozenUntil,
        FreezeRefuses = decision.FreezeRefuses,
        Findings = [.. decision.Findings.Select(finding => new DoctrineFindingBody { Rule = finding.Rule, Effect = finding.Effect, Because = finding.Because })],
    };

    private static Problem Missing(string version) => Problem.NotFound("version of the doctrine", version);
}
