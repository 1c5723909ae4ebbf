using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Masking;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// An event of a coding agent as one record of a JSON text sequence (RFC 7464): the record separator, an object, a line feed. Whoever reads the system stream tells events from
/// the agent's own words by the separator, which no JSON holds (docs/decisions/0028-events-of-coding-agents.md). Its <c>type</c> says what else is in it.
/// </summary>
/// <param name="masks">Each text goes through them before it is cut: what is masked is found as a whole only.</param>
internal sealed class EventLine(StepMasks masks)
{
    /// <summary>Longer text is cut; what the log is for is not a copy of every file.</summary>
    public const int MaxText = 64 * 1024;

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A message or a thought.</summary>
    public byte[] Text(string type, string text) => Write(type, json => WriteText(json, "text", text));

    public byte[] Of(SessionEvent happened) => happened switch
    {
        SessionOpened opened => Write("session", json =>
        {
            WriteText(json, "codingAgent", opened.CodingAgent);
            WriteText(json, "agent", opened.Agent);
            WriteText(json, "sessionId", opened.SessionId);
            WriteText(json, "mode", opened.Mode);
        }),
        ToolChanged changed => Write("tool", json => WriteTool(json, changed.Tool, changed.HasInput, changed.HasContent)),
        PlanChanged plan => Write("plan", json =>
        {
            json.WriteStartArray("entries");
            foreach (var entry in plan.Entries)
            {
                json.WriteStartObject();
                WriteText(json, "content", entry.Content);
                WriteText(json, "priority", entry.Priority);
                WriteText(json, "status", entry.Status);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }),
        ModeChanged changed => Write("mode", json => WriteText(json, "mode", changed.Mode)),
        PermissionAsked asked => Write("permissionAsked", json => WriteQuestion(json, asked.Question)),
        PermissionSettled settled => Write("permission", json =>
        {
            WriteText(json, "id", settled.Question.Key);
            WriteText(json, "toolCallId", settled.Question.Tool.Id);
            WriteText(json, "answer", Transcript.NameOf(settled.Told));
            WriteText(json, "option", settled.Option?.OptionId);
            WriteText(json, "optionKind", settled.Option?.Kind);
            WriteText(json, "because", settled.Because);
        }),
        RequestRefused refused => Write("refused", json => WriteText(json, "method", refused.Method)),
        MessageIgnored ignored => Write("ignored", json => WriteText(json, "what", ignored.What)),
        UsageTold told => Write("usage", json =>
        {
            WriteNumber(json, "inputTokens", told.Usage.InputTokens);
            WriteNumber(json, "outputTokens", told.Usage.OutputTokens);
            WriteNumber(json, "totalTokens", told.Usage.TotalTokens);
            WriteNumber(json, "contextUsed", told.Usage.ContextUsed);
            WriteNumber(json, "contextSize", told.Usage.ContextSize);
        }),
        QuestionAsked asked => Write("question", json =>
        {
            WriteText(json, "name", asked.Question.Name);
            WriteNumber(json, "number", asked.Number);
            WriteNumber(json, "of", asked.Of);
            WriteText(json, "text", asked.Question.Text);
            WriteText(json, "fault", asked.Fault);
        }),
        QuestionSettled settled => Write("answer", json =>
        {
            WriteText(json, "question", settled.Answer.Question);
            json.WriteBoolean("answered", settled.Answer.Answer is not null);
            WriteText(json, "problem", settled.Answer.Problem);
            WriteNumber(json, "evidence", settled.Answer.Evidence?.Count ?? 0);
        }),
        TurnEnded ended => Write("end", json => WriteText(json, "stopReason", ended.StopReason)),
        MessageChunk chunk => Text("message", chunk.Text),
        ThoughtChunk chunk => Text("thought", chunk.Text),
        _ => throw new ArgumentOutOfRangeException(nameof(happened), happened, "Not an event."),
    };

    private void WriteQuestion(Utf8JsonWriter json, PermissionQuestion question)
    {
        WriteText(json, "id", question.Key);
        json.WriteStartObject("tool");
        WriteTool(json, question.Tool, withInput: true, withContent: true);
        json.WriteEndObject();
        json.WriteStartArray("options");
        foreach (var option in question.Options)
        {
            json.WriteStartObject();
            WriteText(json, "id", option.OptionId);
            WriteText(json, "name", option.Name);
            WriteText(json, "kind", option.Kind);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private void WriteTool(Utf8JsonWriter json, ToolCall tool, bool withInput, bool withContent)
    {
        WriteText(json, "id", tool.Id);
        WriteText(json, "title", tool.Title);
        WriteText(json, "kind", tool.Kind);
        WriteText(json, "status", tool.Status);
        if (tool.Locations.Count > 0)
        {
            json.WriteStartArray("locations");
            foreach (var location in tool.Locations.OfType<ToolLocation>())
            {
                json.WriteStartObject();
                WriteText(json, "path", location.Path);
                WriteNumber(json, "line", location.Line);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        if (withInput && tool.Input is { } input)
        {
            var raw = input.GetRawText();
            if (raw.Length > MaxText)
            {
                json.WriteBoolean("inputCut", true);
            }
            else
            {
                json.WritePropertyName("input");
                json.WriteRawValue(raw);
            }
        }
        if (withContent && tool.Content is { ValueKind: JsonValueKind.Array } content) WriteContent(json, content);
    }

    /// <summary>Text, and differences as old and new; each cut by itself.</summary>
    private void WriteContent(Utf8JsonWriter json, JsonElement content)
    {
        json.WriteStartArray("content");
        foreach (var block in content.EnumerateArray())
        {
            json.WriteStartObject();
            if (AcpCodec.StringOf(block, "type") == "diff")
            {
                WriteText(json, "type", "diff");
                WriteText(json, "path", AcpCodec.StringOf(block, "path"));
                WriteText(json, "oldText", AcpCodec.StringOf(block, "oldText"));
                WriteText(json, "newText", AcpCodec.StringOf(block, "newText"));
            }
            else
            {
                // Of what is no text (a terminal, an image) there is only what it was.
                var (kind, text) = (AcpCodec.StringOf(block, "type"), AcpCodec.TextOf(block));
                WriteText(json, "type", kind is null or "content" ? "text" : kind);
                if (text.Length > 0) WriteText(json, "text", text);
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private void WriteText(Utf8JsonWriter json, string name, string? text)
    {
        if (text is null) return;
        text = masks.Text(text);
        json.WriteString(name, TextCut.Keep(text, MaxText));
        if (text.Length > MaxText) json.WriteBoolean(name + "Cut", true);
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, long? number)
    {
        if (number is { } value) json.WriteNumber(name, value);
    }

    private static byte[] Write(string type, Action<Utf8JsonWriter> members)
    {
        var buffer = new ArrayBufferWriter<byte>();
        buffer.Write("\u001E"u8);
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            json.WriteStartObject();
            json.WriteString("type", type);
            members(json);
            json.WriteEndObject();
        }
        buffer.Write("\n"u8);
        return buffer.WrittenSpan.ToArray();
    }
}
