using System.Text;
using System.Text.Json;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents.Acp;

/// <summary>The session alone, message by message.</summary>
public sealed partial class AcpSessionTests
{
    private readonly AcpSession session = new("fake", new PromptRequest { Text = "Why?", Directory = "/src", ClientVersion = "1.0" });
    private const string Usual = """[{"optionId":"a","name":"1","kind":"allow_always"},{"optionId":"b","name":"2","kind":"allow_once"},{"optionId":"c","name":"3","kind":"reject_once"}]""";

    private readonly List<JsonElement> sent = [];

    [Fact]
    public void It_offers_nothing_and_asks_in_order()
    {
        Open();

        sent.Select(m => m.GetProperty("method").GetString()).ShouldBe(["initialize", "session/new", "session/prompt"]);
        sent[0].GetProperty("params").GetRawText().ShouldBe(
            """{"protocolVersion":1,"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false},"clientInfo":{"name":"tanjiren","title":"Tanjiren","version":"1.0"}}""");
        sent[1].GetProperty("params").GetRawText().ShouldBe("""{"cwd":"/src","mcpServers":[]}""");
        sent[2].GetProperty("params").GetRawText().ShouldBe("""{"sessionId":"s","prompt":[{"type":"text","text":"Why?"}]}""");
        sent.ShouldAllBe(m => m.GetProperty("jsonrpc").GetString() == "2.0");
    }

    [Fact]
    public void Updates_before_the_session_has_an_id_are_kept_for_it_and_those_of_others_dropped()
    {
        session.Start();
        Receive("""{"id":1,"result":{"protocolVersion":1}}""");
        Receive(Message("s", "mine"));
        Receive(Message("t", "another's"));
        session.Events.ShouldBeEmpty();
        Receive("""{"id":2,"result":{"sessionId":"s"}}""");

        session.Events.OfType<MessageChunk>().Select(m => m.Text).ShouldBe(["mine"]);
        session.Response.ToText(StepMasks.None).ShouldBe("");
    }

    [Fact]
    public void The_response_is_what_it_said_after_its_last_tool_call()
    {
        Open();
        Receive(Message("s", "First I look. "));
        session.Response.ToText(StepMasks.None).ShouldBe("First I look. ");
        Receive("""{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call_update","toolCallId":"1"}}}""");
        session.Response.ToText(StepMasks.None).ShouldBe("First I look. ");
        Receive(Message("s", "It is "));
        Receive(Message("s", "done."));
        session.Response.ToText(StepMasks.None).ShouldBe("It is done.");
    }

