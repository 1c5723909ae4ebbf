using System.Text.Json.Nodes;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

/// <summary>An answer as the server-sent events of a dialect: the start, pieces of text, a call or none, and the end.</summary>
internal static class AnswerFrames
{
    private const int InputTokens = 100, OutputTokens = 20;

    /// <summary>What comes before the first word.</summary>
    public static IEnumerable<string> Start(ModelRequest request) => request.Dialect switch
    {
        ModelDialect.Messages =>
        [
            Event("message_start", new JsonObject { ["message"] = Message(request, [], null) }),
            Event("content_block_start", new JsonObject { ["index"] = 0, ["content_block"] = new JsonObject { ["type"] = "text", ["text"] = "" } }),
        ],
        ModelDialect.Responses =>
        [
            Event("response.created", new JsonObject { ["response"] = Response(request, "in_progress", []) }),
            Event("response.output_item.added", new JsonObject { ["output_index"] = 0, ["item"] = OutputMessage("", "in_progress") }),
            Event("response.content_part.added", new JsonObject { ["item_id"] = "msg_1", ["output_index"] = 0, ["content_index"] = 0, ["part"] = OutputText("") }),
        ],
        _ => [Chunk(request, new JsonObject { ["role"] = "assistant", ["content"] = "" })],
    };

    public static string Word(ModelRequest request, string word) => request.Dialect switch
    {
        ModelDialect.Messages => Event("content_block_delta", new JsonObject { ["index"] = 0, ["delta"] = new JsonObject { ["type"] = "text_delta", ["text"] = word } }),
        ModelDialect.Responses => Event("response.output_text.delta", new JsonObject { ["item_id"] = "msg_1", ["output_index"] = 0, ["content_index"] = 0, ["delta"] = word }),
        _ => Chunk(request, new JsonObject { ["content"] = word }),
    };

    /// <summary>What comes after the last word: the call, if there is one, and the end.</summary>
    public static IEnumerable<string> End(ModelRequest request, string text, ToolUse? call) => request.Dialect switch
    {
        ModelDialect.Messages => EndMessages(call),
        ModelDialect.Responses => EndResponses(request, text, call),
        _ => EndChat(request, call),
    };

    /// <summary>The same answer to a request that does not stream.</summary>
    public static string Whole(ModelRequest request, string text) => request.Dialect switch
    {
        ModelDialect.Messages => Message(request, [new JsonObject { ["type"] = "text", ["text"] = text }], "end_turn").ToJsonString(),
        ModelDialect.Responses => Response(request, "completed", [OutputMessage(text, "completed")]).ToJsonString(),
        _ => new JsonObject
        {
            ["id"] = "chatcmpl-1", ["object"] = "chat.completion", ["created"] = 1, ["model"] = request.Model, ["usage"] = ChatUsage(),
            ["choices"] = new JsonArray(new JsonObject { ["index"] = 0, ["finish_reason"] = "stop", ["message"] = new JsonObject { ["role"] = "assistant", ["content"] = text } }),
        }.ToJsonString(),
    };

    private static IEnumerable<string> EndMessages(ToolUse? call)
    {
        yield return Event("content_block_stop", new JsonObject { ["index"] = 0 });
        if (call is not null)
        {
            var block = new JsonObject { ["type"] = "tool_use", ["id"] = NewId("toolu_"), ["name"] = call.Name, ["input"] = new JsonObject() };
            yield return Event("content_block_start", new JsonObject { ["index"] = 1, ["content_block"] = block });
            yield return Event("content_block_delta", new JsonObject { ["index"] = 1, ["delta"] = new JsonObject { ["type"] = "input_json_delta", ["partial_json"] = call.Input } });
            yield return Event("content_block_stop", new JsonObject { ["index"] = 1 });
        }
        yield return Event("message_delta", new JsonObject
        {
            ["delta"] = new JsonObject { ["stop_reason"] = call is null ? "end_turn" : "tool_use", ["stop_sequence"] = null }, ["usage"] = new JsonObject { ["output_tokens"] = OutputTokens },
        });
        yield return Event("message_stop", new JsonObject());
    }

