using System.Text;
using System.Text.Json;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>
/// A coding agent without a model, in a process of its own: it speaks the Agent Client Protocol and misbehaves in one way, by the scenario that it is started with. On one thread
/// (see <see cref="Execution.TestHost"/>).
/// </summary>
internal static class FakeAcpAgent
{
    private static readonly StreamWriter Out = new(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true, NewLine = "\n" };
    private static readonly StreamReader In = new(Console.OpenStandardInput());

    public static int Run(string scenario)
    {
        Console.Error.WriteLine($"fake agent: {scenario}");
        while (In.ReadLine() is { } line)
        {
            using var message = JsonDocument.Parse(line);
            var id = message.RootElement.TryGetProperty("id", out var number) && number.ValueKind == JsonValueKind.Number ? number.GetInt32() : -1;
            switch (message.RootElement.TryGetProperty("method", out var method) ? method.GetString() : "")
            {
                case "initialize" when scenario == "mute":
                    break;
                case "initialize":
                    if (scenario == "dies-early") return Die();
                    Answer(id, """{"protocolVersion":VERSION,"agentInfo":{"name":"fake","version":"1.2"},"agentCapabilities":{}}""".Replace("VERSION", scenario == "newer" ? "2" : "1"));
                    break;
                case "session/new" when scenario == "signed-out":
                    Error(id, """{"code":-32000,"message":"Authentication required"}""");
                    break;
                case "session/new":
                    Update("""{"sessionUpdate":"available_commands_update","availableCommands":[]}""");
                    Update("""{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"Welcome!"}}""");
                    Answer(id, """{"sessionId":"ses-1","modes":{"currentModeId":"auto","availableModes":[{"id":"auto","name":"Auto"},{"id":"read-only","name":"Read"}]}}""");
                    break;
                case "session/set_mode":
                    Update("""{"sessionUpdate":"current_mode_update","currentModeId":MODE}""".Replace("MODE", message.RootElement.GetProperty("params").GetProperty("modeId").GetRawText()));
                    Answer(id, "{}");
                    break;
                case "session/prompt":
                    if (Prompted(scenario, id, message.RootElement.GetProperty("params").GetProperty("prompt")[0].GetProperty("text").GetString()!) is { } code) return code;
                    break;
                case "session/cancel" when scenario == "endless" || scenario.StartsWith(Script, StringComparison.Ordinal):
                    Answer(waiting, """{"stopReason":"cancelled"}""");
                    break;
                case "":
                    Answered(scenario, message.RootElement);
                    break;
            }
        }
        if (scenario == "stays") Block();
        return 0;
    }

    /// <summary>Begins a scenario that says what is done with each prompt: <c>q:good|bad|die</c>; the last of it with all that follow.</summary>
    public const string Script = "q:";

    private static int waiting;
    private static int turn;

    private static int? Prompted(string scenario, int id, string prompt)
    {
        waiting = id;
        if (scenario.StartsWith(Script, StringComparison.Ordinal)) return Inquired(scenario[Script.Length..].Split('|'), id, prompt);
        switch (scenario)
        {
            case "plain":
                Out.WriteLine("this line is no message");
                Out.WriteLine("""{"neither":"is this"}""");
                Say("Let me look. ");
                Update("""{"sessionUpdate":"tool_call","toolCallId":"t1","title":"Read a.txt","kind":"read","status":"pending"}""");
                Update("""{"sessionUpdate":"tool_call","toolCallId":"t1","title":"Read a.txt","kind":"read","status":"in_progress","content":[{"type":"content","content":{"type":"text","text":"abc"}}]}""");
                Update("""{"sessionUpdate":"tool_call_update","toolCallId":"t2","title":"Never told before","kind":"edit","content":[{"type":"diff","path":"/a","oldText":null,"newText":"b"}]}""");
                Update("""{"sessionUpdate":"plan","entries":[{"content":"look","priority":"high","status":"completed"},{"content":"say","priority":"low","status":"in_progress"}]}""");
                Update("""{"sessionUpdate":"a_kind_of_tomorrow","x":[1]}""");
                Update("""{"sessionUpdate":"usage_update","used":1200,"size":200000,"cost":{"amount":0.25,"currency":"USD"}}""");
                Say($"You asked: {prompt}");
                Answer(id, """{"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15}}""");
                break;
            case "asks":
                Out.WriteLine("""{"jsonrpc":"2.0","id":"p-1","method":"session/request_permission","params":{"sessionId":"ses-1","toolCall":{"toolCallId":"t1","title":"rm -rf /","kind":"execute","rawInput":{"command":"rm -rf /"}},"options":[{"optionId":"0","name":"Always","kind":"allow_always"},{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}""");
                break;
            case "leaks":
                Console.Error.Write(prompt[..8]);
                Console.Error.Flush();
                Update("""{"sessionUpdate":"tool_call","toolCallId":"t1","title":TEXT,"kind":"execute","status":"pending","rawInput":{"command":["echo",TEXT]},"locations":[{"path":TEXT}],"content":[{"type":"content","content":{"type":"text","text":TEXT}}]}""".Replace("TEXT", JsonSerializer.Serialize(prompt)));
                Console.Error.WriteLine(prompt[8..]);
                Say("It is " + prompt[..5]);
                Say(prompt[5..] + " indeed.");
                Out.WriteLine("""{"jsonrpc":"2.0","id":"p-1","method":"session/request_permission","params":{"sessionId":"ses-1","toolCall":{"toolCallId":"t1","title":TEXT,"rawInput":{"command":TEXT}},"options":[{"optionId":"no","name":TEXT,"kind":"reject_once"}]}}""".Replace("TEXT", JsonSerializer.Serialize("echo " + prompt)));
                break;
            case "writes":
                Out.WriteLine("""{"jsonrpc":"2.0","id":7,"method":"fs/write_text_file","params":{"sessionId":"ses-1","path":"/etc/passwd","content":""}}""");
                break;
            case "errs":
                Error(id, """{"code":-32603,"message":"Internal error","data":{"details":"the model is overloaded"}}""");
                break;
            case "refuses":
                Answer(id, """{"stopReason":"refusal"}""");
                break;
            case "gives-up":
                Answer(id, """{"stopReason":"cancelled"}""");
                break;
            case "dies":
                Say("I was about to");
                return Die();
            case "endless" or "deaf":
                Say("word ");
                break;
            default:
                Say("done");
                Answer(id, """{"stopReason":"end_turn"}""");
                break;
        }
        return null;
    }

