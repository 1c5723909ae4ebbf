using System.Text.Json;
using System.Text.Json.Nodes;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

/// <summary>A call of one of the offered tools: <see cref="Input"/> is JSON, or free text.</summary>
internal sealed record ToolUse(string Name, bool IsFreeText, string Input);

/// <summary>From what a script wants to the tools that an agent happens to offer: each names them otherwise, and their arguments too.</summary>
internal static class ToolChoice
{
    private static readonly string[] Shells = ["Bash", "bash", "shell", "shell_command", "exec_command", "run_shell_command", "local_shell"];
    private static readonly string[] Writers = ["Write", "write", "write_file"];

    public static ToolUse For(ModelTurn turn, ModelRequest request) => turn switch
    {
        RunTurn run => Run(request, run.Command),
        WriteTurn write => Write(request, write),
        _ => throw new ArgumentOutOfRangeException(nameof(turn), turn, "Not a call."),
    };

    private static ToolUse Run(ModelRequest request, string command)
    {
        var tool = Find(request, Shells) ?? throw new InvalidOperationException($"None of the offered tools runs a command: {string.Join(", ", request.Tools.Select(t => t.Name))}");
        var arguments = new JsonObject();
        if (tool.Properties.TryGetValue("command", out var form)) arguments["command"] = TypeOf(form) == "array" ? new JsonArray("bash", "-lc", command) : command;
        else arguments["cmd"] = command;
        if (tool.Properties.ContainsKey("description")) arguments["description"] = "Runs it";
        return new ToolUse(tool.Name, false, arguments.ToJsonString());
    }

    private static ToolUse Write(ModelRequest request, WriteTurn write)
    {
        if (Find(request, Writers) is { } tool)
        {
            var path = tool.Properties.Keys.First(p => p is "file_path" or "filePath" or "path" or "absolute_path");
            return new ToolUse(tool.Name, false, new JsonObject { [path] = write.Path, ["content"] = write.Content }.ToJsonString());
        }
        if (Find(request, ["apply_patch"]) is not { } patcher) return Run(request, $"printf '%s' '{write.Content}' > '{write.Path}'");
        var patch = $"*** Begin Patch\n*** Add File: {write.Path}\n+{write.Content}\n*** End Patch\n";
        return patcher.IsFreeText ? new ToolUse(patcher.Name, true, patch) : new ToolUse(patcher.Name, false, new JsonObject { ["input"] = patch }.ToJsonString());
    }

    private static OfferedTool? Find(ModelRequest request, string[] names) => names.Select(name => request.Tools.FirstOrDefault(t => t.Name == name)).FirstOrDefault(t => t is not null);

    private static string? TypeOf(JsonElement form) => form.ValueKind == JsonValueKind.Object && form.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String ? type.GetString() : null;
}
