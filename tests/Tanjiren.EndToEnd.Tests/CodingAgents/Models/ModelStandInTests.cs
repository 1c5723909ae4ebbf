using System.Net;
using System.Text;
using System.Text.Json;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

/// <summary>The stand-in speaks as the vendors' documents say, or what is proven with it is proven of nothing.</summary>
public sealed class ModelStandInTests
{
    private const string MessagesTools = """{"model":"m","stream":true,"max_tokens":9,"tools":[{"name":"Bash","input_schema":{"properties":{"command":{"type":"string"},"description":{}}}},{"name":"Write","input_schema":{"properties":{"file_path":{},"content":{}}}}],"messages":[{"role":"user","content":"hi"}]}""";
    private const string ResponsesTools = """{"model":"m","stream":true,"tools":[{"type":"function","name":"shell","parameters":{"properties":{"command":{"type":"array"}}}},{"type":"custom","name":"apply_patch"}],"input":[{"type":"message","role":"user","content":[]}]}""";
    private const string ChatTools = """{"model":"m","stream":true,"tools":[{"type":"function","function":{"name":"bash","parameters":{"properties":{"command":{"type":"string"}}}}}],"messages":[{"role":"user","content":"hi"}]}""";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Messages_stream_blocks_of_text_and_a_tool_use()
    {
        await using var model = await ModelStandIn.StartAsync();
        model.Script(ModelTurn.Run("make test"));
        var events = await EventsAsync(model, "/v1/messages?beta=true", MessagesTools);

        events.Select(e => e.Type).Where(t => t != "content_block_delta").ShouldBe(
            ["message_start", "content_block_start", "content_block_stop", "content_block_start", "content_block_stop", "message_delta", "message_stop"]);
        string.Concat(events.Where(e => Delta(e, "text_delta")).Select(e => e.Data.GetProperty("delta").GetProperty("text").GetString())).ShouldBe("I will do that.");
        JsonDocument.Parse(string.Concat(events.Where(e => Delta(e, "input_json_delta")).Select(e => e.Data.GetProperty("delta").GetProperty("partial_json").GetString())))
            .RootElement.GetProperty("command").GetString().ShouldBe("make test");
        events[^2].Data.GetProperty("delta").GetProperty("stop_reason").GetString().ShouldBe("tool_use");
        events[0].Data.GetProperty("message").GetProperty("usage").GetProperty("input_tokens").GetInt32().ShouldBe(100);
    }

    [Fact]
    public async Task Responses_stream_text_and_function_and_custom_tool_calls()
    {
        await using var model = await ModelStandIn.StartAsync();
        model.Script(ModelTurn.Run("ls"), ModelTurn.Write("a.txt", "hello"));
        var events = await EventsAsync(model, "/v1/responses", ResponsesTools);
        events[0].Type.ShouldBe("response.created");
        var item = events.Last(e => e.Type == "response.output_item.done").Data.GetProperty("item");
        (item.GetProperty("type").GetString(), item.GetProperty("arguments").GetString()).ShouldBe(("function_call", """{"command":["bash","-lc","ls"]}"""));
        var response = events[^1].Data.GetProperty("response");
        (events[^1].Type, response.GetProperty("usage").GetProperty("total_tokens").GetInt32(), response.GetProperty("output").GetArrayLength()).ShouldBe(("response.completed", 120, 2));

        // One tool has answered: the second turn.
        events = await EventsAsync(model, "/v1/responses", ResponsesTools.Replace("\"input\":[", "\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"1\",\"output\":\"\"},"));
        item = events.Last(e => e.Type == "response.output_item.done").Data.GetProperty("item");
        (item.GetProperty("type").GetString(), item.GetProperty("name").GetString()).ShouldBe(("custom_tool_call", "apply_patch"));
        item.GetProperty("input").GetString()!.ShouldContain("*** Add File: a.txt\n+hello\n");
    }

    [Fact]
    public async Task Chat_completions_stream_deltas_and_end_with_DONE()
    {
        await using var model = await ModelStandIn.StartAsync();
        model.Script(ModelTurn.Run("ls"), ModelTurn.Say("All done here."));
        var text = await TextAsync(model, "/v1/chat/completions", ChatTools);
        text.ShouldEndWith("data: [DONE]\n\n");
        text.ShouldContain("\"finish_reason\":\"tool_calls\"");
        text.ShouldContain("""{\u0022command\u0022:\u0022ls\u0022}""");

        text = await TextAsync(model, "/v1/chat/completions", ChatTools.Replace("\"messages\":[", "\"messages\":[{\"role\":\"tool\",\"content\":\"x\"},"));
        text.ShouldContain("\"content\":\" done\"");
        text.ShouldContain("\"finish_reason\":\"stop\"");
    }

    [Fact]
    public async Task A_request_without_tools_is_an_aside_and_uses_up_no_turn()
    {
        await using var model = await ModelStandIn.StartAsync();
        model.Script(ModelTurn.Fail(529));
        var whole = await TextAsync(model, "/v1/messages", """{"model":"m","messages":[{"role":"user","content":"Write a title for: hi"}]}""");
        JsonDocument.Parse(whole).RootElement.GetProperty("content")[0].GetProperty("text").GetString().ShouldBe("A title");
        model.Requests.Single().IsAside.ShouldBeTrue();

        using var client = new HttpClient();
        using var failed = await client.PostAsync(model.Url + "/v1/messages", new StringContent(MessagesTools), Cancelled);
        failed.StatusCode.ShouldBe((HttpStatusCode)529);
    }

    [Fact]
    public async Task It_can_break_off_and_fall_silent_in_the_middle_of_words()
    {
        await using var model = await ModelStandIn.StartAsync();
        model.Script(ModelTurn.Cut("one two"));
        await Should.ThrowAsync<Exception>(() => TextAsync(model, "/v1/messages", MessagesTools));

        model.Script(ModelTurn.Hang("one two"));
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, model.Url + "/v1/messages") { Content = new StringContent(MessagesTools) };
        using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancelled);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(Cancelled));
        var read = new StringBuilder();
        while (!read.ToString().Contains(" two", StringComparison.Ordinal)) read.Append(await reader.ReadLineAsync(Cancelled));
        read.ToString().ShouldNotContain("message_stop");
    }

    private static bool Delta((string Type, JsonElement Data) happened, string kind) => happened.Type == "content_block_delta" && happened.Data.GetProperty("delta").GetProperty("type").GetString() == kind;

    private static async Task<List<(string Type, JsonElement Data)>> EventsAsync(ModelStandIn model, string path, string body) =>
        [.. (await TextAsync(model, path, body)).Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(frame =>
        {
            var lines = frame.Split('\n');
            var data = JsonDocument.Parse(lines[1]["data: ".Length..]).RootElement;
            lines[0].ShouldBe("event: " + data.GetProperty("type").GetString());
            return (data.GetProperty("type").GetString()!, data);
        })];

    private static async Task<string> TextAsync(ModelStandIn model, string path, string body)
    {
        using var client = new HttpClient();
        using var answer = await client.PostAsync(model.Url + path, new StringContent(body, Encoding.UTF8, "application/json"), Cancelled);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        return await answer.Content.ReadAsStringAsync(Cancelled);
    }
}
