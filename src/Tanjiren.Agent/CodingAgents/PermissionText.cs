using System.Text;
using System.Text.Json;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// A question as it leaves the machine: the one place where its words do. They are a model's and may name anything, so each text goes through <paramref name="mask"/> (a whole
/// text) or <paramref name="maskJson"/> (arguments), is cut after that, and has nothing in it that a server or a terminal can't take.
/// </summary>
/// <param name="mask">Hides secrets in a text.</param>
/// <param name="maskJson">Hides them in every text within.</param>
internal sealed class PermissionText(Func<string, string> mask, Func<JsonElement, JsonElement> maskJson)
{
    private const int MaxIdLength = 200;
    private const int MaxKindLength = 64;

    /// <summary>Hides nothing.</summary>
    public static PermissionText Plain { get; } = new(text => text, element => element);

    public AskPermissionRequest Of(PermissionQuestion question, string permissionId, long generation, string codingAgent)
    {
        var paths = question.Tool.Locations.OfType<ToolLocation>().Select(l => Line(l.Path, WireLimits.MaxToolPathLength)).OfType<string>().Distinct().ToList();
        var (arguments, cut) = Arguments(question.Tool.Input);
        return new AskPermissionRequest
        {
            LeaseGeneration = generation,
            PermissionId = permissionId,
            CodingAgent = codingAgent,
            Tool = new PermissionTool
            {
                CallId = Line(question.Tool.Id, MaxIdLength),
                Kind = Line(question.Tool.Kind, MaxKindLength),
                Title = Line(question.Tool.Words, WireLimits.MaxToolTitleLength),
                Paths = paths.Count == 0 ? null : [.. paths.Take(WireLimits.MaxToolPaths)],
                Arguments = arguments,
                ArgumentsCut = cut || paths.Count > WireLimits.MaxToolPaths,
            },
            Options = [.. question.Options.Where(o => CanBeChosen(o.OptionId)).Take(WireLimits.MaxPermissionOptions).Select(o => new PermissionOptionBody
            {
                Id = o.OptionId, Name = Line(o.Name, MaxIdLength), Kind = Line(o.Kind, MaxKindLength),
            })],
        };
    }

    /// <summary>By its id, which must come back as it is: one that can't be told, or must not be, is not offered.</summary>
    private bool CanBeChosen(string? id) => id is { Length: > 0 and <= MaxIdLength } && !id.Any(char.IsControl) && mask(id) == id;

    private (JsonElement? Arguments, bool Cut) Arguments(JsonElement? input)
    {
        if (input is not { ValueKind: not JsonValueKind.Null and not JsonValueKind.Undefined } given) return (null, false);
        if (!JsonDepth.IsShallow(given)) return (null, true);
        var masked = maskJson(given);
        // As the request will have it: written anew, which may take more escapes.
        return JsonSerializer.SerializeToUtf8Bytes(masked, WireJson.Default.JsonElement).Length <= WireLimits.MaxToolArgumentsBytes ? (masked, false) : (null, true);
    }

    /// <summary>Null: there is no text.</summary>
    private string? Line(string? text, int longest)
    {
        if (string.IsNullOrWhiteSpace(text)) return null;
        var line = new string([.. mask(text).Select(c => char.IsControl(c) ? ' ' : c)]).Trim();
        if (line.Length > longest) line = TextCut.Keep(line, longest - 1) + "…";
        // Half of a surrogate pair is no text: by way of UTF-8 it becomes a replacement character.
        return line.Length == 0 ? null : Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(line));
    }
}