    private static int? Inquired(string[] script, int id, string prompt)
    {
        switch (script[Math.Min(turn++, script.Length - 1)])
        {
            case "die":
                Say("I was about to");
                return Die();
            case "hang":
                Say("thinking ");
                return null;
            case "bad":
                Say("I think that it is fine.");
                break;
            case "unproven":
                Say("""Yes: {"answer": true}""");
                break;
            case "overloaded":
                Error(id, """{"code":-32603,"message":"Internal error","data":{"details":"the model is overloaded"}}""");
                return null;
            case "limit":
                Answer(id, """{"stopReason":"max_tokens"}""");
                return null;
            default:
                Say("I looked. {\"this\": \"is no answer\"}\n\n```json\n" + GoodAnswer(prompt) + "\n```\n");
                break;
        }
        Answer(id, """{"stopReason":"end_turn"}""");
        return null;
    }

    /// <summary>In the form that the prompt spells out.</summary>
    private static string GoodAnswer(string prompt)
    {
        var answer = "\"words\"";
        if (prompt.Contains("is an array of strings", StringComparison.Ordinal)) answer = """["one", "two"]""";
        if (prompt.Contains("is true for yes", StringComparison.Ordinal)) answer = "true";
        const string fields = "exactly these fields: ";
        if (prompt.IndexOf(fields, StringComparison.Ordinal) is >= 0 and var at)
        {
            var named = prompt[(at + fields.Length)..].Split('.')[0].Split(", ");
            answer = "{" + string.Join(", ", named.Select(name => $"\"{name}\": null")) + "}";
        }
        return """{"answer": ANSWER, "evidence": [{"file": "src/a.cs", "line": 3, "endLine": 5, "note": "seen"}, {"command": "ls"}]}""".Replace("ANSWER", answer);
    }

    /// <summary>Says what it was answered, and ends its turn.</summary>
    private static void Answered(string scenario, JsonElement answer)
    {
        if (scenario == "asks") Say("answered " + answer.GetProperty("result").GetProperty("outcome").GetRawText().Replace('"', '\''));
        if (scenario == "writes") Say("answered " + answer.GetProperty("error").GetProperty("code").GetRawText());
        Answer(waiting, """{"stopReason":"end_turn"}""");
    }

    private static int Die()
    {
        Console.Error.WriteLine("out of luck");
        return 3;
    }

    private static void Block()
    {
        using var never = new ManualResetEventSlim();
        never.Wait();
    }

    private static void Say(string text) => Update("""{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":TEXT}}""".Replace("TEXT", JsonSerializer.Serialize(text)));

    private static void Update(string update) => Out.WriteLine("""{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"ses-1","update":UPDATE}}""".Replace("UPDATE", update));

    private static void Answer(int id, string result) => Out.WriteLine($"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}");

    private static void Error(int id, string error) => Out.WriteLine($"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}");
}
