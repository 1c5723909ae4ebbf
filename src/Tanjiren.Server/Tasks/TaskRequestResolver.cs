using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Runbooks;

namespace Tanjiren.Server.Tasks;

/// <summary>From what was asked for to what is stored: a runbook fills in what the request leaves out, then every default is filled in, and an investigation is joined.</summary>
internal sealed class TaskRequestResolver(LeaseOptions options, RunbookDirectory runbooks, InvestigationDirectory investigations)
{
    /// <summary>
    /// What can be seen to be wrong without the database, so that it costs no transaction; the answer has every default filled in. Of a request with a runbook: nothing,
    /// and the request as it is.
    /// </summary>
    public CreateTaskRequest Check(CreateTaskRequest request, FieldErrors errors)
    {
        if (request.RunbookId is null) return TaskRequestRules.Normalize(request, options.GraceSeconds, errors);
        errors.Require(request.Secrets is null, "secrets", "are not taken with a runbook by this version");
        return request;
    }

    /// <summary>The spec, which names neither runbook nor investigation any more, and the origin, which does; meaningful only when no error was added.</summary>
    public async Task<(CreateTaskRequest Spec, TaskOrigin Origin)> ResolveAsync(WriteTransaction tx, string organizationId, CreateTaskRequest request, FieldErrors errors)
    {
        var origin = TaskOrigin.Request;
        var whole = request;
        if (request.RunbookId is { } named)
        {
            if (await runbooks.FindActiveAsync(tx, organizationId, named, errors) is not { } runbook) return (request, origin);
            whole = RunbookExpansion.Expand(runbook.Says, request, errors);
            origin = origin with { RunbookId = runbook.Id, RunbookVersion = runbook.Version, ByPerson = IsOwn(request) };
        }
        var spec = TaskRequestRules.Normalize(whole, options.GraceSeconds, errors);
        if (request.InvestigationId is { } investigationId)
        {
            await investigations.CheckOpenAsync(tx, organizationId, investigationId, errors);
            origin = origin with { InvestigationId = investigationId };
        }
        return (spec with { InvestigationId = null }, origin);
    }

    /// <summary>Whether a request with a runbook says itself what runs, in which surroundings, or where: then it is no longer the runbook alone that brings it about.</summary>
    private static bool IsOwn(CreateTaskRequest request) =>
        request is not { Command: null, PromptText: null, Questions: null, CodingAgent: null, Environment: null, EnvironmentFromMachine: null, WorkingDirectory: null, Targets: null };
}
