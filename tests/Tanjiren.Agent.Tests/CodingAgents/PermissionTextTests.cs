using System.Text.Json;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>What leaves the machine of a question: nothing unmasked, and nothing that a server refuses.</summary>
public sealed class PermissionTextTests
{
    private const string Id = "perm_00000000000000000000000001";

    private static readonly PermissionText Masked = new(text => text.Replace("hunter2", "[masked]", StringComparison.Ordinal),
        element => JsonDocument.Parse(element.GetRawText().Replace("hunter2", "[masked]", StringComparison.Ordinal)).RootElement);

    [Fact]
    public void Every_text_is_masked()
    {
        var asked = Masked.Of(Question(new ToolCall("t-hunter2")
        {
            Title = "curl -u me:hunter2", Kind = "hunter2", Locations = [new ToolLocation { Path = "/tmp/hunter2" }], Input = JsonDocument.Parse("""{"command":["curl","hunter2"]}""").RootElement,
        }, new PermissionOption { OptionId = "yes", Name = "Yes, hunter2", Kind = "allow_once" }, new PermissionOption { OptionId = "hunter2", Name = "No", Kind = "reject_once" }), Id, 3, "fake");

        var sent = JsonSerializer.Serialize(asked, WireJson.Default.AskPermissionRequest);
        sent.ShouldNotContain("hunter2");
        // An id must come back as it is, so one that may not be told can't be chosen.
        asked.Options!.Select(o => o.Id).ShouldBe(["yes"]);
        (asked.Tool!.Title, asked.Tool.Arguments!.Value.GetProperty("command")[1].GetString(), asked.LeaseGeneration).ShouldBe(("curl -u me:[masked]", "[masked]", 3));
    }

    [Fact]
    public void What_is_too_long_is_cut_or_left_out_and_said_so()
    {
        var locations = Enumerable.Range(0, 60).Select(i => new ToolLocation { Path = i == 0 ? new string('p', 5000) : $"/file/{i}" }).ToList();
        var tool = new ToolCall("t") { Title = new string('x', 5000), Kind = "edit", Locations = locations, Input = JsonDocument.Parse($"\"{new string('y', 40_000)}\"").RootElement };
        var options = Enumerable.Range(0, 30).Select(i => new PermissionOption { OptionId = i == 0 ? new string('o', 201) : $"o{i}", Name = new string('n', 300), Kind = "allow_once" });

        var asked = PermissionText.Plain.Of(Question(tool, [.. options]), Id, 1, "fake");

        asked.Tool!.Title!.Length.ShouldBe(WireLimits.MaxToolTitleLength);
        (asked.Tool.Paths!.Count, asked.Tool.Paths[0].Length).ShouldBe((WireLimits.MaxToolPaths, WireLimits.MaxToolPathLength));
        (asked.Tool.Arguments, asked.Tool.ArgumentsCut).ShouldBe((null, true));
        // An id that was shortened would be another one.
        (asked.Options!.Count, asked.Options[0].Id).ShouldBe((WireLimits.MaxPermissionOptions, "o1"));
        asked.Options[0].Name!.Length.ShouldBe(200);
    }

    [Fact]
    public void A_line_stays_one_and_has_no_half_characters()
    {
        var asked = PermissionText.Plain.Of(Question(new ToolCall("t") { Title = "a\0b\u001b[2Jc\nd \ud83d" }), Id, 1, "fake");
        asked.Tool!.Title.ShouldBe("a b [2Jc d \ufffd");
    }

    [Fact]
    public void What_it_has_none_of_is_absent()
    {
        var asked = PermissionText.Plain.Of(Question(new ToolCall("t")), Id, 1, "fake");
        (asked.Tool!.Title, asked.Tool.Kind, asked.Tool.Paths, asked.Tool.Arguments, asked.Tool.ArgumentsCut, asked.Options!.Count).ShouldBe(("t", null, null, null, false, 0));
    }

    private static PermissionQuestion Question(ToolCall tool, params PermissionOption[] options) => new(JsonDocument.Parse("1").RootElement, tool, options);
}
