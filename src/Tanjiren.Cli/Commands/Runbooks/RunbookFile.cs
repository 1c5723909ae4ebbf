using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary>A runbook as people write it: JSON with the fields of the API, in which comments and a comma too many are forgiven and a misspelt field is not.</summary>
internal static class RunbookFile
{
    /// <summary>What the server says of a runbook and nobody writes; in what <c>runbooks show --json</c> printed it is left out.</summary>
    private static readonly string[] Told = ["id", "createdBy", "createdAt", "updatedAt"];

    private static readonly WireJson Strict = new(new JsonSerializerOptions(WireJson.Default.Options) { UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow });

    /// <summary>With the version, if the file has one: it was made from what <c>runbooks show --json</c> printed.</summary>
    public static UpdateRunbookRequest Read(CliContext cli, string path)
    {
        var text = path == "-" ? cli.Input.ReadToEnd() : File.ReadAllText(path);
        try
        {
            var forgiving = new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };
            if (JsonNode.Parse(text, documentOptions: forgiving) is not JsonObject fields) throw new JsonException("it is no JSON object");
            foreach (var name in Told) fields.Remove(name);
            return fields.Deserialize(Strict.UpdateRunbookRequest)!;
        }
        catch (Exception e) when (e is JsonException or ArgumentException) // the latter: a field is there twice
        {
            throw new CliException($"{(path == "-" ? "standard input" : $"'{Text.Safe(path)}'")} is not a runbook: {Text.Safe(e.Message)}", "docs/concepts/runbooks.md shows one; `tanvrit-compute runbooks show NAME --json` prints one", e);
        }
    }
}