    /// <summary>What a job says must not fill the memory of the agent.</summary>
    [Fact]
    public void What_is_held_of_its_words_has_a_bound()
    {
        session.Start();
        Receive("""{"id":1,"result":{"protocolVersion":1}}""");
        var megabyte = new string('x', 1 << 20);
        for (var i = 0; i < 100; i++) session.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(Message("s", megabyte)))!);
        Receive("""{"id":2,"result":{"sessionId":"s"}}""");
        session.Events.OfType<MessageChunk>().Count().ShouldBe(3);
        session.Events.Clear();
        for (var i = 0; i < 200; i++)
        {
            session.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(Tool("""{"sessionUpdate":"tool_call","toolCallId":"ID","rawInput":"TEXT"}""".Replace("ID", $"{i}").Replace("TEXT", megabyte))))!);
            session.Events.Clear();
        }
        foreach (var id in new[] { "0", "199" }) Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"ID","status":"completed"}""".Replace("ID", id)));
        session.Events.OfType<ToolChanged>().Select(t => t.IsNew).ShouldBe([true, false]);
        for (var i = 0; i < 200; i++) Receive(Permission($"{i}"));
        session.Questions.Count.ShouldBe(100);
    }

    /// <summary>Codex warns after it is asked, and claude says more than one thing between two tool calls.</summary>
    [Fact]
    public void The_response_is_the_last_message_where_messages_have_ids_and_no_remark_of_the_adapter()
    {
        Open();
        Receive(Message("s", "Warning: "));
        Receive(Message("s", "beware."));
        Receive(Message("s", "I look.", "m1"));
        Receive(Message("s", "It is ", "m2"));
        Receive(Message("s", "Warning: "));
        Receive(Message("s", "again."));
        Receive(Message("s", "done.", "m2"));

        session.Response.ToText(StepMasks.None).ShouldBe("It is done.");
        var log = new List<(LogStream Stream, string Text)>();
        var transcript = new Transcript((stream, data) => log.Add((stream, Encoding.UTF8.GetString(data))), StepMasks.None);
        foreach (var happened in session.Events) transcript.Tell(happened);
        transcript.Finish();
        log.Where(l => l.Stream == LogStream.System).Select(l => JsonDocument.Parse(l.Text.Trim('\u001e')).RootElement.GetProperty("text").GetString())
            .ShouldBe(["Warning: beware.", "I look.", "It is ", "Warning: again.", "done."]);
    }

    [Fact]
    public void An_update_that_says_nothing_new_is_no_event()
    {
        Open();
        Receive(Tool("""{"sessionUpdate":"tool_call","toolCallId":"1","title":"make","status":"in_progress","rawInput":{"a":1},"locations":[{"path":"/a"}]}"""));
        Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"1","_meta":{"output":"x"}}"""));
        Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"1","title":"make","status":"in_progress","rawInput":{"a":1},"locations":[{"path":"/a"}]}"""));
        session.Events.ShouldHaveSingleItem();
    }

    /// <summary>Of what runs in the background, for example.</summary>
    [Fact]
    public void News_of_an_earlier_tool_call_in_the_middle_of_words_cuts_nothing()
    {
        Open();
        Receive(Tool("""{"sessionUpdate":"tool_call","toolCallId":"1","status":"in_progress"}"""));
        Receive(Message("s", "It is "));
        Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"1","status":"completed"}"""));
        Receive(Message("s", "done."));
        session.Response.ToText(StepMasks.None).ShouldBe("It is done.");
    }

    [Fact]
    public void Input_and_content_are_told_when_they_come_and_not_again()
    {
        Open();
        Receive(Tool("""{"sessionUpdate":"tool_call","toolCallId":"1","rawInput":{}}"""));
        Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"1","rawInput":{"a":1},"content":[{"type":"diff","path":"/a","newText":"b"}]}"""));
        Receive(Tool("""{"sessionUpdate":"tool_call_update","toolCallId":"1","status":"completed"}"""));
        session.Events.Select(e => Encoding.UTF8.GetString(new EventLine(StepMasks.None).Of(e)).Trim('\u001e', '\n')).ShouldBe(
        [
            """{"type":"tool","id":"1","input":{}}""",
            """{"type":"tool","id":"1","input":{"a":1},"content":[{"type":"diff","path":"/a","newText":"b"}]}""",
            """{"type":"tool","id":"1","status":"completed"}""",
        ]);
    }

    [Fact]
    public void What_it_says_before_it_is_asked_is_no_answer_though_it_never_is()
    {
        session.Start();
        Receive("""{"id":1,"result":{"protocolVersion":1}}""");
        Receive(Message("s", "Welcome!"));
        Receive("""{"id":2,"error":"no"}""");
        (session.End!.Kind, session.Response.ToText(StepMasks.None)).ShouldBe((SessionEndKind.NotStarted, ""));
        session.End.Detail!.ShouldContain("no");
    }

    [Fact]
    public void A_tool_call_is_one_however_often_it_is_told()
    {
        Open();
        foreach (var update in new[]
        {
            """{"sessionUpdate":"tool_call_update","toolCallId":"1","status":"in_progress"}""",
            """{"sessionUpdate":"tool_call","toolCallId":"1","title":"Edit a","kind":"edit","status":"pending"}""",
            """{"sessionUpdate":"tool_call","toolCallId":"1","status":"completed"}""",
        }) Receive(Tool(update));

        var told = session.Events.OfType<ToolChanged>().ToList();
        told.Select(t => t.IsNew).ShouldBe([true, false, false]);
        (told[^1].Tool.Title, told[^1].Tool.Kind, told[^1].Tool.Status).ShouldBe(("Edit a", "edit", "completed"));
    }

    [Fact]
    public void A_cancel_answers_what_is_pending_and_then_asks_for_the_end()
    {
        Open();
        Receive(Permission("9"));
        session.Questions.Count.ShouldBe(1);

        session.Cancel().ShouldBeTrue();

        Sent().Select(m => m.GetRawText()).ShouldBe(
        [
            """{"jsonrpc":"2.0","id":9,"result":{"outcome":{"outcome":"cancelled"}}}""",
            """{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}""",
        ]);
        // Asked while the cancel is under way, and answered after it: nothing of that waits.
        Receive(Permission("10"));
        Sent().Single().GetProperty("result").GetProperty("outcome").GetProperty("outcome").GetString().ShouldBe("cancelled");
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(PermissionVerdict.Allow, "late"));
        Sent().ShouldBeEmpty();
        Receive("""{"id":3,"result":{"stopReason":"cancelled"}}""");
        (session.End!.Kind, session.End.StopReason, session.WasCancelled).ShouldBe((SessionEndKind.Turn, "cancelled", true));
    }

    [Fact]
    public void There_is_nothing_to_cancel_before_the_turn_and_after_it()
    {
        session.Start();
        session.Cancel().ShouldBeFalse();
        Receive("""{"id":1,"result":{"protocolVersion":1}}""");
        Receive("""{"id":2,"result":{"sessionId":"s"}}""");
        Receive("""{"id":3,"result":{"stopReason":"end_turn"}}""");
        session.Cancel().ShouldBeFalse();
        session.WasCancelled.ShouldBeFalse();
    }

    [Fact]
    public void An_odd_usage_costs_no_turn_and_an_odd_mode_no_session()
    {
        session.Start();
        Receive("""{"id":1,"result":{"protocolVersion":1,"agentInfo":{"name":"x"}}}""");
        Receive("""{"id":2,"result":{"sessionId":"s","modes":[3],"configOptions":{"a":1}}}""");
        Receive("""{"id":3,"result":{"stopReason":"end_turn","usage":{"inputTokens":"many"}}}""");
        (session.End!.StopReason, session.Usage).ShouldBe(("end_turn", null));
    }

    [Fact]
    public void Modes_are_found_among_the_configuration_options_too()
    {
        var modal = new AcpSession("fake", new PromptRequest { Text = "Why?", Directory = "/src", ClientVersion = "1.0", Mode = "plan" });
        modal.Start();
        modal.Receive(AcpCodec.Read("""{"id":1,"result":{"protocolVersion":1}}"""u8)!);
        modal.Receive(AcpCodec.Read("""{"id":2,"result":{"sessionId":"s","configOptions":[{"id":"m","category":"mode","type":"select","currentValue":"code","options":[{"group":"g","name":"G","options":[{"value":"plan","name":"Plan"}]}]}]}}"""u8)!);
        var set = JsonDocument.Parse(modal.Outgoing.Last()).RootElement;
        set.GetProperty("method").GetString().ShouldBe("session/set_config_option");
        set.GetProperty("params").GetRawText().ShouldBe("""{"sessionId":"s","configId":"m","value":"plan"}""");
    }

    [Fact]
    public void A_session_may_have_more_turns_and_what_was_asked_in_one_is_settled_before_the_next()
    {
        var turns = new List<TurnOver>();
        var talk = new AcpSession("fake", new PromptRequest
        {
            Text = "Why?", Directory = "/src", ClientVersion = "1.0", Opening = new ModeChanged("first"),
            Next = over =>
            {
                turns.Add(over);
                return new NextTurn(turns.Count < 2 ? "And why that?" : null, [new ModeChanged($"after {turns.Count}")]);
            },
        });
        talk.Start();
        foreach (var message in (string[])["""{"id":1,"result":{"protocolVersion":1}}""", """{"id":2,"result":{"sessionId":"s"}}""", Message("s", "One."), Permission("9"), """{"id":3,"result":{"stopReason":"max_tokens"}}"""])
            talk.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(message))!);
        talk.End.ShouldBeNull();
        talk.Response.IsEmpty.ShouldBeTrue();
        talk.Events.OfType<PermissionSettled>().Single().Told.ShouldBe(PermissionTold.Cancelled);
        JsonDocument.Parse(talk.Outgoing.Last()).RootElement.GetProperty("params").GetProperty("prompt")[0].GetProperty("text").GetString().ShouldBe("And why that?");
        foreach (var message in (string[])[Message("s", "Two."), """{"id":3,"result":{"stopReason":"end_turn"}}""", """{"id":4,"result":{"stopReason":"end_turn","usage":{"inputTokens":7}}}"""])
            talk.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(message))!);

        turns.ShouldBe([new TurnOver("max_tokens", "One.", false), new TurnOver("end_turn", "Two.", false)]);
        (talk.End!.StopReason, talk.Usage!.InputTokens).ShouldBe(("end_turn", 7));
        talk.Events.Select(e => e.GetType().Name).ShouldBe(
            ["SessionOpened", "ModeChanged", "MessageChunk", "ToolChanged", "PermissionAsked", "PermissionSettled", "TurnEnded", "ModeChanged", "MessageChunk", "ModeChanged", "UsageTold", "TurnEnded"]);
    }

    [Fact]
    public void After_a_cancel_there_is_no_further_turn()
    {
        var talk = new AcpSession("fake", new PromptRequest { Text = "Why?", Directory = "/src", ClientVersion = "1.0", Next = over => new NextTurn("And why that?", []) });
        talk.Start();
        foreach (var message in (string[])["""{"id":1,"result":{"protocolVersion":1}}""", """{"id":2,"result":{"sessionId":"s"}}"""]) talk.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(message))!);
        talk.Cancel().ShouldBeTrue();
        talk.Receive(AcpCodec.Read("""{"id":3,"result":{"stopReason":"end_turn"}}"""u8)!);
        talk.End!.StopReason.ShouldBe("end_turn");
        JsonDocument.Parse(talk.Outgoing.Last()).RootElement.GetProperty("method").GetString().ShouldBe("session/cancel");
    }

    /// <summary>A seed for each run of arbitrary messages: whatever comes, in whatever order, nothing is thrown and nothing grows without bound.</summary>
    [Fact]
    public void Nothing_that_is_sent_can_throw()
    {
        string[] pieces =
        [
            """{"id":1,"result":{"protocolVersion":1}}""", """{"id":2,"result":{"sessionId":"s"}}""", """{"id":3,"result":null}""", """{"id":3}""", """{"id":[],"method":"x"}""",
            """{"method":"session/update"}""", """{"method":"session/update","params":[]}""", """{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":7}}}""",
            """{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":null,"locations":[null,{"path":3}]}}}""",
            """{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"plan","entries":[null,{}]}}}""", Message("s", "x"),
            """{"method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":[{"type":"text","text":"a"},{"type":"image"},3]}}}""",
            """{"id":4,"method":"session/request_permission","params":{"sessionId":"s","options":[null,{"kind":"allow_once"}]}}""", Permission("4"), Permission("{}"),
            """{"method":"$/cancel_request","params":{"requestId":4}}""", """{"method":"$/cancel_request"}""", """{"id":3,"error":{"code":1,"data":["x"]}}""", """{"id":"3","error":{}}""",
        ];
        for (var seed = 0; seed < 2000; seed++)
        {
            var random = new Random(seed);
            var one = new AcpSession("fake", new PromptRequest { Text = "Why?", Directory = "/src", ClientVersion = "1.0" });
            var transcript = new Transcript((_, _) => { }, StepMasks.None);
            one.Start();
            for (var i = 0; i < 30; i++)
            {
                if (AcpCodec.Read(Encoding.UTF8.GetBytes(pieces[random.Next(pieces.Length)])) is { } message) one.Receive(message);
                if (random.Next(20) == 0) one.Cancel();
                while (one.Questions.TryDequeue(out var question))
                    if (random.Next(2) == 0) one.Answer(question, new PermissionAnswer((PermissionVerdict)random.Next(2), "seed"));
                while (one.Events.TryDequeue(out var happened)) transcript.Tell(happened);
                while (one.Outgoing.TryDequeue(out var line)) line[^1].ShouldBe((byte)'\n');
            }
            one.Fail("over");
            one.End.ShouldNotBeNull();
        }
    }

    private void Open()
    {
        session.Start();
        Receive("""{"id":1,"result":{"protocolVersion":1}}""");
        Receive("""{"id":2,"result":{"sessionId":"s"}}""");
        Sent();
        session.Events.Clear();
    }

    private void Receive(string message) => session.Receive(AcpCodec.Read(Encoding.UTF8.GetBytes(message)).ShouldNotBeNull(message));

    /// <summary>What was sent since the last look.</summary>
    private List<JsonElement> Sent()
    {
        var news = new List<JsonElement>();
        while (session.Outgoing.TryDequeue(out var line)) news.Add(JsonDocument.Parse(line).RootElement);
        sent.AddRange(news);
        return news;
    }

    private static string Message(string sessionId, string text, string? messageId = null) =>
        """{"method":"session/update","params":{"sessionId":"SESSION","update":{"sessionUpdate":"agent_message_chunk","messageId":ID,"content":{"type":"text","text":"TEXT"}}}}"""
            .Replace("SESSION", sessionId).Replace("TEXT", text).Replace("ID", JsonSerializer.Serialize(messageId));

    private static string Tool(string update) => """{"method":"session/update","params":{"sessionId":"s","update":UPDATE}}""".Replace("UPDATE", update);

    private static string Permission(string id, string options = Usual) =>
        """{"id":ID,"method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"1","title":"run"},"options":OFFERED}}""".Replace("ID", id).Replace("OFFERED", options);
}
