using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>A question as it is stored and judged: checked, and every default filled in.</summary>
internal sealed record AskedPermission
{
    private const int MaxIdLength = 200;
    private const int MaxKindLength = 64;

    public required string Id { get; init; }
    public required long Generation { get; init; }
    public string? CodingAgent { get; init; }
    public required PermissionTool Tool { get; init; }
    public required IReadOnlyList<PermissionOptionBody> Options { get; init; }
    /// <summary>Its arguments as text.</summary>
    public string? Arguments { get; init; }

    /// <summary>What tells a repeated question from another one under the same id.</summary>
    public string Digest { get; private init; } = "";

    /// <summary>Null when an error was added.</summary>
    public static AskedPermission? Read(AskPermissionRequest request, FieldErrors errors)
    {
        errors.Require(Ids.IsValid(request.PermissionId, Ids.Permission), "permissionId", "must be the id of a permission (perm_…)");
        errors.Require(request.LeaseGeneration >= 1, "leaseGeneration", "is required, 1 or more");
        errors.Require(request.CodingAgent is null || CodingAgentName.IsValid(request.CodingAgent), "codingAgent", CodingAgentName.Rule);
        errors.Require(request.Tool is not null, "tool", "is required: what it wants to use");
        CheckOptions(request.Options, errors);
        if (request.Tool is { } tool) CheckTool(tool, errors);
        if (errors.Any) return null;
        var arguments = request.Tool!.Arguments is { ValueKind: not JsonValueKind.Null and not JsonValueKind.Undefined } given ? given.GetRawText() : null;
        var asked = new AskedPermission
        {
            Id = request.PermissionId!,
            Generation = request.LeaseGeneration!.Value,
            CodingAgent = request.CodingAgent,
            Tool = request.Tool with { Kind = ToolKinds.Of(request.Tool.Kind), Arguments = arguments is null ? null : request.Tool.Arguments },
            Options = request.Options ?? [],
            Arguments = arguments,
        };
        var canonical = JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Default.AskPermissionRequest);
        return asked with { Digest = Convert.ToHexStringLower(SHA256.HashData(canonical)) };
    }

    /// <summary>The row of a question that nobody has answered yet.</summary>
    public PermissionRow ToRow(LockedExecution locked, string stepId, string instanceId, long timeoutMs) => new()
    {
        Id = Id,
        OrganizationId = locked.OrganizationId,
        TaskId = locked.TaskId,
        StepId = stepId,
        Generation = Generation,
        InstanceId = instanceId,
        CodingAgent = CodingAgent,
        ToolCallId = Tool.CallId,
        ToolKind = Tool.Kind!,
        Title = Tool.Title ?? Tool.Kind!,
        Paths = JsonSerializer.Serialize(Tool.Paths ?? [], WireJson.Default.IReadOnlyListString),
        Arguments = Arguments,
        ArgumentsCut = Tool.ArgumentsCut ? 1 : 0,
        Options = JsonSerializer.Serialize(Options, WireJson.Default.IReadOnlyListPermissionOptionBody),
        Digest = Digest,
        State = WireNames.Of(PermissionState.Pending),
        AskedAt = locked.Now,
        ExpiresAt = locked.Now + timeoutMs,
    };

    public static void CheckTool(PermissionTool tool, FieldErrors errors)
    {
        Check(tool.CallId, MaxIdLength, "tool.callId", errors);
        Check(tool.Kind, MaxKindLength, "tool.kind", errors);
        Check(tool.Title, WireLimits.MaxToolTitleLength, "tool.title", errors);
        var paths = tool.Paths ?? [];
        errors.Require(paths.Count <= WireLimits.MaxToolPaths, "tool.paths", $"has more than {WireLimits.MaxToolPaths} elements");
        for (var i = 0; i < paths.Count && i < WireLimits.MaxToolPaths; i++)
        {
            errors.Require(paths[i] is { Length: > 0 }, $"tool.paths[{i}]", "must be text");
            Check(paths[i], WireLimits.MaxToolPathLength, $"tool.paths[{i}]", errors);
        }
        if (tool.Arguments is not { ValueKind: not JsonValueKind.Undefined } arguments) return;
        errors.Require(Encoding.UTF8.GetByteCount(arguments.GetRawText()) <= WireLimits.MaxToolArgumentsBytes, "tool.arguments", $"has more than {WireLimits.MaxToolArgumentsBytes} bytes");
        errors.Require(JsonDepth.IsShallow(arguments), "tool.arguments", $"is nested more than {JsonDepth.Max} deep");
        errors.Require(ToolText.IsReadable(arguments), "tool.arguments", "has text with half of a surrogate pair");
    }

    private static void CheckOptions(IReadOnlyList<PermissionOptionBody>? options, FieldErrors errors)
    {
        if (options is null) return;
        errors.Require(options.Count <= WireLimits.MaxPermissionOptions, "options", $"has more than {WireLimits.MaxPermissionOptions} elements");
        for (var i = 0; i < options.Count && i < WireLimits.MaxPermissionOptions; i++)
        {
            if (options[i] is not { } option)
            {
                errors.Add($"options[{i}]", "must be an option");
                continue;
            }
            errors.Require(option.Id is { Length: > 0 }, $"options[{i}].id", "is required");
            Check(option.Id, MaxIdLength, $"options[{i}].id", errors);
            Check(option.Name, MaxIdLength, $"options[{i}].name", errors);
            Check(option.Kind, MaxKindLength, $"options[{i}].kind", errors);
        }
    }

    /// <summary>Terminals and databases show it: no control characters.</summary>
    private static void Check(string? text, int max, string field, FieldErrors errors) =>
        errors.Require(text is null || text.Length <= max && !text.Any(char.IsControl), field, $"has at most {max} characters, none of them a control character");
}