    private static IEnumerable<string> EndResponses(ModelRequest request, string text, ToolUse? call)
    {
        yield return Event("response.output_text.done", new JsonObject { ["item_id"] = "msg_1", ["output_index"] = 0, ["content_index"] = 0, ["text"] = text });
        yield return Event("response.output_item.done", new JsonObject { ["output_index"] = 0, ["item"] = OutputMessage(text, "completed") });
        var output = new List<JsonNode> { OutputMessage(text, "completed") };
        if (call is not null)
        {
            var id = NewId("call_");
            JsonObject Item() => call.IsFreeText
                ? new JsonObject { ["type"] = "custom_tool_call", ["id"] = "ctc_1", ["call_id"] = id, ["name"] = call.Name, ["input"] = call.Input, ["status"] = "completed" }
                : new JsonObject { ["type"] = "function_call", ["id"] = "fc_1", ["call_id"] = id, ["name"] = call.Name, ["arguments"] = call.Input, ["status"] = "completed" };
            yield return Event("response.output_item.added", new JsonObject { ["output_index"] = 1, ["item"] = Item() });
            yield return Event("response.output_item.done", new JsonObject { ["output_index"] = 1, ["item"] = Item() });
            output.Add(Item());
        }
        yield return Event("response.completed", new JsonObject { ["response"] = Response(request, "completed", output) });
    }

    private static IEnumerable<string> EndChat(ModelRequest request, ToolUse? call)
    {
        if (call is not null)
        {
            var use = new JsonObject { ["index"] = 0, ["id"] = NewId("call_"), ["type"] = "function", ["function"] = new JsonObject { ["name"] = call.Name, ["arguments"] = call.Input } };
            yield return Chunk(request, new JsonObject { ["tool_calls"] = new JsonArray(use) });
        }
        yield return Chunk(request, new JsonObject(), call is null ? "stop" : "tool_calls");
        yield return $"data: {new JsonObject { ["id"] = "chatcmpl-1", ["object"] = "chat.completion.chunk", ["created"] = 1, ["model"] = request.Model, ["choices"] = new JsonArray(), ["usage"] = ChatUsage() }.ToJsonString()}\n\n";
        yield return "data: [DONE]\n\n";
    }

    private static JsonObject Message(ModelRequest request, IEnumerable<JsonNode> content, string? stopReason) => new()
    {
        ["id"] = NewId("msg_"), ["type"] = "message", ["role"] = "assistant", ["model"] = request.Model, ["content"] = new JsonArray([.. content]),
        ["stop_reason"] = stopReason, ["stop_sequence"] = null, ["usage"] = new JsonObject { ["input_tokens"] = InputTokens, ["output_tokens"] = 1 },
    };

    private static JsonObject Response(ModelRequest request, string status, IEnumerable<JsonNode> output) => new()
    {
        ["id"] = "resp_1", ["object"] = "response", ["created_at"] = 1, ["status"] = status, ["model"] = request.Model, ["output"] = new JsonArray([.. output]),
        ["usage"] = status != "completed" ? null : new JsonObject
        {
            ["input_tokens"] = InputTokens, ["input_tokens_details"] = new JsonObject { ["cached_tokens"] = 0 },
            ["output_tokens"] = OutputTokens, ["output_tokens_details"] = new JsonObject { ["reasoning_tokens"] = 0 }, ["total_tokens"] = InputTokens + OutputTokens,
        },
    };

    private static JsonObject OutputMessage(string text, string status) => new()
    {
        ["type"] = "message", ["id"] = "msg_1", ["role"] = "assistant", ["status"] = status, ["content"] = status == "completed" ? new JsonArray(OutputText(text)) : new JsonArray(),
    };

    private static JsonObject OutputText(string text) => new() { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray() };

    private static JsonObject ChatUsage() => new() { ["prompt_tokens"] = InputTokens, ["completion_tokens"] = OutputTokens, ["total_tokens"] = InputTokens + OutputTokens };

    private static string Chunk(ModelRequest request, JsonObject delta, string? finish = null)
    {
        var choice = new JsonObject { ["index"] = 0, ["delta"] = delta, ["finish_reason"] = finish };
        return $"data: {new JsonObject { ["id"] = "chatcmpl-1", ["object"] = "chat.completion.chunk", ["created"] = 1, ["model"] = request.Model, ["choices"] = new JsonArray(choice) }.ToJsonString()}\n\n";
    }

    private static string Event(string type, JsonObject body)
    {
        body["type"] = type;
        return $"event: {type}\ndata: {body.ToJsonString()}\n\n";
    }

    private static string NewId(string prefix) => prefix + Guid.NewGuid().ToString("N")[..20];
}
